//! What `compile` says to people.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Serialize, Serializer};

use crate::manifest::{Code, Finding, Kind, ObjectKey, ObjectRef, Origin, finding, similar};
use crate::snapshot::LoadBalancer;
use crate::store::{Objects, Stored};

use super::status::Status;

/// What is wrong, and what there is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Sorted: errors first, then by file and line.
    pub findings: Vec<Finding>,
    /// How many objects of each kind.
    pub objects: BTreeMap<Kind, usize>,
    /// The status of every object of the Gateway API, by kind, namespace and name.
    #[serde(serialize_with = "as_list")]
    pub statuses: BTreeMap<ObjectRef, Status>,
    /// What stands for each Gateway in a cluster.
    pub infrastructure: Vec<InfrastructureService>,
    /// Certificates that are to be ordered, by namespace and name of their Secrets.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub certificates: Vec<WantedCertificate>,
    /// Which addresses each LoadBalancer is given, and why, by namespace and name.
    #[serde(serialize_with = "as_services")]
    pub load_balancers: BTreeMap<ObjectKey, LoadBalancer>,
}

/// A certificate that objects ask for by annotation (ACME).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct WantedCertificate {
    /// Where it is looked for.
    pub secret: ObjectKey,
    /// The hosts that it is for, in lower case, sorted; never empty.
    pub names: Vec<Arc<str>>,
}

/// A headless Service without selector that stands for a Gateway.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct InfrastructureService {
    /// That of the Gateway.
    pub namespace: Arc<str>,
    /// `GATEWAY-CLASS`.
    pub name: Arc<str>,
    /// Those of `spec.infrastructure`, and the names of Gateway and class.
    pub labels: BTreeMap<Arc<str>, Arc<str>>,
    /// Those of `spec.infrastructure`.
    pub annotations: BTreeMap<Arc<str>, Arc<str>>,
    /// The ports of its listeners by name: `tcp-80`.
    pub ports: BTreeMap<Arc<str>, u16>,
}

impl Report {
    /// How many objects of a kind there are.
    pub fn count(&mut self, kind: Kind, count: usize) {
        self.objects.insert(kind, count);
        self.objects.retain(|_, count| *count > 0);
    }
}

/// A list of `{kind, namespace, name, status}`: JSON has no keys that are objects.
fn as_list<S: Serializer>(
    statuses: &BTreeMap<ObjectRef, Status>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    #[derive(Serialize)]
    struct Entry<'a> {
        #[serde(flatten)]
        object: &'a ObjectRef,
        status: &'a Status,
    }
    serializer.collect_seq(statuses.iter().map(|(object, status)| Entry { object, status }))
}

/// A list of `{namespace, name, addresses, missing}`.
fn as_services<S: Serializer>(
    load_balancers: &BTreeMap<ObjectKey, LoadBalancer>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    #[derive(Serialize)]
    struct Entry<'a> {
        #[serde(flatten)]
        service: &'a ObjectKey,
        #[serde(flatten)]
        load_balancer: &'a LoadBalancer,
    }
    let entry = |(service, load_balancer)| Entry { service, load_balancer };
    serializer.collect_seq(load_balancers.iter().map(entry))
}

/// Collects findings while a compilation runs.
#[derive(Debug, Default)]
pub(super) struct Findings {
    list: Vec<Finding>,
    suggested: usize,
    statuses: BTreeMap<ObjectRef, Status>,
    infrastructure: Vec<InfrastructureService>,
    certificates: Vec<WantedCertificate>,
    load_balancers: BTreeMap<ObjectKey, LoadBalancer>,
}

impl Findings {
    /// Begins with those that were made before.
    pub(super) fn new(list: Vec<Finding>) -> Self {
        Self { list, ..Self::default() }
    }

    pub(super) fn push(&mut self, finding: Finding) {
        self.list.push(finding);
    }

    /// How many there are so far.
    pub(super) fn len(&self) -> usize {
        self.list.len()
    }

    /// Takes back all but the first `length`: they were said already.
    pub(super) fn truncate(&mut self, length: usize) {
        self.list.truncate(length);
    }

    /// Of those behind the first `length`, what says the same about the same field is said once.
    pub(super) fn say_once(&mut self, length: usize) {
        let mut said = BTreeSet::new();
        let mut fresh = self.list.split_off(length.min(self.list.len()));
        fresh.retain(|it| said.insert((it.field.clone(), it.message.clone())));
        self.list.append(&mut fresh);
    }

