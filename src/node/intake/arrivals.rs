//! One thread that tells of instances once they are acknowledged: all that came within a moment at once.
//!
//! Which of them are untold stands in the database, in the transaction of their rows: what a crash keeps this from
//! telling, the next start tells. So an answer need not wait for the decision log, and the log still has every instance.

use crate::node::store::{Arrival, Error, Store};
use crossbeam_channel::{Receiver, Sender, bounded};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Most instances that are told of at once, and most that wait for that.
const MAX_GROUP: usize = 256;

/// So long those after the first are waited for: each group costs several syncs, beside those of the reception.
const GATHER: Duration = Duration::from_millis(100);

/// Hears of arrivals; says whether what it tells of them is durable.
pub(super) type OnArrivals = Box<dyn Fn(&[Arrival]) -> bool + Send>;

/// Ends when it is dropped, and has told everything then.
#[derive(Debug)]
pub(super) struct Arrivals {
    /// None while it is dropped.
    waiting: Option<Sender<Arrival>>,
    thread: Option<JoinHandle<()>>,
}

impl Arrivals {
    /// Tells first what the last end of the node left untold.
    pub(super) fn start(store: &Store, on_arrivals: OnArrivals) -> Result<Self, Error> {
        let untold = store.untold()?;
        for group in untold.chunks(MAX_GROUP) {
            tell(store, &on_arrivals, group);
        }
        let (sender, waiting) = bounded(MAX_GROUP);
        let store = store.clone();
        let path = store.dir().to_owned();
        let thread = thread::Builder::new()
            .name("arrivals".into())
            .spawn(move || {
                while let Some(group) = next_group(&waiting) {
                    tell(&store, &on_arrivals, &group);
                }
            })
            .map_err(|source| Error::Folder { path, source })?;
        Ok(Self {
            waiting: Some(sender),
            thread: Some(thread),
        })
    }

    /// Hands an arrival over; false where nobody would hear of it before the next start.
    pub(super) fn push(&self, arrival: Arrival) -> bool {
        let thread = self.waiting.as_ref();
        thread.is_some_and(|thread| thread.send(arrival).is_ok())
    }
}

impl Drop for Arrivals {
    fn drop(&mut self) {
        drop(self.waiting.take());
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

/// What came within a moment; none once nothing more can come.
fn next_group(waiting: &Receiver<Arrival>) -> Option<Vec<Arrival>> {
    let mut group = vec![waiting.recv().ok()?];
    let end = Instant::now() + GATHER;
    while group.len() < MAX_GROUP {
        match waiting.recv_deadline(end) {
            Ok(arrival) => group.push(arrival),
            Err(_) => break,
        }
    }
    Some(group)
}

fn tell(store: &Store, on_arrivals: &OnArrivals, group: &[Arrival]) {
    if !on_arrivals(group) {
        return;
    }
    let receipts = group.iter().filter_map(|arrival| arrival.receipt.as_ref());
    let uids: Vec<&str> = receipts.map(|r| r.sop_instance_uid.as_str()).collect();
    if let Err(error) = store.forget_untold(&uids) {
        // The next start tells of them once more.
        tracing::error!(code = error.code(), "The database cannot be used: {error}");
    }
}
