use std::sync::Arc;
use std::time::Duration;

use http_body_util::BodyExt;

use super::h2::{ask, empty, plain, request};
use super::world::*;
use crate::life::task_panics;
use crate::snapshot::{HostMatch, Rule, Timeouts};

/// A rule whose requests panic: no clock goes as far as what it allows. Compiled rules have a
/// bound.
pub(super) fn panicking(prefix: &str, origin: &Manual) -> Arc<Rule> {
    let endless = Timeouts { request: Some(Duration::MAX), backend: None };
    let rule = rule(HostMatch::Any, prefix, forward("web", &[origin.addr]));
    changed(rule, |rule| rule.timeouts = endless)
}

async fn world(origin: &Manual) -> World {
    let mut world = World::new().await;
    let good = rule(HostMatch::Any, "", forward("web", &[origin.addr]));
    world.publish(vec![panicking("/panic", origin), good], None);
    world
}

#[test]
fn a_panic_in_an_exchange_of_http1_ends_its_connection_and_no_other() {
    run(async {
        let origin = Manual::new().await;
        let world = world(&origin).await;
        let mut other = world.client().await;
        other.send("GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n").await;
        let mut upstream = origin.accept().await;
        upstream.head().await;
        let before = task_panics();
        let answer = world.ask("GET /panic HTTP/1.1\r\nHost: h\r\n\r\n").await;
        assert_eq!(answer, "");
        assert!(task_panics() > before);
        upstream.send(OK).await;
        assert!(other.rest().await.ends_with("ok"));
    });
}

#[test]
fn a_panic_in_a_stream_of_http2_resets_that_stream_and_its_siblings_go_on() {
    run(async {
        let origin = Manual::new().await;
        let world = world(&origin).await;
        let mut client = plain(&world).await;
        let mut sibling = client.clone();
        let asked = ask(&mut sibling, request("GET", "http://h/", empty()));
        let (sibling, failed) = tokio::join!(asked, async {
            let mut upstream = origin.accept().await;
            upstream.head().await;
            let before = task_panics();
            client.ready().await.expect("the connection must be open");
            let failed = client.send_request(request("GET", "http://h/panic", empty())).await;
            assert!(task_panics() > before);
            upstream.send(OK).await;
            failed.expect_err("a reset")
        });
        let body = sibling.into_body().collect().await.expect("a body");
        assert_eq!(body.to_bytes(), "ok");
        let reset = std::error::Error::source(&failed).expect("a cause");
        let reset = reset.downcast_ref::<::h2::Error>().expect("an error of HTTP/2");
        assert_eq!(reset.reason(), Some(::h2::Reason::INTERNAL_ERROR));
        let answer = ask(&mut client, request("GET", "http://h/none", empty()));
        let (answer, ()) = tokio::join!(answer, async {
            let mut upstream = origin.accept().await;
            upstream.head().await;
            upstream.send(OK).await;
        });
        assert_eq!(answer.status(), 200);
    });
}
