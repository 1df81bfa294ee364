//! nnU-Net's `dataset.json`: what the channels and the labels are.
//!
//! In: the text of the file. Out: [`Dataset`]. Refused: labels that are no channels of the network in order. Source:
//! nnunetv2's `label_handling.py`.

use super::Error;
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};
use std::collections::BTreeSet;
use std::fmt;

/// What the channels and the labels of a network are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Dataset {
    /// Names of the input channels, in order.
    pub(super) channels: Vec<String>,
    /// Labels are unions of others, each a channel of its own; else they exclude each other.
    pub(super) regions: bool,
    /// Number of output channels.
    pub(super) classes: usize,
    /// Labels beside the background: output channel and name, in order.
    pub(super) labels: Vec<(usize, String)>,
    /// `licence` or `license`, where it is there.
    pub(super) licence: Option<String>,
    /// `reference`, where it is there.
    pub(super) reference: Option<String>,
    /// `description`, where it is there.
    pub(super) description: Option<String>,
}

#[derive(serde::Deserialize)]
struct File {
    #[serde(alias = "modality")]
    channel_names: Ordered<String>,
    labels: Ordered<Values>,
    #[serde(default)]
    regions_class_order: Option<Vec<i64>>,
    #[serde(default, alias = "license")]
    licence: Option<Text>,
    #[serde(default)]
    reference: Option<Text>,
    #[serde(default)]
    description: Option<Text>,
}

/// Values of a label: one number, or those of a region.
#[derive(serde::Deserialize)]
#[serde(untagged)]
enum Values {
    One(i64),
    Region(Vec<i64>),
}

/// A text, or something else that is of no use.
#[derive(serde::Deserialize)]
#[serde(untagged)]
enum Text {
    Text(String),
    Other(IgnoredAny),
}

/// An object's entries in their order, which says which region is which channel.
struct Ordered<T>(Vec<(String, T)>);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Ordered<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries<T>(std::marker::PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Entries<T> {
            type Value = Ordered<T>;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Ordered(entries))
            }
        }
        deserializer.deserialize_map(Entries(std::marker::PhantomData))
    }
}

/// The label of voxels that training left out; no output channel.
const IGNORE: &str = "ignore";

impl Dataset {
    /// Reads the text of a `dataset.json`.
    ///
    /// # Errors
    /// [`Error::Invalid`].
    pub(super) fn parse(text: &[u8]) -> Result<Self, Error> {
        let file: File = serde_json::from_slice(text).map_err(|e| invalid("", &e.to_string()))?;
        let labels: Vec<_> = file
            .labels
            .0
            .iter()
            .filter(|(name, _)| name != IGNORE)
            .collect();
        let is_region = |values: &Values| matches!(values, Values::Region(v) if v.len() > 1);
        let regions = labels.iter().any(|(_, values)| is_region(values));
        let (classes, labels) = if regions {
            regions_of(&labels, file.regions_class_order.as_deref())?
        } else {
            classes_of(&labels)?
        };
        Ok(Self {
            channels: channels(&file.channel_names.0)?,
            regions,
            classes,
            labels,
            licence: text_of(file.licence),
            reference: text_of(file.reference),
            description: text_of(file.description),
        })
    }
}

type Labels = (usize, Vec<(usize, String)>);

/// Regions are output channels in their order.
fn regions_of(labels: &[&(String, Values)], order: Option<&[i64]>) -> Result<Labels, Error> {
    let regions = labels.iter().filter(|(_, values)| !is_background(values));
    let regions: Vec<_> = regions.map(|(name, _)| name.clone()).enumerate().collect();
    let ordered = order.map_or(0, <[i64]>::len);
    if ordered != regions.len() {
        let message = format!(
            "has {ordered} entries; one for each of {} regions is needed",
            regions.len()
        );
        return Err(invalid("regions_class_order ", &message));
    }
    Ok((regions.len(), regions))
}

