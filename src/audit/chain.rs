//! Follows the log from a position, line by line, as long as each follows the one before.

use super::position::Position;
use super::record::Record;
use super::{Break, MAX_COMMIT_BYTES};
use std::io::{self, BufRead, BufReader, Read};

/// A walk along the chain.
pub(super) struct Chain<R> {
    reader: BufReader<R>,
    /// Behind the last record that was met.
    pub(super) at: Position,
}

/// What comes next.
#[derive(Debug)]
pub(super) enum Step {
    /// A record that follows the one before.
    Record(Record),
    /// A line that does not; with the record where it is one by itself.
    Broken(Break, Option<Record>),
    /// Bytes without a line feed behind them.
    Torn,
    /// Nothing.
    End,
}

impl<R: Read> Chain<R> {
    /// Behind `at`, where `reader` goes on.
    pub(super) fn new(reader: R, at: Position) -> Self {
        let reader = BufReader::new(reader);
        Self { reader, at }
    }

    /// The next line; behind a break the walk may go on, but nothing is proven then.
    pub(super) fn step(&mut self) -> io::Result<Step> {
        let mut line = next_line(&mut self.reader)?;
        let bytes = line.len() as u64;
        if line.pop_if(|last| *last == b'\n').is_none() {
            return Ok(match line.len() {
                0 => Step::End,
                length if length > MAX_COMMIT_BYTES => Step::Broken(Break::Unreadable, None),
                _ => Step::Torn,
            });
        }
        let record = match Record::parse(&line) {
            Ok(record) => record,
            Err(found) => return Ok(Step::Broken(found, None)),
        };
        if let Some(found) = self.unlinked(&record) {
            return Ok(Step::Broken(found, Some(record)));
        }
        self.at = Position {
            seq: record.seq,
            hash: record.hash.clone(),
            bytes: self.at.bytes + bytes,
        };
        Ok(Step::Record(record))
    }

    /// Why a record does not follow the one before.
    fn unlinked(&self, record: &Record) -> Option<Break> {
        let (expected, found) = (self.at.seq + 1, record.seq);
        if found > expected {
            Some(Break::Removed { expected, found })
        } else if found < expected {
            Some(Break::Inserted { expected, found })
        } else {
            (record.prev != self.at.hash).then_some(Break::Unlinked)
        }
    }
}

/// The bytes up to a line feed and it, or those of which no record has more; none at the end.
pub(super) fn next_line(reader: &mut impl BufRead) -> io::Result<Vec<u8>> {
    let mut line = Vec::new();
    let limit = MAX_COMMIT_BYTES as u64 + 1;
    reader.take(limit).read_until(b'\n', &mut line)?;
    Ok(line)
}
