use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use ::h2::server::Builder;
use http::{HeaderMap, Request, Response};

use super::authority::*;
use super::h2_origin::*;
use super::world::*;
use crate::life;
use crate::plane::Limits;
use crate::snapshot::{Filter, HostMatch, Mirror, Rewrite, Rule, Target};

const GET: &str = "GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";
const POST: &str = "POST / HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: 1\r\n\r\nx";

#[test]
fn requests_are_translated_and_share_a_connection() {
    run(async {
        let seen = Rc::<RefCell<Vec<Request<()>>>>::default();
        let kept = seen.clone();
        let origin = H2Origin::new(move |(request, mut to)| {
            let kept = kept.clone();
            async move {
                kept.borrow_mut().push(request.map(|_| ()));
                answer(&mut to, "hello");
            }
        })
        .await;
        let mut world = world_to(target("web", &[origin.addr])).await;
        let mut client = world.client().await;
        for path in ["/a?b=<c>", "/%61%2e|", "/"] {
            let head = format!(
                "GET {path} HTTP/1.1\r\nHost: h.test:81\r\nTE: trailers\r\nX-One: 1\r\n\
                 X-One: 2\r\nConnection: TE, x-hop\r\nX-Hop: 1\r\nKeep-Alive: 1\r\n\r\n"
            );
            client.send(head).await;
            let response = client.until("5\r\nhello\r\n0\r\n\r\n").await;
            assert!(response.starts_with("HTTP/1.1 200 OK\r\n"), "{response}");
        }
        let mut rewritten =
            Rule::clone(&rule(HostMatch::Any, "", forward_to(h2(target("web", &[origin.addr])))));
        let rewrite = Rewrite { host: Some("new.test".into()), path: None };
        rewritten.filters = vec![Filter::Rewrite(rewrite)];
        world.publish(vec![Arc::new(rewritten)], None);
        client.get("/", "5\r\nhello\r\n0\r\n\r\n").await;
        assert_eq!(origin.connections(), 1);
        let seen = seen.borrow();
        let uris: Vec<String> = seen.iter().map(|it| it.uri().to_string()).collect();
        let expected = [
            "http://h.test:81/a?b=%3Cc%3E",
            "http://h.test:81/a.|",
            "http://h.test:81/",
            "http://new.test/",
        ];
        assert_eq!(uris, expected);
        let fields = seen[0].headers();
        assert_eq!(fields["te"], "trailers");
        assert_eq!(fields.get_all("x-one").iter().count(), 2);
        assert_eq!(fields["x-forwarded-for"], "127.0.0.1");
        for absent in ["connection", "x-hop", "keep-alive", "host", "transfer-encoding"] {
            assert!(!fields.contains_key(absent), "{absent}");
        }
        assert!(!seen[3].headers().contains_key("te"));
    });
}

#[test]
fn clients_that_do_not_read_leave_room_for_others_on_the_same_connection() {
    run(async {
        let sent = Rc::<Cell<usize>>::default();
        let counted = sent.clone();
        let origin = H2Origin::new(move |(request, mut to)| {
            let sent = counted.clone();
            async move {
                if request.uri().path() == "/" {
                    return answer(&mut to, "here");
                }
                let mut body = to.send_response(Response::new(()), false).expect("a stream");
                for _ in 0..1_000 {
                    send(&mut body, vec![b'x'; 16 * 1024].into()).await;
                    sent.set(sent.get() + 1);
                }
            }
        })
        .await;
        let world = world_to(target("web", &[origin.addr])).await;
        let mut pausing = Vec::new();
        for _ in 0..20 {
            let mut client = world.client().await;
            client.send("GET /big HTTP/1.1\r\nHost: h\r\n\r\n").await;
            pausing.push(client);
        }
        // until none of them gets any more
        let mut before = (0, 0);
        while before.1 < 2_000 {
            tokio::task::yield_now().await;
            before = if sent.get() == before.0 && before.0 > 0 {
                (before.0, before.1 + 1)
            } else {
                (sent.get(), 0)
            };
        }
        assert!(world.ask(GET).await.contains("here"));
        assert_eq!(origin.connections(), 1);
        drop(pausing);
    });
}

#[test]
fn a_request_may_have_as_many_fields_for_http_2_as_for_http_1() {
    run(async {
        let origin = H2Origin::new(|(request, mut to)| async move {
            let fields = request.headers().keys().filter(|name| name.as_str().starts_with("x-n"));
            answer(&mut to, format!("{} fields", fields.count()));
        })
        .await;
        let world = world_to(target("web", &[origin.addr])).await;
        let fields: String = (0..98).map(|number| format!("X-N{number}: 1\r\n")).collect();
        let request = format!("GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n{fields}\r\n");
        let response = world.ask(&request).await;
        assert!(response.contains("98 fields"), "{response}");
    });
}

