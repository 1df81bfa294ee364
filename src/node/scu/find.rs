//! C-FIND of studies (PS3.4 C.4.1, C.6.2): how many instances one has, or which there are.

use super::{Scu, context_of, ended, is_pending, service};
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

/// Most answers that are read about one study: one UID has one study.
const MAX_COUNT_ANSWERS: usize = 64;

/// Name of the operation.
const OPERATION: &str = "C-FIND";

impl Scu {
    /// Number of Study Related Instances (0020,1208) of a study; none where the peer does not know the study, or not that.
    ///
    /// # Errors
    /// Any [`Error`].
    pub fn count(&self, peer: &PeerConfig, study_uid: &str) -> Result<Option<u32>, Error> {
        let asked = identifier(study_uid);
        let counts = self.find(peer, &asked, MAX_COUNT_ANSWERS, |study| {
            count_of(study, study_uid)
        });
        Ok(counts?.into_iter().next())
    }

    /// What `read` makes of each answer to a question at level STUDY; where it makes none, or an answer cannot be read, it
    /// is passed over.
    ///
    /// # Errors
    /// Any [`Error`]; more than `max_answers` are one.
    pub(in crate::node) fn find<T>(
        &self,
        peer: &PeerConfig,
        identifier: &InMemDicomObject,
        max_answers: usize,
        mut read: impl FnMut(&InMemDicomObject) -> Option<T>,
    ) -> Result<Vec<T>, Error> {
        self.stoppable(async {
            let mut association = self.connect(peer, vec![service(MODEL)]).await?;
            let mut found = Vec::new();
            let asked = ask(&mut association, identifier, max_answers, |answer| {
                found.extend(read(answer));
            });
            let asked = asked.await;
            ended(association, asked.map(|()| found)).await
        })
    }
}

/// Asks, and hands every answer on.
async fn ask(
    association: &mut Association,
    identifier: &InMemDicomObject,
    max_answers: usize,
    mut take: impl FnMut(&InMemDicomObject),
) -> Result<(), Error> {
    let (context_id, transfer_syntax) = context_of(association, MODEL)?;
    let request = Message {
        id: 1,
        has_data_set: true,
        command: Command::Find {
            sop_class_uid: MODEL.into(),
        },
    };
    let identifier = encoded(identifier, &transfer_syntax, OPERATION)?;
    association
        .send(context_id, &request, Some(&identifier))
        .await?;
    for _ in 0..max_answers {
        let (context, response) = association.message().await?.ok_or(Error::Closed)?;
        let bytes = match response.has_data_set {
            true => association.data_set(context).await?,
            false => None,
        };
        let (to, status) = match response.command {
            Command::Response { to, status, .. } => (to, status),
            command => (command.field(), 0),
        };
        match (to, status) {
            (field::FIND, status) if is_pending(status) => {
                let most = 8 * MAX_DATA_SET_BYTES;
                let read = |bytes: Vec<u8>| dicom::data_set(&bytes, &transfer_syntax, most).ok();
                if let Some(answer) = bytes.and_then(read) {
                    take(&answer);
                }
            }
            (field::FIND, status::SUCCESS) => return Ok(()),
            (field::FIND, status) => {
                let operation = OPERATION;
                return Err(Error::Status { operation, status });
            }
            (field, _) => return Err(Error::UnexpectedCommand { field }),
        }
    }
    Err(Error::MalformedDataSet {
        operation: OPERATION,
        problem: "one of too many for one question",
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
fn count_of(answer: &InMemDicomObject, study_uid: &str) -> Option<u32> {
    let study = answer.get(tags::STUDY_INSTANCE_UID)?.to_str().ok()?;
    if study.trim_matches(['\0', ' ']) != study_uid {
        return None;
    }
    let count = answer.get(tags::NUMBER_OF_STUDY_RELATED_INSTANCES)?;
    count.to_str().ok()?.trim_matches(['\0', ' ']).parse().ok()
}
