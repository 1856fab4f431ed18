//! Clients that send their bodies too slowly.

use tokio::time::Instant;

use super::Exchange;
use crate::plane::l7::h1::Name;
use crate::snapshot::Reason;

impl Exchange {
    /// Counts the time of the client while its body is waited for, and what has come of it.
    pub(super) fn keep_pace(&mut self, is_waiting: bool) -> Result<(), Reason> {
        let Some(pace) = &mut self.pace else { return Ok(()) };
        let now = Instant::now();
        if is_waiting {
            pace.wait(now);
            return Ok(());
        }
        let is_enough = pace.moved(now, self.request.unsent() as u64, &self.server.local.limits);
        is_enough.then_some(()).ok_or(Reason::ClientTooSlow)
    }
}

/// Whether a client has to send its body at a pace: streams of gRPC have messages when they have.
pub(super) fn paced<'a>(mut fields: impl Iterator<Item = (Name, &'a [u8], &'a [u8])>) -> bool {
    !fields.any(|(_, name, value)| {
        let prefix = value.get(..GRPC.len());
        name.eq_ignore_ascii_case(b"content-type")
            && prefix.is_some_and(|prefix| prefix.eq_ignore_ascii_case(GRPC))
    })
}

const GRPC: &[u8] = b"application/grpc";
