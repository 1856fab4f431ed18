//! Search lists of Pods, gone through in one round trip.

use std::cell::RefCell;
use std::net::{IpAddr, Ipv4Addr};
use std::rc::Rc;
use std::sync::Arc;

use hickory_proto::op::{Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::{Name, RecordType};
use tokio::net::UdpSocket;
use tokio::task::LocalSet;

use super::sockets::{Site, framed, receive};
use super::upstream::{Upstream, address, aliased, nothing, reply};
use super::{CLIENT, bytes, parse, snapshot};
use crate::manifest::ObjectKey;
use crate::observe::{QueryType, Searched};
use crate::plane::dns::{Answered, Limits, Said, answer};
use crate::snapshot::zone::{Client, Clients, Mention};
use crate::snapshot::{Forward, Snapshot, Transport, ZoneService};

/// `shop` with the client and its Services, `other` with `web2` and an alias out of the zone;
/// search lists are gone through, and hosts add `corp.example` to them.
fn searched(forward: Forward) -> Snapshot {
    let mut snapshot = snapshot();
    let zone = Arc::make_mut(&mut snapshot.zone);
    let web2 = ZoneService::ClusterIp {
        addresses: vec![IpAddr::from([10, 96, 0, 2])],
        ports: vec![super::port()],
    };
    let outside = ZoneService::External { name: "edge.example".into() };
    let down = ZoneService::Headless { endpoints: Arc::default() };
    for (namespace, name, service) in
        [("other", "web2", web2), ("other", "out", outside), ("shop", "down", down)]
    {
        zone.services.insert(ObjectKey::new(namespace, name), service);
    }
    zone.namespaces.insert("other".into());
    zone.clients = clients(&[CLIENT, Ipv4Addr::LOCALHOST.into()], false);
    zone.search_domains = Some([Arc::from("corp.example")].into());
    zone.forward = forward.into();
    snapshot
}

/// The same without anybody else: no upstreams, and nothing that hosts add.
fn alone() -> Snapshot {
    let mut snapshot = searched(Forward::default());
    Arc::make_mut(&mut snapshot.zone).search_domains = Some([].into());
    snapshot
}

fn clients(ips: &[IpAddr], has_own_domains: bool) -> Clients {
    let client = Arc::new(Client { namespace: "shop".into(), has_own_domains });
    ips.iter().map(|ip| Mention::new(*ip, Some(client.clone()))).collect()
}

fn query(name: &str, record_type: RecordType) -> Message {
    let mut message = Message::new(4242, MessageType::Query, OpCode::Query);
    message.metadata.recursion_desired = true;
    message.add_query(Query::query(Name::from_ascii(name).expect("a name"), record_type));
    message
}

/// The first name of the list of a client in `shop`.
fn first(name: &str, record_type: RecordType) -> Message {
    query(&format!("{name}.shop.svc.cluster.local."), record_type)
}

fn of(namespace: &str) -> Arc<str> {
    namespace.into()
}

/// Answers without upstreams.
#[track_caller]
fn ask(snapshot: &Snapshot, request: &Message) -> (Message, Option<Searched>) {
    let mut out = Vec::new();
    match answer(&bytes(request), snapshot, CLIENT, Transport::Udp, 0, &mut out) {
        Some(Said::Answered(Answered { searched, .. })) => (parse(&out), searched),
        said => panic!("{said:?}"),
    }
}

/// Code and answers: `NOERROR web2.other.svc… A 10.96.0.2`, without the zone.
fn told(message: &Message) -> String {
    let mut told = message.metadata.response_code.to_str().to_owned();
    for record in &message.answers {
        told += &format!(", {} {} {}", record.name, record.record_type(), record.data);
    }
    let told =
        (told + " ").replace(".svc.cluster.local. ", " ").replace(".svc.cluster.local.,", ",");
    told.replace("No Error", "ok").trim_end().to_owned()
}

#[test]
fn the_first_name_of_the_list_that_exists_is_the_answer() {
    use RecordType::{A, AAAA, ANY, CNAME, HTTPS, SOA, SRV};
    let snapshot = alone();
    let srv = "ok, _http._tcp.web2.other.shop CNAME _http._tcp.web2.other, _http._tcp.web2.other SRV \
               0 100 80 web2.other";
    let rows = [
        ("web2.other", A, "ok, web2.other.shop CNAME web2.other, web2.other A 10.96.0.2", true),
        (
            "web2.other.svc",
            A,
            "ok, web2.other.svc.shop CNAME web2.other, web2.other A 10.96.0.2",
            true,
        ),
        (
            "web2.other.svc.cluster.local",
            A,
            "ok, web2.other.svc.cluster.local.shop CNAME web2.other, web2.other A 10.96.0.2",
            true,
        ),
        ("_http._tcp.web2.other", SRV, srv, true),
        // a name without records ends the list
        ("web2.other", AAAA, "ok", true),
        ("web2.other", HTTPS, "ok", true),
        ("other", A, "ok", true),
        // the alias would be the answer
        ("web2.other", CNAME, "Non-Existent Domain", false),
        ("web2.other", ANY, "Non-Existent Domain", false),
        // nobody knows these here: the client goes on
        ("nothing.other", A, "Non-Existent Domain", false),
        ("example.org", A, "Non-Existent Domain", false),
        (
            "cluster.local",
            SOA,
            "ok, cluster.local.shop CNAME cluster.local., cluster.local. SOA \
         ns.dns.cluster.local. hostmaster.cluster.local. 7 7200 1800 86400 5",
            true,
        ),
    ];
    for (name, record_type, expected, is_found) in rows {
        let (message, searched) = ask(&snapshot, &first(name, record_type));
        assert_eq!(told(&message), expected, "{name} {record_type}");
        assert!(message.metadata.authoritative, "{name} {record_type}");
        let is_negative = message.answers.is_empty();
        assert_eq!(message.authorities.len(), usize::from(is_negative), "{name} {record_type}");
        let expected = if is_found { Searched::Answered } else { Searched::Missed }(of("shop"));
        assert_eq!(searched, Some(expected), "{name} {record_type}");
        assert!(message.answers.iter().all(|record| record.ttl == 5), "{name} {record_type}");
    }
}

#[test]
fn names_that_are_not_the_first_of_the_clients_list_are_answered_as_they_are() {
    let missed = |namespace: &str| Some(Searched::Missed(of(namespace)));
    let zone = "svc.cluster.local.";
    let rows = [
        // the second and the third of its list, and the first of others
        (format!("example.org.{zone}"), missed("shop")),
        ("example.org.cluster.local.".to_owned(), missed("shop")),
        (format!("web2.other.other.{zone}"), missed("shop")),
        // a Service without endpoints is no step of a search, nor is the address of a Pod
        (format!("down.shop.{zone}"), None),
        ("1-2-3.shop.pod.cluster.local.".to_owned(), None),
    ];
    for (name, expected) in rows {
        let (message, searched) = ask(&alone(), &query(&name, RecordType::A));
        assert_eq!(told(&message), "Non-Existent Domain", "{name}");
        assert_eq!(searched, expected, "{name}");
    }
}

#[test]
fn what_is_not_known_of_a_client_is_not_guessed() {
    let request = first("web2.other", RecordType::A);
    let mut unknown = alone();
    Arc::make_mut(&mut unknown.zone).clients = Clients::default();
    let mut own = alone();
    Arc::make_mut(&mut own.zone).clients = clients(&[CLIENT], true);
    let mut off = alone();
    Arc::make_mut(&mut off.zone).search_domains = None;
    for snapshot in [unknown, own, off] {
        let (message, searched) = ask(&snapshot, &request);
        assert_eq!(told(&message), "Non-Existent Domain");
        assert_eq!(searched, Some(Searched::Missed(of("shop"))));
    }
    let mut request = request;
    request.metadata.recursion_desired = false;
    assert_eq!(told(&ask(&alone(), &request).0), "Non-Existent Domain");
}

#[test]
fn what_nobody_here_can_know_ends_the_list() {
    // nobody is asked about corp.example, where the name may be
    let request = first("web2.other.svc.cluster.local", RecordType::A);
    let told = |snapshot| told(&ask(&snapshot, &request).0);
    assert_eq!(told(searched(Forward::default())), "Non-Existent Domain");
    assert!(told(alone()).ends_with("web2.other A 10.96.0.2"));
}

#[test]
fn a_miss_is_that_of_the_name_where_the_client_is_not_known() {
    let mut snapshot = alone();
    Arc::make_mut(&mut snapshot.zone).clients = Clients::default();
    let zone = "svc.cluster.local.";
    let rows = [
        (format!("example.org.OTHER.{zone}"), "other"),
        (format!("example.org.{zone}"), ""),
        ("example.org.cluster.local.".to_owned(), ""),
    ];
    for (name, expected) in rows {
        let (_, searched) = ask(&snapshot, &query(&name, RecordType::A));
        assert_eq!(searched, Some(Searched::Missed(of(expected))), "{name}");
    }
    for found in ["web.shop", "web2.other"] {
        let request = query(&format!("{found}.{zone}"), RecordType::A);
        assert_eq!(ask(&snapshot, &request).1, None, "{found}");
    }
}

#[test]
fn the_case_of_the_question_is_kept_and_odd_bytes_are_not_searched() {
    let snapshot = alone();
    let request = first("wEb2.OtHer", RecordType::A);
    let (message, _) = ask(&snapshot, &request);
    let asked = &request.queries.first().expect("one question").name;
    assert!(message.queries[0].name.eq_case(asked));
    assert!(message.answers[0].name.eq_case(asked), "{message:?}");
    let labels: [&[u8]; 5] = [b"web2.other", b"shop", b"svc", b"cluster", b"local"];
    let mut request = request;
    request.queries[0].set_name(Name::from_labels(labels).expect("a name"));
    assert_eq!(told(&ask(&snapshot, &request).0), "Non-Existent Domain");
}

/// Over UDP, then over TCP.
async fn ask_site(site: &Site, request: &Message) -> [Message; 2] {
    let client = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
    client.send_to(&bytes(request), site.udp).await.expect("it must be sent");
    let mut buffer = vec![0; 2048];
    let length = client.recv(&mut buffer).await.expect("an answer");
    let mut stream = site.connect().await;
    tokio::io::AsyncWriteExt::write_all(&mut stream, &framed(request)).await.expect("it must read");
    [parse(&buffer[..length]), receive(&mut stream).await.expect("an answer")]
}

fn site(upstream: &Upstream) -> Site {
    let forward = Forward { upstreams: vec![upstream.addr.into()], ..Forward::default() };
    Site::serve(Limits::default(), searched(forward))
}

/// Knows names that begin so, and notes what it is asked for.
async fn upstream(known: &'static [&'static str]) -> (Upstream, Rc<RefCell<Vec<String>>>) {
    let asked = Rc::new(RefCell::new(Vec::new()));
    let noted = asked.clone();
    let upstream = Upstream::start(move |query, _| {
        let name = query.queries[0].name().to_string().to_lowercase();
        let is_known = known.iter().any(|known| name == *known);
        if query.queries[0].query_type() == RecordType::A {
            noted.borrow_mut().push(name);
        }
        vec![if is_known { address(query, 1, 60) } else { nothing(query) }]
    })
    .await;
    (upstream, asked)
}

