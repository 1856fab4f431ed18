//! The client.

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};

use socket2::{Domain, Socket, Type};

use crate::common::PATIENCE;
use crate::http2;
use crate::row::{Protocol, Row};

/// How the bytes of a row are cut on their way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    AtOnce,
    ByteByByte,
}

/// Connects from a port that was never used before, because it tells the row in the log.
pub fn connect(from: IpAddr, last_port: &mut u16, to: SocketAddr) -> TcpStream {
    loop {
        *last_port += 1;
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        if socket.bind(&SocketAddr::new(from, *last_port).into()).is_ok() {
            socket.connect(&to.into()).expect("a connection");
            return socket.into();
        }
    }
}

/// Sends a row and reads the answers to the end.
pub fn send(row: &Row, pace: Pace, mut stream: TcpStream) -> Vec<u8> {
    stream.set_nodelay(true).expect("no delay");
    stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
    let pieces = row.bytes.chunks(match pace {
        Pace::AtOnce => row.bytes.len(),
        Pace::ByteByByte => 1,
    });
    for piece in pieces {
        if stream.write_all(piece).is_err() {
            // it was refused before its end
            break;
        }
    }
    match row.protocol {
        Protocol::Http1 => rest(&mut stream),
        Protocol::Http2 => http2::read(&mut stream),
    }
}

fn rest(stream: &mut TcpStream) -> Vec<u8> {
    let mut received = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return received,
            Ok(length) => received.extend_from_slice(&buffer[..length]),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                received.extend_from_slice(b" and then nothing for too long");
                return received;
            }
            Err(_) => return received,
        }
    }
}
