//! What the report says about objects.
//!
//! A condition is written `Type=Status/Reason`; without the reason, any will do.

use serde_json::{Value, json};

use super::upstream::CONTROLLER;
use super::{Suite, generation, is, split};

/// What a listener shall say.
#[derive(Clone, Copy)]
pub struct Listener<'a> {
    pub name: &'a str,
    pub kinds: &'a [&'a str],
    pub attached: u64,
    pub conditions: &'a [&'a str],
}

/// Which parent of a route: `("Gateway", "name")`.
pub type Parent<'a> = (&'a str, &'a str);

impl Suite {
    /// The status of an object. Every condition in it must be about the object as it is now.
    #[track_caller]
    pub fn status(&self, kind: &str, name: &str) -> Value {
        let report = self.site.report();
        let (namespace, only_name) = split(name);
        let of_object = |entry: &&Value| {
            entry["kind"] == kind
                && entry["name"] == only_name
                && (entry["namespace"] == namespace || entry["namespace"] == "")
        };
        let statuses = report["statuses"].as_array().expect("statuses");
        let Some(entry) = statuses.iter().find(of_object) else {
            panic!("{kind} {name} has no status")
        };
        let objects = self.objects.borrow();
        let object = objects.iter().find(|it| is(it, kind, name)).expect("the object");
        must_be_latest(&entry["status"], generation(object));
        entry["status"].clone()
    }

    #[track_caller]
    pub fn expect(&self, kind: &str, name: &str, conditions: &[&str]) {
        let status = self.status(kind, name);
        must_have(&format!("{kind} {name}"), &status, conditions);
    }

    #[track_caller]
    pub fn expect_listener(&self, kind: &str, name: &str, listener: Listener<'_>) {
        let status = self.status(kind, name);
        let what = format!("{kind} {name}, listener {}", listener.name);
        let found = self.listener_status(&status, listener.name);
        must_have(&what, found, listener.conditions);
        let kinds: Vec<&str> = found["supportedKinds"]
            .as_array()
            .into_iter()
            .flatten()
            .filter(|it| it["group"] == "gateway.networking.k8s.io")
            .filter_map(|it| it["kind"].as_str())
            .collect();
        for kind in listener.kinds {
            assert!(kinds.contains(kind), "{what}: {kind} is missing in {kinds:?}");
        }
        assert!(!listener.kinds.is_empty() || kinds.is_empty(), "{what}: no kinds, not {kinds:?}");
        assert_eq!(found["attachedRoutes"], listener.attached, "{what}: attached routes");
    }

