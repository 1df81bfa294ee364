//! What is done on an accepted association.

use super::negotiate::Terms;
use super::{Event, Shared, Stop, stopped};
use crate::node::dimse::{
    Association, Command, Context, Error, InstanceRef, Message, result_of, status,
};
use crate::node::spool::{Failure, Offer, Spool};
use dicom_dictionary_std::uids;
use std::sync::Arc;
use tracing::debug;

/// An accepted association.
pub(super) struct Session {
    association: Association,
    terms: Terms,
    shared: Arc<Shared>,
    spool: Spool,
    accepted: u64,
    refused: u64,
}

impl Session {
    pub(super) fn new(association: Association, terms: Terms, shared: Arc<Shared>) -> Self {
        let spool = Spool::new(shared.intake.clone());
        Self {
            association,
            terms,
            shared,
            spool,
            accepted: 0,
            refused: 0,
        }
    }

    /// Answers messages until the peer releases the association, breaks it or breaks its rules.
    pub(super) async fn run(mut self, mut stop: Stop) {
        let ended = loop {
            match self.next(&mut stop).await {
                Ok(true) => {}
                Ok(false) => break Ok(()),
                Err(error) => break Err(error),
            }
        };
        self.spool.discard();
        let (sender, code) = (
            self.terms.sender.clone(),
            ended.as_ref().map_or_else(Error::code, |()| "released"),
        );
        if let Err(error) = &ended {
            debug!(code, "An association was not released: {error}");
        }
        self.shared
            .tell(Event::Ended {
                sender,
                accepted: self.accepted,
                refused: self.refused,
                code,
            })
            .await;
        // The place is free once the decision is told; the connection may take a moment more to close.
        drop(self.terms.slot);
        match ended {
            Ok(()) => self.association.close().await,
            Err(error) => self.association.abort(&error).await,
        }
    }

    /// Answers one message; false once the association is released.
    async fn next(&mut self, stop: &mut Stop) -> Result<bool, Error> {
        let message = tokio::select! {
            biased;
            message = self.association.message() => message?,
            () = stopped(stop) => return Err(Error::Stopped),
        };
        let Some((context_id, message)) = message else {
            return Ok(false);
        };
        let context = self.association.context(context_id)?.clone();
        match &message.command {
            Command::Response { .. } => Err(Error::UnexpectedCommand {
                field: message.command.field(),
            }),
            // What it cancels has been answered.
            Command::Cancel => Ok(()),
            Command::Store(instance) => self.store(&context, &message, instance).await,
            Command::EventReport { .. }
                if context.abstract_syntax == uids::STORAGE_COMMITMENT_PUSH_MODEL =>
            {
                self.committed(&context, &message).await
            }
            command => {
                let is_echo = *command == Command::Echo;
                let status = match is_echo && context.abstract_syntax == uids::VERIFICATION {
                    true => status::SUCCESS,
                    false => status::UNRECOGNIZED_OPERATION,
                };
                if message.has_data_set {
                    self.association.data_set(context.id).await?;
                }
                self.respond(&context, &message, status).await
            }
        }?;
        Ok(true)
    }

    async fn respond(
        &mut self,
        context: &Context,
        message: &Message,
        status: u16,
    ) -> Result<(), Error> {
        let response = message.response(status);
        self.association.send(context.id, &response, None).await
    }

    /// C-STORE: the data set goes to the intake piece by piece.
    async fn store(
        &mut self,
        context: &Context,
        message: &Message,
        instance: &InstanceRef,
    ) -> Result<(), Error> {
        let sender = self.terms.sender.clone();
        let offer = Offer {
            context,
            message,
            instance,
            study_instance_uid: None,
            sender: &sender,
        };
        let taken = self.spool.receive(&mut self.association, &offer).await?;
        let status = self.count(taken, &offer).await;
        self.respond(context, message, status).await
    }

    /// Notes how an instance ended; says the status of the answer.
    async fn count(&mut self, taken: Result<(), Failure>, offer: &Offer<'_>) -> u16 {
        let Err(Failure { status, code, .. }) = taken else {
            self.accepted += 1;
            return status::SUCCESS;
        };
        self.refused += 1;
        let refused = Event::Refused {
            sender: offer.sender.clone(),
            claim: offer.claim(),
            code,
            status,
        };
        self.shared.tell(refused).await;
        status
    }

    /// N-EVENT-REPORT of Storage Commitment (PS3.4 J.3.3).
    async fn committed(&mut self, context: &Context, message: &Message) -> Result<(), Error> {
        let bytes = match message.has_data_set {
            true => self.association.data_set(context.id).await?,
            false => None,
        };
        let commitment = bytes.map(|bytes| result_of(&bytes, &context.transfer_syntax));
        let status = match commitment {
            Some(Ok(commitment)) => {
                let sender = self.terms.sender.clone();
                self.shared
                    .tell(Event::Committed { sender, commitment })
                    .await;
                status::SUCCESS
            }
            Some(Err(_)) | None => status::PROCESSING_FAILURE,
        };
        self.respond(context, message, status).await
    }
}
