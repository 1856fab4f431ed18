use std::sync::Arc;

use super::authority::*;
use super::world::*;
use crate::snapshot::{Authorities, SubjectName, Target, UpstreamTls};

const GET: &str = "GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";

fn within(tls: UpstreamTls, to: Target) -> Target {
    Target { tls: Some(Arc::new(tls)), ..to }
}

fn dns(name: &str) -> SubjectName {
    SubjectName::Dns(name.into())
}

#[test]
fn an_endpoint_must_show_a_certificate_as_the_policy_asks() {
    run(async {
        let (trusted, other) = (Authority::new(1), Authority::new(2));
        let uri = SubjectName::Uri("spiffe://a/web".into());
        let names = ["web.test", "*.wild.test", "127.0.0.1", "spiffe://a/web"];
        let good = Secure::http1(&trusted.sign(1, &names, 2100), None).await;
        let expired = Secure::http1(&trusted.sign(2, &names, 2001), None).await;
        let foreign = Secure::http1(&other.sign(3, &names, 2100), None).await;
        let told = |name: &str| format!("sni={name} alpn=http/1.1 certificates=0");
        let refused = || "rutter: 502 upstream_tls\n".to_owned();
        let rows = [
            (&good, "web.test", vec![], told("web.test")),
            (&good, "a.wild.test", vec![], told("a.wild.test")),
            (&good, "127.0.0.1", vec![], told("none")),
            (&good, "other.test", vec![], refused()),
            (&good, "127.0.0.2", vec![], refused()),
            (&good, "not a name", vec![], refused()),
            (&good, "other.test", vec![uri.clone()], told("other.test")),
            (&good, "other.test", vec![dns("x"), dns("web.test")], told("other.test")),
            (&good, "web.test", vec![dns("other.test")], refused()),
            (&expired, "web.test", vec![], refused()),
            (&expired, "web.test", vec![uri.clone()], refused()),
            (&foreign, "web.test", vec![], refused()),
            (&foreign, "web.test", vec![uri], refused()),
        ];
        let mut world = World::new().await;
        for (origin, server_name, names, expected) in rows {
            let to = within(trusted.policy(server_name, &names), target("web", &[origin.addr]));
            world.publish(all(forward_to(to)), None);
            let response = world.ask(GET).await;
            assert!(response.ends_with(&expected), "{server_name} {names:?}: {response}");
        }
        let system =
            UpstreamTls { authorities: Authorities::System, ..trusted.policy("web.test", &[]) };
        let to = within(system, target("web", &[good.addr]));
        world.publish(all(forward_to(to)), None);
        assert!(world.ask(GET).await.ends_with(&refused()));
    });
}

#[test]
fn an_endpoint_whose_certificate_was_taken_back_gets_no_further_request() {
    run(async {
        let trusted = Authority::new(1);
        let names = ["web.test", "spiffe://a/web"];
        let (first, second) = (trusted.sign(1, &names, 2100), trusted.sign(2, &names, 2100));
        let origins = [Secure::http1(&first, None).await, Secure::http1(&second, None).await];
        let mut world = World::new().await;
        let by_uri = vec![SubjectName::Uri("spiffe://a/web".into())];
        for names in [Vec::new(), by_uri] {
            for (revoked, expected) in [(None, [true, true]), (Some(&first), [false, true])] {
                let policy = match revoked {
                    None => trusted.policy("web.test", &[]),
                    Some(revoked) => trusted.policy_without(revoked, "web.test"),
                };
                let policy = UpstreamTls { names: names.clone(), ..policy };
                for (origin, expected) in origins.iter().zip(expected) {
                    let to = within(policy.clone(), target("web", &[origin.addr]));
                    world.publish(all(forward_to(to)), None);
                    let answer = world.ask(GET).await;
                    assert_eq!(answer.contains("sni=web.test"), expected, "{names:?} {answer}");
                }
            }
        }
    });
}

#[test]
fn an_endpoint_without_tls_is_no_endpoint_of_a_policy() {
    run(async {
        let origin = Manual::new().await;
        let mut world = World::new().await;
        let policy = Authority::new(1).policy("web.test", &[]);
        world.publish(all(forward_to(within(policy, target("web", &[origin.addr])))), None);
        let mut client = world.client().await;
        client.send(GET).await;
        origin.accept().await.send("HTTP/1.1 400 Bad Request\r\n\r\n").await;
        assert!(client.rest().await.ends_with("rutter: 502 upstream_tls\n"));
        assert!(origin.is_untouched());
    });
}

