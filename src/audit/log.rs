//! Writing: many record at once, one writes for all, and nobody returns before the line is durable.

use super::chain::{Chain, Step};
use super::key::hex;
use super::position::Position;
use super::record::{line, tail_of};
use super::{Break, Error, Event, HEAD, KEY, Key, LOG, MAX_COMMIT_BYTES, files};
use chrono::Utc;
use sha2::{Digest, Sha256};
use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{SyncSender, TryRecvError, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The decision log of a node's folder; cheap to clone.
///
/// The file is locked while something is written, so a verb of the command line may record beside a running node.
#[derive(Debug, Clone)]
pub struct Log(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    waiting: Mutex<VecDeque<Waiting>>,
    writer: Mutex<Writer>,
}

/// Events of one call, as JSON, and who waits for them.
#[derive(Debug)]
struct Waiting {
    events: Vec<String>,
    done: SyncSender<Result<(), Error>>,
}

impl Log {
    /// Opens the log of a node's folder, or begins it; makes the folder and the key where they are missing.
    ///
    /// What a crash left behind the signed head is taken over where it is whole, else set aside, and noted as an event.
    ///
    /// # Errors
    /// [`Error::Broken`] where the log does not end as its head says; those of [`Key::load`]; [`Error::KeyMissing`];
    /// [`Error::Io`].
    pub fn open(dir: &Path) -> Result<Self, Error> {
        fs::create_dir_all(dir).map_err(Error::io(dir))?;
        let path = dir.join(KEY);
        if dir.join(HEAD).exists() && !path.exists() {
            return Err(Error::KeyMissing { path });
        }
        let key = Key::load_or_create(&path)?;
        let mut writer = Writer::new(dir, key);
        writer.write([])?;
        files::sync_dir(dir).map_err(Error::io(dir))?;
        Ok(Self(Arc::new(Shared {
            waiting: Mutex::default(),
            writer: Mutex::new(writer),
        })))
    }

    /// Writes an event; it survives a power cut when this returns.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Broken`], [`Error::TooLarge`].
    pub fn record(&self, event: &Event) -> Result<(), Error> {
        self.record_all(std::slice::from_ref(event))
    }

    /// Writes events side by side, as [`Log::record`] does one: all of them, or an error.
    ///
    /// # Errors
    /// Those of [`Log::record`].
    pub fn record_all(&self, events: &[Event]) -> Result<(), Error> {
        let events: Vec<String> = events.iter().map(json).collect();
        if events.is_empty() {
            return Ok(());
        }
        let (done, result) = sync_channel(1);
        lock(&self.0.waiting).push_back(Waiting { events, done });
        let mut writer = lock(&self.0.writer);
        loop {
            match result.try_recv() {
                Ok(result) => return result,
                // Whoever has the writer writes for all that wait; those before us may fill one write.
                Err(TryRecvError::Empty) => self.write_waiting(&mut writer),
                Err(TryRecvError::Disconnected) => {
                    let ended = io::Error::other("the thread that wrote for all has ended");
                    return Err(writer.io()(ended));
                }
            }
        }
    }

    fn write_waiting(&self, writer: &mut Writer) {
        let (mut taken, mut bytes) = (Vec::new(), 0);
        let mut waiting = lock(&self.0.waiting);
        while let Some(next) = waiting.front() {
            bytes += next.bytes();
            if bytes > MAX_COMMIT_BYTES && !taken.is_empty() {
                break;
            }
            taken.extend(waiting.pop_front());
        }
        drop(waiting);
        let events = taken.iter().flat_map(|waiting| &waiting.events);
        let result = if bytes > MAX_COMMIT_BYTES && taken.len() == 1 {
            Err(Error::TooLarge { bytes })
        } else {
            writer.write(events)
        };
        for waiting in &taken {
            // Nobody waits any more only where its thread panicked.
            let _ = waiting.done.send(result.clone());
        }
    }

    /// The node's key.
    pub fn key(&self) -> Key {
        lock(&self.0.writer).key.clone()
    }
}

impl Waiting {
    /// More than the lines take.
    fn bytes(&self) -> usize {
        const FRAME_BYTES: usize = 300;
        let lines = self.events.iter().map(|event| event.len() + FRAME_BYTES);
        lines.sum()
    }
}

/// The state behind a panic is whole: a write replaces it as its last step.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Knows where the log ended; opens it for each write, so that one moved away is noticed.
#[derive(Debug)]
struct Writer {
    dir: PathBuf,
    path: PathBuf,
    key: Key,
    /// Where the log ended when it was last left; `None` before it was first read.
    at: Option<Position>,
}

impl Writer {
    fn new(dir: &Path, key: Key) -> Self {
        Self {
            dir: dir.into(),
            path: dir.join(LOG),
            key,
            at: None,
        }
    }

    /// Appends events while no other process writes, behind whatever one wrote meanwhile.
    fn write<'a>(&mut self, events: impl IntoIterator<Item = &'a String>) -> Result<(), Error> {
        let file = self.open()?;
        file.lock().map_err(self.io())?;
        self.catch_up(&file)?;
        self.append(&file, events)
    }

    fn open(&self) -> Result<File, Error> {
        let mut options = OpenOptions::new();
        options.read(true).append(true).create(self.at.is_none());
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        options.open(&self.path).map_err(self.io())
    }

    /// Finds the end of the log, where it is not the one that was left.
    fn catch_up(&mut self, file: &File) -> Result<(), Error> {
        let length = file.metadata().map_err(self.io())?.len();
        if self.at.as_ref().is_some_and(|at| at.bytes == length) {
            return Ok(());
        }
        let head = match Position::load(&self.dir.join(HEAD), &self.key)? {
            Some(head) => head,
            None if length == 0 => Position::start(),
            None => return Err(self.broken(Break::HeadMissing)),
        };
        self.check_head(file, &head, length)?;
        if head.bytes < length {
            return self.recover(file, &head, length);
        }
        self.at = Some(head);
        Ok(())
    }

    /// The last signed line is there and has the hash that the head names.
    fn check_head(&self, file: &File, head: &Position, length: u64) -> Result<(), Error> {
        if length < head.bytes {
            let end = walk(file, &Position::start()).map_err(self.io())?;
            let (expected, found) = (head.seq, end.seq);
            return Err(self.broken(Break::Cut { expected, found }));
        }
        if head.seq == 0 {
            return Ok(());
        }
        let expected = format!("{}\n", tail_of(&head.hash)).into_bytes();
        let start = head.bytes.saturating_sub(expected.len() as u64);
        let mut found = vec![0; expected.len()];
        read_at(file, start, |mut file| file.read_exact(&mut found)).map_err(self.io())?;
        if found == expected {
            Ok(())
        } else {
            Err(self.broken(Break::Rewritten))
        }
    }

    /// Takes over whole records behind the head, sets an unfinished end aside, and notes both.
    fn recover(&mut self, file: &File, head: &Position, length: u64) -> Result<(), Error> {
        if length - head.bytes > MAX_COMMIT_BYTES as u64 {
            return Err(self.broken(Break::Appended));
        }
        let at = walk(file, head).map_err(self.io())?;
        let torn_bytes = length - at.bytes;
        let set_aside = (torn_bytes > 0).then(|| self.set_aside(file, at.bytes));
        let recovered = Event::LogRecovered {
            records: at.seq - head.seq,
            torn_bytes,
            set_aside: set_aside.transpose()?,
        };
        self.at = Some(at);
        let event = json(&recovered);
        tracing::warn!(event, "The decision log was left by a crash and goes on.");
        self.append(file, [&event])
    }

    /// Moves what stands behind `start` to a file of its own, whose name is returned.
    fn set_aside(&self, file: &File, start: u64) -> Result<String, Error> {
        let mut torn = Vec::new();
        read_at(file, start, |mut file| file.read_to_end(&mut torn)).map_err(self.io())?;
        let name = format!("audit.torn-{}", &hex(&Sha256::digest(&torn))[..16]);
        files::replace(&self.dir.join(&name), &torn)?;
        let cut = file.set_len(start).and_then(|()| file.sync_all());
        cut.map_err(self.io())?;
        Ok(name)
    }

    /// Appends events; the head follows them, so it never names what is not durable.
    fn append<'a>(
        &mut self,
        mut file: &File,
        events: impl IntoIterator<Item = &'a String>,
    ) -> Result<(), Error> {
        let mut at = self.at.clone().unwrap_or_else(Position::start);
        let (start, mut text) = (at.bytes, String::new());
        for event in events {
            at.seq += 1;
            let (line, hash) = line(at.seq, Utc::now(), &at.hash, event);
            at.hash = hash;
            text += &line;
        }
        at.bytes += text.len() as u64;
        let written = file.write_all(text.as_bytes());
        if let Err(error) = written.and_then(|()| file.sync_data()) {
            // Nobody was told that it is written; should this fail too, the next call sets it aside.
            let _ = file.set_len(start);
            return Err(self.io()(error));
        }
        at.store(&self.dir.join(HEAD), &self.key)?;
        self.at = Some(at);
        Ok(())
    }

    fn io(&self) -> impl Fn(io::Error) -> Error {
        Error::io(&self.path)
    }

    fn broken(&self, found: Break) -> Error {
        let path = self.path.clone();
        Error::Broken { path, found }
    }
}

/// The end of the records that follow `from`.
fn walk(file: &File, from: &Position) -> io::Result<Position> {
    read_at(file, from.bytes, |file| {
        let mut chain = Chain::new(file, from.clone());
        while let Step::Record(_) = chain.step()? {}
        Ok(chain.at)
    })
}

fn read_at<'a, T>(
    mut file: &'a File,
    start: u64,
    read: impl FnOnce(&'a File) -> io::Result<T>,
) -> io::Result<T> {
    file.seek(SeekFrom::Start(start))?;
    read(file)
}

fn json(event: &Event) -> String {
    serde_json::to_string(event).expect("an event is numbers, texts and lists: JSON")
}
