//! The body of a request on its way to the endpoint.

use std::task::{Context, Poll, ready};

use super::{Client, Exchange};
use crate::life;
use crate::snapshot::Reason;

/// The state of a request's body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::plane::l7) enum Upload {
    /// There is more to come from the client.
    Going,
    /// All of it is in the buffer or sent.
    Gathered,
    /// All of it is sent.
    Done,
    /// The endpoint takes no more; it may have answered all the same.
    Refused {
        /// All of it was in the buffer.
        gathered: bool,
    },
}

impl Exchange {
    /// Puts the part of the body that has come with the head behind it, so that both leave in
    /// one write, and can be sent again.
    pub(in crate::plane::l7) fn gather(&mut self, client: &mut impl Client) -> Result<(), Reason> {
        if self.upload == Upload::Going && client.take_buffered(&mut self.request)? {
            self.upload = Upload::Gathered;
        }
        Ok(())
    }

    /// Sends what there is of the request. Ready when all of it is sent, or refused.
    pub(in crate::plane::l7) fn poll_upload(
        &mut self,
        cx: &mut Context<'_>,
        client: &mut impl Client,
    ) -> Poll<Result<(), Reason>> {
        while matches!(self.upload, Upload::Going | Upload::Gathered) {
            let Some(carrier) = &mut self.upstream else { return Poll::Pending };
            let owed = self.request.unsent() > 0 || carrier.connection.stream.holds_back();
            if ready!(carrier.connection.poll_send(cx, &mut self.request)).is_err() {
                // it may have answered and closed, as with 413: the answer is read all the same
                self.upload = Upload::Refused { gathered: self.upload == Upload::Gathered };
            } else if self.upload == Upload::Gathered {
                self.upload = Upload::Done;
            } else {
                if self.request.bytes.len() > self.server().local.limits.retry_bytes {
                    self.request.clear();
                    self.mirrored = 0;
                }
                if owed {
                    self.expect_progress(client, life::now());
                }
                let polled = client.poll_body(cx, &mut self.request);
                self.keep_pace(polled.is_pending())?;
                if ready!(polled)? {
                    self.upload = Upload::Gathered;
                }
                self.feed_mirrors();
                self.expect_progress(client, life::now());
            }
        }
        Poll::Ready(Ok(()))
    }

    pub(super) fn waits_for_client(&self) -> bool {
        let carrier = self.upstream.as_ref();
        let is_sent = !carrier.is_some_and(|it| it.connection.stream.holds_back());
        // a stream of gRPC has messages when it has, and who is answered already owes nobody
        let is_owed = self.upload == Upload::Going && self.pace.is_some();
        is_owed && self.request.unsent() == 0 && is_sent
    }
}
