//! Heads of HTTP/2: what is let through is one head of HTTP/1 that says the same.
//!
//! An input is a list of fields, one a line, and behind an empty line the trailers. Where HPACK and
//! `http` would have refused one, it is left out.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri};
use http_body::{Frame, SizeHint};

use super::Shared;
use super::request::{begin, end, path_of};
use super::response::Kind;
use crate::fuzz_tests::Target;
use crate::plane::l7::h1::{
    BodyLength, Encoder, HeadEnd, Name, Outgoing, RequestHead, request_length,
};
use crate::plane::l7::tests::world::World;
use crate::plane::l7::{Identity, http_listener};
use crate::plane::tests::run;

const HEADS: Target<'_> = Target {
    name: "h2-head",
    words: &[
        "\n",
        ":method: ",
        ":path: ",
        ":authority: ",
        "host: ",
        ":scheme: http\n",
        "te: trailers\n",
        "te: gzip\n",
        "cookie: a=b\n",
        "cookie: \n",
        "content-length: 3\n",
        "content-length: 99999999999999999999\n",
        "transfer-encoding: chunked\n",
        "connection: close, x-a\n",
        "upgrade: websocket\n",
        "x-a: b\n",
        "x_a: b\n",
        "x-forwarded-for: 1.2.3.4\n",
        "x-request-id: abc\n",
        "date: now\n",
        "\t",
        " ",
        "\r",
        "\0",
        "%2f",
        "/../",
        "//",
        "?",
        "#",
        "*",
        "@",
        ":443",
        "[::1]",
        "é",
        "GET",
        "HEAD",
        "OPTIONS",
        "CONNECT",
        "\n\n",
    ],
    inputs: 10_000,
};

/// A body of which only the length matters here.
struct Length(Option<u64>);

impl http_body::Body for Length {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        Poll::Ready(None)
    }

    fn size_hint(&self) -> SizeHint {
        self.0.map_or_else(SizeHint::new, SizeHint::with_exact)
    }
}

/// The fields of some lines, as HPACK gives them.
fn fields(text: &[u8]) -> Vec<(&[u8], &[u8])> {
    let lines = text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    lines
        .filter_map(|line| {
            let colon = memchr::memchr(b':', line.get(1..)?)? + 1;
            Some((line.get(..colon)?, line.get(colon + 1..)?.trim_ascii_start()))
        })
        .collect()
}

fn map(fields: &[(&[u8], &[u8])]) -> HeaderMap {
    let known = fields.iter().filter_map(|(name, value)| {
        Some((HeaderName::from_lowercase(name).ok()?, HeaderValue::from_bytes(value).ok()?))
    });
    let mut map = HeaderMap::new();
    for (name, value) in known {
        map.append(name, value);
    }
    map
}

/// The request that h2 makes of a list of fields; `None` where it makes none.
fn request(list: &[(&[u8], &[u8])]) -> Option<Request<Length>> {
    let pseudo = |wanted: &[u8]| list.iter().find(|(name, _)| *name == wanted).map(|it| it.1);
    let mut parts = http::uri::Parts::default();
    parts.authority = match pseudo(b":authority") {
        Some(authority) => Some(Authority::try_from(authority).ok()?),
        None => None,
    };
    parts.path_and_query = Some(PathAndQuery::try_from(pseudo(b":path")?).ok()?);
    // without an authority, as of `host` alone, a URI may have no scheme
    parts.scheme = parts.authority.is_some().then_some(Scheme::HTTPS);
    let mut request = Request::new(Length(None));
    *request.method_mut() = Method::from_bytes(pseudo(b":method")?).ok()?;
    *request.uri_mut() = Uri::from_parts(parts).ok()?;
    *request.headers_mut() = map(list);
    let length = request.headers().get("content-length");
    *request.body_mut() = Length(match length {
        Some(length) => Some(length.to_str().ok()?.parse().ok()?),
        None => (request.method() == Method::GET).then_some(0),
    });
    Some(request)
}

