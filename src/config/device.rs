//! `[device]`: where the numbers are crunched.

use serde::{Deserialize, Serialize};

/// `[device]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DeviceConfig {
    /// `auto`, `gpu` or `cpu`.
    pub kind: DeviceKind,
    /// Substring of the adapter's name; empty takes the first.
    pub adapter: String,
    /// Vector instructions that a network runs on where the device is the CPU.
    pub instructions: Instructions,
    /// How a GPU stores a network's activations.
    pub precision: Precision,
    /// Whether a network runs on a GPU's matrix units.
    pub matrices: MatrixUnits,
}

/// The device to run on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DeviceKind {
    /// A hardware GPU where there is one, else the CPU (with a warning).
    #[default]
    Auto,
    /// A GPU or an error; a software adapter is taken but named.
    Gpu,
    /// The CPU.
    Cpu,
}

/// Whether a network runs on the matrix units ("tensor cores") of a GPU.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MatrixUnits {
    /// Where the GPU has some for the precision, and they pass the models' self-checks.
    #[default]
    Auto,
    /// Never.
    Off,
}

/// How a GPU stores a network's activations; sums are always 32 bits wide.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// 32 bits.
    #[default]
    F32,
    /// 16 bits: half the memory, three decimal digits.
    F16,
}

/// Vector instructions of a CPU.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Instructions {
    /// The fastest that the CPU has.
    #[default]
    Auto,
    /// Those of x86-64 with registers of 512 bits.
    #[serde(rename = "avx-512")]
    Avx512,
    /// Those of x86-64 with registers of 256 bits, and fused multiply-add.
    Avx2,
    /// Those of 64-bit ARM.
    Neon,
    /// None in particular: plain Rust.
    Portable,
}

impl Instructions {
    /// As the configuration file has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Avx512 => "avx-512",
            Self::Avx2 => "avx2",
            Self::Neon => "neon",
            Self::Portable => "portable",
        }
    }
}

impl Default for DeviceConfig {
    fn default() -> Self {
        Self {
            kind: DeviceKind::Auto,
            adapter: String::new(),
            instructions: Instructions::Auto,
            precision: Precision::F32,
            matrices: MatrixUnits::Auto,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instructions_are_called_in_messages_what_the_file_calls_them() {
        use Instructions::{Auto, Avx2, Avx512, Neon, Portable};
        for set in [Auto, Avx512, Avx2, Neon, Portable] {
            let text = serde_json::to_value(set).expect("serialises");
            assert_eq!(text, set.name());
        }
    }
}
