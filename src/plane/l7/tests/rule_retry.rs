//! Retries and time limits as a rule asks for them (GEP-1731, GEP-1742, GEP-3388).

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::world::*;
use crate::snapshot::{
    Action, HostMatch, Retry, RetryBudget, Rule, Timeouts, TrafficPolicy, WeightedBackend,
};

const GET: &str = "GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";
const POST: &str = "POST / HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: 1\r\n\r\nx";

fn status(code: u16) -> String {
    format!("HTTP/1.1 {code} X\r\nContent-Length: 0\r\n\r\n")
}

fn retry(codes: &[u16], attempts: u32, backoff: u64) -> Option<Retry> {
    let backoff = Duration::from_millis(backoff);
    Some(Retry { codes: codes.to_vec(), attempts, backoff })
}

async fn world(endpoints: &[SocketAddr], change: impl FnOnce(&mut Rule)) -> World {
    let mut world = World::new().await;
    let rule = changed(rule(HostMatch::Any, "", forward("web", endpoints)), change);
    world.publish(vec![rule], None);
    world
}

/// The rule's codes and attempts, how an endpoint fails and how often, the status in the end, and
/// how often the request was sent.
type Row<'r> = (&'r [u16], u32, &'r str, usize, u16, usize);

/// The rows of the conformance tests HTTPRouteRetry and HTTPRouteRetryConnectionError.
#[test]
fn unwanted_statuses_and_resets_are_retried_as_often_as_the_rule_says() {
    let all: &[u16] = &[500, 502, 503, 504];
    let rows: &[Row<'_>] = &[
        (&[500], 3, "500", 2, 200, 3),
        (&[500], 3, "500", 4, 500, 4),
        (&[500], 3, "503", 2, 503, 1),
        (all, 2, "500", 1, 200, 2),
        (all, 2, "500", 3, 500, 3),
        (all, 2, "502", 1, 200, 2),
        (all, 2, "502", 3, 502, 3),
        (all, 2, "503", 1, 200, 2),
        (all, 2, "503", 3, 503, 3),
        (all, 2, "504", 1, 200, 2),
        (all, 2, "504", 3, 504, 3),
        (&[], 3, RESET, 2, 200, 3),
        (&[], 3, RESET, 4, 503, 4),
    ];
    run(async {
        for (codes, attempts, failure, failures, expected, sent) in rows {
            let failure = failure.parse().map_or_else(|_| RESET.to_owned(), status);
            let origin = Canned::with(&vec![&*failure; *failures]).await;
            let world = world(&[origin.addr], |rule| rule.retry = retry(codes, *attempts, 1)).await;
            let answer = world.ask(GET).await;
            let row = format!("{codes:?} {attempts} {failure:?} {failures}: {answer:?}");
            assert!(answer.starts_with(&format!("HTTP/1.1 {expected} ")), "{row}");
            assert_eq!(origin.heads().len(), *sent, "{row}");
        }
    });
}

#[test]
fn a_kept_connection_that_is_reset_counts_where_the_rule_counts() {
    run(async {
        let origin = Canned::with(&[OK, RESET, RESET, RESET]).await;
        let world = world(&[origin.addr], |rule| rule.retry = retry(&[], 2, 1)).await;
        assert!(world.ask(GET).await.contains("200 OK"));
        assert!(world.ask(GET).await.ends_with("retries_exhausted\n"));
        assert_eq!(origin.heads().len(), 4);
    });
}

#[test]
fn a_retry_goes_to_another_endpoint_if_there_is_one() {
    run(async {
        let bad = status(503);
        for failure in [&*bad, RESET] {
            let failing = Canned::with(&[failure; 100]).await;
            let origin = Canned::ok().await;
            let endpoints = [failing.addr, origin.addr];
            let world = world(&endpoints, |rule| rule.retry = retry(&[503], 1, 1)).await;
            for _ in 0..20 {
                assert!(world.ask(GET).await.contains("200 OK"));
            }
            assert!(!failing.heads().is_empty());
        }
    });
}

#[test]
fn a_post_is_sent_again_after_a_status_only() {
    run(async {
        let bad = status(503);
        for (failure, expected) in [(&*bad, "ok"), (RESET, "upstream_reset\n")] {
            let origin = Canned::with(&[failure]).await;
            let world = world(&[origin.addr], |rule| rule.retry = retry(&[503], 2, 1)).await;
            let answer = world.ask(POST).await;
            assert!(answer.ends_with(expected), "{failure}: {answer:?}");
        }
    });
}

