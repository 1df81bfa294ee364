//! Events as DICOM audit messages (PS3.15 A.5.3).
//!
//! Tables of A.5.3: Application Activity, Audit Log Used, Begin Transferring, Instances Accessed, Instances Transferred,
//! Study Deleted, Security Alert. The patient is named by the keyed hash of its id, never by name or id.

mod write;

use super::xml::Code;
use super::{Event, Party, Record, Study};
use quick_xml::Writer;
use std::collections::BTreeMap;

const DCM: &str = "DCM";
const RFC_3881: &str = "RFC-3881";

/// Event Outcome Indicator.
const SUCCESS: u8 = 0;
const MINOR_FAILURE: u8 = 4;
const SERIOUS_FAILURE: u8 = 8;

const SOURCE_ROLE: Code = Code("110153", DCM, "Source Role ID");
const DESTINATION_ROLE: Code = Code("110152", DCM, "Destination Role ID");
const NODE_ID: Code = Code("110182", DCM, "Node ID");

/// The node, as audit messages name it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// Its AE title.
    pub ae_title: String,
    /// Its host name or address.
    pub host: Option<String>,
}

/// An audit message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Whether it tells a success.
    pub success: bool,
    /// XML in one line.
    pub xml: String,
}

/// The audit message of a record; `None` where another event's message tells the same, or the kind is not known.
pub fn message(record: &Record, source: &Source) -> Option<Message> {
    let event = record.event()?;
    let draft = Draft::of(&event, source)?;
    let mut xml = Writer::new(Vec::new());
    draft
        .write(&mut xml, &record.time, source)
        .expect("a vector takes whatever is written");
    Some(Message {
        success: draft.outcome == SUCCESS,
        xml: String::from_utf8_lossy(&xml.into_inner()).into_owned(),
    })
}

/// What a message says.
struct Draft<'a> {
    id: Code,
    of_type: Option<Code>,
    /// `C`, `R`, `U`, `D` or `E`.
    action: char,
    outcome: u8,
    why: Option<&'a str>,
    participants: Vec<Participant<'a>>,
    objects: Vec<Object<'a>>,
}

struct Participant<'a> {
    id: &'a str,
    ae_title: Option<&'a str>,
    address: Option<&'a str>,
    requestor: bool,
    role: Option<Code>,
}

