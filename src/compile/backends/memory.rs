//! Backends that need not be built again, because what they were built of is the same.
//!
//! The objects of the store are behind `Arc`s, and one that has not changed is the same `Arc`: so
//! whether a Service and its slices are what they were is a comparison of pointers. Remembered is
//! only what was built without a finding and of EndpointSlices alone: what is wrong must be said
//! each time, and a Pod belongs to a Service by its labels and not by its name.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::manifest::endpoints::EndpointSlice;
use crate::manifest::service::Service;
use crate::manifest::{ObjectKey, Origin};
use crate::store::Stored;

use super::ServiceBackends;
use crate::compile::corefile::Names;
use crate::compile::services::CheckedService;
use crate::compile::this_node::ThisNode;

/// The backends of the last compilation, by namespace and name of their Service.
#[derive(Clone, Debug, Default)]
pub(in crate::compile) struct Memory {
    setting: Option<Setting>,
    names: Option<Arc<Names>>,
    services: Vec<Remembered>,
}

/// It saves time and changes no outcome, so that two of them make no difference.
impl PartialEq for Memory {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Memory {}

/// What all backends depend on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::compile) struct Setting {
    /// Where rutter runs.
    pub(in crate::compile) node: ThisNode,
    /// Whether Pods give endpoints without hostname their names.
    pub(super) pod_hostnames: bool,
}

/// What was built of a Service.
#[derive(Clone, Debug)]
pub(in crate::compile) struct Remembered {
    service: Written<Service>,
    slices: Box<[Written<EndpointSlice>]>,
    built: Arc<ServiceBackends>,
}

/// An object, and where it is written.
#[derive(Clone, Debug)]
struct Written<T> {
    object: Arc<T>,
    origin: Origin,
}

impl<T> Written<T> {
    fn new(stored: &Stored<T>) -> Self {
        Self { object: stored.object.clone(), origin: stored.origin.clone() }
    }

    fn is(&self, stored: &Stored<T>) -> bool {
        Arc::ptr_eq(&self.object, &stored.object) && self.origin == stored.origin
    }
}

impl Remembered {
    pub(in crate::compile) fn new(
        service: &CheckedService<'_>,
        slices: &[(&ObjectKey, &Stored<EndpointSlice>)],
        built: Arc<ServiceBackends>,
    ) -> Self {
        let slices = slices.iter().map(|(_, stored)| Written::new(stored)).collect();
        Self { service: Written::new(service.stored), slices, built }
    }

    /// The outcome.
    pub(in crate::compile) fn built(&self) -> &Arc<ServiceBackends> {
        &self.built
    }

    /// What it was built of besides the Service.
    pub(in crate::compile) fn slices(&self) -> impl Iterator<Item = (ObjectKey, &EndpointSlice)> {
        self.slices.iter().map(|it| (it.object.metadata.key(), &*it.object))
    }

    /// Whether it is of this Service as it is, and no rule leads there.
    pub(in crate::compile) fn is_alone(&self, service: &CheckedService<'_>) -> bool {
        self.service.is(service.stored) && !self.built.has_rule.load(Ordering::Relaxed)
    }

    fn key(&self) -> (&str, &str) {
        let metadata = &self.service.object.metadata;
        (&metadata.namespace, &metadata.name)
    }

    fn is_of(
        &self,
        service: &CheckedService<'_>,
        slices: &[(&ObjectKey, &Stored<EndpointSlice>)],
    ) -> bool {
        self.service.is(service.stored)
            && self.slices.len() == slices.len()
            && self.slices.iter().zip(slices).all(|(it, (_, stored))| it.is(stored))
    }
}

impl Memory {
    /// What is remembered is in the order of the Services.
    pub(super) fn new(setting: Setting, names: Arc<Names>, services: Vec<Remembered>) -> Self {
        Self { setting: Some(setting), names: Some(names), services }
    }

    /// What all of it depends on; `None` before the first compilation.
    pub(in crate::compile) fn setting(&self) -> Option<&Setting> {
        self.setting.as_ref()
    }

    /// How names were answered then.
    pub(in crate::compile) fn names(&self) -> Option<&Arc<Names>> {
        self.names.as_ref()
    }

    /// What is remembered of a Service.
    pub(in crate::compile) fn find(&self, service: &ObjectKey) -> Option<&Remembered> {
        self.services.get(self.place((&service.namespace, &service.name)).ok()?)
    }

    /// In the place of what is remembered of the same Service.
    pub(in crate::compile) fn replace(&mut self, now: Remembered) {
        if let Ok(place) = self.place(now.key())
            && let Some(it) = self.services.get_mut(place)
        {
            *it = now;
        }
    }

    fn place(&self, key: (&str, &str)) -> Result<usize, usize> {
        self.services.binary_search_by(|it| it.key().cmp(&key))
    }

    /// What is remembered of the same setting.
    pub(super) fn recall(&self, setting: &Setting) -> Recall<'_> {
        let is_same = self.setting.as_ref() == Some(setting);
        Recall { rest: if is_same { &self.services } else { &[] } }
    }
}

/// What is remembered, asked for in the order of the Services.
pub(super) struct Recall<'a> {
    rest: &'a [Remembered],
}

impl<'a> Recall<'a> {
    /// What was built of this Service and these slices.
    pub(super) fn built_of(
        &mut self,
        service: &CheckedService<'_>,
        slices: &[(&ObjectKey, &Stored<EndpointSlice>)],
    ) -> Option<&'a Remembered> {
        let key = (&*service.key.namespace, &*service.key.name);
        while let Some((first, rest)) = self.rest.split_first() {
            if first.key() > key {
                return None;
            }
            self.rest = rest;
            if first.key() == key {
                return Some(first).filter(|it| it.is_of(service, slices));
            }
        }
        None
    }
}
