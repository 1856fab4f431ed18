//! The snapshot as JSON: what is served now, without keys.

use serde_json::{Value, json};

use crate::snapshot::{
    Action, Backend, Certificate, Failure, HttpListener, ListenerSpec, Rule, Serve, Snapshot,
    TlsTable, WeightedBackend, Zone,
};

pub(super) fn snapshot(snapshot: &Snapshot) -> Value {
    json!({
        "generation": snapshot.generation,
        "synced": snapshot.synced,
        "listeners": snapshot.listeners.values().map(|it| listener(it)).collect::<Vec<_>>(),
        "backends": snapshot.backends.values().map(|it| backend(it)).collect::<Vec<_>>(),
        "zone": zone(&snapshot.zone),
    })
}

fn listener(spec: &ListenerSpec) -> Value {
    let serve = match &spec.serve {
        Serve::Frontend(frontend) => json!({
            "service": frontend.service.to_string(),
            "exposure": frontend.exposure,
            "backend": frontend.backend.id.to_string(),
            "origin": frontend.backend.origin.to_string(),
        }),
        Serve::Http(http) => http_listener(http),
    };
    json!({ "listen": spec.key.to_string(), "serve": serve })
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
        Ok(backend) => json!({ "backend": backend.id.to_string(), "weight": share.weight }),
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
    let exact = table.exact.iter().map(|(host, it)| (host.to_string(), of(it)));
    let wildcard = table.wildcard.iter().map(|(suffix, it)| (format!("*.{suffix}"), of(it)));
    let default = table.default.iter().map(|it| ("default".to_owned(), of(it)));
    Value::Object(exact.chain(wildcard).chain(default).collect())
}

fn backend(backend: &Backend) -> Value {
    json!({
        "backend": backend.id.to_string(),
        "endpoints": backend.endpoints,
        "usable": backend.usable.iter().map(|it| it.id).collect::<Vec<_>>(),
    })
}

fn zone(zone: &Zone) -> Value {
    let names = zone.services.iter().flat_map(|(namespace, services)| {
        services.keys().map(move |name| format!("{name}.{namespace}.svc.{}", zone.domain))
    });
    json!({ "domain": zone.domain, "ttl": zone.ttl, "names": names.collect::<Vec<_>>() })
}
