//! What is given up when memory is short.

use std::task::{Context, Poll};

use super::{Client, Exchange};
use crate::life::{Level, Shed};
use crate::plane::l7::Server;
use crate::snapshot::Reason;

/// Refuses what is new, where memory is that short.
pub(super) fn admit(server: &Server) -> Result<(), Reason> {
    if server.local.level.get() < Level::Shed {
        return Ok(());
    }
    server.local.overload.count(Shed::Request, 1);
    Err(Reason::Overloaded)
}

impl Exchange {
    /// Ready once the bytes that it holds have to go; `more` is held for it elsewhere.
    pub(in crate::plane::l7) fn poll_shed(
        &mut self,
        cx: &Context<'_>,
        client: &impl Client,
        more: usize,
    ) -> Poll<()> {
        let upstream = self.upstream.as_ref().map_or(0, |it| it.connection.buffer.held());
        // nobody looks at what comes while the endpoint takes nothing
        let window = if self.request.unsent() > 0 { client.window() } else { 0 };
        let held = [self.request.bytes.capacity(), upstream, window, more];
        let held = held.into_iter().fold(0, usize::saturating_add);
        self.holding.poll_note(cx, &self.server.accounts, held)
    }
}
