//! A WebSocket on a stream (RFC 8441): bytes both ways, whatever they mean.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use ::h2::server::SendResponse;
use ::h2::{RecvStream, SendStream};
use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::ongoing::Switched;
use super::stream::Incoming;
use super::{Active, Activity, Ongoing};
use crate::plane::l7::h1::ResponseHead;
use crate::plane::l7::window::poll_room;
use crate::plane::l7::{Server, upgrade};

/// Tells the client that its stream is open, and carries what it and the endpoint say until both have
/// ended. What the client sent before waits in its window until now.
pub(super) async fn run(
    server: &Server,
    ongoing: Ongoing<Incoming>,
    response: &ResponseHead,
    respond: &mut SendResponse<Bytes>,
) {
    let Some((answer, switched)) = ongoing.switch(response) else { return };
    let Switched { body, active, carrier, mut record } = switched;
    let Ok(sender) = respond.send_response(answer, false) else { return };
    let _open = Open::new(&active);
    let mut client = Tunnel { receiver: body.into_stream(), sender, data: Bytes::new() };
    upgrade::run(server, &mut client, &[], carrier, &mut record).await;
}

/// Counts a tunnel as long as it lives.
struct Open<'a>(&'a Activity);

impl<'a> Open<'a> {
    fn new(active: &'a Active) -> Self {
        let activity = &active.0.activity;
        activity.tunnels.set(activity.tunnels.get().saturating_add(1));
        Self(activity)
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.tunnels.set(self.0.tunnels.get().saturating_sub(1));
    }
}

/// A stream as a connection. Dropped before its end, it is reset.
struct Tunnel {
    receiver: RecvStream,
    sender: SendStream<Bytes>,
    /// What came and was not read yet.
    data: Bytes,
}

impl AsyncRead for Tunnel {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        while this.data.is_empty() {
            match ready!(this.receiver.poll_data(cx)) {
                Some(data) => this.data = data.map_err(io::Error::other)?,
                None => return Poll::Ready(Ok(())),
            }
        }
        let length = this.data.len().min(buf.remaining());
        buf.put_slice(this.data.get(..length).unwrap_or_default());
        this.data.advance(length);
        let _ = this.receiver.flow_control().release_capacity(length);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Tunnel {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let room = ready!(poll_room(&mut this.sender, buf.len(), cx))?.min(buf.len());
        let data = Bytes::copy_from_slice(buf.get(..room).unwrap_or_default());
        this.sender.send_data(data, false).map_err(io::Error::other)?;
        Poll::Ready(Ok(room))
    }

    /// The connection flushes by itself.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let ended = self.get_mut().sender.send_data(Bytes::new(), true);
        Poll::Ready(ended.map_err(io::Error::other))
    }
}
