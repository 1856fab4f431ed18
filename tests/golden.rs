//! Manifests → everything that `compile` makes of them, as text: `tests/golden/<behaviour>/in.yaml`
//! → `out.txt`. `UPDATE=1 cargo test --test golden` rewrites the expectations; read the diff.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rutter::compile::{Allocations, Compiled, Settings, compile};
use rutter::manifest::{finding, yaml};
use rutter::snapshot::{
    Action, Backend, Rule, Serve, Snapshot, TlsTable, WeightedBackend, Zone, ZonePort, ZoneService,
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
    zone(&mut out, &compiled.snapshot.zone);
    findings(&mut out, &compiled, text);
    out
}

fn listeners(out: &mut String, snapshot: &Snapshot) {
    writeln!(out, "# listeners").expect("a string takes it");
    for (key, listener) in &snapshot.listeners {
        match &listener.serve {
            Serve::Http(http) => writeln!(out, "{key} {}", http.name).expect("a string takes it"),
            Serve::Frontend(frontend) => {
                let field = &frontend.backend.field;
                writeln!(out, "{key} {} {} {field}", frontend.exposure, frontend.backend.id)
                    .expect("a string takes it");
                endpoints(out, &frontend.backend);
            }
        }
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

/// The rules are the same on every listener.
fn http(out: &mut String, snapshot: &Snapshot) {
    let of = |spec: &std::sync::Arc<rutter::snapshot::ListenerSpec>| match &spec.serve {
        Serve::Http(http) => Some(http.clone()),
        Serve::Frontend(_) => None,
    };
    let all: Vec<_> = snapshot.listeners.values().filter_map(of).collect();
    if let Some(http) = all.first() {
        writeln!(out, "\n# rules").expect("a string takes it");
        http.rules().for_each(|it| rule(out, it));
    }
    if let Some(table) = all.iter().find_map(|it| it.tls.as_ref()) {
        writeln!(out, "\n# certificates").expect("a string takes it");
        tls(out, table);
    }
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
        Ok(backend) => backend.id.to_string(),
        Err(failure) => format!("{}: {}", failure.reason, failure.detail),
    }
}

fn tls(out: &mut String, table: &TlsTable) {
    for (host, certificate) in &table.exact {
        writeln!(out, "{host} → {}", certificate.secret).expect("a string takes it");
    }
    for (suffix, certificate) in &table.wildcard {
        writeln!(out, "*.{suffix} → {}", certificate.secret).expect("a string takes it");
    }
    if let Some(certificate) = &table.default {
        writeln!(out, "default → {}", certificate.secret).expect("a string takes it");
    }
}

fn zone(out: &mut String, zone: &Zone) {
    writeln!(out, "\n# zone {}", zone.domain).expect("a string takes it");
    for (namespace, services) in &zone.services {
        for (name, service) in services {
            match service {
                ZoneService::ClusterIp { addresses, ports: named } => {
                    writeln!(out, "{name}.{namespace} → {addresses:?}{}", ports(named))
                        .expect("a string takes it");
                }
                ZoneService::External { name: target } => {
                    writeln!(out, "{name}.{namespace} → CNAME {target}")
                        .expect("a string takes it");
                }
                ZoneService::Headless { endpoints } => {
                    writeln!(out, "{name}.{namespace} headless").expect("a string takes it");
                    for it in endpoints {
                        writeln!(out, "    {} → {}{}", it.hostname, it.address, ports(&it.ports))
                            .expect("a string takes it");
                    }
                }
            }
        }
    }
    for (address, names) in &zone.reverse {
        writeln!(out, "{address} → {}", names.join(" ")).expect("a string takes it");
    }
}

fn ports(ports: &[ZonePort]) -> String {
    ports.iter().map(|it| format!(" {}/{}={}", it.name, it.transport, it.port)).collect()
}

fn findings(out: &mut String, compiled: &Compiled, text: &str) {
    writeln!(out, "\n# findings").expect("a string takes it");
    for it in &compiled.report.findings {
        let span = it.span.or_else(|| yaml::locate(text, &it.origin, &it.field));
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
