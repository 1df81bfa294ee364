//! C-GET and C-MOVE of a study (PS3.4 C.4.2, C.4.3).
//!
//! In: a study that a peer has. Out: its instances, by C-GET through the intake on the same association, by C-MOVE through
//! the listening side. A retrieval may be tried any number of times: what is there already is no failure.

use super::{Plea, Scu, context_of, ended, is_pending, is_stored, service};
use crate::config::PeerConfig;
use crate::node::dimse::{Association, Command, Error, Message, Progress, encoded, field, status};
use crate::node::scp::STORAGE;
use crate::node::spool::{Offer, Spool};
use crate::node::{Claim, Intake, Sender};
use dicom_core::{DataElement, PrimitiveValue, VR};
use dicom_dictionary_std::{tags, uids};
use dicom_object::InMemDicomObject;

/// Study Root Query/Retrieve Information Model - GET, and - MOVE.
const GET: &str = uids::STUDY_ROOT_QUERY_RETRIEVE_INFORMATION_MODEL_GET;
const MOVE: &str = uids::STUDY_ROOT_QUERY_RETRIEVE_INFORMATION_MODEL_MOVE;

/// Most instances that are taken of one study.
pub(in crate::node) const MAX_INSTANCES: u64 = 20_000;

/// So many of [`STORAGE`] are images, which archives keep compressed.
const IMAGE_CLASSES: usize = 6;

/// What an archive may have made of images. Each is proposed on a context of its own: so the archive need not recode them.
const COMPRESSED: [&str; 11] = [
    uids::JPEG_LOSSLESS_SV1,
    uids::JPEG_LOSSLESS,
    uids::JPEGLS_LOSSLESS,
    uids::JPEG2000_LOSSLESS,
    uids::RLE_LOSSLESS,
    uids::HTJ2K_LOSSLESS,
    uids::DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN,
    uids::JPEG2000,
    uids::JPEGLS_NEAR_LOSSLESS,
    uids::JPEG_EXTENDED12_BIT,
    uids::JPEG_BASELINE8_BIT,
];

/// How a retrieval ended that the peer calls done.
#[derive(Debug, Default, PartialEq, Eq)]
pub(in crate::node) struct Retrieved {
    /// Instances that came, as far as the peer says or this side saw.
    pub(in crate::node) completed: u64,
    /// Instances that the peer has and did not send, or that were not taken.
    pub(in crate::node) left_out: u64,
    /// Those that were not taken, and why.
    pub(in crate::node) refused: Vec<(Claim, &'static str)>,
}

impl Scu {
    /// C-GET: takes all instances of a study into `intake`.
    ///
    /// # Errors
    /// Any [`Error`]; [`Error::NotTaken`] where none can be kept now. What came before stays.
    pub(in crate::node) fn get(
        &self,
        peer: &PeerConfig,
        study_uid: &str,
        intake: &Intake,
    ) -> Result<Retrieved, Error> {
        let plea = Plea {
            contexts: contexts(),
            provided: STORAGE.iter().map(|&uid| uid.to_owned()).collect(),
            silence: self.timeouts.response,
        };
        self.stoppable(async {
            let (mut association, address) = self.connect_for(peer, plea).await?;
            let mut reception = Reception {
                association: &mut association,
                spool: Spool::new(intake.clone()),
                study_uid,
                sender: Sender {
                    ae_title: Some(peer.ae_title.clone()),
                    address,
                },
                retrieved: Retrieved::default(),
            };
            let got = reception.get().await;
            let retrieved = reception.retrieved;
            ended(association, got.map(|()| retrieved)).await
        })
    }

    /// C-MOVE: has the peer send all instances of a study to this node's listening side.
    ///
    /// # Errors
    /// Any [`Error`]; what came before stays.
    pub(in crate::node) fn fetch_by_move(
        &self,
        peer: &PeerConfig,
        study_uid: &str,
    ) -> Result<Retrieved, Error> {
        let plea = Plea {
            contexts: vec![service(MOVE)],
            provided: Vec::new(),
            silence: self.timeouts.moving,
        };
        self.stoppable(async {
            let (mut association, _) = self.connect_for(peer, plea).await?;
            let moved = moved(&mut association, study_uid, &self.ae_title).await;
            ended(association, moved).await
        })
    }
}

/// A C-GET under way.
struct Reception<'a> {
    association: &'a mut Association,
    spool: Spool,
    study_uid: &'a str,
    sender: Sender,
    retrieved: Retrieved,
}

