//! Results by STOW-RS (PS3.18 10.5), as one request whose answer has to name every instance.

use super::{DeliveryError, Object, Parcel, Patience, RefusedInstance, Sent};
use crate::node::client::{ClientError, Service};
use crate::uid::UidSource;
use serde_json::Value;
use std::collections::{HashMap, HashSet, VecDeque};
use std::fs::File;
use std::io::{self, Cursor, Read};
use ureq::SendBody;

/// Longest answer that is read, bytes.
const MAX_ANSWER_BYTES: u64 = 4 << 20;

/// Failure Reason of an instance that is there already (PS3.7 C.5.9). Our UIDs name one content, so it is this one.
const DUPLICATE: u16 = 0x0111;

/// Sends the parcel's DICOM objects.
pub(super) fn send(
    service: Service<'_>,
    parcel: &Parcel,
    patience: &Patience,
) -> Result<Sent, DeliveryError> {
    let objects = parcel.objects()?;
    if objects.is_empty() {
        return Ok(Sent::default());
    }
    let uids = objects.iter().map(|o| o.identity.sop_instance_uid.as_str());
    let boundary = UidSource::new(uids).run_id();
    let content_type =
        format!("multipart/related; type=\"application/dicom\"; boundary={boundary}");
    let mut body = Multipart::of(&objects, &boundary)?;
    let mut request = service
        .agent(patience)?
        .post(service.at("/studies"))
        .header("accept", "application/dicom+json")
        .header("content-length", body.bytes.to_string())
        .content_type(content_type);
    if let Some(authorization) = service.authorization()? {
        request = request.header("authorization", authorization);
    }
    let sent = request.send(SendBody::from_reader(&mut body));
    let mut response = sent.map_err(|error| service.failed(error))?;
    let status = response.status().as_u16();
    let answer = response.body_mut().with_config();
    let answer = answer.limit(MAX_ANSWER_BYTES).read_to_vec();
    match status {
        200 | 202 | 409 => {
            let answer = answer.map_err(|error| service.failed(error))?;
            judge(status, &answer, &objects)
        }
        status => Err(ClientError::Status { status }.into()),
    }
}

/// What a Store Instances Response says of the objects (PS3.18 I.1).
fn judge(status: u16, answer: &[u8], objects: &[Object<'_>]) -> Result<Sent, DeliveryError> {
    let module: Value = match (serde_json::from_slice(answer), status) {
        (Ok(Value::Array(modules)), _) => modules.into_iter().next().unwrap_or_default(),
        (Ok(module @ Value::Object(_)), _) => module,
        (_, 409) => return Err(ClientError::Status { status }.into()),
        _ => return Err(DeliveryError::Answer),
    };
    let stored: HashSet<_> = items(&module, "00081199").filter_map(uid).collect();
    let failed = items(&module, "00081198").filter_map(|item| Some((uid(item)?, reason(item))));
    let failed: HashMap<_, _> = failed.collect();
    let is_there =
        |uid: &str| stored.contains(uid) || failed.get(uid).copied().flatten() == Some(DUPLICATE);
    let (there, missing): (Vec<_>, Vec<_>) = objects
        .iter()
        .partition(|object| is_there(&object.identity.sop_instance_uid));
    if missing.is_empty() {
        return Ok(Sent {
            objects: there.len(),
            bytes: there.iter().map(|object| object.bytes).sum(),
        });
    }
    let refused = missing.into_iter().map(|object| RefusedInstance {
        sop_class_uid: object.identity.sop_class_uid.clone(),
        sop_instance_uid: object.identity.sop_instance_uid.clone(),
        reason: failed
            .get(object.identity.sop_instance_uid.as_str())
            .copied()
            .flatten(),
    });
    Err(DeliveryError::Refused {
        stored: there.len(),
        refused: refused.collect(),
    })
}

fn items<'a>(module: &'a Value, sequence: &str) -> impl Iterator<Item = &'a Value> {
    let items = module[sequence]["Value"].as_array();
    items.into_iter().flatten()
}

/// Referenced SOP Instance UID (0008,1155).
fn uid(item: &Value) -> Option<&str> {
    item["00081155"]["Value"][0].as_str()
}

/// Failure Reason (0008,1197).
fn reason(item: &Value) -> Option<u16> {
    u16::try_from(item["00081197"]["Value"][0].as_u64()?).ok()
}

/// A request's body, which is read from the files as it is sent.
struct Multipart {
    pieces: VecDeque<Box<dyn Read>>,
    bytes: u64,
}

impl Multipart {
    fn of(objects: &[Object<'_>], boundary: &str) -> Result<Self, DeliveryError> {
        let mut body = Self {
            pieces: VecDeque::new(),
            bytes: 0,
        };
        for object in objects {
            let file = File::open(object.path).map_err(DeliveryError::source(object.path))?;
            body.push_text(format!(
                "--{boundary}\r\ncontent-type: application/dicom\r\n\r\n"
            ));
            body.pieces.push_back(Box::new(file.take(object.bytes)));
            body.bytes += object.bytes;
            body.push_text("\r\n".into());
        }
        body.push_text(format!("--{boundary}--\r\n"));
        Ok(body)
    }

    fn push_text(&mut self, text: String) {
        self.bytes += text.len() as u64;
        self.pieces.push_back(Box::new(Cursor::new(text)));
    }
}

impl Read for Multipart {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while let Some(piece) = self.pieces.front_mut() {
            let read = piece.read(buffer)?;
            if read > 0 || buffer.is_empty() {
                return Ok(read);
            }
            self.pieces.pop_front();
        }
        Ok(0)
    }
}
