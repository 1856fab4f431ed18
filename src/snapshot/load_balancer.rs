//! Why a LoadBalancer has the addresses that it has. No plane reads it; people do.

use std::net::IpAddr;
use std::sync::Arc;

use serde::Serialize;

use crate::manifest::Origin;

/// Which addresses a LoadBalancer has, and why.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct LoadBalancer {
    /// One a family, if it does not ask for more.
    pub addresses: Vec<GivenAddress>,
    /// Why it has none of a family, or not the one that it asks for; a clause each.
    pub missing: Vec<Arc<str>>,
}

/// An address, and why it is this one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct GivenAddress {
    /// The address.
    pub ip: IpAddr,
    /// Whose it is: `IPAddressPool metallb-system/lan`, `--lb-pool`, `this node`, `its status`.
    pub source: Arc<str>,
    /// Where the pool is written, if it is an object.
    pub origin: Origin,
    /// Why: `automatic`, `asked for by spec.loadBalancerIP`.
    pub why: Arc<str>,
    /// Whether rutter gave it from a pool: then it may be announced.
    #[serde(skip)]
    pub is_pooled: bool,
}
