//! Private elements, by the mark of their owner.
//!
//! In: a data set. Out: where an element lies, and its text. Source: PS3.5 7.8.1 (Private Data Elements).

use crate::suv::Maker;
use dicom_core::{PrimitiveValue, Tag};
use dicom_object::InMemDicomObject;

/// A private element: its creator, group, the last two digits of its number, and whose scanners write it.
pub(super) struct Private {
    pub(super) creator: &'static str,
    pub(super) group: u16,
    pub(super) element: u16,
    pub(super) maker: Maker,
}

impl Private {
    /// Where the element is, and whether its creator says that it is the one.
    ///
    /// Programs that convert and de-identify drop creators; then it stands in the first block, and the maker must be right.
    pub(super) fn find(&self, object: &InMemDicomObject, maker: Maker) -> Option<(Tag, bool)> {
        let creator = |block: u16| {
            let creator = text(object, Tag(self.group, block))?;
            Some((block, creator))
        };
        let mut creators = (0x10..=0xff).filter_map(creator).peekable();
        let none = creators.peek().is_none();
        let own = creators.find(|(_, creator)| creator == self.creator);
        let at = |block: u16| Tag(self.group, block << 8 | self.element);
        match own {
            Some((block, _)) => Some((at(block), true)),
            None if none && maker == self.maker => Some((at(0x10), false)),
            None => None,
        }
    }
}

/// Text of a private element, which converters make UN (PS3.5 6.2.2).
pub(super) fn text(object: &InMemDicomObject, tag: Tag) -> Option<String> {
    /// A number or a date and time, padded.
    const MAX_BYTES: usize = 64;
    let value = object.get(tag)?.value().primitive()?;
    if value.calculate_byte_len() > MAX_BYTES {
        return None;
    }
    let text = match value {
        PrimitiveValue::U8(bytes) => String::from_utf8_lossy(bytes),
        _ => value.to_str(),
    };
    let text = text.trim_matches(|c: char| c.is_whitespace() || c == '\0');
    (!text.is_empty()).then(|| text.to_owned())
}
