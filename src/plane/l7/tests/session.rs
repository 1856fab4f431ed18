//! Clients that stay with their endpoint (GEP-1619).

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::world::*;
use crate::snapshot::{
    Action, HostMatch, Rule, SessionCarrier, SessionPersistence, TrafficPolicy, WeightedBackend,
};

fn cookie(timeout: Option<u64>, permanent: bool) -> Arc<SessionPersistence> {
    Arc::new(SessionPersistence {
        name: "sid".into(),
        carrier: SessionCarrier::Cookie { path: "/app".into(), permanent },
        absolute_timeout: timeout.map(Duration::from_secs),
    })
}

fn header() -> Arc<SessionPersistence> {
    let carrier = SessionCarrier::Header;
    Arc::new(SessionPersistence { name: "X-Session".into(), carrier, absolute_timeout: None })
}

/// Endpoints that say which one they are.
async fn origins(count: usize) -> Vec<Canned> {
    let mut origins = Vec::new();
    for at in 0..count {
        let response = format!("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nX-At: at-{at}\r\n\r\n{at}");
        origins.push(Canned::with(&vec![&*response; 500]).await);
    }
    origins
}

fn addresses(origins: &[Canned]) -> Vec<SocketAddr> {
    origins.iter().map(|origin| origin.addr).collect()
}

fn kept(session: Arc<SessionPersistence>, action: Action) -> Arc<Rule> {
    changed(rule(HostMatch::Any, "", action), |rule| rule.session = Some(session))
}

/// Shares with these weights.
fn split(shares: &[(u32, &Canned)]) -> Action {
    let shares = shares.iter().enumerate().map(|(at, (weight, origin))| {
        let Action::Forward(mut one) = forward(&format!("web-{at}"), &[origin.addr]) else {
            panic!("it must forward")
        };
        WeightedBackend { weight: *weight, ..one.remove(0) }
    });
    Action::Forward(shares.collect())
}

async fn ask(world: &World, path: &str, fields: &str) -> String {
    world.ask(&format!("GET {path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n{fields}\r\n")).await
}

/// The endpoint that answered.
fn at(response: &str) -> usize {
    let (_, rest) = response.split_once("X-At: at-").expect("an endpoint must have answered");
    rest.chars().next().and_then(|digit| digit.to_digit(10)).expect("a digit") as usize
}

/// The value that a response sets for the session.
fn set(response: &str) -> Option<String> {
    let mut lines = response.lines();
    lines.find_map(|line| {
        let value =
            line.strip_prefix("set-cookie: sid=").or_else(|| line.strip_prefix("X-Session: "))?;
        Some(value.split(';').next().unwrap_or_default().to_owned())
    })
}

fn sent(session: &SessionPersistence, value: &str) -> String {
    match session.carrier {
        SessionCarrier::Cookie { .. } => format!("Cookie: a=b; sid={value}; c=d\r\n"),
        SessionCarrier::Header => format!("x-session: {value}\r\n"),
    }
}

#[test]
fn a_client_with_a_token_stays_and_others_spread() {
    run(async {
        for session in [cookie(None, false), header()] {
            let origins = origins(4).await;
            let mut world = World::new().await;
            let to = forward("web", &addresses(&origins));
            world.publish(vec![kept(session.clone(), to)], None);
            let mut seen = BTreeSet::new();
            for _ in 0..20 {
                let first = ask(&world, "/", "").await;
                let token = set(&first).expect("a session must begin");
                assert!(!token.contains("127"), "{token}");
                seen.insert(at(&first));
                for _ in 0..4 {
                    let next = ask(&world, "/", &sent(&session, &token)).await;
                    assert_eq!(at(&next), at(&first));
                    assert_eq!(set(&next), None, "a session that goes on is not told again");
                }
            }
            assert_eq!(seen.len(), 4);
            // the endpoint is presented with the session (GEP-1619)
            assert!(origins.iter().any(|it| {
                it.heads().iter().any(|head| head.contains("sid=") || head.contains("x-session: "))
            }));
        }
    });
}

#[test]
fn the_cookie_says_how_long_and_where_it_is_good() {
    let rows = [
        (cookie(None, false), "; Path=/app; HttpOnly; SameSite=Lax"),
        (cookie(Some(300), false), "; Path=/app; HttpOnly; SameSite=Lax"),
        (cookie(Some(300), true), "; Path=/app; HttpOnly; SameSite=Lax; Max-Age=300"),
    ];
    run(async {
        for (session, attributes) in rows {
            let origins = origins(1).await;
            let mut world = World::new().await;
            world.publish(vec![kept(session, forward("web", &addresses(&origins)))], None);
            let response = ask(&world, "/", "").await;
            let token = set(&response).expect("a session must begin");
            let line = format!("\r\nset-cookie: sid={token}{attributes}\r\n");
            assert!(response.contains(&line), "{response}");
        }
    });
}