/// What an endpoint is told for these fields, but for what the proxy says of itself and its client.
fn expected(map: &HeaderMap, has_body: bool) -> Vec<(String, Vec<u8>)> {
    let nominated = |name: &str| {
        let values = map.get_all("connection").into_iter().map(HeaderValue::as_bytes);
        let mut tokens =
            values.flat_map(|it| it.split(|byte| *byte == b',')).map(<[u8]>::trim_ascii);
        tokens.any(|token| token.eq_ignore_ascii_case(name.as_bytes()))
    };
    let crumbs = map.get_all("cookie").into_iter().map(|it| it.as_bytes().trim_ascii());
    let cookie = crumbs.collect::<Vec<_>>().join(&b"; "[..]).trim_ascii().to_vec();
    let mut expected: Vec<(String, Vec<u8>)> = Vec::new();
    for (name, value) in map {
        let name = name.as_str();
        let known = Name::of(name.as_bytes());
        // without a body there is nothing to wait for
        let passes = matches!(known, Name::Other | Name::Date | Name::Server)
            || known == Name::Expect && has_body;
        if passes && !nominated(name) {
            expected.push((name.to_owned(), value.as_bytes().trim_ascii().to_vec()));
        } else if known == Name::Cookie && !expected.iter().any(|(name, _)| name == "cookie") {
            expected.push((name.to_owned(), cookie.clone()));
        }
    }
    expected
}

/// The fields of a head that came from the client.
fn passed(head: &RequestHead, bytes: &[u8]) -> Vec<(String, Vec<u8>)> {
    let ours = |name: Name| {
        matches!(
            name,
            Name::Host
                | Name::Forwarded
                | Name::RequestId
                | Name::ContentLength
                | Name::TransferEncoding
                | Name::Te
                | Name::Connection
        )
    };
    let passed = head.fields.iter().filter(|field| !ours(field.known));
    passed
        .map(|field| {
            let name = String::from_utf8_lossy(field.name(bytes)).to_ascii_lowercase();
            (name, field.value(bytes).to_vec())
        })
        .collect()
}

/// One head, and the same request.
fn check_head(bytes: &[u8], request: &Request<()>, length: Option<u64>) -> usize {
    assert_eq!(HeadEnd::default().find(bytes), Ok(Some(bytes.len())), "one head and no more");
    let head = RequestHead::parse_own(bytes).expect("what goes on must be read");
    assert_eq!((head.method(bytes), head.minor), (request.method().as_str(), 1));
    let target = head.target(bytes);
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    assert_eq!(query, request.uri().query().unwrap_or_default());
    assert!(path == "*" || path.starts_with('/'), "{path}");
    let hosts: Vec<_> = head.fields.iter().filter(|it| it.known == Name::Host).collect();
    let [host] = hosts.as_slice() else { panic!("one host, not {}", hosts.len()) };
    let authority = request.uri().authority().map(|it| it.as_str().as_bytes());
    let wanted = authority.or_else(|| request.headers().get("host").map(HeaderValue::as_bytes));
    assert_eq!(Some(host.value(bytes)), wanted);
    assert_eq!(passed(&head, bytes), expected(request.headers(), length != Some(0)));
    let wanted = length.map_or(BodyLength::Chunked, BodyLength::Exact);
    assert_eq!(request_length(&head, bytes), Ok(wanted));
    head.fields.len()
}

#[test]
fn damaged_heads_of_http_2_become_one_head_of_http_1_or_are_refused() {
    run(async {
        let endpoint = "127.0.0.1:9".parse().expect("an address");
        let world = World::to(&[endpoint]).await;
        let client = "127.0.0.1:1".parse().expect("an address");
        let identity = Identity::new(&world.server, world.key, client, true);
        let shared = Shared::new(&world.server, identity);
        let snapshot = world.local.snapshot.load();
        let listener = http_listener(&snapshot, world.key).cloned().expect("a listener");
        HEADS.fuzz(|input, _| {
            let end_of_head = memchr::memmem::find(input, b"\n\n").unwrap_or(input.len());
            let (head, trailers) = input.split_at(end_of_head);
            check_trailers(&map(&fields(trailers)));
            let list = fields(head);
            let Some(request) = request(&list) else { return (None, None) };
            let (parts, body) = request.into_parts();
            let kind = Kind::of(&parts);
            let mut record = world.server.record(&shared.identity, "http".into(), "HTTP/2");
            let begun = begin(&shared, &listener, &parts, &body, kind, &mut record);
            let _ = path_of(&parts);
            let refused = begun.as_ref().err().map(|answer| format!("{answer:?}").len());
            let taken = begun.ok().map(|(exchange, _)| {
                let request = Request::from_parts(parts, ());
                check_head(exchange.written(), &request, body.0)
            });
            record.status = 200;
            (taken, refused)
        });
    });
}

/// Trailers end a body, and only that.
fn check_trailers(trailers: &HeaderMap) {
    let mut out = Outgoing::new(Vec::new());
    out.encoder = Encoder::Chunked;
    if end(&mut out, trailers).is_ok() {
        let section = out.bytes.strip_prefix(b"0\r\n").expect("the last chunk");
        assert_eq!(HeadEnd::default().find(section), Ok(Some(section.len())));
    }
}
