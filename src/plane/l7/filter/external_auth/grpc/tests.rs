use proptest::prelude::*;

use super::*;
use crate::plane::l7::filter::external_auth::messages::{HeaderValue, HttpStatus, RpcStatus};
use crate::plane::l7::tests::world::forward;
use crate::snapshot::{Action, ExternalAuthProtocol, Reason};

fn auth(allowed: &[&str]) -> ExternalAuth {
    let Action::Forward(mut shares) = forward("auth", &[]) else { panic!("it must forward") };
    ExternalAuth {
        target: shares.remove(0).target,
        protocol: ExternalAuthProtocol::Grpc,
        allowed_headers: allowed.iter().map(|name| (*name).into()).collect(),
        max_body: None,
    }
}

fn question(length: BodyLength) -> Question {
    let head = "POST /a?b HTTP/1.1\r\nHost: h:80\r\nX-A: 1\r\nAuthorization: me\r\nx-a: 2\r\n\
                X-Forwarded-For: 10.0.0.1\r\nContent-Length: 2\r\n\r\n";
    Question {
        length,
        expects_continue: false,
        verb: Verb::Other,
        method: "POST".to_owned(),
        target: "/a?b".to_owned(),
        host: "h:80".to_owned(),
        scheme: "https",
        protocol: "HTTP/2",
        id: "id".to_owned(),
        client: ([10, 0, 0, 1], 4000).into(),
        server: ([10, 0, 0, 2], 443).into(),
        head: head.as_bytes().to_vec(),
    }
}

fn asked(allowed: &[&str], body: &[u8]) -> (String, CheckRequest) {
    let mut out = Outgoing::new(Vec::new());
    write(&mut out, &auth(allowed), &question(BodyLength::Exact(2)), body);
    let end = memchr::memmem::find(&out.bytes, b"\r\n\r\n").expect("a head must end") + 4;
    let (head, body) = out.bytes.split_at(end);
    let head = String::from_utf8(head.to_vec()).expect("text");
    assert!(head.contains(&format!("Content-Length: {}\r\n", body.len())), "{head}");
    assert_eq!(body[0], 0);
    assert_eq!(body[1..5], (body.len() as u32 - 5).to_be_bytes());
    (head, CheckRequest::decode(&body[5..]).expect("a message"))
}

#[test]
fn the_call_tells_of_the_request() {
    let (head, check) = asked(&[], b"ok");
    let first = "POST /envoy.service.auth.v3.Authorization/Check HTTP/1.1\r\n";
    assert!(head.starts_with(&format!("{first}Host: auth.default\r\n")), "{head}");
    assert!(head.contains("Content-Type: application/grpc\r\n"), "{head}");
    let attributes = check.attributes.expect("attributes");
    assert_eq!(attributes.source, Some(Peer::at(([10, 0, 0, 1], 4000).into())));
    assert_eq!(attributes.destination, Some(Peer::at(([10, 0, 0, 2], 443).into())));
    let http = attributes.request.and_then(|request| request.http).expect("a request");
    let expected = HttpRequest {
        id: "id".into(),
        method: "POST".into(),
        headers: [("x-a", "1,2"), ("authorization", "me"), ("x-forwarded-for", "10.0.0.1")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into(),
        path: "/a?b".into(),
        host: "h:80".into(),
        scheme: "https".into(),
        size: 2,
        protocol: "HTTP/2".into(),
        body: "ok".into(),
        raw_body: Vec::new(),
    };
    assert_eq!(http, expected);
}

#[test]
fn a_list_of_fields_and_a_body_that_is_no_text_are_respected() {
    let (_, check) = asked(&["x-a", "x-b"], &[0xff, 0]);
    let attributes = check.attributes.expect("attributes");
    let http = attributes.request.and_then(|request| request.http).expect("a request");
    assert_eq!(http.headers, [("x-a".to_owned(), "1,2".to_owned())].into());
    assert_eq!((http.body.as_str(), &*http.raw_body), ("", &[0xff, 0][..]));
}

/// A field with a length, and one with a small number, as protobuf writes them.
fn field(number: u8, content: &[u8]) -> Vec<u8> {
    let length = u8::try_from(content.len()).expect("short");
    [&[number << 3 | 2, length], content].concat()
}

fn small(number: u8, value: u8) -> Vec<u8> {
    vec![number << 3, value]
}

/// What stands at a path of field numbers.
fn at<'m>(mut message: &'m [u8], path: &[u32]) -> Option<&'m [u8]> {
    let [wanted, rest @ ..] = path else { return Some(message) };
    while !message.is_empty() {
        let (number, wire) = prost::encoding::decode_key(&mut message).ok()?;
        let length = prost::encoding::decode_varint(&mut message).ok()? as usize;
        if wire == prost::encoding::WireType::LengthDelimited {
            let (content, after) = message.split_at_checked(length)?;
            if number == *wanted {
                return at(content, rest);
            }
            message = after;
        }
    }
    None
}

