//! The crate's error: which stage refused, whose fault it is, and a stable code for programs.

/// Whose fault a failure is; decides the exit code and, in reports, what a person should do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Class {
    /// The data break the standard or contradict themselves.
    Input,
    /// Valid data that this program does not handle.
    Unsupported,
    /// A stated size or memory limit was reached.
    Limits,
    /// Disk, permissions, GPU or driver.
    Environment,
    /// The configuration or the command line is wrong.
    Config,
    /// A defect of this program.
    Internal,
}

/// Any failure of the pipeline, by stage.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Reading DICOM.
    #[error(transparent)]
    Dicom(#[from] crate::dicom::Error),
    /// Opening or using the GPU.
    #[error(transparent)]
    Gpu(#[from] crate::gpu::Error),
    /// Choosing what the network runs on.
    #[error(transparent)]
    Engine(#[from] crate::engine::Error),
    /// Reading NIfTI or MetaImage.
    #[error(transparent)]
    VolumeFile(#[from] crate::volume_file::Error),
    /// Bringing a region onto a series.
    #[error(transparent)]
    Region(#[from] crate::region::Error),
    /// Turning PET values into SUV.
    #[error(transparent)]
    Suv(#[from] crate::suv::Error),
    /// Removing identity.
    #[error(transparent)]
    Deidentify(#[from] crate::deidentify::Error),
    /// Inserting lesions.
    #[error(transparent)]
    Insertion(#[from] crate::insertion::Error),
    /// Bringing a volume onto the model's grid.
    #[error(transparent)]
    Preprocess(#[from] crate::preprocess::Error),
    /// Loading or running a model.
    #[error(transparent)]
    Model(#[from] crate::model::Error),
    /// Writing SR, SEG or JSON.
    #[error(transparent)]
    Report(#[from] crate::report::Error),
    /// Writing, reading or sending the decision log.
    #[error(transparent)]
    Audit(#[from] crate::audit::Error),
    /// Running a node.
    #[error(transparent)]
    Node(#[from] crate::node::Error),
    /// Making or writing a phantom.
    #[error(transparent)]
    Phantom(#[from] crate::phantom::Error),
    /// Comparing results with a truth.
    #[error(transparent)]
    Evaluate(#[from] crate::evaluate::Error),
    /// Reading or checking the configuration.
    #[error(transparent)]
    Config(#[from] crate::config::Error),
}

impl Error {
    /// Whose fault it is.
    pub fn class(&self) -> Class {
        match self {
            Self::Dicom(e) => e.class(),
            Self::VolumeFile(e) => e.class(),
            Self::Region(e) => e.class(),
            Self::Suv(e) => e.class(),
            Self::Deidentify(e) => e.class(),
            Self::Insertion(e) => e.class(),
            Self::Gpu(e) => e.class(),
            Self::Engine(e) => e.class(),
            Self::Preprocess(e) => e.class(),
            Self::Model(e) => e.class(),
            Self::Report(e) => e.class(),
            Self::Audit(e) => e.class(),
            Self::Node(e) => e.class(),
            Self::Phantom(e) => e.class(),
            Self::Evaluate(e) => e.class(),
            Self::Config(_) => Class::Config,
        }
    }

    /// A stable kebab-case code, as it stands in `findings.json`.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Dicom(e) => e.code(),
            Self::VolumeFile(e) => e.code(),
            Self::Region(e) => e.code(),
            Self::Suv(e) => e.code(),
            Self::Deidentify(e) => e.code(),
            Self::Insertion(e) => e.code(),
            Self::Gpu(e) => e.code(),
            Self::Engine(e) => e.code(),
            Self::Preprocess(e) => e.code(),
            Self::Model(e) => e.code(),
            Self::Report(e) => e.code(),
            Self::Audit(e) => e.code(),
            Self::Node(e) => e.code(),
            Self::Phantom(e) => e.code(),
            Self::Evaluate(e) => e.code(),
            Self::Config(_) => "config-invalid",
        }
    }
}
