//! Upstreams that are asked over TCP and TLS.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::RecordType;
use tokio::io::AsyncWriteExt;
use tokio::task::LocalSet;

use super::bytes;
use super::forwarding::{ask, code, data, dead, hasty, outside, with};
use super::sockets::{Site, framed, receive};
use super::stream_server::{Server, answer_all};
use super::upstream::address;
use crate::plane::dns::Limits;
use crate::plane::tests::tls::Authority;
use crate::snapshot::{Authorities, Forward, ForwardPolicy, Upstream, UpstreamTransport};

fn to(upstreams: Vec<Upstream>) -> Forward {
    Forward { upstreams, ..Forward::default() }
}

fn site(limits: Limits, forward: Forward) -> Site {
    Site::serve(limits, with(forward))
}

async fn told(site: &Site, name: &str) -> (ResponseCode, String) {
    let told = ask(site, &outside(name)).await;
    (code(&told), data(&told))
}

fn good() -> (ResponseCode, String) {
    (ResponseCode::NoError, "192.0.2.1".to_owned())
}

#[tokio::test]
async fn connections_are_kept_and_resumed() {
    let steps = async {
        let authority = Authority::new(1);
        let certificate = authority.server(&["dns.example", "127.0.0.1"], None);
        for (certificate, name) in
            [(None, ""), (Some(&certificate), "dns.example"), (Some(&certificate), "127.0.0.1")]
        {
            // the first connection is closed after two answers
            let server = Server::start(certificate, |mut connection| async move {
                let most = if connection.number == 1 { 2 } else { usize::MAX };
                for _ in 0..most {
                    let query = connection.question().await?;
                    connection.send(&address(&query, 1, 60)).await?;
                }
                connection.stream.shutdown().await
            })
            .await;
            let upstream = match certificate {
                None => server.over_tcp(),
                Some(_) => server.over_tls(name),
            };
            let forward = Forward { authorities: authority.trusted(), ..to(vec![upstream]) };
            let site = site(Limits::default(), forward);
            for number in 0..10 {
                assert_eq!(told(&site, &format!("n{number}.example.")).await, good());
            }
            assert_eq!(server.opened.get(), 2, "{name}");
            let resumed = if certificate.is_some() { 1 } else { 0 };
            assert_eq!(server.resumed.get(), resumed, "{name}");
        }
    };
    LocalSet::new().run_until(Box::pin(steps)).await;
}

#[tokio::test]
async fn only_a_certificate_of_the_right_name_and_time_is_good() {
    let steps = async {
        let (authority, other) = (Authority::new(1), Authority::new(2));
        let expired = Some(rcgen::date_time_ymd(2020, 1, 1));
        let trusted = authority.trusted();
        let rows = [
            (authority.server(&["dns.example"], None), "dns.example", &trusted, true),
            (authority.server(&["127.0.0.1"], None), "127.0.0.1", &trusted, true),
            (authority.server(&["dns.example"], None), "127.0.0.1", &trusted, false),
            (authority.server(&["127.0.0.2"], None), "127.0.0.1", &trusted, false),
            (authority.server(&["dns.other"], None), "dns.example", &trusted, false),
            (authority.server(&["dns.example"], expired), "dns.example", &trusted, false),
            (other.server(&["dns.example"], None), "dns.example", &trusted, false),
            (authority.server(&["dns.example"], None), "dns.example", &Authorities::System, false),
        ];
        for (number, (certificate, name, authorities, is_good)) in rows.into_iter().enumerate() {
            let server = Server::start(Some(&certificate), answer_all).await;
            let upstream = server.over_tls(name);
            let forward = Forward { authorities: authorities.clone(), ..to(vec![upstream]) };
            let site = site(Limits::default(), forward);
            let expected = if is_good { good() } else { (ResponseCode::ServFail, String::new()) };
            assert_eq!(told(&site, "example.org.").await, expected, "row {number}");
        }
        // nor is one that speaks no TLS
        let server = Server::start(None, answer_all).await;
        let forward = Forward { authorities: trusted, ..to(vec![server.over_tls("127.0.0.1")]) };
        let site = site(hasty(), forward);
        assert_eq!(told(&site, "example.org.").await.0, ResponseCode::ServFail);
    };
    LocalSet::new().run_until(Box::pin(steps)).await;
}

