//! A peer that does as it is told, on dicom-ul's server and what dicom-object encodes.

use super::tests::at;
use crate::config::PeerConfig;
use dicom_core::{DataElement, PrimitiveValue, Tag, VR};
use dicom_dictionary_std::tags;
use dicom_encoding::TransferSyntaxIndex;
use dicom_object::InMemDicomObject;
use dicom_transfer_syntax_registry::TransferSyntaxRegistry;
use dicom_transfer_syntax_registry::entries::IMPLICIT_VR_LITTLE_ENDIAN;
use dicom_ul::ServerAssociationOptions;
use dicom_ul::association::ServerAssociation;
use dicom_ul::pdu::{PDataValue, PDataValueType, Pdu, PresentationContextResultReason};
use std::net::{TcpListener, TcpStream};
use std::thread;

pub(in crate::node) type Server = ServerAssociation<TcpStream>;

/// What a peer does on an association.
pub(in crate::node) type Script = Box<dyn FnOnce(&mut Server) + Send>;

/// A peer that takes one association and does as it is told.
pub(super) fn scripted(
    class: &'static str,
    syntax: &'static str,
    script: impl FnOnce(&mut Server) + Send + 'static,
) -> PeerConfig {
    scripted_often(vec![class], syntax, vec![Box::new(script)])
}

/// A peer that takes one association after the other, each of these classes, and does as it is told.
pub(in crate::node) fn scripted_often(
    classes: Vec<&'static str>,
    syntax: &'static str,
    scripts: Vec<Script>,
) -> PeerConfig {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for script in scripts {
            let mut options = ServerAssociationOptions::new()
                .accept_any()
                .with_transfer_syntax(syntax);
            for class in &classes {
                options = options.with_abstract_syntax(*class);
            }
            let (stream, _) = listener.accept().unwrap();
            stream.set_nodelay(true).unwrap();
            let mut server = options.establish(stream).unwrap();
            script(&mut server);
            if let Ok(Pdu::ReleaseRQ) = server.receive() {
                server.send(&Pdu::ReleaseRP).unwrap();
            }
        }
    });
    at(address)
}

/// The next command and its data set, each whole.
pub(in crate::node) fn received(server: &mut Server, with_data_set: bool) -> Vec<u8> {
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

/// Says something on the first context that was accepted, or on that of a class.
fn say(
    server: &mut Server,
    class: Option<&str>,
    value_type: PDataValueType,
    object: &InMemDicomObject,
) {
    let mut contexts = server.presentation_contexts().iter();
    let accepted = contexts.find(|context| {
        context.reason == PresentationContextResultReason::Acceptance
            && class.is_none_or(|class| context.abstract_syntax == class)
    });
    let accepted = accepted.unwrap().clone();
    let mut data = Vec::new();
    // Commands are always implicit (PS3.7 6.3.1).
    let uid = match value_type {
        PDataValueType::Command => IMPLICIT_VR_LITTLE_ENDIAN.uid(),
        PDataValueType::Data => &accepted.transfer_syntax,
    };
    let syntax = TransferSyntaxRegistry.get(uid).unwrap();
    object.write_dataset_with_ts(&mut data, syntax).unwrap();
    let value = PDataValue {
        presentation_context_id: accepted.id,
        value_type,
        is_last: true,
        data,
    };
    server.send(&Pdu::PData { data: vec![value] }).unwrap();
}

pub(in crate::node) fn us(tag: Tag, value: u16) -> DataElement<InMemDicomObject> {
    DataElement::new(tag, VR::US, PrimitiveValue::from(value))
}

pub(in crate::node) fn text(tag: Tag, vr: VR, value: &str) -> DataElement<InMemDicomObject> {
    DataElement::new(tag, vr, PrimitiveValue::from(value))
}

/// A command with further elements and, where there is one, a data set.
pub(in crate::node) fn tell(
    server: &mut Server,
    elements: &[DataElement<InMemDicomObject>],
    data_set: Option<InMemDicomObject>,
) {
    tell_on(server, None, elements, data_set);
}

/// The same on the context of a class.
pub(in crate::node) fn tell_on(
    server: &mut Server,
    class: Option<&str>,
    elements: &[DataElement<InMemDicomObject>],
    data_set: Option<InMemDicomObject>,
) {
    let kind = if data_set.is_some() { 0 } else { 0x0101 };
    let all = elements
        .iter()
        .cloned()
        .chain([us(tags::COMMAND_DATA_SET_TYPE, kind)]);
    let command = InMemDicomObject::command_from_element_iter(all);
    say(server, class, PDataValueType::Command, &command);
    if let Some(object) = data_set {
        say(server, class, PDataValueType::Data, &object);
    }
}

pub(in crate::node) fn respond(
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