#[test]
fn our_certificate_is_shown_to_endpoints_that_ask_for_it() {
    run(async {
        let (servers, clients) = (Authority::new(1), Authority::new(2));
        let certificate = servers.sign(1, &["web.test"], 2100);
        let origin = Secure::http1(&certificate, Some(&clients)).await;
        let mut world = World::new().await;
        let stranger = servers.sign(3, &["rutter.test"], 2100);
        for (client, expected) in [
            (Some(clients.sign(2, &["rutter.test"], 2100)), "certificates=1"),
            (None, "rutter: 502 upstream_tls\n"),
            (Some(stranger), "rutter: 502 upstream_tls\n"),
        ] {
            let policy = UpstreamTls { client, ..servers.policy("web.test", &[]) };
            let to = within(policy, target("web", &[origin.addr]));
            world.publish(all(forward_to(to)), None);
            let response = world.ask(GET).await;
            assert!(response.ends_with(expected), "{response}");
        }
    });
}

#[test]
fn connections_are_kept_and_shared_under_the_same_policy_only() {
    run(async {
        let authority = Authority::new(1);
        let certificate = authority.sign(1, &["web.test", "other.test"], 2100);
        let origin = Secure::http1(&certificate, None).await;
        let mut world = World::new().await;
        let mut ask = async |policy: Option<UpstreamTls>| {
            let to = target("web", &[origin.addr]);
            let to = match policy {
                Some(policy) => within(policy, to),
                None => to,
            };
            world.publish(all(forward_to(to)), None);
            (world.ask(GET).await, origin.handshakes.get())
        };
        // the same content is the same policy, however often it is compiled
        for _ in 0..3 {
            let (response, handshakes) = ask(Some(authority.policy("web.test", &[]))).await;
            assert!(response.contains("sni=web.test"), "{response}");
            assert_eq!(handshakes, 1);
        }
        let (response, handshakes) = ask(Some(authority.policy("other.test", &[]))).await;
        assert!(response.contains("sni=other.test"), "{response}");
        assert_eq!(handshakes, 2);
        let strict = authority.policy("web.test", &[dns("nobody.test")]);
        assert!(ask(Some(strict)).await.0.ends_with("upstream_tls\n"));
        let (response, _) = ask(None).await;
        assert!(!response.contains("sni="), "{response}");
    });
}

#[test]
fn connections_under_a_policy_that_is_gone_are_closed() {
    run(async {
        let authority = Authority::new(1);
        let certificate = authority.sign(1, &["web.test", "other.test"], 2100);
        let (ended, mut all_ended) = tokio::sync::mpsc::unbounded_channel();
        let addr = accept(config(&certificate, None, &[]), move |stream| {
            let ended = ended.clone();
            crate::life::spawn_local("origin", async move {
                let name = stream.get_ref().1.server_name().map(str::to_owned);
                tell(stream).await;
                let _ = ended.send(name);
            });
        });
        let (addr, mut world) = (addr.await, World::new().await);
        for name in ["web.test", "other.test"] {
            let to = within(authority.policy(name, &[]), target("web", &[addr]));
            world.publish(all(forward_to(to)), None);
            assert!(world.ask(GET).await.contains(&format!("sni={name}")));
        }
        assert_eq!(all_ended.recv().await, Some(Some("web.test".to_owned())));
        assert!(all_ended.is_empty());
    });
}

#[test]
fn a_large_body_passes_both_ways_within_tls() {
    run(async {
        let authority = Authority::new(1);
        let certificate = authority.sign(1, &["web.test"], 2100);
        let addr = accept(config(&certificate, None, &[]), |stream| {
            crate::life::spawn_local("origin", echo(stream));
        });
        let mut world = World::new().await;
        let to = within(authority.policy("web.test", &[]), target("web", &[addr.await]));
        world.publish(all(forward_to(to)), None);
        let body = "x".repeat(2_000_000);
        let head = "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2000000\r\n\r\n";
        let client = world.client().await;
        let (mut read, mut write) = client.stream.into_split();
        crate::life::spawn_local("client", async move {
            use tokio::io::AsyncWriteExt;
            for part in [head, &body] {
                write.write_all(part.as_bytes()).await.expect("it must be read");
            }
            // kept open until the response is there
            std::future::pending::<()>().await;
        });
        let mut response = Vec::new();
        while response.iter().filter(|byte| **byte == b'x').count() < 2_000_000 {
            use tokio::io::AsyncReadExt;
            assert!(read.read_buf(&mut response).await.expect("it must be open") > 0);
        }
    });
}

/// Sends the body of its one request back while it comes.
async fn echo(mut stream: tokio_rustls::server::TlsStream<tokio::net::TcpStream>) {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut read = Vec::new();
    while !read.windows(4).any(|it| it == b"\r\n\r\n") {
        stream.read_buf(&mut read).await.expect("it must be open");
    }
    let end = read.windows(4).position(|it| it == b"\r\n\r\n").expect("a head") + 4;
    let head = b"HTTP/1.1 200 OK\r\nContent-Length: 2000000\r\n\r\n";
    stream.write_all(head).await.expect("it must be read");
    let mut piece = read.split_off(end);
    loop {
        let written = stream.write_all(&piece).await;
        piece.clear();
        let _ = stream.flush().await;
        if written.is_err() || stream.read_buf(&mut piece).await.unwrap_or(0) == 0 {
            return;
        }
    }
}
