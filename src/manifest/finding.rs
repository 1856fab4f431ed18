//! What is wrong with a manifest: a stable code, a place, a sentence and the remedy.
//!
//! Findings are made by `source` (text that cannot be read or decoded) and by `compile` (objects
//! that make no sense). They are data; `cli/check` and the admin API print them.

use std::fmt;

use serde::Serialize;

use super::object::{ObjectRef, Origin};

/// How bad a finding is. `check` exits 2 on errors, 1 on warnings (2 with `--strict`), else 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Something, or a part of it, does not work.
    Error,
    /// It works, but hardly as meant.
    Warning,
    /// Worth knowing.
    Note,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Note => "note",
        })
    }
}

/// The stable codes. A number is never given a second meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Code {
    /// A file or directory cannot be read, is too large, not UTF-8, or part of a loop.
    Unreadable,
    /// The text is not YAML (or JSON).
    Syntax,
    /// A kind, or a version of a kind, that rutter does not read.
    UnknownKind,
    /// A field that the kind does not have.
    UnknownField,
    /// A field has a value of the wrong type.
    WrongType,
    /// The same object is written twice; the first in path order wins.
    DuplicateObject,
    /// A value that the API server would refuse.
    BadValue,
    /// A file without any object.
    EmptyFile,
    /// A reference to a Service that does not exist.
    MissingService,
    /// A reference to a port that the Service does not have.
    MissingPort,
    /// A reference to a Secret that does not exist.
    MissingSecret,
    /// A reference to an IngressClass that does not exist.
    MissingClass,
    /// A selector that matches no Pod.
    EmptySelection,
    /// A named target port that no selected Pod declares.
    MissingTargetPort,
    /// A backend of a kind that rutter does not serve.
    UnsupportedBackend,
    /// An EndpointSlice or Endpoints whose Service does not exist.
    OrphanEndpoints,
    /// A reference into another namespace that no ReferenceGrant permits.
    MissingGrant,
    /// A route, ListenerSet or policy whose parent or target does not exist.
    MissingParent,
    /// A route or ListenerSet that its parent does not take.
    NotAttached,
    /// A reference to some other object that does not exist.
    MissingObject,
    /// Two rules claim the same host and path; the older one wins.
    RouteConflict,
    /// A rule that an earlier one shadows completely.
    NeverMatches,
    /// Two objects want the same address and port.
    AddressClash,
    /// Two listeners, or two policies, claim the same; the older one wins.
    Conflict,
    /// Two TLS listeners of a port whose hosts overlap.
    Overlap,
    /// A Secret that holds no usable certificate and key.
    BadCertificate,
    /// A certificate that is not valid now.
    ExpiredCertificate,
    /// The private key is not the certificate's.
    KeyMismatch,
    /// The certificate does not name the host.
    UncoveredHost,
    /// An address that this process cannot serve.
    UnservedAddress,
    /// No address or port is left to allocate.
    PoolExhausted,
    /// A protocol or feature that is not carried.
    NotCarried,
    /// A socket that could not be opened.
    Unbound,
}

