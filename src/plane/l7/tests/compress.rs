use std::io::Read;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::BodyExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::h2::{ask, empty, plain, request};
use super::h2_origin::life_join;
use super::world::*;
use crate::plane::Limits;
use crate::snapshot::{Backend, Target};

/// Everything goes to an endpoint whose Service allows these codings.
async fn world(codings: &str, endpoint: SocketAddr, limits: Limits) -> World {
    let mut world = World::with(limits).await;
    let target = target("web", &[endpoint]);
    let compress = codings.parse().expect("codings");
    let backend = Arc::new(Backend { compress, ..Backend::clone(&target.backend) });
    world.publish(all(forward_to(Target { backend, ..target })), None);
    world
}

/// A page of some KiB.
fn page() -> String {
    (0..200).map(|number| format!("<p>paragraph {number} of a page</p>\n")).collect()
}

fn response(fields: &str, body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\n{fields}Content-Length: {}\r\n\r\n{body}", body.len())
}

const HTML: &str = "Content-Type: text/html\r\nETag: \"1\"\r\nAccept-Ranges: bytes\r\n";

fn get(accepted: &str) -> String {
    format!("GET / HTTP/1.1\r\nHost: h\r\nAccept-Encoding: {accepted}\r\n\r\n")
}

/// As far as it can be read.
fn decoded(coding: &str, coded: &[u8]) -> String {
    let mut reader: Box<dyn Read + '_> = match coding {
        "zstd" => Box::new(zstd::Decoder::new(coded).expect("a decoder")),
        "br" => Box::new(brotli::Decompressor::new(coded, 4096)),
        _ => Box::new(flate2::read::GzDecoder::new(coded)),
    };
    let (mut plain, mut piece) = (Vec::new(), [0; 4096]);
    while let Ok(length @ 1..) = reader.read(&mut piece) {
        plain.extend_from_slice(&piece[..length]);
    }
    String::from_utf8(plain).expect("text")
}

/// Reads chunks: their data, and the trailer section if the last chunk was among them.
fn chunks(mut bytes: &[u8]) -> (Vec<u8>, Option<String>) {
    let mut data = Vec::new();
    while let Some(end) = bytes.windows(2).position(|it| it == b"\r\n") {
        let size = std::str::from_utf8(&bytes[..end]).expect("a size");
        let size = usize::from_str_radix(size, 16).expect("a size");
        let rest = &bytes[end + 2..];
        if size == 0 {
            let trailer = String::from_utf8(rest.to_vec()).expect("text");
            return (data, trailer.ends_with("\r\n").then_some(trailer));
        }
        let Some(chunk) = rest.get(..size) else { break };
        data.extend_from_slice(chunk);
        bytes = rest.get(size + 2..).unwrap_or_default();
    }
    (data, None)
}

/// Reads until the body can be read as far as `text`.
async fn read_text(client: &mut Client, coding: &str, text: &str) {
    loop {
        let (data, _) = chunks(&client.read);
        let seen = decoded(coding, &data);
        assert!(text.starts_with(&seen), "{seen:?} is not how {text:?} begins");
        if seen == text {
            return;
        }
        let length = client.stream.read_buf(&mut client.read).await.expect("it must go on");
        assert!(length > 0, "it ended after {seen:?}");
    }
}

