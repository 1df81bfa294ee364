//! The configuration file: every key with its default and unit, checked once.

mod device;
mod hours;
mod node;
mod node_checks;
mod pet;
mod priors;

pub use device::{DeviceConfig, DeviceKind, Instructions, MatrixUnits, Precision};
pub use hours::{Window, time_of_day};
pub use node::{
    AuditConfig, Calendar, CompletionConfig, DestinationConfig, DestinationKind, DicomConfig,
    HttpConfig, NodeConfig, PeerConfig, RetryConfig, RuleConfig, StorageConfig, TlsConfig, When,
};
pub use pet::{PetConfig, PetThreshold};
pub use priors::{PriorsBy, PriorsConfig};

use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Largest configuration file: the parser takes a hundred times the text's size.
const MAX_BYTES: u64 = 64 << 10;

/// In `models.enabled`: the built-in nodule model that suits the device.
pub const AUTO: &str = "auto";

/// Everything that a run can be told, from a TOML file, then from the command line.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Where the numbers are crunched.
    pub device: DeviceConfig,
    /// Which models run.
    pub models: ModelsConfig,
    /// What counts as a candidate.
    pub candidates: CandidatesConfig,
    /// Limits for reading.
    pub input: InputConfig,
    /// What is found in PET.
    pub pet: PetConfig,
    /// How the network runs.
    pub inference: InferenceConfig,
    /// What is written.
    pub output: OutputConfig,
    /// The node that processes every study it is sent.
    pub node: NodeConfig,
}

/// `[models]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ModelsConfig {
    /// Folder of further models; those that the program brings need none.
    pub dir: PathBuf,
    /// Names of the models to run, or [`AUTO`].
    pub enabled: Vec<String>,
}

/// `[candidates]`
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CandidatesConfig {
    /// Lesions whose long axis is shorter are dropped, mm.
    pub min_long_axis_mm: f64,
    /// Lesions of lower confidence are dropped, 0 to 1; where a model has a classifier, the confidence is the chance of a
    /// lesion.
    pub min_confidence: f64,
    /// Parts of the probability map nearer than this are one lesion, mm.
    pub merge_distance_mm: f64,
    /// At most so many lesions a series, the most confident first.
    pub max_lesions: usize,
}

/// `[input]`
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct InputConfig {
    /// Series of more voxels are refused before anything is allocated.
    pub max_voxels: u64,
    /// Run every fitting series of a study, not only the best.
    pub all_series: bool,
    /// Search the whole volume where a model for lungs recognises none.
    pub search_without_lungs: bool,
}

/// `[inference]`
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct InferenceConfig {
    /// Distance of neighbouring patches as a fraction of the patch; 0 takes each model's own.
    pub step: f64,
    /// Average over the mirrored patches that a model allows (test-time augmentation).
    pub tta: bool,
}

/// `[output]`
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OutputConfig {
    /// Formats that are written beside SR, SEG and `findings.json`.
    pub also: Vec<AlsoFormat>,
}

/// A further format of the results.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AlsoFormat {
    /// A label map, `labels.nii.gz`: 1, 2, … as the segment numbers of `findings.json`.
    Nifti,
}

impl Default for ModelsConfig {
    fn default() -> Self {
        Self {
            dir: PathBuf::from("models"),
            enabled: vec![AUTO.into(), "lymph-node".into()],
        }
    }
}

impl Default for CandidatesConfig {
    fn default() -> Self {
        Self {
            min_long_axis_mm: 3.0,
            min_confidence: 0.1,
            merge_distance_mm: 2.0,
            max_lesions: 100,
        }
    }
}

impl Default for InputConfig {
    fn default() -> Self {
        Self {
            max_voxels: 2048 * 512 * 512,
            all_series: false,
            search_without_lungs: false,
        }
    }
}

/// Why a configuration was refused.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be read.
    #[error("cannot read the configuration {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// More bytes than any configuration has.
    #[error("{path} is larger than {MAX_BYTES} bytes; is it a configuration?")]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// Not TOML, an unknown key or a wrong type.
    #[error("{path}: {message}")]
    Parse {
        /// The file.
        path: PathBuf,
        /// The parser's message, with line and column.
        message: String,
    },
    /// A value out of its range.
    #[error("{key} is {found}; {wanted} is needed")]
    OutOfRange {
        /// Dotted key.
        key: &'static str,
        /// What it is.
        found: String,
        /// What it may be.
        wanted: &'static str,
    },
}

impl Config {
    /// Reads and checks a file.
    ///
    /// # Errors
    /// [`Error::Read`], [`Error::TooLarge`], [`Error::Parse`], or [`Error::OutOfRange`] naming the key.
    pub fn load(path: &Path) -> Result<Self, Error> {
        let mut text = String::new();
        File::open(path)
            .and_then(|file| file.take(MAX_BYTES + 1).read_to_string(&mut text))
            .map_err(|source| Error::Read {
                path: path.into(),
                source,
            })?;
        if text.len() as u64 > MAX_BYTES {
            return Err(Error::TooLarge { path: path.into() });
        }
        let config: Self = toml::from_str(&text).map_err(|e| Error::Parse {
            path: path.into(),
            message: e.to_string(),
        })?;
        config.validate()?;
        Ok(config)
    }

