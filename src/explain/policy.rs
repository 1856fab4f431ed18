//! What a Service says about its traffic: who may connect, which endpoints, for how long.

use std::net::IpAddr;

use super::{Candidate, Explanation, Place};
use crate::manifest::Origin;
use crate::snapshot::{Policy, Reach};

pub(super) fn explain(
    policy: &Policy,
    origin: &Origin,
    from: Option<IpAddr>,
    explanation: &mut Explanation,
) {
    sources(policy, origin, from, explanation);
    let (field, verdict) = match &policy.reach {
        Reach::Cluster => ("", String::new()),
        Reach::Node => {
            ("spec.internalTrafficPolicy", "internal Local: endpoints of this node only".to_owned())
        }
        Reach::NodeFromOutside { .. } => (
            "spec.externalTrafficPolicy",
            format!("external Local: {}", from_outside(policy, from)),
        ),
    };
    if !field.is_empty() {
        explanation.step("policy", verdict).place = Place::new(origin, field);
    }
    if let Some(timeout) = policy.affinity {
        let seconds = timeout.as_secs();
        let verdict =
            format!("a client keeps its endpoint for {seconds} s after its last connection");
        explanation.step("affinity", verdict).place = Place::new(origin, "spec.sessionAffinity");
    }
}

fn from_outside(policy: &Policy, from: Option<IpAddr>) -> String {
    match from {
        Some(from) if policy.is_local_for(from) => {
            format!("{from} is outside, and gets endpoints of this node only")
        }
        Some(from) => format!("{from} is a pod or the node, and gets endpoints of every node"),
        None => "clients from outside get endpoints of this node only (ask with --from)".to_owned(),
    }
}

fn sources(policy: &Policy, origin: &Origin, from: Option<IpAddr>, explanation: &mut Explanation) {
    let Some(ranges) = &policy.sources else { return };
    let verdict = match from {
        Some(from) if policy.admits(from) => format!("{from} may connect"),
        Some(from) => format!("{from} is in none of these ranges"),
        None => "only clients of these ranges may connect".to_owned(),
    };
    let candidates = ranges.iter().map(|range| {
        let taken = from.is_some_and(|from| range.contains(&from.to_canonical()));
        let why = match (from, taken) {
            (Some(from), true) => format!("it has {from}"),
            (Some(from), false) => format!("{from} is outside"),
            (None, _) => "its clients may connect".to_owned(),
        };
        Candidate { what: range.to_string(), taken, why, place: None }
    });
    let candidates = candidates.collect();
    let step = explanation.step("source ranges", verdict);
    step.place = Place::new(origin, "spec.loadBalancerSourceRanges");
    step.candidates = candidates;
}
