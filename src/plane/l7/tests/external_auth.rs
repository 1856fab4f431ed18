//! External authorization by HTTP, over real sockets (GEP-1494).

use std::sync::Arc;

use super::world::*;
use crate::snapshot::{
    Action, Cors, ExternalAuth, ExternalAuthProtocol, Failure, Filter, HostMatch, Mirror,
    PathRewrite, Reason, Rewrite, Rule, Target,
};

fn target(name: &str, endpoint: &Canned) -> Target {
    target_at(name, endpoint.addr)
}

fn target_at(name: &str, addr: std::net::SocketAddr) -> Target {
    let Action::Forward(mut shares) = forward(name, &[addr]) else { panic!("it must forward") };
    shares.remove(0).target.expect("it must be served")
}

fn names(text: &str) -> Vec<Arc<str>> {
    text.split_whitespace().map(Into::into).collect()
}

/// Authorization by HTTP below `/check`.
fn auth(target: Target, requests: &str, responses: &str, max_body: Option<u32>) -> ExternalAuth {
    ExternalAuth {
        target: Ok(target),
        protocol: ExternalAuthProtocol::Http {
            path_prefix: "/check".into(),
            allowed_response_headers: names(responses),
        },
        allowed_headers: names(requests),
        max_body,
    }
}

async fn world(origin: &Canned, filters: Vec<Filter>) -> World {
    let mut world = World::new().await;
    world.publish(vec![filtered(origin, filters)], None);
    world
}

fn filtered(origin: &Canned, filters: Vec<Filter>) -> Arc<Rule> {
    let rule = rule(HostMatch::Any, "", forward("web", &[origin.addr]));
    changed(rule, |rule| rule.filters = filters)
}

const GET: &str = "GET /a?b HTTP/1.1\r\nHost: h.test\r\nConnection: close\r\n\
                   Authorization: me\r\nX-User: forged\r\nX-A: 1\r\nCookie: c=d\r\n\r\n";

#[test]
fn the_authorization_server_is_told_what_the_api_says() {
    let rewrite = Filter::Rewrite(Rewrite {
        host: Some("other".into()),
        path: Some(PathRewrite::Full("/rewritten".into())),
    });
    let rows = [
        ("", "Authorization: me"),
        (
            "x-a cookie x-forwarded-proto",
            "Authorization: me|Cookie: c=d|X-A: 1|X-Forwarded-Proto: http",
        ),
    ];
    run(async {
        for (allowed, expected) in rows {
            let (origin, server) = (Canned::ok().await, Canned::ok().await);
            let auth = Filter::ExternalAuth(auth(target("auth", &server), allowed, "", None));
            let world = world(&origin, vec![rewrite.clone(), auth]).await;
            assert!(world.ask(GET).await.contains("200 OK"));
            let head = server.heads().remove(0);
            let mut lines: Vec<_> = head.lines().filter(|line| !line.is_empty()).collect();
            assert_eq!(lines.remove(0), "GET /check/a?b HTTP/1.1");
            assert_eq!(lines.remove(0), "Host: h.test");
            assert_eq!(lines.pop(), Some("Content-Length: 0"));
            let names = |line: &str| line.split(':').next().unwrap_or_default().to_lowercase();
            lines.sort_by_key(|line| names(line));
            assert_eq!(lines.join("|").to_lowercase(), expected.to_lowercase());
            assert!(origin.heads()[0].starts_with("GET /rewritten?b HTTP/1.1\r\nHost: other\r\n"));
        }
    });
}

