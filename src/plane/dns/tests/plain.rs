//! What is answered without hickory is what hickory would have answered.

use std::net::IpAddr;
use std::sync::Arc;

use hickory_proto::op::{Edns, Message};
use hickory_proto::rr::rdata::opt::EdnsOption;
use hickory_proto::rr::{Name, RecordType};
use proptest::prelude::*;

use super::{CLIENT, bytes, parse, query, snapshot};
use crate::manifest::ObjectKey;
use crate::plane::dns::answer::{Said, answer_any};
use crate::plane::dns::plain;
use crate::snapshot::{Snapshot, Transport, ZoneService};

/// The world of the other tests, with a Service of both families.
fn world() -> Snapshot {
    let mut snapshot = snapshot();
    let zone = Arc::make_mut(&mut snapshot.zone);
    let addresses = vec![IpAddr::from([10, 96, 0, 9]), "fd00::9".parse().expect("an address")];
    let both = ZoneService::ClusterIp { addresses, ports: Vec::new() };
    zone.services.insert(ObjectKey::new("shop", "both"), both);
    snapshot
}

/// Both answers to a query; none where it is not plain.
fn answers(request: &[u8], transport: Transport, rotate: u64) -> Option<(Message, Message)> {
    let (snapshot, mut out) = (world(), Vec::new());
    let plain = plain::answer(request, &snapshot, CLIENT, transport, rotate, &mut out)?;
    let plainly = parse(&out);
    let Some(Said::Answered(any)) =
        answer_any(request, &snapshot, CLIENT, transport, rotate, &mut out)
    else {
        panic!("the general way must answer as well");
    };
    assert_eq!(plain, any);
    Some((plainly, parse(&out)))
}

fn edns(payload: u16, dnssec_ok: bool, cookie: bool) -> Edns {
    let mut edns = Edns::new();
    edns.set_max_payload(payload);
    edns.set_dnssec_ok(dnssec_ok);
    if cookie {
        edns.options_mut().insert(EdnsOption::Unknown(10, vec![7; 8]));
    }
    edns
}

#[test]
fn what_clients_ask_most_is_plain() {
    let rows = [
        ("web.shop", RecordType::A),
        ("web.shop", RecordType::AAAA),
        ("both.shop", RecordType::AAAA),
        ("db.shop", RecordType::A),
        ("e1.db.shop", RecordType::A),
        ("missing.shop", RecordType::A),
        ("example.org.shop", RecordType::AAAA),
        ("example.org", RecordType::A),
        ("shop", RecordType::A),
    ];
    for (name, record_type) in rows {
        let mut message = query(name, record_type);
        assert!(answers(&bytes(&message), Transport::Udp, 0).is_some(), "{name}");
        message.edns = Some(edns(4096, true, true));
        assert!(answers(&bytes(&message), Transport::Udp, 0).is_some(), "{name} with EDNS");
    }
}

#[test]
fn what_needs_a_decision_is_not_plain() {
    let mut rows = vec![
        query("web.shop", RecordType::SRV),
        query("web.shop", RecordType::TXT),
        query("outside.shop", RecordType::A),
        query("alias.shop", RecordType::A),
        query("big.shop", RecordType::A),
    ];
    let mut update = query("web.shop", RecordType::A);
    update.metadata.truncation = true;
    let mut version = query("web.shop", RecordType::A);
    version.edns = Some(edns(1232, false, false));
    if let Some(edns) = &mut version.edns {
        edns.set_version(1);
    }
    let mut outside = query("web.shop", RecordType::A);
    for query in &mut outside.queries {
        query.name = Name::from_ascii("example.org.").expect("a name");
    }
    rows.extend([update, version, outside]);
    for message in rows {
        assert!(answers(&bytes(&message), Transport::Udp, 0).is_none(), "{message}");
    }
    let mut long = bytes(&query("web.shop", RecordType::A));
    long.push(0);
    assert!(answers(&long, Transport::Udp, 0).is_none(), "bytes behind the question");
}

fn names() -> impl Strategy<Value = String> {
    let label = prop_oneof![
        Just("web"),
        Just("db"),
        Just("both"),
        Just("e1"),
        Just("shop"),
        Just("SHOP"),
        Just("wEb"),
        Just("svc"),
        Just("pod"),
        Just("_http"),
        Just("_tcp"),
        Just("example"),
        Just("outside"),
        Just("alias"),
        Just("1-2-3-4"),
        Just("dns-version"),
        Just("unwritable"),
    ];
    let end = prop_oneof![
        Just("svc.cluster.local."),
        Just("cluster.local."),
        Just("CLUSTER.local."),
        Just("shop.svc.cluster.local."),
        Just("pod.cluster.local."),
        Just("in-addr.arpa."),
        Just("org."),
    ];
    (proptest::collection::vec(label, 0..5), end).prop_map(|(labels, end)| {
        labels.iter().fold(end.to_owned(), |name, it| format!("{it}.{name}"))
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn plain_answers_are_those_of_the_general_way(
        name in names(),
        is_v6: bool,
        options in proptest::option::of((0u16..5_000, any::<bool>(), any::<bool>())),
        flags in (any::<bool>(), any::<bool>(), any::<bool>()),
        rotate: u64,
        is_stream: bool,
    ) {
        let record_type = if is_v6 { RecordType::AAAA } else { RecordType::A };
        let mut message = query("web.shop", record_type);
        for query in &mut message.queries {
            query.name = Name::from_ascii(&name).expect("a name");
        }
        let metadata = &mut message.metadata;
        (metadata.recursion_desired, metadata.checking_disabled, metadata.authentic_data) = flags;
        message.edns = options.map(|(payload, dnssec, cookie)| edns(payload, dnssec, cookie));
        let transport = if is_stream { Transport::Tcp } else { Transport::Udp };
        if let Some((plain, any)) = answers(&bytes(&message), transport, rotate) {
            // names compare without case: the general way repeats the zone's, this one the client's
            prop_assert_eq!(plain, any);
        }
    }
}