/// Labels are output channels by their values, which count up from the background 0.
fn classes_of(labels: &[&(String, Values)]) -> Result<Labels, Error> {
    let value = |values: &Values| match values {
        Values::One(value) => Some(*value),
        Values::Region(values) => values.first().copied(),
    };
    let mut found: Vec<(usize, String)> = Vec::new();
    for (name, values) in labels {
        let channel = value(values).and_then(|value| usize::try_from(value).ok());
        let channel = channel
            .ok_or_else(|| invalid(&format!("labels.{} ", name.escape_debug()), "is no label"))?;
        found.push((channel, name.clone()));
    }
    found.sort();
    if found
        .iter()
        .enumerate()
        .any(|(i, (channel, _))| i != *channel)
    {
        return Err(invalid("labels ", "do not count up from the background 0"));
    }
    let classes = found.len();
    found.retain(|(channel, _)| *channel > 0);
    Ok((classes, found))
}

fn is_background(values: &Values) -> bool {
    match values {
        Values::One(value) => *value == 0,
        Values::Region(values) => !values.is_empty() && values.iter().all(|value| *value == 0),
    }
}

/// Names by their numbers, which count up from 0.
fn channels(names: &[(String, String)]) -> Result<Vec<String>, Error> {
    let numbers: BTreeSet<Option<usize>> = names.iter().map(|(n, _)| n.parse().ok()).collect();
    if names.is_empty() || !numbers.into_iter().eq((0..names.len()).map(Some)) {
        return Err(invalid("channel_names ", "do not count up from 0"));
    }
    let mut names = names.to_vec();
    names.sort_by_key(|(number, _)| number.parse::<usize>().ok());
    Ok(names.into_iter().map(|(_, name)| name).collect())
}

/// A text on one line, of a length that people read.
fn text_of(text: Option<Text>) -> Option<String> {
    const MAX_CHARS: usize = 300;
    let Some(Text::Text(text)) = text else {
        return None;
    };
    let words: Vec<&str> = text.split_whitespace().collect();
    let text: String = words.join(" ").chars().take(MAX_CHARS).collect();
    (!text.is_empty()).then_some(text)
}

fn invalid(key: &str, message: &str) -> Error {
    Error::Invalid {
        file: "dataset.json".into(),
        key: key.to_owned(),
        message: message.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(labels: &str) -> Result<Dataset, Error> {
        let text = format!(r#"{{"channel_names": {{"1": "PET", "0": "CT"}}, "labels": {labels}}}"#);
        Dataset::parse(text.as_bytes())
    }

    fn named(labels: &[(usize, String)]) -> Vec<(usize, &str)> {
        labels
            .iter()
            .map(|(channel, name)| (*channel, name.as_str()))
            .collect()
    }

    #[test]
    fn labels_are_channels_by_their_values_and_the_ignored_one_is_none() {
        let found = parse(r#"{"background": 0, "tumor": 2, "liver": [1], "ignore": 3}"#);
        let found = found.expect("valid");
        assert_eq!(found.channels, ["CT", "PET"]);
        assert_eq!((found.regions, found.classes), (false, 3));
        assert_eq!(named(&found.labels), [(1, "liver"), (2, "tumor")]);
    }

    #[test]
    fn regions_are_channels_in_the_order_of_the_file() {
        let labels = r#"{"background": 0, "whole": [1, 2], "edge": [1], "core": 2},
            "regions_class_order": [1, 2, 3]"#;
        let found = parse(labels).expect("valid");
        assert_eq!((found.regions, found.classes), (true, 3));
        assert_eq!(
            named(&found.labels),
            [(0, "whole"), (1, "edge"), (2, "core")]
        );
    }

    #[test]
    fn labels_that_leave_a_gap_and_regions_without_order_are_refused() {
        for labels in [
            r#"{"background": 0, "liver": 2}"#,
            r#"{"background": 0, "liver": -1}"#,
            r#"{"background": 0, "liver": 1, "lever": 1}"#,
            r#"{"background": 0, "whole": [1, 2], "core": 2}"#,
            r#"{"background": 0, "liver": "1"}"#,
        ] {
            assert!(
                matches!(parse(labels), Err(Error::Invalid { .. })),
                "{labels}"
            );
        }
    }

    #[test]
    fn old_files_name_channels_by_modality() {
        let text =
            br#"{"modality": {"0": "CT"}, "labels": {"background": 0, "a": 1}, "licence": "CC0"}"#;
        let found = Dataset::parse(text).expect("valid");
        assert_eq!(found.channels, ["CT"]);
        assert_eq!(found.licence.as_deref(), Some("CC0"));
    }
}