#[test]
fn fields_of_a_permission_go_on_to_the_endpoint() {
    let answer = "HTTP/1.1 200 OK\r\nX-User: ann\r\nX-Group: a\r\nx-group: b\r\nHost: evil\r\n\
                  Content-Type: text/x\r\nConnection: x-hop\r\nContent-Length: 2\r\n\r\nok";
    // what the client says under a name on the list is gone in any case
    let rows = [
        ("", "x-user: ann|x-group: a|x-group: b|x-other: forged", "x-user: forged"),
        ("x-user", "x-user: ann|x-other: forged", "x-user: forged|x-group"),
        ("x-group x-other", "x-group: a|x-group: b|x-user: forged", "x-other|ann"),
        ("x-other", "x-user: forged", "x-other|x-group"),
    ];
    run(async {
        for (allowed, present, absent) in rows {
            let origin = Canned::ok().await;
            let server = Canned::with(&[answer]).await;
            let auth = auth(target("auth", &server), "", allowed, None);
            let world = world(&origin, vec![Filter::ExternalAuth(auth)]).await;
            let request = GET.replace("X-A: 1", "X-Other: forged");
            assert!(world.ask(&request).await.contains("200 OK"));
            let head = origin.heads().remove(0);
            let lower = head.to_lowercase();
            for line in present.split('|') {
                assert!(lower.contains(&format!("\r\n{line}\r\n")), "{allowed}, {line}: {head}");
            }
            for text in absent.split('|') {
                assert!(!lower.contains(text), "{allowed}, {text}: {head}");
            }
            assert!(head.contains("Host: h.test\r\n") && !head.contains("evil"), "{head}");
            assert!(!head.contains("text/x") && !head.contains("Content-Length"), "{head}");
            assert!(head.contains("Authorization: me\r\n"), "{head}");
        }
    });
}

#[test]
fn a_refusal_goes_back_to_the_client_as_it_is() {
    let login = "HTTP/1.1 302 Found\r\nLocation: /login\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\n\
                 Connection: x\r\nServer: auth\r\nTransfer-Encoding: chunked\r\n\r\n\
                 2\r\ngo\r\n0\r\n\r\n";
    run(async {
        let (origin, copies) = (Canned::ok().await, Canned::ok().await);
        let server = Canned::with(&[
            login,
            "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic\r\nContent-Length: 0\r\n\r\n",
            "HTTP/1.1 204 No Content\r\n\r\n",
            "HTTP/1.1 500 X\r\nContent-Length: 1\r\n\r\nx",
        ])
        .await;
        let mirror = Mirror { target: target("copies", &copies), numerator: 1, denominator: 1 };
        let auth = auth(target("auth", &server), "", "", None);
        let cors = Cors { allow_origins: names("*"), ..Cors::default() };
        let filters = vec![Filter::Mirror(mirror), Filter::ExternalAuth(auth), Filter::Cors(cors)];
        let world = world(&origin, filters).await;
        let answer = world.ask(&GET.replace("X-A: 1", "Origin: http://o")).await;
        assert!(answer.starts_with("HTTP/1.1 302 Found\r\n"), "{answer}");
        for line in [
            "location: /login",
            "set-cookie: a=1",
            "set-cookie: b=2",
            "Content-Length: 2",
            "Server: rutter",
            "access-control-allow-origin: *",
        ] {
            assert!(answer.contains(&format!("\r\n{line}\r\n")), "{line}: {answer}");
        }
        assert!(answer.ends_with("\r\n\r\ngo"), "{answer}");
        for (status, text) in [(401, "www-authenticate: Basic"), (204, ""), (500, "\r\n\r\nx")] {
            let answer = world.ask(GET).await;
            assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
            assert!(answer.contains(text), "{answer}");
        }
        assert_eq!((origin.connections(), copies.connections()), (0, 0));
        assert_eq!(server.connections(), 1, "the connection is used again");
    });
}

