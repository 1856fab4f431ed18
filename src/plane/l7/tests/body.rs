use super::world::*;
use crate::plane::Limits;

/// Sends a request to an endpoint that answers as it is told; what the client sees.
async fn answered_with(request: &str, response: &str) -> String {
    let origin = Manual::new().await;
    let world = World::to(&[origin.addr]).await;
    let mut client = world.client().await;
    client.send(request).await;
    let mut upstream = origin.accept().await;
    upstream.head().await;
    upstream.send(response).await;
    drop(upstream);
    client.rest().await
}

const GET: &str = "GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";

#[test]
fn a_chunked_body_is_framed_anew_in_both_directions() {
    run(async {
        let origin = Manual::new().await;
        let world = World::to(&[origin.addr]).await;
        let mut client = world.client().await;
        client.send("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: Chunked\r\n\r\n").await;
        client.send("3;name=\"a;b\"\r\nabc\r\n").await;
        let mut upstream = origin.accept().await;
        assert!(upstream.head().await.contains("Transfer-Encoding: chunked\r\n"));
        upstream.until("3\r\nabc\r\n").await;
        client.send("1\r\n").await;
        client.send("d\r\n0\r\nX-Trailer: dropped\r\n\r\n").await;
        assert_eq!(upstream.until("0\r\n\r\n").await, "1\r\nd\r\n0\r\n\r\n");
        upstream.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;x\r\nok\r\n").await;
        assert!(client.head().await.contains("Transfer-Encoding: chunked\r\n"));
        client.until("2\r\nok\r\n").await;
        upstream.send("0\r\nX-Sum: 1\r\nContent-Length: 7\r\n\r\n").await;
        assert_eq!(client.until("\r\n\r\n").await, "0\r\nX-Sum: 1\r\n\r\n");
        client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n").await;
        upstream.head().await;
    });
}

#[test]
fn request_trailers_go_on_when_the_client_speaks_of_them() {
    run(async {
        let origin = Manual::new().await;
        let world = World::to(&[origin.addr]).await;
        let mut client = world.client().await;
        let head =
            "POST / HTTP/1.1\r\nHost: h\r\nTE: trailers\r\nTransfer-Encoding: chunked\r\n\r\n";
        client.send(head).await;
        client.send("0\r\nX-Sum: 1\r\nHost: evil\r\nAuthorization: evil\r\n\r\n").await;
        let mut upstream = origin.accept().await;
        assert!(upstream.head().await.contains("TE: trailers\r\nConnection: TE\r\n"));
        assert_eq!(upstream.until("\r\n\r\n").await, "0\r\nX-Sum: 1\r\n\r\n");
    });
}

#[test]
fn a_large_body_passes_with_memory_of_its_own_limits() {
    run(async {
        let origin = Manual::new().await;
        let world = World::to(&[origin.addr]).await;
        let size = 5_000_000;
        let mut client = world.client().await;
        let head = format!("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: {size}\r\n\r\n");
        client.send(head).await;
        let mut upstream = origin.accept().await;
        let head = upstream.head().await;
        assert!(head.contains(&format!("Content-Length: {size}\r\n")), "{head}");
        let body: String = (0..size).map(|at| char::from(b'a' + (at % 23) as u8)).collect();
        let (sent, end) = (body.clone(), body[body.len() - 60..].to_owned());
        crate::life::spawn_local("client", async move {
            client.send(sent).await;
            assert!(client.rest().await.ends_with("END"));
        });
        let mut read = String::new();
        while read.len() < size {
            read += &upstream.until(&end[end.len() - 23..]).await;
        }
        assert!(read == body);
        let head =
            format!("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {size}\r\n\r\n");
        upstream.send(head).await;
        upstream.send(&body.as_bytes()[..size - 3]).await;
        upstream.send("END").await;
    });
}

