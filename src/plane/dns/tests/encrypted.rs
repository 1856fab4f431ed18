//! DNS over TLS.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use hickory_proto::op::Edns;
use hickory_proto::rr::rdata::opt::EdnsOption;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::LocalSet;
use tokio_rustls::client::TlsStream;

use super::sockets::{Site, framed, numbered, receive};
use super::{bytes, snapshot};
use crate::plane::dns::Limits;
use crate::plane::tests::run;
use crate::plane::tests::tls::{certificate, client_config, is_resumed, shake_hands, shown, table};
use crate::snapshot::{Certificate, Snapshot};

/// What is served, with a certificate.
pub(super) fn secured(certificate: &Arc<Certificate>) -> Snapshot {
    Snapshot { dns_tls: table(certificate, None), ..snapshot() }
}

fn start(limits: Limits) -> (Site, Arc<Certificate>) {
    let certificate = certificate(1, "dns.test");
    (Site::serve(limits, secured(&certificate)), certificate)
}

async fn connect(site: &Site, alpn: &[&str]) -> io::Result<TlsStream<TcpStream>> {
    shake_hands(site.tls, "dns.test", client_config(alpn, None)).await
}

async fn ask(stream: &mut TlsStream<TcpStream>, id: u16) {
    stream.write_all(&framed(&numbered(id))).await.expect("the server must read");
    let answer = receive(stream).await.expect("an answer");
    assert_eq!((answer.metadata.id, answer.answers.len()), (id, 1));
}

fn handshakes_refused(site: &Site) -> u64 {
    let labels = "transport=\"tls\",reason=\"handshake\"";
    site.counted(&format!("rutter_dns_refused_connections_total{{{labels}}}"))
}

#[test]
fn queries_within_tls_are_answered_and_counted() {
    run(async {
        let (site, certificate) = start(Limits::default());
        for alpn in [&["dot"][..], &[]] {
            let mut stream = connect(&site, alpn).await.expect("TLS must be agreed");
            assert_eq!(shown(&stream), certificate.chain[0]);
            let agreed = stream.get_ref().1.alpn_protocol().map(<[u8]>::to_vec);
            assert_eq!(agreed, alpn.first().map(|it| it.as_bytes().to_vec()));
            let both = [framed(&numbered(1)), framed(&numbered(2))].concat();
            stream.write_all(&both).await.expect("the server must read");
            for id in [1, 2] {
                assert_eq!(receive(&mut stream).await.expect("an answer").metadata.id, id);
            }
        }
        let labels = "transport=\"tls\",type=\"A\",rcode=\"NOERROR\"";
        assert_eq!(site.counted(&format!("rutter_dns_requests_total{{{labels}}}")), 4);
    });
}

#[test]
fn who_speaks_something_else_within_tls_is_refused() {
    run(async {
        let (site, _) = start(Limits::default());
        connect(&site, &["h2"]).await.expect_err("HTTP is not spoken here");
        let mut plain = TcpStream::connect(site.tls).await.expect("the server must accept");
        plain.write_all(&framed(&numbered(1))).await.expect("the server must read");
        receive(&mut plain).await.expect_err("it is not TLS");
        assert_eq!(handshakes_refused(&site), 2);
    });
}

#[test]
fn answers_are_padded_for_who_pads_and_only_within_tls() {
    run(async {
        let (site, _) = start(Limits::default());
        let mut query = numbered(1);
        let mut edns = Edns::new();
        edns.options_mut().insert(EdnsOption::Unknown(12, vec![0; 40]));
        query.set_edns(edns);
        let mut stream = connect(&site, &["dot"]).await.expect("TLS must be agreed");
        stream.write_all(&framed(&query)).await.expect("the server must read");
        assert_eq!(stream.read_u16().await.expect("an answer"), 468);
        let mut plain = site.connect().await;
        plain.write_all(&framed(&query)).await.expect("the server must read");
        assert!(plain.read_u16().await.expect("an answer") < 100);
    });
}

