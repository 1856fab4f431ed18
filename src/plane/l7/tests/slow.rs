//! Clients that are slow for too long, and connections that are old.

use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::time::{Instant, interval, timeout};

use super::h2::{ask, empty, plain, request};
use super::world::*;
use crate::plane::Limits;

const TICK: Duration = Duration::from_millis(10);

async fn world(limits: Limits, origin: &Manual) -> World {
    World::to_within(limits, &[origin.addr]).await
}

/// At least 10,000 bytes a second, from a tenth of a second on.
fn paced() -> Limits {
    let client_rate_grace = Duration::from_millis(100);
    Limits { client_rate: 10_000, client_rate_grace, ..Limits::default() }
}

const POST: &str = "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n";

/// Sends a chunk of one byte each tick, until there is an answer or enough was sent.
async fn trickle(client: &mut Client, head: &str) -> String {
    client.send(format!("{head}\r\n").as_str()).await;
    let mut ticks = interval(TICK);
    for _ in 0..50 {
        ticks.tick().await;
        client.send("1\r\nx\r\n").await;
        if timeout(Duration::from_millis(1), client.stream.readable()).await.is_ok() {
            return client.rest().await;
        }
    }
    String::new()
}

#[test]
fn a_body_that_trickles_in_is_ended_unless_nobody_asks_for_more() {
    run(async {
        let origin = Manual::new().await;
        let free = Limits { client_rate: 0, ..paced() };
        for (limits, head, is_ended) in [
            (paced(), POST.to_owned(), true),
            (free, POST.to_owned(), false),
            (paced(), format!("{POST}Content-Type: application/grpc+proto\r\n"), false),
        ] {
            let world = world(limits, &origin).await;
            let mut client = world.client().await;
            let answer = trickle(&mut client, &head).await;
            let told = " 408 Request Timeout\r\n";
            assert_eq!(answer.contains(told), is_ended, "{head}{answer}");
            assert_eq!(answer.ends_with("rutter: 408 client_too_slow\n"), is_ended, "{answer}");
        }
    });
}

#[test]
fn a_client_that_goes_on_sending_after_the_answer_has_begun_may_take_its_time() {
    run(async {
        let origin = Manual::new().await;
        let world = world(paced(), &origin).await;
        let mut client = world.client().await;
        client.send(format!("{POST}\r\n").as_str()).await;
        let mut upstream = origin.accept().await;
        upstream.head().await;
        upstream.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n").await;
        client.until("a\r\n").await;
        let mut ticks = interval(TICK);
        for _ in 0..30 {
            ticks.tick().await;
            client.send("1\r\nx\r\n").await;
            upstream.until("1\r\nx\r\n").await;
        }
        client.send("0\r\n\r\n").await;
        upstream.send("0\r\n\r\n").await;
        client.until("0\r\n\r\n").await;
    });
}

#[test]
fn an_endpoint_that_is_slow_is_no_fault_of_the_client() {
    run(async {
        let origin = Manual::new().await;
        let world = world(paced(), &origin).await;
        let mut client = world.client().await;
        client.send("GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n").await;
        let mut upstream = origin.accept().await;
        upstream.head().await;
        upstream.send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n").await;
        let mut ticks = interval(TICK);
        for _ in 0..30 {
            ticks.tick().await;
            upstream.send("e").await;
        }
        drop(upstream);
        let answer = client.rest().await;
        assert_eq!(answer.matches("\r\n1\r\ne").count(), 30, "{answer}");
        assert!(answer.ends_with("0\r\n\r\n"), "{answer}");
    });
}

/// Takes a response with a body of [`LENGTH`] bytes by pieces; how many bytes came, head and all.
async fn take(world: &World, origin: &Manual, pause: Option<Duration>) -> usize {
    let mut client = world.client().await;
    client.send("GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n").await;
    let mut upstream = origin.accept().await;
    upstream.head().await;
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {LENGTH}\r\n\r\n");
    let whole = head + &"x".repeat(LENGTH);
    let sending = crate::life::spawn_local("origin", async move {
        // it is cut where the client is too slow
        let _ = tokio::io::AsyncWriteExt::write_all(&mut upstream.stream, whole.as_bytes()).await;
    });
    let (mut piece, mut taken) = (vec![0; 64 * 1024], 0);
    while let Ok(length @ 1..) = client.stream.read(&mut piece).await {
        taken += length;
        if let Some(pause) = pause {
            tokio::time::sleep(pause).await;
        }
    }
    drop(client);
    let _ = sending.await;
    taken
}

const LENGTH: usize = 48 * 1024 * 1024;

#[test]
fn a_response_is_cut_where_its_client_takes_it_too_slowly() {
    run(async {
        let origin = Manual::new().await;
        let rate = Limits { client_rate: 16 * 1024 * 1024, ..paced() };
        let world = world(rate, &origin).await;
        // 64 KiB a tick are 6 MiB a second at most
        let taken = take(&world, &origin, Some(TICK)).await;
        assert!(taken < LENGTH, "{taken}");
        let slow = Limits { client_rate: 1_000, ..paced() };
        let world = self::world(slow, &origin).await;
        assert!(take(&world, &origin, None).await > LENGTH);
    });
}

#[test]
fn an_old_connection_ends_with_a_response_and_a_young_one_does_not() {
    run(async {
        let origin = Canned::ok().await;
        let age = Duration::from_millis(300);
        let limits = Limits { client_age: Some(age), ..Limits::default() };
        let world = World::to_within(limits, &[origin.addr]).await;
        let (begun, mut client) = (Instant::now(), world.client().await);
        let mut last = client.get("/", "ok").await;
        while !last.contains("Connection: close\r\n") {
            last = client.get("/", "ok").await;
        }
        // it is known to a tenth of a second
        assert!(begun.elapsed() >= age * 9 / 10 - TICK * 10, "{:?}", begun.elapsed());
        assert_eq!(client.rest().await, "");
        let world = World::to(&[origin.addr]).await;
        let (begun, mut client) = (Instant::now(), world.client().await);
        while begun.elapsed() < age * 2 {
            assert!(!client.get("/", "ok").await.contains("Connection: close"));
        }
    });
}

#[test]
fn an_old_connection_of_http2_says_goaway_and_loses_nothing() {
    run(async {
        let origin = Canned::ok().await;
        let limits = Limits { client_age: Some(Duration::from_millis(300)), ..Limits::default() };
        let world = World::to_within(limits, &[origin.addr]).await;
        let mut client = plain(&world).await;
        let mut answers = 0;
        while client.ready().await.is_ok() {
            let asked = client.send_request(request("GET", "http://h/", empty()));
            match asked.await {
                Ok(answer) => assert_eq!(answer.status(), 200),
                // the connection has ended since it was ready, and the request was never sent
                Err(error) => assert!(error.is_canceled() || error.is_closed(), "{error:?}"),
            }
            answers += 1;
        }
        assert!(answers > 0);
        let mut next = plain(&world).await;
        assert_eq!(ask(&mut next, request("GET", "http://h/", empty())).await.status(), 200);
    });
}
