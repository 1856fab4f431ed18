//! The first words of a TLS client, read before it is known who is to answer them.
//!
//! No byte beyond the ClientHello is read (records tell their lengths), so that what follows is
//! found in the socket by whoever goes on: an endpoint that gets the bytes read so far, or rustls,
//! which has parsed them already.

use std::sync::Arc;

use rustls::server::{Accepted, Acceptor};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::server::StartHandshake;

use crate::snapshot::Reason;

/// A client that has told what it wants.
#[derive(Debug)]
pub struct Hello {
    stream: TcpStream,
    bytes: Vec<u8>,
    accepted: Accepted,
}

impl Hello {
    /// Reads a ClientHello, however it is cut into segments and records. `Err`: what comes is none,
    /// which the client is told by an alert, or it ends before.
    pub async fn read(mut stream: TcpStream) -> Result<Self, Reason> {
        let mut reading = Reading::default();
        loop {
            let mut piece = [0; PIECE_BYTES];
            let room = reading.missing().min(PIECE_BYTES);
            let piece = piece.get_mut(..room).unwrap_or_default();
            let length = stream.read(piece).await.ok().filter(|it| *it > 0);
            let length = length.ok_or(Reason::ClientClosed)?;
            match reading.take(piece.get(..length).unwrap_or_default()) {
                Ok(None) => {}
                Ok(Some(accepted)) => {
                    return Ok(Self { stream, bytes: reading.bytes, accepted });
                }
                Err(Unreadable { alert }) => {
                    // the client is gone or reads it; there is nothing else to be done
                    let _ = stream.write_all(&alert).await;
                    return Err(Reason::TlsHandshake);
                }
            }
        }
    }

    /// The server name, in lower case; empty if the client sends none.
    pub fn server_name(&self) -> Arc<str> {
        let hello = self.accepted.client_hello();
        hello.server_name().unwrap_or_default().to_ascii_lowercase().into()
    }

    /// The connection and everything that was read from it, for somebody else to answer.
    pub fn into_parts(self) -> (TcpStream, Vec<u8>) {
        (self.stream, self.bytes)
    }

    /// Goes on here.
    pub fn into_handshake(self) -> StartHandshake<TcpStream> {
        StartHandshake::from_parts(self.accepted, self.stream)
    }

    /// The connection.
    pub fn stream(&self) -> &TcpStream {
        &self.stream
    }
}

/// A ClientHello on its way. Sans-IO.
#[derive(Default)]
pub(super) struct Reading {
    pub(super) bytes: Vec<u8>,
    /// Where the record begins that is not complete yet.
    record: usize,
    acceptor: Acceptor,
}

/// It is no ClientHello that can be answered.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Unreadable {
    /// What the client is to be sent.
    pub(super) alert: Vec<u8>,
}

impl Reading {
    /// How many bytes the current record lacks at least: never 0.
    pub(super) fn missing(&mut self) -> usize {
        loop {
            let current = self.bytes.get(self.record..).unwrap_or_default();
            let [_, _, _, high, low, payload @ ..] = current else {
                return HEADER_BYTES.saturating_sub(current.len());
            };
            let length = usize::from(u16::from_be_bytes([*high, *low]));
            if payload.len() < length {
                return length.saturating_sub(payload.len());
            }
            self.record = self.record.saturating_add(HEADER_BYTES).saturating_add(length);
        }
    }

    /// Takes a piece of at most [`Reading::missing`] bytes.
    pub(super) fn take(&mut self, piece: &[u8]) -> Result<Option<Accepted>, Unreadable> {
        self.bytes.extend_from_slice(piece);
        let mut rest = piece;
        while !rest.is_empty() {
            if self.bytes.len() > MAX_BYTES || self.acceptor.read_tls(&mut rest).is_err() {
                return Err(Unreadable { alert: Vec::new() });
            }
        }
        self.acceptor.accept().map_err(|(_, mut alert)| {
            let mut bytes = Vec::new();
            // a Vec takes everything
            let _ = alert.write_all(&mut bytes);
            Unreadable { alert: bytes }
        })
    }
}

/// What every record begins with: type, version, length (RFC 8446 section 5.1).
const HEADER_BYTES: usize = 5;
/// Read at once; nearly every ClientHello is shorter.
const PIECE_BYTES: usize = 2048;
/// The longest ClientHello: one with post-quantum key shares and a ticket is a tenth of it.
pub(super) const MAX_BYTES: usize = 32 * 1024;
