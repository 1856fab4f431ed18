//! What upstreams that are down, slow or full cost, and how it is counted.

use std::time::Duration;

use hickory_proto::op::ResponseCode;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::task::LocalSet;

use super::forwarding::{ask, code, data, good, hasty, outside, silent, to, with};
use super::sockets::{Site, framed, receive};
use super::upstream::{Upstream, address, nothing, reply};
use crate::plane::dns::Limits;
use crate::snapshot::zone::{Alternate, CachePolicy, Unknown};
use crate::snapshot::{Forward, Snapshot};

async fn failing() -> Upstream {
    Upstream::start(|query, _| vec![reply(query, ResponseCode::ServFail)]).await
}

#[tokio::test]
async fn no_client_waits_for_an_upstream_that_is_down() {
    let steps = async {
        let (silent, failing) = (silent().await, failing().await);
        let site = Site::serve(hasty(), to(&[silent.addr, failing.addr]));
        for number in 0..8 {
            let told = ask(&site, &outside(&format!("n{number}.example."))).await;
            assert_eq!(code(&told), ResponseCode::ServFail);
        }
        // what the one that is up says is the answer, also if it is none
        assert_eq!((silent.asked.get(), failing.asked.get()), (2, 8));
    };
    LocalSet::new().run_until(steps).await;
}

#[tokio::test]
async fn upstreams_are_asked_when_all_are_down() {
    let steps = async {
        let (first, second) = (silent().await, silent().await);
        let site = Site::serve(hasty(), to(&[first.addr, second.addr]));
        for number in 0..2 {
            let told = ask(&site, &outside(&format!("n{number}.example."))).await;
            assert_eq!(code(&told), ResponseCode::ServFail);
        }
        assert_eq!((first.asked.get(), second.asked.get()), (2, 2));
        *second.answers.borrow_mut() = Box::new(|query, _| vec![address(query, 1, 60)]);
        assert_eq!(data(&ask(&site, &outside("n2.example.")).await), "192.0.2.1");
    };
    LocalSet::new().run_until(steps).await;
}

/// Asks for so many names of their own, at once.
async fn ask_at_once(site: &Site, count: u16) -> TcpStream {
    let mut stream = site.connect().await;
    for number in 0..count {
        let mut request = outside(&format!("n{number}.example."));
        request.metadata.id = number;
        stream.write_all(&framed(&request)).await.expect("the server must read");
    }
    stream
}

#[tokio::test]
async fn a_slow_upstream_fills_its_own_places_only() {
    let steps = async {
        let (slow, good) = (silent().await, good().await);
        let attempt = Duration::from_secs(60);
        let limits = Limits { at_upstream: 3, attempt, ..Limits::default() };
        let site = Site::serve(limits.clone(), to(&[slow.addr, good.addr]));
        let mut stream = ask_at_once(&site, 6).await;
        let mut answered = Vec::new();
        for _ in 0..3 {
            let told = receive(&mut stream).await.expect("an answer");
            assert_eq!(data(&told), "192.0.2.1");
            answered.push(told.metadata.id);
        }
        answered.sort_unstable();
        assert_eq!(answered, [3, 4, 5]);
        assert_eq!((slow.asked.get(), good.asked.get()), (3, 3));
        // where there is no other, the client is told to ask elsewhere
        let snapshot = to(&[slow.addr]);
        let site = Site::serve(limits, snapshot.clone());
        let told = receive(&mut ask_at_once(&site, 4).await).await.expect("an answer");
        assert_eq!((told.metadata.id, code(&told)), (3, ResponseCode::Refused));
        let refused = site.metrics(&snapshot, "rutter_dns_forward_refused_total{room=\"upstream\"");
        assert_eq!(refused, ["rutter_dns_forward_refused_total{room=\"upstream\"} 1"]);
        let waiting = site.metrics(&snapshot, "rutter_dns_forward_in_flight{");
        let addr = slow.addr;
        assert_eq!(waiting, [format!("rutter_dns_forward_in_flight{{to=\"{addr}\"}} 3.0")]);
    };
    LocalSet::new().run_until(Box::pin(steps)).await;
}

