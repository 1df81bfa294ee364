//! One line of the log: number, time, hash of the line before, event, and the hash of all of it.

use super::key::hex;
use super::{Break, Event};
use chrono::{DateTime, SecondsFormat, Utc};
use serde::Deserialize;
use serde_json::Value;
use sha2::{Digest, Sha256};

/// What the first record names as the hash of the line before it.
pub(super) const NO_HASH: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// What parts a line's text from its hash, and what ends the line.
const BEFORE_HASH: &str = r#","hash":""#;
const AFTER_HASH: &str = r#""}"#;

/// What a line has behind its text: the hash of 64 digits in its frame.
const TAIL_BYTES: usize = BEFORE_HASH.len() + NO_HASH.len() + AFTER_HASH.len();

/// One line.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// 1, 2, 3, …
    pub seq: u64,
    /// When it was written, RFC 3339, UTC.
    pub time: String,
    /// Hash of the line before; zeros in the first.
    pub prev: String,
    /// What happened, as JSON: a later version of the program may know kinds of events that this one does not.
    pub event: Value,
    /// SHA-256 of the line up to `,"hash"`, hexadecimal.
    pub hash: String,
    /// The line as it stands in the log.
    #[serde(skip)]
    pub line: String,
}

impl Record {
    /// Reads a line, without its line feed, and checks it by its own hash.
    pub(super) fn parse(line: &[u8]) -> Result<Self, Break> {
        let text_bytes = line.len().checked_sub(TAIL_BYTES);
        let (text, tail) = line.split_at(text_bytes.ok_or(Break::Unreadable)?);
        if !tail.starts_with(BEFORE_HASH.as_bytes()) {
            return Err(Break::Unreadable);
        }
        if tail != tail_of(&hash(text)).as_bytes() {
            return Err(Break::Changed);
        }
        let line = std::str::from_utf8(line).map_err(|_| Break::Unreadable)?;
        let record: Self = serde_json::from_str(line).map_err(|_| Break::Unreadable)?;
        let line = line.to_owned();
        match DateTime::parse_from_rfc3339(&record.time) {
            Ok(_) => Ok(Self { line, ..record }),
            Err(_) => Err(Break::Unreadable),
        }
    }

    /// When it was written.
    pub fn at(&self) -> Option<DateTime<Utc>> {
        let time = DateTime::parse_from_rfc3339(&self.time).ok()?;
        Some(time.to_utc())
    }

    /// The event, where this version knows its kind.
    pub fn event(&self) -> Option<Event> {
        serde_json::from_value(self.event.clone()).ok()
    }

    /// Kind of the event.
    pub fn kind(&self) -> &str {
        self.event["kind"].as_str().unwrap_or_default()
    }

    /// Study Instance UID of the event, where it has one.
    pub fn study_instance_uid(&self) -> Option<&str> {
        self.event["study_instance_uid"].as_str()
    }
}

/// The line of an event, with its line feed, and its hash; `event` is JSON.
pub(super) fn line(seq: u64, time: DateTime<Utc>, prev: &str, event: &str) -> (String, String) {
    let time = time.to_rfc3339_opts(SecondsFormat::Millis, true);
    let text = format!(r#"{{"seq":{seq},"time":"{time}","prev":"{prev}","event":{event}"#);
    let hash = hash(text.as_bytes());
    (format!("{text}{}\n", tail_of(&hash)), hash)
}

/// How a line with this hash ends, line feed aside.
pub(super) fn tail_of(hash: &str) -> String {
    format!("{BEFORE_HASH}{hash}{AFTER_HASH}")
}

fn hash(text: &[u8]) -> String {
    hex(&Sha256::digest(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first line of a log, made once; its hash is what `sha256sum` says of the text before `,"hash"`.
    const LINE: &str = concat!(
        r#"{"seq":1,"time":"2026-11-22T20:00:00.000Z","#,
        r#""prev":"0000000000000000000000000000000000000000000000000000000000000000","#,
        r#""event":{"kind":"stopped","reason":"asked"},"#,
        r#""hash":"7ddfe588ed84d5facbde329cbbb15c72ec5e482680c5317d23f3e4194cbf601a"}"#,
    );

    #[test]
    fn the_hash_is_the_one_that_sha256sum_computes() {
        let time = "2026-11-22T20:00:00Z".parse().unwrap();
        let event = r#"{"kind":"stopped","reason":"asked"}"#;
        let (line, hash) = line(1, time, NO_HASH, event);
        assert_eq!(line, format!("{LINE}\n"));
        assert!(line.contains(&hash));
        assert_eq!(Record::parse(LINE.as_bytes()).unwrap().seq, 1);
    }

    #[test]
    fn no_changed_byte_goes_unseen() {
        for at in 0..LINE.len() {
            for flip in [1, 2, 32] {
                let mut line = LINE.as_bytes().to_vec();
                line[at] ^= flip;
                assert!(Record::parse(&line).is_err(), "byte {at}");
            }
            assert!(
                Record::parse(&LINE.as_bytes()[..at]).is_err(),
                "cut at {at}"
            );
        }
    }
}
