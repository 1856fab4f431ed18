//! Connections of which queries wait for upstreams.

use std::time::Duration;

use hickory_proto::op::{Message, ResponseCode};
use tokio::io::AsyncWriteExt;

use super::forwarding::to;
use super::https::{Client, VERSIONS, message};

use super::sockets::{Site, framed, numbered, receive};
use super::upstream::{Upstream, address};
use crate::plane::dns::Limits;
use crate::plane::tests::run;
use crate::plane::tests::tls::{certificate, client_config, shake_hands, table};
use crate::snapshot::Snapshot;

fn outside(id: u16) -> Message {
    let mut message = numbered(id);
    message.queries[0].name = "example.org.".parse().expect("a name");
    message
}

fn site(upstream: &Upstream, limits: Limits) -> Site {
    let dns_tls = table(&certificate(1, "dns.test"), None);
    Site::serve(limits, Snapshot { dns_tls, ..to(&[upstream.addr]) })
}

#[test]
fn an_answer_of_an_upstream_comes_when_it_is_there_and_lets_others_pass() {
    run(async {
        let upstream = Upstream::start(|query, _| vec![address(query, 1, 60)]).await;
        let site = site(&upstream, Limits::default());
        let config = client_config(&["dot"], None);
        let mut stream = shake_hands(site.tls, "dns.test", config).await.expect("TLS");
        let both = [framed(&outside(1)), framed(&numbered(2))].concat();
        stream.write_all(&both).await.expect("the server must read");
        // the client asks no more, but waits
        stream.shutdown().await.expect("it must be sent");
        for id in [2, 1] {
            let answer = receive(&mut stream).await.expect("an answer");
            assert_eq!((answer.metadata.id, answer.answers.len()), (id, 1));
        }
        receive(&mut stream).await.expect_err("everything is answered");
    });
}

#[test]
fn names_of_others_are_asked_for_over_https_too() {
    run(async {
        let upstream = Upstream::start(|query, _| vec![address(query, 1, 60)]).await;
        let site = site(&upstream, Limits::default());
        for version in VERSIONS {
            let mut client = Client::connect(&site, version).await;
            let response = client.post(&outside(1)).await;
            assert_eq!(response.headers()["cache-control"], "max-age=60");
            assert_eq!(message(response).await.answers.len(), 1);
        }
    });
}

#[test]
fn a_connection_that_waits_for_upstreams_is_not_closed_for_others() {
    run(async {
        let upstream = Upstream::start(|_, _| Vec::new()).await;
        let attempt = Duration::from_millis(300);
        let site = site(&upstream, Limits { connections: 1, attempt, ..Limits::default() });
        let mut waiting = site.connect().await;
        waiting.write_all(&framed(&outside(1))).await.expect("the server must read");
        while upstream.asked.get() == 0 {
            tokio::task::yield_now().await;
        }
        receive(&mut site.connect().await).await.expect_err("there is no room");
        let refused = "rutter_dns_refused_connections_total{transport=\"tcp\",reason=\"limit\"}";
        assert_eq!(site.counted(refused), 1);
        let answer = receive(&mut waiting).await.expect("an answer");
        assert_eq!(answer.metadata.response_code, ResponseCode::ServFail);
        // it is idle again
        let mut other = site.connect().await;
        other.write_all(&framed(&numbered(2))).await.expect("the server must read");
        assert_eq!(receive(&mut other).await.expect("an answer").metadata.id, 2);
    });
}
