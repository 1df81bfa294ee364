//! Elements of an audit message, as the schema of PS3.15 A.5.1 has them.

use quick_xml::Writer;
use quick_xml::events::BytesText;
use std::io;

/// A coded value: value, scheme, meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Code(
    pub(super) &'static str,
    pub(super) &'static str,
    pub(super) &'static str,
);

/// What is written into.
pub(super) type Xml = Writer<Vec<u8>>;

impl Code {
    /// The attributes of a coded element.
    fn attributes(self) -> [(&'static str, String); 3] {
        let Self(value, scheme, meaning) = self;
        [
            ("csd-code", value.into()),
            ("codeSystemName", scheme.into()),
            ("originalText", meaning.into()),
        ]
    }

    pub(super) fn write(self, xml: &mut Xml, element: &str) -> io::Result<()> {
        empty(xml, element, &self.attributes())
    }
}

/// An element with attributes alone.
pub(super) fn empty(xml: &mut Xml, element: &str, attributes: &[(&str, String)]) -> io::Result<()> {
    let pairs = attributes
        .iter()
        .map(|(name, value)| (*name, value.as_str()));
    xml.create_element(element)
        .with_attributes(pairs)
        .write_empty()?;
    Ok(())
}

/// An element with attributes and whatever `content` writes.
pub(super) fn element(
    xml: &mut Xml,
    element: &str,
    attributes: &[(&str, String)],
    content: impl FnOnce(&mut Xml) -> io::Result<()>,
) -> io::Result<()> {
    let pairs = attributes
        .iter()
        .map(|(name, value)| (*name, value.as_str()));
    let element = xml.create_element(element).with_attributes(pairs);
    element.write_inner_content(content)?;
    Ok(())
}

/// An element with text alone.
pub(super) fn text(xml: &mut Xml, element: &str, text: &str) -> io::Result<()> {
    let element = xml.create_element(element);
    element.write_text_content(BytesText::new(&clean(text)))?;
    Ok(())
}

/// Text without the characters that XML does not have, in one line: a peer chooses its AE title.
pub(super) fn clean(text: &str) -> String {
    let shown = |c: char| match c {
        '\t' | '\n' | '\r' => ' ',
        c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => '\u{fffd}',
        c => c,
    };
    text.chars().map(shown).collect()
}

/// Base 64 (RFC 4648 section 4), as `xsd:base64Binary` has it.
pub(super) fn base64(bytes: &[u8]) -> String {
    bytes.chunks(3).flat_map(quad).collect()
}

/// The four characters of up to three bytes.
fn quad(bytes: &[u8]) -> [char; 4] {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let byte = |i: usize| usize::from(bytes.get(i).copied().unwrap_or(0));
    let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
    [0, 1, 2, 3].map(|i| match i {
        _ if i > bytes.len() => '=',
        _ => char::from(DIGITS[bits >> (18 - 6 * i) & 63]),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_that_of_rfc_4648() {
        let examples = [
            "", "Zg==", "Zm8=", "Zm9v", "Zm9vYg==", "Zm9vYmE=", "Zm9vYmFy",
        ];
        for (length, expected) in examples.iter().enumerate() {
            assert_eq!(base64(&b"foobar"[..length]), *expected);
        }
        assert_eq!(base64(&[0xfb, 0xff]), "+/8=");
    }

    #[test]
    fn characters_that_xml_does_not_have_are_replaced() {
        assert_eq!(
            clean("A\u{0}B\u{1b}C\nD\u{fffe}"),
            "A\u{fffd}B\u{fffd}C D\u{fffd}"
        );
    }
}
