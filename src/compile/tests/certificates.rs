//! Certificates by host, and what is wrong with them.

use serde_json::{Value, json};

use super::*;
use crate::snapshot::TlsTable;

pub(super) struct Pair {
    pub(super) certificate: String,
    pub(super) key: String,
}

/// A self-signed certificate for these names, valid for these years.
pub(super) fn pair(names: &[&str], years: (i32, i32)) -> Pair {
    pair_of(&rcgen::PKCS_ECDSA_P256_SHA256, names, years)
}

fn pair_of(
    algorithm: &'static rcgen::SignatureAlgorithm,
    names: &[&str],
    years: (i32, i32),
) -> Pair {
    let key = rcgen::KeyPair::generate_for(algorithm).expect("a key");
    let names: Vec<String> = names.iter().map(|it| (*it).to_owned()).collect();
    let mut params = rcgen::CertificateParams::new(names).expect("parameters");
    params.not_before = rcgen::date_time_ymd(years.0, 1, 1);
    params.not_after = rcgen::date_time_ymd(years.1, 1, 1);
    let certificate = params.self_signed(&key).expect("a certificate");
    Pair { certificate: certificate.pem(), key: key.serialize_pem() }
}

fn secret(name: &str, pair: &Pair) -> Value {
    json!({"kind": "Secret", "metadata": {"name": name}, "type": "kubernetes.io/tls",
        "stringData": {"tls.crt": pair.certificate, "tls.key": pair.key}})
}

fn with_tls(name: &str, tls: Value) -> Value {
    ingress(name, json!({"defaultBackend": backend("web"), "tls": tls}))
}

fn web() -> Value {
    service("web", json!({"ports": [{"port": 80}]}))
}

fn table(compiled: &Compiled) -> Arc<TlsTable> {
    let mut listeners = compiled.snapshot.listeners.values();
    let tls = listeners.find_map(|spec| spec.serve.http()?.tls.clone());
    tls.expect("a listener for HTTPS")
}

fn served(compiled: &Compiled, name: Option<&str>) -> Option<String> {
    let table = table(compiled);
    let certificate = table.select(name)?.certificate(name)?;
    Some(certificate.secret.name.to_string())
}

#[test]
fn exact_goes_before_wildcard_before_the_default() {
    let years = (2020, 2030);
    let compiled = compiled([
        web(),
        secret("exact", &pair(&["a.test"], years)),
        secret("wild", &pair(&["*.test"], years)),
        secret("default", &pair(&["other.example"], years)),
        with_tls(
            "1",
            json!([{"hosts": ["A.test"], "secretName": "exact"},
                   {"hosts": ["*.test"], "secretName": "wild"}]),
        ),
        with_tls("2", json!([{"secretName": "default"}])),
    ]);
    for (name, expected) in [
        (Some("a.test"), "exact"),
        (Some("A.TEST"), "exact"),
        (Some("b.test"), "wild"),
        (Some("b.b.test"), "default"),
        (None, "default"),
    ] {
        assert_eq!(served(&compiled, name).as_deref(), Some(expected), "{name:?}");
    }
    assert_eq!(codes(&compiled), []);
}