#[test]
fn a_client_gets_the_coding_that_it_takes_and_the_connection_goes_on() {
    run(async {
        let answers = vec![response(HTML, &page()); 5];
        let origin = Canned::with(&answers.iter().map(|it| &**it).collect::<Vec<_>>()).await;
        let world = world("on", origin.addr, Limits::default()).await;
        let mut client = world.client().await;
        for coding in ["zstd", "br", "gzip"] {
            client.send(get(coding)).await;
            let head = read_until(&mut client, "\r\n\r\n").await.expect("a head");
            for line in [
                &*format!("Content-Encoding: {coding}"),
                "ETag: W/\"1\"",
                "Vary: Accept-Encoding",
                "Transfer-Encoding: chunked",
            ] {
                assert!(head.contains(&format!("\r\n{line}\r\n")), "{line} is not in {head}");
            }
            assert!(!head.contains("Content-Length") && !head.contains("Accept-Ranges"), "{head}");
            while !client.read.ends_with(b"0\r\n\r\n") {
                client.stream.read_buf(&mut client.read).await.expect("it must go on");
            }
            let (data, trailer) = chunks(&std::mem::take(&mut client.read));
            assert_eq!(trailer.as_deref(), Some("\r\n"));
            assert!(data.len() < page().len() / 4, "{coding}: {}", data.len());
            assert_eq!(decoded(coding, &data), page());
        }
        client.send(get("deflate")).await;
        let head = read_until(&mut client, "\r\n\r\n").await.expect("a head");
        assert!(head.contains("Vary: Accept-Encoding") && head.contains("ETag: \"1\""), "{head}");
        let plain = read_length(&mut client, page().len()).await;
        assert_eq!(plain.as_deref(), Some(&*page()));
        client.send(get("gzip").replace("HTTP/1.1", "HTTP/1.0")).await;
        let head = read_until(&mut client, "\r\n\r\n").await.expect("a head");
        assert!(head.contains("Connection: close") && !head.contains("chunked"), "{head}");
        client.stream.read_to_end(&mut client.read).await.expect("an end");
        assert_eq!(decoded("gzip", &client.read), page());
        assert_eq!(origin.connections(), 1);
    });
}

#[test]
fn a_client_of_http2_gets_it_as_well() {
    run(async {
        let origin = Canned::with(&[&response(HTML, &page())]).await;
        let world = world("on", origin.addr, Limits::default()).await;
        let mut sender = plain(&world).await;
        let mut get = request("GET", "http://h/", empty());
        get.headers_mut().insert("accept-encoding", "br".parse().expect("a value"));
        let response = ask(&mut sender, get).await;
        let fields = response.headers();
        assert_eq!(fields["content-encoding"], "br");
        assert_eq!(fields["etag"], "W/\"1\"");
        assert_eq!(fields["vary"], "Accept-Encoding");
        assert!(!fields.contains_key("content-length"), "{fields:?}");
        let body = response.into_body().collect().await.expect("the body must be whole");
        assert_eq!(decoded("br", &body.to_bytes()), page());
    });
}

#[test]
fn without_the_option_nothing_is_compressed_or_said_about_it() {
    run(async {
        let origin = Canned::with(&[&response(HTML, &page())]).await;
        let world = World::to(&[origin.addr]).await;
        let seen = world.ask(&get("gzip").replace("1.1", "1.0")).await;
        assert!(seen.ends_with(&page()) && !seen.contains("Vary"), "{seen}");
    });
}

#[test]
fn what_an_endpoint_has_sent_so_far_does_not_wait_for_more() {
    run(async {
        let origin = Manual::new().await;
        let world = world("on", origin.addr, Limits::default()).await;
        for coding in ["zstd", "br", "gzip"] {
            let mut client = world.client().await;
            client.send(get(coding)).await;
            let mut upstream = origin.accept().await;
            upstream.head().await;
            let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\
                        Transfer-Encoding: chunked\r\n\r\n";
            upstream.send(head).await;
            client.until("\r\n\r\n").await;
            let mut text = String::new();
            for number in 0..3 {
                let line = format!("{{\"line\": {number}}}\n");
                text += &line;
                upstream.send(format!("{:x}\r\n{line}\r\n", line.len())).await;
                read_text(&mut client, coding, &text).await;
            }
            upstream.send("0\r\nX-End: 1\r\n\r\n").await;
            client.until("0\r\nX-End: 1\r\n\r\n").await;
        }
    });
}

