//! What is wrong with a field of an object, in words.

use std::fmt::Write as _;

use serde_ignored::Path;

use super::node::Node;
use super::similar::closest;
use super::unread::fields;
use super::{Code, Finding, Kind, Origin, Severity, Span};

/// Something wrong with one field.
#[derive(Debug)]
pub(super) struct Mistake {
    code: Code,
    field: String,
    message: String,
    help: Option<String>,
}

impl Mistake {
    pub(super) fn new(code: Code, field: impl Into<String>, message: impl Into<String>) -> Self {
        Self { code, field: field.into(), message: message.into(), help: None }
    }

    pub(super) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    pub(super) fn finding(&self, origin: &Origin) -> Finding {
        let severity =
            if self.code == Code::UnknownField { Severity::Warning } else { Severity::Error };
        let mut finding = Finding::new(severity, self.code, origin, &self.message).at(&self.field);
        finding.help.clone_from(&self.help);
        finding
    }

    /// An unknown field is shown by its key, a bad value by itself.
    pub(super) fn place(&self, object: &Node) -> Option<Span> {
        if self.code == Code::UnknownField {
            return object.find_key(&self.field);
        }
        object.find(&self.field).or_else(|| Some(object.title()))
    }
}

/// A field that no type of rutter took: a mistake unless Kubernetes knows it.
pub(super) fn unknown_field(kind: Kind, path: &Path<'_>) -> Option<Mistake> {
    let (parent, name) = parent_and_name(path)?;
    let known = fields(kind, &pattern(parent));
    if known.is_empty() || known.contains(&name) {
        return None;
    }
    let mut field = String::new();
    write_path(path, &mut field, true);
    let mistake = Mistake::new(Code::UnknownField, &field, format!("{kind} has no field {field}"));
    Some(match closest(name, known.iter().copied()) {
        Some(meant) => mistake.help(format!("did you mean {meant}?")),
        None => mistake,
    })
}

fn parent_and_name<'a>(path: &'a Path<'a>) -> Option<(&'a Path<'a>, &'a str)> {
    match path {
        Path::Map { parent, key } => Some((parent, key)),
        Path::Some { parent }
        | Path::NewtypeStruct { parent }
        | Path::NewtypeVariant { parent } => parent_and_name(parent),
        Path::Root | Path::Seq { .. } => None,
    }
}

fn pattern(path: &Path<'_>) -> String {
    let mut text = String::new();
    write_path(path, &mut text, false);
    text
}

fn write_path(path: &Path<'_>, text: &mut String, with_indexes: bool) {
    match path {
        Path::Root => {}
        Path::Seq { parent, index } => {
            write_path(parent, text, with_indexes);
            let _ = if with_indexes { write!(text, "[{index}]") } else { write!(text, "[]") };
        }
        Path::Map { parent, key } => {
            write_path(parent, text, with_indexes);
            if !text.is_empty() {
                text.push('.');
            }
            text.push_str(key);
        }
        Path::Some { parent }
        | Path::NewtypeStruct { parent }
        | Path::NewtypeVariant { parent } => write_path(parent, text, with_indexes),
    }
}

/// A value that does not fit its field, from serde's words for it: `invalid type: string "80",
/// expected i64`. Values of Secrets are left out.
pub(super) fn wrong_type(kind: Kind, path: String, error: &serde_json::Error) -> Mistake {
    let field = if path == "." { String::new() } else { path };
    let shown = if field.is_empty() { "the object" } else { &field };
    let text = error.to_string();
    let Some((found, expected)) =
        text.split_once(": ").and_then(|(_, t)| t.split_once(", expected "))
    else {
        let message = match text.contains("IntOrString") {
            true => format!("{shown} must be a number or a string"),
            false => format!("{shown}: {text}"),
        };
        return Mistake::new(Code::WrongType, field, message);
    };
    let (sort, value) = found_value(found);
    let expected = expected_words(expected);
    let message = match value.filter(|_| kind != Kind::Secret) {
        Some(value) => format!("{shown} must be {expected}, not the {sort} {value}"),
        None => format!("{shown} must be {expected}, not a {sort}"),
    };
    let mistake = Mistake::new(Code::WrongType, field, message);
    match remedy(expected, sort, value) {
        Some(help) => mistake.help(help),
        None => mistake,
    }
}

/// `string "80"` → `string`, `"80"`.
fn found_value(found: &str) -> (&str, Option<&str>) {
    let (sort, value) = match found.find(['"', '`']).and_then(|at| found.split_at_checked(at)) {
        Some((sort, value)) => (sort.trim(), Some(value.trim_matches('`'))),
        None => (found, None),
    };
    let sort = match sort {
        "integer" | "floating point" => "number",
        "sequence" => "list",
        "map" => "mapping",
        other => other,
    };
    (sort, value)
}

fn expected_words(expected: &str) -> &str {
    match expected {
        "i64" | "u64" | "i32" | "u32" | "u16" => "a whole number",
        "a sequence" => "a list",
        _ if expected.starts_with("struct ") || expected == "a map" => "a mapping",
        other => other,
    }
}

fn remedy(expected: &str, sort: &str, value: Option<&str>) -> Option<&'static str> {
    match (expected, sort) {
        ("a whole number" | "a boolean", "string") => {
            let inner = value?.trim_matches('"');
            let fits = inner.parse::<i64>().is_ok() || matches!(inner, "true" | "false");
            fits.then_some("remove the quotes")
        }
        ("a string", "boolean") => {
            Some("put it in quotes: YAML reads true, yes, on, false, no and off as booleans")
        }
        ("a string", "number") => Some("put it in quotes"),
        _ => None,
    }
}
