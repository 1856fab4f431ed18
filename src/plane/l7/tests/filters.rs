//! Filters of a rule and of its shares, as the conformance suite asks for them.

use std::rc::Rc;
use std::sync::Arc;

use super::world::*;
use crate::plane::Limits;
use crate::snapshot::{
    Action, Cors, Filter, HeaderModifier, HostMatch, Mirror, PathRewrite, Redirect, Rewrite, Rule,
};

/// Puts filters on the rule, or on its only share.
fn filtered(rule: Arc<Rule>, on_share: bool, filters: Vec<Filter>) -> Arc<Rule> {
    changed(rule, |rule| match &mut rule.action {
        Action::Forward(shares) if on_share => shares[0].filters = filters,
        Action::Forward(_) | Action::Redirect(_) | Action::Fail(_) => rule.filters = filters,
    })
}

fn prefix(matched: &str, replacement: &str) -> Option<PathRewrite> {
    let (matched, replacement) = (matched.into(), replacement.into());
    Some(PathRewrite::Prefix { matched, replacement })
}

fn full(path: &str) -> Option<PathRewrite> {
    Some(PathRewrite::Full(path.into()))
}

fn get(path: &str, fields: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: h.test\r\nConnection: close\r\n{fields}\r\n")
}

/// HTTPRouteRedirectPath, -HostAndStatus, -Port, -Scheme, -PortAndScheme, and
/// HTTPRouteBackendRequestRedirect, whose redirects are those of a share.
#[test]
fn rules_and_shares_redirect_alike() {
    let redirect = || Redirect { status: 302, ..Redirect::default() };
    let host = || Some("example.org".into());
    let rows = [
        (Redirect { path: full("/full"), ..redirect() }, "http://h.test:PORT/full?q"),
        (Redirect { path: prefix("/a", "/new"), ..redirect() }, "http://h.test:PORT/new/b?q"),
        (Redirect { host: host(), ..redirect() }, "http://example.org:PORT/a/b?q"),
        (Redirect { status: 301, host: host(), ..redirect() }, "http://example.org:PORT/a/b?q"),
        (Redirect { port: Some(80), ..redirect() }, "http://h.test/a/b?q"),
        (Redirect { port: Some(8080), ..redirect() }, "http://h.test:8080/a/b?q"),
        (Redirect { scheme: Some("https".into()), ..redirect() }, "https://h.test/a/b?q"),
        (
            Redirect { scheme: Some("https".into()), port: Some(443), ..redirect() },
            "https://h.test/a/b?q",
        ),
        (
            Redirect { scheme: Some("https".into()), port: Some(8443), ..redirect() },
            "https://h.test:8443/a/b?q",
        ),
        (
            Redirect { status: 308, scheme: Some("http".into()), ..redirect() },
            "http://h.test/a/b?q",
        ),
    ];
    run(async {
        let origin = Canned::ok().await;
        let mut world = World::new().await;
        for (redirect, expected) in rows {
            let expected = expected.replace("PORT", &world.addr.port().to_string());
            let line = format!("\r\nlocation: {expected}\r\n");
            let whole = rule(HostMatch::Any, "/a", Action::Redirect(redirect.clone()));
            let share = rule(HostMatch::Any, "/a", forward("web", &[origin.addr]));
            let status = redirect.status;
            let share = filtered(share, true, vec![Filter::Redirect(redirect)]);
            for rule in [whole, share] {
                world.publish(vec![rule], None);
                let answer = world.ask(&get("/a/b?q", "")).await;
                assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
                assert!(answer.contains(&line), "{expected}: {answer}");
            }
        }
        assert_eq!(origin.connections(), 0);
    });
}