#[test]
fn a_new_certificate_is_shown_to_new_connections_and_old_ones_live_on() {
    run(async {
        let (mut site, old) = start(Limits::default());
        let client = client_config(&["dot"], None);
        let shake_hands = |addr| shake_hands(addr, "dns.test", client.clone());
        let mut living = shake_hands(site.tls).await.expect("TLS must be agreed");
        ask(&mut living, 1).await;
        let mut resumed = shake_hands(site.tls).await.expect("TLS must be agreed");
        ask(&mut resumed, 2).await;
        assert!(is_resumed(&resumed));
        let new = certificate(2, "dns.test");
        site.publisher.publish(secured(&new));
        let mut fresh = shake_hands(site.tls).await.expect("TLS must be agreed");
        ask(&mut fresh, 3).await;
        assert!(!is_resumed(&fresh), "a session of the old certificate must not be taken up");
        assert_eq!((shown(&living), shown(&fresh)), (old.chain[0].clone(), new.chain[0].clone()));
        ask(&mut living, 4).await;
    });
}

#[test]
fn without_a_certificate_only_tls_fails_until_there_is_one() {
    run(async {
        let mut site = Site::start(Limits::default());
        connect(&site, &["dot"]).await.expect_err("there is no certificate");
        let mut plain = site.connect().await;
        plain.write_all(&framed(&numbered(1))).await.expect("the server must read");
        receive(&mut plain).await.expect("an answer");
        site.publisher.publish(secured(&certificate(1, "dns.test")));
        ask(&mut connect(&site, &["dot"]).await.expect("TLS must be agreed"), 2).await;
    });
}

#[tokio::test(start_paused = true)]
async fn a_handshake_that_does_not_go_on_is_given_up() {
    let steps = async {
        let (site, _) = start(Limits::default());
        // nothing; the beginning of a record; a record that promises a ClientHello
        for sent in [&[][..], &[22, 3], &[22, 3, 1, 2, 0, 1, 0]] {
            let before = tokio::time::Instant::now();
            let mut stream = TcpStream::connect(site.tls).await.expect("the server must accept");
            stream.write_all(sent).await.expect("the server must read");
            assert_eq!(stream.read(&mut [0; 16]).await.unwrap_or(0), 0);
            assert_eq!(before.elapsed().as_secs(), 5);
        }
        assert_eq!(handshakes_refused(&site), 3);
    };
    LocalSet::new().run_until(steps).await;
}

#[test]
fn handshakes_that_do_not_go_on_make_room_for_others() {
    run(async {
        let (site, _) = start(Limits { connections: 2, ..Limits::default() });
        let mut stalled = Vec::new();
        for _ in 0..6 {
            stalled.push(TcpStream::connect(site.tls).await.expect("the server must accept"));
        }
        ask(&mut connect(&site, &["dot"]).await.expect("TLS must be agreed"), 1).await;
        assert_eq!(stalled[0].read(&mut [0; 16]).await.unwrap_or(0), 0);
    });
}

#[test]
fn a_drain_ends_connections_within_tls_with_a_goodbye() {
    run(async {
        let (site, _) = start(Limits::default());
        let mut stream = connect(&site, &["dot"]).await.expect("TLS must be agreed");
        ask(&mut stream, 1).await;
        site.signal.start();
        // without close_notify it would be an error
        assert_eq!(stream.read(&mut [0; 16]).await.expect("a clean end"), 0);
        site.running.await.expect("the server must end");
        assert!(site.signal.finished(Duration::from_secs(5)).await);
    });
}

#[test]
fn a_long_answer_crosses_tls_whole() {
    run(async {
        let (site, _) = start(Limits::default());
        let mut stream = connect(&site, &["dot"]).await.expect("TLS must be agreed");
        let query = super::query("huge.shop", hickory_proto::rr::RecordType::A);
        assert!(bytes(&query).len() < 512);
        stream.write_all(&framed(&query)).await.expect("the server must read");
        assert!(receive(&mut stream).await.expect("an answer").answers.len() > 4_000);
    });
}
