//! Names of others, through upstreams on loopback.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use hickory_proto::op::{Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::{Name, RecordType};
use tokio::io::AsyncWriteExt;
use tokio::net::UdpSocket;
use tokio::task::LocalSet;

use super::sockets::{Site, framed, receive};
use super::upstream::{Upstream, address, aliased, nothing, reply};
use super::{bytes, parse, query, snapshot};
use crate::plane::dns::Limits;
use crate::snapshot::{Forward, ForwardPolicy, Snapshot, Transport};

pub(super) fn with(forward: Forward) -> Snapshot {
    let mut snapshot = snapshot();
    Arc::make_mut(&mut snapshot.zone).forward = Arc::new(forward);
    snapshot
}

pub(super) fn to(upstreams: &[SocketAddr]) -> Snapshot {
    let upstreams = upstreams.iter().map(|addr| (*addr).into()).collect();
    with(Forward { upstreams, ..Forward::default() })
}

fn site(upstreams: &[&Upstream]) -> Site {
    let addrs: Vec<_> = upstreams.iter().map(|upstream| upstream.addr).collect();
    Site::serve(Limits::default(), to(&addrs))
}

/// Limits of a server that does not wait long.
pub(super) fn hasty() -> Limits {
    let attempt = Duration::from_millis(100);
    Limits { attempt, stale_after: Duration::from_millis(50), ..Limits::default() }
}

pub(super) fn outside(name: &str) -> Message {
    let mut message = Message::new(4242, MessageType::Query, OpCode::Query);
    message.metadata.recursion_desired = true;
    message.add_query(Query::query(Name::from_ascii(name).expect("a name"), RecordType::A));
    message
}

pub(super) async fn ask(site: &Site, message: &Message) -> Message {
    let client = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
    client.send_to(&bytes(message), site.udp).await.expect("it must be sent");
    let mut buffer = vec![0; 2048];
    let length = client.recv(&mut buffer).await.expect("an answer");
    parse(&buffer[..length])
}

async fn ask_tcp(site: &Site, message: &Message) -> Message {
    let mut stream = site.connect().await;
    stream.write_all(&framed(message)).await.expect("the server must read");
    receive(&mut stream).await.expect("an answer")
}

pub(super) fn code(message: &Message) -> ResponseCode {
    message.metadata.response_code
}

/// The data of the answers, one text.
pub(super) fn data(message: &Message) -> String {
    let texts: Vec<_> = message.answers.iter().map(|record| record.data.to_string()).collect();
    texts.join(" ")
}

pub(super) async fn good() -> Upstream {
    Upstream::start(|query, _| vec![address(query, 1, 60)]).await
}

pub(super) async fn silent() -> Upstream {
    Upstream::start(|_, _| vec![]).await
}

/// Where nobody listens.
pub(super) async fn dead() -> SocketAddr {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
    socket.local_addr().expect("a bound socket must have an address")
}

#[tokio::test]
async fn names_of_others_are_forwarded_and_remembered() {
    let steps = async {
        let upstream = good().await;
        let site = site(&[&upstream]);
        for _ in 0..3 {
            for told in [
                ask(&site, &outside("wWw.Example.org.")).await,
                ask_tcp(&site, &outside("wWw.Example.org.")).await,
            ] {
                assert_eq!((code(&told), data(&told)), (ResponseCode::NoError, "192.0.2.1".into()));
                let metadata = told.metadata;
                assert_eq!(metadata.id, 4242);
                assert!(metadata.recursion_available && !metadata.authoritative);
                let asked = Name::from_ascii("wWw.Example.org.").expect("a name");
                assert!(told.queries[0].name.eq_case(&asked));
                assert!(told.answers[0].name.eq_case(&asked));
            }
        }
        assert_eq!(upstream.asked.get(), 1);
        assert_eq!(data(&ask(&site, &query("web.shop", RecordType::A)).await), "10.96.0.1");
        assert_eq!(upstream.asked.get(), 1, "names of the cluster are ours");
    };
    Box::pin(LocalSet::new().run_until(steps)).await;
}

#[tokio::test]
async fn that_a_name_does_not_exist_is_remembered_as_the_soa_says() {
    let steps = async {
        let upstream = Upstream::start(|query, _| vec![nothing(query)]).await;
        let site = site(&[&upstream]);
        for _ in 0..2 {
            let told = ask(&site, &outside("nothing.example.")).await;
            assert_eq!((code(&told), told.authorities.len()), (ResponseCode::NXDomain, 1));
        }
        assert_eq!(upstream.asked.get(), 1);
    };
    Box::pin(LocalSet::new().run_until(steps)).await;
}

#[tokio::test]
async fn who_wants_no_recursion_gets_none() {
    let steps = async {
        let upstream = good().await;
        let site = site(&[&upstream]);
        let mut request = outside("example.org.");
        request.metadata.recursion_desired = false;
        assert_eq!(code(&ask(&site, &request).await), ResponseCode::Refused);
        assert_eq!(upstream.asked.get(), 0);
    };
    Box::pin(LocalSet::new().run_until(steps)).await;
}

