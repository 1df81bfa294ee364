//! Where the elements of a DICOM file lie: a scanner for mutations, which must not share the reader's code or its defects.

/// One element: its header starts at `start`, its value spans `value..end`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Element {
    /// First byte of the tag.
    pub(crate) start: usize,
    /// First byte of the value.
    pub(crate) value: usize,
    /// One past the value; the value's start where the length is undefined.
    pub(crate) end: usize,
    /// Pixel Data or one of its items.
    pub(crate) of_pixel_data: bool,
    /// Bytes of the length field, which ends where the value starts.
    width: usize,
    big_endian: bool,
}

impl Element {
    /// Writes a length field, whatever the value is.
    pub(crate) fn set_length(&self, data: &mut [u8], length: u64) {
        let low = &length.to_le_bytes()[..self.width];
        let field = &mut data[self.value - self.width..self.value];
        field.copy_from_slice(low);
        if self.big_endian {
            field.reverse();
        }
    }

    /// Replaces the value and mends its length, padded to even.
    pub(crate) fn set_value(&self, data: &mut Vec<u8>, value: &[u8]) {
        let mut value = value.to_vec();
        if value.len() % 2 == 1 {
            value.push(b' ');
        }
        self.set_length(data, value.len() as u64);
        data.splice(self.value..self.end, value);
    }
}

const UNDEFINED: u32 = u32::MAX;
const META: [u8; 8] = *b"\x02\0\0\0UL\x04\0";

fn mark(data: &[u8]) -> Option<usize> {
    [128, 0]
        .into_iter()
        .find(|at| data.get(*at..at + 4) == Some(b"DICM"))
}

/// The elements of a file as far as they can be told, items among them, in their order.
pub(crate) fn scan(data: &[u8]) -> Vec<Element> {
    let Some(mark) = mark(data) else {
        return Vec::new();
    };
    let mut found = Vec::new();
    let mut at = mark + 4;
    let mut within_pixel_data = false;
    while let Some(header) = data.get(at..at + 8) {
        let big_endian = header[0] == 0 && header[1] != 0;
        let tag = [header[0], header[1], header[2], header[3]];
        within_pixel_data |= [[0xe0, 0x7f, 0x10, 0], [0x7f, 0xe0, 0, 0x10]].contains(&tag);
        let Some((width, value)) = layout(header, at, big_endian) else {
            break;
        };
        let Some(field) = data.get(value - width..value) else {
            break;
        };
        let mut bytes = [0; 4];
        bytes[..width].copy_from_slice(field);
        if big_endian {
            bytes[..width].reverse();
        }
        let length = u32::from_le_bytes(bytes);
        let nested = length == UNDEFINED || (is_item(tag) && !within_pixel_data);
        let end = value + if nested { 0 } else { length as usize };
        if end > data.len() {
            break;
        }
        found.push(Element {
            start: at,
            value,
            end,
            of_pixel_data: within_pixel_data,
            width,
            big_endian,
        });
        at = end;
    }
    found
}

fn is_item(tag: [u8; 4]) -> bool {
    tag[..2] == [0xfe, 0xff] || tag[..2] == [0xff, 0xfe]
}

/// Width of the length field, and where the value starts.
fn layout(header: &[u8], at: usize, big_endian: bool) -> Option<(usize, usize)> {
    let explicit = header[4].is_ascii_uppercase() && header[5].is_ascii_uppercase();
    let item = is_item([header[0], header[1], 0, 0]) || big_endian && header[0] == 0xff;
    let long = [
        b"OB", b"OW", b"SQ", b"UN", b"UT", b"OF", b"OD", b"OL", b"UC", b"UR",
    ];
    match explicit && !item {
        false => Some((4, at + 8)),
        true if long.iter().any(|vr| header[4..6] == **vr) => Some((4, at + 12)),
        true => Some((2, at + 8)),
    }
}

/// Makes the length of the File Meta Information right again where elements still tell it.
pub(crate) fn mend_group_length(data: &mut [u8]) {
    let Some(start) = mark(data).map(|at| at + 4) else {
        return;
    };
    if data.get(start..start + 8) != Some(&META) {
        return;
    }
    let of_meta = |e: &&Element| data[e.start..e.start + 2] == [2, 0];
    let end = scan(data).iter().take_while(of_meta).last().map(|e| e.end);
    if let (Some(end), Some(field)) = (end, data.get_mut(start + 8..start + 12)) {
        let length = u32::try_from(end.saturating_sub(start + 12)).unwrap_or(0);
        field.copy_from_slice(&length.to_le_bytes());
    }
}
