//! Which way a request, a connection or a name goes, step by step, and why. Pure.
//!
//! In: a [`Snapshot`] and a [`Question`]. Out: an [`Explanation`], which the command line and the
//! admin API print; its JSON form is the one contract that they share. Called by `cli/explain` and
//! `admin`.
//!
//! Invariant: the steps are those of the planes, asked of the same functions
//! ([`RouteTable::candidates`](crate::snapshot::RouteTable::candidates),
//! [`TlsTable::select`](crate::snapshot::TlsTable::select),
//! [`Zone::lookup`](crate::snapshot::Zone::lookup)): an explanation cannot disagree with them.
//! Deliberately absent: I/O. Lines of fields are found by whoever prints.

mod http;
mod load_balancer;
mod name;
mod policy;
mod question;
mod rule;
mod socket;
mod tls;

#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::fmt::{self, Display};
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use crate::manifest::{Finding, Origin};
use crate::snapshot::{Backend, Endpoint, EndpointSet, Reason, Snapshot, Topology};

pub use question::{
    HttpQuestion, NameQuestion, Question, QuestionError, SocketQuestion, TlsQuestion,
};

/// The steps of an answer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explanation {
    /// What was asked.
    pub question: String,
    /// In the order of the way.
    pub steps: Vec<Step>,
    /// How it ends, in one line.
    pub outcome: String,
}

/// One step.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// `listener`, `certificate`, `route`, …
    pub title: Cow<'static, str>,
    /// What was decided.
    pub verdict: String,
    /// Where what decided is written.
    pub place: Option<Place>,
    /// What was decided among.
    pub candidates: Vec<Candidate>,
}

/// Something that could have been taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Candidate {
    /// Which one.
    pub what: String,
    /// Whether it is.
    pub taken: bool,
    /// Why, or why not.
    pub why: String,
    /// Where it is written.
    pub place: Option<Place>,
}

/// A field of an object: the file and the line as far as they are known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// The object; its line is that of the field once somebody has looked it up.
    #[serde(flatten)]
    pub origin: Origin,
    /// The field in it.
    pub field: String,
}

/// Explains. `findings` tell what takes no part in the snapshot, `now` how long certificates are
/// valid still.
pub fn explain(
    snapshot: &Snapshot,
    findings: &[Finding],
    question: &Question,
    now: SystemTime,
) -> Explanation {
    let mut explanation = Explanation { question: question.to_string(), ..Explanation::default() };
    match question {
        Question::Http(question) => {
            http::explain(snapshot, question, findings, now, &mut explanation)
        }
        Question::Socket(question) => socket::explain(snapshot, question, &mut explanation),
        Question::Tls(question) => tls::explain(snapshot, question, now, &mut explanation),
        Question::Name(question) => name::explain(snapshot, question, &mut explanation),
    }
    explanation
}

impl Explanation {
    fn step(&mut self, title: &'static str, verdict: impl Into<String>) -> &mut Step {
        self.steps.push(Step { title: title.into(), verdict: verdict.into(), ..Step::default() });
        self.steps.last_mut().expect("a step must have been pushed")
    }

    fn fail(&mut self, reason: Reason, detail: &str) {
        self.end(rule::refused(reason, detail));
    }

    fn end(&mut self, outcome: impl Into<String>) {
        self.outcome = outcome.into();
    }

    /// Every place in it, for whoever can find lines.
    pub fn places_mut(&mut self) -> impl Iterator<Item = &mut Place> {
        self.steps.iter_mut().flat_map(|step| {
            let of_candidates = step.candidates.iter_mut().filter_map(|it| it.place.as_mut());
            step.place.as_mut().into_iter().chain(of_candidates)
        })
    }

    /// Lists the endpoints of a backend and who would get the next unit of work of a client for
    /// which there are those of `set`.
    fn endpoints(&mut self, backend: &Backend, set: EndpointSet) {
        self.endpoints_by(backend, set, "the less busy of two random ones".to_owned());
    }

    /// The same, where there is another algorithm.
    fn endpoints_by(&mut self, backend: &Backend, set: EndpointSet, chosen: String) {
        let (used, is_local) = (backend.set(set), set == EndpointSet::Local);
        let near = match backend.topology {
            _ if is_local => " on this node",
            Topology::Anywhere => "",
            Topology::SameZone => " in this zone",
            Topology::SameNode => " on this node by hints",
        };
        let verdict = match used.len() {
            0 => format!("none of {} can take new work{near}", backend.endpoints.len()),
            1 => format!("the only one that can take new work{near}"),
            count => format!("one of {count}{near}: {chosen}"),
        };
        let candidates = backend.endpoints.iter().map(|it| candidate(backend, it, set));
        self.step("endpoint", verdict).candidates = candidates.collect();
    }
}

fn candidate(backend: &Backend, endpoint: &Endpoint, set: EndpointSet) -> Candidate {
    let is_local = set == EndpointSet::Local;
    let taken = backend.set(set).iter().any(|it| it.id == endpoint.id);
    let why = match (endpoint.ready, endpoint.serving, endpoint.terminating) {
        (true, _, _) if taken => "ready",
        (true, _, _) if is_local => "ready, but not on this node",
        (true, _, _) => match backend.topology {
            Topology::SameNode => "ready, but its hints are not for this node",
            Topology::SameZone | Topology::Anywhere => "ready, but its hints are not for this zone",
        },
        (false, true, true) if taken => "terminating, but no other is ready",
        (false, _, true) => "terminating",
        (false, _, false) => "not ready",
    };
    let about = [("pod", &endpoint.pod), ("node", &endpoint.node), ("zone", &endpoint.zone)];
    let known = about.into_iter().filter_map(|(name, value)| Some((name, value.as_ref()?)));
    let known: String = known.map(|(name, value)| format!(", {name} {value}")).collect();
    Candidate {
        what: endpoint.id.to_string(),
        taken,
        why: format!("{why}{known}"),
        place: Place::new(&endpoint.origin, ""),
    }
}

impl Place {
    fn new(origin: &Origin, field: &str) -> Option<Self> {
        (!origin.file.is_empty()).then(|| Self { origin: origin.clone(), field: field.to_owned() })
    }
}

impl Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.origin.fmt(f)
    }
}

impl Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.question)?;
        for step in &self.steps {
            writeln!(f, "\n{}: {}", step.title, step.verdict)?;
            if let Some(place) = &step.place {
                writeln!(f, "    at {place}")?;
            }
            for candidate in step.candidates.iter().take(LISTED) {
                let sign = if candidate.taken { '+' } else { '-' };
                write!(f, "  {sign} {}: {}", candidate.what, candidate.why)?;
                match &candidate.place {
                    Some(place) => writeln!(f, " ({place})")?,
                    None => writeln!(f)?,
                }
            }
            let more = step.candidates.len().saturating_sub(LISTED);
            if more > 0 {
                writeln!(f, "    and {more} more")?;
            }
        }
        writeln!(f, "\n{}", self.outcome)
    }
}

/// Candidates that the text form lists.
const LISTED: usize = 20;
