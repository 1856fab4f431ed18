//! Manifests → everything that `compile` makes of them, as text: `tests/golden/<behaviour>/in.yaml`
//! → `out.txt`. `UPDATE=1 cargo test --test golden` rewrites the expectations; read the diff.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rutter::compile::status::{Condition, ListenerStatus, Status};
use rutter::compile::{Allocations, Compiled, Settings, compile};
use rutter::manifest::{finding, yaml};
use rutter::snapshot::{
    Action, Backend, Failure, Frontend, HostMatch, HttpListener, Rule, Serve, Snapshot, Target,
    TlsHost, TlsServe, TlsTable, WeightedBackend, Zone, ZonePort, ZoneService,
};
use rutter::source::Sourced;
use rutter::store::Objects;

#[test]
fn every_golden_input_compiles_to_its_expectation() {
    let mut failures = Vec::new();
    let inputs = inputs();
    assert!(inputs.len() >= 12, "the golden inputs must be found");
    for input in inputs {
        let text = std::fs::read_to_string(&input).expect("an input");
        let actual = render(&text);
        let expectation = input.with_file_name("out.txt");
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(&expectation, &actual).expect("a place to write");
        }
        let expected = std::fs::read_to_string(&expectation).unwrap_or_default();
        if actual != expected {
            failures.push(format!("{}\n{}", expectation.display(), diff(&expected, &actual)));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// Certificates that are to be ordered, where there are some.
fn wanted(out: &mut String, compiled: &Compiled) {
    let mut wanted = compiled.report.certificates.iter().peekable();
    if wanted.peek().is_some() {
        out.push_str("\n# certificates that are ordered\n");
    }
    for it in wanted {
        writeln!(out, "{} ← {}", it.secret, it.names.join(", ")).expect("a string takes it");
    }
}

fn inputs() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let entries = std::fs::read_dir(folder).expect("tests/golden");
    let mut inputs: Vec<_> =
        entries.map(|entry| entry.expect("an entry").path().join("in.yaml")).collect();
    inputs.sort();
    inputs
}

fn render(text: &str) -> String {
    let decoded = yaml::decode("in.yaml", text);
    let mut objects = Objects::default();
    for (object, origin) in decoded.objects {
        objects.apply(&Sourced { object, origin, stale: false });
    }
    // 2026-11-24T12:00:00Z.
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_521_600);
    let mut compiled = compile(&objects, &Settings::default(), &Allocations::default(), now);
    compiled.report.findings.extend(decoded.findings);
    finding::sort(&mut compiled.report.findings);
    let mut out = String::new();
    listeners(&mut out, &compiled.snapshot);
    http(&mut out, &compiled.snapshot);
    wanted(&mut out, &compiled);
    zone(&mut out, &compiled.snapshot.zone);
    statuses(&mut out, &compiled);
    load_balancers(&mut out, &compiled);
    findings(&mut out, &compiled, text);
    out
}

fn listeners(out: &mut String, snapshot: &Snapshot) {
    writeln!(out, "# listeners").expect("a string takes it");
    for (key, listener) in snapshot.listeners.iter() {
        match &listener.serve {
            Serve::Http(http) => writeln!(out, "{key} {}", http.name).expect("a string takes it"),
            Serve::Frontend(it) => frontend(out, &key.to_string(), it),
            Serve::Health(check) => {
                writeln!(out, "{key} health check of {}", check.service)
                    .expect("a string takes it");
            }
            Serve::Tls(tls) => {
                writeln!(out, "{key} {}", tls.name).expect("a string takes it");
                tls.hosts().iter().for_each(|host| tls_host(out, host));
            }
        }
    }
}

fn frontend(out: &mut String, what: &str, frontend: &Frontend) {
    if frontend.shares.is_empty() {
        writeln!(out, "{what} {} {} refused", frontend.exposure, frontend.owner)
            .expect("a string takes it");
    }
    for share in &frontend.shares {
        let weight =
            if frontend.shares.len() > 1 { format!(" ×{}", share.weight) } else { "".into() };
        match &share.target {
            Ok(Target { backend, .. }) => {
                let Backend { id, field, .. } = &**backend;
                writeln!(out, "{what} {} {id} {field}{weight}", frontend.exposure)
                    .expect("a string takes it");
                endpoints(out, backend);
            }
            Err(Failure { reason, detail }) => {
                writeln!(out, "{what} {} {reason}: {detail}{weight}", frontend.exposure)
                    .expect("a string takes it");
            }
        }
    }
}

fn tls_host(out: &mut String, host: &TlsHost) {
    let (mode, routes) = match &host.serve {
        TlsServe::Http => ("http", None),
        TlsServe::Passthrough(routes) => ("passthrough", Some(routes)),
        TlsServe::Terminate(_, routes) => ("terminate", Some(routes)),
    };
    writeln!(out, "  {} {mode} ({})", host.host, host.name).expect("a string takes it");
    for (name, it) in routes.iter().flat_map(|routes| routes.routes()) {
        frontend(out, &format!("    {name}"), it);
    }
}

