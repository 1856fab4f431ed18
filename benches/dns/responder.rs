//! An upstream that answers everything, on the CPU of the load.

use std::net::{SocketAddr, UdpSocket};
use std::thread;

use crate::Outcome;
use crate::wire::{self, A};

/// Starts one; it ends with the process. An address for every name, nothing of other types.
pub fn start() -> Outcome<SocketAddr> {
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    let addr = socket.local_addr()?;
    thread::spawn(move || serve(&socket));
    Ok(addr)
}

fn serve(socket: &UdpSocket) {
    let mut buffer = [0; 2048];
    while let Ok((length, client)) = socket.recv_from(&mut buffer) {
        if let Some(answer) = answer(&buffer[..length]) {
            let _ = socket.send_to(&answer, client);
        }
    }
}

pub fn answer(query: &[u8]) -> Option<Vec<u8>> {
    let mut answer = wire::respond(query, wire::NO_ERROR)?;
    if wire::query_type(query)? == A {
        wire::add_address(&mut answer, 300, [192, 0, 2, 1]);
    } else {
        wire::add_soa(&mut answer, 300);
    }
    Some(answer)
}
