//! Earlier studies by QIDO-RS and WADO-RS (PS3.18 10.6, 10.4).
//!
//! In: a list of studies as JSON, and a study as multipart, each part a PS3.10 file. Out: instances for the intake, streamed.

use super::PriorsError;
use super::question::{Found, Question};
use crate::node::client::{ClientError, Patience, Service};
use crate::node::dimse;
use crate::node::identity::FileHead;
use crate::node::scu::{MAX_INSTANCES, Retrieved};
use crate::node::spool::Spool;
use crate::node::web::{MediaType, Parts, is_dicom};
use crate::node::{Claim, Intake, Refusal, Sender};
use axum::body::{Body, Bytes};
use futures_core::Stream;
use multer::Field;
use serde_json::Value;
use std::io::{self, Read};
use std::net::{IpAddr, Ipv4Addr, ToSocketAddrs};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::thread;
use std::time::Duration;
use tokio::runtime;
use tokio::sync::mpsc;
use tokio::time::sleep;
use ureq::RequestBuilder;
use ureq::http::{Response, Uri};
use ureq::typestate::WithoutBody;

/// Longest list of studies that is read, bytes.
const MAX_LIST_BYTES: u64 = 4 << 20;

/// So much of a body is read at once, bytes, and so many pieces wait for the disk.
const PIECE_BYTES: usize = 64 << 10;
const MAX_PIECES: usize = 4;

/// All instances as they are kept there (PS3.18 8.7.3.5.2).
const ACCEPT: &str = r#"multipart/related; type="application/dicom"; transfer-syntax=*"#;

/// The end of the node is looked for so often.
const LOOK: Duration = Duration::from_millis(100);

/// The studies that the service names.
pub(super) fn studies(
    service: Service<'_>,
    patience: &Patience,
    question: &Question,
) -> Result<Vec<Found>, PriorsError> {
    let mut request = service.agent(patience)?.get(service.at("/studies"));
    for (key, value) in question.query() {
        request = request.query(key, value);
    }
    let mut response = call(service, request, "application/dicom+json")?;
    if response.status() == 204 {
        return Ok(Vec::new());
    }
    let list = response.body_mut().with_config().limit(MAX_LIST_BYTES);
    let list = list.read_to_vec().map_err(|error| service.failed(error))?;
    match serde_json::from_slice(&list) {
        Ok(Value::Array(studies)) => Ok(studies.iter().map(Found::of_json).collect()),
        _ => Err(PriorsError::NotUnderstood),
    }
}

/// Takes all instances of a study.
pub(super) fn study(
    service: Service<'_>,
    patience: &Patience,
    study_uid: &str,
    (intake, stop): (&Intake, &AtomicBool),
) -> Result<Retrieved, PriorsError> {
    let request = service.agent(patience)?;
    let request = request.get(service.at(&format!("/studies/{study_uid}")));
    let response = call(service, request, ACCEPT)?;
    let boundary = boundary(&response).ok_or(PriorsError::NotUnderstood)?;
    let (pieces, taken) = mpsc::channel(MAX_PIECES);
    let body = response.into_body().into_reader();
    // Ends with the body, at the latest after the service's patience; or at once where nobody takes what it reads.
    let reading = thread::Builder::new().name("priors-body".into());
    reading
        .spawn(move || read_on(body, &pieces))
        .map_err(dimse::Error::Io)?;
    let runtime = runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(dimse::Error::Io)?.block_on(async {
        let body = Body::from_stream(Pieces(taken));
        let mut reception = Reception {
            parts: Parts::new(body, &boundary, patience.answer, patience.total),
            spool: Spool::new(intake.clone()),
            study_uid,
            sender: Sender {
                ae_title: None,
                address: address(service.url),
            },
            retrieved: Retrieved::default(),
        };
        let stopped = async {
            while !stop.load(Ordering::Relaxed) {
                sleep(LOOK).await;
            }
        };
        tokio::select! {
            biased;
            received = reception.receive_all() => received?,
            () = stopped => return Err(dimse::Error::Stopped.into()),
        }
        Ok(reception.retrieved)
    })
}

fn call(
    service: Service<'_>,
    request: RequestBuilder<WithoutBody>,
    accept: &str,
) -> Result<Response<ureq::Body>, PriorsError> {
    let mut request = request.header("accept", accept);
    if let Some(authorization) = service.authorization()? {
        request = request.header("authorization", authorization);
    }
    let response = request.call().map_err(|error| service.failed(error))?;
    match response.status().as_u16() {
        200 | 204 => Ok(response),
        status => Err(ClientError::Status { status }.into()),
    }
}

