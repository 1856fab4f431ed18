//! Clients of HTTP/2 that make work for nothing, frame by frame.

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::h2_origin::life_join;
use super::world::*;
use crate::plane::Limits;

/// A client that writes frames itself.
pub(super) struct Raw<S = TcpStream>(pub(super) S);

/// What a frame is: its type, flags, stream and payload.
pub(super) type Frame = (u8, u8, u32, Vec<u8>);

pub(super) const HEADERS: u8 = 1;
pub(super) const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
pub(super) const GOAWAY: u8 = 7;
pub(super) const WINDOW_UPDATE: u8 = 8;
const END_STREAM_AND_HEADERS: u8 = 5;
const ACK: u8 = 1;

impl Raw {
    pub(super) async fn connect(world: &World, settings: &[u8]) -> Self {
        let mut raw = Self(TcpStream::connect(world.addr).await.expect("it must accept"));
        raw.0.set_nodelay(true).expect("an option");
        raw.0.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.expect("it must be read");
        raw.send(SETTINGS, 0, 0, settings).await;
        raw
    }

    pub(super) async fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        // a connection that rutter has closed shows when it is read
        let _ = self.0.write_all(&frame(kind, flags, stream, payload)).await;
    }

    /// GET / with these fields.
    async fn get(&mut self, stream: u32, fields: &[(&str, &str)]) {
        self.send(HEADERS, END_STREAM_AND_HEADERS, stream, &section(fields)).await;
    }
}

impl<S: AsyncRead + Unpin> Raw<S> {
    /// The next frame; `None` at the end.
    pub(super) async fn frame(&mut self) -> Option<Frame> {
        let mut header = [0; 9];
        self.0.read_exact(&mut header).await.ok()?;
        let length = u32::from_be_bytes([0, header[0], header[1], header[2]]);
        let mut payload = vec![0; length as usize];
        self.0.read_exact(&mut payload).await.ok()?;
        let stream = u32::from_be_bytes([header[5], header[6], header[7], header[8]]);
        Some((header[3], header[4], stream, payload))
    }

    /// The next frame of this type.
    pub(super) async fn until(&mut self, wanted: u8) -> Option<Frame> {
        self.until_any(&[wanted]).await
    }

    /// The next frame of any of these types.
    pub(super) async fn until_any(&mut self, wanted: &[u8]) -> Option<Frame> {
        loop {
            let frame = self.frame().await?;
            if wanted.contains(&frame.0) {
                return Some(frame);
            }
        }
    }

    /// Why the connection is closed.
    pub(super) async fn goaway(&mut self) -> Option<u32> {
        let (_, _, _, payload) = self.until(GOAWAY).await?;
        let code = payload[4..8].try_into().expect("four bytes");
        Some(u32::from_be_bytes(code))
    }
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("it must be short").to_be_bytes();
    let head = [&length[1..], &[kind, flags], &stream.to_be_bytes()].concat();
    [head, payload.to_vec()].concat()
}

/// Fields as literals without Huffman's code.
fn section(fields: &[(&str, &str)]) -> Vec<u8> {
    // GET, http, /, and the authority
    let mut section = vec![0x82, 0x86, 0x84, 0x41, 1, b'h'];
    for (name, value) in fields {
        section.push(0);
        for text in [name, value] {
            section.push(u8::try_from(text.len()).expect("it must be short"));
            section.extend_from_slice(text.as_bytes());
        }
    }
    section
}

/// Asks for one thing after the other, each of which `spoil` ends as soon as it is on its way: how many
/// came as far as that, and what the client is told.
async fn spoiled(spoil: fn(u32) -> Vec<u8>) -> (u32, Option<u32>) {
    let origin = Manual::new().await;
    let world = World::to(&[origin.addr]).await;
    let Raw(stream) = Raw::connect(&world, &[]).await;
    let (reader, mut writer) = stream.into_split();
    let goaway = life_join(async move { Raw(reader).goaway().await });
    let mut upstreams = Vec::new();
    let sent = async {
        for stream in (1..=399).step_by(2) {
            let get = frame(HEADERS, END_STREAM_AND_HEADERS, stream, &section(&[]));
            writer.write_all(&get).await.expect("it must be read");
            upstreams.push(origin.accept().await);
            let _ = writer.write_all(&spoil(stream)).await;
        }
    };
    let code = tokio::select! {
        biased;
        code = goaway => code.expect("it must live"),
        () = sent => panic!("nothing stops it"),
    };
    (u32::try_from(upstreams.len()).expect("it must be few"), code)
}

pub(super) const ENHANCE_YOUR_CALM: u32 = 11;

#[test]
fn a_client_that_resets_what_it_asks_for_is_sent_away_before_it_has_cost_much() {
    run(async {
        let (started, code) =
            spoiled(|stream| frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes())).await;
        assert_eq!(code, Some(ENHANCE_YOUR_CALM));
        assert!((101..130).contains(&started), "{started}");
    });
}