#[test]
fn a_head_that_http_2_has_no_form_for_fails_at_once() {
    run(async {
        let origin = H2Origin::new(|(_, mut to)| async move { answer(&mut to, "hello") }).await;
        let mut world = world_to(target("web", &[origin.addr])).await;
        let mut rewritten =
            Rule::clone(&rule(HostMatch::Any, "", forward_to(h2(target("web", &[origin.addr])))));
        let rewrite = Rewrite { host: Some("no host".into()), path: None };
        rewritten.filters = vec![Filter::Rewrite(rewrite)];
        world.publish(vec![Arc::new(rewritten)], None);
        let response = world.ask(GET).await;
        assert!(response.starts_with("HTTP/1.1 502 "), "{response}");
    });
}

#[test]
fn responses_are_framed_as_http1_wants_it() {
    run(async {
        let origin = H2Origin::new(|(request, mut to): Asked| async move {
            let mut response = Response::builder();
            let mut text = "";
            match (request.method().as_str(), request.uri().path()) {
                ("HEAD", _) | (_, "/304") => response = response.header("content-length", "5"),
                (_, "/length") => {
                    response = response.header("content-length", "5");
                    text = "hello";
                }
                (_, "/chunks") => text = "hello",
                _ => {}
            }
            let status = request.uri().path().strip_prefix('/').and_then(|it| it.parse().ok());
            let response = response.status(status.unwrap_or(200_u16)).body(());
            let response = response.expect("it must be well-formed");
            let mut body = to.send_response(response, text.is_empty()).expect("it must be open");
            if !text.is_empty() {
                body.send_data(text.into(), true).expect("it must be open");
            }
        })
        .await;
        let world = world_to(target("web", &[origin.addr])).await;
        let mut client = world.client().await;
        for (request, status, framing, body) in [
            ("GET /length", 200, "content-length: 5\r\n", "hello"),
            ("GET /chunks", 200, "Transfer-Encoding: chunked\r\n", "5\r\nhello\r\n0\r\n\r\n"),
            ("GET /empty", 200, "Content-Length: 0\r\n", ""),
            ("GET /204", 204, "", ""),
            ("GET /304", 304, "content-length: 5\r\n", ""),
            ("HEAD /length", 200, "content-length: 5\r\n", ""),
            ("GET /503", 503, "Content-Length: 0\r\n", ""),
        ] {
            client.send(format!("{request} HTTP/1.1\r\nHost: h\r\n\r\n")).await;
            let head = client.head().await;
            assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{request}: {head}");
            assert!(head.contains(framing), "{request}: {head}");
            let lengths = ["ontent-length", "ontent-Length", "ransfer-"];
            let said = lengths.iter().map(|it| head.matches(it).count()).sum::<usize>();
            assert_eq!(said, usize::from(!framing.is_empty()), "{request}: {head}");
            if !body.is_empty() {
                client.until(body).await;
            }
        }
        assert_eq!(origin.connections(), 1);
    });
}

#[test]
fn trailers_pass_both_ways_and_so_do_interim_responses() {
    run(async {
        let origin = H2Origin::new(|(request, mut to): Asked| async move {
            let hints = Response::builder().status(103).header("link", "</a>").body(());
            to.send_informational(hints.expect("well-formed")).expect("it must be open");
            echo((request, to)).await;
        })
        .await;
        let world = world_to(target("web", &[origin.addr])).await;
        let mut client = world.client().await;
        client
            .send(
                "POST / HTTP/1.1\r\nHost: h\r\nTE: trailers\r\nTransfer-Encoding: chunked\r\n\r\n\
                 5\r\nhello\r\n0\r\nX-Sum: 1\r\nHost: evil\r\n\r\n",
            )
            .await;
        let interim = client.head().await;
        assert_eq!(interim, "HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n");
        let head = client.head().await;
        assert!(head.contains("Transfer-Encoding: chunked\r\n"), "{head}");
        assert_eq!(client.until("\r\n\r\n").await, "5\r\nhello\r\n0\r\nx-sum: 1\r\n\r\n");
    });
}

#[test]
fn large_bodies_pass_through_the_windows_both_ways_at_once() {
    run(async {
        let origin = H2Origin::new(echo).await;
        let world = world_to(target("web", &[origin.addr])).await;
        let (mut read, mut write) = world.client().await.stream.into_split();
        life::spawn_local("client", async move {
            use tokio::io::AsyncWriteExt;
            let head = "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3000000\r\n\r\n";
            write.write_all(head.as_bytes()).await.expect("it must be read");
            write.write_all(&vec![b'~'; 3_000_000]).await.expect("it must be read");
            std::future::pending::<()>().await;
        });
        let (mut response, mut data) = (Vec::new(), 0);
        while data < 3_000_000 {
            use tokio::io::AsyncReadExt;
            response.clear();
            assert!(read.read_buf(&mut response).await.expect("it must be open") > 0);
            data += response.iter().filter(|byte| **byte == b'~').count();
        }
    });
}

