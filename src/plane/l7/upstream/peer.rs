//! Who may share connections.

use std::rc::Rc;

use crate::plane::tls::{Client, Clients};
use crate::snapshot::{EndpointId, Protocol, Target};

/// An endpoint and how it is spoken to: only requests to the same peer share connections.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Peer {
    /// Where.
    pub(crate) endpoint: EndpointId,
    /// Which version of HTTP.
    pub(crate) protocol: Protocol,
    /// Within TLS, with what a policy says about certificates.
    pub(crate) tls: Option<Rc<Client>>,
    /// On behalf of one client, of whom it is told first (PROXY protocol).
    pub(crate) header: Option<Rc<[u8]>>,
}

impl Peer {
    /// An endpoint as `target` speaks to it.
    pub(crate) fn new(
        endpoint: EndpointId,
        target: &Target,
        clients: &Clients,
        header: Option<Rc<[u8]>>,
    ) -> Self {
        let tls = target.tls.as_ref().map(|tls| clients.of(tls, Some(target.protocol)));
        Self { endpoint, protocol: target.protocol, tls, header }
    }
}
