//! Why an object was refused: what, where and what to do, never whose.

use super::Attribute;
use crate::error::Class;

/// Why a file, a series or its pixel data were refused. Names the attribute and the UID, never the patient.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Error {
    /// The operating system refused the file or folder.
    #[error("cannot be read ({kind}); check that it exists, its permissions and the disk")]
    Io {
        /// What the operating system said.
        kind: std::io::ErrorKind,
    },
    /// A file without a byte.
    #[error("the file is empty; copy it again from its source")]
    Empty,
    /// Lacks the mark of a DICOM file (PS3.10 7.1).
    #[error("not a DICOM file: DICM is missing at byte 128")]
    NotDicom,
    /// A DICOMDIR, which only lists other files.
    #[error("a DICOMDIR index; the files that it lists are read by themselves")]
    Dicomdir,
    /// The bytes end inside an element.
    #[error("the file ends in or after {last}; copy it again from its source")]
    Truncated {
        /// The last element whose header was read.
        last: Attribute,
    },
    /// The bytes do not parse as a data set.
    #[error("no valid data set after {last}; copy it again from its source")]
    Malformed {
        /// The last element whose header was read.
        last: Attribute,
    },
    /// More bytes before the pixel data than any image needs.
    #[error(
        "the attributes up to {last} exceed {limit_bytes} bytes; the file is damaged or no image"
    )]
    HeaderTooLarge {
        /// The element that went beyond the limit.
        last: Attribute,
        /// The limit.
        limit_bytes: u64,
    },
    /// No reader for this transfer syntax.
    #[error("{attribute} {found} is not supported; send the series uncompressed", attribute = Attribute::TRANSFER_SYNTAX_UID)]
    TransferSyntax {
        /// The UID, or what stands in its place.
        found: String,
    },
    /// A required attribute is absent or empty.
    #[error("{attribute} is missing; ask the sender for complete objects (object {uid})")]
    Missing {
        /// Which.
        attribute: Attribute,
        /// SOP Instance UID, or `unknown`.
        uid: String,
    },
    /// An attribute's value breaks the standard or cannot be.
    #[error("{attribute} is {found:?}, {needed} needed (object {uid})")]
    BadValue {
        /// Which.
        attribute: Attribute,
        /// The value as a message may show it.
        found: String,
        /// What would be right, in words.
        needed: &'static str,
        /// SOP Instance UID, or `unknown`.
        uid: String,
    },
    /// A valid value that this program does not handle.
    #[error("{attribute} is {found:?}, only {supported} supported (object {uid})")]
    Unsupported {
        /// Which.
        attribute: Attribute,
        /// The value as a message may show it.
        found: String,
        /// What is supported, in words.
        supported: &'static str,
        /// SOP Instance UID.
        uid: String,
    },
    /// Not an image of a kind that is read.
    #[error("{attribute} is {found}, only CT and PET images are read: {advice} (object {uid})", attribute = Attribute::SOP_CLASS_UID)]
    SopClass {
        /// SOP Class UID and its name in words.
        found: String,
        /// What to send instead, in words.
        advice: &'static str,
        /// SOP Instance UID.
        uid: String,
    },
    /// The SOP class says CT or PET, the modality does not.
    #[error("{attribute} is {found:?} which its SOP class has not; ask its maker for the right class (object {uid})", attribute = Attribute::MODALITY)]
    ForeignModality {
        /// Modality, as found.
        found: String,
        /// SOP Instance UID.
        uid: String,
    },
    /// A SPECT that is stored as PET.
    #[error(
        "{attribute} is {found}: single photons (SPECT) in a class of PET; ask its maker for Nuclear Medicine objects (object {uid})"
    )]
    SinglePhoton {
        /// What tells it.
        attribute: Attribute,
        /// Its value.
        found: String,
        /// SOP Instance UID.
        uid: String,
    },
    /// More frames than one object may have.
    #[error("more than {limit} frames; split the object (object {uid})")]
    TooManyFrames {
        /// The limit.
        limit: u32,
        /// SOP Instance UID.
        uid: String,
    },
    /// Nothing tells which fragments of the pixel data make which frame.
    #[error("{attribute} holds {fragments} fragments for {frames} frames and no offset table tells them apart; send it uncompressed (object {uid})", attribute = Attribute::PIXEL_DATA)]
    FrameFragments {
        /// Fragments found.
        fragments: usize,
        /// Frames declared.
        frames: usize,
        /// SOP Instance UID.
        uid: String,
    },
    /// Objects of a concatenation are missing.
    #[error(
        "{found} of the {total} objects of a concatenation were found; send all of them (concatenation {uid})"
    )]
    ConcatenationIncomplete {
        /// Objects found.
        found: usize,
        /// In-concatenation Total Number (0020,9163).
        total: usize,
        /// Concatenation UID (0020,9161).
        uid: String,
    },
    /// A scout view.
    #[error("a localizer, not a volume; send the series that was planned on it (object {uid})")]
    Localizer {
        /// SOP Instance UID.
        uid: String,
    },
    /// A secondary capture, such as a screenshot or a dose page.
    #[error("a secondary capture, not an acquired image; send the original series (object {uid})")]
    SecondaryCapture {
        /// SOP Instance UID.
        uid: String,
    },
    /// Made from other images: reformats, projections, colour maps.
    #[error(
        "an image derived from others, by its Image Type; send the original series (object {uid})"
    )]
    Derived {
        /// SOP Instance UID.
        uid: String,
    },
    /// Stored values that do not mean HU.
    #[error("{attribute} is {found:?}: the values are no Hounsfield units; send a reconstruction in HU (object {uid})", attribute = Attribute::RESCALE_TYPE)]
    NotHounsfield {
        /// Rescale Type, as found.
        found: String,
        /// SOP Instance UID.
        uid: String,
    },
    /// A volume needs two slices at least.
    #[error("{count} slice(s) make no volume; send the whole series (series {uid})")]
    TooFewSlices {
        /// How many there are.
        count: usize,
        /// Series Instance UID.
        uid: String,
    },
    /// Slices of one series differ in what must be equal.
    #[error("{attribute} differs between the slices; split the series (series {uid})")]
    Mixed {
        /// What differs.
        attribute: Attribute,
        /// Series Instance UID.
        uid: String,
    },
    /// One SOP Instance UID, two different headers or pixel data.
    #[error("{attribute} names two different objects; remove the wrong one (object {uid})", attribute = Attribute::SOP_INSTANCE_UID)]
    ConflictingDuplicates {
        /// SOP Instance UID.
        uid: String,
    },
    /// Objects of one study name different patients.
    #[error(
        "the objects of this study have different values of PatientID (0010,0020): whose findings they would be cannot be told; put each patient's objects into a study of their own (study {uid})"
    )]
    SeveralPatients {
        /// Study Instance UID.
        uid: String,
    },
    /// Two slices at one place: several phases or reconstructions in one series.
    #[error("{count} slice(s) lie where another one lies, by {attribute}; split the series (series {uid})", attribute = Attribute::IMAGE_POSITION_PATIENT)]
    SamePosition {
        /// How many are too many.
        count: usize,
        /// Series Instance UID.
        uid: String,
    },
    /// Neighbouring slices lie too far apart, as where slices are missing.
    #[error("neighbouring slices lie {gap_mm:.1} mm apart, by {attribute}; {limit_mm:.1} are allowed in this series: send the slices that are missing (series {uid})", attribute = Attribute::IMAGE_POSITION_PATIENT)]
    Gap {
        /// Widest distance of neighbours, mm.
        gap_mm: f64,
        /// The limit: 10 mm, and four usual increments of the series.
        limit_mm: f64,
        /// Series Instance UID.
        uid: String,
    },
    /// The slices are shifted against each other within their planes.
    #[error("a slice lies {deviation_mm:.2} mm off the line of the others, by {attribute}; send each acquisition as a series of its own (series {uid})", attribute = Attribute::IMAGE_POSITION_PATIENT)]
    NotInLine {
        /// Largest distance of a slice from the line through the first and the last, mm.
        deviation_mm: f64,
        /// Series Instance UID.
        uid: String,
    },
    /// The stacking direction is too far from the slices' normal.
    #[error("the slices are stacked {tilt_deg:.0} degrees off their normal, by {attribute}; 45 are allowed (series {uid})", attribute = Attribute::IMAGE_POSITION_PATIENT)]
    Tilt {
        /// Angle between stacking direction and normal, degrees.
        tilt_deg: f64,
        /// Series Instance UID.
        uid: String,
    },
    /// The series is larger than allowed.
    #[error(
        "{voxels} voxels, the limit is {limit}; raise input.max_voxels if there is memory (series {uid})"
    )]
    TooManyVoxels {
        /// Slices × rows × columns.
        voxels: u64,
        /// The limit.
        limit: u64,
        /// Series Instance UID.
        uid: String,
    },
    /// The machine has not enough memory for the series.
    #[error("no memory for {bytes} bytes of samples; close other programs (series {uid})")]
    OutOfMemory {
        /// Bytes asked for.
        bytes: u64,
        /// Series Instance UID.
        uid: String,
    },
    /// Pixel data shorter or longer than rows, columns and bits say.
    #[error("{attribute} holds {found_bytes} bytes, {needed_bytes} are declared; copy the file again (object {uid})", attribute = Attribute::PIXEL_DATA)]
    PixelDataLength {
        /// Bytes found.
        found_bytes: u64,
        /// Bytes that rows, columns and Bits Allocated ask for.
        needed_bytes: u64,
        /// SOP Instance UID.
        uid: String,
    },
    /// The compressed image is not the one that the header describes.
    #[error("the compressed image in {attribute} has {found}, the header says {needed}; copy the file again or ask its maker (object {uid})", attribute = Attribute::PIXEL_DATA)]
    Codestream {
        /// What the codestream declares.
        found: String,
        /// What the attributes declare.
        needed: String,
        /// SOP Instance UID.
        uid: String,
    },
    /// The compressed image cannot be decoded.
    #[error("{attribute} cannot be decoded, transfer syntax {transfer_syntax_uid}; send it uncompressed (object {uid})", attribute = Attribute::PIXEL_DATA)]
    Decode {
        /// Transfer Syntax UID.
        transfer_syntax_uid: String,
        /// SOP Instance UID.
        uid: String,
    },
    /// The file holds another object than when it was read first.
    #[error("the file was changed while this program ran; run it again (object {uid})")]
    FileChanged {
        /// SOP Instance UID that it had.
        uid: String,
    },
    /// A parser or decoder met damage that it did not foresee.
    #[error("damaged beyond what the decoder foresees; send the object again (object {uid})")]
    DecoderPanicked {
        /// SOP Instance UID, or `unknown`.
        uid: String,
    },
    /// Somebody asked to stop.
    #[error("stopped on request")]
    Cancelled,
}

