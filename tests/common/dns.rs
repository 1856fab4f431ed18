//! An upstream for names.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};

/// Starts an upstream that knows no name: it ends with the test.
pub fn nothing() -> SocketAddr {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let addr = socket.local_addr().expect("a bound socket must have an address");
    std::thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok((length, client)) = socket.recv_from(&mut buffer) {
            if let Some(answer) = nxdomain(&buffer[..length]) {
                let _ = socket.send_to(&answer, client);
            }
        }
    });
    addr
}

/// Header and question of a query, as the answer that there is no such name.
fn nxdomain(query: &[u8]) -> Option<Vec<u8>> {
    let mut end = 12;
    while let length @ 1.. = *query.get(end)? {
        end += 1 + usize::from(length);
    }
    let mut answer = query.get(..end + 5)?.to_vec();
    // a response with recursion available, and no records
    answer.splice(2..12, [0x81, 0x83, 0, 1, 0, 0, 0, 0, 0, 0]);
    Some(answer)
}
