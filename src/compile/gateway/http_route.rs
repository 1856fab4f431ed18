//! HTTPRoute → rules, without hosts: those are the listeners'.

use std::sync::Arc;
use std::time::Duration;

use super::filters::{self, Place};
use super::targets::{Carried, Targets};
use super::{Context, Verdict, duration, matches, session};
use crate::compile::report::Subject;
use crate::manifest::gateway::{BackendRef, HttpFilter, HttpRetry, HttpRoute, HttpTimeouts};
use crate::manifest::{Code, Kind};
use crate::snapshot::matching::Predicates;
use crate::snapshot::{
    Action, Failure, Filter, HostMatch, MatchPath, Reason, Retry, Rule, SessionPersistence,
    Timeouts,
};

/// What a route comes to.
#[derive(Debug, Default)]
pub(super) struct Compiled {
    /// For every host; each match of each rule is one.
    pub(super) rules: Vec<Rule>,
    /// Why some or all of its rules cannot be carried out.
    pub(super) invalid: Option<Verdict>,
    /// Whether that is all of them.
    pub(super) all_invalid: bool,
}

/// What the rules of HTTPRoute and GRPCRoute share.
pub(super) struct Parts<'p> {
    pub(super) kind: Kind,
    pub(super) subject: Subject<'p>,
    pub(super) carried: Carried,
    /// `spec.rules[0]`
    pub(super) field: String,
    pub(super) filters: &'p [HttpFilter],
    pub(super) backends: &'p [BackendRef],
    pub(super) timeouts: Timeouts,
    pub(super) retry: Option<Retry>,
    pub(super) session: Option<Arc<SessionPersistence>>,
}

/// Compiles a route.
pub(super) fn compile<'a>(
    route: &HttpRoute,
    subject: Subject<'_>,
    targets: &mut Targets<'a>,
    context: &mut Context<'a, '_, '_>,
) -> Compiled {
    let mut compiled = Compiled::default();
    let mut invalid_rules = 0;
    for (place, rule) in route.spec.rules.iter().enumerate() {
        let field = format!("spec.rules[{place}]");
        let session = rule.session_persistence.as_ref();
        let at = format!("{field}.sessionPersistence");
        let parts = Parts {
            kind: Kind::HttpRoute,
            subject,
            carried: Carried::Http,
            filters: &rule.filters,
            backends: &rule.backend_refs,
            timeouts: timeouts(&rule.timeouts, subject, &field, context),
            retry: rule.retry.as_ref().and_then(|it| retry(it, subject, &field, context)),
            session: session.and_then(|it| session::compile(it, subject, &at, context)),
            field,
        };
        let matched: Vec<_> = rule.matches.iter().map(matches::http).collect();
        invalid_rules += usize::from(parts.add(matched, &mut compiled, targets, context));
    }
    compiled.all_invalid = invalid_rules > 0 && invalid_rules == route.spec.rules.len();
    compiled
}

/// Path and predicates of a match, or what is wrong with it and where.
type Matched = Result<(MatchPath, Predicates), (String, crate::compile::ingress::Refused)>;

