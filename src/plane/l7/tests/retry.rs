use super::world::*;
use crate::plane::Limits;
use crate::snapshot::HostMatch;

const GET: &str = "GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";
const POST: &str = "POST / HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: 1\r\n\r\nx";

#[test]
fn a_refused_connect_goes_to_another_endpoint_whatever_the_method() {
    run(async {
        let origin = Canned::ok().await;
        let world = World::to(&[closed_port().await, origin.addr]).await;
        for _ in 0..20 {
            assert!(world.ask(GET).await.contains("200 OK"));
        }
        let posts = World::to(&[closed_port().await, closed_port().await]).await;
        assert!(posts.ask(POST).await.ends_with("connect_refused\n"));
    });
}

#[test]
fn an_endpoint_that_closes_without_a_word_is_passed_over_for_get_only() {
    run(async {
        let (mute, origin) = (Manual::new().await, Canned::ok().await);
        let world = World::to(&[mute.addr]).await;
        let mut client = world.client().await;
        client.send(POST).await;
        mute.accept().await.head().await;
        assert!(client.rest().await.ends_with("upstream_reset\n"));
        assert!(mute.is_untouched());
        let world = World::to(&[mute.addr, origin.addr]).await;
        crate::life::spawn_local("mute", async move {
            loop {
                mute.accept().await.head().await;
            }
        });
        for _ in 0..20 {
            assert!(world.ask(GET).await.contains("200 OK"));
        }
    });
}

#[test]
fn a_kept_connection_that_died_is_replaced_for_get_and_post() {
    run(async {
        for (request, method) in [(GET, "GET"), (POST, "POST")] {
            let origin = Manual::new().await;
            let world = World::to(&[origin.addr]).await;
            let mut client = world.client().await;
            client.send(GET).await;
            let mut upstream = origin.accept().await;
            upstream.head().await;
            upstream.send(OK).await;
            client.rest().await;
            drop(upstream);
            let mut client = world.client().await;
            client.send(request).await;
            let mut upstream = origin.accept().await;
            assert!(upstream.head().await.starts_with(method));
            upstream.send(OK).await;
            assert!(client.rest().await.contains("200 OK"));
        }
    });
}

#[test]
fn a_post_that_a_kept_connection_swallowed_is_not_sent_again() {
    run(async {
        let origin = Manual::new().await;
        let world = World::to(&[origin.addr]).await;
        let mut client = world.client().await;
        client.send(GET).await;
        let mut upstream = origin.accept().await;
        upstream.head().await;
        upstream.send(OK).await;
        client.rest().await;
        let mut client = world.client().await;
        client.send(POST).await;
        upstream.until("\r\n\r\nx").await;
        drop(upstream);
        assert!(client.rest().await.ends_with("upstream_reset\n"));
        assert!(origin.is_untouched());
    });
}

#[test]
fn nothing_is_sent_again_once_a_byte_of_the_response_came() {
    run(async {
        let origin = Manual::new().await;
        let world = World::to(&[origin.addr]).await;
        let mut client = world.client().await;
        client.send(GET).await;
        let mut upstream = origin.accept().await;
        upstream.head().await;
        upstream.send("HTTP/1.1 2").await;
        drop(upstream);
        assert!(client.rest().await.ends_with("upstream_reset\n"));
        assert!(origin.is_untouched());
    });
}

#[test]
fn a_client_that_goes_away_takes_its_request_along() {
    run(async {
        let origin = Manual::new().await;
        let world = World::to(&[origin.addr]).await;
        let mut client = world.client().await;
        client.send(GET).await;
        let mut upstream = origin.accept().await;
        upstream.head().await;
        drop(client);
        assert_eq!(upstream.rest().await, "");
    });
}

#[test]
fn only_what_was_kept_of_a_body_can_be_sent_again() {
    for (retry_bytes, is_sent_again) in [(8 * 1024, true), (64, false)] {
        run(async {
            let [first, second] = &[Manual::new().await, Manual::new().await];
            let mut world = World::with(Limits { retry_bytes, ..Limits::default() }).await;
            let to = forward("web", &[first.addr, second.addr]);
            world.publish(vec![rule(HostMatch::Any, "", to)], None);
            let mut client = world.client().await;
            let head =
                "PUT / HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: 6\r\n\r\n";
            client.send(format!("{head}abc")).await;
            let (mut upstream, other) = tokio::select! {
                it = first.accept() => (it, second),
                it = second.accept() => (it, first),
            };
            upstream.until("abc").await;
            client.send("def").await;
            upstream.until("def").await;
            drop(upstream);
            if is_sent_again {
                let mut upstream = other.accept().await;
                upstream.until("abcdef").await;
                upstream.send(OK).await;
                assert!(client.rest().await.contains("200 OK"));
            } else {
                assert!(client.rest().await.ends_with("upstream_reset\n"));
                assert!(other.is_untouched());
            }
        });
    }
}
