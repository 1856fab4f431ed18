use std::time::Duration;

use http_body_util::BodyExt;

use super::h2::{ask, empty, plain, request};
use super::h2_origin::{H2Manual, answer, next, world_to};
use super::world::*;
use crate::plane::Limits;

/// Memory is used so far; every task of the worker has seen it.
async fn used(world: &World, percent: u64) {
    world.local.overload.note(percent, 100);
    while world.local.level.get() != world.local.overload.level() {
        tokio::task::yield_now().await;
    }
}

fn shed(world: &World, what: &str) -> u64 {
    let mut counts = world.local.overload.counts();
    counts.find_map(|(name, count)| (name == what).then_some(count)).expect("a counter")
}

async fn world(origin: std::net::SocketAddr) -> World {
    let limits = Limits { drain_idle: Duration::from_millis(30), ..Limits::default() };
    World::to_within(limits, &[origin]).await
}

#[test]
fn at_80_percent_idle_connections_are_closed_and_responses_are_the_last() {
    run(async {
        let origin = Manual::new().await;
        let world = world(origin.addr).await;
        let mut idle = world.client().await;
        idle.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n").await;
        let mut upstream = origin.accept().await;
        upstream.head().await;
        upstream.send(OK).await;
        idle.until("ok").await;
        used(&world, 85).await;
        assert_eq!(idle.rest().await, "");
        assert_eq!(upstream.rest().await, "");
        let mut fresh = world.client().await;
        fresh.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n").await;
        let mut upstream = origin.accept().await;
        upstream.head().await;
        upstream.send(OK).await;
        let last = fresh.rest().await;
        assert!(last.contains("Connection: close\r\n") && last.ends_with("ok"), "{last}");
        assert_eq!((shed(&world, "idle_connection"), shed(&world, "upstream_connection")), (1, 1));
        used(&world, 10).await;
        let mut kept = world.client().await;
        kept.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n").await;
        // what was used meanwhile is not kept
        let mut upstream = origin.accept().await;
        upstream.head().await;
        upstream.send(OK).await;
        assert!(!kept.until("ok").await.contains("Connection: close"));
    });
}

#[test]
fn at_80_percent_connections_of_http2_say_goaway_and_their_streams_end_well() {
    run(async {
        let origin = Manual::new().await;
        let world = world(origin.addr).await;
        let mut client = plain(&world).await;
        let asked = ask(&mut client, request("GET", "http://h/", empty()));
        let (answer, ()) = tokio::join!(asked, async {
            let mut upstream = origin.accept().await;
            upstream.head().await;
            used(&world, 85).await;
            upstream.send(OK).await;
        });
        assert_eq!(answer.into_body().collect().await.expect("a body").to_bytes(), "ok");
        while client.ready().await.is_ok() {
            tokio::task::yield_now().await;
        }
        // whoever comes is served, once
        let origin = Canned::ok().await;
        let world = self::world(origin.addr).await;
        used(&world, 85).await;
        let mut client = plain(&world).await;
        assert_eq!(ask(&mut client, request("GET", "http://h/", empty())).await.status(), 200);
        while client.ready().await.is_ok() {
            tokio::task::yield_now().await;
        }
    });
}

#[test]
fn at_80_percent_unused_connections_to_endpoints_that_speak_http2_are_closed() {
    run(async {
        let origin = H2Manual::new().await;
        let world = world_to(target("web", &[origin.1])).await;
        let mut client = world.client().await;
        client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n").await;
        let mut upstream = origin.accept().await;
        let (_, mut to) = next(&mut upstream).await;
        answer(&mut to, "ok");
        let goes_on = crate::life::spawn_local("origin", async move {
            while upstream.accept().await.is_some() {}
        });
        client.until("ok").await;
        used(&world, 85).await;
        goes_on.await.expect("it is closed");
        assert_eq!(shed(&world, "upstream_connection"), 1);
    });
}

#[test]
fn at_90_percent_requests_are_refused_until_there_is_room_again() {
    run(async {
        let origin = Canned::ok().await;
        let world = world(origin.addr).await;
        let mut client = world.client().await;
        client.get("/", "ok").await;
        used(&world, 92).await;
        let mut client = world.client().await;
        client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n").await;
        let refused = client.rest().await;
        assert!(
            refused.starts_with("HTTP/1.1 503 ") && refused.ends_with(" overloaded\n"),
            "{refused}"
        );
        assert!(refused.contains("retry-after: 1\r\n"), "{refused}");
        assert!(refused.contains("Connection: close\r\n"), "{refused}");
        assert_eq!((shed(&world, "request"), origin.heads().len()), (1, 1));
        used(&world, 50).await;
        let mut client = world.client().await;
        client.get("/", "ok").await;
    });
}

#[test]
fn at_95_percent_who_holds_most_is_reset_and_the_others_go_on() {
    run(async {
        let origin = Manual::new().await;
        let world = world(origin.addr).await;
        // of one nothing is taken, of the other all
        let mut pausing = world.client().await;
        pausing.send("GET /big HTTP/1.1\r\nHost: h\r\n\r\n").await;
        let mut upstream = origin.accept().await;
        upstream.head().await;
        upstream.send("HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n").await;
        let filling = crate::life::spawn_local("origin", async move {
            let piece = vec![b'x'; 64 * 1024];
            while tokio::io::AsyncWriteExt::write_all(&mut upstream.stream, &piece).await.is_ok() {}
        });
        let mut small = world.client().await;
        small.send("GET /small HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n").await;
        let mut other = origin.accept().await;
        other.head().await;
        other.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\no").await;
        small.until("o").await;
        // until enough waits for the client that pauses
        while shed(&world, "reset") == 0 {
            used(&world, 96).await;
            tokio::task::yield_now().await;
        }
        filling.await.expect("the endpoint is let go");
        let mut taken = Vec::new();
        let error = tokio::io::AsyncReadExt::read_to_end(&mut pausing.stream, &mut taken).await;
        assert_eq!(error.expect_err("a reset").kind(), std::io::ErrorKind::ConnectionReset);
        other.send("kay").await;
        assert!(small.rest().await.ends_with("kay"));
        assert_eq!(shed(&world, "reset"), 1);
    });
}