fn endpoints(out: &mut String, backend: &Backend) {
    for endpoint in &backend.endpoints {
        let used = if backend.usable.contains(endpoint) { "→" } else { "×" };
        let pod = endpoint.pod.as_deref().unwrap_or("-");
        let zone = endpoint.zone.as_deref().map_or(String::new(), |zone| format!(" in {zone}"));
        writeln!(out, "    {used} {} {pod}{zone}", endpoint.id).expect("a string takes it");
    }
}

/// Rules and certificates, those of several listeners once.
fn http(out: &mut String, snapshot: &Snapshot) {
    let all: Vec<_> = snapshot.listeners.values().filter_map(|spec| spec.serve.http()).collect();
    let mut seen: Vec<&HttpListener> = Vec::new();
    for http in &all {
        if seen.iter().any(|it| it.hosts() == http.hosts() || is_same_rules(it, http)) {
            continue;
        }
        let of = if seen.is_empty() { String::new() } else { format!(" of {}", http.name) };
        writeln!(out, "\n# rules{of}").expect("a string takes it");
        for host in http.hosts() {
            if http.hosts().len() > 1 {
                writeln!(out, "{} ({})", host.host, host.name).expect("a string takes it");
            }
            host.routes.rules().iter().for_each(|it| rule(out, it));
        }
        seen.push(http);
    }
    let mut tables: Vec<&TlsTable> = Vec::new();
    for (key, table) in snapshot
        .listeners
        .iter()
        .flat_map(|(key, spec)| spec.serve.tls_tables().map(move |table| (key, table)))
    {
        if tables.contains(&&**table) {
            continue;
        }
        let of = if tables.is_empty() { String::new() } else { format!(" of {key}") };
        writeln!(out, "\n# certificates{of}").expect("a string takes it");
        tls(out, table);
        tables.push(table);
    }
}

/// Whether two listeners differ in their names only.
fn is_same_rules(one: &HttpListener, other: &HttpListener) -> bool {
    let routes = |http: &HttpListener| -> Vec<_> {
        http.hosts().iter().map(|it| (it.host.clone(), it.routes.clone())).collect()
    };
    routes(one) == routes(other)
}

fn rule(out: &mut String, rule: &Rule) {
    let what = match &rule.action {
        Action::Forward(backends) => {
            let backends: Vec<_> = backends.iter().map(share).collect();
            backends.join(" ")
        }
        Action::Redirect(redirect) => format!("{redirect:?}"),
        Action::Fail(failure) => format!("{}: {}", failure.reason, failure.detail),
    };
    writeln!(out, "{} {} → {what} ({} {})", rule.host, rule.path, rule.label, rule.field)
        .expect("a string takes it");
}

fn share(share: &WeightedBackend) -> String {
    match &share.target {
        Ok(target) => target.backend.id.to_string(),
        Err(failure) => format!("{}: {}", failure.reason, failure.detail),
    }
}

fn tls(out: &mut String, table: &TlsTable) {
    for entry in table.entries() {
        let host = match &entry.host {
            HostMatch::Any => "default".to_owned(),
            host @ (HostMatch::Exact(_) | HostMatch::Wildcard(_) | HostMatch::Suffix(_)) => {
                host.to_string()
            }
        };
        let secrets: Vec<_> = entry.certificates.iter().map(|it| it.secret.to_string()).collect();
        let clients = match &entry.client_auth {
            Some(auth) => format!(" {:?}", auth.mode),
            None => String::new(),
        };
        writeln!(out, "{host} → {}{clients}", secrets.join(" ")).expect("a string takes it");
    }
}

fn zone(out: &mut String, zone: &Zone) {
    writeln!(out, "\n# zone {}", zone.domain).expect("a string takes it");
    for (rutter::manifest::ObjectKey { namespace, name }, service) in zone.services.iter() {
        match service {
            ZoneService::ClusterIp { addresses, ports: named } => {
                writeln!(out, "{name}.{namespace} → {addresses:?}{}", ports(named))
                    .expect("a string takes it");
            }
            ZoneService::Empty { .. } => {
                writeln!(out, "{name}.{namespace} does not exist while it is empty")
                    .expect("a string takes it");
            }
            ZoneService::External { name: target } => {
                writeln!(out, "{name}.{namespace} → CNAME {target}").expect("a string takes it");
            }
            ZoneService::Headless { endpoints } => {
                writeln!(out, "{name}.{namespace} headless").expect("a string takes it");
                for it in endpoints.iter() {
                    writeln!(out, "    {} → {}{}", it.hostname, it.address, ports(&it.ports))
                        .expect("a string takes it");
                }
            }
        }
    }
    let addresses: BTreeSet<_> = zone.reverse.keys().map(|it| it.address).collect();
    for address in addresses {
        let names: Vec<_> = zone.names_of(address).into_iter().flatten().collect();
        writeln!(out, "{address} → {}", names.join(" ")).expect("a string takes it");
    }
}

