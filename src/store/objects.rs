//! The objects by kind and key.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::manifest::core::{ConfigMap, Namespace, Node, Secret};
use crate::manifest::endpoints::{EndpointSlice, Endpoints};
use crate::manifest::ingress::{Ingress, IngressClass};
use crate::manifest::pod::Pod;
use crate::manifest::service::Service;
use crate::manifest::{ObjectKey, Origin};

/// One object as kept: shared, so that a compile copies nothing.
#[derive(Debug, PartialEq, Eq)]
pub struct Stored<T> {
    /// The object.
    pub object: Arc<T>,
    /// Where it is written.
    pub origin: Origin,
    /// It is the last good version of a text that is broken now.
    pub stale: bool,
}

impl<T> Clone for Stored<T> {
    fn clone(&self) -> Self {
        Self { object: self.object.clone(), origin: self.origin.clone(), stale: self.stale }
    }
}

/// Every object, each kind ordered by namespace and name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "each field holds the kind of its name")]
pub struct Objects {
    pub namespaces: BTreeMap<ObjectKey, Stored<Namespace>>,
    pub nodes: BTreeMap<ObjectKey, Stored<Node>>,
    pub pods: BTreeMap<ObjectKey, Stored<Pod>>,
    pub services: BTreeMap<ObjectKey, Stored<Service>>,
    pub endpoint_slices: BTreeMap<ObjectKey, Stored<EndpointSlice>>,
    pub endpoints: BTreeMap<ObjectKey, Stored<Endpoints>>,
    pub ingresses: BTreeMap<ObjectKey, Stored<Ingress>>,
    pub ingress_classes: BTreeMap<ObjectKey, Stored<IngressClass>>,
    pub secrets: BTreeMap<ObjectKey, Stored<Secret>>,
    pub config_maps: BTreeMap<ObjectKey, Stored<ConfigMap>>,
}

impl Objects {
    /// Puts an object in the place of its kind and key.
    pub fn apply(&mut self, sourced: &crate::source::Sourced) {
        let _ = sourced;
        todo!()
    }
}