/// HTTPRouteRewritePath, -RewriteHost and HTTPRouteBackendURLRewrite.
#[test]
fn rules_and_shares_rewrite_alike() {
    let rows = [
        ("/prefix/one", prefix("/prefix/one", "/one"), "/prefix/one/two", "/one/two"),
        ("/strip", prefix("/strip", ""), "/strip/three", "/three"),
        ("/strip", prefix("/strip", ""), "/strip", "/"),
        ("/full", full("/one"), "/full/one/two", "/one"),
    ];
    run(async {
        let modifier = HeaderModifier {
            set: vec![("X-Header-Set".into(), "set-overwrites-values".into())],
            add: vec![("X-Header-Add-Append".into(), "header-val-2".into())],
            remove: vec!["X-Header-Remove".into()],
        };
        for (matched, path, asked, expected) in rows {
            for on_share in [false, true] {
                let origin = Canned::ok().await;
                let mut world = World::new().await;
                let rewrite = Rewrite { host: Some("one.example".into()), path: path.clone() };
                let filters =
                    vec![Filter::Rewrite(rewrite), Filter::RequestHeaders(modifier.clone())];
                let rule = rule(HostMatch::Any, matched, forward("web", &[origin.addr]));
                world.publish(vec![filtered(rule, on_share, filters)], None);
                let fields = "x-header-set: 1\r\nX-Header-Add-Append: 1\r\nX-Header-Remove: 1\r\n";
                world.ask(&get(&format!("{asked}?q"), fields)).await;
                let head = origin.heads().remove(0);
                let first = format!("GET {expected}?q HTTP/1.1\r\nHost: one.example\r\n");
                assert!(head.starts_with(&first), "{head}");
                assert!(head.contains("X-Header-Set: set-overwrites-values\r\n"), "{head}");
                assert_eq!(head.matches("X-Header-Add-Append: ").count(), 2, "{head}");
                assert!(!head.contains("X-Header-Remove"), "{head}");
                assert!(!head.contains("x-header-set"), "{head}");
            }
        }
    });
}

/// What the rows of [`cors_answers_as_the_conformance_suite_expects`] ask under `/1` to `/5`.
fn cors_rules(origin: &Canned, on_share: bool) -> Vec<Arc<Rule>> {
    let list = |text: &str| text.split_whitespace().map(Into::into).collect();
    let cors = |origins: &str, methods: &str, headers: &str| Cors {
        allow_origins: list(origins),
        allow_methods: list(methods),
        allow_headers: list(headers),
        max_age: 5,
        ..Cors::default()
    };
    let first = Cors {
        allow_credentials: true,
        expose_headers: list("x-header-3 x-header-4"),
        max_age: 3600,
        ..cors("https://www.foo.com https://*.bar.com", "GET OPTIONS", "x-header-1 x-header-2")
    };
    let all = [
        first,
        cors("https://www.foo.com", "*", ""),
        cors("*", "PUT", ""),
        Cors { allow_credentials: true, ..cors("*", "*", "*") },
        cors("*", "*", "*"),
    ];
    let rules = all.into_iter().enumerate().map(|(at, cors)| {
        let action = forward("web", &[origin.addr]);
        let rule = rule(HostMatch::Any, &format!("/{}", at + 1), action);
        filtered(rule, on_share, vec![Filter::Cors(cors)])
    });
    rules.collect()
}

/// The rows of HTTPRouteCORS: path, origin, method and fields that a preflight asks for, and the
/// `access-control-*` fields of the answer, in any order.
#[test]
fn cors_answers_as_the_conformance_suite_expects() {
    let both = "x-header-1, x-header-2";
    let full = "allow-origin=ORIGIN allow-methods=GET,OPTIONS allow-headers=x-header-1,x-header-2 \
                expose-headers=x-header-3,x-header-4 max-age=3600 allow-credentials=true";
    let seen = "allow-origin=ORIGIN allow-credentials=true expose-headers=x-header-3,x-header-4";
    let rows = [
        ("/1", "https://www.foo.com", "GET", both, full),
        ("/1", "https://www.bar.com", "GET", both, full),
        ("/1", "https://xpto.www.bar.com", "GET", both, full),
        ("/1", "https://foobar.com", "GET", "", ""),
        ("/1", "https://www.foo.com", "", "", seen),
        ("/1", "https://www.bar.com", "", "", seen),
        ("/1", "https://foobar.com", "", "", ""),
        ("/2", "https://www.foo.com", "POST", "", "allow-origin=ORIGIN allow-methods=* max-age=5"),
        ("/3", "https://foobar.com", "PUT", "", "allow-origin=* allow-methods=PUT max-age=5"),
        ("/3", "https://foobar.com:12345", "PUT", "", "allow-origin=* allow-methods=PUT max-age=5"),
        ("/3", "https://foobar.com:12345", "", "", "allow-origin=*"),
        (
            "/4",
            "https://other.foo.com",
            "PUT",
            both,
            "allow-origin=ORIGIN allow-methods=PUT allow-headers=x-header-1,x-header-2 \
             allow-credentials=true max-age=5",
        ),
        (
            "/5",
            "https://other.foo.com",
            "PUT",
            both,
            "allow-origin=* allow-methods=* allow-headers=* max-age=5",
        ),
        ("/4", "https://other.foo.com", "", "", "allow-origin=ORIGIN allow-credentials=true"),
        ("/5", "https://other.foo.com", "", "", "allow-origin=*"),
    ];
    run(async {
        for on_share in [false, true] {
            let origin = Canned::ok().await;
            let mut world = World::new().await;
            world.publish(cors_rules(&origin, on_share), None);
            for (path, from, method, names, expected) in rows {
                let answer = world.ask(&asked(path, from, method, names)).await;
                let status = if method.is_empty() { "200" } else { "204" };
                assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
                let expected = expected.replace("ORIGIN", from);
                let mut expected: Vec<_> = expected.split_whitespace().collect();
                expected.sort_unstable();
                assert_eq!(cors_fields(&answer), expected, "{path} {from} {method}");
            }
            assert_eq!(origin.heads().len(), 6, "preflights go no further");
        }
    });
}

