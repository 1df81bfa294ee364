//! Parts of a trained model that this program does not run, each with its code and what to do instead.

use crate::error::Class;

/// A part of a trained model that this program does not run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{file}: {key} is {found}; {}", self.feature.advice())]
pub struct Unsupported {
    /// Which part.
    pub feature: Feature,
    /// The file's name.
    pub file: String,
    /// Dotted key.
    pub key: String,
    /// Its value.
    pub found: String,
}

/// A part of a trained model that can be of a kind which this program does not run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Feature {
    /// A configuration that needs another one's result.
    Cascade,
    /// A network of two axes.
    TwoAxes,
    /// Another network than `PlainConvUNet` and `ResidualEncoderUNet`.
    Architecture,
    /// Another block than a residual encoder's `BasicBlockD`, or an encoder with squeeze and excitation.
    Block,
    /// Another convolution.
    Convolution,
    /// Another norm, or one with other parameters.
    Norm,
    /// Another activation.
    Activation,
    /// Another intensity normalisation.
    Normalization,
    /// Another resampling.
    Resampling,
    /// Another preprocessing or other labels' rules.
    Preprocessing,
    /// A channel whose modality nobody says, or a first one that is no CT.
    Modality,
    /// A PET channel whose unit matters and is not known to be Bq/ml.
    Unit,
    /// A reader that turns images before the network sees them.
    Reader,
}

impl Feature {
    fn advice(self) -> &'static str {
        match self {
            Self::Cascade => {
                "a cascade needs another network's result: import its first stage (3d_lowres) or 3d_fullres instead"
            }
            Self::TwoAxes => {
                "networks of three axes run alone: choose 3d_fullres or 3d_lowres by --configuration"
            }
            Self::Architecture => {
                "PlainConvUNet and ResidualEncoderUNet (MONAI: DynUNet) run alone: train one of them"
            }
            Self::Block => {
                "a residual encoder of plain BasicBlockD runs alone, with a stem as wide as its first stage"
            }
            Self::Convolution => {
                "torch.nn.Conv3d with odd kernels runs alone, upsampled by transposed convolutions of their stride"
            }
            Self::Norm => {
                "InstanceNorm3d with eps 1e-5 and BatchNorm3d run alone, each between convolution and activation"
            }
            Self::Activation => "LeakyReLU with a slope of 0.01 runs alone",
            Self::Normalization => {
                "CTNormalization, ZScoreNormalization, RescaleTo01Normalization and NoNormalization run alone"
            }
            Self::Resampling => {
                "nnU-Net's default runs alone: resample_data_or_seg_to_shape, for data with order 3, for probabilities \
                 with order 1, order_z 0 and force_separate_z null"
            }
            Self::Preprocessing => "nnU-Net's DefaultPreprocessor and LabelManager run alone",
            Self::Modality => {
                "say what every channel is by --modality, such as CT,PT; the first must be CT so far, and each modality \
                 may be there once"
            }
            Self::Unit => {
                "PET is read in Bq/ml: where a network saw that, say --pet-bqml; SUV runs only where a scheme makes units \
                 equal (ZScoreNormalization, RescaleTo01Normalization)"
            }
            Self::Reader => "SimpleITKIO and NibabelIO, with or without WithReorient, run alone",
        }
    }

    /// Whose fault it is.
    pub fn class(&self) -> Class {
        match self {
            Self::Cascade
            | Self::TwoAxes
            | Self::Architecture
            | Self::Block
            | Self::Convolution
            | Self::Norm
            | Self::Activation
            | Self::Normalization
            | Self::Resampling
            | Self::Preprocessing
            | Self::Modality
            | Self::Unit
            | Self::Reader => Class::Unsupported,
        }
    }

    /// A stable kebab-case code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Cascade => "import-cascade",
            Self::TwoAxes => "import-2d",
            Self::Architecture => "import-architecture",
            Self::Block => "import-block",
            Self::Convolution => "import-convolution",
            Self::Norm => "import-norm",
            Self::Activation => "import-activation",
            Self::Normalization => "import-normalization",
            Self::Resampling => "import-resampling",
            Self::Preprocessing => "import-preprocessing",
            Self::Modality => "import-modality",
            Self::Unit => "import-unit",
            Self::Reader => "import-reader",
        }
    }
}
