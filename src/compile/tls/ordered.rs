//! Certificates that are to be ordered (ACME): those of objects with the annotation
//! `rutter.dev/acme: "true"`, as far as no Secret is written for them.
//!
//! Neither HTTP-01 nor TLS-ALPN-01 proves more than one host (RFC 8555 section 8.3, RFC 8737), so that
//! there are none for wildcards.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::compile::report::{Findings, Subject, WantedCertificate};
use crate::manifest::{Code, Finding, Metadata, ObjectKey, Severity};
use crate::snapshot::HostMatch;

/// Whether an object asks for its certificates to be ordered.
pub(in crate::compile) fn is_asked(
    metadata: &Metadata,
    subject: Subject<'_>,
    findings: &mut Findings,
) -> bool {
    match metadata.annotation(ANNOTATION) {
        None | Some("false") => false,
        Some("true") => true,
        Some(written) => {
            let field = format!("metadata.annotations.{ANNOTATION}");
            let message = format!("{written:?} is neither true nor false");
            findings.push(subject.error(Code::BadValue, &field, message));
            false
        }
    }
}

/// Where a certificate is to be, and who asks for it.
#[derive(Clone, Copy, Debug)]
pub(in crate::compile) struct Order<'a> {
    pub(in crate::compile) secret: &'a ObjectKey,
    pub(in crate::compile) subject: Subject<'a>,
    /// Which holds the host.
    pub(in crate::compile) field: &'a str,
}

/// What is to be ordered, by Secret.
#[derive(Debug)]
pub(super) struct Ordered {
    is_possible: bool,
    names: BTreeMap<ObjectKey, BTreeSet<Arc<str>>>,
}

impl Ordered {
    pub(super) fn new(is_possible: bool) -> Self {
        Self { is_possible, names: BTreeMap::new() }
    }

    /// Adds a host, or says why there can be no certificate for it.
    pub(super) fn add(&mut self, order: Order<'_>, host: &HostMatch, findings: &mut Findings) {
        let Order { secret, subject, field } = order;
        let why = match host {
            HostMatch::Exact(name) if self.is_possible => {
                self.names.entry(secret.clone()).or_default().insert(name.clone());
                return;
            }
            HostMatch::Exact(_) => {
                "no certificates are ordered without --acme-directory".to_owned()
            }
            HostMatch::Wildcard(_) | HostMatch::Suffix(_) | HostMatch::Any => {
                format!("no certificate is ordered for {host}: only single hosts can be proved")
            }
        };
        let help = format!("write the Secret {secret}, or take the annotation away");
        findings.push(subject.warning(Code::NotCarried, field, why).help(help));
    }

    /// What is wrong with a reference to a Secret: nothing, if that is on its way.
    pub(super) fn softened(&self, secret: &ObjectKey, mut finding: Finding) -> Finding {
        if finding.code == Code::MissingSecret && self.names.contains_key(secret) {
            finding.severity = Severity::Note;
            finding.help = Some("it is ordered by ACME".to_owned());
        }
        finding
    }

    pub(super) fn take(&mut self) -> Vec<WantedCertificate> {
        let wanted = std::mem::take(&mut self.names).into_iter();
        let wanted = wanted.map(|(secret, names)| WantedCertificate {
            secret,
            names: names.into_iter().collect(),
        });
        wanted.collect()
    }
}

const ANNOTATION: &str = "rutter.dev/acme";
