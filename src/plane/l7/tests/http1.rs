use super::world::*;
use crate::snapshot::{HostMatch, Reason};

#[test]
fn a_request_reaches_the_endpoint_and_its_answer_the_client() {
    run(async {
        let origin = Canned::ok().await;
        let world = World::to(&[origin.addr]).await;
        let mut client = world.client().await;
        client.send("GET /a?b=c HTTP/1.1\r\nHost: Shop.example:80\r\nX-Thing: one\r\n\r\n").await;
        let response = client.until("ok").await;
        assert!(response.starts_with("HTTP/1.1 200 OK\r\n"), "{response}");
        assert!(response.contains("Server: rutter\r\n") && response.contains("Date: "));
        assert!(response.contains("Content-Length: 2\r\n"), "{response}");
        let head = &origin.heads()[0];
        assert!(head.starts_with("GET /a?b=c HTTP/1.1\r\nHost: Shop.example:80\r\n"), "{head}");
        for line in [
            "X-Thing: one\r\n",
            "X-Forwarded-For: 127.0.0.1\r\n",
            "X-Real-IP: 127.0.0.1\r\n",
            "X-Forwarded-Proto: http\r\n",
            "X-Forwarded-Host: Shop.example:80\r\n",
            &format!("X-Forwarded-Port: {}\r\n", world.addr.port()),
            "X-Request-Id: ",
        ] {
            assert!(head.contains(line), "{line} not in {head}");
        }
    });
}

#[test]
fn connections_are_kept_on_both_sides() {
    run(async {
        let origin = Canned::ok().await;
        let world = World::to(&[origin.addr]).await;
        let mut client = world.client().await;
        for _ in 0..5 {
            client.get("/", "ok").await;
        }
        for _ in 0..3 {
            let request = "GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";
            let response = world.ask(request).await;
            assert!(response.contains("Connection: close\r\n"), "{response}");
        }
        assert_eq!(origin.connections(), 1);
        assert!(origin.heads().iter().all(|head| !head.contains("Connection")));
    });
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    run(async {
        let body = |it: &str| format!("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n{it}");
        let (a, b, c) = (body("a"), body("b"), body("c"));
        let origin = Canned::with(&[&a, &b, &c]).await;
        let world = World::to(&[origin.addr]).await;
        let one = "GET /N HTTP/1.1\r\nHost: h\r\n\r\n";
        let last = "GET /3 HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";
        let all = [one.replace('N', "1"), one.replace('N', "2"), last.to_owned()].concat();
        let response = world.ask(&all).await;
        let bodies: Vec<&str> =
            response.split("\r\n\r\n").skip(1).filter_map(|it| it.get(..1)).collect();
        assert_eq!(bodies, ["a", "b", "c"]);
        assert_eq!(origin.heads().len(), 3);
    });
}

#[test]
fn pipelined_requests_of_every_kind_end_where_the_next_begins() {
    run(async {
        let rows = [
            ("HEAD /0", "", "200 OK", "Content-Length: 5\r\n\r\n"),
            ("GET /1", "Range: bytes=0-0\r\n", "206 Partial Content", "Content-Length: 1\r\n\r\nb"),
            ("POST /2", "Content-Length: 0\r\n", "200 OK", "Content-Length: 0\r\n\r\n"),
            ("GET /3", "If-None-Match: x\r\n", "304 Not Modified", "Content-Length: 5\r\n\r\n"),
            ("DELETE /4", "", "204 No Content", "\r\n"),
            ("HEAD /5", "", "404 Not Found", "Content-Length: 9\r\n\r\n"),
            ("GET /6", "Connection: close\r\n", "200 OK", "Content-Length: 1\r\n\r\ng"),
        ];
        let sent =
            rows.map(|(line, fields, ..)| format!("{line} HTTP/1.1\r\nHost: h\r\n{fields}\r\n"));
        let responses = rows.map(|(_, _, status, rest)| format!("HTTP/1.1 {status}\r\n{rest}"));
        let origin = Canned::with(&responses.each_ref().map(String::as_str)).await;
        let world = World::to(&[origin.addr]).await;
        let came = world.ask(&sent.concat()).await;
        let heads =
            came.split("HTTP/1.1 ").skip(1).map(|it| it.split_once("\r\n").unwrap_or((it, "")));
        let statuses: Vec<_> = heads.clone().map(|(status, _)| status).collect();
        assert_eq!(statuses, rows.map(|(_, _, status, _)| status));
        let bodies: Vec<_> =
            heads.map(|(_, it)| it.split("\r\n\r\n").nth(1).unwrap_or("")).collect();
        assert_eq!(bodies, ["", "b", "", "", "", "", "g"]);
        assert_eq!(origin.connections(), 1);
    });
}