#[test]
fn responses_without_a_body_have_none() {
    run(async {
        let head = GET.replace("GET", "HEAD");
        let rows = [
            (&*head, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", true),
            (&*head, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", false),
            (GET, "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", true),
            (GET, "HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n", false),
        ];
        for (request, response, length) in rows {
            let seen = answered_with(request, response).await;
            assert!(seen.ends_with("\r\n\r\n"), "{response:?} gave {seen:?}");
            assert_eq!(seen.contains("Content-Length: 5"), length, "{response:?} gave {seen:?}");
        }
    });
}

#[test]
fn a_response_that_ends_with_its_connection_is_whole() {
    run(async {
        let seen = answered_with(GET, "HTTP/1.1 200 OK\r\n\r\nhello").await;
        assert!(seen.ends_with("\r\n\r\n5\r\nhello\r\n0\r\n\r\n"), "{seen:?}");
        let seen = answered_with(GET, "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
        assert!(seen.ends_with("\r\n\r\nok"), "{seen:?}");
    });
}

#[test]
fn a_response_cut_short_is_never_made_to_look_whole() {
    run(async {
        for (framing, part) in
            [("Content-Length: 9", "hel"), ("Transfer-Encoding: chunked", "3\r\nhel\r\n")]
        {
            let origin = Manual::new().await;
            let world = World::to(&[origin.addr]).await;
            let mut client = world.client().await;
            client.send(GET).await;
            let mut upstream = origin.accept().await;
            upstream.head().await;
            upstream.send(format!("HTTP/1.1 200 OK\r\n{framing}\r\n\r\n{part}")).await;
            client.until(part).await;
            drop(upstream);
            assert_eq!(client.rest().await, "", "{framing}");
        }
    });
}

#[test]
fn a_response_that_breaks_off_in_its_head_is_502() {
    run(async {
        let seen = answered_with(GET, "HTTP/1.1 200 OK\r\nContent-").await;
        assert!(seen.starts_with("HTTP/1.1 502 ") && seen.ends_with("upstream_reset\n"), "{seen}");
    });
}

#[test]
fn more_than_a_whole_response_is_not_the_next_one() {
    run(async {
        let poisoned = [OK, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"].concat();
        let origin = Canned::with(&[&poisoned]).await;
        let world = World::to(&[origin.addr]).await;
        let mut client = world.client().await;
        client.get("/1", "ok").await;
        client.get("/2", "ok").await;
        assert_eq!(origin.connections(), 2);
    });
}

#[test]
fn interim_responses_are_passed_on_and_the_body_waits_for_them() {
    run(async {
        let origin = Manual::new().await;
        let world = World::to(&[origin.addr]).await;
        let mut client = world.client().await;
        let head =
            "POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n";
        client.send(head).await;
        let mut upstream = origin.accept().await;
        assert!(upstream.head().await.contains("Expect: 100-continue\r\n"));
        upstream.send("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n").await;
        assert_eq!(client.head().await, "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n");
        upstream.send("HTTP/1.1 100 Continue\r\n\r\n").await;
        assert_eq!(client.head().await, "HTTP/1.1 100 Continue\r\n\r\n");
        client.send("body").await;
        upstream.until("body").await;
        upstream.send(OK).await;
        client.until("\r\n\r\nok").await;
        client.send("GET /again HTTP/1.1\r\nHost: h\r\n\r\n").await;
        assert!(upstream.head().await.starts_with("GET /again "));
    });
}

#[test]
fn an_endpoint_that_answers_before_it_wants_the_body_is_not_asked_again() {
    run(async {
        let origin = Manual::new().await;
        let world = World::to(&[origin.addr]).await;
        let mut client = world.client().await;
        let expects = "Expect: 100-continue\r\nContent-Length: 4\r\n\r\nbody";
        client.send(format!("POST / HTTP/1.1\r\nHost: h\r\n{expects}")).await;
        let mut upstream = origin.accept().await;
        upstream.until("body").await;
        upstream.send("HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\nno").await;
        client.until("no").await;
        client.send("GET /next HTTP/1.1\r\nHost: h\r\n\r\n").await;
        assert!(origin.accept().await.head().await.starts_with("GET /next "));
        assert_eq!(upstream.rest().await, "");
    });
}

#[test]
fn nothing_is_expected_before_no_body() {
    run(async {
        let origin = Canned::ok().await;
        let world = World::to(&[origin.addr]).await;
        let fields = "Connection: close\r\nExpect: 100-continue\r\n";
        world.ask(&format!("GET / HTTP/1.1\r\nHost: h\r\n{fields}\r\n")).await;
        assert!(!origin.heads()[0].contains("Expect"));
    });
}

#[test]
fn an_early_answer_reaches_a_client_that_still_sends() {
    run(async {
        let origin = Manual::new().await;
        let world = World::to(&[origin.addr]).await;
        let mut client = world.client().await;
        client.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000\r\n\r\nstart").await;
        let mut upstream = origin.accept().await;
        upstream.until("start").await;
        upstream.send("HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno").await;
        drop(upstream);
        let seen = client.rest().await;
        assert!(seen.starts_with("HTTP/1.1 413 ") && seen.ends_with("\r\n\r\nno"), "{seen:?}");
    });
}

#[test]
fn websockets_and_other_protocols_go_through_after_101() {
    run(async {
        let origin = Manual::new().await;
        let world = World::to(&[origin.addr]).await;
        let mut client = world.client().await;
        let upgrade = "GET /ws HTTP/1.1\r\nHost: h\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\r\n";
        client.send(format!("{upgrade}ahead")).await;
        let mut upstream = origin.accept().await;
        let head = upstream.head().await;
        assert!(head.contains("Upgrade: websocket\r\nConnection: upgrade\r\n"), "{head}");
        upstream
            .send("HTTP/1.1 101 Switching\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nhi")
            .await;
        let head = client.head().await;
        assert!(head.contains("Connection: upgrade\r\nUpgrade: websocket\r\n"), "{head}");
        client.until("hi").await;
        upstream.until("ahead").await;
        client.send("ping").await;
        upstream.until("ping").await;
        upstream.send("pong").await;
        client.until("pong").await;
        drop(client);
        assert_eq!(upstream.rest().await, "");
    });
}

#[test]
fn bytes_sent_ahead_of_a_refused_upgrade_go_nowhere() {
    run(async {
        let origin = Manual::new().await;
        let world = World::to(&[origin.addr]).await;
        let mut client = world.client().await;
        let upgrade = "GET /ws HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n";
        client.send(format!("{upgrade}GET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n")).await;
        let mut upstream = origin.accept().await;
        upstream.head().await;
        upstream.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nno").await;
        let seen = client.rest().await;
        assert!(seen.ends_with("\r\n\r\nno") && seen.contains("Connection: close\r\n"), "{seen}");
        assert_eq!(upstream.rest().await, "");
        assert!(origin.is_untouched());
    });
}

#[test]
fn what_a_head_a_trailer_section_and_interim_responses_may_be_is_said_by_limits() {
    run(async {
        let (interim, ok) = ("HTTP/1.1 103 Early Hints\r\n\r\n", "HTTP/1.1 200 OK\r\n");
        let answers = [
            format!("{ok}Content-Length: 0\r\nA: 1\r\n\r\n"),
            format!("{ok}Content-Length: 0\r\nA: 1\r\nB: 2\r\nC: 3\r\n\r\n"),
            format!("{ok}Transfer-Encoding: chunked\r\n\r\n0\r\nA: {}\r\n\r\n", "x".repeat(80)),
            format!("{interim}{ok}Content-Length: 0\r\n\r\n"),
            format!("{interim}{interim}{ok}Content-Length: 0\r\n\r\n"),
        ];
        let limits =
            Limits { head_fields: 3, trailer_bytes: 64, interim_responses: 1, ..Limits::default() };
        let mut world = World::with(limits).await;
        let mut statuses = Vec::new();
        for answer in &answers {
            let origin = Canned::with(&[answer]).await;
            let to = forward("web", &[origin.addr]);
            world.publish(vec![rule(crate::snapshot::HostMatch::Any, "", to)], None);
            let got = world.ask("GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n").await;
            let last = got.rfind("HTTP/1.1 ").and_then(|at| got.get(at + 9..at + 12));
            statuses.push(last.unwrap_or_default().to_owned());
        }
        assert_eq!(statuses, ["200", "502", "502", "200", "502"]);
        for (fields, status) in [("A: 1\r\n", "404"), ("A: 1\r\nB: 2\r\n", "431")] {
            world.publish(all(fail(crate::snapshot::Reason::NoRoute)), None);
            let head = format!("GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n{fields}\r\n");
            let got = world.ask(&head).await;
            assert!(got.starts_with(&format!("HTTP/1.1 {status} ")), "{fields}: {got}");
        }
    });
}

#[test]
fn endless_interim_responses_come_to_an_end() {
    run(async {
        let many = "HTTP/1.1 102 Processing\r\n\r\n".repeat(100);
        let seen = answered_with(GET, &many).await;
        assert!(seen.ends_with("rutter: 502 upstream_protocol\n"), "{seen:?}");
    });
}

#[test]
fn an_upgrade_in_http_1_0_is_no_upgrade() {
    run(async {
        let origin = Canned::ok().await;
        let world = World::to(&[origin.addr]).await;
        world.ask("GET / HTTP/1.0\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n").await;
        assert!(!origin.heads()[0].to_lowercase().contains("upgrade"));
    });
}

#[test]
fn an_upgrade_to_h2c_is_not_passed_on() {
    run(async {
        let origin = Canned::ok().await;
        let world = World::to(&[origin.addr]).await;
        let fields = "Connection: close, Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n";
        world.ask(&format!("GET / HTTP/1.1\r\nHost: h\r\n{fields}\r\n")).await;
        let head = origin.heads().remove(0).to_lowercase();
        assert!(!head.contains("upgrade") && !head.contains("http2-settings"), "{head}");
    });
}

#[test]
fn a_request_that_comes_behind_a_large_chunked_body_is_kept() {
    run(async {
        let origin = Manual::new().await;
        let world = World::to(&[origin.addr]).await;
        let mut client = world.client().await;
        client.send("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n").await;
        let mut upstream = origin.accept().await;
        upstream.head().await;
        let filler = "z".repeat(10_000);
        let fields = format!("X-Long: {filler}\r\nX-Longer: {filler}z\r\n");
        let next = format!("GET /next HTTP/1.1\r\nHost: h\r\n{fields}\r\n");
        client.send(format!("5\r\nhello\r\n0\r\n\r\n{next}")).await;
        upstream.until("5\r\nhello\r\n0\r\n\r\n").await;
        upstream.send(OK).await;
        client.until("ok").await;
        let head = upstream.head().await;
        assert!(head.starts_with("GET /next ") && head.contains(&fields));
    });
}
