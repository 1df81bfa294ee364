//! An association, in both roles: messages and data sets over presentation contexts (PS3.7 8, PS3.8 9.3.5, E).

use super::command::{MAX_COMMAND_BYTES, Message};
use super::wire::Wire;
use super::{APPLICATION_CONTEXT, Error, MAX_DATA_SET_BYTES, MAX_NEGOTIATION_BYTES};
use crate::uid::IMPLEMENTATION_CLASS_UID;
use dicom_ul::pdu::{
    AssociationAC, AssociationRJ, AssociationRJResult, AssociationRQ, PDU_HEADER_SIZE,
    PDV_HEADER_SIZE, Pdu, PresentationContextProposed, PresentationContextResultReason,
    RequestorRoles, UserVariableItem,
};
use std::ops::Range;

/// Largest unit that is sent, whatever the peer takes, bytes.
const MAX_SENT_BYTES: u32 = 128 << 10;

/// A peer has to take units of this size, bytes: smaller ones hold no command.
const MIN_PEER_BYTES: u32 = 128;

/// Types of protocol data units (PS3.8 9.3.1).
const RELEASE_RQ: u8 = 0x05;
const DATA: u8 = 0x04;
const ABORT: u8 = 0x07;

/// An accepted presentation context.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Context {
    /// Its number.
    pub(crate) id: u8,
    /// What objects or services it is for.
    pub(crate) abstract_syntax: String,
    /// How data sets are encoded.
    pub(crate) transfer_syntax: String,
}

/// An established association.
pub(crate) struct Association {
    wire: Wire,
    contexts: Vec<Context>,
    /// Largest unit taken, bytes.
    max_pdu_bytes: u32,
    /// Largest unit that the peer takes, bytes.
    peer_pdu_bytes: u32,
    /// Where the next value of the last unit starts.
    at: usize,
}

/// A presentation data value (PS3.8 9.3.5.1); its bytes lie in the last unit.
struct Value {
    context_id: u8,
    is_command: bool,
    is_last: bool,
    data: Range<usize>,
}

/// Asks for an association.
pub(crate) struct Proposal {
    /// The peer's title.
    pub(crate) called: String,
    /// Own title.
    pub(crate) calling: String,
    /// Abstract syntaxes, each with transfer syntaxes.
    pub(crate) contexts: Vec<(String, Vec<String>)>,
    /// Those of which this side is the provider, although it calls (PS3.7 D.3.3.4).
    pub(crate) provided: Vec<String>,
    /// Largest unit that is taken, bytes.
    pub(crate) max_pdu_bytes: u32,
}

impl Proposal {
    fn request(&self) -> AssociationRQ {
        let mut user_variables = own_variables(self.max_pdu_bytes);
        let provider = RequestorRoles {
            scu: false,
            scp: true,
        };
        let role =
            |uid: &String| UserVariableItem::ScuScpRoleSelectionSubItem(uid.clone(), provider);
        user_variables.extend(self.provided.iter().map(role));
        let contexts = (1..).step_by(2).zip(&self.contexts);
        AssociationRQ {
            protocol_version: 1,
            calling_ae_title: self.calling.clone(),
            called_ae_title: self.called.clone(),
            application_context_name: APPLICATION_CONTEXT.into(),
            presentation_contexts: contexts
                .map(
                    |(id, (abstract_syntax, transfer_syntaxes))| PresentationContextProposed {
                        id,
                        abstract_syntax: abstract_syntax.clone(),
                        transfer_syntaxes: transfer_syntaxes.clone(),
                    },
                )
                .collect(),
            user_variables,
        }
    }
}

impl Association {
    /// Reads an association request; says why there is none.
    pub(crate) async fn requested(wire: &mut Wire) -> Result<AssociationRQ, Error> {
        match wire.read_pdu(MAX_NEGOTIATION_BYTES).await? {
            Pdu::AssociationRQ(request) => Ok(request),
            Pdu::AbortRQ { .. } => Err(Error::Aborted),
            _ => Err(unexpected(wire)),
        }
    }

    /// Accepts `request` with `contexts`; `answer` says so to the peer.
    pub(crate) async fn accept(
        mut wire: Wire,
        contexts: Vec<Context>,
        max_pdu_bytes: u32,
        request: &[UserVariableItem],
        answer: AssociationAC,
    ) -> Result<Self, (Wire, Error)> {
        let peer_pdu_bytes = match peer_pdu_bytes(request) {
            Some(bytes) => bytes,
            None => return Err((wire, Error::MalformedPdu { pdu_type: 1 })),
        };
        match wire.write_pdu(&Pdu::AssociationAC(answer)).await {
            Ok(()) => Ok(Self {
                wire,
                contexts,
                max_pdu_bytes,
                peer_pdu_bytes,
                at: 0,
            }),
            Err(error) => Err((wire, error)),
        }
    }

