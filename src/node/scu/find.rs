//! C-FIND: how many instances a study has, as far as the peer knows (PS3.4 C.4.1, C.6.2).

use super::{Scu, blocking, context_of, ended, service};
use crate::config::PeerConfig;
use crate::dicom;
use crate::node::dimse::{
    Association, Command, Error, MAX_DATA_SET_BYTES, Message, encoded, field, status,
};
use dicom_core::{DataElement, PrimitiveValue, VR};
use dicom_dictionary_std::{tags, uids};
use dicom_object::InMemDicomObject;

/// Study Root Query/Retrieve Information Model - FIND.
const MODEL: &str = uids::STUDY_ROOT_QUERY_RETRIEVE_INFORMATION_MODEL_FIND;

/// Most answers that are read: one UID has one study.
const MAX_ANSWERS: usize = 64;

/// Status of an answer that is not the last (PS3.4 C.4.1.1.4).
const PENDING: [u16; 2] = [0xff00, 0xff01];

impl Scu {
    /// Number of Study Related Instances (0020,1208) of a study; none where the peer does not know the study, or not that.
    ///
    /// # Errors
    /// Any [`Error`].
    pub fn count(&self, peer: &PeerConfig, study_uid: &str) -> Result<Option<u32>, Error> {
        blocking(async {
            let mut association = self.connect(peer, vec![service(MODEL)]).await?;
            let found = find(&mut association, study_uid).await;
            ended(association, found).await
        })
    }
}

async fn find(association: &mut Association, study_uid: &str) -> Result<Option<u32>, Error> {
    let (context_id, transfer_syntax) = context_of(association, MODEL)?;
    let request = Message {
        id: 1,
        has_data_set: true,
        command: Command::Find {
            sop_class_uid: MODEL.into(),
        },
    };
    let identifier = encoded(&identifier(study_uid), &transfer_syntax, "C-FIND")?;
    association
        .send(context_id, &request, Some(&identifier))
        .await?;
    answers(association, &transfer_syntax, study_uid).await
}

/// What the answers say, up to the last.
async fn answers(
    association: &mut Association,
    transfer_syntax: &str,
    study_uid: &str,
) -> Result<Option<u32>, Error> {
    let mut found = None;
    for _ in 0..MAX_ANSWERS {
        let (context, response) = association.message().await?.ok_or(Error::Closed)?;
        let bytes = match response.has_data_set {
            true => association.data_set(context).await?,
            false => None,
        };
        match response.command {
            Command::Response {
                to: field::FIND,
                status,
                ..
            } if PENDING.contains(&status) => {
                let count = bytes.and_then(|bytes| count_of(&bytes, transfer_syntax, study_uid));
                found = found.or(count);
            }
            Command::Response {
                to: field::FIND,
                status: status::SUCCESS,
                ..
            } => return Ok(found),
            Command::Response {
                to: field::FIND,
                status,
                ..
            } => {
                let operation = "C-FIND";
                return Err(Error::Status { operation, status });
            }
            command => {
                let field = command.field();
                return Err(Error::UnexpectedCommand { field });
            }
        }
    }
    Err(Error::MalformedDataSet {
        operation: "C-FIND",
        problem: "one of too many for one study",
    })
}

fn identifier(study_uid: &str) -> InMemDicomObject {
    let element = |tag, vr, value: &str| DataElement::new(tag, vr, PrimitiveValue::from(value));
    InMemDicomObject::from_element_iter([
        element(tags::QUERY_RETRIEVE_LEVEL, VR::CS, "STUDY"),
        element(tags::STUDY_INSTANCE_UID, VR::UI, study_uid),
        DataElement::new(
            tags::NUMBER_OF_STUDY_RELATED_INSTANCES,
            VR::IS,
            PrimitiveValue::Empty,
        ),
    ])
}

/// What an answer says of that very study.
fn count_of(bytes: &[u8], transfer_syntax: &str, study_uid: &str) -> Option<u32> {
    let object = dicom::data_set(bytes, transfer_syntax, 8 * MAX_DATA_SET_BYTES).ok()?;
    let study = object.get(tags::STUDY_INSTANCE_UID)?.to_str().ok()?;
    if study.trim_matches(['\0', ' ']) != study_uid {
        return None;
    }
    let count = object.get(tags::NUMBER_OF_STUDY_RELATED_INSTANCES)?;
    count.to_str().ok()?.trim_matches(['\0', ' ']).parse().ok()
}