#[test]
fn a_client_that_makes_rutter_reset_its_streams_is_sent_away_too() {
    run(async {
        // a window that overflows is an error of the stream (RFC 9113 section 6.9.1)
        let (started, code) =
            spoiled(|stream| frame(WINDOW_UPDATE, 0, stream, &[0x7f, 0xff, 0xff, 0xff])).await;
        assert_eq!(code, Some(ENHANCE_YOUR_CALM));
        assert!((90..130).contains(&started), "{started}");
    });
}

#[test]
fn frames_that_carry_nothing_are_borne_in_moderation() {
    const PRIORITY: u8 = 2;
    const UNKNOWN: u8 = 0x42;
    run(async {
        let origin = Canned::ok().await;
        let world = World::to(&[origin.addr]).await;
        for (kind, stream, payload) in [
            (PING, 0, &[7; 8][..]),
            (SETTINGS, 0, &[]),
            (PRIORITY, 1, &[0, 0, 0, 0, 9]),
            (WINDOW_UPDATE, 0, &[0, 0, 0, 1]),
            (UNKNOWN, 0, b"x"),
        ] {
            let mut raw = Raw::connect(&world, &[]).await;
            for _ in 0..500 {
                raw.send(kind, 0, stream, payload).await;
            }
            raw.get(3, &[]).await;
            assert!(raw.until(HEADERS).await.is_some(), "{kind}: five hundred are borne");
            let (reader, mut writer) = raw.0.into_split();
            let flood = frame(kind, 0, stream, payload).repeat(3_000);
            let flood = life_join(async move {
                let _ = writer.write_all(&flood).await;
            });
            // a reset may overtake the reason; without either this would wait for ever
            let code = Raw(reader).goaway().await;
            assert!(matches!(code, None | Some(ENHANCE_YOUR_CALM)), "{kind}: {code:?}");
            flood.abort();
        }
    });
}

#[test]
fn a_hundred_fields_are_taken_and_crumbs_of_cookies_count() {
    run(async {
        let origin = Canned::ok().await;
        let world = World::to(&[origin.addr]).await;
        for (crumbs, status) in [(100, 200), (101, 431)] {
            let mut raw = Raw::connect(&world, &[]).await;
            raw.get(1, &vec![("cookie", "a"); crumbs]).await;
            let (_, _, _, answer) = raw.until(HEADERS).await.expect("an answer");
            // the first field, 200 by the static table, 431 spelled
            let is_ok = answer.first() == Some(&0x88);
            assert_eq!(is_ok, status == 200, "{crumbs}: {answer:?}");
        }
        assert_eq!(origin.heads().len(), 1);
    });
}

#[test]
fn a_stream_that_is_not_read_is_reset_and_its_siblings_go_on() {
    run(async {
        let origin = Canned::with(&["HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"; 9]).await;
        let client_stall = Duration::from_millis(200);
        let mut world = World::with(Limits { client_stall, ..Limits::default() }).await;
        let to = forward("web", &[origin.addr]);
        world.publish(vec![rule(crate::snapshot::HostMatch::Any, "", to)], None);
        // SETTINGS_INITIAL_WINDOW_SIZE 0: nothing may be sent
        let mut raw = Raw::connect(&world, &[0, 4, 0, 0, 0, 0]).await;
        raw.get(1, &[]).await;
        raw.until(HEADERS).await.expect("the head");
        raw.get(3, &[]).await;
        raw.until(HEADERS).await.expect("the head of the other");
        raw.send(WINDOW_UPDATE, 0, 3, &[0, 0, 1, 0]).await;
        let mut seen = Vec::new();
        while seen.len() < 2 {
            let (kind, _, stream, payload) = raw.frame().await.expect("a frame");
            match kind {
                0 => seen.push((kind, stream, payload)),
                RST_STREAM => seen.push((kind, stream, payload)),
                _ => {}
            }
        }
        let cancel = 8_u32.to_be_bytes().to_vec();
        assert_eq!(seen, [(0, 3, b"ok".to_vec()), (RST_STREAM, 1, cancel)]);
        raw.send(PING, 0, 0, &[1; 8]).await;
        let (_, flags, _, _) = raw.until(PING).await.expect("the connection lives on");
        assert_eq!(flags, ACK);
    });
}

