//! Names of labels as coded terms: from a file that a person completed, or from a table of unmistakable names.
//!
//! In: names, and the text of a `labels.toml`. Out: the labels of `model.toml`. Refused: a name without terms; nothing is
//! guessed. Source of the table: PS3.16 CID 7150 (category), CID 7192, 7159 and 7151 (type).

use super::Error;
use crate::code::{Code, Kind, Terms};
use crate::model::Label;
use serde::{Deserialize, Serialize};

/// A `labels.toml`.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Mapping {
    #[serde(default)]
    labels: Vec<Mapped>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Mapped {
    /// As the training data name it.
    name: String,
    kind: Kind,
    category: Code,
    #[serde(rename = "type")]
    property_type: Code,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    modifier: Option<Code>,
}

/// Names that stand for one thing wherever they are used, with their SNOMED CT terms.
///
/// A side before or after a paired organ's name becomes its modifier.
const ORGANS: [(&str, &str, &str); 29] = [
    ("aorta", "15825003", "Aorta"),
    ("brain", "12738006", "Brain"),
    ("colon", "71854001", "Colon"),
    ("duodenum", "38848004", "Duodenum"),
    ("esophagus", "32849002", "Esophagus"),
    ("gallbladder", "28231008", "Gallbladder"),
    ("heart", "80891009", "Heart"),
    ("inferior_vena_cava", "64131007", "Inferior vena cava"),
    ("kidney", "64033007", "Kidney"),
    ("kidneys", "64033007", "Kidney"),
    ("liver", "10200004", "Liver"),
    ("lung", "39607008", "Lung"),
    ("lungs", "39607008", "Lung"),
    (
        "lung_middle_lobe_right",
        "72481006",
        "Middle lobe of right lung",
    ),
    ("oesophagus", "32849002", "Esophagus"),
    ("pancreas", "15776009", "Pancreas"),
    ("prostate", "41216001", "Prostate"),
    ("pulmonary_artery", "81040000", "Pulmonary artery"),
    ("sacrum", "54735007", "Sacrum"),
    ("skull", "89546000", "Skull"),
    ("small_bowel", "30315005", "Small intestine"),
    ("small_intestine", "30315005", "Small intestine"),
    ("spinal_cord", "2748008", "Spinal cord"),
    ("spleen", "78961009", "Spleen"),
    ("sternum", "56873002", "Sternum"),
    ("stomach", "69695003", "Stomach"),
    ("superior_vena_cava", "48345005", "Superior vena cava"),
    ("trachea", "44567001", "Trachea"),
    ("urinary_bladder", "89837001", "Bladder"),
];

impl Mapping {
    /// Reads a `labels.toml`.
    ///
    /// # Errors
    /// [`Error::Invalid`].
    pub(super) fn parse(text: &str) -> Result<Self, Error> {
        toml::from_str(text).map_err(|e| invalid(e.to_string()))
    }

    /// The labels of `model.toml` for output channels and their names.
    ///
    /// # Errors
    /// [`Error::UnmappedLabels`]; [`Error::Invalid`] for a name that the model does not have.
    pub(super) fn labels(&self, names: &[(usize, String)]) -> Result<Vec<Label>, Error> {
        let has = |name: &str| names.iter().any(|(_, known)| known == name);
        if let Some(other) = self.labels.iter().find(|mapped| !has(&mapped.name)) {
            return Err(invalid(format!("the model has no label {:?}", other.name)));
        }
        let found = names.iter().map(|(_, name)| self.find(name));
        let missing: Vec<String> = found
            .zip(names)
            .filter(|(found, _)| found.is_none())
            .map(|(_, (_, name))| name.escape_debug().to_string())
            .collect();
        if !missing.is_empty() {
            return Err(Error::UnmappedLabels {
                names: missing.join(", "),
            });
        }
        let label = |(channel, name): &(usize, String)| {
            let mapped = self.find(name)?;
            Some(Label {
                channel: *channel,
                name: name.clone(),
                kind: mapped.kind,
                category: mapped.category,
                property_type: mapped.property_type,
                modifier: mapped.modifier,
            })
        };
        Ok(names.iter().filter_map(label).collect())
    }

    /// A `labels.toml` to complete: what is known, and empty terms for the rest.
    ///
    /// # Errors
    /// [`Error::Invalid`].
    pub(super) fn template(&self, names: &[(usize, String)]) -> Result<String, Error> {
        let entry = |(_, name): &(usize, String)| {
            self.find(name).unwrap_or_else(|| Mapped {
                name: name.clone(),
                kind: Kind::Organ,
                category: Terms::from(Kind::Organ).category,
                property_type: Code::new("", "SCT", ""),
                modifier: None,
            })
        };
        let labels = names.iter().map(entry).collect();
        let text = toml::to_string(&Self { labels });
        text.map(|text| format!("{TEMPLATE_HEAD}{text}"))
            .map_err(|e| invalid(e.to_string()))
    }

    fn find(&self, name: &str) -> Option<Mapped> {
        let mapped = self.labels.iter().find(|mapped| mapped.name == name);
        mapped
            .filter(|m| is_complete(m))
            .cloned()
            .or_else(|| known(name))
    }
}

