//! The fields that the CRDs of Gateway API v1.6 have, experimental channel included.

use crate::manifest::Kind;

/// The fields of the mapping at `path` (`spec.rules[]`, without indexes); empty where rutter does
/// not know of any.
pub(in crate::manifest) fn fields(kind: Kind, path: &str) -> &'static [&'static str] {
    match (kind, path) {
        (Kind::GatewayClass, "spec") => &["controllerName", "parametersRef", "description"],
        (Kind::Gateway, "spec") => GATEWAY_SPEC,
        (Kind::Gateway, "spec.addresses[]") => &["type", "value"],
        (Kind::Gateway, "spec.infrastructure") => &["labels", "annotations", "parametersRef"],
        (Kind::Gateway, "spec.allowedListeners") => &["namespaces"],
        (Kind::ListenerSet, "spec") => &["parentRef", "listeners"],
        (Kind::ListenerSet, "spec.parentRef") => &["group", "kind", "namespace", "name"],
        (Kind::Gateway, path) if path.starts_with("spec.tls") => gateway_tls(path),
        (Kind::Gateway | Kind::ListenerSet, path) => listener(path),
        (Kind::HttpRoute | Kind::GrpcRoute, path) => http(path),
        (Kind::TlsRoute | Kind::TcpRoute | Kind::UdpRoute, path) => stream(path),
        (Kind::ReferenceGrant, "spec") => &["from", "to"],
        (Kind::ReferenceGrant, "spec.from[]") => &["group", "kind", "namespace"],
        (Kind::ReferenceGrant, "spec.to[]") => &["group", "kind", "name"],
        (Kind::BackendTlsPolicy, path) => policy(path),
        (Kind::BackendTrafficPolicy, path) => traffic_policy(path),
        _ => &[],
    }
}

fn gateway_tls(path: &str) -> &'static [&'static str] {
    match path {
        "spec.tls" => &["backend", "frontend"],
        "spec.tls.backend" => &["clientCertificateRef"],
        "spec.tls.frontend" => &["default", "perPort"],
        "spec.tls.frontend.default" | "spec.tls.frontend.perPort[].tls" => &["validation"],
        "spec.tls.frontend.perPort[]" => &["port", "tls"],
        "spec.tls.frontend.default.validation" | "spec.tls.frontend.perPort[].tls.validation" => {
            &["caCertificateRefs", "mode"]
        }
        _ if path.ends_with("Ref") || path.ends_with("Refs[]") => {
            &["group", "kind", "namespace", "name"]
        }
        _ => &[],
    }
}

const GATEWAY_SPEC: &[&str] = &[
    "gatewayClassName",
    "listeners",
    "addresses",
    "infrastructure",
    "allowedListeners",
    "tls",
    "defaultScope",
];

fn listener(path: &str) -> &'static [&'static str] {
    match path {
        "spec.listeners[]" => &["name", "hostname", "port", "protocol", "tls", "allowedRoutes"],
        "spec.listeners[].tls" => &["mode", "certificateRefs", "options"],
        "spec.listeners[].tls.certificateRefs[]" => &["group", "kind", "namespace", "name"],
        "spec.listeners[].allowedRoutes" => &["namespaces", "kinds"],
        "spec.listeners[].allowedRoutes.kinds[]" => &["group", "kind"],
        "spec.listeners[].allowedRoutes.namespaces" | "spec.allowedListeners.namespaces" => {
            &["from", "selector"]
        }
        _ => &[],
    }
}

const PARENT: &[&str] = &["group", "kind", "namespace", "name", "sectionName", "port"];