#[test]
fn without_an_answer_nothing_goes_on() {
    run(async {
        let origin = Canned::ok().await;
        let dead = target_at("auth", closed_port().await);
        let broken = Canned::with(&["SSH-2.0\r\n\r\n"]).await;
        let missing = Failure { reason: Reason::InvalidBackend, detail: "".into() };
        let large =
            format!("HTTP/1.1 403 X\r\nContent-Length: 2000000\r\n\r\n{}", "x".repeat(2_000_000));
        let large = Canned::with(&[&*large]).await;
        let rows = [
            (auth(dead.clone(), "", "", None), "503 auth_unavailable\n"),
            (auth(target("auth", &broken), "", "", None), "503 auth_unavailable\n"),
            (auth(target("auth", &large), "", "", None), "503 auth_unavailable\n"),
            (
                ExternalAuth { target: Err(missing), ..auth(dead, "", "", None) },
                "500 invalid_backend\n",
            ),
        ];
        for (auth, expected) in rows {
            let world = world(&origin, vec![Filter::ExternalAuth(auth)]).await;
            let answer = world.ask(GET).await;
            assert!(answer.ends_with(expected), "{answer:?}");
        }
        assert_eq!(origin.connections(), 0);
    });
}

#[test]
fn a_server_that_is_slow_ends_with_the_time_of_the_request() {
    run(async {
        let origin = Canned::ok().await;
        let server = Canned::with(&[SILENCE]).await;
        let filter = Filter::ExternalAuth(auth(target("auth", &server), "", "", None));
        let mut world = World::new().await;
        let rule = changed(filtered(&origin, vec![filter]), |rule| {
            rule.timeouts.request = Some(std::time::Duration::from_millis(20));
        });
        world.publish(vec![rule], None);
        assert!(world.ask(GET).await.ends_with("504 response_timeout\n"));
        assert_eq!(origin.connections(), 0);
    });
}

#[test]
fn a_preflight_is_answered_without_being_asked_about() {
    run(async {
        let (origin, server) = (Canned::ok().await, Canned::ok().await);
        let cors = Cors { allow_origins: names("*"), ..Cors::default() };
        let auth = auth(target("auth", &server), "", "", None);
        let world = world(&origin, vec![Filter::ExternalAuth(auth), Filter::Cors(cors)]).await;
        let preflight = "OPTIONS / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\
                         Origin: http://o\r\nAccess-Control-Request-Method: PUT\r\n\r\n";
        assert!(world.ask(preflight).await.starts_with("HTTP/1.1 204 "));
        assert_eq!((origin.connections(), server.connections()), (0, 0));
    });
}

#[test]
fn rules_and_shares_are_asked_about_one_after_the_other() {
    run(async {
        let origin = Canned::ok().await;
        let first = Canned::with(&["HTTP/1.1 200 OK\r\nX-A: first\r\nContent-Length: 0\r\n\r\n"]);
        let first = first.await;
        let second = Canned::with(&["HTTP/1.1 200 OK\r\nX-B: second\r\nContent-Length: 0\r\n\r\n"]);
        let second = second.await;
        let rule = filtered(
            &origin,
            vec![Filter::ExternalAuth(auth(target("first", &first), "", "", None))],
        );
        let rule = changed(rule, |rule| {
            let Action::Forward(shares) = &mut rule.action else { panic!("it must forward") };
            let auth = auth(target("second", &second), "", "", None);
            shares[0].filters = vec![Filter::ExternalAuth(auth)];
        });
        let mut world = World::new().await;
        world.publish(vec![rule], None);
        assert!(world.ask(GET).await.contains("200 OK"));
        let head = origin.heads().remove(0);
        assert!(head.contains("x-a: first\r\n") && head.contains("x-b: second\r\n"), "{head}");
    });
}

/// Reads a request whose body has `length` bytes of framed content.
async fn read(upstream: &mut Client, body: &str) -> String {
    let head = upstream.head().await;
    assert_eq!(upstream.until(body).await, body);
    head
}

