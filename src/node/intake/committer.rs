//! One thread that writes rows: all that wait at a moment in one transaction.

use super::{Refusal, unwritable};
use crate::node::store::{Arrived, Error, NewInstance, Store};
use crossbeam_channel::{Receiver, Sender, bounded};
use std::thread::{self, JoinHandle};

/// Most instances of one transaction, and most that wait for the next one.
const MAX_GROUP: usize = 256;

/// Ends when it is dropped, and has let go of the database then.
#[derive(Debug)]
pub(super) struct Committer {
    /// None while it is dropped.
    waiting: Option<Sender<Waiting>>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Waiting {
    instance: NewInstance,
    answer: Sender<Result<Arrived, Refusal>>,
}

impl Committer {
    pub(super) fn start(store: &Store) -> Result<Self, Error> {
        let (sender, waiting) = bounded(MAX_GROUP);
        let store = store.clone();
        let path = store.dir().to_owned();
        let thread = thread::Builder::new()
            .name("intake".into())
            .spawn(move || run(&store, &waiting))
            .map_err(|source| Error::Folder { path, source })?;
        Ok(Self {
            waiting: Some(sender),
            thread: Some(thread),
        })
    }

    /// Returns when the row is durable.
    pub(super) fn commit(&self, instance: NewInstance) -> Result<Arrived, Refusal> {
        let (answer, answered) = bounded(1);
        let waiting = Waiting { instance, answer };
        let thread = self.waiting.as_ref();
        // Without the thread nothing is written, and nothing is acknowledged.
        if thread.is_none_or(|thread| thread.send(waiting).is_err()) {
            return Err(Refusal::OutOfResources);
        }
        answered.recv().map_err(|_| Refusal::OutOfResources)?
    }
}

impl Drop for Committer {
    fn drop(&mut self) {
        drop(self.waiting.take());
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

fn run(store: &Store, waiting: &Receiver<Waiting>) {
    while let Ok(first) = waiting.recv() {
        let mut group = vec![first];
        group.extend(waiting.try_iter().take(MAX_GROUP - 1));
        let instances: Vec<&NewInstance> = group.iter().map(|waiting| &waiting.instance).collect();
        match store.add(&instances) {
            Ok(arrived) => {
                let answers = group.iter().zip(arrived);
                answers.for_each(|(waiting, arrived)| waiting.answer(Ok(arrived)));
            }
            // One row that cannot be written must not refuse the others.
            Err(_) => group.iter().for_each(|waiting| {
                let arrived = store.add(&[&waiting.instance]);
                let arrived = arrived.map_err(|error| unwritable(&error));
                waiting
                    .answer(arrived.and_then(|mut one| one.pop().ok_or(Refusal::OutOfResources)));
            }),
        }
    }
}

impl Waiting {
    /// Whoever waited may have been stopped meanwhile; the row stands all the same.
    fn answer(&self, arrived: Result<Arrived, Refusal>) {
        drop(self.answer.try_send(arrived));
    }
}
