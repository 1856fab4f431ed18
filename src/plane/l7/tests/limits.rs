use std::num::NonZeroU32;
use std::time::Duration;

use super::world::*;
use crate::snapshot::{Balancing, RequestLimits};

const GET: &str = "GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";

/// One request at a time at each endpoint; so many wait.
fn one_each(queue: u32, queue_time: Duration) -> RequestLimits {
    RequestLimits { per_service: None, per_endpoint: NonZeroU32::new(1), queue, queue_time }
}

async fn world(origins: &[&Manual], limits: RequestLimits) -> World {
    let addrs: Vec<_> = origins.iter().map(|origin| origin.addr).collect();
    let balancing = Balancing { limits: Some(limits), ..Balancing::default() };
    let mut world = World::new().await;
    world.publish(all(forward_to(balanced(target("web", &addrs), balancing))), None);
    world
}

async fn asked(world: &World) -> Client {
    let mut client = world.client().await;
    client.send(GET).await;
    client
}

#[test]
fn requests_go_where_there_is_room_and_then_wait_in_order() {
    run(async {
        let (a, b) = (Manual::new().await, Manual::new().await);
        let world = world(&[&a, &b], one_each(9, Duration::from_secs(20))).await;
        let (mut first, mut second) = (asked(&world).await, asked(&world).await);
        let (mut at_a, mut at_b) = (a.accept().await, b.accept().await);
        at_a.head().await;
        at_b.head().await;
        let mut third = asked(&world).await;
        let mut fourth = asked(&world).await;
        at_a.send(OK).await;
        // on the connection of the one that is done, and the last one waits still
        at_a.head().await;
        assert!(a.is_untouched() && b.is_untouched());
        at_b.send(OK).await;
        at_b.head().await;
        at_a.send(OK).await;
        at_b.send(OK).await;
        for client in [&mut first, &mut second, &mut third, &mut fourth] {
            assert!(client.rest().await.contains("200 OK"));
        }
        assert_eq!(world.in_flight(a.addr) + world.in_flight(b.addr), 0);
    });
}

#[test]
fn what_the_queue_does_not_take_is_answered_at_once() {
    run(async {
        let origin = Manual::new().await;
        let world = world(&[&origin], one_each(1, Duration::from_secs(20))).await;
        let mut first = asked(&world).await;
        let mut upstream = origin.accept().await;
        upstream.head().await;
        let mut second = asked(&world).await;
        let mut third = asked(&world).await;
        // either of the two waits, for they come by connections of their own
        let refused = tokio::select! {
            refused = second.rest() => refused,
            refused = third.rest() => refused,
        };
        assert!(refused.contains(" 503 ") && refused.ends_with("queue_full\n"), "{refused}");
        upstream.send(OK).await;
        assert!(first.rest().await.contains("200 OK"));
    });
}

#[test]
fn what_has_waited_too_long_is_answered_and_leaves_its_place() {
    run(async {
        let origin = Manual::new().await;
        let world = world(&[&origin], one_each(1, Duration::from_millis(20))).await;
        let _first = asked(&world).await;
        let mut upstream = origin.accept().await;
        upstream.head().await;
        for _ in 0..3 {
            let refused = world.ask(GET).await;
            assert!(refused.contains(" 503 ") && refused.ends_with("queue_timeout\n"), "{refused}");
            assert!(refused.to_lowercase().contains("retry-after"), "{refused}");
        }
    });
}

#[test]
fn a_client_that_goes_away_while_it_waits_leaves_its_place_to_others() {
    run(async {
        let origin = Manual::new().await;
        let world = world(&[&origin], one_each(1, Duration::from_secs(20))).await;
        let mut first = asked(&world).await;
        let mut upstream = origin.accept().await;
        upstream.head().await;
        drop(asked(&world).await);
        let mut patient = asked(&world).await;
        // until the place is free the queue is full
        while let Ok(refused) =
            tokio::time::timeout(Duration::from_millis(50), patient.rest()).await
        {
            assert!(refused.ends_with("queue_full\n"), "{refused}");
            patient = asked(&world).await;
        }
        upstream.send(OK).await;
        assert!(first.rest().await.contains("200 OK"));
        upstream.head().await;
        upstream.send(OK).await;
        assert!(patient.rest().await.contains("200 OK"));
    });
}

#[test]
fn the_limit_of_a_service_counts_all_of_its_endpoints() {
    run(async {
        let (a, b) = (Manual::new().await, Manual::new().await);
        let limits = RequestLimits {
            per_service: NonZeroU32::new(1),
            per_endpoint: None,
            queue: 0,
            queue_time: Duration::from_secs(20),
        };
        let world = world(&[&a, &b], limits).await;
        let _first = asked(&world).await;
        let mut upstream = tokio::select! {
            upstream = a.accept() => upstream,
            upstream = b.accept() => upstream,
        };
        upstream.head().await;
        assert!(world.ask(GET).await.ends_with("queue_full\n"));
    });
}

#[test]
fn without_a_policy_a_fifth_of_what_is_sent_may_be_retries_and_ten_a_second() {
    run(async {
        // two endpoints so that neither half is passed over: each fails just not often enough
        let resets = [RESET, RESET, CLOSING].repeat(60);
        let (a, b) = (Canned::with(&resets).await, Canned::with(&resets).await);
        let world = World::to(&[a.addr, b.addr]).await;
        let (mut exhausted, mut sent) = (0, 0);
        for _ in 0..100 {
            let answer = world.ask(GET).await;
            exhausted += usize::from(answer.ends_with("retry_budget_exhausted\n"));
            sent += 1;
        }
        let retries = a.heads().len() + b.heads().len() - sent;
        assert!(exhausted > 0, "{retries} retries of {sent}");
        let most = 10 + (sent + retries) / 5;
        assert!(retries <= most, "{retries} retries of {sent}");
    });
}

const CLOSING: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok";