/// By the numbers of `external_auth.proto`, `attribute_context.proto` and `base.proto`, not
/// by our own messages.
#[test]
fn messages_have_the_numbers_of_envoy() {
    let header = [field(1, b"a"), field(2, b"bc")].concat();
    let option = [field(1, &header), field(2, &small(1, 1))].concat();
    let granted = [field(2, &option), field(5, b"r"), field(6, &option)].concat();
    let ok = [field(1, b""), field(3, &granted)].concat();
    let Some(Verdict::Allowed(grant)) = verdict(&answer(&ok)) else { panic!("denied") };
    let change = || vec![Change::new("a", "bc", When::Append).expect("a field")];
    let expected = Grant { request: change(), remove: vec!["r".into()], response: change() };
    assert_eq!(grant, expected);
    let denial = [field(1, b"\x08\x91\x03"), field(2, &option), field(3, b"n")].concat();
    let denied = [field(1, &small(1, 7)), field(2, &denial)].concat();
    let Some(Verdict::Denied(own)) = verdict(&answer(&denied)) else { panic!("allowed") };
    assert_eq!((own.status, &*own.body, own.fields.len()), (401, &b"n"[..], 2));
    assert_eq!(own.reason, Some(Reason::AuthDenied));
    let (_, check) = asked(&[], b"ok");
    let check = check.encode_to_vec();
    let rows: [(&[u32], &str); 9] = [
        (&[1, 1, 1, 1, 2], "10.0.0.1"),
        (&[1, 2, 1, 1, 2], "10.0.0.2"),
        (&[1, 4, 2, 1], "id"),
        (&[1, 4, 2, 2], "POST"),
        (&[1, 4, 2, 4], "/a?b"),
        (&[1, 4, 2, 5], "h:80"),
        (&[1, 4, 2, 6], "https"),
        (&[1, 4, 2, 10], "HTTP/2"),
        (&[1, 4, 2, 11], "ok"),
    ];
    for (path, expected) in rows {
        assert_eq!(at(&check, path), Some(expected.as_bytes()), "{path:?}");
    }
}

fn answer(message: &[u8]) -> Answer {
    let length = (message.len() as u32).to_be_bytes();
    let body = [&[0], &length[..], message].concat();
    Answer { status: 200, body, trailer: b"Grpc-Status: 0\r\n\r\n".to_vec(), ..Answer::default() }
}

#[test]
fn answers_that_break_the_protocol_allow_nothing() {
    let whole = answer(b"");
    assert_eq!(verdict(&whole), Some(Verdict::Allowed(Grant::default())));
    let failed = vec![("grpc-status".to_owned(), "14".to_owned())];
    let rows = [
        Answer { status: 503, ..answer(b"") },
        Answer { body: Vec::new(), ..answer(b"") },
        Answer { body: vec![1, 0, 0, 0, 0], ..answer(b"") },
        Answer { body: vec![0, 0, 0, 0, 1], ..answer(b"") },
        Answer { body: vec![0, 0, 0, 0, 0, 0], ..answer(b"") },
        // it ended without a word
        Answer { trailer: Vec::new(), ..answer(b"") },
        Answer { trailer: b"grpc-status: 7\r\n\r\n".to_vec(), ..answer(b"") },
        Answer { fields: failed, ..answer(b"") },
        answer(b"\xff"),
        answer(&ok_with("a b", "1")),
        answer(&ok_with("a", "1\r\nb: 2")),
    ];
    for row in rows {
        assert_eq!(verdict(&row), None, "{row:?}");
    }
}

