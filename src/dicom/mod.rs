//! Bytes to series: the only reader of DICOM.
//!
//! In: files and folders. Out: studies of ordered series with checked geometry, and stored pixel values on request.
//! Refused, by code: what is not DICOM, lacks required attributes or contradicts itself.

mod attribute;
mod codec;
mod codestream;
mod coding;
mod companion;
mod duplicates;
mod enhanced_pet;
mod error;
mod file;
mod frames;
mod functional;
mod grid;
mod header;
mod image;
mod instance;
mod jpeg;
mod jpeg_xl;
mod kind;
mod list;
mod meta;
mod pet;
mod pixel;
mod private;
mod read;
mod rle;
mod segmentation;
mod select;
mod series;
mod split;
mod stack;
mod structure_set;
mod subject;
mod summary;
mod whole;

#[cfg(test)]
mod codec_table;
#[cfg(test)]
mod damaged_pixels;
#[cfg(test)]
mod enhanced;
#[cfg(test)]
mod fixture;
#[cfg(test)]
mod hostile_input;
#[cfg(test)]
mod misplaced;
#[cfg(test)]
mod real_series;

pub use attribute::Attribute;
pub(crate) use codec::decodes;
pub use companion::{Companion, companion};
pub use error::Error;
pub(crate) use file::data_set;
pub use instance::Instance;
pub use read::{Inventory, LeftOut, Study, Unreadable, header, read_paths};
pub use segmentation::{Segment, Segmentation};
pub use select::{KernelPreference, PassedOver, Request, Selection, is_sharp_kernel, select};
pub use series::Series;
pub use stack::load;
pub use structure_set::{Roi, StructureSet};
pub use subject::{Subject, subject};
pub use summary::{ObjectSummary, summary};
pub use whole::{WholeObject, read_whole};
