//! Asks a peer to commit to what it was sent (PS3.4 J).

use super::{Scu, blocking, context_of, ended, service};
use crate::config::PeerConfig;
use crate::node::dimse::{
    Association, Command, Commitment, Error, InstanceRef, Message, field, request_data_set,
    result_of, status,
};
use dicom_dictionary_std::uids;
use tokio::time::{Instant, timeout_at};

const MODEL: &str = uids::STORAGE_COMMITMENT_PUSH_MODEL;

/// Action Type ID (0000,1008) of a request (PS3.4 table J.3-1).
const REQUEST: u16 = 1;

impl Scu {
    /// Asks the peer to commit to instances. Its answer, where it comes on the same association; else it comes later, to
    /// the listening side, as [`crate::node::scp::Event::Committed`].
    ///
    /// # Errors
    /// Any [`Error`]; the peer has not taken the request then.
    pub fn request_commitment(
        &self,
        peer: &PeerConfig,
        transaction_uid: &str,
        instances: &[InstanceRef],
    ) -> Result<Option<Commitment>, Error> {
        blocking(async {
            let mut association = self.connect(peer, vec![service(MODEL)]).await?;
            let until = Instant::now() + self.timeouts.commitment;
            match request(&mut association, transaction_uid, instances).await {
                Ok(Some(commitment)) => ended(association, Ok(Some(commitment))).await,
                Ok(None) => {
                    // The request is taken; whatever becomes of the wait, the answer can still come later.
                    let waited = timeout_at(until, report(&mut association)).await;
                    let answer = waited.ok().and_then(Result::ok).flatten();
                    ended(association, Ok(answer)).await
                }
                Err(error) => ended(association, Err(error)).await,
            }
        })
    }
}

/// Asks; the answer, where the peer gives it before it says that it took the request.
async fn request(
    association: &mut Association,
    transaction_uid: &str,
    instances: &[InstanceRef],
) -> Result<Option<Commitment>, Error> {
    let (context_id, transfer_syntax) = context_of(association, MODEL)?;
    let request = Message {
        id: 1,
        has_data_set: true,
        command: Command::Action {
            instance: InstanceRef {
                sop_class_uid: MODEL.into(),
                sop_instance_uid: uids::STORAGE_COMMITMENT_PUSH_MODEL_INSTANCE.into(),
            },
            action_type: REQUEST,
        },
    };
    let data_set = request_data_set(transaction_uid, instances, &transfer_syntax)?;
    association
        .send(context_id, &request, Some(&data_set))
        .await?;
    accepted(association).await
}

/// Waits until the peer says that it took the request.
async fn accepted(association: &mut Association) -> Result<Option<Commitment>, Error> {
    let mut early = None;
    loop {
        let (context, message) = association.message().await?.ok_or(Error::Closed)?;
        match &message.command {
            Command::EventReport { .. } => {
                early = Some(taken(association, context, &message).await?);
            }
            Command::Response { to, status, .. } if *to == field::ACTION => {
                if message.has_data_set {
                    association.data_set(context).await?;
                }
                return match *status {
                    status::SUCCESS => Ok(early),
                    status => Err(Error::Status {
                        operation: "N-ACTION",
                        status,
                    }),
                };
            }
            command => {
                let field = command.field();
                return Err(Error::UnexpectedCommand { field });
            }
        }
    }
}

/// The answer, where the peer gives it before it ends the association.
async fn report(association: &mut Association) -> Result<Option<Commitment>, Error> {
    let Some((context, message)) = association.message().await? else {
        return Ok(None);
    };
    match &message.command {
        Command::EventReport { .. } => taken(association, context, &message).await.map(Some),
        command => Err(Error::UnexpectedCommand {
            field: command.field(),
        }),
    }
}

/// Takes an answer and says so.
async fn taken(
    association: &mut Association,
    context_id: u8,
    message: &Message,
) -> Result<Commitment, Error> {
    let transfer_syntax = association.context(context_id)?.transfer_syntax.clone();
    let bytes = match message.has_data_set {
        true => association.data_set(context_id).await?,
        false => None,
    };
    let commitment = result_of(&bytes.unwrap_or_default(), &transfer_syntax);
    let status = match commitment {
        Ok(_) => status::SUCCESS,
        Err(_) => status::PROCESSING_FAILURE,
    };
    let response = message.response(status);
    association.send(context_id, &response, None).await?;
    commitment
}