enum Object<'a> {
    Study(&'a str, Option<&'a BTreeMap<String, u64>>),
    Patient(Option<&'a str>),
    /// What an alert is about, and the alert.
    Alert(Code, String, &'a str),
    Log,
}

impl<'a> Draft<'a> {
    fn of(event: &'a Event, source: &'a Source) -> Option<Self> {
        let own = || Participant::own(source);
        Some(match event {
            Event::Started { .. } => {
                Self::activity(Code("110120", DCM, "Application Start"), source)
            }
            Event::Stopped { .. } => {
                Self::activity(Code("110121", DCM, "Application Stop"), source)
            }
            Event::AssociationRejected { peer, code } => {
                let subject = peer.address.clone().unwrap_or_else(|| "unknown".into());
                let alert = Code("110126", DCM, "Node Authentication");
                let object = Object::Alert(NODE_ID, subject, code);
                Self::new(Code("110113", DCM, "Security Alert"), 'E')
                    .typed(alert)
                    .by([own(), Participant::of(peer)])
                    .failed(MINOR_FAILURE, code)
                    .about([object])
            }
            Event::LogRecovered { .. } => {
                let alert = Code("110134", DCM, "Audit Recording Started");
                let uri = Code("12", RFC_3881, "URI");
                let object = Object::Alert(uri, super::LOG.into(), "the log was left by a crash");
                Self::new(Code("110113", DCM, "Security Alert"), 'E')
                    .typed(alert)
                    .by([own()])
                    .failed(MINOR_FAILURE, "recovered-after-crash")
                    .about([object])
            }
            Event::LogUsed { user, .. } => Self::new(Code("110101", DCM, "Audit Log Used"), 'R')
                .by([Participant::person(user), own().waiting()])
                .about([Object::Log]),
            _ => return Self::of_instances(event, source),
        })
    }

    /// Of instances that come and go.
    fn of_instances(event: &'a Event, source: &'a Source) -> Option<Self> {
        Some(match event {
            Event::InstanceRefused {
                study_instance_uid,
                from,
                code,
                ..
            } => {
                let uid = study_instance_uid.as_deref().unwrap_or("unknown");
                Self::received(std::slice::from_ref(from), source)
                    .failed(SERIOUS_FAILURE, code)
                    .about([Object::Study(uid, None), Object::Patient(None)])
            }
            Event::StudyComplete {
                study,
                sop_classes,
                from,
                ..
            } => Self::received(from, source).on(study, Some(sop_classes)),
            Event::Purged {
                study_instance_uid,
                what,
                patient,
                ..
            } => {
                let draft = match what.as_str() {
                    "results" => Self::accessed('D'),
                    _ => Self::new(Code("110105", DCM, "DICOM Study Deleted"), 'D'),
                };
                let patient = Object::Patient(patient.as_deref());
                let study = Object::Study(study_instance_uid, None);
                draft.by([Participant::own(source)]).about([study, patient])
            }
            _ => return Self::of_work(event, source),
        })
    }

    fn of_work(event: &'a Event, source: &'a Source) -> Option<Self> {
        let own = || Participant::own(source);
        Some(match event {
            Event::JobStarted { study, .. } => Self::accessed('R').by([own()]).on(study, None),
            Event::JobDone { study, .. } => Self::accessed('C').by([own()]).on(study, None),
            Event::JobFailed { study, code, .. } => Self::accessed('C')
                .by([own()])
                .failed(MINOR_FAILURE, code)
                .on(study, None),
            Event::DeadLetter { study, code, .. } => Self::accessed('C')
                .by([own()])
                .failed(SERIOUS_FAILURE, code)
                .on(study, None),
            Event::Replayed { study, user, .. } => {
                let by = [Participant::person(user), own().waiting()];
                Self::accessed('R').by(by).on(study, None)
            }
            _ => return Self::of_delivery(event, source),
        })
    }

    fn of_delivery(event: &'a Event, source: &'a Source) -> Option<Self> {
        Some(match event {
            Event::DeliveryStarted {
                study,
                to,
                sop_classes,
            } => {
                let begin = Code("110102", DCM, "Begin Transferring DICOM Instances");
                Self::new(begin, 'E')
                    .sent(to, source)
                    .on(study, Some(sop_classes))
            }
            Event::Delivered {
                study,
                to,
                sop_classes,
            } => Self::transferred('R')
                .sent(to, source)
                .on(study, Some(sop_classes)),
            Event::DeliveryFailed {
                study, to, code, ..
            } => {
                let draft = Self::transferred('R').sent(to, source);
                draft.failed(MINOR_FAILURE, code).on(study, None)
            }
            // `study-complete`, `delivered` and `job-started` tell of all instances at once.
            _ => return None,
        })
    }

    fn new(id: Code, action: char) -> Self {
        Self {
            id,
            of_type: None,
            action,
            outcome: SUCCESS,
            why: None,
            participants: Vec::new(),
            objects: Vec::new(),
        }
    }

    /// A.5.3.1.
    fn activity(of_type: Code, source: &'a Source) -> Self {
        let role = Code("110150", DCM, "Application");
        let draft = Self::new(Code("110100", DCM, "Application Activity"), 'E').typed(of_type);
        draft.by([Participant::own(source).waiting().playing(role)])
    }

    /// A.5.3.6.
    fn accessed(action: char) -> Self {
        Self::new(Code("110103", DCM, "DICOM Instances Accessed"), action)
    }

    /// A.5.3.7; `R` where it is not known whether the receiver had the instances before.
    fn transferred(action: char) -> Self {
        Self::new(Code("110104", DCM, "DICOM Instances Transferred"), action)
    }

    /// To this node; a message has one source, further senders take part.
    fn received(from: &'a [Party], source: &'a Source) -> Self {
        let mut senders = from.iter().map(Participant::of);
        let first = senders.next().unwrap_or_else(Participant::unknown);
        let first = first.requesting().playing(SOURCE_ROLE);
        let own = Participant::own(source).waiting().playing(DESTINATION_ROLE);
        Self::transferred('C').by([first, own].into_iter().chain(senders))
    }

    /// From this node.
    fn sent(self, to: &'a Party, source: &'a Source) -> Self {
        let own = Participant::own(source).playing(SOURCE_ROLE);
        self.by([own, Participant::of(to).playing(DESTINATION_ROLE)])
    }

    fn typed(self, of_type: Code) -> Self {
        let of_type = Some(of_type);
        Self { of_type, ..self }
    }

    fn by(self, participants: impl IntoIterator<Item = Participant<'a>>) -> Self {
        let participants = participants.into_iter().collect();
        Self {
            participants,
            ..self
        }
    }

    fn failed(self, outcome: u8, why: &'a str) -> Self {
        let why = Some(why);
        Self {
            outcome,
            why,
            ..self
        }
    }

    fn on(self, study: &'a Study, sop_classes: Option<&'a BTreeMap<String, u64>>) -> Self {
        let uid = &study.study_instance_uid;
        let patient = Object::Patient(study.patient.as_deref());
        self.about([Object::Study(uid, sop_classes), patient])
    }

    fn about(self, objects: impl IntoIterator<Item = Object<'a>>) -> Self {
        let objects = objects.into_iter().collect();
        Self { objects, ..self }
    }
}

impl<'a> Participant<'a> {
    /// This node, which asked for what happened.
    fn own(source: &'a Source) -> Self {
        Self {
            id: "hilum",
            ae_title: Some(&source.ae_title),
            address: source.host.as_deref(),
            requestor: true,
            role: None,
        }
    }

    /// Another, which did not ask.
    fn of(party: &'a Party) -> Self {
        let names = [&party.ae_title, &party.name, &party.address];
        let id = names.into_iter().find_map(Option::as_deref);
        Self {
            id: id.unwrap_or("unknown"),
            ae_title: party.ae_title.as_deref(),
            address: party.address.as_deref(),
            ..Self::unknown()
        }
    }

    fn unknown() -> Self {
        Self {
            id: "unknown",
            ae_title: None,
            address: None,
            requestor: false,
            role: None,
        }
    }

    fn person(user: &'a str) -> Self {
        let unknown = Self::unknown().requesting();
        Self {
            id: user,
            ..unknown
        }
    }

    fn requesting(self) -> Self {
        Self {
            requestor: true,
            ..self
        }
    }

    fn waiting(self) -> Self {
        Self {
            requestor: false,
            ..self
        }
    }

    fn playing(self, role: Code) -> Self {
        let role = Some(role);
        Self { role, ..self }
    }
}
