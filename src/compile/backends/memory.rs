//! Backends that need not be built again, because what they were built of is the same.
//!
//! The objects of the store are behind `Arc`s, and one that has not changed is the same `Arc`: so
//! whether a Service and its slices are what they were is a comparison of pointers. Built again is
//! what was not built of EndpointSlices alone, or not without a finding: what is wrong must be said
//! each time, and a Pod belongs to a Service by its labels and not by its name.
//!
//! The zone of that compilation is remembered too, so that only the names of Services that changed
//! are put in their places: names are as many as endpoints, and need sorting.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::manifest::endpoints::EndpointSlice;
use crate::manifest::service::Service;
use crate::manifest::{ObjectKey, Origin};
use crate::snapshot::Zone;
use crate::store::Stored;

use super::ServiceBackends;
use crate::compile::corefile::Names;
use crate::compile::differing::differing;
use crate::compile::services::CheckedService;
use crate::compile::this_node::ThisNode;

/// The backends of the last compilation, by namespace and name of their Service.
#[derive(Clone, Debug, Default)]
pub(in crate::compile) struct Memory {
    setting: Option<Setting>,
    names: Option<Arc<Names>>,
    services: Vec<Remembered>,
    zone: Arc<Zone>,
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
    /// `None`: others are behind it as well, or something is wrong.
    slices: Option<Box<[Written<EndpointSlice>]>>,
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
        self.is_at(&stored.object, &stored.origin)
    }

    fn is_at(&self, object: &Arc<T>, origin: &Origin) -> bool {
        Arc::ptr_eq(&self.object, object) && self.origin == *origin
    }
}

impl Remembered {
    pub(in crate::compile) fn new(
        service: &CheckedService<'_>,
        slices: Option<&[(&ObjectKey, &Stored<EndpointSlice>)]>,
        built: Arc<ServiceBackends>,
    ) -> Self {
        let written = |(_, stored): &(&ObjectKey, &Stored<EndpointSlice>)| Written::new(stored);
        let slices = slices.map(|slices| slices.iter().map(written).collect());
        Self { service: Written::new(service.stored), slices, built }
    }

    /// The outcome.
    pub(in crate::compile) fn built(&self) -> &Arc<ServiceBackends> {
        &self.built
    }

    /// What it was built of besides the Service.
    pub(in crate::compile) fn slices(&self) -> impl Iterator<Item = (ObjectKey, &EndpointSlice)> {
        let slices = self.slices.iter().flatten();
        slices.map(|it| (it.object.metadata.key(), &*it.object))
    }

    /// Whether it is of this Service as it is and of slices alone, and no rule leads there.
    pub(in crate::compile) fn is_alone(&self, service: &CheckedService<'_>) -> bool {
        self.service.is(service.stored)
            && self.slices.is_some()
            && !self.built.has_rule.load(Ordering::Relaxed)
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
        let are_same = |known: &[Written<EndpointSlice>]| {
            known.len() == slices.len()
                && known.iter().zip(slices).all(|(it, (_, stored))| it.is(stored))
        };
        self.service.is(service.stored) && self.slices.as_deref().is_some_and(are_same)
    }

    /// Whether it is of the same Service with the same outcome.
    fn is_same(&self, other: &Self) -> bool {
        let Written { object, origin } = &other.service;
        self.service.is_at(object, origin) && Arc::ptr_eq(&self.built, &other.built)
    }
}

impl Memory {
    /// What is remembered is in the order of the Services.
    pub(super) fn new(setting: Setting, names: Arc<Names>, services: Vec<Remembered>) -> Self {
        Self { setting: Some(setting), names: Some(names), services, zone: Arc::default() }
    }

    /// The names of the same compilation.
    pub(in crate::compile) fn zone(&self) -> &Zone {
        &self.zone
    }

    /// Keeps the names of the same compilation.
    pub(in crate::compile) fn keep_zone(&mut self, zone: Arc<Zone>) {
        self.zone = zone;
    }

    /// The Services that came, changed or went since `before`, and those whose endpoints did.
    pub(in crate::compile) fn changed_since(&self, before: &Self) -> Vec<ObjectKey> {
        let [before, now] =
            [before, self].map(|memory| memory.services.iter().map(|it| (it.key(), it)));
        let changed = differing(before, now, |before, now| before.is_same(now));
        changed.into_iter().map(|(namespace, name)| ObjectKey::new(namespace, name)).collect()
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
