//! One exchange on a stream of HTTP/2, as bytes of HTTP/1.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use ::h2::RecvStream;
use ::h2::client::{ResponseFuture, SendRequest};
use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::Lease;
use super::request::{Upload, Way, convert};
use super::response::{write_end, write_head, write_interim};
use crate::plane::l7::h1::{BodyLength, HeadEnd, Outgoing, ProtocolError, Verb};
use crate::plane::l7::upstream::Peer;

/// Takes one request and gives its response. Dropping it resets the stream if that is not over.
///
/// Both directions belong to one task: what is read depends on what was written, and no waker is
/// kept for that.
#[derive(Debug)]
pub(crate) struct Translated {
    sending: Sending,
    receiving: Receiving,
    /// What came, and how much of it was read.
    came: Outgoing,
    read: usize,
    // after the stream: its place is free once it is gone
    lease: Lease,
}

/// How far the request is.
#[derive(Debug)]
enum Sending {
    /// Its head is not complete.
    Head { sender: SendRequest<Bytes>, way: Way, bytes: Vec<u8>, end: HeadEnd },
    /// Its body is on its way.
    Body(Upload),
    /// All of it is sent, or no more of it can be.
    Done,
}

/// How far the response is.
#[derive(Debug)]
enum Receiving {
    /// Nothing was asked yet.
    Idle,
    /// The stream could not be opened.
    Failed(io::Error),
    /// Its head.
    Head(ResponseFuture, Verb),
    /// Its body.
    Body(RecvStream),
    /// What comes behind the body.
    Trailers(RecvStream),
    /// Nothing any more.
    Done,
}

impl Translated {
    /// A stream for one exchange. It is opened when the head of the request is written.
    pub(crate) fn new(lease: Lease, sender: SendRequest<Bytes>, peer: &Peer) -> Self {
        let way = Way { is_tls: peer.tls.is_some(), endpoint: peer.endpoint.addr() };
        let (bytes, end) = (Vec::new(), HeadEnd::default());
        Self {
            sending: Sending::Head { sender, way, bytes, end },
            receiving: Receiving::Idle,
            came: Outgoing::new(Vec::new()),
            read: 0,
            lease,
        }
    }

    /// Whether the connection has carried a response before.
    pub(crate) fn is_proven(&self) -> bool {
        self.lease.session().proven.get()
    }

    /// Whether a part of the body waits for the endpoint's window.
    pub(crate) fn holds_back(&self) -> bool {
        match &self.sending {
            Sending::Body(upload) => upload.holds_back(),
            Sending::Head { .. } | Sending::Done => false,
        }
    }

    /// Adds to the head of the request, and opens the stream when it is complete.
    fn write_head(&mut self, more: &[u8]) -> Result<(), ProtocolError> {
        let Sending::Head { sender, way, bytes, end } = &mut self.sending else { return Ok(()) };
        bytes.extend_from_slice(more);
        let Some(length) = end.find(bytes)? else { return Ok(()) };
        let behind = bytes.split_off(length);
        let (request, length, head) = convert(bytes, *way)?;
        let is_whole = length == BodyLength::Exact(0);
        match sender.send_request(request, is_whole) {
            Ok((response, stream)) => {
                self.receiving = Receiving::Head(response, head.verb);
                let mut upload = Upload::new(stream, length);
                upload.take(&behind)?;
                self.sending = if is_whole { Sending::Done } else { Sending::Body(upload) };
            }
            // the response is where an exchange looks for what went wrong
            Err(error) => {
                self.receiving = Receiving::Failed(self.note(error));
                self.sending = Sending::Done;
            }
        }
        Ok(())
    }

    fn poll_sending(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Sending::Body(upload) = &mut self.sending
            && ready!(upload.poll_send(cx))?
        {
            self.sending = Sending::Done;
        }
        Poll::Ready(Ok(()))
    }

    /// Gets more of the response; `false` at its end.
    fn poll_receiving(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        match &mut self.receiving {
            Receiving::Idle => return Poll::Pending,
            Receiving::Done => return Poll::Ready(Ok(false)),
            Receiving::Failed(_) => {
                let failed = std::mem::replace(&mut self.receiving, Receiving::Done);
                let Receiving::Failed(error) = failed else { return Poll::Ready(Ok(false)) };
                return Poll::Ready(Err(error));
            }
            Receiving::Head(..) => ready!(self.poll_head(cx)).map_err(|error| self.note(error))?,
            Receiving::Body(_) => ready!(self.poll_data(cx)).map_err(|error| self.note(error))?,
            Receiving::Trailers(stream) => {
                let trailers =
                    ready!(stream.poll_trailers(cx)).map_err(|error| self.note(error))?;
                self.receiving = Receiving::Done;
                let trailers = trailers.unwrap_or_default();
                write_end(&mut self.came, &trailers).map_err(io::Error::other)?;
            }
        }
        Poll::Ready(Ok(true))
    }

    fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ::h2::Error>> {
        let Receiving::Head(future, verb) = &mut self.receiving else { return Poll::Ready(Ok(())) };
        if let Some(interim) = ready!(future.poll_informational(cx)) {
            write_interim(&mut self.came, &interim?);
            return Poll::Ready(Ok(()));
        }
        let response = ready!(Pin::new(future).poll(cx))?;
        self.lease.session().proven.set(true);
        let is_over = response.body().is_end_stream();
        write_head(&mut self.came, &response, is_over, *verb);
        self.receiving = match is_over {
            true => Receiving::Done,
            false => Receiving::Body(response.into_body()),
        };
        Poll::Ready(Ok(()))
    }

    fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ::h2::Error>> {
        let Receiving::Body(stream) = &mut self.receiving else { return Poll::Ready(Ok(())) };
        if let Some(data) = ready!(stream.poll_data(cx)) {
            let data = data?;
            stream.flow_control().release_capacity(data.len())?;
            self.came.data(&data);
            return Poll::Ready(Ok(()));
        }
        let body = std::mem::replace(&mut self.receiving, Receiving::Done);
        if let Receiving::Body(stream) = body {
            self.receiving = Receiving::Trailers(stream);
        }
        Poll::Ready(Ok(()))
    }

    /// A connection that failed, or says goodbye, gets no further streams.
    fn note(&self, error: ::h2::Error) -> io::Error {
        if !error.is_reset() {
            self.lease.session().close();
        }
        io::Error::other(error)
    }
}

impl AsyncWrite for Translated {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        ready!(this.poll_sending(cx))?;
        let written = match &mut this.sending {
            // a head that cannot be translated is told where the response is looked for, too
            Sending::Head { .. } => this.write_head(bytes).inspect_err(|error| {
                this.receiving = Receiving::Failed(io::Error::other(*error));
            }),
            Sending::Body(upload) => upload.take(bytes),
            Sending::Done => Ok(()),
        };
        Poll::Ready(written.map(|()| bytes.len()).map_err(io::Error::other))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().poll_sending(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for Translated {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        while this.read == this.came.bytes.len() {
            this.came.bytes.clear();
            this.read = 0;
            if !ready!(this.poll_receiving(cx))? {
                return Poll::Ready(Ok(()));
            }
        }
        let unread = this.came.bytes.get(this.read..).unwrap_or_default();
        let length = unread.len().min(buf.remaining());
        buf.put_slice(unread.get(..length).unwrap_or_default());
        this.read = this.read.saturating_add(length);
        Poll::Ready(Ok(()))
    }
}
