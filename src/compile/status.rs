//! `status` of Gateway API objects, as their users and the conformance suite expect it.
//!
//! Made for every object of the group, whoever writes it to an API server later; `check -o json`
//! and `/report` show it. The JSON form is that of the CRDs.

use std::net::IpAddr;
use std::sync::Arc;

use serde::{Serialize, Serializer};

use crate::manifest::gateway::ParentReference;

/// The `status` of one object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Status {
    /// `GatewayClass.status`.
    #[serde(rename_all = "camelCase")]
    GatewayClass {
        /// `Accepted`, `SupportedVersion`.
        conditions: Vec<Condition>,
        /// Sorted by name.
        supported_features: Vec<SupportedFeature>,
    },
    /// `Gateway.status`.
    #[serde(rename_all = "camelCase")]
    Gateway {
        /// Where it listens.
        addresses: Vec<StatusAddress>,
        /// `Accepted`, `Programmed`, …
        conditions: Vec<Condition>,
        /// In the order of `spec.listeners`.
        listeners: Vec<ListenerStatus>,
        /// How many ListenerSets are attached.
        attached_listener_sets: usize,
    },
    /// `ListenerSet.status`.
    ListenerSet {
        /// `Accepted`, `Programmed`.
        conditions: Vec<Condition>,
        /// In the order of `spec.listeners`.
        listeners: Vec<ListenerStatus>,
    },
    /// `status` of a route of any kind.
    Route {
        /// One for each parent reference that is ours.
        parents: Vec<RouteParentStatus>,
    },
    /// `status` of a policy.
    Policy {
        /// One for each Gateway through which its target is reached.
        ancestors: Vec<PolicyAncestorStatus>,
    },
}

/// meta/v1 `Condition`, without the time of its last transition, which who writes it knows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// `Accepted`, `ResolvedRefs`, …
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// `"True"` or `"False"`.
    #[serde(rename = "status", serialize_with = "as_text")]
    pub holds: bool,
    /// One word.
    pub reason: &'static str,
    /// For people.
    pub message: String,
    /// The generation of the object that this is about.
    pub observed_generation: i64,
}

fn as_text<S: Serializer>(holds: &bool, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(if *holds { "True" } else { "False" })
}

impl Condition {
    /// A condition that holds.
    pub fn yes(kind: &'static str, reason: &'static str, generation: i64) -> Self {
        Self::new(kind, true, reason, String::new(), generation)
    }

    /// A condition that does not hold, and why.
    pub fn no(
        kind: &'static str,
        reason: &'static str,
        message: impl Into<String>,
        generation: i64,
    ) -> Self {
        Self::new(kind, false, reason, message.into(), generation)
    }

    fn new(
        kind: &'static str,
        holds: bool,
        reason: &'static str,
        message: String,
        observed_generation: i64,
    ) -> Self {
        Self { kind, holds, reason, message, observed_generation }
    }
}

/// A feature by its name in the Gateway API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct SupportedFeature {
    /// `HTTPRouteCORS` and the like.
    pub name: &'static str,
}

/// An address that a Gateway has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StatusAddress {
    /// `IPAddress`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// The address.
    pub value: IpAddr,
}

/// `status.listeners[]` of a Gateway or ListenerSet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ListenerStatus {
    /// The name of the listener.
    pub name: Arc<str>,
    /// Which kinds of routes may attach.
    pub supported_kinds: Vec<SupportedKind>,
    /// How many routes have attached.
    pub attached_routes: usize,
    /// `Accepted`, `Programmed`, `ResolvedRefs`, `Conflicted`, …
    pub conditions: Vec<Condition>,
}

/// A kind of route.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct SupportedKind {
    /// The group.
    pub group: &'static str,
    /// The kind.
    pub kind: &'static str,
}

/// `status.parents[]` of a route.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RouteParentStatus {
    /// As the route has it.
    pub parent_ref: ParentReference,
    /// Ours.
    pub controller_name: &'static str,
    /// `Accepted`, `ResolvedRefs`.
    pub conditions: Vec<Condition>,
}

/// `status.ancestors[]` of a policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PolicyAncestorStatus {
    /// A Gateway.
    pub ancestor_ref: ParentReference,
    /// Ours.
    pub controller_name: &'static str,
    /// `Accepted`, `ResolvedRefs`.
    pub conditions: Vec<Condition>,
}
