//! The certificate of DNS over TLS and HTTPS. An option names its Secret, not an object.

use crate::manifest::{Code, Finding, Kind, ObjectKey, Origin};
use crate::snapshot::{HostMatch, TlsEntry, TlsTable};

use super::references::References;
use super::report::{Findings, named};
use super::settings::Settings;
use super::tls::Certificates;

/// One certificate for every server name. Without a usable one the table is empty, and handshakes
/// fail until there is one.
pub(super) fn table(
    settings: &Settings,
    references: &References<'_>,
    certificates: &mut Certificates<'_>,
    findings: &mut Findings,
) -> TlsTable {
    let Some(wanted) = &settings.dns_certificate else { return TlsTable::default() };
    let option = Origin { file: OPTION.into(), ..Origin::default() };
    let certificate = match references.secret(&wanted.namespace, &wanted.name, findings) {
        Ok((key, stored)) => certificates.read(key, stored, findings).ok_or_else(|| {
            let secret = named(Kind::Secret, key, &stored.origin);
            let message = format!("{secret} holds no certificate that can be used");
            Finding::error(Code::BadCertificate, &option, message)
        }),
        Err(unresolved) => Err(unresolved.finding_at(&option)),
    };
    match certificate {
        Ok(certificate) => TlsTable::new(vec![TlsEntry {
            host: HostMatch::Any,
            certificates: vec![certificate],
            client_auth: None,
        }]),
        Err(finding) => {
            findings.push(with_remedy(finding, wanted));
            TlsTable::default()
        }
    }
}

/// With what follows from it, and what to do.
fn with_remedy(mut finding: Finding, wanted: &ObjectKey) -> Finding {
    finding.message += "; DNS over TLS and HTTPS refuse every client";
    let remedy = format!("write {wanted} as a Secret of type kubernetes.io/tls, or name another");
    let help = finding.help.take().map_or_else(|| remedy.clone(), |it| format!("{it} Or {remedy}"));
    finding.help(help)
}

const OPTION: &str = "--dns-certificate";