fn ports(ports: &[ZonePort]) -> String {
    ports.iter().map(|it| format!(" {}/{}={}", it.name, it.transport, it.port)).collect()
}

fn statuses(out: &mut String, compiled: &Compiled) {
    if compiled.report.statuses.is_empty() {
        return;
    }
    writeln!(out, "\n# statuses").expect("a string takes it");
    for it in &compiled.report.infrastructure {
        writeln!(out, "Service {}/{} {:?}", it.namespace, it.name, it.ports)
            .expect("a string takes it");
        writeln!(out, "  {:?} {:?}", it.labels, it.annotations).expect("a string takes it");
    }
    for (object, status) in &compiled.report.statuses {
        writeln!(out, "{object}").expect("a string takes it");
        match status {
            Status::GatewayClass { conditions, .. } => self::conditions(out, "  ", conditions),
            Status::Gateway { addresses, conditions, listeners, attached_listener_sets } => {
                let addresses: Vec<_> = addresses.iter().map(|it| it.value.to_string()).collect();
                let sets = attached_listener_sets;
                writeln!(out, "  at {}, {sets} ListenerSets", addresses.join(" "))
                    .expect("a string takes it");
                self::conditions(out, "  ", conditions);
                listeners.iter().for_each(|it| listener_status(out, it));
            }
            Status::ListenerSet { conditions, listeners } => {
                self::conditions(out, "  ", conditions);
                listeners.iter().for_each(|it| listener_status(out, it));
            }
            Status::Route { parents } => {
                for it in parents {
                    let section = it.parent_ref.section_name.as_deref().unwrap_or("*");
                    writeln!(out, "  {} {section}", it.parent_ref.name).expect("a string takes it");
                    conditions(out, "    ", &it.conditions);
                }
            }
            Status::Policy { ancestors } => {
                for it in ancestors {
                    writeln!(out, "  {}", it.ancestor_ref.name).expect("a string takes it");
                    conditions(out, "    ", &it.conditions);
                }
            }
        }
    }
}

fn load_balancers(out: &mut String, compiled: &Compiled) {
    if !compiled.report.load_balancers.is_empty() {
        writeln!(out, "\n# load balancers").expect("a string takes it");
    }
    for (service, told) in &compiled.report.load_balancers {
        for it in &told.addresses {
            writeln!(out, "{service} {} of {}, {}", it.ip, it.source, it.why)
                .expect("a string takes it");
        }
        for why in &told.missing {
            writeln!(out, "{service} {why}").expect("a string takes it");
        }
    }
}

fn listener_status(out: &mut String, status: &ListenerStatus) {
    let kinds: Vec<_> = status.supported_kinds.iter().map(|it| it.kind).collect();
    let (name, attached) = (&status.name, status.attached_routes);
    writeln!(out, "  {name}: {attached} routes of {}", kinds.join(" ")).expect("a string takes it");
    conditions(out, "    ", &status.conditions);
}

fn conditions(out: &mut String, indent: &str, conditions: &[Condition]) {
    for it in conditions {
        let sign = if it.holds { "+" } else { "-" };
        let message = if it.message.is_empty() { "" } else { ": " };
        writeln!(out, "{indent}{sign} {} {}{message}{}", it.kind, it.reason, it.message)
            .expect("a string takes it");
    }
}

fn findings(out: &mut String, compiled: &Compiled, text: &str) {
    writeln!(out, "\n# findings").expect("a string takes it");
    for it in &compiled.report.findings {
        let find = |part| yaml::Places::new(text).find_part(&it.origin, &it.field, part);
        let whole = || yaml::locate(text, &it.origin, &it.field);
        let span = it.span.or_else(|| it.part.map_or_else(whole, find));
        let place = span.map_or(String::new(), |span| format!(":{}:{}", span.line, span.column));
        let (severity, code) = (it.severity, it.code);
        writeln!(out, "{severity} {code} {}{place} {}", it.origin.file, it.field)
            .expect("a string takes it");
        writeln!(out, "    {}", it.message).expect("a string takes it");
        if let Some(help) = &it.help {
            writeln!(out, "    help: {help}").expect("a string takes it");
        }
    }
}

/// The lines that differ.
fn diff(expected: &str, actual: &str) -> String {
    let only = |mark: &str, text: &str, other: &str| -> String {
        let lines = text.lines().filter(|line| !other.lines().any(|it| it == *line));
        lines.map(|line| format!("{mark} {line}\n")).collect()
    };
    only("-", expected, actual) + &only("+", actual, expected)
}