impl Code {
    /// Every code with its text form, in order.
    pub const ALL: [(Self, &'static str); 33] = [
        (Self::Unreadable, "RT001"),
        (Self::Syntax, "RT002"),
        (Self::UnknownKind, "RT003"),
        (Self::UnknownField, "RT004"),
        (Self::WrongType, "RT005"),
        (Self::DuplicateObject, "RT006"),
        (Self::BadValue, "RT007"),
        (Self::EmptyFile, "RT008"),
        (Self::MissingService, "RT101"),
        (Self::MissingPort, "RT102"),
        (Self::MissingSecret, "RT103"),
        (Self::MissingClass, "RT104"),
        (Self::EmptySelection, "RT105"),
        (Self::MissingTargetPort, "RT106"),
        (Self::UnsupportedBackend, "RT107"),
        (Self::OrphanEndpoints, "RT108"),
        (Self::MissingGrant, "RT109"),
        (Self::MissingParent, "RT110"),
        (Self::NotAttached, "RT111"),
        (Self::MissingObject, "RT112"),
        (Self::RouteConflict, "RT201"),
        (Self::NeverMatches, "RT202"),
        (Self::AddressClash, "RT203"),
        (Self::Conflict, "RT204"),
        (Self::Overlap, "RT205"),
        (Self::BadCertificate, "RT301"),
        (Self::ExpiredCertificate, "RT302"),
        (Self::KeyMismatch, "RT303"),
        (Self::UncoveredHost, "RT304"),
        (Self::UnservedAddress, "RT401"),
        (Self::PoolExhausted, "RT402"),
        (Self::NotCarried, "RT403"),
        (Self::Unbound, "RT404"),
    ];

    /// `RT101`.
    pub fn as_str(self) -> &'static str {
        Self::ALL.iter().find(|(code, _)| *code == self).map_or("RT000", |(_, text)| text)
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for Code {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// One place in a file: line and column from 1, and how many characters to underline.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Span {
    /// From 1.
    pub line: u32,
    /// From 1, in characters.
    pub column: u32,
    /// In characters, at least 1.
    pub length: u32,
}

/// Brings findings in the order of a report: errors first, then by file and line.
pub fn sort(findings: &mut [Finding]) {
    findings.sort_by(|left, right| {
        left.severity
            .cmp(&right.severity)
            .then_with(|| left.origin.cmp(&right.origin))
            .then_with(|| left.span.cmp(&right.span))
            .then_with(|| left.part.cmp(&right.part))
            .then_with(|| left.code.cmp(&right.code))
            .then_with(|| left.field.cmp(&right.field))
    });
}

/// One finding.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Finding {
    /// Errors first.
    pub severity: Severity,
    /// The stable code.
    pub code: Code,
    /// The object it is about, unless the text is no object.
    pub object: Option<ObjectRef>,
    /// Where the object is written.
    pub origin: Origin,
    /// Path of the field, as `spec.rules[0].http.paths[1].path`; empty for the whole object.
    pub field: String,
    /// Which part of the field it is, where the field is a text with a grammar of its own: from
    /// the first line and column of that text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub part: Option<Span>,
    /// Known at once for syntax errors; found from `origin`, `field` and `part` when printed
    /// otherwise.
    pub span: Option<Span>,
    /// What is wrong, as a clause: `Service "crat" does not exist in namespace shop`.
    pub message: String,
    /// What to do about it, if there is one thing to do.
    pub help: Option<String>,
}

/// One line: `shop.yaml:19:78: RT101 Ingress shop/cart: what is wrong (what to do)`.
impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = self.span.map_or((self.origin.line, 0), |span| (span.line, span.column));
        match place {
            (0, _) => write!(f, "{}: ", self.origin.file)?,
            (line, 0) => write!(f, "{}:{line}: ", self.origin.file)?,
            (line, column) => write!(f, "{}:{line}:{column}: ", self.origin.file)?,
        }
        write!(f, "{} ", self.code)?;
        if let Some(object) = &self.object {
            write!(f, "{object}: ")?;
        }
        f.write_str(&self.message)?;
        self.help.iter().try_for_each(|help| write!(f, " ({help})"))
    }
}

impl Finding {
    /// A finding about an object; add field and help with the methods below.
    pub fn new(
        severity: Severity,
        code: Code,
        origin: &Origin,
        message: impl Into<String>,
    ) -> Self {
        Self {
            severity,
            code,
            object: None,
            origin: origin.clone(),
            field: String::new(),
            part: None,
            span: None,
            message: message.into(),
            help: None,
        }
    }

    /// An error.
    pub fn error(code: Code, origin: &Origin, message: impl Into<String>) -> Self {
        Self::new(Severity::Error, code, origin, message)
    }

    /// A warning.
    pub fn warning(code: Code, origin: &Origin, message: impl Into<String>) -> Self {
        Self::new(Severity::Warning, code, origin, message)
    }

    /// A note.
    pub fn note(code: Code, origin: &Origin, message: impl Into<String>) -> Self {
        Self::new(Severity::Note, code, origin, message)
    }

    /// The object it is about.
    #[must_use]
    pub fn about(mut self, object: ObjectRef) -> Self {
        self.object = Some(object);
        self
    }

    /// The field it is about.
    #[must_use]
    pub fn at(mut self, field: impl Into<String>) -> Self {
        self.field = field.into();
        self
    }

    /// The part of the field it is about.
    #[must_use]
    pub fn within(mut self, part: Span) -> Self {
        self.part = Some(part);
        self
    }

    /// The exact place, where it is known already.
    #[must_use]
    pub fn spanning(mut self, span: Span) -> Self {
        self.span = Some(span);
        self
    }

    /// The remedy.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}
