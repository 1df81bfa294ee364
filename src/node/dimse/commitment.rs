//! Storage Commitment, Push Model (PS3.4 J): what is asked, and what is answered.

use super::{Error, InstanceRef, MAX_DATA_SET_BYTES};
use crate::dicom;
use crate::uid;
use dicom_core::value::{DataSetSequence, PrimitiveValue};
use dicom_core::{DataElement, Tag, VR};
use dicom_dictionary_std::tags;
use dicom_encoding::TransferSyntaxIndex;
use dicom_object::InMemDicomObject;
use dicom_transfer_syntax_registry::TransferSyntaxRegistry;

/// Name of the operation that brings the answer.
const REPORT: &str = "N-EVENT-REPORT";

/// What memory the elements of an answer take at most, in multiples of its bytes.
const PARSED_FACTOR: usize = 8;

/// What a peer says of instances that it was asked to keep.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commitment {
    /// Transaction UID (0008,1195) of the request.
    pub transaction_uid: String,
    /// What it keeps.
    pub committed: Vec<InstanceRef>,
    /// What it does not keep.
    pub failed: Vec<FailedInstance>,
}

/// An instance that a peer does not keep.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailedInstance {
    /// Which.
    pub instance: InstanceRef,
    /// Failure Reason (0008,1197), PS3.3 C.14.1.1.
    pub reason: u16,
}

/// The data set of an N-ACTION request.
pub(crate) fn request_data_set(
    transaction_uid: &str,
    instances: &[InstanceRef],
    transfer_syntax: &str,
) -> Result<Vec<u8>, Error> {
    let items: Vec<_> = instances.iter().map(reference).collect();
    let object = InMemDicomObject::from_element_iter([
        uid_element(tags::TRANSACTION_UID, transaction_uid),
        DataElement::new(
            tags::REFERENCED_SOP_SEQUENCE,
            VR::SQ,
            DataSetSequence::from(items),
        ),
    ]);
    encoded(&object, transfer_syntax, "N-ACTION")
}

/// A data set as it goes over the network.
pub(crate) fn encoded(
    object: &InMemDicomObject,
    transfer_syntax: &str,
    operation: &'static str,
) -> Result<Vec<u8>, Error> {
    let problem = |problem| Error::MalformedDataSet { operation, problem };
    let syntax = TransferSyntaxRegistry.get(transfer_syntax);
    let syntax = syntax.ok_or(problem("in an unknown transfer syntax"))?;
    let mut bytes = Vec::new();
    let written = object.write_dataset_with_ts(&mut bytes, syntax);
    written.map_err(|_| problem("not encodable"))?;
    Ok(bytes)
}

/// What the data set of an N-EVENT-REPORT request says.
pub(crate) fn result_of(bytes: &[u8], transfer_syntax: &str) -> Result<Commitment, Error> {
    let object = dicom::data_set(bytes, transfer_syntax, PARSED_FACTOR * MAX_DATA_SET_BYTES);
    let object = object.map_err(|_| problem("malformed"))?;
    let failed = items(&object, tags::FAILED_SOP_SEQUENCE).map(|item| {
        let reason = item.get(tags::FAILURE_REASON);
        let reason = reason.and_then(|element| element.to_int::<u16>().ok());
        instance_of(item).and_then(|instance| {
            let reason = reason.ok_or(problem("without Failure Reason (0008,1197)"))?;
            Ok(FailedInstance { instance, reason })
        })
    });
    let committed = items(&object, tags::REFERENCED_SOP_SEQUENCE).map(instance_of);
    Ok(Commitment {
        transaction_uid: uid_of(&object, tags::TRANSACTION_UID)
            .ok_or(problem("without Transaction UID (0008,1195)"))?,
        committed: committed.collect::<Result<_, Error>>()?,
        failed: failed.collect::<Result<_, Error>>()?,
    })
}

fn problem(problem: &'static str) -> Error {
    Error::MalformedDataSet {
        operation: REPORT,
        problem,
    }
}

fn reference(instance: &InstanceRef) -> InMemDicomObject {
    InMemDicomObject::from_element_iter([
        uid_element(tags::REFERENCED_SOP_CLASS_UID, &instance.sop_class_uid),
        uid_element(
            tags::REFERENCED_SOP_INSTANCE_UID,
            &instance.sop_instance_uid,
        ),
    ])
}

fn uid_element(tag: Tag, uid: &str) -> DataElement<InMemDicomObject> {
    DataElement::new(tag, VR::UI, PrimitiveValue::from(uid))
}

fn items(object: &InMemDicomObject, tag: Tag) -> impl Iterator<Item = &InMemDicomObject> {
    let items = object.get(tag).and_then(|element| element.items());
    items.unwrap_or_default().iter()
}

fn instance_of(item: &InMemDicomObject) -> Result<InstanceRef, Error> {
    let uid = |tag| uid_of(item, tag).ok_or(problem("without the UIDs of an instance"));
    Ok(InstanceRef {
        sop_class_uid: uid(tags::REFERENCED_SOP_CLASS_UID)?,
        sop_instance_uid: uid(tags::REFERENCED_SOP_INSTANCE_UID)?,
    })
}

fn uid_of(object: &InMemDicomObject, tag: Tag) -> Option<String> {
    let text = object.get(tag)?.to_str().ok()?;
    let text = text.trim_matches(['\0', ' ']);
    uid::is_valid(text).then(|| text.to_owned())
}
