//! gRPC through HTTP/2 on both sides.

use ::h2::server::SendResponse;
use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt, Channel};
use hyper::body::Body as _;

use super::h2::*;
use super::h2_origin::*;
use super::world::*;
use crate::snapshot::{HostMatch, Reason};

fn call(path: &str, body: Body) -> Request<Body> {
    let mut call = request("POST", &format!("http://h{path}"), body);
    for (name, value) in [("content-type", "application/grpc+proto"), ("te", "trailers")] {
        call.headers_mut().insert(name, value.parse().expect("a value"));
    }
    call
}

fn status(code: &str) -> HeaderMap {
    let mut fields = HeaderMap::new();
    fields.insert("grpc-status", code.parse().expect("a value"));
    fields
}

fn head(fields: HeaderMap) -> Response<()> {
    let mut response = Response::new(());
    *response.headers_mut() = fields;
    response
}

#[test]
fn failures_of_rutter_are_errors_of_grpc() {
    run(async {
        let mut world = World::new().await;
        let to = forward("web", &[closed_port().await]);
        let invalid = rule(HostMatch::Any, "/invalid", fail(Reason::InvalidBackend));
        world.publish(vec![rule(HostMatch::Any, "/a", to), invalid], None);
        let mut sender = plain(&world).await;
        for (path, code, message) in [
            ("/nowhere/Call", "12", "rutter: 404 no_route"),
            ("/a/Call", "14", "rutter: 502 connect_refused"),
            ("/invalid/Call", "14", "rutter: 500 invalid_backend"),
        ] {
            let response = ask(&mut sender, call(path, empty())).await;
            assert_eq!(response.status(), 200);
            let fields = response.headers();
            assert_eq!(fields["content-type"], "application/grpc");
            assert_eq!(fields["grpc-status"], code);
            assert_eq!(fields["grpc-message"], message);
            // all of it in one section of fields
            assert!(response.body().is_end_stream());
        }
        let response = ask(&mut sender, request("POST", "http://h/nowhere", empty())).await;
        assert_eq!(response.status(), 404);
    });
}

#[test]
fn a_call_passes_with_its_status_in_trailers_or_alone() {
    run(async {
        let origin = H2Origin::new(|(request, mut to): Asked| async move {
            assert_eq!(request.headers()["te"], "trailers");
            if request.uri().path() == "/a/Fail" {
                to.send_response(head(status("5")), true).expect("it must be open");
                return;
            }
            let mut body = to.send_response(head(HeaderMap::new()), false).expect("open");
            send(&mut body, Bytes::from("\0\0\0\0\x02ok")).await;
            body.send_trailers(status("0")).expect("it must be open");
        })
        .await;
        let world = world_to(target("web", &[origin.addr])).await;
        let mut sender = plain(&world).await;
        let response = ask(&mut sender, call("/a/Fail", empty())).await;
        assert_eq!(response.headers()["grpc-status"], "5");
        assert!(response.body().is_end_stream());
        let response = ask(&mut sender, call("/a/Get", empty())).await;
        let body = response.into_body().collect().await.expect("the body must be whole");
        assert_eq!(
            body.trailers().map(|it| it["grpc-status"].clone()),
            Some("0".parse().expect("v"))
        );
        assert_eq!(body.to_bytes(), "\0\0\0\0\x02ok");
    });
}

#[test]
fn messages_go_to_and_fro_while_both_streams_are_open() {
    run(async {
        let origin = H2Origin::new(|asked: Asked| async move { echo(asked).await }).await;
        let world = world_to(target("web", &[origin.addr])).await;
        let mut sender = plain(&world).await;
        let (mut messages, body) = Channel::<Bytes, std::convert::Infallible>::new(1);
        messages.send_data(Bytes::from("0")).await.expect("it must be open");
        let mut response = ask(&mut sender, call("/a/Chat", body.boxed())).await.into_body();
        for count in 0..50 {
            let frame = response.frame().await.expect("a frame").expect("it must be open");
            assert_eq!(frame.into_data().expect("data"), count.to_string());
            let next = Bytes::from((count + 1).to_string());
            messages.send_data(next).await.expect("it must be open");
        }
        messages.send_trailers(status("0")).await.expect("it must be open");
        let last = response.collect().await.expect("the body must be whole");
        assert!(last.trailers().is_some_and(|it| it.contains_key("grpc-status")));
        assert_eq!(last.to_bytes(), "50");
    });
}

#[test]
fn a_call_that_is_answered_before_it_is_whole_ends_in_order() {
    run(async {
        let origin = H2Origin::new(|(_, mut to): (_, SendResponse<Bytes>)| async move {
            to.send_response(head(status("16")), true).expect("it must be open");
        })
        .await;
        let world = world_to(target("web", &[origin.addr])).await;
        let mut sender = plain(&world).await;
        for _ in 0..3 {
            let (_messages, body) = Channel::<Bytes, std::convert::Infallible>::new(1);
            let response = ask(&mut sender, call("/a/Put", body.boxed())).await;
            assert_eq!(response.headers()["grpc-status"], "16");
        }
        assert_eq!(origin.connections(), 1);
    });
}