#[tokio::test]
async fn answers_may_come_in_another_order() {
    let steps = async {
        let authority = Authority::new(1);
        let certificate = authority.server(&["127.0.0.1"], None);
        for certificate in [None, Some(&certificate)] {
            // the last octet of an answer is the number of the name; with each comes one of a query
            // that is not there, and one whose question is another's
            let server = Server::start(certificate, |mut connection| async move {
                let mut queries = Vec::new();
                while queries.len() < 5 {
                    queries.push(connection.question().await?);
                }
                for query in queries.iter().rev() {
                    let name = query.queries[0].name().to_string();
                    let number = name[1..2].parse().expect("a number");
                    let mut stray = address(query, 66, 60);
                    stray.metadata.id ^= 0x5555;
                    let mut other = address(query, 66, 60);
                    other.queries[0].set_name(queries[0].queries[0].name().clone());
                    other.queries[0].set_query_type(RecordType::AAAA);
                    for message in [stray, other, address(query, number, 60)] {
                        connection.send(&message).await?;
                    }
                }
                connection.query().await.map(drop)
            })
            .await;
            let upstream = match certificate {
                None => server.over_tcp(),
                Some(_) => server.over_tls("127.0.0.1"),
            };
            let forward = Forward { authorities: authority.trusted(), ..to(vec![upstream]) };
            let site = site(Limits::default(), forward);
            let mut client = site.connect().await;
            for number in 0..5u8 {
                let mut request = outside(&format!("n{number}.example."));
                request.metadata.id = number.into();
                client.write_all(&framed(&request)).await.expect("the server must read");
            }
            for _ in 0..5 {
                let answer = receive(&mut client).await.expect("an answer");
                assert_eq!(data(&answer), format!("192.0.2.{}", answer.metadata.id));
            }
            assert_eq!(server.opened.get(), 1, "queries share a connection");
        }
    };
    LocalSet::new().run_until(Box::pin(steps)).await;
}

#[tokio::test]
async fn a_query_on_a_connection_that_is_closed_is_asked_once_more() {
    let steps = async {
        // each closes within its second answer, but for the last, which does at once
        let server = Server::start(None, |mut connection| async move {
            if connection.number < 4 {
                let query = connection.question().await?;
                connection.send(&address(&query, 1, 60)).await?;
            }
            let query = connection.question().await?;
            let half = framed(&address(&query, 1, 60));
            connection.stream.write_all(&half[..half.len() / 2]).await?;
            connection.stream.shutdown().await
        })
        .await;
        let site = site(Limits::default(), to(vec![server.over_tcp()]));
        for number in 0..3 {
            assert_eq!(told(&site, &format!("n{number}.example.")).await, good());
        }
        assert_eq!(server.opened.get(), 3);
        let failed = (ResponseCode::ServFail, String::new());
        assert_eq!(told(&site, "n3.example.").await, failed, "and not for ever");
    };
    LocalSet::new().run_until(Box::pin(steps)).await;
}

#[tokio::test]
async fn an_upstream_that_hangs_or_lies_on_a_connection_is_failed_over() {
    let steps = async {
        let good_one = Server::start(None, answer_all).await;
        let silent = Server::start(None, |mut connection| async move {
            loop {
                connection.query().await?;
            }
        })
        .await;
        let liar = Server::start(None, |mut connection| async move {
            loop {
                let query = connection.query().await?;
                let mut answer = address(&query, 66, 60);
                answer.answers[0].name = "victim.example.".parse().expect("a name");
                connection.send(&answer).await?;
            }
        })
        .await;
        let nobody = Upstream { addr: dead().await, transport: UpstreamTransport::Tcp };
        for bad in [silent.over_tcp(), liar.over_tcp(), nobody] {
            let site = site(hasty(), to(vec![bad, good_one.over_tcp()]));
            assert_eq!(told(&site, "example.org.").await, good());
        }
    };
    LocalSet::new().run_until(Box::pin(steps)).await;
}

#[tokio::test]
async fn a_connection_that_has_gone_silent_is_not_asked_again() {
    let steps = async {
        // the first connection answers once, and then says nothing more
        let server = Server::start(None, |mut connection| async move {
            loop {
                let query = connection.question().await?;
                connection.send(&address(&query, 1, 60)).await?;
                if connection.number == 1 {
                    loop {
                        connection.query().await?;
                    }
                }
            }
        })
        .await;
        let site = site(hasty(), to(vec![server.over_tcp()]));
        assert_eq!(told(&site, "n0.example.").await, good());
        // the second attempt has a connection of its own
        assert_eq!(told(&site, "n1.example.").await, good());
        assert_eq!(told(&site, "n2.example.").await, good());
        assert_eq!(server.opened.get(), 2);
    };
    LocalSet::new().run_until(Box::pin(steps)).await;
}