    #[track_caller]
    fn listener_status<'a>(&self, status: &'a Value, name: &str) -> &'a Value {
        let mut listeners = status["listeners"].as_array().into_iter().flatten();
        let found = listeners.find(|it| it["name"] == name);
        found.unwrap_or_else(|| panic!("no listener {name} in {status:#}"))
    }

    /// Some conditions of one listener.
    #[track_caller]
    pub fn expect_listener_conditions(
        &self,
        kind: &str,
        name: &str,
        listener: &str,
        conditions: &[&str],
    ) {
        let status = self.status(kind, name);
        let found = self.listener_status(&status, listener);
        must_have(&format!("{kind} {name}, listener {listener}"), found, conditions);
    }

    /// The listeners of a Gateway have these names and no others.
    #[track_caller]
    pub fn expect_listeners(&self, kind: &str, name: &str, listeners: &[Listener<'_>]) {
        let status = self.status(kind, name);
        let count = status["listeners"].as_array().map_or(0, Vec::len);
        assert_eq!(count, listeners.len(), "{kind} {name}: {status:#}");
        for listener in listeners {
            self.expect_listener(kind, name, *listener);
        }
    }

    #[track_caller]
    pub fn expect_no_routes(&self, gateway: &str) {
        let status = self.status("Gateway", gateway);
        for listener in status["listeners"].as_array().expect("listeners") {
            assert_eq!(listener["attachedRoutes"], 0, "{gateway}: {listener:#}");
        }
    }

    /// What a route says about one of its parents, in each of its entries for it.
    #[track_caller]
    pub fn expect_route(&self, kind: &str, name: &str, parent: Parent<'_>, conditions: &[&str]) {
        let status = self.status(kind, name);
        let (parent_namespace, parent_name) = split(parent.1);
        let (namespace, _) = split(name);
        let mut found = 0;
        for entry in status["parents"].as_array().into_iter().flatten() {
            let reference = &entry["parentRef"];
            let is_parent = reference["name"] == parent_name
                && reference["kind"].as_str().unwrap_or("Gateway") == parent.0
                && reference["namespace"].as_str().unwrap_or(namespace) == parent_namespace;
            if is_parent {
                found += 1;
                assert_eq!(entry["controllerName"], CONTROLLER);
                must_have(
                    &format!("{kind} {name} below {} {}", parent.0, parent.1),
                    entry,
                    conditions,
                );
            }
        }
        assert!(found > 0, "{kind} {name} has no parent {parent:?}: {status:#}");
    }

    /// Routes are accepted by a parent and all of their references are good.
    #[track_caller]
    pub fn expect_routes(&self, kind: &str, names: &[&str], parent: Parent<'_>) {
        for name in names {
            let good = ["Accepted=True/Accepted", "ResolvedRefs=True/ResolvedRefs"];
            self.expect_route(kind, name, parent, &good);
            self.expect_declared_parents(kind, name);
        }
    }

    /// `status.parents` has the parent references of the spec, and no others.
    #[track_caller]
    pub fn expect_declared_parents(&self, kind: &str, name: &str) {
        let (namespace, _) = split(name);
        let complete = |reference: &Value| {
            json!([
                reference["group"].as_str().unwrap_or("gateway.networking.k8s.io"),
                reference["kind"].as_str().unwrap_or("Gateway"),
                reference["namespace"].as_str().unwrap_or(namespace),
                reference["name"],
                reference["sectionName"],
                reference["port"],
            ])
            .to_string()
        };
        let spec = self.object(kind, name);
        let status = self.status(kind, name);
        let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
        let mut declared: Vec<_> = list(&spec["spec"]["parentRefs"]).iter().map(complete).collect();
        let mut told: Vec<_> =
            list(&status["parents"]).iter().map(|it| complete(&it["parentRef"])).collect();
        declared.sort();
        told.sort();
        assert_eq!(told, declared, "{kind} {name}");
    }

    #[track_caller]
    pub fn expect_no_accepted_parent(&self, kind: &str, name: &str) {
        let status = self.status(kind, name);
        for entry in status["parents"].as_array().into_iter().flatten() {
            must_have(&format!("{kind} {name}"), entry, &["Accepted=False"]);
        }
    }

    /// What a policy says about a Gateway.
    #[track_caller]
    pub fn expect_policy(&self, name: &str, gateway: &str, conditions: &[&str]) {
        let status = self.status("BackendTLSPolicy", name);
        let mut ancestors = status["ancestors"].as_array().into_iter().flatten();
        let found = ancestors.find(|it| it["ancestorRef"]["name"] == gateway);
        let Some(found) = found else {
            panic!("BackendTLSPolicy {name} has no ancestor {gateway}: {status:#}")
        };
        assert_eq!(found["controllerName"], CONTROLLER);
        must_have(&format!("BackendTLSPolicy {name}"), found, conditions);
    }
}

#[track_caller]
fn must_have(what: &str, holder: &Value, conditions: &[&str]) {
    for wanted in conditions {
        let (kind, rest) = wanted.split_once('=').expect("Type=Status");
        let (status, reason) = rest.split_once('/').unwrap_or((rest, ""));
        let mut all = holder["conditions"].as_array().into_iter().flatten();
        let matches = |it: &&Value| {
            it["type"] == kind
                && it["status"] == status
                && (reason.is_empty() || it["reason"] == reason)
        };
        let is_met = all.any(|it| matches(&it));
        assert!(is_met, "{what}: {wanted} is wanted in {:#}", holder["conditions"]);
    }
}

/// `observedGeneration` of every condition below.
#[track_caller]
fn must_be_latest(value: &Value, generation: i64) {
    match value {
        Value::Object(fields) => {
            if let Some(observed) = fields.get("observedGeneration") {
                assert_eq!(*observed, generation, "observedGeneration in {value:#}");
            }
            fields.values().for_each(|it| must_be_latest(it, generation));
        }
        Value::Array(items) => items.iter().for_each(|it| must_be_latest(it, generation)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
