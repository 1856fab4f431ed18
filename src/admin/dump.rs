//! The snapshot as JSON: what is served now, without keys.

use serde_json::{Map, Value, json};

use crate::snapshot::{
    Action, Backend, Certificate, Failure, Frontend, HostMatch, HttpListener, ListenerSpec, Policy,
    Rule, Serve, Snapshot, TlsHost, TlsListener, TlsRoutes, TlsServe, TlsTable, WeightedBackend,
    Zone,
};

pub(super) fn snapshot(snapshot: &Snapshot) -> Value {
    json!({
        "generation": snapshot.generation,
        "synced": snapshot.synced,
        "listeners": snapshot.listeners.values().map(|it| listener(snapshot, it)).collect::<Vec<_>>(),
        "backends": snapshot.backends.values().map(|it| backend(it)).collect::<Vec<_>>(),
        "zone": zone(&snapshot.zone),
        "dns_certificates": certificates(&snapshot.dns_tls),
        "load_balancers": load_balancers(snapshot),
        "announcements": snapshot.announcements,
    })
}

fn listener(snapshot: &Snapshot, spec: &ListenerSpec) -> Value {
    let serve = match &spec.serve {
        Serve::Frontend(it) => frontend(it),
        Serve::Http(http) => http_listener(http),
        Serve::Tls(tls) => tls_listener(tls),
        Serve::Health(check) => json!({
            "health": check.service.to_string(),
            "local_endpoints": check.local_endpoints,
        }),
    };
    let has_socket = snapshot.has_socket(spec);
    json!({ "listen": spec.key.to_string(), "socket": has_socket, "serve": serve })
}

fn frontend(frontend: &Frontend) -> Value {
    json!({
        "owner": frontend.owner.to_string(),
        "exposure": frontend.exposure,
        "backends": frontend.shares.iter().map(weighted).collect::<Vec<_>>(),
        "policy": (!frontend.policy.is_silent()).then(|| policy(&frontend.policy)),
        "origin": frontend.origin.to_string(),
    })
}

fn policy(policy: &Policy) -> Value {
    json!({
        "affinity_seconds": policy.affinity.map(|timeout| timeout.as_secs()),
        "local": policy.is_local,
        "sources": policy.sources,
    })
}

fn tls_listener(tls: &TlsListener) -> Value {
    let routes = |routes: &TlsRoutes| {
        let routes = routes.routes().iter();
        routes.map(|(host, it)| (host.to_string(), frontend(it))).collect::<Map<_, _>>()
    };
    let host = |host: &TlsHost| {
        let (mode, certificates, routes) = match &host.serve {
            TlsServe::Passthrough(it) => ("passthrough", None, Some(routes(it))),
            TlsServe::Terminate(table, it) => {
                ("terminate", Some(certificates(table)), Some(routes(it)))
            }
            TlsServe::Http => ("http", None, None),
        };
        json!({
            "name": host.name,
            "host": host.host.to_string(),
            "mode": mode,
            "certificates": certificates,
            "routes": routes,
        })
    };
    json!({
        "name": tls.name,
        "hosts": tls.hosts().iter().map(host).collect::<Vec<_>>(),
        "http": tls.http.as_ref().map(|http| http_listener(http)),
    })
}

fn http_listener(http: &HttpListener) -> Value {
    json!({
        "name": http.name,
        "rules": http.rules().map(|it| rule(it)).collect::<Vec<_>>(),
        "certificates": http.tls.as_ref().map(|table| certificates(table)),
    })
}

fn rule(rule: &Rule) -> Value {
    json!({
        "route": rule.label,
        "host": rule.host.to_string(),
        "path": rule.path.to_string(),
        "action": action(&rule.action),
        "origin": rule.origin.to_string(),
        "field": rule.field,
    })
}

fn action(action: &Action) -> Value {
    match action {
        Action::Forward(backends) => backends.iter().map(weighted).collect(),
        Action::Redirect(redirect) => json!({ "redirect": redirect.status }),
        Action::Fail(it) => failure(it),
    }
}

fn weighted(share: &WeightedBackend) -> Value {
    match &share.target {
        Ok(target) => json!({
            "backend": target.backend.id.to_string(),
            "weight": share.weight,
            "tls": target.tls.as_ref().map(|tls| &tls.server_name),
        }),
        Err(it) => json!({ "failure": failure(it), "weight": share.weight }),
    }
}

fn failure(failure: &Failure) -> Value {
    let Failure { reason, detail } = failure;
    json!({ "status": reason.status(), "reason": reason, "detail": detail })
}

fn certificates(table: &TlsTable) -> Value {
    let of = |certificate: &Certificate| {
        json!({
            "secret": certificate.secret.to_string(),
            "names": certificate.names,
            "not_after": certificate.not_after,
        })
    };
    let hosts = table.entries().iter().map(|entry| {
        let host = match &entry.host {
            HostMatch::Any => "default".to_owned(),
            host @ (HostMatch::Exact(_) | HostMatch::Wildcard(_) | HostMatch::Suffix(_)) => {
                host.to_string()
            }
        };
        (host, entry.certificates.iter().map(|it| of(it)).collect())
    });
    Value::Object(hosts.collect())
}

fn backend(backend: &Backend) -> Value {
    json!({
        "backend": backend.id.to_string(),
        "balancing": *backend.balancing,
        "endpoints": backend.endpoints,
        "usable": backend.usable.iter().map(|it| it.id).collect::<Vec<_>>(),
    })
}

/// By namespace and name of the Service.
fn load_balancers(snapshot: &Snapshot) -> Value {
    let all = snapshot.load_balancers.iter();
    all.map(|(service, told)| (service.to_string(), json!(told))).collect::<Map<_, _>>().into()
}

fn zone(zone: &Zone) -> Value {
    let names = zone.services.keys();
    let names = names.map(|key| format!("{}.{}.svc.{}", key.name, key.namespace, zone.domain));
    json!({ "domain": zone.domain, "ttl": zone.ttl, "names": names.collect::<Vec<_>>() })
}
