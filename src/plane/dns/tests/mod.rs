//! Bytes in, bytes out; and the same over sockets.

mod encrypted;
mod failover;
mod flood;
mod forwarding;
pub(super) mod fuzz;
mod https;
mod memory;
mod messages;
pub(super) mod mutation;
mod plain;
mod search;
mod sockets;
mod stream_server;
mod streams;
mod upstream;
mod waiting;

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use hickory_proto::op::{Message, MessageType, OpCode, Query};
use hickory_proto::rr::{Name, RecordType};

use crate::manifest::ObjectKey;
use crate::plane::dns::answer;
use crate::snapshot::{Snapshot, Transport, Zone, ZoneEndpoint, ZonePort, ZoneService};

/// Whoever asks.
pub(super) const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 1, 0, 1));

/// `web` with one address, `db` with three endpoints, `big` with 250, `huge` with 5,000, and an
/// alias out of the zone and one into it; all in `shop`.
fn snapshot() -> Snapshot {
    let headless = |count: u32| ZoneService::Headless {
        endpoints: (0..count).map(|n| endpoint(&format!("e{n}"), 0x0a00_0000 + n)).collect(),
    };
    let web = ZoneService::ClusterIp {
        addresses: vec![IpAddr::from([10, 96, 0, 1])],
        ports: vec![port()],
    };
    let external = |name: &str| ZoneService::External { name: name.into() };
    let services = [
        ("web", web),
        ("db", headless(3)),
        ("big", headless(250)),
        ("huge", headless(5_000)),
        ("outside", external("example.org")),
        ("alias", external("db.shop.svc.cluster.local")),
        ("unwritable", external(&"x".repeat(64))),
    ];
    let services = services.map(|(name, service)| (ObjectKey::new("shop", name), service));
    let zone = Zone {
        domain: "cluster.local".into(),
        ttl: 5,
        namespaces: ["shop".into()].into(),
        services: services.into(),
        ..Zone::default()
    };
    Snapshot { synced: true, serial: 7, zone: Arc::new(zone), ..Snapshot::default() }
}

fn port() -> ZonePort {
    ZonePort { name: "http".into(), transport: Transport::Tcp, port: 80 }
}

fn endpoint(hostname: &str, address: u32) -> ZoneEndpoint {
    let address = Ipv4Addr::from_bits(address).into();
    ZoneEndpoint { hostname: hostname.into(), address, ports: [port()].into() }
}

/// A query as a stub resolver sends it, for a name below `svc.cluster.local`.
pub(super) fn query(name: &str, record_type: RecordType) -> Message {
    let mut message = Message::new(4242, MessageType::Query, OpCode::Query);
    message.metadata.recursion_desired = true;
    let name = Name::from_ascii(format!("{name}.svc.cluster.local.")).expect("a name");
    message.add_query(Query::query(name, record_type));
    message
}

pub(super) fn bytes(message: &Message) -> Vec<u8> {
    message.to_vec().expect("a query must be writable")
}

/// What is answered to a query.
pub(super) fn answered(query: &Message, transport: Transport) -> Vec<u8> {
    let mut out = Vec::new();
    answer(&bytes(query), &snapshot(), CLIENT, transport, 0, &mut out)
        .expect("it must be answered");
    out
}

fn parse(bytes: &[u8]) -> Message {
    Message::from_vec(bytes).expect("an answer must be readable")
}