impl Error {
    /// Whose fault it is.
    pub fn class(&self) -> Class {
        match self {
            Self::Io { .. }
            | Self::OutOfMemory { .. }
            | Self::FileChanged { .. }
            | Self::Cancelled => Class::Environment,
            Self::Dicomdir
            | Self::TransferSyntax { .. }
            | Self::Unsupported { .. }
            | Self::SopClass { .. }
            | Self::ForeignModality { .. }
            | Self::SinglePhoton { .. }
            | Self::Localizer { .. }
            | Self::SecondaryCapture { .. }
            | Self::Derived { .. }
            | Self::NotHounsfield { .. }
            | Self::TooFewSlices { .. }
            | Self::SamePosition { .. }
            | Self::Gap { .. }
            | Self::NotInLine { .. }
            | Self::Mixed { .. }
            | Self::Tilt { .. } => Class::Unsupported,
            Self::HeaderTooLarge { .. }
            | Self::TooManyVoxels { .. }
            | Self::TooManyFrames { .. } => Class::Limits,
            Self::Empty
            | Self::NotDicom
            | Self::Truncated { .. }
            | Self::Malformed { .. }
            | Self::Missing { .. }
            | Self::BadValue { .. }
            | Self::ConflictingDuplicates { .. }
            | Self::SeveralPatients { .. }
            | Self::ConcatenationIncomplete { .. }
            | Self::FrameFragments { .. }
            | Self::PixelDataLength { .. }
            | Self::Codestream { .. }
            | Self::Decode { .. }
            | Self::DecoderPanicked { .. } => Class::Input,
        }
    }

