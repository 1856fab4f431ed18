//! Who is behind a Service: the union of what Pods, EndpointSlices and Endpoints say.
//!
//! - EndpointSlices belong to the Service that their label `kubernetes.io/service-name` names,
//!   whoever wrote them.
//! - Endpoints are mirrored (KEP-4974) if the Service has no EndpointSlice.
//! - A selector selects Pods, as the EndpointSlice controller does. A directory may hold Pods and
//!   slices of the same Service (a dump of a cluster does): the union of both serves, and an
//!   address that occurs in both counts once.

mod pods;
mod slices;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use crate::manifest::endpoints::{EndpointSlice, Endpoints};
use crate::manifest::{Code, Kind, ObjectKey, Origin};
use crate::snapshot::Transport;
use crate::store::{Objects, Stored};

use super::address::Family;
use super::report::{Findings, Subject};
use super::services::{CheckedService, Exposed, Services};
use super::this_node::ThisNode;
use super::topology::Hints;

pub(super) use pods::addresses;

use pods::PodIndex;

/// One address behind a Service, with the ports that it serves.
#[derive(Clone, Debug)]
pub(super) struct Member {
    pub(super) address: IpAddr,
    pub(super) ready: bool,
    pub(super) serving: bool,
    pub(super) terminating: bool,
    /// First label of its name in DNS, where it has one of its own.
    pub(super) hostname: Option<Arc<str>>,
    pub(super) pod: Option<Arc<str>>,
    pub(super) node: Option<Arc<str>>,
    pub(super) zone: Option<Arc<str>>,
    /// Whether it runs on this node.
    pub(super) is_here: bool,
    /// For whom it is meant.
    pub(super) hints: Option<Hints>,
    /// Shared by the members that serve the same ports.
    pub(super) ports: Arc<[MemberPort]>,
    /// Of the object that names it.
    pub(super) origin: Origin,
}

/// A port of a [`Member`]; joins the Service port of its name and transport.
#[derive(Clone, Debug)]
pub(super) struct MemberPort {
    pub(super) name: Arc<str>,
    pub(super) transport: Transport,
    pub(super) number: u16,
}

/// A slice and its key.
pub(super) type Slice<'a> = (&'a ObjectKey, &'a Stored<EndpointSlice>);

/// Everything that says who is behind which Service, ready to be asked.
#[derive(Debug)]
pub(super) struct Sources<'a> {
    node: &'a ThisNode,
    pods: PodIndex<'a>,
    /// By place of the Service.
    slices: BTreeMap<usize, Vec<Slice<'a>>>,
    endpoints: BTreeMap<usize, &'a Stored<Endpoints>>,
}

impl<'a> Sources<'a> {
    pub(super) fn index(
        objects: &'a Objects,
        services: &Services<'a>,
        node: &'a ThisNode,
        findings: &mut Findings,
    ) -> Self {
        let mut slices = BTreeMap::<usize, Vec<_>>::new();
        let mut near = 0;
        for (key, stored) in &objects.endpoint_slices {
            if let Some(place) = owner_of_slice(key, stored, services, near, findings) {
                slices.entry(place).or_default().push((key, stored));
                near = place;
            }
        }
        let mut endpoints = BTreeMap::new();
        for (key, stored) in &objects.endpoints {
            match services.place(key) {
                Some(place) => drop(endpoints.insert(place, stored)),
                None => {
                    let subject = Subject::new(Kind::Endpoints, key, stored);
                    let message = format!("there is no Service {key} for these Endpoints");
                    findings.push(subject.warning(Code::OrphanEndpoints, "metadata.name", message));
                }
            }
        }
        Self { node, pods: PodIndex::new(objects, node, findings), slices, endpoints }
    }

    /// The slices of a Service behind which is nobody else.
    pub(super) fn only_slices(
        &self,
        place: usize,
        service: &CheckedService<'a>,
    ) -> Option<&[Slice<'a>]> {
        let slices = self.slices.get(&place).map_or(&[][..], Vec::as_slice);
        let is_mirrored = slices.is_empty() && self.endpoints.contains_key(&place);
        (!is_mirrored && !self.pods.has_selected(service)).then_some(slices)
    }

    /// Everyone behind a Service, of its families only, in the order of their objects.
    pub(super) fn members(
        &self,
        place: usize,
        service: &CheckedService<'a>,
        findings: &mut Findings,
    ) -> Vec<Member> {
        if service.exposed == Exposed::ExternalName {
            return Vec::new();
        }
        let slices = self.slices.get(&place).map_or(&[][..], Vec::as_slice);
        let mut members = of_slices(slices, service, self.node, findings);
        if members.is_empty() && !self.slices.contains_key(&place) {
            let mirrored = self.endpoints.get(&place);
            mirrored.inspect(|stored| {
                slices::mirrored(stored, service, self.node, findings, &mut members);
            });
        }
        self.pods.members(service, findings, &mut members);
        keep_families(service, &mut members);
        members
    }
}

/// An address of another family than those of its Service is nobody's.
pub(super) fn keep_families(service: &CheckedService<'_>, members: &mut Vec<Member>) {
    members.retain(|member| service.families.contains(&Family::of(member.address)));
}

/// Everyone whom slices name behind a Service, of all families.
pub(super) fn of_slices(
    slices: &[Slice<'_>],
    service: &CheckedService<'_>,
    node: &ThisNode,
    findings: &mut Findings,
) -> Vec<Member> {
    let mut members = Vec::new();
    if service.exposed != Exposed::ExternalName {
        for (key, stored) in slices {
            slices::members(key, stored, service, node, findings, &mut members);
        }
    }
    members
}

fn owner_of_slice(
    key: &ObjectKey,
    stored: &Stored<EndpointSlice>,
    services: &Services<'_>,
    near: usize,
    findings: &mut Findings,
) -> Option<usize> {
    let subject = Subject::new(Kind::EndpointSlice, key, stored);
    let Some(owner) = service_of(key, &stored.object) else {
        let message = format!("without the label {SERVICE_NAME} the slice belongs to no Service");
        findings.push(subject.warning(Code::OrphanEndpoints, "metadata.labels", message));
        return None;
    };
    let place = services.place_near(near, &owner);
    if place.is_none() {
        let message = format!("there is no Service {owner} for this slice");
        let field = format!("metadata.labels.{SERVICE_NAME}");
        let mut finding = subject.warning(Code::OrphanEndpoints, &field, message);
        finding.help = findings.did_you_mean(&owner.name, services.names_in(&key.namespace));
        findings.push(finding);
    }
    place
}

/// The Service that a slice names; `None`: none.
pub fn service_of(key: &ObjectKey, slice: &EndpointSlice) -> Option<ObjectKey> {
    let name = slice.metadata.labels.get(SERVICE_NAME)?.clone();
    Some(ObjectKey { namespace: key.namespace.clone(), name })
}

const SERVICE_NAME: &str = "kubernetes.io/service-name";
