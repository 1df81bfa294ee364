//! An instance on its way to the intake, written beside the tasks that wait for the network.

use super::dimse::{Association, Context, Error, InstanceRef, Message, status};
use super::scp::STORAGE;
use super::{Claim, Incoming, Intake, Refusal, Sender};
use crate::uid::{self, IMPLEMENTATION_CLASS_UID};
use dicom_object::FileMetaTableBuilder;
use std::io;
use tokio::task::spawn_blocking;

/// So much is collected before it is written, bytes: most slices are written at once.
const BATCH_BYTES: usize = 1 << 20;

/// A C-STORE request.
#[derive(Clone, Copy)]
pub(super) struct Offer<'a> {
    pub(super) context: &'a Context,
    pub(super) message: &'a Message,
    pub(super) instance: &'a InstanceRef,
    /// The study that the instance has to be of, where one was asked for.
    pub(super) study_instance_uid: Option<&'a str>,
    pub(super) sender: &'a Sender,
}

/// Why an instance is not taken, for the sender and for the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Failure {
    /// Of the C-STORE response.
    pub(super) status: u16,
    /// A stable kebab-case code.
    pub(super) code: &'static str,
    /// Another try may end otherwise.
    pub(super) is_transient: bool,
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Self {
            status: refusal.dimse_status(),
            code: refusal.code(),
            is_transient: refusal.is_transient(),
        }
    }
}

impl Offer<'_> {
    /// What the sender said; names that are no UIDs, and so may not be logged, are left out.
    pub(super) fn claim(&self) -> Claim {
        let valid = |uid: &str| uid::is_valid(uid).then(|| uid.to_owned());
        Claim {
            sop_class_uid: valid(&self.instance.sop_class_uid),
            sop_instance_uid: valid(&self.instance.sop_instance_uid),
            study_instance_uid: self.study_instance_uid.map(Into::into),
        }
    }

    /// Whether the instance may be what the command says.
    fn acceptable(&self) -> Result<(), Failure> {
        let refuse = |status, code| {
            Err(Failure {
                status,
                code,
                is_transient: false,
            })
        };
        if self.instance.sop_class_uid != self.context.abstract_syntax
            || !STORAGE.contains(&self.context.abstract_syntax.as_str())
        {
            return refuse(status::CLASS_NOT_SUPPORTED, "sop-class-not-of-context");
        }
        if !uid::is_valid(&self.instance.sop_instance_uid) {
            return refuse(status::INVALID_INSTANCE, "sop-instance-uid");
        }
        if !self.message.has_data_set {
            return refuse(status::CANNOT_UNDERSTAND, "no-data-set");
        }
        Ok(())
    }
}

/// Takes one instance after another.
pub(super) struct Spool {
    intake: Intake,
    /// Not yet written.
    batch: Vec<u8>,
    incoming: Option<Incoming>,
}

impl Spool {
    pub(super) fn new(intake: Intake) -> Self {
        Self {
            intake,
            batch: Vec::new(),
            incoming: None,
        }
    }

    /// Takes what a C-STORE request offers, piece by piece; what is refused is still read to its end, and nothing of it stays.
    ///
    /// # Errors
    /// Those of the association.
    pub(super) async fn receive(
        &mut self,
        association: &mut Association,
        offer: &Offer<'_>,
    ) -> Result<Result<(), Failure>, Error> {
        let claim = offer.claim();
        let mut taken = offer.acceptable();
        if taken.is_ok() {
            let begun = self.begin(&claim, &offer.context.transfer_syntax);
            taken = begun.map_err(Failure::from);
        }
        let mut is_last = !offer.message.has_data_set;
        while !is_last {
            let piece;
            (piece, is_last) = association.fragment(offer.context.id).await?;
            if taken.is_ok() {
                taken = self.push(piece).await.map_err(Failure::from);
            }
        }
        if taken.is_ok() {
            let accepted = self.accept(claim, offer.sender.clone()).await;
            taken = accepted.map_err(Failure::from);
        }
        if taken.is_err() {
            self.discard();
        }
        Ok(taken)
    }

    /// Begins a file; one that was begun before is forgotten, and nothing of it stays.
    ///
    /// The File Meta Information depends on the object alone, so that the same object is the same file whoever sent it.
    pub(super) fn begin(&mut self, claim: &Claim, transfer_syntax: &str) -> Result<(), Refusal> {
        self.discard();
        let uid = |uid: &Option<String>| uid.clone().unwrap_or_default();
        let meta = FileMetaTableBuilder::new()
            .media_storage_sop_class_uid(uid(&claim.sop_class_uid))
            .media_storage_sop_instance_uid(uid(&claim.sop_instance_uid))
            .transfer_syntax(transfer_syntax)
            .implementation_class_uid(IMPLEMENTATION_CLASS_UID)
            .build();
        self.batch.resize(128, 0);
        self.batch.extend(b"DICM");
        let meta = meta.map_err(|_| Refusal::NotReadable)?;
        meta.write(&mut self.batch)
            .map_err(|_| Refusal::NotReadable)
    }

    /// Appends a piece of the data set.
    pub(super) async fn push(&mut self, piece: &[u8]) -> Result<(), Refusal> {
        self.batch.extend(piece);
        match self.batch.len() < BATCH_BYTES {
            true => Ok(()),
            false => self.write().await,
        }
    }

    /// Hands the file over; when this returns, the instance is durable.
    pub(super) async fn accept(&mut self, claim: Claim, sender: Sender) -> Result<(), Refusal> {
        self.write().await?;
        let incoming = self.incoming.take().ok_or(Refusal::NotReadable)?;
        self.intake.accept(incoming, claim, sender).await?;
        Ok(())
    }

    /// Forgets what was begun.
    pub(super) fn discard(&mut self) {
        self.batch.clear();
        self.incoming = None;
    }

    async fn write(&mut self) -> Result<(), Refusal> {
        let (intake, batch) = (self.intake.clone(), std::mem::take(&mut self.batch));
        let incoming = self.incoming.take();
        let written = spawn_blocking(move || {
            let mut incoming = match incoming {
                Some(incoming) => incoming,
                None => intake.begin()?,
            };
            incoming.write(&batch)?;
            Ok::<_, Refusal>((incoming, batch))
        });
        let (incoming, mut batch) = written.await.map_err(io::Error::other)??;
        batch.clear();
        self.batch = batch;
        self.incoming = Some(incoming);
        Ok(())
    }
}