/// The boundary of `multipart/related; type="application/dicom"; boundary=…`.
fn boundary(response: &Response<ureq::Body>) -> Option<String> {
    let content_type = response.headers().get("content-type")?.to_str().ok()?;
    let media_type = MediaType::parse(content_type)?;
    let of_dicom = media_type
        .parameter("type")
        .is_none_or(|part| part.eq_ignore_ascii_case("application/dicom"));
    let boundary = media_type.parameter("boundary")?;
    let is_boundary = (1..=70).contains(&boundary.len()) && boundary.is_ascii();
    let is_multipart = media_type.essence == "multipart/related";
    (is_multipart && of_dicom && is_boundary).then(|| boundary.to_owned())
}

/// Where the service is, as far as its name says it.
fn address(url: &str) -> IpAddr {
    let resolved = || {
        let uri: Uri = url.parse().ok()?;
        let host = uri.host()?.trim_matches(['[', ']']).to_owned();
        let addresses = (host, 0).to_socket_addrs().ok();
        addresses?.next().map(|socket| socket.ip().to_canonical())
    };
    resolved().unwrap_or(Ipv4Addr::UNSPECIFIED.into())
}

/// Reads a body piece by piece, until it ends or nobody takes it.
fn read_on(mut body: impl Read, pieces: &mpsc::Sender<io::Result<Bytes>>) {
    loop {
        let mut piece = vec![0; PIECE_BYTES];
        let read = body.read(&mut piece);
        let is_end = matches!(read, Ok(0) | Err(_));
        let piece = read.map(|bytes| {
            piece.truncate(bytes);
            Bytes::from(piece)
        });
        let is_empty = piece.as_ref().is_ok_and(Bytes::is_empty);
        if !is_empty && pieces.blocking_send(piece).is_err() || is_end {
            return;
        }
    }
}

/// What another thread reads.
struct Pieces(mpsc::Receiver<io::Result<Bytes>>);

impl Stream for Pieces {
    type Item = io::Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_recv(cx)
    }
}

/// A study on its way in.
struct Reception<'a> {
    parts: Parts,
    spool: Spool,
    study_uid: &'a str,
    sender: Sender,
    retrieved: Retrieved,
}

impl Reception<'_> {
    async fn receive_all(&mut self) -> Result<(), PriorsError> {
        let mut parts = 0;
        while let Some(part) = self.parts.next().await? {
            parts += 1;
            if parts > MAX_INSTANCES {
                return Err(dimse::Error::TooManyInstances { max: MAX_INSTANCES }.into());
            }
            let mut claim = Claim {
                study_instance_uid: Some(self.study_uid.into()),
                ..Claim::default()
            };
            match self.receive(part, &mut claim).await? {
                Ok(()) => self.retrieved.completed += 1,
                // The others would fare alike: the service need not send them.
                Err(refusal) if refusal.is_transient() => {
                    return Err(dimse::Error::NotTaken {
                        code: refusal.code(),
                    }
                    .into());
                }
                Err(refusal) => {
                    self.spool.discard();
                    self.retrieved.left_out += 1;
                    self.retrieved.refused.push((claim, refusal.code()));
                }
            }
        }
        Ok(())
    }

    /// Takes one part; a refused one is read to its end, so that the next can be. File Meta Information is written anew, so
    /// that the same object is the same file however it comes.
    async fn receive(
        &mut self,
        mut part: Field<'static>,
        claim: &mut Claim,
    ) -> Result<Result<(), Refusal>, PriorsError> {
        let mut taken = is_dicom(&part).then_some(()).ok_or(Refusal::NotReadable);
        let (mut head, mut has_begun) = (Vec::new(), false);
        while let Some(bytes) = self.parts.chunk(&mut part).await? {
            if taken.is_err() {
                continue;
            }
            if has_begun {
                taken = self.spool.push(&bytes).await;
                continue;
            }
            head.extend_from_slice(&bytes);
            taken = match FileHead::of(&head) {
                Some(found) => {
                    has_begun = true;
                    claim.sop_class_uid = Some(found.identity.sop_class_uid);
                    claim.sop_instance_uid = Some(found.identity.sop_instance_uid);
                    match self.spool.begin(claim, &found.transfer_syntax_uid) {
                        Ok(()) => self.spool.push(&head[found.data_at..]).await,
                        refused => refused,
                    }
                }
                None if head.len() > FileHead::MAX_BYTES => Err(Refusal::NotReadable),
                None => Ok(()),
            };
        }
        Ok(match (taken, has_begun) {
            (Ok(()), true) => self.spool.accept(claim.clone(), self.sender.clone()).await,
            (taken, _) => taken.and(Err(Refusal::NotReadable)),
        })
    }
}