#[tokio::test]
async fn names_of_others_are_found_in_one_round_trip() {
    let steps = async {
        let (upstream, asked) = upstream(&["www.example.org.", "intra.corp.example."]).await;
        let site = site(&upstream);
        for message in ask_site(&site, &first("wWw.Example.org", RecordType::A)).await {
            let name = "wWw.Example.org.shop";
            let expected =
                format!("ok, {name} CNAME www.example.org., www.example.org. A 192.0.2.1");
            assert_eq!(told(&message), expected);
            assert!(message.authorities.is_empty() && message.metadata.recursion_available);
            assert_eq!((message.metadata.id, message.answers[0].ttl), (4242, 5));
        }
        let [message, _] = ask_site(&site, &first("intra", RecordType::A)).await;
        let expected = "ok, intra.shop CNAME intra.corp.example., intra.corp.example. A 192.0.2.1";
        assert_eq!(told(&message), expected);
        // each asked once: what hosts add before the name itself
        let expected = ["www.example.org.corp.example.", "www.example.org.", "intra.corp.example."];
        assert_eq!(*asked.borrow(), expected);
    };
    Box::pin(LocalSet::new().run_until(steps)).await;
}

#[tokio::test]
async fn after_a_domain_of_the_host_the_zone_is_still_searched() {
    let steps = async {
        let (upstream, _) = upstream(&[]).await;
        let site = site(&upstream);
        let request = first("web2.other.svc.cluster.local", RecordType::A);
        for message in ask_site(&site, &request).await {
            assert!(told(&message).ends_with("CNAME web2.other, web2.other A 10.96.0.2"));
        }
        for message in ask_site(&site, &first("nothing.example", RecordType::A)).await {
            assert_eq!(told(&message), "Non-Existent Domain");
            assert_eq!(message.authorities[0].name.to_string(), "cluster.local.");
        }
    };
    Box::pin(LocalSet::new().run_until(steps)).await;
}