impl Reception<'_> {
    async fn get(&mut self) -> Result<(), Error> {
        let sop_class_uid = GET.into();
        let command = Command::Get { sop_class_uid };
        ask(self.association, GET, command, self.study_uid).await?;
        loop {
            let (context_id, message) = self.association.message().await?.ok_or(Error::Closed)?;
            if let Command::Store(_) = &message.command {
                self.take(context_id, &message).await?;
                continue;
            }
            let answered = answered(self.association, context_id, &message, field::GET).await?;
            if let Some(progress) = answered {
                let refused = self.retrieved.refused.len() as u64;
                self.retrieved.left_out = refused.max(progress.failed.into());
                return Ok(());
            }
        }
    }

    /// A sub-operation: C-STORE of an instance.
    async fn take(&mut self, context_id: u8, message: &Message) -> Result<(), Error> {
        let Command::Store(instance) = &message.command else {
            return Ok(());
        };
        let refused = self.retrieved.refused.len() as u64;
        if self.retrieved.completed + refused >= MAX_INSTANCES {
            return Err(Error::TooManyInstances { max: MAX_INSTANCES });
        }
        let context = self.association.context(context_id)?.clone();
        let sender = self.sender.clone();
        let offer = Offer {
            context: &context,
            message,
            instance,
            study_instance_uid: Some(self.study_uid),
            sender: &sender,
        };
        let taken = self.spool.receive(self.association, &offer).await?;
        let status = match taken {
            Ok(()) => {
                self.retrieved.completed += 1;
                status::SUCCESS
            }
            // The others would fare alike: the peer need not send them.
            Err(failure) if failure.is_transient => {
                return Err(Error::NotTaken { code: failure.code });
            }
            Err(failure) => {
                self.retrieved.refused.push((offer.claim(), failure.code));
                failure.status
            }
        };
        let response = message.response(status);
        self.association.send(context_id, &response, None).await
    }
}

async fn moved(
    association: &mut Association,
    study_uid: &str,
    destination: &str,
) -> Result<Retrieved, Error> {
    let command = Command::Move {
        sop_class_uid: MOVE.into(),
        destination: destination.into(),
    };
    ask(association, MOVE, command, study_uid).await?;
    loop {
        let (context_id, message) = association.message().await?.ok_or(Error::Closed)?;
        let answered = answered(association, context_id, &message, field::MOVE).await?;
        if let Some(progress) = answered {
            return Ok(Retrieved {
                completed: u64::from(progress.completed) + u64::from(progress.warning),
                left_out: progress.failed.into(),
                refused: Vec::new(),
            });
        }
    }
}

/// Sends the request for a study.
async fn ask(
    association: &mut Association,
    model: &str,
    command: Command,
    study_uid: &str,
) -> Result<(), Error> {
    let (context_id, transfer_syntax) = context_of(association, model)?;
    let text = |tag, vr, value: &str| DataElement::new(tag, vr, PrimitiveValue::from(value));
    let identifier = InMemDicomObject::from_element_iter([
        text(tags::QUERY_RETRIEVE_LEVEL, VR::CS, "STUDY"),
        text(tags::STUDY_INSTANCE_UID, VR::UI, study_uid),
    ]);
    let request = Message {
        id: 1,
        has_data_set: true,
        command,
    };
    let identifier = encoded(&identifier, &transfer_syntax, name(request.command.field()))?;
    association
        .send(context_id, &request, Some(&identifier))
        .await
}

/// How far the peer says it came, once it is done; none while it is not.
async fn answered(
    association: &mut Association,
    context_id: u8,
    message: &Message,
    asked: u16,
) -> Result<Option<Progress>, Error> {
    if message.has_data_set {
        // UIDs of what failed; those that this side refused it knows.
        association.data_set(context_id).await?;
    }
    match &message.command {
        Command::Response { to, status, .. } if *to == asked && is_pending(*status) => Ok(None),
        Command::Response {
            to,
            status,
            progress,
            ..
        } if *to == asked && is_stored(*status) => Ok(Some(progress.unwrap_or_default())),
        Command::Response { to, status, .. } if *to == asked => Err(Error::Status {
            operation: name(asked),
            status: *status,
        }),
        command => Err(Error::UnexpectedCommand {
            field: command.field(),
        }),
    }
}

fn name(field: u16) -> &'static str {
    match field {
        field::GET => "C-GET",
        _ => "C-MOVE",
    }
}

/// What is proposed for a C-GET.
fn contexts() -> Vec<(String, Vec<String>)> {
    let plain = [
        uids::EXPLICIT_VR_LITTLE_ENDIAN,
        uids::IMPLICIT_VR_LITTLE_ENDIAN,
    ];
    let owned = |syntaxes: &[&str]| syntaxes.iter().map(|&uid| uid.to_owned()).collect();
    let mut contexts = vec![service(GET)];
    for (place, class) in STORAGE.iter().enumerate() {
        if place < IMAGE_CLASSES {
            contexts.push(((*class).into(), owned(&plain)));
            contexts.extend(COMPRESSED.map(|syntax| ((*class).into(), owned(&[syntax]))));
        } else {
            let any: Vec<&str> = plain.into_iter().chain(COMPRESSED).collect();
            contexts.push(((*class).into(), owned(&any)));
        }
    }
    contexts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dicom::decodes;

    #[test]
    fn what_is_proposed_for_a_retrieval_fits_an_association_and_can_be_read() {
        let contexts = contexts();
        assert!(contexts.len() <= 128, "{}", contexts.len());
        let syntaxes = contexts.iter().flat_map(|(_, syntaxes)| syntaxes);
        for syntax in syntaxes {
            assert!(decodes(syntax), "{syntax}");
        }
    }
}
