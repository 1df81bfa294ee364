//! An instance on its way to the intake, written beside the tasks that wait for the network.

use crate::node::{Claim, Incoming, Intake, Refusal, Sender};
use crate::uid::IMPLEMENTATION_CLASS_UID;
use dicom_object::FileMetaTableBuilder;
use std::io;
use tokio::task::spawn_blocking;

/// So much is collected before it is written, bytes: most slices are written at once.
const BATCH_BYTES: usize = 1 << 20;

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