#[tokio::test]
async fn what_becomes_of_forwarded_names_is_counted() {
    let steps = async {
        let (silent, failing, good) = (silent().await, failing().await, good().await);
        let snapshot = to(&[silent.addr, failing.addr, good.addr]);
        let site = Site::serve(hasty(), snapshot.clone());
        ask(&site, &outside("a.example.")).await;
        ask(&site, &outside("a.example.")).await;
        *good.answers.borrow_mut() = Box::new(|query, _| vec![nothing(query)]);
        ask(&site, &outside("b.example.")).await;
        let labels = [("SILENT", &silent), ("FAILING", &failing), ("GOOD", &good)];
        let lines = |snapshot: &Snapshot, prefix: &str| {
            let named = |line: String| {
                labels.iter().fold(line, |line, (name, upstream)| {
                    line.replace(&upstream.addr.to_string(), name)
                })
            };
            let mut lines: Vec<_> = site.metrics(snapshot, prefix).into_iter().map(named).collect();
            lines.sort();
            lines
        };
        let rows: [(&str, &[&str]); 8] = [
            (
                "rutter_dns_forward_requests_total{",
                &["{to=\"FAILING\"} 2", "{to=\"GOOD\"} 2", "{to=\"SILENT\"} 2"],
            ),
            ("rutter_dns_forward_failures_total{", &["{to=\"SILENT\",reason=\"timeout\"} 2"]),
            (
                "rutter_dns_forward_request_duration_seconds_count{",
                &[
                    "{to=\"FAILING\",rcode=\"SERVFAIL\"} 2",
                    "{to=\"GOOD\",rcode=\"NOERROR\"} 1",
                    "{to=\"GOOD\",rcode=\"NXDOMAIN\"} 1",
                ],
            ),
            (
                "rutter_dns_forward_in_flight{",
                &["{to=\"FAILING\"} 0.0", "{to=\"GOOD\"} 0.0", "{to=\"SILENT\"} 0.0"],
            ),
            ("rutter_dns_cache_hits_total{", &["{type=\"denial\"} 0", "{type=\"success\"} 1"]),
            ("rutter_dns_cache_misses_total", &["{} 2"]),
            ("rutter_dns_cache_entries{", &["{type=\"denial\"} 1.0", "{type=\"success\"} 1.0"]),
            (
                "rutter_dns_forward_refused_total{",
                &["{room=\"client\"} 0", "{room=\"upstream\"} 0"],
            ),
        ];
        for (prefix, expected) in rows {
            let name = prefix.trim_end_matches('{');
            let expected: Vec<_> = expected.iter().map(|it| format!("{name}{it}")).collect();
            assert_eq!(lines(&snapshot, prefix), expected);
        }
        let none: Vec<String> = Vec::new();
        // an upstream that is gone has no series any more
        let requests = "rutter_dns_forward_requests_total{";
        assert_eq!(lines(&to(&[good.addr]), requests), [format!("{requests}to=\"GOOD\"}} 2")]);
        assert_eq!(lines(&Snapshot::default(), requests), none);
    };
    LocalSet::new().run_until(Box::pin(steps)).await;
}

#[tokio::test]
async fn where_upstreams_do_not_know_a_name_the_next_list_is_asked() {
    let steps = async {
        let first = Upstream::start(|query, _| vec![nothing(query)]).await;
        let (failing, good) = (failing().await, good().await);
        let lists = |alternates: Vec<Alternate>| {
            let alternates = [("".into(), alternates)].into();
            with(Forward { upstreams: vec![first.addr.into()], alternates, ..Forward::default() })
        };
        let after = |rcode: u8, upstream: &Upstream| Alternate {
            upstreams: vec![upstream.addr.into()],
            after: Unknown { rcodes: vec![rcode], no_data: false },
        };
        let rows = [
            (vec![after(3, &good)], ResponseCode::NoError, 1),
            (vec![after(5, &good)], ResponseCode::NXDomain, 0),
            (vec![after(3, &failing), after(2, &good)], ResponseCode::NoError, 1),
            (vec![after(3, &failing), after(3, &good)], ResponseCode::ServFail, 0),
        ];
        for (alternates, expected, asked) in rows {
            good.asked.set(0);
            let site = Site::serve(Limits::default(), lists(alternates.clone()));
            for _ in 0..2 {
                let told = ask(&site, &outside("www.example.")).await;
                assert_eq!(code(&told), expected, "{alternates:?}");
            }
            assert_eq!(good.asked.get(), asked, "{alternates:?}");
        }
    };
    Box::pin(LocalSet::new().run_until(steps)).await;
}

#[tokio::test]
async fn answers_of_other_zones_than_the_caches_are_not_remembered() {
    let steps = async {
        let upstream = good().await;
        let cache = CachePolicy { zones: vec!["corp".into()], ..CachePolicy::default() };
        let upstreams = vec![upstream.addr.into()];
        let site = Site::serve(
            Limits::default(),
            with(Forward { upstreams, cache, ..Forward::default() }),
        );
        for (name, asked) in [("a.corp.", 1), ("A.Corp.", 1), ("a.example.", 2), ("a.example.", 3)]
        {
            assert_eq!(data(&ask(&site, &outside(name)).await), "192.0.2.1");
            assert_eq!(upstream.asked.get(), asked, "{name}");
        }
    };
    Box::pin(LocalSet::new().run_until(steps)).await;
}
