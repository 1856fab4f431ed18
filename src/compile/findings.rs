//! Collects findings about objects.

use crate::manifest::{Code, Finding, ObjectRef, Origin, Severity, finding};

/// The findings of one compilation.
#[derive(Debug, Default)]
pub(super) struct Findings {
    found: Vec<Finding>,
}

impl Findings {
    /// Begins a finding about an object; it is added when the returned value is dropped.
    pub(super) fn add<'a>(&'a mut self, about: &'a Subject) -> Adding<'a> {
        Adding { findings: self, about }
    }

    /// All of them, in the order of the report.
    pub(super) fn sorted(mut self) -> Vec<Finding> {
        finding::sort(&mut self.found);
        self.found
    }
}

/// An object that findings are about.
#[derive(Clone, Debug)]
pub(super) struct Subject {
    /// Which object.
    pub(super) object: ObjectRef,
    /// Where it is written.
    pub(super) origin: Origin,
}

/// Adds findings about one object.
#[derive(Debug)]
pub(super) struct Adding<'a> {
    findings: &'a mut Findings,
    about: &'a Subject,
}

impl Adding<'_> {
    /// An error: something does not work.
    pub(super) fn error(self, code: Code, field: &str, message: impl Into<String>) {
        self.push(Severity::Error, code, field, message.into(), None);
    }

    /// An error with its remedy.
    pub(super) fn error_help(
        self,
        code: Code,
        field: &str,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        self.push(Severity::Error, code, field, message.into(), Some(help.into()));
    }

    /// A warning: it works, but hardly as meant.
    pub(super) fn warning(self, code: Code, field: &str, message: impl Into<String>) {
        self.push(Severity::Warning, code, field, message.into(), None);
    }

    /// A warning with its remedy.
    pub(super) fn warning_help(
        self,
        code: Code,
        field: &str,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        self.push(Severity::Warning, code, field, message.into(), Some(help.into()));
    }

    /// Anything else.
    pub(super) fn push(
        self,
        severity: Severity,
        code: Code,
        field: &str,
        message: String,
        help: Option<String>,
    ) {
        let mut finding = Finding::new(severity, code, &self.about.origin, message)
            .about(self.about.object.clone())
            .at(field);
        finding.help = help;
        self.findings.found.push(finding);
    }
}
