//! HTTPRoute: mirrors.

use std::sync::atomic::{AtomicU32, Ordering};

use crate::common::PATIENCE;
use crate::http_filters::{SAME, modified, start};
use crate::suite::case::{backend_of, get};
use crate::suite::client::Way;
use crate::suite::{Suite, V1, V2, V3};

/// A path that no other request has.
fn unique(path: &str) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("{path}?id={}", NEXT.fetch_add(1, Ordering::Relaxed))
}

/// How many requests for a target the pods of a backend got.
fn count(suite: &Suite, backend: &str, target: &str) -> usize {
    let requests = suite.journal.requests();
    requests.iter().filter(|it| backend_of(&it.pod) == backend && it.target == target).count()
}

#[track_caller]
fn wait_for_mirrored(suite: &Suite, backend: &str, target: &str, least: usize) {
    let came = suite.journal.wait_for(PATIENCE, |requests| {
        let is_mirrored =
            |it: &&rutter::echo::Asked| backend_of(&it.pod) == backend && it.target == target;
        requests.iter().filter(is_mirrored).count() >= least
    });
    assert!(came, "{backend} did not get {target} {least} times");
}

/// HTTPRouteRequestMirror, HTTPRouteRequestMultipleMirrors
#[test]
fn requests_are_mirrored_to_one_backend_and_to_several() {
    for (manifests, route, paths, mirrors) in [
        (
            "httproute-request-mirror.yaml",
            "request-mirror",
            ["/mirror", "/mirror-and-modify-headers"],
            &[V2][..],
        ),
        (
            "httproute-request-multiple-mirrors.yaml",
            "request-multiple-mirrors",
            ["/multi-mirror", "/multi-mirror-and-modify-request-headers"],
            &[V2, V3],
        ),
    ] {
        let suite = start(manifests, &[route]);
        let [plain, modifying] = paths.map(unique);
        suite.check_http(SAME, &[get(&plain).to(V1), modified(get(&modifying)).to(V1)]);
        for mirror in mirrors {
            for target in [&plain, &modifying] {
                wait_for_mirrored(&suite, mirror, target, 1);
                assert_eq!(count(&suite, mirror, target), 1, "{mirror} {target}");
            }
        }
    }
}

/// HTTPRouteRequestPercentageMirror
#[test]
fn a_share_of_the_requests_is_mirrored() {
    const REQUESTS: usize = 2_000;
    let suite = start("httproute-request-percentage-mirror.yaml", &["request-percentage-mirror"]);
    let way = Way::plain(suite.address(SAME, 80));
    for (path, percent, is_modified) in [
        ("/percent-mirror", 20, false),
        ("/percent-mirror-fraction", 50, false),
        ("/percent-mirror-and-modify-headers", 35, true),
    ] {
        let target = unique(path);
        let case = get(&target).to(V1);
        let case = if is_modified { modified(case) } else { case };
        suite.check(&way, &vec![case; REQUESTS]);
        wait_for_mirrored(&suite, V2, &target, REQUESTS * (percent - 5) / 100);
        let mirrored = count(&suite, V2, &target);
        assert!(mirrored <= REQUESTS * (percent + 5) / 100, "{path}: {mirrored}");
    }
}
