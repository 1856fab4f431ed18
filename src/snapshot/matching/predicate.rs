//! What a rule asks of a request beyond host and path.

use std::borrow::Cow;
use std::cmp::Reverse;
use std::sync::Arc;

use super::Pattern;

/// Method, header fields and query parameters that a request must have: all of them (Gateway API
/// `HTTPRouteMatch`). The default asks for nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Predicates {
    /// The method, as sent.
    pub method: Option<Arc<str>>,
    /// Fields; names are lower-case.
    pub headers: Vec<FieldMatch>,
    /// Parameters of the query; names and values are compared decoded.
    pub query: Vec<FieldMatch>,
}

/// A name and what its value must be.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct FieldMatch {
    /// Of a header field (lower-case) or a query parameter.
    pub name: Arc<str>,
    /// Its value.
    pub value: MatchValue,
}

/// What a value must be.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum MatchValue {
    /// This.
    Exact(Arc<str>),
    /// Something that the whole of matches.
    Regex(Pattern),
}

/// What rules are chosen by. `F` gives names and values of the header fields as sent.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a, F> {
    /// Lower-case, without port.
    pub host: &'a str,
    /// Canonical, without query.
    pub path: &'a str,
    /// As sent.
    pub method: &'a str,
    /// With its `?`, or empty.
    pub query: &'a str,
    /// Every field.
    pub fields: F,
}

/// The first predicate that a request fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missed<'a> {
    /// It has another method.
    Method,
    /// It lacks the field, or the field has another value.
    Header(&'a FieldMatch),
    /// It lacks the parameter, or the parameter has another value.
    Query(&'a FieldMatch),
}

impl Predicates {
    /// Precedence among rules of the same path (Gateway API): a method, then the number of
    /// fields, then the number of parameters; smaller is earlier.
    pub(super) fn rank(&self) -> (bool, Reverse<usize>, Reverse<usize>) {
        (self.method.is_none(), Reverse(self.headers.len()), Reverse(self.query.len()))
    }

    /// Whether a request has all of it.
    pub(super) fn hold<'a, F>(&self, asked: &Asked<'a, F>) -> bool
    where
        F: Iterator<Item = (&'a [u8], &'a [u8])> + Clone,
    {
        self.missed(asked).is_none()
    }

    /// The first that does not hold.
    pub fn missed<'a, F>(&self, asked: &Asked<'a, F>) -> Option<Missed<'_>>
    where
        F: Iterator<Item = (&'a [u8], &'a [u8])> + Clone,
    {
        if self.method.as_ref().is_some_and(|method| **method != *asked.method) {
            return Some(Missed::Method);
        }
        let mut headers = self.headers.iter();
        if let Some(missed) = headers.find(|it| !it.value.takes(header(&asked.fields, &it.name))) {
            return Some(Missed::Header(missed));
        }
        let mut query = self.query.iter();
        query.find(|it| !it.value.takes(parameter(asked.query, &it.name))).map(Missed::Query)
    }
}

impl MatchValue {
    fn takes(&self, value: Option<Cow<'_, str>>) -> bool {
        match (self, value) {
            (Self::Exact(wanted), Some(value)) => **wanted == *value,
            (Self::Regex(pattern), Some(value)) => pattern.takes(&value),
            (_, None) => false,
        }
    }
}

/// The value of a field; several of one name are one list (RFC 9110 section 5.3).
fn header<'a, F>(fields: &F, name: &str) -> Option<Cow<'a, str>>
where
    F: Iterator<Item = (&'a [u8], &'a [u8])> + Clone,
{
    let mut values = fields
        .clone()
        .filter(|(known, _)| known.eq_ignore_ascii_case(name.as_bytes()))
        .filter_map(|(_, value)| std::str::from_utf8(value).ok());
    let first = values.next()?;
    let mut all = Cow::Borrowed(first);
    for value in values {
        let all = all.to_mut();
        all.push(',');
        all.push_str(value);
    }
    Some(all)
}

/// The value of the first parameter of that name.
fn parameter<'a>(query: &'a str, name: &str) -> Option<Cow<'a, str>> {
    let query = query.strip_prefix('?').unwrap_or(query);
    form_urlencoded::parse(query.as_bytes()).find(|(known, _)| known == name).map(|(_, it)| it)
}
