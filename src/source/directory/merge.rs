//! Files → one view of all objects; two views → what changed.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::manifest::yaml::{Occurrences, count_kinds};
use crate::manifest::{Code, Finding, ObjectRef};
use crate::source::{Batch, Event, Sourced};

use super::file::{File, Said};

/// Everything that the files say.
#[derive(Debug, Default)]
pub(super) struct View {
    objects: BTreeMap<ObjectRef, Arc<Sourced>>,
    findings: Vec<Finding>,
    /// Whether no object is written twice and none is stale: then the order of the files does not
    /// matter.
    is_plain: bool,
}

/// What files said before and say now.
#[derive(Debug, Default)]
pub(super) struct Edits(Vec<(Said, Said)>);

impl Edits {
    pub(super) fn add(&mut self, before: Said, now: Said) {
        self.0.push((before, now));
    }

    /// Whether they change nothing but objects.
    fn are_of_objects(&self) -> bool {
        self.0.iter().all(|(before, now)| {
            before.findings == now.findings && before.unknown_kinds == now.unknown_kinds
        })
    }

    fn before(&self) -> impl Iterator<Item = &Arc<Sourced>> {
        self.0.iter().flat_map(|(before, _)| &before.objects)
    }

    fn now(&self) -> impl Iterator<Item = &Arc<Sourced>> {
        self.0.iter().flat_map(|(_, now)| &now.objects)
    }
}

impl View {
    /// Merges the files in their order: the first who names an object has it. Stale versions
    /// come last, for an object may have moved to another file.
    pub(super) fn merge<'a>(
        files: impl Iterator<Item = &'a File> + Clone,
        mut findings: Vec<Finding>,
    ) -> Self {
        let mut objects = BTreeMap::new();
        let mut unknown_kinds = BTreeMap::new();
        for file in files.clone() {
            findings.extend(file.findings.iter().cloned());
            count_kinds(&mut unknown_kinds, &file.unknown_kinds);
            for object in file.objects.iter().filter(|object| !object.stale) {
                findings.extend(add(&mut objects, object));
            }
        }
        let mut written = 0;
        let mut is_plain = true;
        for object in files.flat_map(|file| &file.objects) {
            written += 1;
            if object.stale {
                is_plain = false;
                objects.entry(object.object.reference()).or_insert_with(|| object.clone());
            }
        }
        is_plain &= written == objects.len();
        findings.extend(unknown_kinds.iter().map(not_read));
        Self { objects, findings, is_plain }
    }

    /// Takes in edits without merging everything again, and tells what changed. `None`, and nothing
    /// is taken in: they touch what files have to be merged in their order for.
    pub(super) fn follow(&mut self, edits: &Edits) -> Option<Batch> {
        if edits.0.is_empty() {
            return Some(Batch::new());
        }
        if !self.is_plain || !edits.are_of_objects() {
            return None;
        }
        let mut gone: HashMap<ObjectRef, &Arc<Sourced>> =
            edits.before().map(|object| (object.object.reference(), object)).collect();
        let mut applied = BTreeMap::new();
        for object in edits.now() {
            let reference = object.object.reference();
            let was = gone.remove(&reference);
            let is_elsewhere = was.is_none()
                && (applied.contains_key(&reference) || self.objects.contains_key(&reference));
            if object.stale || is_elsewhere {
                return None;
            }
            let is_same = was.is_some_and(|was| Arc::ptr_eq(was, object) || was == object);
            applied.insert(reference, (object.clone(), is_same));
        }
        let mut deleted: Vec<ObjectRef> = gone.into_keys().collect();
        deleted.sort();
        let mut batch = Batch::new();
        for (reference, (object, is_same)) in applied {
            self.objects.insert(reference, object.clone());
            if !is_same {
                batch.push(Event::Apply(object));
            }
        }
        for reference in deleted {
            self.objects.remove(&reference);
            batch.push(Event::Delete(reference));
        }
        Some(batch)
    }

    /// All of it, as a first listing.
    pub(super) fn listing(&self) -> Batch {
        let objects = self.objects.values().cloned().map(Event::InitApply);
        let mut batch = vec![Event::Init];
        batch.extend(objects);
        batch.push(Event::InitDone);
        batch.push(Event::Findings(self.findings.clone()));
        batch
    }

    /// What makes `before` into this.
    pub(super) fn changes_since(&self, before: &Self) -> Batch {
        let is_new = |reference: &ObjectRef, object: &Arc<Sourced>| {
            let old = before.objects.get(reference);
            old.is_none_or(|old| !Arc::ptr_eq(old, object) && old != object)
        };
        let applied = self.objects.iter().filter(|(reference, object)| is_new(reference, object));
        let deleted = before.objects.keys().filter(|gone| !self.objects.contains_key(gone));
        let mut batch: Batch = applied.map(|(_, object)| Event::Apply(object.clone())).collect();
        batch.extend(deleted.cloned().map(Event::Delete));
        if self.findings != before.findings {
            batch.push(Event::Findings(self.findings.clone()));
        }
        batch
    }
}

fn add(objects: &mut BTreeMap<ObjectRef, Arc<Sourced>>, object: &Arc<Sourced>) -> Option<Finding> {
    match objects.entry(object.object.reference()) {
        Entry::Vacant(place) => {
            place.insert(object.clone());
            None
        }
        Entry::Occupied(first) => Some(duplicate(first.get(), object)),
    }
}

fn duplicate(first: &Sourced, second: &Sourced) -> Finding {
    let reference = second.object.reference();
    let message = format!("{reference} is already written in {}", first.origin);
    let finding = if first.object == second.object {
        Finding::warning(Code::DuplicateObject, &second.origin, message)
    } else {
        Finding::error(Code::DuplicateObject, &second.origin, message)
    };
    finding.about(reference).help("the first one counts; delete or rename the other")
}

fn not_read((kind, occurrences): (&String, &Occurrences)) -> Finding {
    let message = match occurrences.count {
        1 => format!("an object of kind {kind} is not read"),
        count => format!("{count} objects of kind {kind} are not read"),
    };
    let finding = Finding::note(Code::UnknownKind, &occurrences.first, message).at("kind");
    if !WORKLOADS.contains(&kind.as_str()) {
        return finding;
    }
    finding
        .help("endpoints come from Pods, EndpointSlices and Endpoints: nothing creates Pods here")
}

const WORKLOADS: [&str; 7] = [
    "Deployment",
    "StatefulSet",
    "DaemonSet",
    "ReplicaSet",
    "ReplicationController",
    "Job",
    "CronJob",
];
