//! Results by STOW-RS (PS3.18 10.5), as one request whose answer has to name every instance.

use super::{DeliveryError, Object, Parcel, Patience, RefusedInstance, Sent};
use crate::node::web::read_token;
use crate::uid::UidSource;
use serde_json::Value;
use std::collections::{HashMap, HashSet, VecDeque};
use std::fs::File;
use std::io::{self, Cursor, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};
use ureq::{Agent, SendBody};

/// Where systems keep the certificates that they trust, as PEM: Debian, Red Hat, Alpine and macOS.
const SYSTEM_BUNDLES: [&str; 3] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/cert.pem",
];

/// Longest answer that is read, bytes.
const MAX_ANSWER_BYTES: u64 = 4 << 20;

/// Failure Reason of an instance that is there already (PS3.7 C.5.9). Our UIDs name one content, so it is this one.
const DUPLICATE: u16 = 0x0111;

/// A service that takes instances.
#[derive(Debug, Clone, Copy)]
pub(super) struct Service<'a> {
    /// Its address, without `/studies`.
    pub(super) url: &'a str,
    /// File with a bearer token.
    pub(super) token_file: Option<&'a Path>,
    /// File of certificates that vouch for it; else those of the system.
    pub(super) ca: Option<&'a Path>,
}

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
    let mut request = agent(service, patience)?
        .post(format!("{}/studies", service.url.trim_end_matches('/')))
        .header("accept", "application/dicom+json")
        .header("content-length", body.bytes.to_string())
        .content_type(content_type);
    if let Some(path) = service.token_file {
        let token = read_token(path)?;
        request = request.header("authorization", format!("Bearer {token}"));
    }
    let mut response = request.send(SendBody::from_reader(&mut body))?;
    let status = response.status().as_u16();
    let answer = response.body_mut().with_config();
    let answer = answer.limit(MAX_ANSWER_BYTES).read_to_vec();
    match status {
        200 | 202 | 409 => judge(status, &answer?, &objects),
        status => Err(DeliveryError::Status { status }),
    }
}

fn agent(service: Service<'_>, patience: &Patience) -> Result<Agent, DeliveryError> {
    let address = || DeliveryError::Address {
        url: service.url.into(),
    };
    let (scheme, _) = service.url.split_once("://").ok_or_else(address)?;
    let roots = match scheme.to_ascii_lowercase().as_str() {
        "http" => Vec::new(),
        "https" => roots(service.ca)?,
        _ => return Err(address()),
    };
    let tls = TlsConfig::builder()
        .root_certs(RootCerts::Specific(Arc::new(roots)))
        .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .build();
    // What is sent goes where it was configured to go: no proxy of the environment, no redirect.
    let config = Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .proxy(None)
        .tls_config(tls)
        .timeout_resolve(Some(patience.connect))
        .timeout_connect(Some(patience.connect))
        .timeout_per_write(Some(patience.write))
        .timeout_recv_response(Some(patience.answer))
        .timeout_recv_body(Some(patience.answer))
        .timeout_global(Some(patience.total));
    Ok(config.build().new_agent())
}

fn roots(ca: Option<&Path>) -> Result<Vec<Certificate<'static>>, DeliveryError> {
    let system = || SYSTEM_BUNDLES.iter().find(|path| Path::new(path).exists());
    let path = ca.map_or_else(
        || PathBuf::from(system().unwrap_or(&SYSTEM_BUNDLES[0])),
        Path::to_path_buf,
    );
    let unusable = |why: String| DeliveryError::Certificates {
        path: path.clone(),
        why,
    };
    let pem = std::fs::read(&path).map_err(|error| unusable(error.to_string()))?;
    let certificates = parse_pem(&pem).filter_map(|item| match item {
        Ok(PemItem::Certificate(certificate)) => Some(Ok(certificate)),
        Ok(_) => None,
        Err(error) => Some(Err(unusable(error.to_string()))),
    });
    let certificates: Vec<_> = certificates.collect::<Result<_, _>>()?;
    match certificates.is_empty() {
        true => Err(unusable("it holds no certificate".into())),
        false => Ok(certificates),
    }
}

/// What a Store Instances Response says of the objects (PS3.18 I.1).
fn judge(status: u16, answer: &[u8], objects: &[Object<'_>]) -> Result<Sent, DeliveryError> {
    let module: Value = match (serde_json::from_slice(answer), status) {
        (Ok(Value::Array(modules)), _) => modules.into_iter().next().unwrap_or_default(),
        (Ok(module @ Value::Object(_)), _) => module,
        (_, 409) => return Err(DeliveryError::Status { status }),
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
