//! One side of an association from memory, for tests of what hostile peers may send.

use super::negotiate;
use crate::node::dimse::{Association, Command, Error, Limits, Wire, result_of};
use std::io::Cursor;
use std::time::Duration;
use tokio::runtime;

/// More than bytes in memory ever take.
const LONG: Duration = Duration::from_secs(60);

/// Largest protocol data unit that is taken, bytes.
const MAX_PDU_BYTES: u32 = 64 << 10;

/// Reads all that a peer says, as [`super::Scp::serve`] would, answers into the void and keeps nothing; the count of
/// messages up to the release.
///
/// # Errors
/// What the association would be aborted for; [`Error::Closed`] where the bytes end before its release.
pub fn rehearse(bytes: &[u8]) -> Result<usize, Error> {
    let stream = tokio::io::join(Cursor::new(bytes.to_vec()), tokio::io::sink());
    let runtime = runtime::Builder::new_current_thread().enable_time().build();
    runtime.map_err(Error::Io)?.block_on(async {
        let mut wire = Wire::new(Box::new(stream), Limits::from_now(LONG, LONG));
        let request = Association::requested(&mut wire).await?;
        let contexts = negotiate::contexts(&request, true);
        let contexts = contexts.ok_or(Error::MalformedPdu { pdu_type: 1 })?;
        let answer = negotiate::answer(&request, contexts.results, MAX_PDU_BYTES);
        let asked = &request.user_variables;
        let accepted =
            Association::accept(wire, contexts.accepted, MAX_PDU_BYTES, asked, answer).await;
        let mut association = accepted.map_err(|(_, error)| error)?;
        let mut messages = 0;
        while let Some((context_id, message)) = association.message().await? {
            messages += 1;
            let syntax = association.context(context_id)?.transfer_syntax.clone();
            let data_set = match message.has_data_set {
                true => association.data_set(context_id).await?,
                false => None,
            };
            let is_report = matches!(message.command, Command::EventReport { .. });
            let status = match data_set.filter(|_| is_report) {
                Some(bytes) => u16::from(result_of(&bytes, &syntax).is_err()),
                None => 0,
            };
            let response = message.response(status);
            association.send(context_id, &response, None).await?;
        }
        Ok(messages)
    })
}