#[test]
fn what_is_for_the_next_hop_does_not_go_further() {
    run(async {
        let origin = Canned::ok().await;
        let world = World::to(&[origin.addr]).await;
        world
            .ask(
                "GET / HTTP/1.1\r\nHost: h\r\nConnection: close, X-Named, host, x-forwarded-for\r\n\
                 Keep-Alive: 5\r\nProxy-Connection: x\r\nProxy-Authorization: x\r\nX-Named: 1\r\n\
                 X-Forwarded-For: 9.9.9.9\r\nForwarded: for=9.9.9.9\r\nX-Real-IP: 9.9.9.9\r\n\
                 X_Under: 1\r\nProxy: evil\r\nTE: gzip\r\nUpgrade: x\r\nX-Request-Id: kept-1\r\n\r\n",
            )
            .await;
        let head = origin.heads().remove(0).to_lowercase();
        for absent in ["x-named", "keep-alive", "proxy", "9.9.9.9", "x_under", "te:", "upgrade"] {
            assert!(!head.contains(absent), "{absent} in {head}");
        }
        for present in ["host: h\r\n", "x-forwarded-for: 127.0.0.1\r\n", "x-request-id: kept-1"] {
            assert!(head.contains(present), "{present} not in {head}");
        }
    });
}

#[test]
fn the_absolute_form_wins_over_host() {
    run(async {
        let origin = Canned::ok().await;
        let mut world = World::new().await;
        let to = forward("web", &[origin.addr]);
        world.publish(vec![rule(HostMatch::Exact("b.example".into()), "", to)], None);
        let close = "Connection: close\r\n\r\n";
        let request = format!("GET http://B.example/x HTTP/1.1\r\nHost: a.example\r\n{close}");
        assert!(world.ask(&request).await.contains("200 OK"));
        assert!(origin.heads()[0].starts_with("GET /x HTTP/1.1\r\nHost: B.example\r\n"));
    });
}

#[test]
fn what_was_matched_is_what_is_sent() {
    run(async {
        let (public, admin) = (Canned::ok().await, Canned::ok().await);
        let mut world = World::new().await;
        world.publish(
            vec![
                rule(HostMatch::Any, "", forward("public", &[public.addr])),
                rule(HostMatch::Any, "/admin", forward("admin", &[admin.addr])),
            ],
            None,
        );
        for path in ["/admin", "//admin", "/x/../admin", "/%61dmin", "/./admin?x=/y/.."] {
            let request = format!("GET {path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
            world.ask(&request).await;
        }
        assert_eq!(public.heads().len(), 0);
        assert_eq!(admin.heads().len(), 5);
        assert!(admin.heads().iter().all(|head| head.starts_with("GET /admin")));
    });
}

#[test]
fn failures_carry_their_status_and_reason() {
    run(async {
        let mut world = World::new().await;
        let closed = closed_port().await;
        world.publish(
            vec![
                rule(HostMatch::Any, "/gone", fail(Reason::NoService)),
                rule(HostMatch::Any, "/empty", forward("empty", &[])),
                rule(HostMatch::Any, "/refused", forward("refused", &[closed])),
            ],
            None,
        );
        let mut client = world.client().await;
        for (path, status, reason) in [
            ("/nowhere", 404, "no_route"),
            ("/gone", 503, "no_service"),
            ("/empty", 503, "no_ready_endpoint"),
            ("/refused", 502, "connect_refused"),
        ] {
            let body = format!("rutter: {status} {reason}\n");
            let response = client.get(path, &body).await;
            assert!(response.starts_with(&format!("HTTP/1.1 {status} ")), "{response}");
            assert!(response.contains(&format!("Content-Length: {}\r\n", body.len())));
        }
    });
}

#[test]
fn a_client_of_http_1_0_gets_what_it_understands() {
    run(async {
        let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n";
        let origin = Canned::with(&[chunked, OK]).await;
        let world = World::to(&[origin.addr]).await;
        let response = world.ask("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n").await;
        assert!(!response.contains("chunked") && response.ends_with("\r\n\r\nok"), "{response}");
        assert!(response.contains("Connection: close\r\n"), "{response}");
        let mut client = world.client().await;
        for _ in 0..2 {
            client.send("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n").await;
            let response = client.until("ok").await;
            assert!(response.contains("Connection: keep-alive\r\n"), "{response}");
        }
        assert!(origin.heads()[0].starts_with("GET / HTTP/1.1\r\nHost: \r\n"));
        assert!(world.ask("GET / HTTP/1.0\r\n\r\n").await.contains("Connection: close\r\n"));
    });
}