#[tokio::test]
async fn what_is_truncated_is_asked_again_over_tcp() {
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
        let site = site(&[&upstream]);
        let told = ask(&site, &outside("example.org.")).await;
        assert!(told.metadata.truncation && (1..100).contains(&told.answers.len()));
        assert_eq!(ask_tcp(&site, &outside("example.org.")).await.answers.len(), 100);
    };
    Box::pin(LocalSet::new().run_until(steps)).await;
}

#[tokio::test]
async fn forged_answers_are_passed_over() {
    let steps = async {
        let upstream = Upstream::start(|query, _| {
            let mut other_id = address(query, 66, 60);
            other_id.metadata.id ^= 1;
            let mut other_name = address(query, 66, 60);
            let name = Name::from_ascii("example.com.").expect("a name");
            other_name.queries[0].set_name(name);
            vec![other_id, other_name, address(query, 1, 60)]
        })
        .await;
        let site = site(&[&upstream]);
        assert_eq!(data(&ask(&site, &outside("example.org.")).await), "192.0.2.1");
    };
    Box::pin(LocalSet::new().run_until(steps)).await;
}

#[tokio::test]
async fn the_next_upstream_is_asked_when_one_is_dead_lies_or_fails() {
    let steps = async {
        let good = good().await;
        let silent = silent().await;
        let liar = Upstream::start(|query, _| {
            let mut reply = address(query, 66, 60);
            reply.answers[0].name = Name::from_ascii("victim.example.").expect("a name");
            vec![reply]
        })
        .await;
        let failing = Upstream::start(|query, _| vec![reply(query, ResponseCode::ServFail)]).await;
        for bad in [dead().await, silent.addr, liar.addr, failing.addr] {
            let site = Site::serve(hasty(), to(&[bad, good.addr]));
            assert_eq!(data(&ask(&site, &outside("example.org.")).await), "192.0.2.1");
            // of the only one, its failure
            let site = Site::serve(hasty(), to(&[bad]));
            let told = ask(&site, &outside("example.org.")).await;
            assert_eq!((code(&told), data(&told)), (ResponseCode::ServFail, String::new()));
        }
    };
    Box::pin(LocalSet::new().run_until(steps)).await;
}

