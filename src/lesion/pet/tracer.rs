//! Which tracer a PET shows: only F-18 FDG has the thresholds and organs of this module.

use crate::suv::{PetImage, Tracer};

/// What was injected, as far as it matters for lesions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TracerKind {
    /// F-18 fluorodeoxyglucose.
    Fdg,
    /// Something else, or a nuclide that FDG is not labelled with.
    Other,
    /// The files do not say, or contradict themselves.
    Unknown,
}

/// Fluorodeoxyglucose F^18^ in SNOMED CT and as its older SRT code (PS3.16 CID 4021, Table L-1).
const FDG: [&str; 2] = ["35321007", "C-B1031"];
/// ^18^Fluorine in SNOMED CT and as its older SRT code (PS3.16 CID 4020).
const F18: [&str; 2] = ["77004003", "C-111A1"];
/// Schemes whose codes mean what they mean; codes of others may be anyone's.
const STANDARD_SCHEMES: [&str; 7] = ["SCT", "SRT", "SNM3", "DCM", "UMLS", "NCIT", "MSH"];

impl TracerKind {
    /// Of the images of a series, which all have to say the same.
    pub fn of(images: &[&PetImage]) -> Self {
        let [first, ..] = images else {
            return Self::Unknown;
        };
        let same = images.iter().all(|image| image.tracers == first.tracers);
        match &first.tracers[..] {
            [tracer] if same => Self::of_tracer(tracer),
            _ => Self::Unknown,
        }
    }

    /// A code of FDG or its name says FDG, unless the nuclide is not F-18; another standard code or nuclide says what it is not.
    fn of_tracer(tracer: &Tracer) -> Self {
        let is = |code: &Option<String>, known: [&str; 2]| {
            code.as_deref().map(|code| known.contains(&code))
        };
        let f18 = is(&tracer.nuclide, F18);
        let scheme = tracer.agent_scheme.as_deref().unwrap_or_default();
        let by_code =
            is(&tracer.agent_code, FDG).filter(|fdg| *fdg || STANDARD_SCHEMES.contains(&scheme));
        let named = tracer.agent_names.iter().any(|name| names_fdg(name));
        match (by_code, named, f18) {
            (Some(true), _, Some(false)) | (_, true, Some(false)) => Self::Unknown,
            (Some(false), true, _) => Self::Unknown,
            (Some(true), ..) | (None, true, _) => Self::Fdg,
            (Some(false), ..) | (None, false, Some(false)) => Self::Other,
            (None, false, _) => Self::Unknown,
        }
    }
}

/// Whether a text names FDG, such as `F18-FDG`, `FDG -- fluorodeoxyglucose` or `Fluorodeoxyglucose F^18^`, and not a relative
/// such as FDGal.
fn names_fdg(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    let mut words = lower.split(|c: char| !c.is_ascii_alphanumeric());
    words.any(|word| {
        let letters = word.trim_matches(|c: char| c.is_ascii_digit());
        let letters = letters.strip_prefix("f18").unwrap_or(letters);
        let names = [
            "fdg",
            "ffdg",
            "fluorodeoxyglucose",
            "fludeoxyglucose",
            "fluordeoxyglucose",
        ];
        names.contains(&letters)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(nuclide: &str, code: &str, scheme: &str, name: &str) -> TracerKind {
        let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        let tracer = Tracer {
            nuclide: some(nuclide),
            agent_code: some(code),
            agent_scheme: some(scheme),
            agent_names: some(name).into_iter().collect(),
            ..Tracer::default()
        };
        let image = PetImage {
            tracers: vec![tracer],
            ..PetImage::default()
        };
        TracerKind::of(&[&image, &image])
    }

    #[test]
    fn fdg_is_known_by_either_code_or_by_name() {
        let fdg = [
            kind("77004003", "35321007", "SCT", ""),
            kind("C-111A1", "C-B1031", "SRT", ""),
            kind("C-111A1", "C-B1031", "99SDM", ""),
            kind("C-111A1", "Y-X1743", "99SDM", "FDG -- fluorodeoxyglucose"),
            kind("", "", "", "F18-FDG"),
            kind("C-111A1", "", "", "18F-FDG"),
            kind("C-111A1", "", "", "18FDG"),
            kind("C-111A1", "", "", "Fluorodeoxyglucose F^18^"),
        ];
        assert_eq!(fdg, [TracerKind::Fdg; 8]);
    }

    #[test]
    fn other_codes_and_nuclides_are_other_tracers() {
        let other = [
            // PSMA-1007, sodium fluoride; Ga-68 and Tc-99m of whatever.
            kind("77004003", "126758", "DCM", "PSMA-1007 F^18^"),
            kind("77004003", "129501009", "SCT", ""),
            kind("35337001", "", "", ""),
            kind(
                "72454006",
                "424299003",
                "SCT",
                "Technetium Tc^99m^ sestamibi",
            ),
        ];
        assert_eq!(other, [TracerKind::Other; 4]);
    }

    #[test]
    fn what_says_nothing_or_two_things_is_unknown() {
        let unknown = [
            kind("", "", "", ""),
            kind("C-111A1", "", "", "Solution"),
            kind("C-111A1", "MINE", "99LOCAL", ""),
            // A relative of FDG; FDG with gallium; a code and a name that differ.
            kind("C-111A1", "", "", "18F-FDGal"),
            kind("35337001", "35321007", "SCT", ""),
            kind("77004003", "126758", "DCM", "FDG"),
        ];
        assert_eq!(unknown, [TracerKind::Unknown; 6]);
        assert_eq!(TracerKind::of(&[]), TracerKind::Unknown);
    }

    #[test]
    fn two_tracers_or_slices_that_differ_are_unknown() {
        let of = |tracers| PetImage {
            tracers,
            ..PetImage::default()
        };
        let fdg = Tracer {
            agent_code: Some(FDG[0].into()),
            ..Tracer::default()
        };
        let two = of(vec![fdg.clone(), Tracer::default()]);
        assert_eq!(TracerKind::of(&[&two]), TracerKind::Unknown);
        let mixed = [of(vec![fdg]), of(vec![Tracer::default()])];
        assert_eq!(TracerKind::of(&[&mixed[0], &mixed[1]]), TracerKind::Unknown);
    }
}
