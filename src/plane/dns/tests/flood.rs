//! More datagrams than one client is answered.

use std::net::Ipv4Addr;

use tokio::io::AsyncWriteExt;
use tokio::net::UdpSocket;

use super::sockets::{Site, framed, numbered, receive};
use super::{bytes, parse};
use crate::plane::dns::{Limits, RateLimits};
use crate::plane::tests::run;

/// What is answered of 40 queries of one client: whole and truncated answers.
async fn ask_often(site: &Site) -> (usize, usize) {
    let client = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
    client.connect(site.udp).await.expect("a route");
    for id in 0..40 {
        client.send(&bytes(&numbered(id))).await.expect("a datagram must be sent");
    }
    // no query, and so no matter of limits; it is answered last
    let (mut whole, mut truncated, mut buffer) = (0, 0, vec![0; 2048]);
    let wait = std::time::Duration::from_millis(200);
    while let Ok(length) = tokio::time::timeout(wait, client.recv(&mut buffer)).await {
        let answer = parse(&buffer[..length.expect("an answer")]);
        assert_eq!(answer.queries, numbered(0).queries);
        match answer.metadata.truncation {
            true => truncated += 1,
            false => whole += 1,
        }
        assert_eq!(answer.answers.is_empty(), answer.metadata.truncation);
    }
    (whole, truncated)
}

fn limits(everybody: bool) -> Limits {
    let rate = Some(RateLimits { client: 10, prefix: 20, everybody, workers: 1 });
    Limits { rate, ..Limits::default() }
}

#[test]
fn a_client_beyond_its_rate_is_told_to_come_by_tcp_where_it_is_answered() {
    run(async {
        let site = Site::start(limits(true));
        let (whole, truncated) = ask_often(&site).await;
        // while it asks, a token or two may come back
        assert!((10..=14).contains(&whole), "{whole}");
        assert!((13..=15).contains(&truncated), "{truncated}");
        let count = |action: &str| {
            site.counted(&format!("rutter_dns_limited_responses_total{{action=\"{action}\"}}"))
        };
        assert_eq!(count("truncated"), truncated as u64);
        assert_eq!(count("dropped"), 40 - whole as u64 - truncated as u64);
        let mut stream = site.connect().await;
        stream.write_all(&framed(&numbered(99))).await.expect("the server must read");
        assert_eq!(receive(&mut stream).await.expect("an answer").answers.len(), 1);
    });
}

#[test]
fn clients_inside_have_no_limit_unless_it_is_for_everybody() {
    run(async {
        let site = Site::start(limits(false));
        assert_eq!(ask_often(&site).await, (40, 0));
    });
}
