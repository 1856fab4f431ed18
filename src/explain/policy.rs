//! What a Service says about its traffic: who may connect, which endpoints, for how long.

use std::net::IpAddr;

use super::socket::Arrival;
use super::{Candidate, Explanation, Place};
use crate::snapshot::{EndpointSet, Exposure, Frontend, Place as Where};

pub(super) fn explain(frontend: &Frontend, arrival: &Arrival, explanation: &mut Explanation) {
    sources(frontend, arrival.from, explanation);
    let (field, verdict) = match (frontend.policy.is_local, frontend.exposure) {
        (false, _) | (_, Exposure::Gateway) => ("", String::new()),
        (true, Exposure::ClusterIp) => {
            ("spec.internalTrafficPolicy", "internal Local: endpoints of this node only".to_owned())
        }
        (true, Exposure::NodePort | Exposure::LoadBalancer | Exposure::ExternalIp) => (
            "spec.externalTrafficPolicy",
            format!("external Local: {}", from_outside(frontend, arrival)),
        ),
    };
    if !field.is_empty() {
        explanation.step("policy", verdict).place = Place::new(&frontend.origin, field);
    }
    if let Some(timeout) = frontend.affinity() {
        let seconds = timeout.as_secs();
        let verdict =
            format!("a client keeps its endpoint for {seconds} s after its last connection");
        let place = Place::new(&frontend.origin, "spec.sessionAffinity");
        explanation.step("affinity", verdict).place = place;
    }
}

fn from_outside(frontend: &Frontend, arrival: &Arrival) -> String {
    let Some(from) = arrival.from else {
        return "clients from outside get endpoints of this node only (ask with --from)".to_owned();
    };
    let place = frontend.policy.network.place(from, arrival.at);
    let who = match place {
        Where::Pod => "a pod",
        Where::Node => "this node",
        Where::Outside => "outside",
    };
    match frontend.set(place) {
        EndpointSet::Local => format!("{from} is {who}, and gets endpoints of this node only"),
        EndpointSet::Cluster => format!("{from} is {who}, and gets endpoints of every node"),
    }
}

fn sources(frontend: &Frontend, from: Option<IpAddr>, explanation: &mut Explanation) {
    let Some(ranges) = &frontend.policy.sources else { return };
    let verdict = match from {
        Some(from) if frontend.policy.admits(from) => format!("{from} may connect"),
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
    step.place = Place::new(&frontend.origin, "spec.loadBalancerSourceRanges");
    step.candidates = candidates;
}
