//! Whether what came of the rows is what may.

use rutter::snapshot::matching::canonical_path;

use crate::log::Line;
use crate::origin::Seen;
use crate::row::{Protocol, Row};
use crate::sender::Pace;

/// A row that was sent, from a port of its own.
pub struct Sent<'a> {
    pub row: &'a Row,
    pub pace: Pace,
    pub port: u16,
    pub received: Vec<u8>,
}

/// What is wrong.
pub fn judge(sent: &[Sent<'_>], log: &[Line], seen: &[Seen]) -> Vec<String> {
    let mut failures = only_logged(log, seen);
    for sent in sent {
        let lines: Vec<_> = log.iter().filter(|line| line.port == sent.port).collect();
        let told = |line: &&Line| seen.iter().find(|seen| seen.id == line.id && line.was_sent);
        let seen: Vec<_> = lines.iter().filter_map(told).collect();
        if let Err(failure) = as_told(sent, &lines, &seen) {
            let Row { class, name, .. } = sent.row;
            let received = String::from_utf8_lossy(&sent.received);
            failures.push(format!(
                "{class} {name}, {:?}: {failure}\n  log: {lines:?}\n  seen: {seen:?}\n  answer: \
                 {received:?}",
                sent.pace
            ));
        }
    }
    failures
}

/// Each request that an origin saw is in the log as one that was sent, once and as it was seen.
fn only_logged(log: &[Line], seen: &[Seen]) -> Vec<String> {
    let mut failures = Vec::new();
    for request in seen {
        if seen.iter().filter(|other| other.id == request.id).count() != 1 {
            failures.push(format!("seen twice: {request:?}"));
        }
        match log.iter().filter(|line| line.id == request.id && line.was_sent).collect::<Vec<_>>() {
            lines if lines.len() != 1 => failures.push(format!("not in the log: {request:?}")),
            lines if !is_same(lines[0], request) => {
                failures.push(format!("{request:?} is not what was logged: {:?}", lines[0]));
            }
            _ => {}
        }
    }
    failures
}

fn is_same(line: &Line, seen: &Seen) -> bool {
    let absolute = line.target.split_once("://").filter(|_| !line.target.starts_with('/'));
    let path_and_query = match absolute {
        Some((_, rest)) => rest.find(['/', '?']).and_then(|at| rest.get(at..)).unwrap_or("/"),
        None => &line.target,
    };
    let at = path_and_query.find('?').unwrap_or(path_and_query.len());
    let (path, query) = path_and_query.split_at(at);
    let path = if path == "*" { path.into() } else { canonical_path(path).unwrap_or_default() };
    let path = if path.is_empty() { "/".into() } else { path };
    let host = seen.host.to_ascii_lowercase();
    let host = host.split(':').next().unwrap_or_default().trim_end_matches('.');
    line.method == seen.method
        && line.length == seen.length
        && line.host == host
        && format!("{path}{query}") == seen.target
}

/// The row has come to the end that its table tells.
fn as_told(sent: &Sent<'_>, lines: &[&Line], seen: &[&Seen]) -> Result<(), String> {
    let Sent { row, received, .. } = sent;
    let answered = lines.iter().filter(|line| line.was_answered).count();
    let mut forwarded: Vec<_> =
        seen.iter().map(|seen| (seen.method.as_str(), seen.target.as_str(), seen.length)).collect();
    let mut expected: Vec<_> =
        row.seen.iter().map(|(method, target, length)| (*method, &**target, *length)).collect();
    if row.protocol == Protocol::Http2 {
        // its streams are independent
        forwarded.sort_unstable();
        expected.sort_unstable();
    }
    if row.is_optional {
        let strange = forwarded.iter().any(|it| !expected.contains(it));
        return if strange { Err(format!("expected at most {expected:?}")) } else { Ok(()) };
    }
    if forwarded != expected || answered != expected.len() {
        return Err(format!("expected {expected:?}"));
    }
    let refusals: Vec<_> =
        lines.iter().filter_map(|line| Some((line.status, line.reason.as_deref()?))).collect();
    let refused: Vec<_> = row.refused.into_iter().collect();
    if refusals != refused {
        return Err(format!("refused as {refusals:?} instead of {refused:?}"));
    }
    let told = refused.iter().all(|(status, _)| {
        String::from_utf8_lossy(received).contains(&format!("HTTP/1.1 {status} "))
    });
    if row.protocol == Protocol::Http1 && !told {
        return Err("the client was not told".to_owned());
    }
    Ok(())
}