fn option(name: &str, value: &str) -> HeaderValueOption {
    let (key, value) = (name.to_owned(), value.to_owned());
    let header = Some(HeaderValue { key, value, raw_value: Vec::new() });
    HeaderValueOption { header, ..HeaderValueOption::default() }
}

fn ok_with(name: &str, value: &str) -> Vec<u8> {
    let ok = OkHttpResponse { headers: vec![option(name, value)], ..Default::default() };
    CheckResponse { ok_response: Some(ok), ..CheckResponse::default() }.encode_to_vec()
}

#[test]
fn options_say_what_becomes_of_old_values() {
    let bool = |value| Some(BoolValue { value });
    let rows = [
        (None, 0, Some(When::Overwrite)),
        (None, 1, Some(When::Absent)),
        (None, 2, Some(When::Overwrite)),
        (None, 3, Some(When::Present)),
        (bool(true), 2, Some(When::Append)),
        (bool(false), 1, Some(When::Overwrite)),
    ];
    for (append, append_action, expected) in rows {
        let option = HeaderValueOption { append, append_action, ..option("A", "1") };
        let changes = changes(vec![option]).expect("fields");
        assert_eq!(changes.first().map(|change| change.when), expected);
        assert_eq!(changes.first().map(|change| &*change.name), Some("a"));
    }
    for name in [":path", "host", "Content-Length", "connection"] {
        assert_eq!(changes(vec![option(name, "1")]), Some(Vec::new()), "{name}");
    }
    assert_eq!(changes(vec![option("a", "")]), Some(Vec::new()));
    let kept = HeaderValueOption { keep_empty_value: true, ..option("a", "") };
    assert_eq!(changes(vec![kept]).map(|it| it.len()), Some(1));
}

#[test]
fn a_denial_says_what_the_client_sees() {
    let twice = [option("set-cookie", "a=1"), option("Set-Cookie", "b=2")];
    let [first, second] = twice;
    let second = HeaderValueOption { append: Some(BoolValue { value: true }), ..second };
    let rows = [
        (0, 403, "no", &[("content-type", "text/plain")][..]),
        (302, 302, "", &[]),
        (99, 403, "", &[]),
        (304, 304, "", &[]),
    ];
    for (code, expected, body, more) in rows {
        let status = (code > 0).then_some(HttpStatus { code });
        let headers = vec![first.clone(), second.clone(), option("server", "x")];
        let denial = DeniedHttpResponse { status, headers, body: body.into() };
        let response = CheckResponse {
            status: Some(RpcStatus { code: 7 }),
            denied_response: Some(denial),
            ok_response: None,
        };
        let verdict = verdict(&answer(&response.encode_to_vec()));
        let Some(Verdict::Denied(own)) = verdict else { panic!("{verdict:?}") };
        assert_eq!((own.status, &*own.body), (expected, body.as_bytes()));
        let fields: Vec<_> = own.fields.iter().map(|(name, it)| (&**name, &**it)).collect();
        let cookies = [("set-cookie", "a=1"), ("set-cookie", "b=2")];
        assert_eq!(fields, [&cookies, more].concat());
    }
}

proptest! {
    #[test]
    fn any_answer_is_read_or_refused(body: Vec<u8>, trailer: Vec<u8>, framed: bool) {
        let answer = match framed {
            true => Answer { trailer, ..answer(&body) },
            false => Answer { status: 200, body, trailer, ..Answer::default() },
        };
        let _ = verdict(&answer);
    }
}