const TEMPLATE_HEAD: &str = "\
# Coded terms of the model's labels: SR and SEG name by them what was found. Complete the empty ones.
# kind: organ (a segment), or lung-nodule, lymph-node, pet-lesion (each component a lesion).
# category: PS3.16 CID 7150; type: PS3.16 CID 7151, 7192 (organs) and 7159 (lesions), or any SNOMED CT term.

";

/// A paired organ and its side: CID 244. A name that says none stands for both together.
fn sided(name: &str) -> (&str, Option<(&str, &str)>) {
    let sides = [
        ("left", ("7771000", "Left")),
        ("right", ("24028007", "Right")),
    ];
    let after = sides.into_iter().find_map(|(side, term)| {
        let organ = name.strip_suffix(side)?.strip_suffix('_')?;
        PAIRED.contains(&organ).then_some((organ, Some(term)))
    });
    let before = sides.into_iter().find_map(|(side, term)| {
        let organ = name.strip_prefix(side)?.strip_prefix('_')?;
        PAIRED.contains(&organ).then_some((organ, Some(term)))
    });
    after.or(before).unwrap_or((name, None))
}

/// Organs of the table of which there are two.
const PAIRED: [&str; 2] = ["kidney", "lung"];

fn is_complete(mapped: &Mapped) -> bool {
    let complete = |code: &Code| {
        let parts = [&code.value, &code.scheme, &code.meaning];
        parts.iter().all(|part| !part.trim().is_empty())
    };
    complete(&mapped.category) && complete(&mapped.property_type)
}

/// The terms of an unmistakable name; upper case, blanks and dashes make no difference.
fn known(name: &str) -> Option<Mapped> {
    let plain = name.to_lowercase().replace([' ', '-'], "_");
    let mapped = |kind, terms: Terms| Mapped {
        name: name.to_owned(),
        kind,
        category: terms.category,
        property_type: terms.property_type,
        modifier: terms.modifier,
    };
    match plain.as_str() {
        "lung_nodule" | "lung_nodules" | "pulmonary_nodule" | "pulmonary_nodules" => {
            Some(mapped(Kind::LungNodule, Kind::LungNodule.into()))
        }
        "lymph_node" | "lymph_nodes" => Some(mapped(Kind::LymphNode, Kind::LymphNode.into())),
        _ => {
            let (organ, side) = sided(&plain);
            let (_, value, meaning) = ORGANS.iter().find(|(name, ..)| *name == organ)?;
            let terms = Terms {
                property_type: Code::new(value, "SCT", meaning),
                modifier: side.map(|(value, meaning)| Code::new(value, "SCT", meaning)),
                ..Kind::Organ.into()
            };
            Some(mapped(Kind::Organ, terms))
        }
    }
}

fn invalid(message: String) -> Error {
    Error::Invalid {
        file: "the file of --labels".into(),
        key: String::new(),
        message,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> Vec<(usize, String)> {
        let numbered = names.iter().enumerate();
        numbered
            .map(|(i, name)| (i + 1, (*name).to_owned()))
            .collect()
    }

    #[test]
    fn unmistakable_names_have_terms_and_others_are_refused_together() {
        let found = Mapping::default()
            .labels(&names(&["Liver", "lung nodule"]))
            .expect("known");
        assert_eq!(found[0].property_type.value, "10200004");
        assert_eq!((found[1].channel, found[1].kind), (2, Kind::LungNodule));
        let refused = Mapping::default().labels(&names(&["femur_left", "liver", "nodule"]));
        assert!(
            matches!(refused, Err(Error::UnmappedLabels { names }) if names == "femur_left, nodule")
        );
    }

    #[test]
    fn the_side_of_a_paired_organ_is_a_modifier() {
        let found = Mapping::default()
            .labels(&names(&["kidney_left", "right lung", "kidneys", "aorta"]))
            .expect("known");
        let told = found.iter().map(|label| {
            let side = label.modifier.as_ref().map(|code| code.meaning.as_str());
            (label.property_type.meaning.as_str(), side)
        });
        let expected = [
            ("Kidney", Some("Left")),
            ("Lung", Some("Right")),
            ("Kidney", None),
            ("Aorta", None),
        ];
        assert_eq!(told.collect::<Vec<_>>(), expected);
    }

    #[test]
    fn a_completed_template_maps_every_label() {
        let names = names(&["femur_left", "liver"]);
        let template = Mapping::default().template(&names).expect("written");
        assert!(
            Mapping::parse(&template)
                .expect("valid")
                .labels(&names)
                .is_err()
        );
        let completed = template
            .replace("value = \"\"", "value = \"71341001\"")
            .replace("meaning = \"\"", "meaning = \"Left femur\"");
        let labels = Mapping::parse(&completed)
            .expect("valid")
            .labels(&names)
            .expect("complete");
        assert_eq!(labels[0].property_type.meaning, "Left femur");
        assert_eq!(labels[1].property_type.meaning, "Liver");
    }

    #[test]
    fn terms_for_a_label_that_the_model_does_not_have_are_refused() {
        let template = Mapping::default()
            .template(&names(&["liver"]))
            .expect("written");
        let refused = Mapping::parse(&template)
            .expect("valid")
            .labels(&names(&["spleen"]));
        assert!(
            matches!(refused, Err(Error::Invalid { message, .. }) if message.contains("liver"))
        );
    }
}
