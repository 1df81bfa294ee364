//! Command sets (PS3.7 6.3.1, 9.3, 10.3, E.1): group 0000 in implicit VR little endian.

use super::{Error, InstanceRef};
use dicom_dictionary_std::uids;
use std::collections::BTreeMap;

/// Largest command set that is read, bytes; those of PS3.7 take some hundred.
pub(super) const MAX_COMMAND_BYTES: usize = 16 << 10;

/// Longest UID, with the zero that may fill it up (PS3.5 9).
const MAX_UID_BYTES: usize = 66;

/// Command Data Set Type (0000,0800) of a message without a data set.
const NO_DATA_SET: u16 = 0x0101;

/// Priority (0000,0700) `MEDIUM`.
const MEDIUM: u16 = 0;

/// Command Field (0000,0100): operations; a response has [`field::RESPONSE`] added.
pub(crate) mod field {
    pub(crate) const STORE: u16 = 0x0001;
    pub(crate) const GET: u16 = 0x0010;
    pub(crate) const FIND: u16 = 0x0020;
    pub(crate) const MOVE: u16 = 0x0021;
    pub(crate) const ECHO: u16 = 0x0030;
    pub(crate) const EVENT_REPORT: u16 = 0x0100;
    pub(crate) const ACTION: u16 = 0x0130;
    pub(crate) const CANCEL: u16 = 0x0fff;
    pub(crate) const RESPONSE: u16 = 0x8000;
}

/// Status (0000,0900), PS3.7 C.
pub(crate) mod status {
    pub(crate) const SUCCESS: u16 = 0x0000;
    pub(crate) const PROCESSING_FAILURE: u16 = 0x0110;
    pub(crate) const INVALID_INSTANCE: u16 = 0x0117;
    pub(crate) const CLASS_NOT_SUPPORTED: u16 = 0x0122;
    pub(crate) const UNRECOGNIZED_OPERATION: u16 = 0x0211;
    pub(crate) const CANNOT_UNDERSTAND: u16 = 0xc000;
}

/// An element of group 0000: number and keyword.
type Element = (u16, &'static str);

const GROUP_LENGTH: Element = (0x0000, "CommandGroupLength");
const SOP_CLASS: Element = (0x0002, "AffectedSOPClassUID");
const REQUESTED_CLASS: Element = (0x0003, "RequestedSOPClassUID");
const FIELD: Element = (0x0100, "CommandField");
const MESSAGE_ID: Element = (0x0110, "MessageID");
const RESPONDED_TO: Element = (0x0120, "MessageIDBeingRespondedTo");
const DESTINATION: Element = (0x0600, "MoveDestination");
const PRIORITY: Element = (0x0700, "Priority");
const DATA_SET_TYPE: Element = (0x0800, "CommandDataSetType");
const STATUS: Element = (0x0900, "Status");
const INSTANCE: Element = (0x1000, "AffectedSOPInstanceUID");
const REQUESTED_INSTANCE: Element = (0x1001, "RequestedSOPInstanceUID");
const EVENT_TYPE: Element = (0x1002, "EventTypeID");
const ACTION_TYPE: Element = (0x1008, "ActionTypeID");
const REMAINING: Element = (0x1020, "NumberOfRemainingSuboperations");
const COMPLETED: Element = (0x1021, "NumberOfCompletedSuboperations");
const FAILED: Element = (0x1022, "NumberOfFailedSuboperations");
const WARNING: Element = (0x1023, "NumberOfWarningSuboperations");

/// What a message asks for or answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Command {
    /// C-ECHO-RQ.
    Echo,
    /// C-STORE-RQ.
    Store(InstanceRef),
    /// C-FIND-RQ.
    Find {
        /// Information model.
        sop_class_uid: String,
    },
    /// C-GET-RQ.
    Get {
        /// Information model.
        sop_class_uid: String,
    },
    /// C-MOVE-RQ.
    Move {
        /// Information model.
        sop_class_uid: String,
        /// AE title that the instances go to.
        destination: String,
    },
    /// C-CANCEL-RQ: of the operation whose number the message has.
    Cancel,
    /// N-ACTION-RQ.
    Action {
        /// On what.
        instance: InstanceRef,
        /// Which.
        action_type: u16,
    },
    /// N-EVENT-REPORT-RQ.
    EventReport {
        /// Of what.
        instance: InstanceRef,
        /// Which.
        event_type: u16,
    },
    /// Any other request, as N-GET-RQ.
    Unknown {
        /// Command Field (0000,0100).
        field: u16,
    },
    /// Any response.
    Response {
        /// Command Field of the request.
        to: u16,
        /// Status (0000,0900).
        status: u16,
        /// What the request was about, where it is said.
        instance: Option<InstanceRef>,
        /// How far a C-GET or C-MOVE is, where it is said.
        progress: Option<Progress>,
    },
}

