//! What a peer says to the node: an association, an image, a commitment, its release.

use dicom_dictionary_std::uids;
use dicom_ul::pdu::{
    AssociationRQ, PDataValue, PDataValueType, Pdu, PresentationContextProposed, RequestorRoles,
    UserVariableItem, write_pdu,
};

const COMMITMENT: &str = uids::STORAGE_COMMITMENT_PUSH_MODEL;

/// Conversations that end in order.
pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let image = [8, 0, 0x60, 0, b'C', b'S', 2, 0, b'C', b'T'];
    let store = command(0x0001, uids::CT_IMAGE_STORAGE);
    let report = command(0x0100, COMMITMENT);
    let echo = command(0x0030, uids::VERIFICATION);
    let messages = [
        [
            value(1, PDataValueType::Command, &store),
            value(1, PDataValueType::Data, &image),
        ],
        [
            value(3, PDataValueType::Command, &report),
            value(3, PDataValueType::Data, &commitment()),
        ],
        [
            value(5, PDataValueType::Command, &echo),
            value(5, PDataValueType::Data, &[]),
        ],
    ];
    let whole = messages.concat();
    messages
        .iter()
        .map(Vec::from)
        .chain([whole])
        .map(conversation)
        .collect()
}

fn conversation(values: Vec<PDataValue>) -> Vec<u8> {
    let data = values
        .into_iter()
        .map(|value| Pdu::PData { data: vec![value] });
    let mut bytes = Vec::new();
    for pdu in [request()].into_iter().chain(data).chain([Pdu::ReleaseRQ]) {
        write_pdu(&mut bytes, &pdu).expect("a vector takes all");
    }
    bytes
}

fn request() -> Pdu {
    let context = |id, class: &str| PresentationContextProposed {
        id,
        abstract_syntax: class.into(),
        transfer_syntaxes: vec![
            uids::EXPLICIT_VR_LITTLE_ENDIAN.into(),
            uids::JPEGLS_LOSSLESS.into(),
        ],
    };
    let roles = RequestorRoles {
        scu: false,
        scp: true,
    };
    Pdu::AssociationRQ(AssociationRQ {
        protocol_version: 1,
        calling_ae_title: "SCANNER".into(),
        called_ae_title: "HILUM".into(),
        application_context_name: "1.2.840.10008.3.1.1.1".into(),
        presentation_contexts: vec![
            context(1, uids::CT_IMAGE_STORAGE),
            context(3, COMMITMENT),
            context(5, uids::VERIFICATION),
        ],
        user_variables: vec![
            UserVariableItem::MaxLength(16 << 10),
            UserVariableItem::ScuScpRoleSelectionSubItem(COMMITMENT.into(), roles),
        ],
    })
}

fn value(presentation_context_id: u8, value_type: PDataValueType, data: &[u8]) -> PDataValue {
    PDataValue {
        presentation_context_id,
        value_type,
        is_last: true,
        data: data.to_vec(),
    }
}

/// A command set with a data set behind it.
fn command(field: u16, class: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut put = |element: u16, value: &[u8]| {
        let length = value.len().next_multiple_of(2);
        bytes.extend([0, 0]);
        bytes.extend(element.to_le_bytes());
        bytes.extend((length as u32).to_le_bytes());
        bytes.extend(value);
        bytes.extend(&[0][..length - value.len()]);
    };
    put(0x0002, class.as_bytes());
    put(0x0100, &field.to_le_bytes());
    put(0x0110, &[1, 0]);
    put(0x0800, &[0, 0]);
    put(0x1000, b"1.2.3.4");
    put(0x1002, &[1, 0]);
    bytes
}

/// Transaction UID and one instance, explicit little endian.
fn commitment() -> Vec<u8> {
    let uid = |element: u16, uid: &[u8]| {
        [
            &[8, 0][..],
            &element.to_le_bytes(),
            b"UI",
            &[uid.len() as u8, 0],
            uid,
        ]
        .concat()
    };
    let item = [uid(0x1150, b"1.2.3\0"), uid(0x1155, b"1.2.34")].concat();
    let bytes = item.len() as u8;
    let sequence = [
        &[8, 0, 0x99, 0x11, b'S', b'Q', 0, 0, bytes + 8, 0, 0, 0][..],
        &[0xfe, 0xff, 0x00, 0xe0, bytes, 0, 0, 0],
        &item,
    ];
    [uid(0x1195, b"2.25.7"), sequence.concat()].concat()
}