fn http(path: &str) -> &'static [&'static str] {
    match path {
        "spec" => &["parentRefs", "hostnames", "rules", "useDefaultGateways"],
        "spec.parentRefs[]" => PARENT,
        "spec.rules[]" => HTTP_RULE,
        "spec.rules[].matches[]" => &["path", "headers", "queryParams", "method"],
        "spec.rules[].matches[].path" => &["type", "value"],
        "spec.rules[].matches[].method" => &["type", "service", "method"],
        "spec.rules[].matches[].headers[]" | "spec.rules[].matches[].queryParams[]" => {
            &["type", "name", "value"]
        }
        "spec.rules[].backendRefs[]" => {
            &["group", "kind", "namespace", "name", "port", "weight", "filters"]
        }
        "spec.rules[].timeouts" => &["request", "backendRequest"],
        "spec.rules[].retry" => &["codes", "attempts", "backoff"],
        "spec.rules[].sessionPersistence" => SESSION,
        "spec.rules[].sessionPersistence.cookieConfig" => &["lifetimeType"],
        _ => {
            let rest = path.strip_prefix("spec.rules[].backendRefs[].filters[]");
            let rest = rest.or_else(|| path.strip_prefix("spec.rules[].filters[]"));
            rest.map_or(&[], filter)
        }
    }
}

const SESSION: &[&str] = &["sessionName", "absoluteTimeout", "idleTimeout", "type", "cookieConfig"];

const HTTP_RULE: &[&str] =
    &["name", "matches", "filters", "backendRefs", "timeouts", "retry", "sessionPersistence"];

fn filter(path: &str) -> &'static [&'static str] {
    match path {
        "" => &[
            "type",
            "requestHeaderModifier",
            "responseHeaderModifier",
            "requestMirror",
            "requestRedirect",
            "urlRewrite",
            "cors",
            "externalAuth",
            "extensionRef",
        ],
        ".requestHeaderModifier" | ".responseHeaderModifier" => &["set", "add", "remove"],
        ".requestMirror" => &["backendRef", "percent", "fraction"],
        ".requestMirror.backendRef" => &["group", "kind", "namespace", "name", "port"],
        ".requestMirror.fraction" => &["numerator", "denominator"],
        ".requestRedirect" => &["scheme", "hostname", "path", "port", "statusCode"],
        ".urlRewrite" => &["hostname", "path"],
        ".requestRedirect.path" | ".urlRewrite.path" => {
            &["type", "replaceFullPath", "replacePrefixMatch"]
        }
        ".cors" => &[
            "allowOrigins",
            "allowCredentials",
            "allowMethods",
            "allowHeaders",
            "exposeHeaders",
            "maxAge",
        ],
        ".externalAuth" => &["protocol", "backendRef", "grpc", "http", "forwardBody"],
        ".externalAuth.backendRef" => &["group", "kind", "namespace", "name", "port"],
        ".externalAuth.grpc" => &["allowedHeaders"],
        ".externalAuth.http" => &["path", "allowedHeaders", "allowedResponseHeaders"],
        ".externalAuth.forwardBody" => &["maxSize"],
        _ => &[],
    }
}

fn stream(path: &str) -> &'static [&'static str] {
    match path {
        "spec" => &["parentRefs", "hostnames", "rules", "useDefaultGateways"],
        "spec.parentRefs[]" => PARENT,
        "spec.rules[]" => &["name", "backendRefs"],
        "spec.rules[].backendRefs[]" => &["group", "kind", "namespace", "name", "port", "weight"],
        _ => &[],
    }
}

fn policy(path: &str) -> &'static [&'static str] {
    match path {
        "spec" => &["targetRefs", "validation", "options"],
        "spec.targetRefs[]" => &["group", "kind", "name", "sectionName"],
        "spec.validation" => {
            &["caCertificateRefs", "wellKnownCACertificates", "hostname", "subjectAltNames"]
        }
        "spec.validation.caCertificateRefs[]" => &["group", "kind", "name"],
        "spec.validation.subjectAltNames[]" => &["type", "hostname", "uri"],
        _ => &[],
    }
}

fn traffic_policy(path: &str) -> &'static [&'static str] {
    match path {
        "spec" => &["targetRefs", "retryConstraint", "sessionPersistence"],
        "spec.targetRefs[]" => &["group", "kind", "name"],
        "spec.retryConstraint" => &["budget", "minRetryRate"],
        "spec.retryConstraint.budget" => &["percent", "interval"],
        "spec.retryConstraint.minRetryRate" => &["count", "interval"],
        "spec.sessionPersistence" => SESSION,
        "spec.sessionPersistence.cookieConfig" => &["lifetimeType"],
        _ => &[],
    }
}
