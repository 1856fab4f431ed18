//! Between rutter and an origin: passes bytes on and keeps what the origin said.
//!
//! It tells when an origin is done: rutter's side ends, and the relay reads on until the origin has
//! answered what it had got and ends too. So an answer that nobody waits for is not lost.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{JoinHandle, spawn};

use crate::common::PATIENCE;

/// A running relay.
pub struct Relay {
    addr: SocketAddr,
    accepted: Receiver<(SocketAddr, JoinHandle<Vec<u8>>)>,
}

impl Relay {
    pub fn start(addr: SocketAddr, origin: SocketAddr) -> Self {
        let listener = TcpListener::bind(addr).expect("the relay's address must be free");
        let (sender, accepted) = channel();
        spawn(move || accept(&listener, origin, &sender));
        Self { addr, accepted }
    }

    /// What the origin has said on each connection, once all of them have ended.
    pub fn finish(self) -> Vec<Vec<u8>> {
        // connections are accepted in order, so that this one is the last
        let last = TcpStream::connect(self.addr).expect("the relay must be there");
        let last_addr = last.local_addr().expect("an address");
        drop(last);
        let connections = self.accepted.iter().take_while(|(peer, _)| *peer != last_addr);
        connections.map(|(_, connection)| connection.join().expect("no panic")).collect()
    }
}

fn accept(
    listener: &TcpListener,
    origin: SocketAddr,
    accepted: &Sender<(SocketAddr, JoinHandle<Vec<u8>>)>,
) {
    while let Ok((client, peer)) = listener.accept() {
        if accepted.send((peer, spawn(move || carry(client, origin)))).is_err() {
            return;
        }
    }
}

/// Carries a connection to its end; what the origin said on it.
fn carry(mut client: TcpStream, origin: SocketAddr) -> Vec<u8> {
    let mut answers = Vec::new();
    let Ok(mut origin) = TcpStream::connect(origin) else { return answers };
    let _ = origin.set_read_timeout(Some(PATIENCE * 4));
    let _ = origin.set_nodelay(true);
    let _ = client.set_nodelay(true);
    let (Ok(mut from), Ok(mut to)) = (client.try_clone(), origin.try_clone()) else {
        return answers;
    };
    let up = spawn(move || {
        let _ = std::io::copy(&mut from, &mut to);
        let _ = to.shutdown(Shutdown::Write);
    });
    let mut buffer = [0; 4096];
    while let Ok(length @ 1..) = origin.read(&mut buffer) {
        let read = &buffer[..length];
        answers.extend_from_slice(read);
        let _ = client.write_all(read);
    }
    let _ = client.shutdown(Shutdown::Both);
    let _ = up.join();
    answers
}
