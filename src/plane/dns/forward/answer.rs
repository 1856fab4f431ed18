//! What becomes of a question that is forwarded.

use std::rc::Rc;

use super::reply::Reply;

/// An answer of an upstream.
#[derive(Clone, Debug)]
pub(in crate::plane::dns) struct Answer {
    pub(super) reply: Rc<Reply>,
    pub(super) age: Age,
}

/// How long ago an upstream said so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Age {
    Seconds(u32),
    /// Longer than it is good for.
    Stale,
}

impl Age {
    /// What is left of a time to live, in seconds. Of a stale answer it is short (RFC 8767
    /// section 4).
    pub(super) fn left(self, ttl: u32) -> u32 {
        match self {
            Self::Seconds(age) => ttl.saturating_sub(age),
            Self::Stale => 30,
        }
    }
}

impl Answer {
    /// The message of the upstream, without additional records.
    pub(in crate::plane::dns) fn message(&self) -> &[u8] {
        &self.reply.bytes
    }

    pub(in crate::plane::dns) fn rcode(&self) -> u8 {
        self.reply.rcode
    }

    /// What is left of a time to live that stands in the message.
    pub(in crate::plane::dns) fn left(&self, ttl: u32) -> u32 {
        self.age.left(ttl.max(self.reply.shortest).min(self.reply.longest))
    }
}

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::plane::dns) enum Failure {
    /// Nobody is to be asked, or too much waits already: the client may ask its next server.
    Refused,
    /// Nobody has answered.
    Unreachable,
}