#[tokio::test]
async fn a_connection_without_queries_is_closed() {
    let steps = async {
        let ended = Rc::new(Cell::new(false));
        let (notify, is_ended) = (Rc::new(tokio::sync::Notify::new()), ended.clone());
        let end = notify.clone();
        let server = Server::start(None, move |connection| {
            let (end, is_ended) = (end.clone(), is_ended.clone());
            async move {
                let told = answer_all(connection).await;
                is_ended.set(true);
                end.notify_one();
                told
            }
        })
        .await;
        let limits = Limits { upstream_idle: Duration::from_millis(50), ..Limits::default() };
        let site = site(limits, to(vec![server.over_tcp()]));
        assert_eq!(told(&site, "n0.example.").await, good());
        tokio::time::timeout(Duration::from_secs(10), notify.notified()).await.expect("in time");
        assert!(ended.get());
        assert_eq!(told(&site, "n1.example.").await, good());
        assert_eq!(server.opened.get(), 2);
    };
    LocalSet::new().run_until(Box::pin(steps)).await;
}

#[tokio::test]
async fn a_server_that_answers_one_query_a_connection_answers_all() {
    let steps = async {
        let server = Server::start(None, |mut connection| async move {
            let query = connection.query().await?;
            connection.send(&address(&query, 1, 60)).await?;
            connection.stream.shutdown().await
        })
        .await;
        let forward = Forward { policy: ForwardPolicy::RoundRobin, ..to(vec![server.over_tcp()]) };
        let site = site(Limits::default(), forward);
        let mut client = site.connect().await;
        let all: Vec<u8> =
            (0..20).flat_map(|number| framed(&outside(&format!("n{number}.example.")))).collect();
        client.write_all(&all).await.expect("the server must read");
        for _ in 0..20 {
            assert_eq!(data(&receive(&mut client).await.expect("an answer")), "192.0.2.1");
        }
    };
    LocalSet::new().run_until(Box::pin(steps)).await;
}

#[tokio::test]
async fn connections_of_upstreams_that_are_gone_are_closed_and_their_answers_forgotten() {
    let steps = async {
        let ended = Rc::new(tokio::sync::Notify::new());
        let end = ended.clone();
        let before = Server::start(None, move |connection| {
            let end = end.clone();
            async move {
                let told = answer_all(connection).await;
                end.notify_one();
                told
            }
        })
        .await;
        let after = Server::start(None, |mut connection| async move {
            loop {
                let query = connection.question().await?;
                connection.send(&address(&query, 2, 60)).await?;
            }
        })
        .await;
        let mut site = site(Limits::default(), to(vec![before.over_tcp()]));
        assert_eq!(told(&site, "example.org.").await, good());
        site.publish(with(to(vec![after.over_tcp()])));
        assert_eq!(told(&site, "example.org.").await.1, "192.0.2.2");
        tokio::time::timeout(Duration::from_secs(5), ended.notified()).await.expect("in time");
    };
    LocalSet::new().run_until(Box::pin(steps)).await;
}

/// What was asked, of a server that keeps every query to itself.
#[tokio::test]
async fn queries_on_a_connection_have_ids_and_cases_of_their_own() {
    let steps = async {
        let asked = Rc::new(RefCell::new(Vec::new()));
        let seen = asked.clone();
        let server = Server::start(None, move |mut connection| {
            let seen = seen.clone();
            async move {
                loop {
                    let query = connection.question().await?;
                    seen.borrow_mut().push(bytes(&query));
                    connection.send(&address(&query, 1, 0)).await?;
                }
            }
        })
        .await;
        let site = site(Limits::default(), to(vec![server.over_tcp()]));
        for _ in 0..20 {
            assert_eq!(told(&site, "abcdefghijklmnopqrstuvwxyz.example.").await, good());
        }
        let asked = asked.borrow();
        let distinct = |of: &dyn Fn(&Vec<u8>) -> Vec<u8>| {
            asked.iter().map(of).collect::<std::collections::BTreeSet<_>>().len()
        };
        assert_eq!(asked.len(), 20);
        assert!(distinct(&|query| query[..2].to_vec()) >= 19);
        assert!(distinct(&|query| query[12..40].to_vec()) == 20);
    };
    LocalSet::new().run_until(Box::pin(steps)).await;
}
