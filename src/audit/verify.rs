//! Checking the whole log: every line by its hash, its number and the line before it, and its end by the signed head.

use super::chain::{Chain, Step, next_line};
use super::position::Position;
use super::record::Record;
use super::{Break, Error, HEAD, KEY, Key, LOG, MAX_COMMIT_BYTES};
use std::fs::File;
use std::io::{self, BufReader, Read, Take};
use std::path::{Path, PathBuf};

/// The log as it was at one moment; a running node may append meanwhile.
#[derive(Debug)]
pub struct Snapshot {
    path: PathBuf,
    length: u64,
    key: Key,
    head: Option<Position>,
    /// The head is there and says something else than the key's owner wrote.
    head_forged: bool,
}

/// What a check found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// Records that follow one another, from the first.
    pub records: u64,
    /// Of those, how many stand behind the signed head: a crash between a write and its signature leaves some.
    pub unsigned: u64,
    /// Bytes of an unfinished end behind the head: a crash while writing leaves them.
    pub torn_bytes: u64,
    /// The first break; behind it nothing is proven.
    pub broken: Option<Finding>,
}

/// A break, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Line, from 1; `None` where the log as a whole is meant.
    pub line: Option<u64>,
    /// What kind of break.
    pub found: Break,
}

impl Snapshot {
    /// Of the log in a node's folder.
    ///
    /// # Errors
    /// [`Error::Io`] where there is none; those of [`Key::load`].
    pub fn take(dir: &Path) -> Result<Self, Error> {
        let path = dir.join(LOG);
        let key = Key::load(&dir.join(KEY))?;
        let file = File::open(&path).map_err(Error::io(&path))?;
        // No writer stands between its lines and its signature.
        file.lock_shared().map_err(Error::io(&path))?;
        let head = Position::load(&dir.join(HEAD), &key);
        let length = file.metadata().map_err(Error::io(&path))?.len();
        let head_forged = matches!(head, Err(Error::Broken { .. }));
        Ok(Self {
            head: if head_forged { None } else { head? },
            path,
            length,
            key,
            head_forged,
        })
    }

    /// The node's key.
    pub fn key(&self) -> &Key {
        &self.key
    }

    /// The log's lines that are records by themselves, from the first, whether they follow one another or not.
    ///
    /// # Errors
    /// [`Error::Io`], also from each step.
    pub fn records(&self) -> Result<impl Iterator<Item = Result<Record, Error>>, Error> {
        let mut reader = BufReader::new(self.open(0)?);
        let path = self.path.clone();
        Ok(std::iter::from_fn(move || {
            loop {
                match next_line(&mut reader) {
                    Err(error) => return Some(Err(Error::io(&path)(error))),
                    Ok(line) if line.is_empty() => return None,
                    Ok(line) => {
                        let line = line.strip_suffix(b"\n").unwrap_or(&line);
                        if let Ok(record) = Record::parse(line) {
                            return Some(Ok(record));
                        }
                    }
                }
            }
        }))
    }

    /// What is confirmed by the head and stands behind `from`.
    pub(super) fn confirmed(&self, from: Position) -> Result<Chain<Take<File>>, Error> {
        let end = self.head.as_ref().map_or(0, |head| head.bytes);
        let mut file = self.open(from.bytes)?;
        file.set_limit(end.saturating_sub(from.bytes));
        Ok(Chain::new(file, from))
    }

    /// The signed end; the beginning where there is none.
    pub(super) fn head(&self) -> Position {
        self.head.clone().unwrap_or_else(Position::start)
    }

    fn open(&self, start: u64) -> Result<Take<File>, Error> {
        let open = || {
            let mut file = File::open(&self.path)?;
            io::Seek::seek(&mut file, io::SeekFrom::Start(start))?;
            Ok(file.take(self.length.saturating_sub(start)))
        };
        open().map_err(Error::io(&self.path))
    }
}

/// Checks the log of a node's folder.
///
/// # Errors
/// Those of [`Snapshot::take`]; [`Error::Io`] while it is read. A broken log is no error but a [`Verdict`].
pub fn verify(snapshot: &Snapshot) -> Result<Verdict, Error> {
    let mut chain = Chain::new(snapshot.open(0)?, Position::start());
    let broken = first_break(snapshot, &mut chain).map_err(Error::io(&snapshot.path))?;
    let broken = broken.or_else(|| end_break(snapshot, &chain.at));
    let line = broken.as_ref().and_then(|finding| finding.line);
    let records = line.map_or(chain.at.seq, |line| line - 1);
    let signed = snapshot.head.as_ref().map_or(records, |head| head.seq);
    let torn_bytes = snapshot.length.saturating_sub(chain.at.bytes);
    Ok(Verdict {
        records,
        unsigned: records.saturating_sub(signed),
        torn_bytes: if broken.is_none() { torn_bytes } else { 0 },
        broken,
    })
}

/// The first line that does not follow the one before; what a crash left behind the head is none.
fn first_break(snapshot: &Snapshot, chain: &mut Chain<Take<File>>) -> io::Result<Option<Finding>> {
    let head = snapshot.head.as_ref();
    loop {
        let line = Some(chain.at.seq + 1);
        let beyond = head.is_some_and(|head| chain.at.seq >= head.seq);
        let found = match chain.step()? {
            Step::Record(record) => {
                let named = head.filter(|head| head.seq == record.seq);
                if named.is_none_or(|head| *head == chain.at) {
                    continue;
                }
                Break::Rewritten
            }
            Step::Broken(found, record) if !beyond => swapped(chain, record)?.unwrap_or(found),
            Step::Broken(..) | Step::Torn | Step::End => return Ok(None),
        };
        return Ok(Some(Finding { line, found }));
    }
}

/// Whether the record that was met is the one behind the next.
fn swapped(chain: &mut Chain<Take<File>>, met: Option<Record>) -> io::Result<Option<Break>> {
    let due = chain.at.seq + 1;
    let Some(met) = met.filter(|met| met.seq == due + 1) else {
        return Ok(None);
    };
    Ok(match chain.step()? {
        Step::Record(next) if met.prev == next.hash => Some(Break::Swapped),
        _ => None,
    })
}

/// What is wrong with the end of a log whose lines follow one another up to `at`.
fn end_break(snapshot: &Snapshot, at: &Position) -> Option<Finding> {
    let found = match &snapshot.head {
        _ if snapshot.head_forged => Break::HeadForged,
        None if snapshot.length > 0 => Break::HeadMissing,
        None => return None,
        Some(head) if at.seq < head.seq => Break::Cut {
            expected: head.seq,
            found: at.seq,
        },
        Some(head) if snapshot.length - head.bytes > MAX_COMMIT_BYTES as u64 => Break::Appended,
        Some(_) => return None,
    };
    Some(Finding { line: None, found })
}