#[test]
fn a_body_goes_to_the_authorization_server_and_to_the_endpoint() {
    let chunked = "Transfer-Encoding: chunked\r\n";
    let rows = [
        ("Content-Length: 5\r\n", &["hel", "lo"][..], "hello"),
        (chunked, &["3\r\nhel\r\n", "2\r\nlo\r\n0\r\n\r\n"], "3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n"),
        ("Expect: 100-continue\r\nContent-Length: 5\r\n", &["", "hello"], "hello"),
    ];
    run(async {
        for (fields, pieces, sent_on) in rows {
            let (origin, server) = (Manual::new().await, Manual::new().await);
            let mut world = World::new().await;
            let auth = auth(target_at("auth", server.addr), "", "", Some(5));
            let rule = rule(HostMatch::Any, "", forward("web", &[origin.addr]));
            let filters = vec![Filter::ExternalAuth(auth)];
            world.publish(vec![changed(rule, |rule| rule.filters = filters)], None);
            let mut client = world.client().await;
            client.send(format!("POST / HTTP/1.1\r\nHost: h\r\n{fields}\r\n")).await;
            if fields.starts_with("Expect") {
                assert_eq!(client.head().await, "HTTP/1.1 100 Continue\r\n\r\n");
            }
            for piece in pieces {
                client.send(piece).await;
                tokio::task::yield_now().await;
            }
            let mut asked = server.accept().await;
            let head = read(&mut asked, "hello").await;
            assert!(head.contains("Content-Length: 5\r\n"), "{head}");
            assert!(origin.is_untouched());
            asked.send(OK).await;
            let head = read(&mut origin.accept().await, sent_on).await;
            assert!(!head.contains("Expect"), "{head}");
        }
    });
}

#[test]
fn a_body_that_nobody_is_asked_about_streams_as_ever() {
    run(async {
        let (origin, server) = (Manual::new().await, Canned::ok().await);
        let mut world = World::new().await;
        let auth = auth(target("auth", &server), "", "", None);
        let rule = rule(HostMatch::Any, "", forward("web", &[origin.addr]));
        let filters = vec![Filter::ExternalAuth(auth)];
        world.publish(vec![changed(rule, |rule| rule.filters = filters)], None);
        let mut client = world.client().await;
        client.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000\r\n\r\n").await;
        let mut upstream = origin.accept().await;
        assert!(upstream.head().await.contains("Content-Length: 1000000\r\n"));
        assert!(server.heads()[0].contains("Content-Length: 0\r\n"));
        client.send("first").await;
        upstream.until("first").await;
    });
}

#[test]
fn a_body_that_is_too_large_to_be_asked_about_is_refused() {
    let rows = [
        ("Content-Length: 6\r\n", ""),
        ("Content-Length: 6\r\n", "hello!"),
        ("Transfer-Encoding: chunked\r\n", "6\r\nhello!\r\n0\r\n\r\n"),
        ("Transfer-Encoding: chunked\r\n", "3\r\nhel\r\n3\r\nlo!\r\n"),
    ];
    run(async {
        let (origin, server) = (Canned::ok().await, Canned::ok().await);
        let auth = auth(target("auth", &server), "", "", Some(5));
        let world = world(&origin, vec![Filter::ExternalAuth(auth)]).await;
        for (fields, body) in rows {
            let request =
                format!("POST / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n{fields}\r\n{body}");
            let answer = world.ask(&request).await;
            assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
            assert!(answer.ends_with("content_too_large\n"), "{answer}");
        }
        assert_eq!((origin.connections(), server.connections()), (0, 0));
    });
}

#[test]
fn a_client_that_goes_away_ends_the_question() {
    run(async {
        let (origin, server) = (Canned::ok().await, Manual::new().await);
        let auth = auth(target_at("auth", server.addr), "", "", None);
        let world = world(&origin, vec![Filter::ExternalAuth(auth)]).await;
        let mut client = world.client().await;
        client.send(GET).await;
        let mut asked = server.accept().await;
        asked.head().await;
        drop(client);
        assert_eq!(asked.rest().await, "");
    });
}
