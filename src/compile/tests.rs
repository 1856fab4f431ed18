//! Behaviour of the whole compilation, on objects written as JSON.

mod allocation;
mod allocation_properties;
mod announcements;
mod balancing;
mod certificates;
mod clients;
mod corefile;
mod endpoints;
mod fuzz;
mod gateways;
mod grants;
mod load_balancers;
mod names;
mod names_held;
mod patch;
mod policies;
mod pools;
mod properties;
mod routes;
mod schema;
mod services;
mod topology;
mod values;
mod verdicts;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::{Allocations, Compiled, Settings, compile};
use crate::manifest::core::ConfigMap;
use crate::manifest::{Code, Metadata, Object, ObjectKey, Origin};
use crate::snapshot::{Frontend, RouteTable, Serve};
use crate::source::Sourced;
use crate::store::Objects;

/// 2026-11-24T12:00:00Z.
fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_521_600)
}

/// Objects of `(kind, …)` values, in namespace `default` unless they say otherwise.
fn objects(values: impl IntoIterator<Item = Value>) -> Objects {
    let mut objects = Objects::default();
    for (place, value) in values.into_iter().enumerate() {
        let line = u32::try_from(place).expect("few objects") + 1;
        let origin = Origin { file: "in.yaml".into(), line, ..Origin::default() };
        objects.apply(&Sourced { object: object(value), origin, stale: false });
    }
    objects
}

fn object(mut value: Value) -> Object {
    let kind = value["kind"].take();
    let kind = kind.as_str().expect("a kind");
    let cluster = ["Namespace", "IngressClass", "Node", "GatewayClass", "CiliumLoadBalancerIPPool"];
    if !cluster.contains(&kind) && value["metadata"]["namespace"].is_null() {
        value["metadata"]["namespace"] = json!("default");
    }
    match kind {
        "Namespace" => Object::Namespace(decode(value)),
        "Pod" => Object::Pod(decode(value)),
        "Node" => Object::Node(decode(value)),
        "Service" => Object::Service(decode(value)),
        "EndpointSlice" => Object::EndpointSlice(decode(value)),
        "Endpoints" => Object::Endpoints(decode(value)),
        "Ingress" => Object::Ingress(decode(value)),
        "IngressClass" => Object::IngressClass(decode(value)),
        "Secret" => Object::Secret(decode(value)),
        "GatewayClass" => Object::GatewayClass(decode(value)),
        "Gateway" => Object::Gateway(decode(value)),
        "HTTPRoute" => Object::HttpRoute(decode(value)),
        "GRPCRoute" => Object::GrpcRoute(decode(value)),
        "TLSRoute" => Object::TlsRoute(decode(value)),
        "TCPRoute" => Object::TcpRoute(decode(value)),
        "ReferenceGrant" => Object::ReferenceGrant(decode(value)),
        "BackendTLSPolicy" => Object::BackendTlsPolicy(decode(value)),
        "IPAddressPool" => Object::IpAddressPool(decode(value)),
        "CiliumLoadBalancerIPPool" => Object::CiliumLoadBalancerIpPool(decode(value)),
        "XBackendTrafficPolicy" => Object::BackendTrafficPolicy(decode(value)),
        other => panic!("no test needs {other}"),
    }
}

fn decode<T: DeserializeOwned>(value: Value) -> Arc<T> {
    Arc::new(serde_json::from_value(value).expect("an object"))
}

fn compiled(values: impl IntoIterator<Item = Value>) -> Compiled {
    compile(&objects(values), &Settings::default(), &Allocations::default(), now())
}

/// The Corefile of that text.
fn config_map(corefile: &str) -> Object {
    let metadata =
        Metadata { name: "coredns".into(), namespace: "kube-system".into(), ..Metadata::default() };
    let data = [(Arc::from("Corefile"), Arc::from(corefile))].into();
    Object::ConfigMap(Arc::new(ConfigMap { metadata, data }))
}

/// What was allocated, and nothing else of the last compilation's Services.
fn forgetting(held: &Allocations) -> Allocations {
    Allocations { backends: Default::default(), ..held.clone() }
}

fn service(name: &str, spec: Value) -> Value {
    json!({"kind": "Service", "metadata": {"name": name}, "spec": spec})
}

/// A ready Pod with the label `app: NAME`, where NAME is what stands before the dash.
fn pod(name: &str, ip: &str) -> Value {
    let app = name.split('-').next();
    json!({
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": app}},
        "spec": {"containers": [{"name": "c", "ports": [{"name": "http", "containerPort": 8080}]}]},
        "status": {"podIP": ip, "conditions": [{"type": "Ready", "status": "True"}]},
    })
}

fn ingress(name: &str, spec: Value) -> Value {
    json!({"kind": "Ingress", "metadata": {"name": name}, "spec": spec})
}

fn backend(service: &str) -> Value {
    json!({"service": {"name": service, "port": {"number": 80}}})
}

fn codes(compiled: &Compiled) -> Vec<(Code, &str)> {
    compiled.report.findings.iter().map(|it| (it.code, it.field.as_str())).collect()
}

/// Every L4 listener as `tcp://ADDR exposure → usable endpoints`.
fn frontends(compiled: &Compiled) -> Vec<String> {
    let line = |(key, frontend): (_, &Arc<Frontend>)| {
        let usable = frontend.shares.iter().filter_map(|share| share.backend());
        let usable: Vec<_> = usable.flat_map(|it| &it.usable).map(|it| it.id.to_string()).collect();
        format!("{key} {} {} → {}", frontend.owner.key, frontend.exposure, usable.join(" "))
    };
    let listeners = compiled.snapshot.listeners.iter();
    listeners
        .filter_map(|(key, spec)| match &spec.serve {
            Serve::Frontend(frontend) => Some(line((key, frontend))),
            Serve::Http(_) | Serve::Tls(_) | Serve::Health(_) => None,
        })
        .collect()
}

/// The rules of the HTTP listener.
#[track_caller]
fn routes(compiled: &Compiled) -> Arc<RouteTable> {
    let mut listeners = compiled.snapshot.listeners.values();
    let http = listeners.find_map(|spec| Some(spec.serve.http()?.hosts().first()?.routes.clone()));
    http.expect("a listener for HTTP")
}
