//! Events → objects: what the sources have said so far.

use crate::compile::{SliceChanges, service_of};
use crate::manifest::endpoints::EndpointSlice;
use crate::manifest::{Finding, Kind, Object, ObjectKey, ObjectRef};
use crate::source::{Batch, Event, Sourced};

use super::Objects;

/// What has come in since it was last looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Changes {
    /// Nothing.
    #[default]
    None,
    /// EndpointSlices of Services.
    Slices(SliceChanges),
    /// Anything.
    Any,
}

impl Changes {
    /// A slice came, changed or went.
    fn slice(&mut self, key: &ObjectKey, slice: &EndpointSlice) {
        let Some(service) = service_of(key, slice) else {
            *self = Self::Any;
            return;
        };
        if *self == Self::None {
            *self = Self::Slices(SliceChanges::new());
        }
        if let Self::Slices(slices) = self {
            slices.entry(service).or_default().insert(key.clone());
        }
    }
}

/// The objects as of the last event, and a listing while it is coming in.
#[derive(Debug, Default)]
pub struct Inbox {
    /// Every object.
    pub objects: Objects,
    /// What the source complains about.
    pub findings: Vec<Finding>,
    /// Whether the source says more soon.
    pub is_waiting: bool,
    /// Whether a listing was complete once.
    pub is_synced: bool,
    /// What has changed since somebody took it.
    pub changes: Changes,
    /// Between `Init` and `InitDone`; replaces `objects` then, so that nothing is missing while
    /// a source lists again.
    listing: Option<Objects>,
}

impl Inbox {
    /// Takes in a batch.
    pub fn apply(&mut self, batch: Batch) {
        batch.into_iter().for_each(|event| self.event(event));
    }

    fn event(&mut self, event: Event) {
        match event {
            Event::Init => self.listing = Some(Objects::default()),
            Event::InitApply(object) => {
                self.listing.get_or_insert_default().apply(&object);
            }
            Event::InitDone => {
                self.objects = self.listing.take().unwrap_or_default();
                self.is_synced = true;
                self.changes = Changes::Any;
            }
            Event::Apply(object) => {
                self.note(&object.object.reference(), Some(&object));
                self.objects.apply(&object);
            }
            Event::Delete(reference) => {
                self.note(&reference, None);
                self.objects.remove(&reference);
            }
            Event::Findings(findings) => {
                self.findings = findings;
                self.changes = Changes::Any;
            }
            Event::Waiting(is_waiting) => self.is_waiting = is_waiting,
        }
    }

    /// Notes that an object is about to be replaced, or to go.
    fn note(&mut self, reference: &ObjectRef, next: Option<&Sourced>) {
        let is_slice = reference.kind == Kind::EndpointSlice && next.is_none_or(|it| !it.stale);
        if !is_slice {
            self.changes = Changes::Any;
            return;
        }
        if let Some(was) = self.objects.endpoint_slices.get(&reference.key) {
            self.changes.slice(&reference.key, &was.object);
            if was.stale {
                self.changes = Changes::Any;
            }
        }
        if let Some(Object::EndpointSlice(slice)) = next.map(|it| &it.object) {
            self.changes.slice(&reference.key, slice);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::manifest::yaml::decode;
    use crate::manifest::{Kind, ObjectKey, ObjectRef};
    use crate::source::Sourced;
    use crate::store::Count;

    fn config_map(name: &str) -> Arc<Sourced> {
        let text = format!("apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {name}\n");
        let (object, origin) =
            decode("test.yaml", &text).objects.pop().expect("the text must be an object");
        Arc::new(Sourced { object, origin, stale: name.starts_with("old") })
    }

    fn names(inbox: &Inbox) -> Vec<String> {
        inbox.objects.config_maps.keys().map(ToString::to_string).collect()
    }

    #[test]
    fn a_listing_takes_effect_when_it_is_complete() {
        let mut inbox = Inbox::default();
        inbox.apply(vec![Event::Init, Event::InitApply(config_map("a"))]);
        assert!(!inbox.is_synced);
        assert_eq!(inbox.objects, Objects::default());
        inbox.apply(vec![Event::InitDone]);
        assert!(inbox.is_synced);
        assert_eq!(names(&inbox), ["default/a"]);

        inbox.apply(vec![Event::Init, Event::InitApply(config_map("b"))]);
        assert_eq!(names(&inbox), ["default/a"]);
        inbox.apply(vec![Event::InitDone]);
        assert_eq!(names(&inbox), ["default/b"]);
    }

    #[test]
    fn objects_come_and_go_and_are_counted() {
        let mut inbox = Inbox::default();
        inbox.apply(vec![
            Event::Init,
            Event::InitDone,
            Event::Apply(config_map("a")),
            Event::Apply(config_map("old")),
        ]);
        assert_eq!(inbox.objects.count(Kind::ConfigMap), Count { all: 2, stale: 1 });
        assert_eq!(inbox.objects.total(), Count { all: 2, stale: 1 });
        let a = ObjectRef::new(Kind::ConfigMap, ObjectKey::new("default", "a"));
        inbox.apply(vec![Event::Delete(a.clone()), Event::Delete(a)]);
        assert_eq!(names(&inbox), ["default/old"]);
    }
}