/// Sub-operations of a C-GET or C-MOVE (PS3.4 C.4.2.1.6); 0 where a number is not said.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Progress {
    /// To be done.
    pub(crate) remaining: u16,
    /// Done.
    pub(crate) completed: u16,
    /// Failed.
    pub(crate) failed: u16,
    /// Done with a warning.
    pub(crate) warning: u16,
}

/// A command with its number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Message {
    /// Message ID, or Message ID Being Responded To.
    pub(crate) id: u16,
    /// Whether a data set follows.
    pub(crate) has_data_set: bool,
    /// What it says.
    pub(crate) command: Command,
}

impl Command {
    /// Command Field (0000,0100).
    pub(crate) fn field(&self) -> u16 {
        match self {
            Self::Echo => field::ECHO,
            Self::Store(_) => field::STORE,
            Self::Get { .. } => field::GET,
            Self::Find { .. } => field::FIND,
            Self::Move { .. } => field::MOVE,
            Self::Cancel => field::CANCEL,
            Self::Action { .. } => field::ACTION,
            Self::EventReport { .. } => field::EVENT_REPORT,
            Self::Unknown { field } => *field,
            Self::Response { to, .. } => to | field::RESPONSE,
        }
    }
}

impl Message {
    /// The answer to this message.
    pub(crate) fn response(&self, status: u16) -> Self {
        let instance = match &self.command {
            Command::Store(instance)
            | Command::Action { instance, .. }
            | Command::EventReport { instance, .. } => Some(instance.clone()),
            _ => None,
        };
        Self {
            id: self.id,
            has_data_set: false,
            command: Command::Response {
                to: self.command.field(),
                status,
                instance,
                progress: None,
            },
        }
    }

    /// The message whose command set has these bytes.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, Error> {
        let elements = Elements::parse(bytes)?;
        let field = elements.u16(FIELD)?;
        let is_answer = field & field::RESPONSE != 0 || field == field::CANCEL;
        let number = if is_answer { RESPONDED_TO } else { MESSAGE_ID };
        Ok(Self {
            id: elements.u16(number)?,
            has_data_set: elements.u16(DATA_SET_TYPE)? != NO_DATA_SET,
            command: elements.command(field)?,
        })
    }

    /// The command set's bytes.
    pub(super) fn bytes(&self) -> Vec<u8> {
        let mut elements = BTreeMap::new();
        let mut put = |element: Element, value: u16| {
            elements.insert(element.0, value.to_le_bytes().to_vec());
        };
        let field = self.command.field();
        put(FIELD, field);
        let is_answer = matches!(self.command, Command::Response { .. } | Command::Cancel);
        put(if is_answer { RESPONDED_TO } else { MESSAGE_ID }, self.id);
        put(
            DATA_SET_TYPE,
            if self.has_data_set { 0 } else { NO_DATA_SET },
        );
        match &self.command {
            Command::Store(_)
            | Command::Find { .. }
            | Command::Get { .. }
            | Command::Move { .. } => put(PRIORITY, MEDIUM),
            Command::Action { action_type, .. } => put(ACTION_TYPE, *action_type),
            Command::EventReport { event_type, .. } => put(EVENT_TYPE, *event_type),
            Command::Response {
                status, progress, ..
            } => {
                put(STATUS, *status);
                if let Some(progress) = progress {
                    put(REMAINING, progress.remaining);
                    put(COMPLETED, progress.completed);
                    put(FAILED, progress.failed);
                    put(WARNING, progress.warning);
                }
            }
            Command::Echo | Command::Cancel | Command::Unknown { .. } => {}
        }
        if let Command::Move { destination, .. } = &self.command {
            let mut value = destination.as_bytes().to_vec();
            value.resize(value.len().next_multiple_of(2), b' ');
            elements.insert(DESTINATION.0, value);
        }
        for (element, uid) in self.command.uids() {
            let mut value = uid.as_bytes().to_vec();
            value.resize(value.len().next_multiple_of(2), 0);
            elements.insert(element.0, value);
        }
        encoded(&elements)
    }
}

impl Command {
    /// The UIDs that it names.
    fn uids(&self) -> Vec<(Element, &str)> {
        match self {
            Self::Echo => vec![(SOP_CLASS, uids::VERIFICATION)],
            Self::Find { sop_class_uid }
            | Self::Get { sop_class_uid }
            | Self::Move { sop_class_uid, .. } => vec![(SOP_CLASS, sop_class_uid)],
            Self::Action { instance, .. } => vec![
                (REQUESTED_CLASS, &instance.sop_class_uid),
                (REQUESTED_INSTANCE, &instance.sop_instance_uid),
            ],
            Self::Store(instance)
            | Self::EventReport { instance, .. }
            | Self::Response {
                instance: Some(instance),
                ..
            } => vec![
                (SOP_CLASS, &instance.sop_class_uid),
                (INSTANCE, &instance.sop_instance_uid),
            ],
            Self::Cancel | Self::Unknown { .. } | Self::Response { .. } => Vec::new(),
        }
    }
}