    /// Asks the peer for an association.
    pub(crate) async fn request(mut wire: Wire, proposal: &Proposal) -> Result<Self, Error> {
        let request = proposal.request();
        wire.write_pdu(&Pdu::AssociationRQ(request)).await?;
        let answered = match wire.read_pdu(MAX_NEGOTIATION_BYTES).await {
            Ok(Pdu::AssociationAC(answer)) => Ok(answer),
            Ok(Pdu::AssociationRJ(rejection)) => return Err(rejected(&rejection)),
            Ok(Pdu::AbortRQ { .. }) => return Err(Error::Aborted),
            Ok(_) => Err(unexpected(&wire)),
            Err(error) => Err(error),
        };
        let answered = answered.and_then(|answer| {
            let bytes = peer_pdu_bytes(&answer.user_variables);
            Ok((bytes.ok_or(Error::MalformedPdu { pdu_type: 2 })?, answer))
        });
        match answered {
            Ok((peer_pdu_bytes, answer)) => Ok(Self {
                wire,
                contexts: accepted(proposal, &answer),
                max_pdu_bytes: proposal.max_pdu_bytes,
                peer_pdu_bytes,
                at: 0,
            }),
            Err(error) => {
                wire.abort(&error).await;
                Err(error)
            }
        }
    }

    /// The accepted context of that number.
    pub(crate) fn context(&self, id: u8) -> Result<&Context, Error> {
        let found = self.contexts.iter().find(|context| context.id == id);
        found.ok_or(Error::UnknownContext { context_id: id })
    }

    /// The first accepted context that fits.
    pub(crate) fn context_for(&self, fits: impl Fn(&Context) -> bool) -> Option<&Context> {
        self.contexts.iter().find(|context| fits(context))
    }

    /// The next command and its context; none once the peer has released the association.
    pub(crate) async fn message(&mut self) -> Result<Option<(u8, Message)>, Error> {
        let (mut bytes, mut context_id) = (Vec::new(), None);
        loop {
            let Some(value) = self.value(context_id.is_none()).await? else {
                return Ok(None);
            };
            self.context(value.context_id)?;
            if !value.is_command || *context_id.get_or_insert(value.context_id) != value.context_id
            {
                return Err(Error::UnexpectedFragment);
            }
            bytes.extend(&self.wire.unit()[value.data]);
            if bytes.len() > MAX_COMMAND_BYTES {
                return Err(Error::CommandTooLarge {
                    max_bytes: MAX_COMMAND_BYTES,
                });
            }
            if value.is_last {
                return Ok(Some((value.context_id, Message::parse(&bytes)?)));
            }
        }
    }

    /// The next piece of a data set, and whether it is the last.
    pub(crate) async fn fragment(&mut self, context_id: u8) -> Result<(&[u8], bool), Error> {
        let value = self.value(false).await?;
        let value = value.filter(|value| !value.is_command && value.context_id == context_id);
        let value = value.ok_or(Error::UnexpectedFragment)?;
        Ok((&self.wire.unit()[value.data], value.is_last))
    }

    /// A whole data set; none where it is larger than [`MAX_DATA_SET_BYTES`], and passed over.
    pub(crate) async fn data_set(&mut self, context_id: u8) -> Result<Option<Vec<u8>>, Error> {
        let (mut bytes, mut fits) = (Vec::new(), true);
        loop {
            let (piece, is_last) = self.fragment(context_id).await?;
            fits &= bytes.len() + piece.len() <= MAX_DATA_SET_BYTES;
            if fits {
                bytes.extend(piece);
            }
            if is_last {
                return Ok(fits.then_some(bytes));
            }
        }
    }

    /// Sends a command, and a data set that is in memory.
    pub(crate) async fn send(
        &mut self,
        context_id: u8,
        message: &Message,
        data_set: Option<&[u8]>,
    ) -> Result<(), Error> {
        self.send_values(context_id, true, &message.bytes(), true)
            .await?;
        match data_set {
            Some(bytes) => self.send_values(context_id, false, bytes, true).await,
            None => Ok(()),
        }
    }

    /// Sends a piece of a data set.
    pub(crate) async fn send_piece(
        &mut self,
        context_id: u8,
        piece: &[u8],
        is_last: bool,
    ) -> Result<(), Error> {
        self.send_values(context_id, false, piece, is_last).await
    }

    async fn send_values(
        &mut self,
        context_id: u8,
        is_command: bool,
        bytes: &[u8],
        ends: bool,
    ) -> Result<(), Error> {
        let most = (self.peer_pdu_bytes - PDV_HEADER_SIZE) as usize;
        // A data set without elements is still a value.
        let pieces = bytes.chunks(most).chain(bytes.is_empty().then_some(bytes));
        let mut left = bytes.len();
        for piece in pieces {
            left -= piece.len();
            let is_last = ends && left == 0;
            let unit = unit_of(context_id, is_command, is_last, piece);
            self.wire.write(&unit).await?;
        }
        Ok(())
    }

