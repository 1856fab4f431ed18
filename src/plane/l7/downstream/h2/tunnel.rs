//! A WebSocket on a stream (RFC 8441): bytes both ways, whatever they mean.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use ::h2::server::SendResponse;
use ::h2::{RecvStream, SendStream};
use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::Ongoing;
use super::calm::Calm;
use super::ongoing::Switched;
use super::stream::Incoming;
use crate::plane::l7::h1::ResponseHead;
use crate::plane::l7::window::poll_room;
use crate::plane::l7::{Server, upgrade};

/// Tells the client that its stream is open, and carries what it and the endpoint say until both have
/// ended. What the client sent before waits in its window until now.
pub(super) async fn run(
    server: &Server,
    calm: &Calm,
    ongoing: Ongoing<Incoming>,
    response: &ResponseHead,
    respond: &mut SendResponse<Bytes>,
) {
    let Some((answer, switched)) = ongoing.switch(response) else { return };
    let Switched { body, active: _active, carrier, mut record } = switched;
    let Ok(sender) = respond.send_response(answer, false) else { return };
    let receiver = body.into_stream();
    let mut client = Tunnel { calm, receiver, sender, data: Bytes::new() };
    upgrade::run(server, &mut client, &[], carrier, &mut record).await;
}

/// A stream as a connection. Dropped before its end, it is reset.
struct Tunnel<'a> {
    calm: &'a Calm,
    receiver: RecvStream,
    sender: SendStream<Bytes>,
    /// What came and was not read yet.
    data: Bytes,
}

impl AsyncRead for Tunnel<'_> {
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

impl AsyncWrite for Tunnel<'_> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let room = ready!(poll_room(&mut this.sender, buf.len(), cx))?.min(buf.len());
        let data = Bytes::copy_from_slice(buf.get(..room).unwrap_or_default());
        this.calm.note_work();
        this.sender.send_data(data, false).map_err(io::Error::other)?;
        Poll::Ready(Ok(room))
    }

    /// The connection flushes by itself. That the client is gone shows here where it has nothing more to
    /// say, and nothing is said to it.
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut().sender.poll_reset(cx) {
            Poll::Ready(_) => Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
            Poll::Pending => Poll::Ready(Ok(())),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let ended = self.get_mut().sender.send_data(Bytes::new(), true);
        Poll::Ready(ended.map_err(io::Error::other))
    }
}
