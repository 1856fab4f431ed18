//! The Secrets and ConfigMaps that the suite makes in Go before its tests, made anew.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};
use serde_json::{Value, json};

use super::{INFRA, WEB};

/// A certificate with its key.
#[derive(Clone)]
pub struct Pair {
    pub certificate: String,
    pub key: String,
    pub der: Vec<u8>,
}

/// An authority, and what it signs.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub certificate: String,
}

/// What a certificate is for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Use {
    Server,
    Client,
}

impl Authority {
    pub fn new() -> Self {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new([]).expect("parameters");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyCertSign];
        params.distinguished_name.push(DnType::CommonName, "gatewayapi");
        let certificate = params.self_signed(&key).expect("a certificate").pem();
        Self { issuer: Issuer::new(params, key), certificate }
    }

    /// A certificate of a server; what is no DNS name becomes a URI, as upstream does it.
    pub fn server(&self, names: &[&str]) -> Pair {
        pair(names, Use::Server, Some(self))
    }

    pub fn client(&self) -> Pair {
        pair(&[], Use::Client, Some(self))
    }
}

fn pair(names: &[&str], purpose: Use, authority: Option<&Authority>) -> Pair {
    let key = KeyPair::generate().expect("a key");
    let mut params = CertificateParams::new([]).expect("parameters");
    params.distinguished_name.push(DnType::CommonName, "default");
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment];
    params.extended_key_usages = vec![match purpose {
        Use::Server => ExtendedKeyUsagePurpose::ServerAuth,
        Use::Client => ExtendedKeyUsagePurpose::ClientAuth,
    }];
    params.subject_alt_names = names
        .iter()
        .map(|name| {
            let text = (*name).try_into().expect("ASCII");
            let is_dns = *name != "*" && !name.contains(':');
            if is_dns { SanType::DnsName(text) } else { SanType::URI(text) }
        })
        .collect();
    let certificate = match authority {
        Some(authority) => params.signed_by(&key, &authority.issuer),
        None => params.self_signed(&key),
    };
    let certificate = certificate.expect("a certificate");
    Pair {
        certificate: certificate.pem(),
        key: key.serialize_pem(),
        der: certificate.der().to_vec(),
    }
}

/// By namespace and name.
#[derive(Default)]
pub struct Certificates {
    pub secrets: BTreeMap<(&'static str, &'static str), Pair>,
    pub authorities: BTreeMap<(&'static str, &'static str), Authority>,
}

/// Keys are slow to make, so all tests of a process share them.
pub static CERTIFICATES: LazyLock<Certificates> = LazyLock::new(Certificates::make);

const APP: &str = super::APP;

impl Certificates {
    fn make() -> Self {
        let mut made = Self::default();
        let self_signed = |names| pair(names, Use::Server, None);
        made.secrets.insert((WEB, "certificate"), self_signed(&["*"]));
        let names = &["*", "*.org", "*.wildcard.org"];
        made.secrets.insert((INFRA, "tls-validity-checks-certificate"), self_signed(names));
        made.authorities.insert((WEB, "web-backend-cm"), Authority::new());
        made.authorities.insert((INFRA, "mismatch-ca-certificate"), Authority::new());
        for (authority, secret) in [
            ("tls-validity-checks-ca-certificate", "tls-validity-checks-client-certificate"),
            (
                "tls-validity-checks-per-port-ca-certificate",
                "tls-validity-checks-per-port-client-certificate",
            ),
        ] {
            let made_authority = Authority::new();
            made.secrets.insert((INFRA, secret), made_authority.client());
            made.authorities.insert((INFRA, authority), made_authority);
        }
        let checks = Authority::new();
        let sans =
            &["abc.example.com", "spiffe://abc.example.com/test-identity", "other.example.com"];
        made.secrets.insert((INFRA, "tls-checks-certificate"), checks.server(sans));
        made.secrets.insert((INFRA, "tls-checks-client-certificate"), checks.client());
        for namespace in [INFRA, APP] {
            let pair = checks.server(&["abc.example.com"]);
            made.secrets.insert((namespace, "tls-passthrough-checks-certificate"), pair);
        }
        let pair = checks.server(&["tls.example.com"]);
        made.secrets.insert((INFRA, "tls-terminate-checks-certificate"), pair);
        made.authorities.insert((INFRA, "tls-checks-ca-certificate"), checks);
        made
    }

    pub fn secret(&self, namespace: &str, name: &str) -> &Pair {
        let mut secrets = self.secrets.iter();
        let found = secrets.find(|((its_namespace, its_name), _)| {
            *its_namespace == namespace && *its_name == name
        });
        found.unwrap_or_else(|| panic!("no Secret {namespace}/{name}")).1
    }

    pub fn authority(&self, namespace: &str, name: &str) -> &Authority {
        let mut authorities = self.authorities.iter();
        let found = authorities.find(|((its_namespace, its_name), _)| {
            *its_namespace == namespace && *its_name == name
        });
        found.unwrap_or_else(|| panic!("no ConfigMap {namespace}/{name}")).1
    }

    /// As objects.
    pub fn objects(&self) -> Vec<Value> {
        let secrets =
            self.secrets.iter().map(|((namespace, name), pair)| secret(namespace, name, pair));
        let maps = self.authorities.iter().map(|((namespace, name), authority)| {
            authority_map(namespace, name, &authority.certificate)
        });
        secrets.chain(maps).collect()
    }
}

/// A `kubernetes.io/tls` Secret as an API server gives it.
pub fn secret(namespace: &str, name: &str, pair: &Pair) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "kubernetes.io/tls",
        "metadata": { "name": name, "namespace": namespace },
        "data": {
            "tls.crt": STANDARD.encode(&pair.certificate),
            "tls.key": STANDARD.encode(&pair.key),
        },
    })
}

/// A ConfigMap with an authority.
pub fn authority_map(namespace: &str, name: &str, certificate: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": { "name": name, "namespace": namespace },
        "data": { "ca.crt": certificate },
    })
}