#[test]
fn an_endpoint_that_does_not_read_stops_the_client_and_runs_out_of_time() {
    run(async {
        let origin = H2Origin::new(|(request, to): Asked| async move {
            let _held = (request, to);
            std::future::pending::<()>().await;
        })
        .await;
        let stall = Duration::from_millis(100);
        let limits = Limits { upstream_stall: stall, linger_time: stall, ..Limits::default() };
        let mut world = World::with(limits).await;
        world.publish(all(forward_to(h2(target("web", &[origin.addr])))), None);
        let mut client = world.client().await;
        client.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 100000000\r\n\r\n").await;
        client.send("x".repeat(100_000)).await;
        assert!(client.rest().await.ends_with("rutter: 504 response_timeout\n"));
    });
}

#[test]
fn http2_within_tls_is_agreed_by_alpn_and_shared_by_policy() {
    run(async {
        let authority = Authority::new(1);
        let certificate = authority.sign(1, &["web.test"], 2100);
        let connections = Rc::<RefCell<Vec<String>>>::default();
        let all_connections = connections.clone();
        let addr = accept(config(&certificate, None, &["h2", "http/1.1"]), move |stream| {
            let alpn = stream.get_ref().1.alpn_protocol().unwrap_or_default().to_vec();
            connections.borrow_mut().push(String::from_utf8_lossy(&alpn).into_owned());
            life::spawn_local(
                "origin",
                serve(Builder::new(), stream, |(request, mut to)| async move {
                    answer(&mut to, request.uri().to_string());
                }),
            );
        })
        .await;
        let mut world = World::new().await;
        for _ in 0..3 {
            let tls = Some(Arc::new(authority.policy("web.test", &[])));
            let to = h2(Target { tls, ..target("web", &[addr]) });
            world.publish(all(forward_to(to)), None);
            assert!(world.ask(GET).await.contains("https://h/"));
        }
        assert_eq!(*all_connections.borrow(), ["h2"]);
        let tls = Some(Arc::new(authority.policy("other.test", &[])));
        world.publish(all(forward_to(h2(Target { tls, ..target("web", &[addr]) }))), None);
        assert!(world.ask(GET).await.ends_with("rutter: 502 upstream_tls\n"));
    });
}

#[test]
fn mirrors_may_speak_http2_as_well() {
    run(async {
        let main = Canned::ok().await;
        let (seen, mut copies) = tokio::sync::mpsc::unbounded_channel();
        let origin = H2Origin::new(move |(request, mut to): Asked| {
            let seen = seen.clone();
            async move {
                let (parts, mut body) = request.into_parts();
                let data = body.data().await.expect("a body").expect("it must be open");
                let _ = seen.send(format!("{} {:?}", parts.uri, data));
                answer(&mut to, "nobody reads this");
            }
        })
        .await;
        let mut copied = Rule::clone(&rule(HostMatch::Any, "", forward("web", &[main.addr])));
        let target = h2(target("mirror", &[origin.addr]));
        copied.filters = vec![Filter::Mirror(Mirror { target, numerator: 1, denominator: 1 })];
        let mut world = World::new().await;
        world.publish(vec![Arc::new(copied)], None);
        assert!(world.ask(POST).await.ends_with("ok"));
        assert_eq!(copies.recv().await.expect("a copy"), "http://h/ b\"x\"");
    });
}

#[test]
fn trailers_of_many_fields_are_limited() {
    run(async {
        let origin = H2Origin::new(|(_, mut to): Asked| async move {
            let mut body = to.send_response(Response::new(()), false).expect("it must be open");
            let mut trailers = HeaderMap::new();
            for count in 0..200 {
                let name = format!("x-{count}").parse::<http::HeaderName>().expect("a name");
                trailers.insert(name, "1".parse().expect("a value"));
            }
            body.send_trailers(trailers).expect("it must be open");
        })
        .await;
        let world = world_to(target("web", &[origin.addr])).await;
        assert!(!world.ask(GET).await.ends_with("0\r\n\r\n"));
    });
}

#[test]
fn a_connection_takes_so_many_streams_and_another_the_rest() {
    for (upstream_streams, connections) in [(100, 1), (2, 2)] {
        run(async {
            let asked = Rc::<Cell<usize>>::default();
            let counted = asked.clone();
            let origin = H2Origin::new(move |(_, mut to)| {
                let asked = counted.clone();
                async move {
                    asked.set(asked.get() + 1);
                    while asked.get() < 3 {
                        tokio::task::yield_now().await;
                    }
                    answer(&mut to, "here");
                }
            })
            .await;
            let limits = Limits { upstream_streams, ..Limits::default() };
            let mut world = World::with(limits).await;
            world.publish(all(forward_to(h2(target("web", &[origin.addr])))), None);
            let answers = tokio::join!(world.ask(GET), world.ask(GET), world.ask(GET));
            for answer in [answers.0, answers.1, answers.2] {
                assert!(answer.contains("here"), "{answer}");
            }
            assert_eq!(origin.connections(), connections);
        });
    }
}
