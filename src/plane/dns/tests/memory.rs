//! What connections cost that nobody uses at the moment.

use std::io::{Read, Write};
use std::net::TcpStream;

use tokio::task::LocalSet;

use super::sockets::{Site, framed, numbered};
use crate::plane::dns::Limits;

const CONNECTIONS: u16 = 300;

/// Opens connections, each of which has asked once, and waits until all are answered.
async fn open(site: &Site, first: u16) -> Vec<TcpStream> {
    let answered = "rutter_dns_requests_total{transport=\"tcp\",type=\"A\",rcode=\"NOERROR\"}";
    let mut streams = Vec::with_capacity(CONNECTIONS.into());
    for id in 0..CONNECTIONS {
        let mut stream = TcpStream::connect(site.tcp).expect("the server must accept");
        stream.write_all(&framed(&numbered(id))).expect("the server must read");
        streams.push(stream);
    }
    while site.counted(answered) < u64::from(first + CONNECTIONS) {
        tokio::task::yield_now().await;
    }
    streams
}

/// Everything that is allocated for it: task, timer, registration, its place among the others.
#[test]
fn an_idle_connection_costs_at_most_two_kibibytes() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let (runtime, local) = (runtime.expect("a runtime must start"), LocalSet::new());
    let idle = std::time::Duration::from_secs(60);
    let limits = Limits { connections_per_client: 10_000, idle, ..Limits::default() };
    let (site, before) = local.block_on(&runtime, async {
        let site = Site::start(limits);
        let streams = open(&site, 0).await;
        (site, streams)
    });
    let mut streams = Vec::new();
    let allocated = allocation_counter::measure(|| {
        streams = local.block_on(&runtime, open(&site, CONNECTIONS));
    });
    let each = allocated.bytes_current / i64::from(CONNECTIONS);
    assert!((200..=2048).contains(&each), "{each} bytes");
    for mut stream in before.into_iter().chain(streams) {
        let mut length = [0; 2];
        stream.read_exact(&mut length).expect("it must still be open, with its answer");
    }
}
