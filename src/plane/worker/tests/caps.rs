use super::*;
use crate::plane::tests::{named_echo, run};
use crate::snapshot::{Network, Reason};

async fn is_reset(site: &Site) {
    let mut client = site.client().await;
    let error = tokio::io::AsyncReadExt::read_buf(&mut client.stream, &mut client.read).await;
    let error = error.expect_err("a reset");
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
}

async fn until_held(site: &Site, count: usize) {
    while site.worker.sessions.held(0) != count {
        tokio::task::yield_now().await;
    }
}

const UNKNOWN: &str = "rutter: 404 no_route\n";

#[test]
fn connections_beyond_the_cap_of_all_are_reset_and_the_others_go_on() {
    run(async {
        let mut site = Site::capped(2, usize::MAX);
        let way = way("echo", named_echo("echo").await);
        for (serve, service) in
            [(Serve::Http(http(None, &[HostMatch::Any])), ""), (Serve::Frontend(way), "")]
        {
            let is_http = matches!(serve, Serve::Http(_));
            site.publish(serve);
            let (mut first, mut second) = (site.client().await, site.client().await);
            until_held(&site, 2).await;
            let before = site.core.ended(service, Some(Reason::ConnectionLimit));
            is_reset(&site).await;
            is_reset(&site).await;
            let reason = Some(Reason::ConnectionLimit);
            site.core.until_ended(before + 2, service, reason).await;
            for client in [&mut first, &mut second] {
                match is_http {
                    true => drop(client.get("/", UNKNOWN).await),
                    false => drop(client.until("echo").await),
                }
            }
            drop(first);
            until_held(&site, 1).await;
            let mut third = site.client().await;
            match is_http {
                true => drop(third.get("/", UNKNOWN).await),
                false => drop(third.until("echo").await),
            }
            drop((second, third));
            until_held(&site, 0).await;
        }
    });
}

#[test]
fn a_client_has_its_share_of_http_but_any_number_of_sessions_of_a_service() {
    run(async {
        let mut site = Site::capped(usize::MAX, 1);
        site.publish(Serve::Http(http(None, &[HostMatch::Any])));
        let mut first = site.client().await;
        first.get("/", UNKNOWN).await;
        is_reset(&site).await;
        site.core.until_ended(1, "", Some(Reason::ClientLimit)).await;
        first.get("/", UNKNOWN).await;
        // another address is another client
        let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
        socket.bind(([127, 0, 0, 9], 0).into()).expect("an address");
        let stream = socket.connect(site.key.addr).await.expect("a connection");
        let mut other = Client { stream, read: Vec::new() };
        other.get("/", UNKNOWN).await;
        drop((first, other));
        until_held(&site, 0).await;
        site.client().await.get("/", UNKNOWN).await;
        site.publish(Serve::Frontend(way("echo", named_echo("echo").await)));
        let (mut one, mut two) = (site.client().await, site.client().await);
        one.until("echo").await;
        two.until("echo").await;
    });
}

#[test]
fn a_trusted_proxy_brings_as_many_connections_as_it_likes() {
    run(async {
        let mut site = Site::capped(usize::MAX, 1);
        let trusted_proxies = vec!["127.0.0.1/32".parse().expect("a CIDR")];
        site.core.network = Arc::new(Network { trusted_proxies, ..Network::default() });
        site.publish(Serve::Http(http(None, &[HostMatch::Any])));
        let (mut first, mut second) = (site.client().await, site.client().await);
        first.get("/", UNKNOWN).await;
        second.get("/", UNKNOWN).await;
    });
}