impl Parts<'_> {
    /// Adds a rule for each of its matches. Whether it cannot be carried out.
    pub(super) fn add<'a>(
        &self,
        matched: Vec<Matched>,
        compiled: &mut Compiled,
        targets: &mut Targets<'a>,
        context: &mut Context<'a, '_, '_>,
    ) -> bool {
        let mut invalid = None;
        let known = context.findings.len();
        for (place, matched) in matched.into_iter().enumerate() {
            let field = format!("{}.matches[{place}]", self.field);
            let (path, predicates) = match matched {
                Ok(matched) => matched,
                Err((part, refused)) => {
                    let finding = refused.finding(self.subject, &format!("{field}{part}"));
                    let message = finding.message.as_str();
                    invalid.get_or_insert_with(|| Verdict::new("UnsupportedValue", message));
                    context.findings.push(finding);
                    continue;
                }
            };
            let (filters, action, refused) = self.action(&path, targets, context);
            invalid = invalid.or(refused);
            compiled.rules.push(self.rule(path, predicates, filters, action, &field));
        }
        // most of what is wrong is so for every match
        context.findings.say_once(known);
        let is_invalid = invalid.is_some();
        compiled.invalid = compiled.invalid.take().or(invalid);
        is_invalid
    }

    fn rule(
        &self,
        path: MatchPath,
        predicates: Predicates,
        filters: Vec<Filter>,
        action: Action,
        field: &str,
    ) -> Rule {
        let key = self.subject.key();
        Rule {
            route: self.subject.reference(),
            label: key.to_string().into(),
            host: HostMatch::Any,
            path,
            predicates,
            filters,
            timeouts: self.timeouts,
            retry: self.retry.clone(),
            session: self.session.clone(),
            action,
            origin: self.subject.origin().clone(),
            field: field.into(),
        }
    }

    fn action<'a>(
        &self,
        path: &MatchPath,
        targets: &mut Targets<'a>,
        context: &mut Context<'a, '_, '_>,
    ) -> (Vec<Filter>, Action, Option<Verdict>) {
        let field = format!("{}.filters", self.field);
        let (kind, subject, carried) = (self.kind, self.subject, self.carried);
        let place = Place { kind, subject, carried, field: &field, path };
        let of_rule = filters::compile(self.filters, place, targets, context);
        let mut invalid = None;
        let mut shares =
            targets.shares(self.backends, carried, kind, subject, &self.field, context);
        for (number, (share, wanted)) in shares.iter_mut().zip(self.backends).enumerate() {
            let field = format!("{}.backendRefs[{number}].filters", self.field);
            let place = Place { field: &field, ..place };
            let of_share = filters::compile(&wanted.filters, place, targets, context);
            share.filters = of_share.filters;
            share.filters.extend(of_share.redirect.map(Filter::Redirect));
            if let Some(verdict) = of_share.invalid {
                share.target = Err(failure(verdict.message.as_str()));
                invalid = invalid.or(Some(verdict));
            }
        }
        let total: u64 = shares.iter().map(|share| u64::from(share.weight)).sum();
        // what a share cannot carry out fails that share alone
        let action = match (&of_rule.invalid, of_rule.redirect) {
            (Some(verdict), _) => Action::Fail(failure(verdict.message.as_str())),
            (None, Some(redirect)) => Action::Redirect(redirect),
            (None, None) if shares.is_empty() => Action::Fail(failure("the rule has no backend")),
            (None, None) if total == 0 => Action::Fail(failure("every backend has weight 0")),
            (None, None) => Action::Forward(shares),
        };
        (of_rule.filters, action, of_rule.invalid.or(invalid))
    }
}

fn failure(detail: &str) -> Failure {
    Failure { reason: Reason::InvalidBackend, detail: detail.into() }
}

fn timeouts(
    written: &HttpTimeouts,
    subject: Subject<'_>,
    field: &str,
    context: &mut Context<'_, '_, '_>,
) -> Timeouts {
    let mut read = |part: &str, text: Option<&Arc<str>>| -> Option<Duration> {
        let text = text?;
        let parsed = duration::parse(text);
        if parsed.is_none() {
            let field = format!("{field}.timeouts.{part}");
            let message = format!("{text:?} is no duration such as 500ms or 1m30s");
            context.findings.push(subject.error(Code::BadValue, &field, message));
        }
        parsed
    };
    let request = read("request", written.request.as_ref());
    let backend = read("backendRequest", written.backend_request.as_ref());
    if let (Some(request), Some(backend)) = (request, backend)
        && !request.is_zero()
        && backend > request
    {
        let field = format!("{field}.timeouts.backendRequest");
        let message = "an attempt cannot take longer than the request";
        context.findings.push(subject.error(Code::BadValue, &field, message));
    }
    Timeouts { request, backend }
}

fn retry(
    written: &HttpRetry,
    subject: Subject<'_>,
    field: &str,
    context: &mut Context<'_, '_, '_>,
) -> Option<Retry> {
    let mut refuse = |part: &str, message: String| {
        let field = format!("{field}.retry.{part}");
        context.findings.push(subject.error(Code::BadValue, &field, message));
        None
    };
    let mut codes = Vec::with_capacity(written.codes.len());
    for (place, code) in written.codes.iter().enumerate() {
        match u16::try_from(*code).ok().filter(|code| (400..=599).contains(code)) {
            Some(code) => codes.push(code),
            None => return refuse(&format!("codes[{place}]"), format!("{code} is no 4xx or 5xx")),
        }
    }
    let attempts = written.attempts.unwrap_or(1);
    let Ok(attempts) = u32::try_from(attempts) else {
        return refuse("attempts", format!("{attempts} is no number of attempts"));
    };
    let backoff = match written.backoff.as_deref() {
        None => DEFAULT_BACKOFF,
        Some(text) => match duration::parse(text) {
            Some(backoff) => backoff,
            None => return refuse("backoff", format!("{text:?} is no duration such as 100ms")),
        },
    };
    Some(Retry { codes, attempts, backoff })
}

/// Envoy's, which most implementations have.
const DEFAULT_BACKOFF: Duration = Duration::from_millis(25);