#[test]
fn a_host_has_one_certificate_of_each_kind_of_key_of_one_ingress() {
    let years = (2020, 2030);
    let rsa = || pair_of(&rcgen::PKCS_RSA_SHA256, &["a.test", "b.test"], years);
    let ecdsa = || pair(&["a.test", "b.test"], years);
    let of = |host: &str, name: &str| json!({"hosts": [host], "secretName": name});
    let compiled = compiled([
        web(),
        secret("rsa", &rsa()),
        secret("ecdsa", &ecdsa()),
        secret("other-rsa", &rsa()),
        secret("other-ecdsa", &ecdsa()),
        with_tls(
            "1",
            json!([
                of("a.test", "rsa"),
                of("a.test", "ecdsa"),
                of("a.test", "rsa"),
                of("a.test", "other-rsa"),
                of("b.test", "ecdsa")
            ]),
        ),
        // whoever came later adds nothing to the host of another
        with_tls("2", json!([of("b.test", "other-rsa"), of("b.test", "ecdsa")])),
    ]);
    let shown = |name| {
        let table = table(&compiled);
        let entry = table.select(Some(name)).expect("an entry");
        entry.certificates.iter().map(|it| it.secret.name.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(shown("a.test"), ["rsa", "ecdsa"]);
    assert_eq!(shown("b.test"), ["ecdsa"]);
    let codes: Vec<_> = codes(&compiled).into_iter().map(|(code, _)| code).collect();
    assert_eq!(codes, [Code::RouteConflict, Code::RouteConflict]);
}

#[test]
fn without_a_default_the_first_certificate_is_it() {
    let pair = pair(&["a.test", "b.test"], (2020, 2030));
    let compiled = compiled([
        web(),
        secret("b", &pair),
        secret("a", &pair),
        with_tls("2", json!([{"hosts": ["a.test"], "secretName": "a"}])),
        with_tls("1", json!([{"hosts": ["b.test"], "secretName": "b"}])),
    ]);
    assert_eq!(served(&compiled, None).as_deref(), Some("b"));
}

#[test]
fn a_certificate_that_cannot_be_used_leaves_its_host_to_the_default() {
    let (good, other) = (pair(&["a.test"], (2020, 2030)), pair(&["a.test"], (2020, 2030)));
    let mixed = Pair { certificate: good.certificate.clone(), key: other.key };
    let text = |certificate: &str, key: &str| {
        json!({"kind": "Secret", "metadata": {"name": "bad"},
            "stringData": {"tls.crt": certificate, "tls.key": key}})
    };
    let rows = [
        (secret("bad", &mixed), Code::KeyMismatch, "stringData.tls.key"),
        (text("", &good.key), Code::BadCertificate, "stringData.tls.crt"),
        (text("x", &good.key), Code::BadCertificate, "stringData.tls.crt"),
        (text(&good.certificate, "x"), Code::BadCertificate, "stringData.tls.key"),
        (
            json!({"kind": "Secret", "metadata": {"name": "bad"}, "data": {"tls.crt": "*"}}),
            Code::BadCertificate,
            "data.tls.crt",
        ),
        (
            json!({"kind": "Secret", "metadata": {"name": "bad"}}),
            Code::BadCertificate,
            "data.tls.crt",
        ),
        (
            json!({"kind": "Secret", "metadata": {"name": "bda"}}),
            Code::MissingSecret,
            "spec.tls[0].secretName",
        ),
    ];
    for (bad, code, field) in rows {
        let compiled = compiled([
            web(),
            bad,
            secret("good", &good),
            with_tls(
                "1",
                json!([{"hosts": ["a.test"], "secretName": "bad"}, {"secretName": "good"}]),
            ),
        ]);
        assert_eq!(codes(&compiled), [(code, field)]);
        assert_eq!(served(&compiled, Some("a.test")).as_deref(), Some("good"));
    }
}

#[test]
fn what_the_client_may_judge_is_served_and_found() {
    for (names, years, code, field) in [
        (["a.test"], (2020, 2021), Code::ExpiredCertificate, "stringData.tls.crt"),
        (["a.test"], (2030, 2031), Code::ExpiredCertificate, "stringData.tls.crt"),
        (["b.test"], (2020, 2030), Code::UncoveredHost, "spec.tls[0].hosts[0]"),
    ] {
        let compiled = compiled([
            web(),
            secret("a", &pair(&names, years)),
            with_tls("1", json!([{"hosts": ["a.test"], "secretName": "a"}])),
        ]);
        assert_eq!(codes(&compiled), [(code, field)]);
        assert_eq!(served(&compiled, Some("a.test")).as_deref(), Some("a"));
    }
}

#[test]
fn a_kept_reading_gives_what_a_new_one_gives_and_still_expires() {
    let good = pair(&["a.test"], (2020, 2027));
    let bad = Pair { certificate: good.certificate.clone(), key: "x".to_owned() };
    let objects = objects([
        web(),
        secret("good", &good),
        secret("bad", &bad),
        with_tls("1", json!([{"hosts": ["a.test"], "secretName": "good"}, {"secretName": "bad"}])),
    ]);
    let settings = Settings::default();
    let first = compile(&objects, &settings, &Allocations::default(), now());
    assert_eq!(compile(&objects, &settings, &first.allocations, now()), first);
    let years_later = now() + Duration::from_secs(3 * 365 * 86_400);
    let later = compile(&objects, &settings, &first.allocations, years_later);
    assert_eq!(later.snapshot, first.snapshot);
    assert!(codes(&later).contains(&(Code::ExpiredCertificate, "stringData.tls.crt")));
}

#[test]
fn other_bytes_are_another_certificate() {
    let compile = |pair: &Pair| {
        let tls = json!([{"hosts": ["a.test"], "secretName": "a"}]);
        let compiled = compiled([web(), secret("a", pair), with_tls("1", tls)]);
        table(&compiled).certificates().next().expect("a certificate").id
    };
    let (one, two) = (pair(&["a.test"], (2020, 2030)), pair(&["a.test"], (2020, 2030)));
    assert_eq!(compile(&one), compile(&one));
    assert_ne!(compile(&one), compile(&two));
}

/// What an option names, with these objects.
fn for_dns(name: &str, values: impl IntoIterator<Item = Value>) -> Compiled {
    let wanted = Some(ObjectKey::new("default", name));
    let settings = Settings { dns_certificate: wanted, ..Settings::default() };
    compile(&objects(values), &settings, &Allocations::default(), now())
}

#[test]
fn the_certificate_of_dns_is_that_of_the_secret_that_the_option_names() {
    let good = secret("dns", &pair(&["dns.test"], (2020, 2030)));
    let compiled = for_dns("dns", [good]);
    assert_eq!(codes(&compiled), []);
    for name in [None, Some("dns.test"), Some("192.0.2.1")] {
        let entry = compiled.snapshot.dns_tls.select(name).expect("for every name");
        assert_eq!(&*entry.certificates[0].secret.name, "dns");
    }
    assert_eq!(super::compiled([]).snapshot.dns_tls.entries(), []);
}

#[test]
fn a_certificate_of_dns_that_cannot_be_used_is_told_with_the_option_and_the_remedy() {
    let mut broken = secret("dns", &pair(&["dns.test"], (2020, 2030)));
    broken["stringData"]["tls.key"] = json!("nothing");
    let consequence = "DNS over TLS and HTTPS refuse every client";
    let remedy = "write default/dns as a Secret of type kubernetes.io/tls, or name another";
    let missing = "Secret \"dns\" does not exist in namespace default";
    let unusable = "Secret default/dns (in.yaml:1) holds no certificate that can be used";
    let other = secret("dsn", &pair(&["dns.test"], (2020, 2030)));
    let meant = format!("did you mean dsn? Or {remedy}");
    for (objects, findings, message, help) in [
        (vec![], 1, missing, remedy),
        (vec![other], 1, missing, &meant),
        (vec![broken], 2, unusable, remedy),
    ] {
        let compiled = for_dns("dns", objects);
        assert_eq!(compiled.snapshot.dns_tls.entries(), []);
        let report = &compiled.report.findings;
        assert_eq!(report.len(), findings, "{report:?}");
        let of_option = report.iter().find(|it| &*it.origin.file == "--dns-certificate");
        let of_option = of_option.expect("a finding that names the option");
        assert_eq!(of_option.message, format!("{message}; {consequence}"));
        assert_eq!(of_option.help.as_deref(), Some(help));
        let line = of_option.to_string();
        assert!(line.starts_with("--dns-certificate: RT"), "{line}");
    }
}

#[test]
fn http3_is_beside_https_where_nothing_is_asked_of_clients_and_the_port_is_free() {
    let objects = |extra: Value| {
        let pair = pair(&["a.test"], (2020, 2030));
        let tls = with_tls("1", json!([{"hosts": ["a.test"], "secretName": "a"}]));
        objects([web(), secret("a", &pair), tls, extra])
    };
    let sockets = |http3, extra| {
        let settings = Settings { http3, ..Settings::default() };
        let compiled = compile(&objects(extra), &settings, &Allocations::default(), now());
        let listeners = compiled.snapshot.listeners.values();
        let listeners = listeners.filter(|spec| spec.key.addr.port() == 443);
        let told = |spec: &Arc<crate::snapshot::ListenerSpec>| {
            format!("{} {}", spec.key, spec.serve.http().is_some_and(|http| http.has_http3))
        };
        listeners.map(told).filter(|it| it.contains("0.0.0.0")).collect::<Vec<_>>()
    };
    let other = || service("other", json!({"ports": [{"port": 80}]}));
    assert_eq!(sockets(false, other()), ["tcp://0.0.0.0:443 false"]);
    let both = ["tcp://0.0.0.0:443 true", "udp://0.0.0.0:443 true"];
    assert_eq!(sockets(true, other()), both);
}
