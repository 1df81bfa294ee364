//! What a STOW-RS request is answered (PS3.18 10.5.3 and Annex I: Store Instances Response).

use super::multipart::Broken;
use crate::node::Refusal;
use crate::node::identity::Identity;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

/// Failure Reason of what was not understood (PS3.18 I.2.2).
const CANNOT_UNDERSTAND: u16 = 0xC000;

/// A full disk is asked about again so much later, s.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("60");

/// What became of one part.
#[derive(Debug)]
pub(super) struct Verdict {
    /// What the part said that it is.
    pub(super) identity: Option<Identity>,
    /// Whether it is kept.
    pub(super) kept: Result<(), Refusal>,
}

/// What became of a request.
#[derive(Debug, Default)]
pub(super) struct Verdicts {
    /// Of each part that was read.
    pub(super) parts: Vec<Verdict>,
    /// Why no further part was read.
    pub(super) broken: Option<Broken>,
}

impl IntoResponse for Verdicts {
    fn into_response(self) -> Response {
        let status = self.status();
        let json = [(header::CONTENT_TYPE, "application/dicom+json")];
        let mut response = (status, json, self.module().to_string()).into_response();
        if status == StatusCode::SERVICE_UNAVAILABLE {
            let headers = response.headers_mut();
            headers.insert(header::RETRY_AFTER, RETRY_AFTER);
        }
        response
    }
}

impl Verdicts {
    /// Table 10.5.3-1.
    fn status(&self) -> StatusCode {
        let refusals = || {
            self.parts
                .iter()
                .filter_map(|part| part.kept.as_ref().err())
        };
        let refused = refusals().count();
        let is_whole = refused == 0 && self.broken.is_none();
        let stored = self.parts.len() - refused;
        let mut reasons = refusals().map(refusal_status);
        match (stored, self.broken) {
            (1.., _) if is_whole => StatusCode::OK,
            (1.., _) => StatusCode::ACCEPTED,
            (0, Some(broken)) => broken.status(),
            (0, None) => match reasons.next() {
                None => StatusCode::BAD_REQUEST,
                Some(first) if reasons.all(|other| other == first) => first,
                Some(_) => StatusCode::CONFLICT,
            },
        }
    }

    /// Table I.1-1. A study cannot be retrieved here, so Retrieve URL is empty.
    fn module(&self) -> Value {
        let (mut referenced, mut failed, mut other) = (Vec::new(), Vec::new(), Vec::new());
        for Verdict { identity, kept } in &self.parts {
            match (identity, kept) {
                (Some(identity), Ok(())) => {
                    let mut item = reference(identity);
                    item["00081190"] = json!({"vr": "UR"});
                    referenced.push(item);
                }
                (Some(identity), Err(refusal)) => {
                    let mut item = reference(identity);
                    item["00081197"] = reason(refusal.dimse_status());
                    failed.push(item);
                }
                (None, kept) => {
                    let code = kept.as_ref().err().map_or(0, Refusal::dimse_status);
                    other.push(json!({"00081197": reason(code)}));
                }
            }
        }
        if self.broken.is_some() {
            other.push(json!({"00081197": reason(CANNOT_UNDERSTAND)}));
        }
        let mut module = json!({"00081190": {"vr": "UR"}});
        for (tag, items) in [
            ("00081198", failed),
            ("00081199", referenced),
            ("0008119A", other),
        ] {
            if !items.is_empty() {
                module[tag] = json!({"vr": "SQ", "Value": items});
            }
        }
        module
    }
}

fn refusal_status(refusal: &Refusal) -> StatusCode {
    match refusal {
        Refusal::OutOfResources | Refusal::Io(_) => StatusCode::SERVICE_UNAVAILABLE,
        Refusal::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
        Refusal::NotReadable => StatusCode::BAD_REQUEST,
        _ => StatusCode::CONFLICT,
    }
}

fn reference(identity: &Identity) -> Value {
    json!({
        "00081150": {"vr": "UI", "Value": [identity.sop_class_uid]},
        "00081155": {"vr": "UI", "Value": [identity.sop_instance_uid]},
    })
}

fn reason(code: u16) -> Value {
    json!({"vr": "US", "Value": [code]})
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdicts(parts: Vec<Result<(), Refusal>>, broken: Option<Broken>) -> Verdicts {
        let part = |kept| Verdict {
            identity: None,
            kept,
        };
        let parts = parts.into_iter().map(part).collect();
        Verdicts { parts, broken }
    }

    #[test]
    fn a_status_says_whether_all_some_or_nothing_was_stored_and_why() {
        let full = || Err(Refusal::OutOfResources);
        let large = || Err(Refusal::TooLarge { max_bytes: 1 });
        for (parts, broken, status) in [
            (vec![Ok(()), Ok(())], None, 200),
            (vec![Ok(()), full()], None, 202),
            (vec![Ok(())], Some(Broken::Cut), 202),
            (vec![full(), full()], None, 503),
            (vec![large()], None, 413),
            (vec![full(), large()], None, 409),
            (vec![Err(Refusal::OtherContent)], None, 409),
            (vec![Err(Refusal::NotReadable)], None, 400),
            (vec![], None, 400),
            (vec![], Some(Broken::TooSlow), 408),
            (vec![full()], Some(Broken::TooManyParts), 413),
        ] {
            let what = format!("{parts:?} {broken:?}");
            assert_eq!(verdicts(parts, broken).status().as_u16(), status, "{what}");
        }
    }
}