/// A request of another origin; a preflight if it asks for a method.
fn asked(path: &str, origin: &str, method: &str, names: &str) -> String {
    let request = |verb, fields: String| {
        format!("{verb} {path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n{fields}\r\n")
    };
    let origin = format!("Origin: {origin}\r\n");
    if method.is_empty() {
        return request("GET", origin);
    }
    let names = match names {
        "" => String::new(),
        names => format!("Access-Control-Request-Headers: {names}\r\n"),
    };
    request("OPTIONS", format!("{origin}Access-Control-Request-Method: {method}\r\n{names}"))
}

/// Names without `access-control-` and values without spaces, sorted.
fn cors_fields(answer: &str) -> Vec<String> {
    let fields = answer.lines().filter_map(|line| line.strip_prefix("access-control-"));
    let mut fields: Vec<_> =
        fields.map(|field| field.replacen(": ", "=", 1).replace(' ', "")).collect();
    fields.sort_unstable();
    fields
}

#[test]
fn the_answer_to_a_mirrored_head_has_no_body_to_wait_for() {
    run(async {
        let origin = Canned::ok().await;
        let head = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n";
        let mirror = Canned::with(&[head; 5]).await;
        let mut world = World::new().await;
        let target = target("mirror", &[mirror.addr]);
        let filter = Filter::Mirror(Mirror { target, numerator: 1, denominator: 1 });
        let rule = rule(HostMatch::Any, "", forward("web", &[origin.addr]));
        world.publish(vec![filtered(rule, false, vec![filter])], None);
        for asked in 1..=5 {
            let request = "HEAD / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";
            world.ask(request).await;
            while mirror.heads().len() < asked || world.in_flight(mirror.addr) > 0 {
                tokio::task::yield_now().await;
            }
        }
        assert_eq!(mirror.connections(), 1);
    });
}

#[test]
fn a_mirror_that_says_nothing_keeps_so_many_copies_and_no_more() {
    run(async {
        let origin = Canned::ok().await;
        let mirror = Canned::with(&[SILENCE; 9]).await;
        let mut world = World::with(Limits { mirrors: 2, ..Limits::default() }).await;
        let target = target("mirror", &[mirror.addr]);
        let filter = Filter::Mirror(Mirror { target, numerator: 1, denominator: 1 });
        let rule = rule(HostMatch::Any, "", forward("web", &[origin.addr]));
        world.publish(vec![filtered(rule, false, vec![filter])], None);
        for _ in 0..5 {
            let answer = world.ask(&get("/", "")).await;
            assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        }
        while mirror.heads().len() < 2 {
            tokio::task::yield_now().await;
        }
        assert_eq!(world.in_flight(mirror.addr), 2);
    });
}

#[test]
fn a_mirror_that_falls_behind_loses_the_copy_and_nobody_else_anything() {
    for (mirror_bytes, has_copy) in [(256 * 1024, true), (1024, false)] {
        run(async {
            let origin = Canned::ok().await;
            let mirror = Canned::ok().await;
            let mut world = World::with(Limits { mirror_bytes, ..Limits::default() }).await;
            let target = target("mirror", &[mirror.addr]);
            let filter = Filter::Mirror(Mirror { target, numerator: 1, denominator: 1 });
            let rule = rule(HostMatch::Any, "", forward("web", &[origin.addr]));
            world.publish(vec![filtered(rule, false, vec![filter])], None);
            let fields = format!("X-Long: {}\r\n", "x".repeat(2 * 1024));
            let answer = world.ask(&get("/", &fields)).await;
            assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
            // until the copy has ended, one way or the other
            while Rc::strong_count(&world.server.mirrors) > 1 {
                tokio::task::yield_now().await;
            }
            assert_eq!(mirror.heads().len(), usize::from(has_copy));
        });
    }
}