    /// Ends the association in order.
    pub(crate) async fn release(mut self) -> Result<(), Error> {
        self.wire.write_pdu(&Pdu::ReleaseRQ).await?;
        let released = match self.wire.read_pdu(MAX_NEGOTIATION_BYTES).await {
            // Both asked at once (PS3.8 7.2.2).
            Ok(Pdu::ReleaseRQ) => self.wire.write_pdu(&Pdu::ReleaseRP).await,
            Ok(Pdu::ReleaseRP) => Ok(()),
            Ok(_) => Err(unexpected(&self.wire)),
            Err(error) => Err(error),
        };
        self.wire.close().await;
        released
    }

    /// Ends the association at once.
    pub(crate) async fn abort(self, error: &Error) {
        self.wire.abort(error).await;
    }

    /// Closes the connection of an association that the peer released.
    pub(crate) async fn close(self) {
        self.wire.close().await;
    }

    /// The next value; none where the peer releases the association, which it may do only between messages.
    async fn value(&mut self, may_release: bool) -> Result<Option<Value>, Error> {
        while self.at >= self.wire.unit().len() || self.at == 0 {
            match self.wire.read(self.max_pdu_bytes).await? {
                DATA => self.at = PDU_HEADER_SIZE as usize,
                RELEASE_RQ if may_release => {
                    self.wire.write_pdu(&Pdu::ReleaseRP).await?;
                    return Ok(None);
                }
                ABORT => return Err(Error::Aborted),
                pdu_type => return Err(Error::UnexpectedPdu { pdu_type }),
            }
        }
        let value = value_at(self.wire.unit(), self.at);
        let value = value.ok_or(Error::MalformedPdu { pdu_type: DATA })?;
        self.at = value.data.end;
        Ok(Some(value))
    }
}

/// The value that starts at `at`.
fn value_at(unit: &[u8], at: usize) -> Option<Value> {
    let head = unit.get(at..)?.first_chunk::<6>()?;
    let [length @ .., context_id, control] = *head;
    // The length counts from the context's number on.
    let bytes = (u32::from_be_bytes(length) as usize).checked_sub(2)?;
    let data = at + head.len()..at + head.len() + bytes;
    (data.end <= unit.len()).then_some(Value {
        context_id,
        is_command: control & 1 != 0,
        is_last: control & 2 != 0,
        data,
    })
}

/// A unit of one value.
fn unit_of(context_id: u8, is_command: bool, is_last: bool, data: &[u8]) -> Vec<u8> {
    // At most `MAX_SENT_BYTES`.
    let length = u32::try_from(data.len()).unwrap_or(MAX_SENT_BYTES) + 2;
    let control = u8::from(is_command) | u8::from(is_last) << 1;
    let mut unit = Vec::with_capacity(12 + data.len());
    unit.extend([DATA, 0]);
    unit.extend((length + 4).to_be_bytes());
    unit.extend(length.to_be_bytes());
    unit.extend([context_id, control]);
    unit.extend(data);
    unit
}

/// What this side says of itself (PS3.7 D.3.3).
pub(crate) fn own_variables(max_pdu_bytes: u32) -> Vec<UserVariableItem> {
    vec![
        UserVariableItem::MaxLength(max_pdu_bytes),
        UserVariableItem::ImplementationClassUID(IMPLEMENTATION_CLASS_UID.into()),
    ]
}

/// Largest unit that the peer takes; none where that holds no command.
fn peer_pdu_bytes(variables: &[UserVariableItem]) -> Option<u32> {
    let stated = variables.iter().find_map(|variable| match variable {
        // Zero is no limit (PS3.8 D.1.1).
        UserVariableItem::MaxLength(0) => Some(MAX_SENT_BYTES),
        UserVariableItem::MaxLength(bytes) => Some(*bytes),
        _ => None,
    });
    let bytes = stated.unwrap_or(MAX_SENT_BYTES).min(MAX_SENT_BYTES);
    (bytes >= MIN_PEER_BYTES).then_some(bytes)
}

fn accepted(proposal: &Proposal, answer: &AssociationAC) -> Vec<Context> {
    let taken = answer.presentation_contexts.iter();
    let taken = taken.filter(|c| c.reason == PresentationContextResultReason::Acceptance);
    taken
        .filter_map(|context| {
            let place = usize::from(context.id) / 2;
            let (abstract_syntax, proposed) = proposal.contexts.get(place)?;
            let uid = context.transfer_syntax.trim_end_matches(['\0', ' ']);
            let is_proposed = context.id % 2 == 1 && proposed.iter().any(|syntax| syntax == uid);
            is_proposed.then(|| Context {
                id: context.id,
                abstract_syntax: abstract_syntax.clone(),
                transfer_syntax: uid.to_owned(),
            })
        })
        .collect()
}

fn rejected(rejection: &AssociationRJ) -> Error {
    Error::Rejected {
        result: match rejection.result {
            AssociationRJResult::Permanent => "permanent",
            AssociationRJResult::Transient => "transient",
        },
        reason: rejection.source.to_string(),
    }
}

fn unexpected(wire: &Wire) -> Error {
    Error::UnexpectedPdu {
        pdu_type: wire.unit().first().copied().unwrap_or_default(),
    }
}