/// Takes a body of 3,000 bytes by windows of so many, one every 20 ms: how much came, and whether the
/// stream was reset.
async fn taken_by(window: u32, limits: Limits) -> (usize, bool) {
    let origin = Canned::with(&[&format!(
        "HTTP/1.1 200 OK\r\nContent-Length: 3000\r\n\r\n{}",
        "x".repeat(3000)
    )])
    .await;
    let mut world = World::with(limits).await;
    let to = forward("web", &[origin.addr]);
    world.publish(vec![rule(crate::snapshot::HostMatch::Any, "", to)], None);
    let mut raw = Raw::connect(&world, &[0, 4, 0, 0, 0, 0]).await;
    raw.get(1, &[]).await;
    raw.until(HEADERS).await.expect("the head");
    let (reader, mut writer) = raw.0.into_split();
    let opening = life_join(async move {
        let mut ticks = tokio::time::interval(Duration::from_millis(20));
        let update = frame(WINDOW_UPDATE, 0, 1, &window.to_be_bytes());
        while writer.write_all(&update).await.is_ok() {
            ticks.tick().await;
        }
    });
    let (mut raw, mut taken) = (Raw(reader), 0);
    let is_reset = loop {
        match raw.frame().await.expect("a frame") {
            (0, _, _, data) => taken += data.len(),
            (RST_STREAM, ..) => break true,
            _ => {}
        }
        if taken == 3000 {
            break false;
        }
    };
    opening.abort();
    (taken, is_reset)
}

#[test]
fn a_client_that_takes_a_piece_slowly_has_not_stalled() {
    run(async {
        // a whole body takes it several times as long as it may do nothing
        let client_stall = Duration::from_secs(1);
        let limits = Limits { client_stall, client_rate: 10, ..Limits::default() };
        assert_eq!(taken_by(30, limits).await, (3000, false));
    });
}

#[test]
fn a_stream_that_is_taken_too_slowly_is_reset() {
    run(async {
        let client_rate_grace = Duration::from_millis(100);
        let limits = Limits { client_rate: 100_000, client_rate_grace, ..Limits::default() };
        let (taken, is_reset) = taken_by(100, limits).await;
        assert!(is_reset && taken < 3000, "{taken}");
    });
}

/// CONNECT for a WebSocket (RFC 8441), field by field.
fn websocket() -> Vec<u8> {
    let mut section = Vec::new();
    for (name, value) in [
        (":method", "CONNECT"),
        (":protocol", "websocket"),
        (":scheme", "http"),
        (":path", "/"),
        (":authority", "h"),
        ("sec-websocket-version", "13"),
    ] {
        section.push(0);
        for text in [name, value] {
            section.push(u8::try_from(text.len()).expect("it must be short"));
            section.extend_from_slice(text.as_bytes());
        }
    }
    section
}

#[test]
fn a_tunnel_whose_client_has_gone_ends_though_neither_side_says_anything() {
    const END_HEADERS: u8 = 4;
    run(async {
        let origin = Manual::new().await;
        let world = World::to(&[origin.addr]).await;
        let mut raw = Raw::connect(&world, &[]).await;
        raw.send(HEADERS, END_HEADERS, 1, &websocket()).await;
        let mut upstream = origin.accept().await;
        upstream.head().await;
        let head =
            "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n";
        upstream.send(head).await;
        raw.until(HEADERS).await.expect("it is open");
        raw.send(0, 1, 1, b"goodbye").await;
        upstream.until("goodbye").await;
        assert_eq!(world.in_flight(origin.addr), 1);
        raw.send(RST_STREAM, 0, 1, &8_u32.to_be_bytes()).await;
        while world.in_flight(origin.addr) > 0 {
            tokio::task::yield_now().await;
        }
    });
}

#[test]
fn a_client_that_does_not_answer_whether_it_is_there_is_closed() {
    run(async {
        let origin = Manual::new().await;
        let short = Duration::from_millis(100);
        let limits = Limits { h2_ping_interval: short, h2_ping_time: short, ..Limits::default() };
        let mut world = World::with(limits).await;
        let to = forward("web", &[origin.addr]);
        world.publish(vec![rule(crate::snapshot::HostMatch::Any, "", to)], None);
        let mut raw = Raw::connect(&world, &[]).await;
        raw.get(1, &[]).await;
        let mut upstream = origin.accept().await;
        upstream.head().await;
        let (_, _, _, payload) = raw.until(PING).await.expect("it is asked");
        raw.send(PING, ACK, 0, &payload).await;
        raw.until(PING).await.expect("it is asked again");
        assert!(raw.until(PING).await.is_none(), "and closed");
        assert_eq!(upstream.rest().await, "", "with what was behind it");
    });
}

#[test]
fn a_client_that_says_nothing_after_the_preface_is_closed_as_an_idle_one() {
    run(async {
        let client_idle = Duration::from_millis(100);
        let mut world = World::with(Limits { client_idle, ..Limits::default() }).await;
        world.publish(Vec::new(), None);
        let mut raw = Raw::connect(&world, &[]).await;
        assert_eq!(raw.goaway().await, Some(0));
        while raw.frame().await.is_some() {}
    });
}
