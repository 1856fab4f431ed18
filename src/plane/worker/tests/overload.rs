use super::*;
use crate::manifest::{ObjectKey, Origin};
use crate::plane::tests::{named_echo, run};
use crate::snapshot::{HealthCheck, Reason};

/// Whether a fresh connection is reset.
async fn is_reset(site: &Site) -> bool {
    let mut client = site.client().await;
    client.stream.set_nodelay(true).expect("an option");
    let asked = b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";
    let sent = tokio::io::AsyncWriteExt::write_all(&mut client.stream, asked).await;
    let read = tokio::io::AsyncReadExt::read_buf(&mut client.stream, &mut client.read).await;
    sent.is_err() || read.is_err()
}

#[test]
fn at_90_percent_who_comes_is_refused_but_for_health_and_for_plain_http_which_is_told() {
    run(async {
        let mut site = Site::new();
        let health = Serve::Health(Arc::new(HealthCheck {
            service: ObjectKey::new("default", "web"),
            local_endpoints: 1,
            origin: Origin::default(),
        }));
        let plain = Serve::Http(http(None, &[HostMatch::Any]));
        let tls = tls_socket(Some(http(None, &[])), vec![(HostMatch::Any, TlsServe::Http)]);
        let way = Serve::Frontend(way("echo", named_echo("echo").await));
        for (percent, serve, expected) in [
            (85, &way, false),
            (92, &way, true),
            (92, &tls, true),
            (92, &plain, false),
            (92, &health, false),
            (97, &plain, true),
            (97, &health, false),
            (10, &way, false),
            (10, &plain, false),
        ] {
            site.publish(serve.clone());
            let before = site.core.ended("", Some(Reason::Overloaded));
            site.core.local.overload.note(percent, 100);
            while site.core.local.level.get() != site.core.local.overload.level() {
                tokio::task::yield_now().await;
            }
            assert_eq!(is_reset(&site).await, expected, "{percent} {serve:?}");
            let refused = site.core.ended("", Some(Reason::Overloaded)) - before;
            assert_eq!(refused, u64::from(expected), "{percent} {serve:?}");
        }
    });
}
