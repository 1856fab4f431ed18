use super::world::*;

/// Sends each request and expects its status, a closed connection, and an endpoint that was never
/// connected to (`limits-and-threats` S1 to S13).
fn refused(rows: &[(&str, String, u16)]) {
    run(async move {
        let origin = Manual::new().await;
        let mut world = World::new().await;
        let to = forward("web", &[origin.addr]);
        let host = crate::snapshot::HostMatch::Exact("h".into());
        world.publish(vec![rule(host, "", to)], None);
        for (name, request, status) in rows {
            let response = world.ask(request).await;
            let last = response.rfind("HTTP/1.1 ").and_then(|at| response.get(at..));
            let last = last.unwrap_or_default();
            assert!(last.starts_with(&format!("HTTP/1.1 {status} ")), "{name}: {response:?}");
            assert!(last.contains("Connection: close\r\n"), "{name}: {response:?}");
        }
        assert!(origin.is_untouched());
    });
}

fn post(fields: &str, body: &str) -> String {
    format!("POST / HTTP/1.1\r\nHost: h\r\n{fields}\r\n{body}")
}

fn chunked(body: &str) -> String {
    post("Transfer-Encoding: chunked\r\n", body)
}

fn host(host: &str) -> String {
    format!("GET / HTTP/1.1\r\n{host}\r\n")
}

fn path(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: h\r\n\r\n")
}

#[test]
fn what_is_no_http_at_all_is_closed_without_an_answer() {
    run(async {
        let origin = Canned::ok().await;
        let world = World::to(&[origin.addr]).await;
        for words in
            ["EHLO mail.test\r\n\r\n", "INVALID CONNECTION PREFACE\r\n\r\n", "\r\nPING\r\n\r\n"]
        {
            assert_eq!(world.ask(words).await, "", "{words:?}");
        }
        let mut client = world.client().await;
        client.get("/", "ok").await;
        client.send("EHLO mail.test\r\n\r\n").await;
        let answer = client.rest().await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "who spoke HTTP before is told: {answer}");
    });
}

#[test]
fn a_body_whose_length_is_said_in_two_ways_is_refused() {
    refused(&[
        (
            "CL and TE",
            post("Content-Length: 3\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"),
            400,
        ),
        (
            "TE and CL",
            post("Transfer-Encoding: chunked\r\nContent-Length: 3\r\n", "0\r\n\r\n"),
            400,
        ),
        ("TE list", post("Transfer-Encoding: gzip, chunked\r\n", "0\r\n\r\n"), 400),
        ("TE comma", post("Transfer-Encoding: ,chunked\r\n", "0\r\n\r\n"), 400),
        ("TE twice", post("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", ""), 400),
        ("TE identity", post("Transfer-Encoding: identity\r\n", ""), 400),
        ("TE parameter", post("Transfer-Encoding: chunked;q=1\r\n", ""), 400),
        ("TE empty", post("Transfer-Encoding: \r\n", ""), 400),
        ("TE folded", post("Transfer-Encoding:\r\n chunked\r\n", ""), 400),
        ("TE vertical tab", post("Transfer-Encoding: \x0bchunked\r\n", ""), 400),
        ("TE space colon", post("Transfer-Encoding : chunked\r\n", ""), 400),
        ("TE in 1.0", "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n".into(), 400),
        ("CL plus", post("Content-Length: +3\r\n", "abc"), 400),
        ("CL minus", post("Content-Length: -3\r\n", "abc"), 400),
        ("CL hex", post("Content-Length: 0x3\r\n", "abc"), 400),
        ("CL octal", post("Content-Length: 03\r\n", "abc"), 400),
        ("CL empty", post("Content-Length: \r\n", ""), 400),
        ("CL list", post("Content-Length: 3, 3\r\n", "abc"), 400),
        ("CL space", post("Content-Length: 3 3\r\n", "abc"), 400),
        ("CL twice", post("Content-Length: 3\r\nContent-Length: 3\r\n", "abc"), 400),
        ("CL differ", post("Content-Length: 3\r\nContent-Length: 4\r\n", "abc"), 400),
        ("CL huge", post("Content-Length: 9223372036854775808\r\n", "abc"), 400),
    ]);
}

#[test]
fn chunks_that_are_not_chunks_are_refused() {
    refused(&[
        ("chunk size hex prefix", chunked("0x3\r\nabc\r\n0\r\n\r\n"), 400),
        ("chunk size sign", chunked("-3\r\nabc\r\n0\r\n\r\n"), 400),
        ("chunk size underscore", chunked("0_3\r\nabc\r\n0\r\n\r\n"), 400),
        ("chunk size space", chunked("3 \r\nabc\r\n0\r\n\r\n"), 400),
        ("chunk size empty", chunked("\r\nabc\r\n0\r\n\r\n"), 400),
        ("chunk size overflow", chunked("fffffffffffffffff\r\nabc"), 400),
        ("chunk bare LF", chunked("3\nabc\r\n0\r\n\r\n"), 400),
        ("chunk data LF", chunked("3\r\nabc\n0\r\n\r\n"), 400),
        ("chunk spill", chunked("3\r\nabcd\r\n0\r\n\r\n"), 400),
        ("chunk extension LF", chunked("3;a\nb\r\nabc\r\n0\r\n\r\n"), 400),
        ("chunk extension CR", chunked("3;a=\"\r\n\"\r\nabc\r\n0\r\n\r\n"), 400),
    ]);
}

#[test]
fn trailers_that_break_the_grammar_are_refused() {
    refused(&[
        ("trailer without colon", chunked("0\r\nGET / HTTP/1.1\r\n\r\n"), 400),
        ("trailer space colon", chunked("0\r\nA : b\r\n\r\n"), 400),
        ("trailer folded", chunked("0\r\nA: b\r\n c\r\n\r\n"), 400),
        ("trailer NUL", chunked("0\r\nA: \0\r\n\r\n"), 400),
        ("trailer bare CR", chunked("0\r\nA: b\r\r\n\r\n"), 400),
    ]);
}