#[tokio::test]
async fn a_name_of_others_without_records_is_no_alias() {
    let steps = async {
        let upstream = Upstream::start(|query, _| vec![reply(query, ResponseCode::NoError)]).await;
        let site = site(&upstream);
        for message in ask_site(&site, &first("www.example.org", RecordType::AAAA)).await {
            assert_eq!((told(&message), message.authorities.len()), ("ok".to_owned(), 1));
        }
    };
    Box::pin(LocalSet::new().run_until(steps)).await;
}

#[tokio::test]
async fn an_upstream_that_fails_is_a_failure_and_no_missing_name() {
    let steps = async {
        for code in [ResponseCode::ServFail, ResponseCode::Refused] {
            let upstream = Upstream::start(move |query, _| vec![reply(query, code)]).await;
            let site = site(&upstream);
            for message in ask_site(&site, &first("www.example.org", RecordType::A)).await {
                assert_eq!(told(&message), "Server Failure");
                assert!(message.authorities.is_empty() && !message.metadata.authoritative);
            }
        }
    };
    Box::pin(LocalSet::new().run_until(steps)).await;
}

#[tokio::test]
async fn aliases_are_followed_behind_the_one_that_is_made() {
    let steps = async {
        let upstream = Upstream::start(|query, _| vec![aliased(query, "cdn.example.", 1)]).await;
        let site = site(&upstream);
        let [message, _] = ask_site(&site, &first("out.other", RecordType::A)).await;
        let expected = "ok, out.other.shop CNAME out.other, out.other CNAME edge.example., \
                        edge.example. CNAME cdn.example., cdn.example. A 192.0.2.1";
        assert_eq!(told(&message), expected);
    };
    Box::pin(LocalSet::new().run_until(steps)).await;
}

