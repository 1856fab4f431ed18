use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConnection;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;
use crate::plane::tests::tls::{ask, certificate, client_config, shake_hands, shown, table};
use crate::plane::tests::{Manual, closed_port, failed_share, named_echo, run};
use crate::snapshot::{Authorities, Reason, SubjectName, Target, UpstreamTls, WeightedBackend};

fn client_hello(name: &str) -> Vec<u8> {
    let name = ServerName::try_from(name.to_owned()).expect("a name must be given");
    let client = ClientConnection::new(client_config(&[], None), name);
    let mut bytes = Vec::new();
    client.expect("a client must begin").write_tls(&mut bytes).expect("a Vec takes everything");
    bytes
}

#[test]
fn what_is_passed_through_goes_on_byte_for_byte_however_it_is_cut() {
    run(async {
        let endpoint = Manual::new().await;
        let mut site = Site::new();
        let ways = routes(&[("a.test", way("web", endpoint.addr))]);
        site.publish(tls_socket(None, vec![(HostMatch::Any, TlsServe::Passthrough(ways))]));
        for piece in [1, 7, 100, 10_000] {
            let mut sent = client_hello("a.test");
            sent.extend_from_slice(b"and more");
            let mut client = site.client().await;
            for piece in sent.chunks(piece) {
                client.send(piece).await;
                tokio::task::yield_now().await;
            }
            let mut upstream = endpoint.accept().await;
            let mut received = vec![0; sent.len()];
            upstream.stream.read_exact(&mut received).await.expect("all must come");
            assert!(received == sent, "in pieces of {piece}");
            upstream.send("an answer").await;
            client.until("an answer").await;
            // a half-close goes through, and the other way stays open
            client.stream.shutdown().await.expect("it must be open");
            assert_eq!(upstream.rest().await, "");
            upstream.send("a last word").await;
            drop(upstream);
            assert_eq!(client.rest().await, "a last word");
        }
        site.core.until_ended(4, "default/web", None).await;
    });
}

#[test]
fn passthrough_termination_and_http_share_a_socket_by_server_name() {
    run(async {
        let (own, other) = (certificate(1, "own"), certificate(2, "other"));
        // what is passed on ends at a socket of its own
        let mut behind = Site::new();
        let inner = routes(&[("pass.test", way("inner", named_echo("inner ").await))]);
        let end = TlsServe::Terminate(table(&other, None), inner);
        behind.publish(tls_socket(None, vec![(HostMatch::Any, end)]));
        let mut site = Site::new();
        let passed = routes(&[("pass.test", way("behind", behind.key.addr))]);
        let ended = routes(&[("end.test", way("echo", named_echo("echo ").await))]);
        let hosts = vec![
            (exact("pass.test"), TlsServe::Passthrough(passed)),
            (exact("end.test"), TlsServe::Terminate(table(&own, None), ended)),
            (HostMatch::Any, TlsServe::Http),
        ];
        let hosts_of_http = [exact("a.test"), exact("b.test")];
        site.publish(tls_socket(Some(http(Some(table(&own, None)), &hosts_of_http)), hosts));
        let get = |host: &str| format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n");
        for (name, words, end, certificate) in [
            ("pass.test", "x".to_owned(), "inner x", &other),
            ("END.test", "y".to_owned(), "echo y", &own),
            ("a.test", get("a.test"), "rutter: 404 no_route\n", &own),
            ("b.test", get("b.test"), "rutter: 404 no_route\n", &own),
            ("a.test", get("b.test"), "rutter: 421 misdirected\n", &own),
        ] {
            let config = client_config(&["http/1.1"], None);
            let stream = shake_hands(site.key.addr, name, config).await;
            let mut stream = stream.unwrap_or_else(|error| panic!("{name}: {error}"));
            assert_eq!(shown(&stream), certificate.chain[0], "{name}");
            ask(&mut stream, &words, end).await.unwrap_or_else(|error| panic!("{name}: {error}"));
        }
        let config = client_config(&["h2"], None);
        let stream = shake_hands(site.key.addr, "a.test", config).await.expect("it must be served");
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    });
}

