//! Bodies of requests on streams of HTTP/2, frame by frame.

use std::num::NonZeroU32;
use std::time::Duration;

use super::h2_abuse::{ENHANCE_YOUR_CALM, GOAWAY, HEADERS, RST_STREAM, Raw, WINDOW_UPDATE};
use super::world::*;
use crate::snapshot::{Balancing, HostMatch, RequestLimits};

const DATA: u8 = 0;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
/// One frame, of which four fill the window of a stream.
const PIECE: [u8; 16 * 1024 - 1] = [b'x'; 16 * 1024 - 1];

/// POST with a body to follow.
async fn post(raw: &mut Raw, stream: u32, path: &str) {
    // POST, http, the path, and the authority
    let mut section = vec![0x83, 0x86, 0x44, u8::try_from(path.len()).expect("it must be short")];
    section.extend_from_slice(path.as_bytes());
    section.extend_from_slice(&[0x41, 1, b'h']);
    raw.send(HEADERS, END_HEADERS, stream, &section).await;
}

/// As much of a body as a stream may have.
async fn fill(raw: &mut Raw, stream: u32) {
    for _ in 0..4 {
        raw.send(DATA, 0, stream, &PIECE).await;
    }
}

/// `/busy` goes to an endpoint that takes one request at a time, the rest to one that answers; and a
/// client.
async fn begin() -> (Manual, World, Raw) {
    let (origin, other) = (Manual::new().await, Canned::ok().await);
    let limits = RequestLimits {
        per_service: NonZeroU32::new(1),
        per_endpoint: None,
        queue: 99,
        queue_time: Duration::from_secs(20),
    };
    let balancing = Balancing { limits: Some(limits), ..Balancing::default() };
    let busy = forward_to(balanced(target("busy", &[origin.addr]), balancing));
    let mut world = World::new().await;
    let rules = [("/busy", busy), ("", forward("other", &[other.addr]))];
    let rules = rules.map(|(path, to)| rule(HostMatch::Any, path, to));
    world.publish(rules.to_vec(), None);
    let raw = Raw::connect(&world, &[]).await;
    (origin, world, raw)
}

#[test]
fn uploads_that_wait_keep_nothing_from_their_siblings() {
    run(async {
        let (_busy, _world, mut raw) = begin().await;
        raw.until(WINDOW_UPDATE).await.expect("the window of the connection");
        for stream in (1..=99).step_by(2) {
            post(&mut raw, stream, "/busy").await;
            fill(&mut raw, stream).await;
        }
        post(&mut raw, 101, "/").await;
        raw.send(DATA, END_STREAM, 101, &PIECE).await;
        let answer = raw.until_any(&[HEADERS, GOAWAY]).await.expect("a frame");
        assert_eq!((answer.0, answer.2), (HEADERS, 101), "{answer:?}");
    });
}

#[test]
fn an_upload_that_waits_is_held_and_is_reset_where_memory_is_short() {
    run(async {
        let (busy, world, mut raw) = begin().await;
        for stream in [1, 3] {
            post(&mut raw, stream, "/busy").await;
        }
        let mut upstream = busy.accept().await;
        upstream.head().await;
        fill(&mut raw, 3).await;
        // until what waits has come
        while world.server.accounts.reset_biggest(u64::MAX) == 0 {
            tokio::task::yield_now().await;
        }
        let (_, _, stream, _) = raw.until(HEADERS).await.expect("an answer");
        assert_eq!(stream, 3, "503, and the one that is at its endpoint goes on");
        raw.send(DATA, END_STREAM, 1, b"y").await;
        upstream.until("y").await;
        upstream.send(OK).await;
        let (_, _, stream, _) = raw.until(HEADERS).await.expect("an answer");
        assert_eq!(stream, 1);
    });
}

#[test]
fn a_client_that_resets_what_is_being_answered_is_sent_away() {
    run(async {
        let begun = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx";
        let origin = Canned::with(&[begun; 300]).await;
        let world = World::to(&[origin.addr]).await;
        let mut raw = Raw::connect(&world, &[]).await;
        let mut asked = 0;
        let code = loop {
            let stream = asked * 2 + 1;
            assert!(asked < 300, "nothing stops it");
            post(&mut raw, stream, "/").await;
            raw.send(DATA, 0, stream, b"x").await;
            let told = raw.until_any(&[DATA, GOAWAY]).await.expect("a frame");
            if told.0 == GOAWAY {
                break told.3;
            }
            raw.send(RST_STREAM, 0, stream, &8_u32.to_be_bytes()).await;
            asked += 1;
        };
        assert_eq!(code[4..8], ENHANCE_YOUR_CALM.to_be_bytes());
        assert!((100..140).contains(&asked), "{asked}");
    });
}
