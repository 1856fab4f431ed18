//! What there is now: series of anything else are forgotten.

use std::collections::{BTreeMap, BTreeSet};

use crate::snapshot::{Snapshot, Upstream};

pub(super) fn routes(snapshot: &Snapshot) -> BTreeMap<&str, ()> {
    let http = snapshot.listeners.values().filter_map(|listener| listener.serve.http());
    http.flat_map(|http| http.rules()).map(|rule| (&*rule.label, ())).collect()
}

pub(super) fn upstreams(snapshot: &Snapshot) -> BTreeSet<String> {
    let routes = snapshot.zone.forward.routes();
    routes.flat_map(|route| route.upstreams).map(Upstream::to_string).collect()
}

pub(super) fn certificates(snapshot: &Snapshot) -> BTreeMap<String, i64> {
    let tables = snapshot.listeners.values().flat_map(|listener| listener.serve.tls_tables());
    let all = tables.chain([&snapshot.dns_tls]).flat_map(|table| table.certificates());
    all.map(|certificate| (certificate.secret.to_string(), certificate.not_after)).collect()
}