#[test]
fn over_http2_it_does_not_wait_either_and_trailers_follow() {
    run(async {
        let origin = Manual::new().await;
        let world = world("gzip", origin.addr, Limits::default()).await;
        let mut sender = plain(&world).await;
        let mut get = request("GET", "http://h/", empty());
        get.headers_mut().insert("accept-encoding", "gzip".parse().expect("a value"));
        let asked = life_join(async move { ask(&mut sender, get).await });
        let mut upstream = origin.accept().await;
        upstream.head().await;
        let head = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\
                    Transfer-Encoding: chunked\r\n\r\n";
        upstream.send(head).await;
        let mut body = asked.await.expect("the client must live").into_body();
        let (mut text, mut coded) = (String::new(), Vec::new());
        for line in ["one\n", "two\n", "three\n"] {
            text += line;
            upstream.send(format!("{:x}\r\n{line}\r\n", line.len())).await;
            while decoded("gzip", &coded) != text {
                let frame = body.frame().await.expect("a frame").expect("a whole one");
                coded.extend_from_slice(&frame.into_data().expect("data"));
            }
        }
        upstream.send("0\r\nX-End: 1\r\n\r\n").await;
        let rest = body.collect().await.expect("the body must be whole");
        assert_eq!(rest.trailers().map(|it| it["x-end"].clone()), Some("1".parse().expect("v")));
        coded.extend_from_slice(&rest.to_bytes());
        let mut whole = String::new();
        flate2::read::GzDecoder::new(&*coded).read_to_string(&mut whole).expect("a whole member");
        assert_eq!(whole, text);
    });
}

#[test]
fn a_response_that_is_cut_short_does_not_look_whole() {
    run(async {
        let origin = Manual::new().await;
        let world = world("on", origin.addr, Limits::default()).await;
        let mut client = world.client().await;
        client.send(get("br")).await;
        let mut upstream = origin.accept().await;
        upstream.head().await;
        let whole = response(HTML, &page());
        upstream.send(&whole[..whole.len() - 1]).await;
        drop(upstream);
        client.until("\r\n\r\n").await;
        let _ = client.stream.read_to_end(&mut client.read).await;
        let (data, trailer) = chunks(&client.read);
        assert_eq!(trailer, None);
        assert!(page().starts_with(&decoded("br", &data)));
    });
}

#[test]
fn a_client_that_does_not_read_stops_the_endpoint() {
    run(async {
        let origin = Manual::new().await;
        let world = world("on", origin.addr, Limits::default()).await;
        for coding in ["zstd", "br", "gzip"] {
            let mut client = world.client().await;
            client.send(get(coding)).await;
            let mut upstream = origin.accept().await;
            upstream.head().await;
            upstream.send("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n").await;
            // what nobody can compress
            let mut rng = crate::balance::Rng::new(7);
            let noise: Vec<u8> =
                (0..32 * 1024).flat_map(|_| rng.next_u64().to_le_bytes()).collect();
            let mut sent = 0;
            while let Ok(written) =
                tokio::time::timeout(Duration::from_millis(500), upstream.stream.write(&noise))
                    .await
            {
                sent += written.expect("rutter must not close");
                assert!(sent < 64 << 20, "{coding}: nothing stops the endpoint");
            }
            assert!(sent > noise.len(), "{coding}: {sent}");
        }
    });
}

#[test]
fn beyond_the_limit_of_a_worker_responses_go_on_as_they_are() {
    run(async {
        let origin = Manual::new().await;
        let limits = Limits { compressors: 1, ..Limits::default() };
        let world = world("on", origin.addr, limits).await;
        let head = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\nx";
        let mut holding = None;
        for expected in [true, false] {
            let mut client = world.client().await;
            client.send(get("gzip")).await;
            let mut upstream = origin.accept().await;
            upstream.head().await;
            upstream.send(head).await;
            let seen = client.until("\r\n\r\n").await;
            assert_eq!(seen.contains("Content-Encoding: gzip"), expected, "{seen}");
            assert!(seen.contains("Vary: Accept-Encoding"), "{seen}");
            holding = holding.or(Some((client, upstream)));
        }
        drop(holding);
        while std::rc::Rc::strong_count(&world.server.compressors) > 1 {
            tokio::task::yield_now().await;
        }
    });
}
