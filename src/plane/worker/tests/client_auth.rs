use std::io;

use rustls::ClientConfig;

use super::*;
use crate::plane::tests::named_echo;
use crate::plane::tests::run;
use crate::plane::tests::tls::{
    Authority, ask, certificate, client_config, client_of_versions, is_resumed, shake_hands, table,
};
use crate::snapshot::ClientAuthMode::{AllowInsecureFallback, AllowValidOnly};
use crate::snapshot::{Certificate, ClientAuth};

/// Both kinds of sockets that end TLS, with what a client says and hears there.
async fn kinds(
    own: &Arc<Certificate>,
    client_auth: Option<Arc<ClientAuth>>,
) -> [(Serve, &'static str, &'static str); 2] {
    let table = table(own, client_auth);
    let ways = routes(&[("a.test", way("echo", named_echo("echo").await))]);
    let end = TlsServe::Terminate(table.clone(), ways);
    [
        (tls_socket(None, vec![(HostMatch::Any, end)]), "x", "echox"),
        (
            Serve::Http(http(Some(table), &[HostMatch::Any])),
            "GET / HTTP/1.1\r\nHost: a.test\r\n\r\n",
            "rutter: 404 no_route\n",
        ),
    ]
}

/// Whether the client got in, and whether by a session that it had.
async fn visit(
    site: &Site,
    config: &Arc<ClientConfig>,
    words: &str,
    end: &str,
) -> io::Result<bool> {
    let mut stream = shake_hands(site.key.addr, "a.test", config.clone()).await?;
    ask(&mut stream, words, end).await?;
    Ok(is_resumed(&stream))
}

#[test]
fn clients_are_let_in_by_their_certificate() {
    run(async {
        let mut site = Site::new();
        let own = certificate(1, "a.test");
        let (known, unknown) = (Authority::new(1), Authority::new(2));
        let (valid, expired) = (known.client(), known.expired_client());
        let (stranger, alone) = (unknown.client(), certificate(7, "client"));
        let clients = [None, Some(&valid), Some(&expired), Some(&stranger), Some(&*alone)];
        for (mode, expected) in [
            (None, [true; 5]),
            (Some(AllowValidOnly), [false, true, false, false, false]),
            (Some(AllowInsecureFallback), [true; 5]),
        ] {
            for (serve, words, end) in kinds(&own, mode.map(|mode| known.asked(mode))).await {
                site.publish(serve);
                for (client, expected) in clients.iter().zip(expected) {
                    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
                        let config = client_of_versions(&[version], &[], *client);
                        let visit = visit(&site, &config, words, end).await;
                        let secret = client.map(|it| &it.secret);
                        assert_eq!(visit.is_ok(), expected, "{mode:?} {secret:?} {version:?}");
                    }
                }
            }
        }
    });
}

#[test]
fn a_client_that_is_refused_learns_why_whatever_it_has_sent_by_then() {
    run(async {
        let mut site = Site::new();
        let asked = Authority::new(1).asked(AllowValidOnly);
        let config = client_of_versions(&[&rustls::version::TLS13], &[], None);
        for (serve, ..) in kinds(&certificate(1, "a.test"), Some(asked)).await {
            site.publish(serve);
            let visit = visit(&site, &config, &"x".repeat(20_000), "an answer").await;
            let refusal = visit.expect_err("it has no certificate").to_string();
            assert!(refusal.contains("CertificateRequired"), "{refusal}");
        }
    });
}

#[test]
fn no_session_is_resumed_where_something_else_is_asked_of_clients() {
    run(async {
        let mut site = Site::new();
        let own = certificate(1, "a.test");
        let (first, second) = (Authority::new(1), Authority::new(2));
        let client = first.client();
        for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
            let config = client_of_versions(&[version], &[], Some(&client));
            let asked = [
                (None, Some(false)),
                (None, Some(true)),
                (Some(first.asked(AllowInsecureFallback)), Some(false)),
                (Some(first.asked(AllowInsecureFallback)), Some(true)),
                (Some(first.asked(AllowValidOnly)), Some(false)),
                (Some(first.asked(AllowValidOnly)), Some(true)),
                (Some(second.asked(AllowValidOnly)), None),
            ];
            for (client_auth, expected) in asked {
                let [_, (serve, words, end)] = kinds(&own, client_auth.clone()).await;
                site.publish(serve);
                let visit = visit(&site, &config, words, end).await;
                assert_eq!(visit.ok(), expected, "{client_auth:?} {version:?}");
            }
        }
    });
}

#[test]
fn no_session_of_bytes_is_resumed_for_http() {
    run(async {
        let mut site = Site::new();
        let config = client_config(&[], None);
        let mut resumed = Vec::new();
        for (serve, words, end) in kinds(&certificate(1, "a.test"), None).await {
            site.publish(serve);
            for _ in 0..2 {
                let visit = visit(&site, &config, words, end).await;
                resumed.push(visit.expect("it must be served"));
            }
        }
        assert_eq!(resumed, [false, true, false, true]);
    });
}
