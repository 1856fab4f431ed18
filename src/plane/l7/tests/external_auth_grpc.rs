//! External authorization by gRPC, over real sockets: the messages are written by hand here, as
//! `envoy.service.auth.v3` numbers their fields.

use std::cell::RefCell;
use std::rc::Rc;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response};

use super::h2_origin::*;
use super::world::*;
use crate::snapshot::{Action, ExternalAuth, ExternalAuthProtocol, Filter, HostMatch};

/// What the authorization server was asked: the path of the call and the message in it.
type Calls = Rc<RefCell<Vec<(String, Vec<u8>)>>>;

/// A field of a message that holds bytes; all of them are short here.
fn field(number: u8, content: &[u8]) -> Vec<u8> {
    let length = u8::try_from(content.len()).expect("a short field");
    [&[number << 3 | 2, length], content].concat()
}

/// `HeaderValueOption` of a name and a value.
fn header(name: &str, value: &str) -> Vec<u8> {
    field(1, &[field(1, name.as_bytes()), field(2, value.as_bytes())].concat())
}

fn allowed() -> Vec<u8> {
    let ok = [
        field(2, &header("x-user", "ann")),
        field(5, b"x-token"),
        field(6, &header("x-seen", "yes")),
    ];
    [field(1, &[]), field(3, &ok.concat())].concat()
}

fn denied() -> Vec<u8> {
    let denial =
        [field(1, &[8, 0x99, 3]), field(2, &header("x-why", "no token")), field(3, b"go away")];
    [field(1, &[8, 7]), field(2, &denial.concat())].concat()
}

/// A server that answers every call so; without a `grpc-status` it breaks off.
async fn server(message: Vec<u8>, status: Option<&'static str>) -> (H2Origin, Calls) {
    let calls = Calls::default();
    let kept = calls.clone();
    let origin = H2Origin::new(move |(request, mut to)| {
        let (kept, message) = (kept.clone(), message.clone());
        async move {
            let call = call(request).await;
            kept.borrow_mut().push(call);
            let length = u8::try_from(message.len()).expect("a short message");
            let framed = [&[0, 0, 0, 0, length], message.as_slice()].concat();
            let mut body = to.send_response(Response::new(()), false).expect("it must be open");
            body.send_data(framed.into(), status.is_none()).expect("it must be open");
            if let Some(status) = status {
                let status =
                    ("grpc-status".parse().expect("a name"), HeaderValue::from_static(status));
                body.send_trailers(HeaderMap::from_iter([status])).expect("it must be open");
            }
        }
    })
    .await;
    (origin, calls)
}

async fn call(request: Request<::h2::RecvStream>) -> (String, Vec<u8>) {
    let told = |name: &str| request.headers().get(name).map(HeaderValue::as_bytes);
    assert_eq!(told("content-type"), Some(&b"application/grpc"[..]));
    assert_eq!(told("te"), Some(&b"trailers"[..]));
    let path = request.uri().path().to_owned();
    let (mut body, mut bytes) = (request.into_body(), Vec::new());
    while let Some(data) = body.data().await {
        let data: Bytes = data.expect("it must come whole");
        body.flow_control().release_capacity(data.len()).expect("it must be held");
        bytes.extend_from_slice(&data);
    }
    (path, bytes)
}

async fn world(origin: &Canned, server: &H2Origin) -> World {
    let Action::Forward(mut shares) = forward("auth", &[server.addr]) else {
        panic!("it must forward")
    };
    let auth = ExternalAuth {
        target: shares.remove(0).target,
        protocol: ExternalAuthProtocol::Grpc,
        allowed_headers: vec!["x-token".into()],
        max_body: Some(8),
    };
    let rule = rule(HostMatch::Any, "", forward("web", &[origin.addr]));
    let rule = changed(rule, |rule| rule.filters = vec![Filter::ExternalAuth(auth)]);
    let mut world = World::new().await;
    world.publish(vec![rule], None);
    world
}

const POST: &str = "POST /a?b HTTP/1.1\r\nHost: h.test\r\nConnection: close\r\nX-Token: good\r\n\
                    X-User: forged\r\nX-Other: 1\r\nContent-Length: 4\r\n\r\nbody";

fn holds(message: &[u8], text: &str) -> bool {
    memchr::memmem::find(message, text.as_bytes()).is_some()
}

#[test]
fn what_the_server_allows_goes_on_with_its_changes() {
    run(async {
        let origin = Canned::ok().await;
        let (server, calls) = server(allowed(), Some("0")).await;
        let world = world(&origin, &server).await;
        for _ in 0..2 {
            let response = world.ask(POST).await;
            assert!(response.starts_with("HTTP/1.1 200 OK\r\n"), "{response}");
            assert!(response.contains("x-seen: yes\r\n"), "{response}");
        }
        assert_eq!(server.connections(), 1);
        let head = origin.heads().remove(0).to_lowercase();
        assert!(head.contains("x-user: ann\r\n") && !head.contains("forged"), "{head}");
        assert!(!head.contains("x-token") && head.contains("x-other: 1\r\n"), "{head}");
        let calls = calls.borrow();
        let (path, message) = &calls[0];
        assert_eq!(path, "/envoy.service.auth.v3.Authorization/Check");
        for text in ["POST", "h.test", "/a?b", "x-token", "good", "body", "HTTP/1.1"] {
            assert!(holds(message, text), "{text}: {message:?}");
        }
        assert!(!holds(message, "x-other"), "{message:?}");
    });
}

#[test]
fn what_the_server_denies_or_does_not_answer_goes_nowhere() {
    let rows = [
        (denied(), Some("0"), "HTTP/1.1 409 Conflict\r\n", "x-why: no token\r\n"),
        (allowed(), Some("14"), "HTTP/1.1 503 ", "auth_unavailable"),
        (allowed(), None, "HTTP/1.1 503 ", "auth_unavailable"),
        (vec![0xff], Some("0"), "HTTP/1.1 503 ", "auth_unavailable"),
    ];
    run(async {
        for (message, status, first, text) in rows {
            let origin = Canned::ok().await;
            let (server, _) = server(message, status).await;
            let response = world(&origin, &server).await.ask(POST).await;
            assert!(response.starts_with(first) && response.contains(text), "{response}");
            assert!(origin.heads().is_empty(), "{status:?}");
        }
    });
}