    /// A stable kebab-case code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Io { .. } => "io",
            Self::Empty => "empty-file",
            Self::NotDicom => "not-dicom",
            Self::Dicomdir => "dicomdir",
            Self::Truncated { .. } => "truncated",
            Self::Malformed { .. } => "malformed",
            Self::HeaderTooLarge { .. } => "header-too-large",
            Self::TransferSyntax { .. } => "transfer-syntax",
            Self::Missing { .. } => "missing-attribute",
            Self::BadValue { .. } => "bad-value",
            Self::Unsupported { .. } => "unsupported-value",
            Self::SopClass { .. } => "sop-class",
            Self::ForeignModality { .. } => "foreign-modality",
            Self::SinglePhoton { .. } => "single-photon",
            Self::TooManyFrames { .. } => "too-many-frames",
            Self::FrameFragments { .. } => "frame-fragments",
            Self::ConcatenationIncomplete { .. } => "concatenation-incomplete",
            Self::Localizer { .. } => "localizer",
            Self::SecondaryCapture { .. } => "secondary-capture",
            Self::Derived { .. } => "derived",
            Self::NotHounsfield { .. } => "not-hounsfield",
            Self::TooFewSlices { .. } => "too-few-slices",
            Self::Mixed { .. } => "mixed-slices",
            Self::ConflictingDuplicates { .. } => "conflicting-duplicates",
            Self::SeveralPatients { .. } => "several-patients",
            Self::SamePosition { .. } => "same-position",
            Self::Gap { .. } => "gap-too-wide",
            Self::NotInLine { .. } => "slices-not-in-line",
            Self::Tilt { .. } => "tilt",
            Self::TooManyVoxels { .. } => "too-many-voxels",
            Self::OutOfMemory { .. } => "out-of-memory",
            Self::PixelDataLength { .. } => "pixel-data-length",
            Self::Codestream { .. } => "codestream",
            Self::Decode { .. } => "decode",
            Self::FileChanged { .. } => "file-changed",
            Self::DecoderPanicked { .. } => "decoder-panicked",
            Self::Cancelled => "cancelled",
        }
    }
}