    /// Says what stands for Gateways in a cluster.
    pub(super) fn infrastructure(&mut self, services: Vec<InfrastructureService>) {
        self.infrastructure = services;
    }

    /// Says which certificates are to be ordered.
    pub(super) fn wanted_certificates(&mut self, certificates: Vec<WantedCertificate>) {
        self.certificates = certificates;
    }

    /// Says which addresses LoadBalancers have.
    pub(super) fn load_balancers(&mut self, told: &BTreeMap<ObjectKey, LoadBalancer>) {
        self.load_balancers = told.clone();
    }

    /// Says what the status of an object is.
    pub(super) fn status(&mut self, object: ObjectRef, status: Status) {
        self.statuses.insert(object, status);
    }

    /// What a name that does not exist was probably meant to be, as a help text.
    ///
    /// Comparing names is slow, so a compilation does it for the first [`MOST_SUGGESTIONS`] only:
    /// ten thousand wrong references must not make a change wait.
    pub(super) fn did_you_mean<'a>(
        &mut self,
        name: &str,
        candidates: impl IntoIterator<Item = &'a str>,
    ) -> Option<String> {
        if self.suggested >= MOST_SUGGESTIONS {
            return None;
        }
        self.suggested += 1;
        let closest = similar::closest(name, candidates.into_iter().take(MOST_CANDIDATES))?;
        Some(format!("did you mean {closest}?"))
    }

    pub(super) fn into_report(mut self, objects: &Objects) -> Report {
        finding::sort(&mut self.list);
        let counts = Kind::ALL.into_iter().map(|kind| (kind, objects.count(kind).all));
        Report {
            findings: self.list,
            objects: counts.filter(|(_, count)| *count > 0).collect(),
            statuses: self.statuses,
            infrastructure: self.infrastructure,
            certificates: self.certificates,
            load_balancers: self.load_balancers,
        }
    }
}

const MOST_SUGGESTIONS: usize = 100;

const MOST_CANDIDATES: usize = 1_000;

/// The object that findings are about.
#[derive(Clone, Copy, Debug)]
pub(super) struct Subject<'a> {
    kind: Kind,
    key: &'a ObjectKey,
    origin: &'a Origin,
}

impl<'a> Subject<'a> {
    pub(super) fn new<T>(kind: Kind, key: &'a ObjectKey, stored: &'a Stored<T>) -> Self {
        Self { kind, key, origin: &stored.origin }
    }

    /// The object's namespace and name.
    pub(super) fn key(&self) -> &'a ObjectKey {
        self.key
    }

    /// The object itself.
    pub(super) fn reference(&self) -> ObjectRef {
        ObjectRef::new(self.kind, self.key.clone())
    }

    /// Where it is written.
    pub(super) fn origin(&self) -> &'a Origin {
        self.origin
    }

    /// As messages about others name it.
    pub(super) fn named(&self) -> String {
        named(self.kind, self.key, self.origin)
    }

    pub(super) fn error(&self, code: Code, field: &str, message: impl Into<String>) -> Finding {
        self.complete(Finding::error(code, self.origin, message), field)
    }

    pub(super) fn warning(&self, code: Code, field: &str, message: impl Into<String>) -> Finding {
        self.complete(Finding::warning(code, self.origin, message), field)
    }

    pub(super) fn note(&self, code: Code, field: &str, message: impl Into<String>) -> Finding {
        self.complete(Finding::note(code, self.origin, message), field)
    }

    fn complete(&self, finding: Finding, field: &str) -> Finding {
        finding.about(ObjectRef::new(self.kind, self.key.clone())).at(field)
    }

    /// Checks an open enumeration. A value that the API server would refuse is a finding.
    pub(super) fn one_of(
        &self,
        findings: &mut Findings,
        field: &str,
        value: &str,
        allowed: &[&str],
    ) -> bool {
        if allowed.contains(&value) {
            return true;
        }
        let message = format!("{value:?} is none of {}", allowed.join(", "));
        let mut finding = self.error(Code::BadValue, field, message);
        finding.help = findings.did_you_mean(value, allowed.iter().copied());
        findings.push(finding);
        false
    }
}

/// How a message names an object that it is not about.
pub(super) fn named(kind: Kind, key: &ObjectKey, origin: &Origin) -> String {
    if origin.file.is_empty() {
        return format!("{kind} {key}");
    }
    format!("{kind} {key} ({origin})")
}