#[test]
fn what_goes_nowhere_is_reset_and_counted_by_its_reason() {
    run(async {
        let mut site = Site::new();
        let echo = named_echo("").await;
        let secured = UpstreamTls {
            server_name: "web.test".into(),
            authorities: Authorities::System,
            names: vec![SubjectName::Dns("web.test".into())],
            client: None,
        };
        let plain = Target::plain(backend("secured", Transport::Tcp, &[echo]));
        let target = Ok(Target { tls: Some(Arc::new(secured)), ..plain });
        let secured = WeightedBackend { target, weight: 1, filters: Vec::new() };
        let empty = backend("empty", Transport::Tcp, &[]);
        let closed = backend("closed", Transport::Tcp, &[closed_port().await]);
        let ways = routes(&[
            ("none.test", frontend(vec![])),
            ("weightless.test", frontend(vec![share(0, empty.clone())])),
            ("failed.test", frontend(vec![failed_share(1, Reason::InvalidBackend)])),
            ("empty.test", frontend(vec![share(1, empty)])),
            ("closed.test", frontend(vec![share(1, closed)])),
            ("secured.test", frontend(vec![secured])),
        ]);
        let served = HostMatch::Suffix("test".into());
        site.publish(tls_socket(None, vec![(served, TlsServe::Passthrough(ways))]));
        for (count, (name, service, reason)) in [
            ("other.example", "", Reason::NoRoute),
            ("unrouted.test", "", Reason::NoRoute),
            ("none.test", "", Reason::NoService),
            ("weightless.test", "", Reason::NoService),
            ("failed.test", "", Reason::InvalidBackend),
            ("empty.test", "default/empty", Reason::NoReadyEndpoint),
            ("closed.test", "default/closed", Reason::ConnectRefused),
            ("secured.test", "default/secured", Reason::UpstreamTls),
        ]
        .into_iter()
        .enumerate()
        {
            let mut client = site.connect().await;
            client.write_all(&client_hello(name)).await.expect("it must be open");
            let error = client.read(&mut [0; 100]).await.expect_err("it must be reset");
            assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "{name}");
            let again = [1, 3].contains(&count);
            site.core.until_ended(1 + u64::from(again), service, Some(reason)).await;
        }
    });
}

#[test]
fn the_end_of_what_is_within_tls_is_passed_on_both_ways() {
    run(async {
        let endpoint = Manual::new().await;
        let mut site = Site::new();
        let ways = routes(&[("a.test", way("web", endpoint.addr))]);
        let end = TlsServe::Terminate(table(&certificate(1, "a.test"), None), ways);
        site.publish(tls_socket(None, vec![(HostMatch::Any, end)]));
        let connect = || shake_hands(site.key.addr, "a.test", client_config(&[], None));
        let mut client = connect().await.expect("it must be served");
        let mut upstream = endpoint.accept().await;
        client.write_all(b"question").await.expect("it must be open");
        client.shutdown().await.expect("it must be open");
        assert_eq!(upstream.rest().await, "question");
        // more than any buffer takes
        let answer = "answer".repeat(1_000_000);
        let (mut received, sent) = (String::new(), answer.clone());
        let answered = async {
            upstream.send(sent).await;
            drop(upstream);
        };
        let (read, ()) = tokio::join!(client.read_to_string(&mut received), answered);
        read.expect("it must end by close_notify");
        assert!(received == answer);
        site.core.until_ended(1, "default/web", None).await;
        // an end that is not said may be an attack: the endpoint must not take it for one
        let mut client = connect().await.expect("it must be served");
        let mut upstream = endpoint.accept().await;
        upstream.send("hello").await;
        // a socket with something unread would end by a reset itself
        ask(&mut client, "", "hello").await.expect("it must be open");
        drop(client.into_inner().0);
        let error = upstream.stream.read(&mut [0; 10]).await.expect_err("it must be reset");
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
        site.core.until_ended(1, "default/web", Some(Reason::ClientClosed)).await;
    });
}

#[test]
fn who_is_slow_or_speaks_no_tls_is_closed() {
    run(async {
        let mut site = Site::with(Duration::from_millis(30));
        let ways = routes(&[("a.test", way("web", named_echo("").await))]);
        let end = TlsServe::Terminate(table(&certificate(1, "a.test"), None), ways);
        site.publish(tls_socket(None, vec![(HostMatch::Any, end)]));
        let hello = client_hello("a.test");
        for (words, is_answered) in [
            (&b""[..], false),
            (&hello[..hello.len() - 1], false),
            (b"GET / HTTP/1.1\r\n\r\n", true),
            // the handshake goes on and does not end
            (&hello, true),
        ] {
            let mut client = site.client().await;
            client.send(words).await;
            assert_eq!(!client.rest().await.is_empty(), is_answered, "{words:?}");
        }
        while site.worker.sessions.held(0) > 0 {
            tokio::task::yield_now().await;
        }
    });
}
