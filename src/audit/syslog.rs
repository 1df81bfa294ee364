//! An audit message as syslog has it: RFC 5424 with the count of octets in front (RFC 5425 section 4.3).

use super::{Message, Source};

/// Facility 10, security and authorisation; severity 5 for a success, 4 for a failure (PS3.15 A.6).
const SUCCESS_PRIORITY: u8 = 10 * 8 + 5;
const FAILURE_PRIORITY: u8 = 10 * 8 + 4;

/// What messages of this profile are called.
const MESSAGE_ID: &str = "DICOM+RFC3881";

/// Longest HOSTNAME.
const MAX_HOST_BYTES: usize = 255;

/// The bytes that go over the wire for a message of this time.
pub(super) fn frame(message: &Message, time: &str, source: &Source) -> Vec<u8> {
    let priority = if message.success {
        SUCCESS_PRIORITY
    } else {
        FAILURE_PRIORITY
    };
    let printable = |host: &&str| {
        (1..=MAX_HOST_BYTES).contains(&host.len()) && host.bytes().all(|b| b.is_ascii_graphic())
    };
    let host = source.host.as_deref().filter(printable).unwrap_or("-");
    let xml = &message.xml;
    // The byte order mark says that the text is UTF-8.
    let text = format!("<{priority}>1 {time} {host} hilum - {MESSAGE_ID} - \u{feff}{xml}");
    format!("{} {text}", text.len()).into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_counts_its_octets_and_says_facility_ten() {
        let message = |success| Message {
            success,
            xml: "<é/>".into(),
        };
        let source = |host: &str| Source {
            ae_title: "HILUM".into(),
            host: Some(host.into()),
        };
        let time = "2026-11-22T20:00:00.000Z";
        let sent = frame(&message(true), time, &source("ct.example"));
        let text = "<85>1 2026-11-22T20:00:00.000Z ct.example hilum - DICOM+RFC3881 - \u{feff}<é/>";
        assert_eq!(sent, format!("74 {text}").into_bytes());
        assert_eq!(text.len(), 74);
        let sent = frame(&message(false), time, &source("two words"));
        assert!(sent.starts_with(b"65 <84>1 2026-11-22T20:00:00.000Z - hilum"));
    }
}
