//! What a file says that it is, from its first bytes: so much is known of an object before it is read.

use crate::uid;

/// So many first bytes of a file are enough.
pub(super) const HEAD_BYTES: usize = 4 << 10;

/// Where the File Meta Information starts: after preamble and mark (PS3.10 7.1).
const META_START: usize = 132;

/// SOP Class and Instance UID of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Identity {
    /// Media Storage SOP Class UID (0002,0002).
    pub(super) sop_class_uid: String,
    /// Media Storage SOP Instance UID (0002,0003).
    pub(super) sop_instance_uid: String,
}

/// What stands before the data set of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FileHead {
    /// Of the object.
    pub(super) identity: Identity,
    /// Transfer Syntax UID (0002,0010).
    pub(super) transfer_syntax_uid: String,
    /// Where the data set starts.
    pub(super) data_at: usize,
}

impl FileHead {
    /// File Meta Information is never longer.
    pub(super) const MAX_BYTES: usize = 64 << 10;

    /// Reads the File Meta Information; none where `head` does not hold all of it.
    pub(super) fn of(head: &[u8]) -> Option<Self> {
        let mut meta = head.get(META_START..)?;
        let before = meta.len();
        let (0x0000, length) = next_element(&mut meta)? else {
            return None;
        };
        let length = usize::try_from(u32::from_le_bytes(length.try_into().ok()?)).ok()?;
        let data_at = (META_START + before - meta.len()).checked_add(length)?;
        let mut group = meta.get(..length)?;
        let mut syntax = None;
        while let Some((element, value)) = next_element(&mut group) {
            if element == 0x0010 {
                syntax = valid_uid(value);
            }
        }
        Some(Self {
            identity: Identity::of(&head[..data_at])?,
            transfer_syntax_uid: syntax?,
            data_at,
        })
    }
}

impl Identity {
    /// Reads the File Meta Information, which is always explicit little endian (PS3.10 7.1); none where `head` has no
    /// valid UIDs there.
    pub(super) fn of(head: &[u8]) -> Option<Self> {
        let mut meta = head.get(META_START..)?;
        if &head[META_START - 4..META_START] != b"DICM" {
            return None;
        }
        let (mut class, mut instance) = (None, None);
        while let (Some((element, value)), true) = (
            next_element(&mut meta),
            instance.is_none() || class.is_none(),
        ) {
            match element {
                0x0002 => class = valid_uid(value),
                0x0003 => instance = valid_uid(value),
                _ => {}
            }
        }
        Some(Self {
            sop_class_uid: class?,
            sop_instance_uid: instance?,
        })
    }
}

/// Element number and value of the next element of group 0002.
fn next_element<'a>(meta: &mut &'a [u8]) -> Option<(u16, &'a [u8])> {
    let [2, 0, low, high, vr_0, vr_1, length_0, length_1] = *meta.first_chunk::<8>()? else {
        return None;
    };
    let is_long = matches!(
        &[vr_0, vr_1],
        b"OB" | b"OW" | b"UN" | b"UT" | b"SQ" | b"OF" | b"OD" | b"OL" | b"UC" | b"UR"
    );
    let (start, length) = if is_long {
        let length = meta.get(8..)?.first_chunk::<4>()?;
        (12, u32::from_le_bytes(*length))
    } else {
        (8, u16::from_le_bytes([length_0, length_1]).into())
    };
    let end = usize::try_from(length).ok()?.checked_add(start)?;
    let value = meta.get(start..end)?;
    *meta = &meta[end..];
    Some((u16::from_le_bytes([low, high]), value))
}

fn valid_uid(value: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(value).ok()?;
    let text = text.trim_end_matches(['\0', ' ']);
    uid::is_valid(text).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::testing::part_10;
    use proptest::prelude::{any, proptest};

    #[test]
    fn the_uids_of_the_file_meta_information_are_read() {
        let file = part_10("1.2.840.10008.5.1.4.1.1.2", "1.2.3.4", b"");
        let identity = Identity::of(&file).expect("identity");
        assert_eq!(identity.sop_class_uid, "1.2.840.10008.5.1.4.1.1.2");
        assert_eq!(identity.sop_instance_uid, "1.2.3.4");
    }

    #[test]
    fn what_is_cut_off_marked_otherwise_or_no_uid_is_none() {
        let file = part_10("1.2.840.10008.5.1.4.1.1.2", "1.2.3.4", b"");
        let meta_end = file.len() - 28 - 14;
        for end in 0..meta_end {
            assert_eq!(Identity::of(&file[..end]), None, "{end}");
        }
        let mut unmarked = file.clone();
        unmarked[128] = b'X';
        assert_eq!(Identity::of(&unmarked), None);
        assert_eq!(Identity::of(&part_10("1.2.3", "../../etc", b"")), None);
    }

    #[test]
    fn the_data_set_starts_behind_the_whole_file_meta_information() {
        let file = part_10("1.2.840.10008.5.1.4.1.1.2", "1.2.3.4", b"DATA");
        let head = FileHead::of(&file).expect("a head");
        assert_eq!(&file[head.data_at..], b"DATA");
        assert_eq!(head.transfer_syntax_uid, "1.2.840.10008.1.2.1");
        for end in 0..head.data_at {
            assert_eq!(FileHead::of(&file[..end]), None, "{end}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(noise in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut file = part_10("1.2.3", "1.2.4", b"");
            file.truncate(META_START);
            file.extend(noise);
            Identity::of(&file);
            FileHead::of(&file);
        }
    }
}
