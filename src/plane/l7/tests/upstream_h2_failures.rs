use std::cell::RefCell;
use std::rc::Rc;

use ::h2::Reason;
use ::h2::server::Builder;
use bytes::Bytes;
use http::Response;

use super::h2_origin::*;
use super::world::*;
use crate::life;

const GET: &str = "GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";
const POST: &str = "POST / HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: 1\r\n\r\nx";

#[test]
fn what_was_refused_is_sent_again_whatever_the_method() {
    run(async {
        let origin = H2Manual::new().await;
        let world = world_to(target("web", &[origin.1])).await;
        // a reset of the stream
        let mut client = world.client().await;
        client.send(POST).await;
        let mut connection = origin.accept().await;
        let (_, mut to) = next(&mut connection).await;
        to.send_reset(Reason::REFUSED_STREAM);
        let (_, mut to) = next(&mut connection).await;
        answer(&mut to, "again");
        life::spawn_local("origin", async move { while connection.accept().await.is_some() {} });
        assert!(client.rest().await.contains("again"));
        // a goodbye that leaves the stream out: SETTINGS, then GOAWAY for all after stream 0
        let goodbye = b"\0\0\0\x04\0\0\0\0\0\0\0\x08\x07\0\0\0\0\0\0\0\0\0\0\0\0\0";
        let origin = Manual::new().await;
        let world = world_to(target("web", &[origin.addr])).await;
        let mut client = world.client().await;
        client.send(POST).await;
        let mut upstream = origin.accept().await;
        upstream.until("SM\r\n\r\n").await;
        upstream.send(goodbye).await;
        let second = origin.accept().await.stream;
        life::spawn_local(
            "origin",
            serve(Builder::new(), second, |(_, mut to)| async move {
                answer(&mut to, "elsewhere");
            }),
        );
        assert!(client.rest().await.contains("elsewhere"));
    });
}

#[test]
fn an_endpoint_that_refuses_everything_is_given_up() {
    run(async {
        let origin = H2Origin::new(|(_, mut to): Asked| async move {
            to.send_reset(Reason::REFUSED_STREAM);
        })
        .await;
        let world = world_to(target("web", &[origin.addr])).await;
        assert!(world.ask(POST).await.ends_with("rutter: 502 upstream_reset\n"));
    });
}

#[test]
fn a_reset_stream_is_tried_elsewhere_for_get_only() {
    run(async {
        let bad = H2Origin::new(|(_, mut to): Asked| async move {
            to.send_reset(Reason::INTERNAL_ERROR);
        })
        .await;
        let good = H2Origin::new(|(_, mut to): Asked| async move { answer(&mut to, "good") }).await;
        let world = world_to(target("web", &[bad.addr, good.addr])).await;
        for _ in 0..10 {
            assert!(world.ask(GET).await.contains("good"));
        }
        let world = world_to(target("web", &[bad.addr])).await;
        assert!(world.ask(POST).await.ends_with("rutter: 502 upstream_reset\n"));
        // the connection was kept all the same
        assert!(bad.connections() <= 2, "{}", bad.connections());
    });
}

#[test]
fn a_connection_that_ended_while_it_was_idle_is_replaced() {
    run(async {
        for (request, goodbye) in [(GET, false), (POST, true)] {
            let origin = H2Manual::new().await;
            let world = world_to(target("web", &[origin.1])).await;
            for part in ["first", "second"] {
                let mut client = world.client().await;
                client.send(request).await;
                let mut connection = origin.accept().await;
                let (_, mut to) = next(&mut connection).await;
                answer(&mut to, part);
                let drive = life_join(async move {
                    if goodbye {
                        connection.graceful_shutdown();
                    }
                    while connection.accept().await.is_some() {}
                });
                assert!(client.rest().await.contains(part));
                drive.abort();
            }
        }
    });
}

#[test]
fn further_connections_are_opened_when_one_is_full() {
    run(async {
        let mut builder = Builder::new();
        builder.max_concurrent_streams(2);
        let held = Rc::<RefCell<Vec<Asked>>>::default();
        let all = held.clone();
        let origin = H2Origin::with(builder, move |asked| {
            all.borrow_mut().push(asked);
            async {}
        })
        .await;
        let world = world_to(target("web", &[origin.addr])).await;
        let mut clients = Vec::new();
        for count in 1..=5 {
            let mut client = world.client().await;
            client.send(GET).await;
            while held.borrow().len() < count {
                tokio::task::yield_now().await;
            }
            clients.push(client);
        }
        assert_eq!(origin.connections(), 3);
        for (_, to) in held.borrow_mut().iter_mut() {
            answer(to, "done");
        }
        for mut client in clients {
            assert!(client.rest().await.contains("done"));
        }
    });
}

#[test]
fn a_client_that_goes_away_resets_its_stream_and_no_other() {
    run(async {
        let origin = H2Manual::new().await;
        let world = world_to(target("web", &[origin.1])).await;
        let (mut staying, mut leaving) = (world.client().await, world.client().await);
        staying.send(GET).await;
        let mut connection = origin.accept().await;
        let (_, mut first) = next(&mut connection).await;
        leaving.send(GET).await;
        let (_, mut second) = next(&mut connection).await;
        life::spawn_local("origin", async move { while connection.accept().await.is_some() {} });
        drop(leaving);
        let reset = std::future::poll_fn(|cx| second.poll_reset(cx)).await;
        assert_eq!(reset.expect("it must be open"), Reason::CANCEL);
        answer(&mut first, "stayed");
        assert!(staying.rest().await.contains("stayed"));
    });
}

#[test]
fn a_response_that_is_cut_short_does_not_look_whole() {
    run(async {
        let origin = H2Origin::new(|(_, mut to): Asked| async move {
            let mut body = to.send_response(Response::new(()), false).expect("it must be open");
            body.send_data(Bytes::from("hel"), false).expect("it must be open");
            tokio::task::yield_now().await;
            body.send_reset(Reason::INTERNAL_ERROR);
        })
        .await;
        let world = world_to(target("web", &[origin.addr])).await;
        let response = world.ask(GET).await;
        assert!(!response.ends_with("0\r\n\r\n"), "{response}");
    });
}

#[test]
fn upgrades_and_endpoints_that_speak_http1_have_their_reasons() {
    run(async {
        let origin = Canned::ok().await;
        let world = world_to(target("web", &[origin.addr])).await;
        let upgrade =
            "GET / HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n";
        assert!(world.ask(upgrade).await.ends_with("rutter: 501 upgrade_unsupported\n"));
        let origin = Manual::new().await;
        let world = world_to(target("web", &[origin.addr])).await;
        let mut client = world.client().await;
        client.send(GET).await;
        let mut upstream = origin.accept().await;
        upstream.until("PRI * HTTP/2.0\r\n").await;
        upstream.send("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n").await;
        let response = client.rest().await;
        assert!(response.ends_with("rutter: 502 upstream_protocol\n"), "{response}");
    });
}

#[test]
fn connections_to_endpoints_that_are_gone_are_closed_when_their_streams_end() {
    run(async {
        let origin = H2Manual::new().await;
        let mut world = world_to(target("web", &[origin.1])).await;
        let mut client = world.client().await;
        client.send(GET).await;
        let mut connection = origin.accept().await;
        let (_, mut to) = next(&mut connection).await;
        world.publish(Vec::new(), None);
        let ended = life_join(async move { while connection.accept().await.is_some() {} });
        answer(&mut to, "last");
        assert!(client.rest().await.contains("last"));
        ended.await.expect("it must end");
    });
}