/// The rows of the conformance test HTTPRouteRetryWithTimeouts.
#[test]
fn attempts_that_take_too_long_are_retried_while_the_request_may_last() {
    let bad = status(500);
    let slow = [SILENCE; 3];
    let rows: &[(&[&str], u32, u64, u64, &str)] = &[
        (&slow[..2], 2, 300, 0, "ok"),
        (&slow, 2, 20, 0, "504 response_timeout\n"),
        (&[&bad], 5, 200, 4_000, "ok"),
        (&[&bad, SILENCE, SILENCE], 5, 30, 40, "504 response_timeout\n"),
    ];
    run(async {
        for (responses, attempts, backend, request, expected) in rows {
            let origin = Canned::with(responses).await;
            let limit = |millis| Some(Duration::from_millis(millis));
            let world = world(&[origin.addr], |rule| {
                rule.retry = retry(&[500], *attempts, 1);
                rule.timeouts = Timeouts { request: limit(*request), backend: limit(*backend) };
            })
            .await;
            let answer = world.ask(GET).await;
            assert!(answer.ends_with(expected), "{responses:?}: {answer:?}");
        }
    });
}

#[test]
fn the_time_of_a_request_ends_its_back_off_and_zero_ends_nothing() {
    run(async {
        let bad = status(503);
        for (limit, expected) in [(20, "504 response_timeout\n"), (0, "ok")] {
            let origin = Canned::with(&[&*bad]).await;
            let backoff = if limit == 0 { 50 } else { 60_000 };
            let world = world(&[origin.addr], |rule| {
                rule.retry = retry(&[503], 1, backoff);
                rule.timeouts.request = Some(Duration::from_millis(limit));
                rule.timeouts.backend = Some(Duration::ZERO);
            })
            .await;
            let begun = Instant::now();
            assert!(world.ask(GET).await.ends_with(expected));
            assert!(limit > 0 || begun.elapsed() >= Duration::from_millis(backoff));
        }
    });
}

#[test]
fn a_client_that_goes_away_ends_the_back_off() {
    run(async {
        let bad = status(503);
        let origin = Canned::with(&[&*bad]).await;
        let world = world(&[origin.addr], |rule| rule.retry = retry(&[503], 1, 60_000)).await;
        let mut client = world.client().await;
        client.send(GET).await;
        while origin.heads().is_empty() {
            tokio::task::yield_now().await;
        }
        let shared = Arc::strong_count(&origin_rule(&world));
        drop(client);
        while Arc::strong_count(&origin_rule(&world)) >= shared {
            tokio::task::yield_now().await;
        }
    });
}

/// The rule of the published snapshot.
fn origin_rule(world: &World) -> Arc<Rule> {
    let snapshot = world.local.snapshot.load();
    let listener = snapshot.listeners.get(&world.key).and_then(|spec| spec.serve.http());
    listener.and_then(|listener| listener.rules().next()).expect("it is published").clone()
}

fn with_budget(rule: &mut Rule, percent: u32, min_count: u32) {
    let hour = Duration::from_secs(3600);
    let budget = RetryBudget { percent, interval: hour, min_count, min_interval: hour };
    let policy = TrafficPolicy { retry_budget: Some(budget), session: None };
    let Action::Forward(shares) = &mut rule.action else { panic!("it must forward") };
    for WeightedBackend { target, .. } in shares {
        target.as_mut().expect("it must be served").policy = Some(Arc::new(policy.clone()));
    }
}

#[test]
fn retries_beyond_the_budget_of_the_service_are_503() {
    run(async {
        let bad = status(500);
        let origin = Canned::with(&[&*bad; 1000]).await;
        let world = world(&[origin.addr], |rule| {
            rule.retry = retry(&[500], 3, 0);
            with_budget(rule, 20, 4);
        })
        .await;
        let mut refused = 0;
        for _ in 0..100 {
            let answer = world.ask(GET).await;
            refused += usize::from(answer.ends_with("503 retry_budget_exhausted\n"));
        }
        let sent = origin.heads().len();
        // 20 % of 125 are 25
        assert_eq!(sent, 125, "{refused} were refused a retry");
        assert!(refused > 70, "{refused}");
    });
}

#[test]
fn a_budget_counts_what_is_sent_again_but_no_failed_connects() {
    run(async {
        let dead = closed_port().await;
        let origin = Canned::ok().await;
        let world = world(&[dead, origin.addr], |rule| with_budget(rule, 0, 0)).await;
        for _ in 0..20 {
            assert!(world.ask(GET).await.contains("200 OK"));
        }
        let mute = Canned::with(&[RESET; 100]).await;
        let endpoints = [mute.addr, origin.addr];
        let world = self::world(&endpoints, |rule| with_budget(rule, 0, 0)).await;
        let mut answers = Vec::new();
        for _ in 0..20 {
            answers.push(world.ask(GET).await.ends_with("503 retry_budget_exhausted\n"));
        }
        assert!(answers.contains(&true) && answers.contains(&false), "{answers:?}");
        assert_eq!(mute.heads().len(), answers.iter().filter(|it| **it).count());
    });
}
