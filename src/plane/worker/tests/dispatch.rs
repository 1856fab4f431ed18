use rustls_pki_types::ServerName;
use tokio::io::AsyncReadExt;

use super::*;
use crate::manifest::{ObjectKey, Origin};
use crate::plane::tests::tls::{ask, certificate, client_config, shake_hands, table};
use crate::plane::tests::{named_echo, run};
use crate::snapshot::{HealthCheck, Network, Reason};

/// What each kind of socket does with a client of its kind.
async fn check(site: &Site, serve: &Serve) {
    match serve {
        Serve::Frontend(_) => drop(site.client().await.until("echo").await),
        Serve::Http(_) => {
            let mut client = site.client().await;
            client.get("/", "rutter: 404 no_route\n").await;
        }
        Serve::Health(_) => {
            let mut client = site.client().await;
            client.send("GET /any HTTP/1.1\r\nHost: h\r\n\r\n").await;
            assert!(client.rest().await.starts_with("HTTP/1.1 200 OK\r\n"));
        }
        Serve::Tls(_) => {
            let config = client_config(&[], None);
            let stream = shake_hands(site.key.addr, "a.test", config).await;
            ask(&mut stream.expect("it must be served"), "x", "echox").await.expect("an echo");
        }
    }
}

#[test]
fn a_socket_that_comes_to_serve_another_kind_goes_on_and_serves_that() {
    run(async {
        let mut site = Site::new();
        let echo = way("echo", named_echo("echo").await);
        let ways = routes(&[("a.test", echo.clone())]);
        let end = TlsServe::Terminate(table(&certificate(1, "a.test"), None), ways);
        let kinds = [
            Serve::Frontend(echo),
            Serve::Http(http(None, &[HostMatch::Any])),
            tls_socket(None, vec![(HostMatch::Any, end)]),
            Serve::Health(Arc::new(HealthCheck {
                service: ObjectKey::new("default", "web"),
                local_endpoints: 1,
                origin: Origin::default(),
            })),
        ];
        for (before, after) in [(0, 1), (1, 2), (2, 3), (3, 0), (0, 2), (2, 1), (1, 0)] {
            site.publish(kinds[before].clone());
            check(&site, &kinds[before]).await;
            site.publish(kinds[after].clone());
            check(&site, &kinds[after]).await;
        }
    });
}

#[test]
fn sessions_survive_what_their_socket_comes_to_serve() {
    run(async {
        let mut site = Site::new();
        site.publish(Serve::Frontend(way("echo", named_echo("echo").await)));
        let mut living = site.client().await;
        living.until("echo").await;
        site.publish(Serve::Http(http(None, &[HostMatch::Any])));
        living.send("still there").await;
        living.until("still there").await;
    });
}

#[test]
fn a_hello_is_answered_by_what_the_socket_serves_at_its_end() {
    run(async {
        let mut site = Site::new();
        let (old, new) = (way("old", named_echo("old").await), way("new", named_echo("new").await));
        let passed = |way: &Arc<Frontend>| {
            let ways = routes(&[("a.test", way.clone())]);
            tls_socket(None, vec![(HostMatch::Any, TlsServe::Passthrough(ways))])
        };
        let name = ServerName::try_from("a.test").expect("a name must be given");
        let mut hello = Vec::new();
        let client = rustls::ClientConnection::new(client_config(&[], None), name);
        client.expect("a client must begin").write_tls(&mut hello).expect("a Vec takes everything");
        let (begin, end) = hello.split_at(50);
        for (after, greeting) in
            [(passed(&new), "new"), (Serve::Frontend(new.clone()), "new"), (passed(&old), "old")]
        {
            site.publish(passed(&old));
            let mut client = site.client().await;
            client.send(begin).await;
            while site.worker.sessions.held(0) == 0 {
                tokio::task::yield_now().await;
            }
            site.publish(after);
            client.send(end).await;
            client.until(greeting).await;
            drop(client);
            while site.worker.sessions.held(0) > 0 {
                tokio::task::yield_now().await;
            }
        }
    });
}

/// Every address but the virtual ones, whose ports belong to Services.
#[test]
fn a_socket_on_every_address_resets_what_came_to_a_virtual_one() {
    run(async {
        let mut site = Site::at([0, 0, 0, 0], Duration::from_secs(5));
        let service_cidrs = vec!["127.96.0.0/16".parse().expect("a CIDR")];
        site.core.network = Arc::new(Network { service_cidrs, ..Network::default() });
        let port = site.key.addr.port();
        let echo = way("echo", named_echo("echo").await);
        let mut astray = 0;
        for serve in [Serve::Frontend(echo), Serve::Http(http(None, &[HostMatch::Any]))] {
            site.publish(serve.clone());
            let mut client = Client::connect(([127, 96, 0, 20], port).into()).await;
            let error = client.stream.read_buf(&mut client.read).await.expect_err("a reset");
            assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "{serve:?}");
            astray += 1;
            site.core.until_ended(astray, "", Some(Reason::NoService)).await;
            let mut client = Client::connect(([127, 97, 0, 20], port).into()).await;
            let answer = match &serve {
                Serve::Frontend(_) => client.until("echo").await,
                Serve::Http(_) | Serve::Tls(_) | Serve::Health(_) => {
                    client.get("/", "rutter: 404 no_route\n").await
                }
            };
            assert!(!answer.is_empty());
        }
    });
}

#[test]
fn clients_are_carried_with_the_options_of_carried_connections() {
    run(async {
        let mut site = Site::new();
        site.publish(Serve::Frontend(way("echo", named_echo("echo").await)));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a listener");
        let addr = listener.local_addr().expect("an address");
        let (client, accepted) = tokio::join!(TcpStream::connect(addr), listener.accept());
        let (stream, from) = accepted.expect("it must be accepted");
        let kept = socket2::SockRef::from(&stream).try_clone().expect("a second descriptor");
        let session = site.worker.sessions.begin(0);
        site.worker.serve(stream, from, site.key, session);
        let mut hello = [0; 4];
        client.expect("connected").read_exact(&mut hello).await.expect("the endpoint's name");
        let options = site.core.local.tcp;
        assert!(kept.tcp_nodelay().expect("an option"));
        assert!(kept.keepalive().expect("an option"));
        assert_eq!(kept.tcp_keepalive_time().ok(), options.keepalive);
        assert_eq!(kept.tcp_user_timeout().ok(), Some(options.user_timeout));
    });
}
