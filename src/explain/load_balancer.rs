//! Which addresses a LoadBalancer has: of which pool, and why; and which node announces them.

use std::net::IpAddr;

use super::{Candidate, Explanation, Place};
use crate::manifest::{Kind, ObjectRef};
use crate::snapshot::{Announcement, Snapshot};

/// Says it of the Service that is spoken of, if it is a LoadBalancer. `asked` is the address that
/// is asked about.
pub(super) fn explain(
    snapshot: &Snapshot,
    owner: &ObjectRef,
    asked: IpAddr,
    explanation: &mut Explanation,
) {
    let told = snapshot.load_balancers.get(&owner.key);
    let Some(told) = told.filter(|_| owner.kind == Kind::Service) else { return };
    let given = told.addresses.iter().map(|given| Candidate {
        what: given.ip.to_string(),
        taken: given.ip == asked,
        why: format!("of {}: {}", given.source, given.why),
        place: Place::new(&given.origin, ""),
    });
    let given = given.collect();
    let mut verdict = match told.addresses.len() {
        0 => "no address".to_owned(),
        1 => "one address".to_owned(),
        count => format!("{count} addresses"),
    };
    for why in &told.missing {
        verdict = format!("{verdict}; {why}");
    }
    explanation.step("load balancer", verdict).candidates = given;
    for given in &told.addresses {
        if let Some(announcement) = snapshot.announcements.get(&given.ip) {
            announced(given.ip, announcement, explanation);
        }
    }
}

/// Which node answers for an address, who takes over from it, and who may not.
fn announced(ip: IpAddr, announcement: &Announcement, explanation: &mut Explanation) {
    let why = &announcement.why;
    let verdict = match announcement.owner() {
        Some(node) if announcement.is_here => format!("{ip} by this node ({node}): {why}"),
        Some(node) => format!("{ip} by node {node}, not by this one: {why}"),
        None => format!("{ip} by nobody: {why}"),
    };
    let may = announcement.nodes.iter().enumerate().map(|(place, node)| Candidate {
        what: format!("node {node}"),
        taken: place == 0,
        why: if place == 0 { "announces" } else { "takes over when those before it go" }.to_owned(),
        place: None,
    });
    let may_not = announcement.excluded.iter().map(|excluded| Candidate {
        what: format!("node {}", excluded.name),
        taken: false,
        why: excluded.why.to_owned(),
        place: None,
    });
    let candidates = may.chain(may_not).collect();
    explanation.step("announcement", verdict).candidates = candidates;
}

/// The LoadBalancers that have an address, or would have: who asks about one that nobody listens
/// on wants to know why.
pub(super) fn nobody(snapshot: &Snapshot, asked: IpAddr) -> Vec<Candidate> {
    let text = asked.to_string();
    let mut found = Vec::new();
    for (service, told) in snapshot.load_balancers.iter() {
        let has = told.addresses.iter().any(|given| given.ip == asked);
        let names = |why: &&std::sync::Arc<str>| why.split([' ', ',', ':']).any(|it| it == text);
        if let Some(why) = told.missing.iter().find(names).filter(|_| !has) {
            found.push(Candidate {
                what: format!("Service {service}"),
                taken: false,
                why: why.to_string(),
                place: None,
            });
        }
    }
    found
}