#[test]
fn expectations_that_nobody_knows_are_refused() {
    let expects = |lines: &str| post(&format!("{lines}Content-Length: 3\r\n"), "abc");
    refused(&[
        ("unknown", expects("Expect: x\r\n"), 400),
        ("empty", expects("Expect:\r\n"), 400),
        ("in front", expects("Expect: y 100-continue\r\n"), 400),
        ("list", expects("Expect: 100-continue, x\r\n"), 400),
        ("twice", expects("Expect: 100-continue\r\nExpect: 100-continue\r\n"), 400),
    ]);
}

#[test]
fn heads_that_break_the_grammar_are_refused() {
    refused(&[
        ("bare LF lines", "GET / HTTP/1.1\nHost: h\n\n".into(), 400),
        ("bare LF in fields", "GET / HTTP/1.1\r\nHost: h\nA: b\r\n\r\n".into(), 400),
        ("bare CR in value", post("A: b\rc\r\n", ""), 400),
        ("NUL in value", post("A: b\0c\r\n", ""), 400),
        ("folded line", post("A: b\r\n c\r\n", ""), 400),
        ("space before colon", post("A : b\r\n", ""), 400),
        ("no colon", post("A\r\n", ""), 400),
        ("empty name", post(": b\r\n", ""), 400),
        ("first line space", "GET  / HTTP/1.1\r\nHost: h\r\n\r\n".into(), 400),
        ("version", "GET / HTTP/1.2\r\nHost: h\r\n\r\n".into(), 400),
        ("version 0.9", "GET /\r\n\r\n".into(), 400),
    ]);
}

#[test]
fn a_request_without_exactly_one_host_is_refused() {
    refused(&[
        ("host missing", host(""), 400),
        ("host empty", host("Host: \r\n"), 400),
        ("host twice", host("Host: h\r\nHost: h\r\n"), 400),
        ("host list", host("Host: a, b\r\n"), 400),
        ("host user", host("Host: u@h\r\n"), 400),
        ("host path", host("Host: h/x\r\n"), 400),
        ("host port", host("Host: h:x\r\n"), 400),
        ("absolute bad host", "GET http://u@h/ HTTP/1.1\r\nHost: h\r\n\r\n".into(), 400),
        ("absolute no host", "GET http://h/ HTTP/1.1\r\n\r\n".into(), 400),
    ]);
}

#[test]
fn targets_that_can_be_read_in_two_ways_are_refused() {
    let long = "x".repeat(9 * 1024);
    refused(&[
        ("asterisk", path("*"), 400),
        ("fragment", path("/a#b"), 400),
        ("encoded slash", path("/a%2fb"), 400),
        ("encoded backslash", path("/a%5Cb"), 400),
        ("backslash", path("/a\\b"), 400),
        ("encoded NUL", path("/a%00b"), 400),
        ("dot with parameter", path("/a/..;/b"), 400),
        ("not ASCII", path("/é"), 400),
        ("long target", path(&format!("/{long}")), 414),
        ("long first line", format!("GET /{long}{long}"), 414),
        ("long method", format!("{} / HTTP/1.1\r\nHost: h\r\n\r\n", "M".repeat(65)), 501),
        ("endless method", "M".repeat(65), 501),
        ("CONNECT", "CONNECT h:443 HTTP/1.1\r\nHost: h:443\r\n\r\n".into(), 405),
    ]);
}

#[test]
fn limits_and_misplaced_protocols_are_refused() {
    let cookie = format!("X-Big: {}\r\n", "y".repeat(33 * 1024));
    let many = "A: b\r\n".repeat(101);
    let one = format!("X-Big: {}\r\n", "y".repeat(16 * 1024 - 4));
    refused(&[
        ("large head", post(&cookie, ""), 431),
        ("many fields", post(&many, ""), 431),
        ("large field", post(&one, ""), 431),
        (
            "upgrade with a body",
            post("Connection: upgrade\r\nUpgrade: x\r\nContent-Length: 3\r\n", "abc"),
            400,
        ),
        (
            "HTTP/2 as a second request",
            "GET / HTTP/1.1\r\nHost: other\r\n\r\nPRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".into(),
            400,
        ),
    ]);
}

#[test]
fn bad_chunks_that_come_later_cut_the_upstream_connection() {
    run(async {
        let origin = Manual::new().await;
        let world = World::to(&[origin.addr]).await;
        let mut client = world.client().await;
        client.send("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n").await;
        let mut upstream = origin.accept().await;
        upstream.head().await;
        client.send("3\r\nabc\r\n").await;
        upstream.until("3\r\nabc\r\n").await;
        client.send("zz\r\n").await;
        assert_eq!(upstream.rest().await, "");
        assert!(client.rest().await.starts_with("HTTP/1.1 400 "));
    });
}

#[test]
fn responses_that_break_http_are_502() {
    run(async {
        for response in [
            "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
            "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
            "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "HTTP/1.1 200 OK\nContent-Length: 0\n\n",
            "HTTP/1.1 200 OK\r\nA : b\r\n\r\n",
            "HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
            "SSH-2.0-OpenSSH\r\n\r\n",
        ] {
            let origin = Canned::with(&[response]).await;
            let world = World::to(&[origin.addr]).await;
            let request = "POST / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";
            let seen = world.ask(request).await;
            assert!(seen.starts_with("HTTP/1.1 502 "), "{response:?} gave {seen:?}");
            assert!(seen.ends_with("upstream_protocol\n"), "{response:?} gave {seen:?}");
        }
    });
}
