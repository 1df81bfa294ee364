//! A peer that does as it is told, on dicom-ul's server and what dicom-object encodes.

use super::tests::at;
use crate::config::PeerConfig;
use dicom_core::{DataElement, PrimitiveValue, Tag, VR};
use dicom_dictionary_std::tags;
use dicom_object::InMemDicomObject;
use dicom_transfer_syntax_registry::entries::IMPLICIT_VR_LITTLE_ENDIAN;
use dicom_ul::ServerAssociationOptions;
use dicom_ul::association::ServerAssociation;
use dicom_ul::pdu::{PDataValue, PDataValueType, Pdu, PresentationContextResultReason};
use std::net::{TcpListener, TcpStream};
use std::thread;

pub(super) type Server = ServerAssociation<TcpStream>;

/// A peer that takes one association and does as it is told.
pub(super) fn scripted(
    class: &'static str,
    syntax: &'static str,
    script: impl FnOnce(&mut Server) + Send + 'static,
) -> PeerConfig {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        let options = ServerAssociationOptions::new().accept_any();
        let options = options
            .with_abstract_syntax(class)
            .with_transfer_syntax(syntax);
        let mut server = options.establish(listener.accept().unwrap().0).unwrap();
        script(&mut server);
        if let Ok(Pdu::ReleaseRQ) = server.receive() {
            server.send(&Pdu::ReleaseRP).unwrap();
        }
    });
    at(address)
}

/// The next command and its data set, each whole.
pub(super) fn received(server: &mut Server, with_data_set: bool) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut wholes = 0;
    while wholes < 1 + u8::from(with_data_set) {
        let Pdu::PData { data } = server.receive().unwrap() else {
            panic!("no data");
        };
        for value in data {
            if value.value_type == PDataValueType::Data {
                bytes.extend(value.data);
            }
            wholes += u8::from(value.is_last);
        }
    }
    bytes
}

fn say(server: &mut Server, value_type: PDataValueType, object: &InMemDicomObject) {
    let mut data = Vec::new();
    let syntax = IMPLICIT_VR_LITTLE_ENDIAN.erased();
    object.write_dataset_with_ts(&mut data, &syntax).unwrap();
    let mut contexts = server.presentation_contexts().iter();
    let accepted = contexts.find(|c| c.reason == PresentationContextResultReason::Acceptance);
    let value = PDataValue {
        presentation_context_id: accepted.unwrap().id,
        value_type,
        is_last: true,
        data,
    };
    server.send(&Pdu::PData { data: vec![value] }).unwrap();
}

pub(super) fn us(tag: Tag, value: u16) -> DataElement<InMemDicomObject> {
    DataElement::new(tag, VR::US, PrimitiveValue::from(value))
}

pub(super) fn text(tag: Tag, vr: VR, value: &str) -> DataElement<InMemDicomObject> {
    DataElement::new(tag, vr, PrimitiveValue::from(value))
}

/// A command with further elements and, where there is one, a data set.
pub(super) fn tell(
    server: &mut Server,
    elements: &[DataElement<InMemDicomObject>],
    data_set: Option<InMemDicomObject>,
) {
    let kind = if data_set.is_some() { 0 } else { 0x0101 };
    let all = elements
        .iter()
        .cloned()
        .chain([us(tags::COMMAND_DATA_SET_TYPE, kind)]);
    let command = InMemDicomObject::command_from_element_iter(all);
    say(server, PDataValueType::Command, &command);
    if let Some(object) = data_set {
        say(server, PDataValueType::Data, &object);
    }
}

pub(super) fn respond(
    server: &mut Server,
    field: u16,
    status: u16,
    data_set: Option<InMemDicomObject>,
) {
    let elements = [
        us(tags::COMMAND_FIELD, field),
        us(tags::MESSAGE_ID_BEING_RESPONDED_TO, 1),
        us(tags::STATUS, status),
    ];
    tell(server, &elements, data_set);
}
