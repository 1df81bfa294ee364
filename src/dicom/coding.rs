//! How elements are encoded.
//!
//! Byte order, and what each VR says of the length and the value behind it.

use dicom_core::dictionary::{DataDictionary, DataDictionaryEntry};
use dicom_core::{Tag, VR};
use dicom_dictionary_std::StandardDataDictionary;

/// How elements are written (PS3.5 7.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Coding {
    pub(crate) explicit: bool,
    pub(crate) big_endian: bool,
}

impl Coding {
    pub(crate) const EXPLICIT_LITTLE: Self = Self {
        explicit: true,
        big_endian: false,
    };
    /// Also that of values of VR UN and undefined length (PS3.5 6.2.2).
    pub(crate) const IMPLICIT_LITTLE: Self = Self {
        explicit: false,
        big_endian: false,
    };

    pub(super) fn u16(self, bytes: [u8; 2]) -> u16 {
        match self.big_endian {
            true => u16::from_be_bytes(bytes),
            false => u16::from_le_bytes(bytes),
        }
    }

    pub(super) fn u32(self, bytes: [u8; 4]) -> u32 {
        match self.big_endian {
            true => u32::from_be_bytes(bytes),
            false => u32::from_le_bytes(bytes),
        }
    }
}

/// VRs with a length of four bytes (PS3.5 table 7.1-1).
pub(super) fn has_long_length(vr: VR) -> bool {
    use VR::{OB, OD, OF, OL, OV, OW, SQ, SV, UC, UN, UR, UT, UV};
    matches!(
        vr,
        OB | OD | OF | OL | OV | OW | SQ | SV | UC | UN | UR | UT | UV
    )
}

/// The VR that the dictionary has, as the object's parser takes it.
pub(super) fn implicit_vr(tag: Tag) -> VR {
    let entry = StandardDataDictionary.by_tag(tag);
    entry.map_or(VR::UN, |entry| entry.vr().relaxed())
}

/// Bytes of one number of a binary VR, 1 for text (PS3.5 6.2).
pub(super) fn unit_bytes(vr: VR) -> u32 {
    match vr {
        VR::US | VR::SS | VR::OW => 2,
        VR::AT | VR::FL | VR::OF | VR::OL | VR::SL | VR::UL => 4,
        VR::FD | VR::OD | VR::OV | VR::SV | VR::UV => 8,
        _ => 1,
    }
}

/// Whether backslashes part the texts of this VR (PS3.5 6.2).
pub(super) fn is_split(vr: VR) -> bool {
    use VR::{AE, AS, CS, DA, DS, DT, IS, LO, PN, SH, TM, UC, UI};
    matches!(
        vr,
        AE | AS | CS | DA | DS | DT | IS | LO | PN | SH | TM | UC | UI
    )
}