#[tokio::test]
async fn an_upstream_that_is_down_is_asked_last_until_it_answers_a_probe() {
    let steps = async {
        let first = silent().await;
        let second = good().await;
        let limits = Limits { attempt: Duration::from_millis(20), ..Limits::default() };
        let site = Site::serve(limits, to(&[first.addr, second.addr]));
        for number in 0..5 {
            let told = ask(&site, &outside(&format!("n{number}.example."))).await;
            assert_eq!(data(&told), "192.0.2.1");
        }
        assert_eq!((first.asked.get(), second.asked.get()), (2, 5));
        *first.answers.borrow_mut() = Box::new(|query, _| vec![address(query, 2, 60)]);
        let up = async {
            for number in 0.. {
                let told = ask(&site, &outside(&format!("m{number}.example."))).await;
                if data(&told) == "192.0.2.2" {
                    return;
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(10), up).await.expect("it must be used again");
    };
    Box::pin(LocalSet::new().run_until(steps)).await;
}

#[tokio::test]
async fn policies_decide_who_is_asked_first() {
    let steps = async {
        let rows = [ForwardPolicy::Sequential, ForwardPolicy::RoundRobin, ForwardPolicy::Random];
        for policy in rows {
            let (one, other) = (good().await, good().await);
            let upstreams = vec![one.addr.into(), other.addr.into()];
            let forward = Forward { upstreams, policy, ..Forward::default() };
            let site = Site::serve(Limits::default(), with(forward));
            for number in 0..40 {
                ask(&site, &outside(&format!("n{number}.example."))).await;
            }
            let asked = (one.asked.get(), other.asked.get());
            match policy {
                ForwardPolicy::Sequential => assert_eq!(asked, (40, 0)),
                ForwardPolicy::RoundRobin => assert_eq!(asked, (20, 20)),
                // fewer than 4 of 40: once in 100 million runs
                ForwardPolicy::Random => assert!(asked.0 > 3 && asked.1 > 3, "{asked:?}"),
            }
        }
    };
    Box::pin(LocalSet::new().run_until(steps)).await;
}

#[tokio::test]
async fn a_stub_domain_has_upstreams_of_its_own() {
    let steps = async {
        let (corp, other) = (good().await, good().await);
        let forward = Forward {
            upstreams: vec![other.addr.into()],
            stubs: [("corp.example".into(), vec![corp.addr.into()])].into(),
            ..Forward::default()
        };
        let site = Site::serve(Limits::default(), with(forward));
        ask(&site, &outside("a.CORP.example.")).await;
        ask(&site, &outside("example.")).await;
        assert_eq!((corp.asked.get(), other.asked.get()), (1, 1));
    };
    Box::pin(LocalSet::new().run_until(steps)).await;
}

#[tokio::test]
async fn aliases_that_lead_out_of_the_zone_are_followed() {
    let steps = async {
        let upstream = Upstream::start(|query, _| vec![aliased(query, "edge.example.", 1)]).await;
        let site = site(&[&upstream]);
        let request = query("outside.shop", RecordType::A);
        for _ in 0..2 {
            let told = ask(&site, &request).await;
            assert_eq!(data(&told), "example.org. edge.example. 192.0.2.1");
            let owners: Vec<_> = told.answers.iter().map(|it| it.name.to_string()).collect();
            assert_eq!(
                owners,
                ["outside.shop.svc.cluster.local.", "example.org.", "edge.example."]
            );
            assert!(told.metadata.authoritative && told.metadata.recursion_available);
        }
        assert_eq!(upstream.asked.get(), 1);
        let alias = ask(&site, &query("outside.shop", RecordType::CNAME)).await;
        assert_eq!(data(&alias), "example.org.");
        *upstream.answers.borrow_mut() = Box::new(|query, _| vec![nothing(query)]);
        let told = ask(&site, &query("outside.shop", RecordType::AAAA)).await;
        assert_eq!((code(&told), data(&told)), (ResponseCode::NoError, "example.org.".into()));
    };
    Box::pin(LocalSet::new().run_until(steps)).await;
}

#[tokio::test]
async fn an_answer_that_is_out_of_date_is_better_than_none() {
    let steps = async {
        let upstream = good().await;
        let site = Site::serve(hasty(), to(&[upstream.addr]));
        let request = outside("example.org.");
        assert_eq!(ask(&site, &request).await.answers[0].ttl, 60);
        tokio::time::pause();
        tokio::time::advance(Duration::from_secs(61)).await;
        tokio::time::resume();
        *upstream.answers.borrow_mut() = Box::new(|_, _| vec![]);
        let told = ask(&site, &request).await;
        assert_eq!((data(&told), told.answers[0].ttl), ("192.0.2.1".into(), 30));
        assert_eq!(upstream.asked.get(), 2, "it must have been asked again");
    };
    Box::pin(LocalSet::new().run_until(steps)).await;
}

#[tokio::test]
async fn equal_questions_wait_for_one_answer() {
    let steps = async {
        let upstream = Upstream::start(|query, _| vec![address(query, 1, 0)]).await;
        let site = site(&[&upstream]);
        let mut stream = site.connect().await;
        // of one write, so that all are read before any is answered
        let all: Vec<u8> = (0..10).flat_map(|_| framed(&outside("example.org."))).collect();
        stream.write_all(&all).await.expect("the server must read");
        for _ in 0..10 {
            assert_eq!(data(&receive(&mut stream).await.expect("an answer")), "192.0.2.1");
        }
        assert!(upstream.asked.get() < 10, "{}", upstream.asked.get());
    };
    Box::pin(LocalSet::new().run_until(steps)).await;
}

#[tokio::test]
async fn a_client_that_asks_too_much_is_refused_and_names_of_the_cluster_pass() {
    let steps = async {
        let upstream = silent().await;
        let limits = Limits { forwarded: 10, ..Limits::default() };
        let site = Site::serve(limits, to(&[upstream.addr]));
        let mut stream = site.connect().await;
        for number in 0..6 {
            let mut request = outside(&format!("n{number}.example."));
            request.metadata.id = number;
            stream.write_all(&framed(&request)).await.expect("the server must read");
        }
        // half of the places are taken: the sixth is answered before the others
        let told = receive(&mut stream).await.expect("an answer");
        assert_eq!((told.metadata.id, code(&told)), (5, ResponseCode::Refused));
        let mut web = query("web.shop", RecordType::A);
        web.metadata.id = 6;
        stream.write_all(&framed(&web)).await.expect("the server must read");
        let told = receive(&mut stream).await.expect("an answer");
        assert_eq!((told.metadata.id, data(&told)), (6, "10.96.0.1".into()));
    };
    Box::pin(LocalSet::new().run_until(steps)).await;
}

#[tokio::test]
async fn an_upstream_that_asks_us_is_not_used() {
    let steps = async {
        let relay = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
        let addr = relay.local_addr().expect("a bound socket must have an address");
        let site = Site::serve(hasty(), to(&[addr]));
        let ours = site.udp;
        crate::life::spawn_local("relay", async move {
            let relay = std::rc::Rc::new(relay);
            let mut buffer = vec![0; 2048];
            loop {
                let (length, client) = relay.recv_from(&mut buffer).await.expect("a datagram");
                let (relay, query) = (relay.clone(), buffer[..length].to_vec());
                crate::life::spawn_local("relayed", async move {
                    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
                    socket.send_to(&query, ours).await.expect("it must be sent");
                    let mut answer = vec![0; 2048];
                    let length = socket.recv(&mut answer).await.expect("an answer");
                    relay.send_to(&answer[..length], client).await.expect("it must be sent");
                });
            }
        });
        let refused = async {
            for number in 0.. {
                let told = ask(&site, &outside(&format!("n{number}.example."))).await;
                if code(&told) == ResponseCode::Refused {
                    return;
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(10), refused).await.expect("it must be found out");
        let web = ask(&site, &query("web.shop", RecordType::A)).await;
        assert_eq!(data(&web), "10.96.0.1");
    };
    Box::pin(LocalSet::new().run_until(steps)).await;
}