#[tokio::test]
async fn what_does_not_fit_is_truncated_and_comes_over_tcp() {
    let steps = async {
        let upstream = Upstream::start(|query, transport| {
            let mut reply = address(query, 1, 60);
            let record = reply.answers[0].clone();
            match transport {
                Transport::Udp => reply.metadata.truncation = true,
                Transport::Tcp => reply.answers = vec![record; 100],
            }
            vec![reply]
        })
        .await;
        let site = site(&upstream);
        let [udp, tcp] = ask_site(&site, &first("www.example.org", RecordType::A)).await;
        assert!(udp.metadata.truncation && udp.answers.len() < tcp.answers.len());
        assert_eq!((tcp.metadata.truncation, tcp.answers.len()), (false, 101));
    };
    Box::pin(LocalSet::new().run_until(steps)).await;
}

#[test]
fn a_found_name_is_recorded_as_what_it_is() {
    let mut out = Vec::new();
    let request = bytes(&first("web2.other", RecordType::A));
    let snapshot = alone();
    let said = answer(&request, &snapshot, CLIENT, Transport::Tcp, 0, &mut out);
    let expected = Answered {
        query_type: QueryType::A,
        rcode: "NOERROR",
        searched: Some(Searched::Answered(of("shop"))),
    };
    assert!(matches!(said, Some(Said::Answered(answered)) if answered == expected));
}