#[test]
fn a_token_that_names_no_usable_endpoint_is_replaced() {
    run(async {
        let origins = origins(2).await;
        let gone = closed_port().await;
        let session = cookie(Some(60), false);
        let mut world = World::new().await;
        let to = |endpoints: &[SocketAddr]| kept(session.clone(), forward("web", endpoints));
        world.publish(vec![to(&[origins[0].addr])], None);
        let token = set(&ask(&world, "/", "").await).expect("a session must begin");
        let mut forged = token.clone().into_bytes();
        forged[8] ^= 1;
        let forged = String::from_utf8(forged).expect("ASCII");
        for bad in ["", "x", &"A".repeat(32), &forged, "%00", &"a.".repeat(5000)] {
            let response = ask(&world, "/", &sent(&session, bad)).await;
            assert!(set(&response).is_some(), "{bad}: {response}");
        }
        // gone from the Service, then there and refusing connections
        world.publish(vec![to(&[origins[1].addr])], None);
        let moved = ask(&world, "/", &sent(&session, &token)).await;
        assert_eq!(at(&moved), 1);
        assert!(set(&moved).is_some());
        world.publish(vec![to(&[gone, gone, gone])], None);
        assert!(ask(&world, "/", &sent(&session, &token)).await.starts_with("HTTP/1.1 502 "));
    });
}

#[test]
fn an_endpoint_that_refuses_connections_is_left_for_another() {
    run(async {
        let origins = origins(2).await;
        let session = cookie(None, false);
        let mut world = World::new().await;
        let last = Manual::new().await;
        let to = forward("web", &[last.addr, origins[0].addr]);
        world.publish(vec![kept(session.clone(), to)], None);
        let token = loop {
            let mut client = world.client().await;
            client.send("GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n").await;
            tokio::select! {
                mut upstream = last.accept() => {
                    upstream.head().await;
                    upstream.send(OK).await;
                    break set(&client.rest().await).expect("a session must begin");
                }
                _ = client.rest() => {}
            }
        };
        drop(last);
        for _ in 0..10 {
            let response = ask(&world, "/", &sent(&session, &token)).await;
            assert_eq!(at(&response), 0);
            let new = set(&response).expect("the client must move");
            assert_eq!(set(&ask(&world, "/", &sent(&session, &new)).await), None);
        }
    });
}

#[test]
fn a_session_outlasts_the_weights_of_its_rule() {
    run(async {
        let origins = origins(2).await;
        let session = header();
        let mut world = World::new().await;
        let to = |first, second| split(&[(first, &origins[0]), (second, &origins[1])]);
        world.publish(vec![kept(session.clone(), to(1, 0))], None);
        let token = set(&ask(&world, "/", "").await).expect("a session must begin");
        world.publish(vec![kept(session.clone(), to(0, 1))], None);
        for _ in 0..10 {
            assert_eq!(at(&ask(&world, "/", &sent(&session, &token)).await), 0);
            assert_eq!(at(&ask(&world, "/", "").await), 1);
        }
    });
}

#[test]
fn rules_keep_their_sessions_apart_in_one_cookie() {
    run(async {
        let origins = origins(5).await;
        let session = cookie(None, false);
        let policy = TrafficPolicy { retry_budget: None, session: Some(session.clone()) };
        let to = |path: &str, field: &str| {
            let mut to = forward("web", &addresses(&origins));
            if let Action::Forward(shares) = &mut to {
                let target = shares[0].target.as_mut().expect("it must be served");
                target.policy = Some(Arc::new(policy.clone()));
            }
            changed(rule(HostMatch::Any, path, to), |rule| rule.field = field.into())
        };
        let mut world = World::new().await;
        // the last two are of an Ingress
        let rules = [
            ("/a", "spec.rules[0].matches[0]"),
            ("/same", "spec.rules[0].matches[1]"),
            ("/b", "spec.rules[1].matches[0]"),
            ("/c", "spec.rules[2].http.paths[0]"),
            ("/d", "spec.rules[2].http.paths[1]"),
        ];
        world.publish(rules.map(|(path, field)| to(path, field)).into(), None);
        let (mut tokens, mut places) = (String::new(), Vec::new());
        for path in ["/a", "/b", "/c", "/d"] {
            let answer = ask(&world, path, &sent(&session, &tokens)).await;
            let told = set(&answer).expect("each rule must begin its own session");
            assert!(told.contains(&tokens), "{path}");
            tokens = told;
            places.push((path, at(&answer)));
        }
        places.push(("/same", places[0].1));
        for _ in 0..5 {
            for (path, place) in &places {
                let next = ask(&world, path, &sent(&session, &tokens)).await;
                assert_eq!((at(&next), set(&next)), (*place, None), "{path}");
            }
        }
    });
}

/// Each costs a digest for every endpoint.
#[test]
fn of_many_tokens_of_a_rule_only_the_first_ones_are_looked_at() {
    run(async {
        let session = header();
        let origins = origins(2).await;
        let mut world = World::new().await;
        let to = forward("web", &addresses(&origins));
        world.publish(vec![kept(session.clone(), to)], None);
        let token = set(&ask(&world, "/", "").await).expect("a session must begin");
        // the same rule, and no endpoint's digest
        let stale = format!("{}{}", &token[..token.len() - 4], "AAAA");
        for (others, is_kept) in [(0, true), (1, true), (2, false), (9, false)] {
            let tokens = [vec![&*stale; others], vec![&*token]].concat().join(".");
            let answer = ask(&world, "/", &sent(&session, &tokens)).await;
            assert_eq!(set(&answer).is_none(), is_kept, "{others}");
        }
    });
}
