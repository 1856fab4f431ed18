//! One rutter with the objects of one conformance test, and what is asked of it.

pub mod case;
pub mod certificates;
pub mod client;
pub mod grpc;
mod pods;
mod status;
pub use status::Listener;
pub mod tcp;
pub mod upstream;
pub mod weights;

use std::cell::RefCell;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use rutter::echo::Journal;
use serde_json::{Value, json};

use self::certificates::CERTIFICATES;
use self::pods::Pods;
use self::upstream::{CLASS, CONTROLLER};
use crate::common::{Block, Site};

pub const INFRA: &str = "gateway-conformance-infra";
pub const APP: &str = "gateway-conformance-app-backend";
pub const WEB: &str = "gateway-conformance-web-backend";

pub const V1: &str = "infra-backend-v1";
pub const V2: &str = "infra-backend-v2";
pub const V3: &str = "infra-backend-v3";

/// A running rutter with upstream's base objects and those of some tests.
pub struct Suite {
    pub site: Site,
    /// What the pods were asked.
    pub journal: Arc<Journal>,
    objects: RefCell<Vec<Value>>,
    _pods: Pods,
}

impl Suite {
    /// With files of upstream's tests.
    pub fn start(manifests: &[&str]) -> Self {
        let texts = manifests.iter().map(|name| upstream::text(&format!("tests/{name}")));
        Self::start_with(&texts.collect::<Vec<_>>().join("\n---\n"))
    }

    /// With manifests.
    pub fn start_with(manifests: &str) -> Self {
        let block = Block::claim();
        must_permit_low_ports(&block);
        let mut objects = base();
        objects.extend(upstream::documents(manifests).into_iter().map(|it| placed(&block, it)));
        let is_deployment = |object: &mut Value| object["kind"] == "Deployment";
        let deployments: Vec<Value> = objects.extract_if(.., is_deployment).collect();
        let pods = pods::of_deployments(&block, &deployments);
        let journal = Arc::new(Journal::default());
        let running = Pods::start(&pods, &journal);
        objects.extend(pods);
        objects.iter_mut().for_each(|object| stamp(object, 1, CREATED));
        let net = block.prefix();
        let site = Site::start_in(block, &written(&objects), |options| {
            options.set("gateway-pool", format!("{net}.96/27"));
            options.set("http-port", "off");
            options.set("https-port", "off");
            options.set("dns-listen", "off");
        });
        Self { site, journal, objects: RefCell::new(objects), _pods: running }
    }

    /// Changes an object as a user of an API server does: its generation goes up. Waits until
    /// every worker has applied it.
    pub fn change(&self, kind: &str, name: &str, change: impl FnOnce(&mut Value)) {
        let mut objects = self.objects.borrow_mut();
        let object = objects.iter_mut().find(|it| is(it, kind, name)).expect("the object");
        change(object);
        let generation = generation(object) + 1;
        object["metadata"]["generation"] = generation.into();
        self.save(&objects);
    }

    /// Deletes an object. What is missing in a file is believed to be gone only after a moment, so
    /// this waits until it is.
    pub fn delete(&self, kind: &str, name: &str) {
        let mut objects = self.objects.borrow_mut();
        let before = objects.len();
        objects.retain(|it| !is(it, kind, name));
        assert_eq!(objects.len() + 1, before, "{kind} {name}");
        let left = objects.iter().filter(|it| it["kind"] == kind).count();
        self.site.write("main.yaml", &written(&objects));
        self.site.wait("the deletion", |_| {
            let counts = &self.site.report()["objects"];
            counts[kind].as_u64().unwrap_or_default() == left as u64
        });
    }

    /// Creates an object, later than those of the beginning.
    pub fn create(&self, mut object: Value) {
        let mut objects = self.objects.borrow_mut();
        stamp(&mut object, 1, LATER);
        objects.push(object);
        self.save(&objects);
    }

    fn save(&self, objects: &[Value]) {
        self.site.save("main.yaml", &written(objects));
    }

    /// An object as it is written.
    pub fn object(&self, kind: &str, name: &str) -> Value {
        let objects = self.objects.borrow();
        let found = objects.iter().find(|it| is(it, kind, name));
        found.unwrap_or_else(|| panic!("no {kind} {name}")).clone()
    }