/// Elements in their order, with their length before them.
fn encoded(elements: &BTreeMap<u16, Vec<u8>>) -> Vec<u8> {
    let mut bytes = Vec::new();
    // Values are of two bytes, UIDs, or an AE title.
    let length = |bytes: usize| u32::try_from(bytes).unwrap_or(u32::MAX).to_le_bytes();
    let mut put = |element: u16, value: &[u8]| {
        bytes.extend([0, 0]);
        bytes.extend(element.to_le_bytes());
        bytes.extend(length(value.len()));
        bytes.extend(value);
    };
    let whole = elements.values().map(|value| 8 + value.len()).sum();
    put(GROUP_LENGTH.0, &length(whole));
    for (element, value) in elements {
        put(*element, value);
    }
    bytes
}

/// The elements of a command set by number.
struct Elements<'a>(BTreeMap<u16, &'a [u8]>);

impl<'a> Elements<'a> {
    fn parse(mut bytes: &'a [u8]) -> Result<Self, Error> {
        let mut elements = BTreeMap::new();
        while !bytes.is_empty() {
            let (head, rest) = bytes
                .split_first_chunk::<8>()
                .ok_or_else(|| malformed(GROUP_LENGTH, "cut off"))?;
            let [g0, g1, e0, e1, length @ ..] = *head;
            let element = (u16::from_le_bytes([e0, e1]), "Element");
            let length = u32::from_le_bytes(length) as usize;
            if [g0, g1] != [0, 0] {
                return Err(malformed(element, "of another group"));
            }
            let cut_off = || malformed(element, "longer than the command");
            let (value, rest) = rest.split_at_checked(length).ok_or_else(cut_off)?;
            if elements.insert(element.0, value).is_some() {
                return Err(malformed(element, "given twice"));
            }
            bytes = rest;
        }
        Ok(Self(elements))
    }

    fn command(&self, field: u16) -> Result<Command, Error> {
        Ok(match field {
            field::ECHO => Command::Echo,
            field::STORE => Command::Store(self.instance(SOP_CLASS, INSTANCE)?),
            field::FIND => Command::Find {
                sop_class_uid: self.uid(SOP_CLASS)?,
            },
            field::GET => Command::Get {
                sop_class_uid: self.uid(SOP_CLASS)?,
            },
            field::MOVE => Command::Move {
                sop_class_uid: self.uid(SOP_CLASS)?,
                // An AE title is shorter than a UID, and ASCII like it.
                destination: self.uid(DESTINATION)?,
            },
            field::CANCEL => Command::Cancel,
            field::ACTION => Command::Action {
                instance: self.instance(REQUESTED_CLASS, REQUESTED_INSTANCE)?,
                action_type: self.u16(ACTION_TYPE)?,
            },
            field::EVENT_REPORT => Command::EventReport {
                instance: self.instance(SOP_CLASS, INSTANCE)?,
                event_type: self.u16(EVENT_TYPE)?,
            },
            field if field & field::RESPONSE != 0 => Command::Response {
                to: field & !field::RESPONSE,
                status: self.u16(STATUS)?,
                // Peers need not repeat it.
                instance: self.instance(SOP_CLASS, INSTANCE).ok(),
                progress: self.progress(),
            },
            field => Command::Unknown { field },
        })
    }

    fn instance(&self, class: Element, instance: Element) -> Result<InstanceRef, Error> {
        Ok(InstanceRef {
            sop_class_uid: self.uid(class)?,
            sop_instance_uid: self.uid(instance)?,
        })
    }

    fn progress(&self) -> Option<Progress> {
        let numbers = [REMAINING, COMPLETED, FAILED, WARNING].map(|element| self.u16(element).ok());
        let [remaining, completed, failed, warning] = numbers.map(Option::unwrap_or_default);
        numbers.iter().any(Option::is_some).then_some(Progress {
            remaining,
            completed,
            failed,
            warning,
        })
    }

    fn value(&self, element: Element) -> Result<&'a [u8], Error> {
        let value = self.0.get(&element.0).copied();
        value.ok_or_else(|| malformed(element, "missing"))
    }

    fn u16(&self, element: Element) -> Result<u16, Error> {
        let value: Result<[u8; 2], _> = self.value(element)?.try_into();
        let value = value.map_err(|_| malformed(element, "not of two bytes"))?;
        Ok(u16::from_le_bytes(value))
    }

    /// A UID's text; whether it is a valid UID is for the operation to say.
    fn uid(&self, element: Element) -> Result<String, Error> {
        let value = self.value(element)?;
        if value.len() > MAX_UID_BYTES || !value.is_ascii() {
            return Err(malformed(element, "no UID"));
        }
        let text = String::from_utf8_lossy(value);
        Ok(text.trim_matches(['\0', ' ']).to_owned())
    }
}

fn malformed((element, keyword): Element, problem: &'static str) -> Error {
    Error::MalformedCommand {
        keyword,
        element,
        problem,
    }
}

#[cfg(test)]
mod tests;
