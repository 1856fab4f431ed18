//! Authorization by HTTP: 200 lets a request go on, anything else is the answer to it.

use std::sync::Arc;

use super::{Answer, Change, Grant, Question, Verdict, When, denied};
use crate::plane::l7::filter::may_change;
use crate::plane::l7::h1::{Outgoing, Verb};
use crate::snapshot::matching::canonical_path;

/// A request like the client's, below `prefix`, with `Authorization` and the fields of the list.
pub(super) fn write(
    out: &mut Outgoing,
    prefix: &str,
    allowed: &[Arc<str>],
    question: &Question,
    body: &[u8],
) -> Option<Verb> {
    let prefix = clean(prefix)?;
    for part in [&question.method, " ", &prefix, &question.target, " HTTP/1.1\r\n"] {
        out.bytes.extend_from_slice(part.as_bytes());
    }
    out.field(b"Host", question.host.as_bytes());
    for (name, value) in question.fields() {
        if name == "authorization" || allowed.iter().any(|allowed| **allowed == *name) {
            out.field(name.as_bytes(), value);
        }
    }
    out.line(format_args!("Content-Length: {}\r\n", body.len()));
    out.bytes.extend_from_slice(body);
    // a question may be asked twice, whatever it is about
    Some(if question.verb == Verb::Head { Verb::Head } else { Verb::Idempotent })
}

/// The prefix in canonical form, without a trailing `/`. The API asks for this beside its own
/// validation.
fn clean(prefix: &str) -> Option<String> {
    let absolute = format!("/{}", prefix.trim_matches('/'));
    let path = canonical_path(&absolute).ok()?;
    Some(path.trim_end_matches('/').to_owned())
}

/// What the answer means. Of its fields those of the list go on to the endpoint, in the place of
/// what the client sent under their names, also if the answer has none: a name on the list is the
/// authorization server's alone. Without a list all go on but `Host`, `Authority`, what belongs
/// to the hop, and what tells of the body of the answer, which would be taken for the request's.
pub(super) fn verdict(answer: &Answer, allowed: &[Arc<str>]) -> Verdict {
    if answer.status != 200 {
        let fields = answer.fields.iter().cloned();
        return Verdict::Denied(denied(answer.status, fields, answer.body.clone()));
    }
    let mut grant = Grant::default();
    let taken = |name: &str| match allowed {
        [] => name != "authority" && !name.starts_with("content-"),
        list => list.iter().any(|allowed| **allowed == *name),
    };
    for (name, value) in &answer.fields {
        let again = grant.request.iter().any(|known: &Change| *known.name == **name);
        let when = if again { When::Append } else { When::Overwrite };
        if may_change(name) && taken(name) {
            grant.request.extend(Change::new(name, value, when));
        }
    }
    let is_given = |name: &&Arc<str>| !grant.request.iter().any(|change| change.name == **name);
    grant.remove = allowed.iter().filter(is_given).cloned().collect();
    Verdict::Allowed(grant)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_stay_prefixes() {
        let rows = [
            ("", Some("")),
            ("/", Some("")),
            ("/auth", Some("/auth")),
            ("auth/", Some("/auth")),
            ("/a/../b", Some("/b")),
            ("/..", Some("")),
            ("/a b", None),
            ("/a%2fb", None),
        ];
        for (prefix, expected) in rows {
            assert_eq!(clean(prefix).as_deref(), expected, "{prefix}");
        }
    }
}