    /// The names of the objects of a kind in a namespace.
    pub fn names(&self, kind: &str, namespace: &str) -> Vec<String> {
        let objects = self.objects.borrow();
        let found = objects
            .iter()
            .filter(|it| it["kind"] == kind && it["metadata"]["namespace"] == namespace);
        found.filter_map(|it| it["metadata"]["name"].as_str()).map(str::to_owned).collect()
    }

    /// Where a Gateway says it listens.
    pub fn address(&self, gateway: &str, port: u16) -> SocketAddr {
        let status = self.status("Gateway", gateway);
        let address = &status["addresses"][0];
        assert!(address["type"].is_string(), "no address: {status:#}");
        let ip = address["value"].as_str().and_then(|ip| ip.parse::<IpAddr>().ok());
        SocketAddr::new(ip.unwrap_or_else(|| panic!("no IP address: {status:#}")), port)
    }

    /// Where a listener of a Gateway is.
    pub fn listener(&self, gateway: &str, listener: &str) -> SocketAddr {
        let object = self.object("Gateway", gateway);
        let listeners = object["spec"]["listeners"].as_array().expect("listeners");
        let found = listeners.iter().find(|it| it["name"] == listener).expect("the listener");
        let port = found["port"].as_u64().and_then(|port| port.try_into().ok());
        self.address(gateway, port.expect("a port"))
    }
}

/// Upstream's Gateways listen on ports 80 and 443.
fn must_permit_low_ports(block: &Block) {
    if let Err(error) = std::net::TcpListener::bind(block.addr(253, 80)) {
        panic!(
            "cannot listen on port 80 ({error}): run as root, or let everybody listen there:\n  \
             sysctl net.ipv4.ip_unprivileged_port_start=0"
        );
    }
}

/// What the API server would set: every object of a manifest comes in the same second.
const CREATED: &str = "2026-07-16T00:00:00Z";
const LATER: &str = "2026-07-16T00:00:01Z";

fn stamp(object: &mut Value, generation: i64, created: &str) {
    object["metadata"]["generation"] = generation.into();
    object["metadata"]["creationTimestamp"] = created.into();
}

fn generation(object: &Value) -> i64 {
    object["metadata"]["generation"].as_i64().expect("a generation")
}

/// Upstream's base objects and those beside them.
fn base() -> Vec<Value> {
    let mut objects = upstream::documents(&upstream::text("base/manifests.yaml"));
    objects.extend(made());
    objects
}

/// Our class, and what the suite makes before its tests.
fn made() -> Vec<Value> {
    let class = json!({
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "GatewayClass",
        "metadata": { "name": CLASS },
        "spec": { "controllerName": CONTROLLER },
    });
    [class].into_iter().chain(CERTIFICATES.objects()).collect()
}

/// What a directory needs beside upstream's base manifests.
pub fn beside() -> String {
    written(&made())
}

/// The pods of the Deployments in some texts.
pub fn deployed(block: &Block, texts: &[&str]) -> String {
    let mut objects: Vec<Value> = texts.iter().flat_map(|text| upstream::documents(text)).collect();
    objects.retain(|object| object["kind"] == "Deployment");
    written(&pods::of_deployments(block, &objects))
}

/// Puts addresses in place of upstream's placeholders: one that can be had, and one that cannot.
fn placed(block: &Block, object: Value) -> Value {
    let text = object
        .to_string()
        .replace("PLACEHOLDER_USABLE_ADDRS", &block.ip(125).to_string())
        .replace("PLACEHOLDER_UNUSABLE_ADDRS", UNUSABLE);
    serde_json::from_str(&text).expect("JSON")
}

/// Of no machine (RFC 5737).
const UNUSABLE: &str = "192.0.2.1";

/// JSON is YAML.
fn written(objects: &[Value]) -> String {
    objects.iter().map(|object| format!("---\n{object}\n")).collect()
}

/// `namespace/name`; a name alone is in the infra namespace.
fn split(name: &str) -> (&str, &str) {
    name.split_once('/').unwrap_or((INFRA, name))
}

fn is(object: &Value, kind: &str, name: &str) -> bool {
    let (namespace, name) = split(name);
    let its = &object["metadata"]["namespace"];
    object["kind"] == kind
        && object["metadata"]["name"] == name
        && (its.is_null() || *its == namespace)
}