    /// Checks what types cannot.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] naming the key.
    pub fn validate(&self) -> Result<(), Error> {
        let CandidatesConfig {
            min_long_axis_mm,
            min_confidence,
            merge_distance_mm,
            max_lesions,
        } = self.candidates;
        check(
            "candidates.min_confidence",
            &min_confidence,
            (0.0..=1.0).contains(&min_confidence),
            "0 to 1",
        )?;
        check(
            "candidates.min_long_axis_mm",
            &min_long_axis_mm,
            (0.0..=200.0).contains(&min_long_axis_mm),
            "0 to 200",
        )?;
        check(
            "candidates.merge_distance_mm",
            &merge_distance_mm,
            (0.0..=10.0).contains(&merge_distance_mm),
            "0 to 10",
        )?;
        // Segment numbers are 16-bit and an SR of more findings helps nobody.
        check(
            "candidates.max_lesions",
            &max_lesions,
            (1..=1000).contains(&max_lesions),
            "1 to 1000",
        )?;
        check(
            "device.precision",
            &"f16",
            self.device.precision == Precision::F32 || self.device.kind != DeviceKind::Cpu,
            "f32 where the device is the CPU",
        )?;
        check(
            "pet.min_volume_ml",
            &self.pet.min_volume_ml,
            (0.0..=1000.0).contains(&self.pet.min_volume_ml),
            "0 to 1000",
        )?;
        self.inference.validate()?;
        self.node.validate()?;
        check(
            "models.enabled",
            &"empty",
            !self.models.enabled.is_empty(),
            "at least one model",
        )
    }
}

impl InferenceConfig {
    fn validate(self) -> Result<(), Error> {
        // Nearer patches would be nearly as many as voxels.
        let allowed = self.step.to_bits() == 0 || (0.1..=1.0).contains(&self.step);
        let wanted = "0.1 to 1, or 0 for each model's own,";
        check("inference.step", &self.step, allowed, wanted)
    }
}

fn check(
    key: &'static str,
    found: &dyn ToString,
    allowed: bool,
    wanted: &'static str,
) -> Result<(), Error> {
    if allowed {
        return Ok(());
    }
    Err(Error::OutOfRange {
        key,
        found: found.to_string(),
        wanted,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_file_names_every_key_with_its_default() {
        let example = include_str!("../../config.example.toml");
        assert_eq!(
            toml::from_str::<Config>(example).expect("example parses"),
            Config::default()
        );
        let keys = |text: &str| -> Vec<String> {
            let table: toml::Table = text.parse().expect("TOML");
            table
                .iter()
                .flat_map(|(s, v)| {
                    v.as_table()
                        .expect("section")
                        .keys()
                        .map(move |k| format!("{s}.{k}"))
                })
                .collect()
        };
        let written = toml::to_string(&Config::default()).expect("serialises");
        assert_eq!(keys(example), keys(&written));
    }

    #[test]
    fn the_node_of_the_guide_is_a_valid_configuration() {
        let guide = include_str!("../../docs/node.md");
        let (_, after) = guide.split_once("```toml\n").expect("it has one");
        let (text, _) = after.split_once("```").expect("it ends");
        let config: Config = toml::from_str(text).expect("it parses");
        config.validate().expect("it is valid");
        assert_eq!(config.node.destinations.len(), 1);
    }

    #[test]
    fn a_file_beyond_any_configuration_is_refused_before_it_is_parsed() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "#".repeat(70_000)).unwrap();
        assert!(matches!(
            Config::load(file.path()),
            Err(Error::TooLarge { .. })
        ));
    }

    #[test]
    fn an_unknown_key_and_a_value_out_of_range_are_refused_by_name() {
        assert!(toml::from_str::<Config>("[device]\nspeed = 9").is_err());
        let mut config = Config::default();
        config.candidates.min_confidence = 1.5;
        assert!(
            config
                .validate()
                .is_err_and(|e| e.to_string().contains("candidates.min_confidence"))
        );
    }

    #[test]
    fn a_step_is_a_tenth_of_a_patch_to_a_whole_one_or_left_to_the_model() {
        let with = |step| Config {
            inference: InferenceConfig { step, tta: false },
            ..Config::default()
        };
        for step in [0.0, 0.1, 0.5, 1.0] {
            assert!(with(step).validate().is_ok(), "{step}");
        }
        for step in [-0.5, 0.09, 1.01, f64::NAN] {
            let refused = with(step).validate().expect_err("out of range");
            assert!(refused.to_string().contains("inference.step"), "{refused}");
        }
    }
}
