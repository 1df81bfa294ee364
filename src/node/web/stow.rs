//! STOW-RS: instances by HTTP (PS3.18 10.5), each streamed to the disk.

use super::answer::{Verdict, Verdicts};
use super::multipart::{Broken, MediaType, Parts, is_dicom};
use super::{Fault, Web};
use crate::node::identity::{HEAD_BYTES, Identity};
use crate::node::scp::Event;
use crate::node::{Claim, Incoming, Intake, Refusal, Sender};
use crate::uid;
use axum::extract::{ConnectInfo, Path, Request, State};
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use multer::Field;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::task::{JoinHandle, spawn_blocking};

/// So much of a part is gathered before it is written, bytes.
const WRITE_BYTES: usize = 256 << 10;

/// So many instances are made durable at a time; one flush of the disk serves them together.
const MAX_IN_FLIGHT: usize = 32;

/// RFC 2046 5.1.1 has 70; Orthanc's DICOMweb plugin sends 73.
const MAX_BOUNDARY_BYTES: usize = 200;

/// `POST /studies`, `POST /studies/{study}`.
pub(super) async fn store(
    State(web): State<Arc<Web>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    study: Option<Path<String>>,
    request: Request,
) -> Response {
    let study_instance_uid = study.map(|Path(uid)| uid);
    if study_instance_uid
        .as_ref()
        .is_some_and(|u| !uid::is_valid(u))
    {
        return Fault::NotAUid.into_response();
    }
    let content_type = request.headers().get(CONTENT_TYPE);
    let boundary = match boundary(content_type.and_then(|value| value.to_str().ok())) {
        Ok(boundary) => boundary,
        Err(fault) => return fault.into_response(),
    };
    let limits = web.limits;
    let mut reception = Reception {
        parts: Parts::new(request.into_body(), &boundary, limits.idle, limits.request),
        study_instance_uid,
        sender: Sender {
            ae_title: None,
            address: peer.ip().to_canonical(),
        },
        in_flight: VecDeque::new(),
        verdicts: Verdicts::default(),
        web,
    };
    reception.verdicts.broken = reception.receive_all().await.err();
    reception.finish().await.into_response()
}

/// The boundary of `multipart/related; type="application/dicom"; boundary=…`.
fn boundary(content_type: Option<&str>) -> Result<String, Fault> {
    let media_type = content_type.and_then(MediaType::parse);
    let media_type = media_type.ok_or(Fault::MediaType)?;
    let of_dicom = media_type
        .parameter("type")
        .is_none_or(|part| part.eq_ignore_ascii_case("application/dicom"));
    if media_type.essence != "multipart/related" || !of_dicom {
        return Err(Fault::MediaType);
    }
    let boundary = media_type.parameter("boundary").unwrap_or_default();
    let is_boundary = (1..=MAX_BOUNDARY_BYTES).contains(&boundary.len()) && boundary.is_ascii();
    is_boundary
        .then(|| boundary.to_owned())
        .ok_or(Fault::Boundary)
}

/// One request.
struct Reception {
    web: Arc<Web>,
    parts: Parts,
    study_instance_uid: Option<String>,
    sender: Sender,
    /// Instances on their way to the disk. They are tasks of their own: a client that leaves does not stop them halfway.
    in_flight: VecDeque<JoinHandle<Verdict>>,
    verdicts: Verdicts,
}

impl Reception {
    async fn receive_all(&mut self) -> Result<(), Broken> {
        let mut count = 0;
        while let Some(part) = self.parts.next().await? {
            count += 1;
            if count > self.web.limits.max_parts {
                return Err(Broken::TooManyParts);
            }
            self.receive(part).await?;
            if self.in_flight.len() >= MAX_IN_FLIGHT {
                self.settle_one().await;
            }
        }
        Ok(())
    }

    /// Takes one part; a refused one is read to its end, so that the next can be.
    async fn receive(&mut self, mut part: Field<'static>) -> Result<(), Broken> {
        let mut arriving = Arriving::default();
        let mut kept = is_dicom(&part).then_some(()).ok_or(Refusal::NotReadable);
        while let Some(bytes) = self.parts.chunk(&mut part).await? {
            if kept.is_ok() {
                arriving.gathered.extend_from_slice(&bytes);
            }
            if arriving.gathered.len() >= WRITE_BYTES {
                kept = arriving.write(&self.web.intake).await;
            }
        }
        if kept.is_ok() {
            kept = arriving.write(&self.web.intake).await;
        }
        let Arriving {
            identity, incoming, ..
        } = arriving;
        match (kept, incoming) {
            (Ok(()), Some(incoming)) => self.accept(incoming, identity),
            (kept, _) => {
                let kept = kept.and(Err(Refusal::NotReadable));
                self.settle(Verdict { identity, kept }).await;
            }
        }
        Ok(())
    }

    /// Has an instance made durable while the next one comes.
    fn accept(&mut self, incoming: Incoming, identity: Option<Identity>) {
        let claim = self.claim(identity.as_ref());
        let (intake, sender) = (self.web.intake.clone(), self.sender.clone());
        self.in_flight.push_back(tokio::spawn(async move {
            let kept = intake.accept(incoming, claim, sender).await.map(|_| ());
            Verdict { identity, kept }
        }));
    }

    fn claim(&self, identity: Option<&Identity>) -> Claim {
        Claim {
            sop_class_uid: identity.map(|i| i.sop_class_uid.clone()),
            sop_instance_uid: identity.map(|i| i.sop_instance_uid.clone()),
            study_instance_uid: self.study_instance_uid.clone(),
        }
    }

    async fn settle_one(&mut self) {
        let Some(task) = self.in_flight.pop_front() else {
            return;
        };
        let verdict = task.await.unwrap_or_else(|error| Verdict {
            identity: None,
            kept: Err(Refusal::Io(error.into())),
        });
        self.settle(verdict).await;
    }

    async fn settle(&mut self, verdict: Verdict) {
        if let Err(refusal) = &verdict.kept {
            let refused = Event::Refused {
                sender: self.sender.clone(),
                claim: self.claim(verdict.identity.as_ref()),
                code: refusal.code(),
                status: refusal.dimse_status(),
            };
            self.web.tell(refused).await;
        }
        self.verdicts.parts.push(verdict);
    }

    async fn finish(mut self) -> Verdicts {
        while !self.in_flight.is_empty() {
            self.settle_one().await;
        }
        if let Some(broken) = self.verdicts.broken {
            let code = broken.code();
            tracing::warn!(code, "Stopped reading a STOW-RS request: {broken}.");
        }
        self.verdicts
    }
}

/// A part on its way to the disk.
#[derive(Default)]
struct Arriving {
    identity: Option<Identity>,
    incoming: Option<Incoming>,
    /// What is not written yet.
    gathered: Vec<u8>,
}

impl Arriving {
    /// Writes what was gathered, off the runtime's threads: a busy disk may keep a write waiting.
    async fn write(&mut self, intake: &Intake) -> Result<(), Refusal> {
        let bytes = std::mem::take(&mut self.gathered);
        let begun = self.incoming.take();
        if begun.is_none() {
            self.identity = Identity::of(&bytes[..bytes.len().min(HEAD_BYTES)]);
            self.identity.as_ref().ok_or(Refusal::NotReadable)?;
        }
        let intake = intake.clone();
        let written = spawn_blocking(move || {
            let mut incoming = begun.map_or_else(|| intake.begin(), Ok)?;
            incoming.write(&bytes)?;
            Ok::<_, Refusal>(incoming)
        });
        self.incoming = Some(written.await.map_err(std::io::Error::from)??);
        Ok(())
    }
}
