//! Decides what becomes of a request: listener, rule, filters, backend.

use std::sync::Arc;

use super::filter::{Changes, cors, redirect};
use super::forwarded::Request;
use super::h1::{Name, Verb};
use super::respond::OwnAnswer;
use super::{Identity, Server};
use crate::balance::pick_weighted;
use crate::observe::RequestRecord;
use crate::snapshot::{
    Action, Filter, HeaderModifier, HttpListener, Mirror, Protocol, Reason, Redirect, Retry, Rule,
    Target, Timeouts,
};

/// Where a request goes, and what is done to it on the way.
#[derive(Debug)]
pub(super) struct Route {
    /// Who gets it.
    pub(super) target: Target,
    rule: Arc<Rule>,
    /// Which of the rule's backends it is.
    share: usize,
    /// What the browser of another origin is told.
    cors: Option<HeaderModifier>,
}

/// Decides about a request. What rutter answers itself is the error.
pub(super) fn decide<'a, F>(
    server: &Server,
    identity: &Identity,
    listener: &HttpListener,
    request: &Request<'a, F>,
    record: &mut RequestRecord,
) -> Result<Route, OwnAnswer>
where
    F: Iterator<Item = (Name, &'a [u8], &'a [u8])> + Clone,
{
    if request.verb == Verb::Connect {
        return Err(Reason::MethodNotAllowed.into());
    }
    if identity.is_tls && listener.is_misdirected(identity.server_name.as_deref(), request.host) {
        return Err(Reason::Misdirected.into());
    }
    let host = listener.select(request.host).ok_or(Reason::NoRoute)?;
    let rule = host.routes.select(&request.asked()).ok_or(Reason::NoRoute)?;
    record.rule = Some(rule.clone());
    let cors = cors::of(rule, request)?;
    let backends = match &rule.action {
        Action::Forward(backends) => backends,
        Action::Redirect(redirect) => return Err(redirect::answer(redirect, request, identity)),
        Action::Fail(failure) => return Err(failure.reason.into()),
    };
    let picked = pick_weighted(backends, &mut server.local.rng.borrow_mut());
    let (share, picked) = picked.ok_or(Reason::NoService)?;
    let target = picked.target.as_ref().map_err(|failure| failure.reason)?;
    record.backend = Some(target.backend.clone());
    if let Some(redirect) = picked.filters.iter().find_map(as_redirect) {
        return Err(redirect::answer(redirect, request, identity));
    }
    if target.protocol == Protocol::Http2 && request.options.upgrade.is_some() {
        return Err(Reason::UpgradeUnsupported.into());
    }
    Ok(Route { target: target.clone(), rule: rule.clone(), share, cors })
}

fn as_redirect(filter: &Filter) -> Option<&Redirect> {
    if let Filter::Redirect(redirect) = filter { Some(redirect) } else { None }
}

impl Route {
    /// A copy of a request goes to the backend of its mirror.
    pub(super) fn mirrored(&self, mirror: &Mirror) -> Self {
        let target = mirror.target.clone();
        Self { target, rule: self.rule.clone(), share: usize::MAX, cors: None }
    }

    /// The filters of the rule, then those of the chosen share.
    pub(super) fn filters(&self) -> impl Iterator<Item = &Filter> {
        let share = match &self.rule.action {
            Action::Forward(backends) => backends.get(self.share),
            Action::Redirect(_) | Action::Fail(_) => None,
        };
        self.rule.filters.iter().chain(share.into_iter().flat_map(|share| &share.filters))
    }

    /// What is changed in the request.
    pub(super) fn request_changes<'r>(&'r self, path: &str) -> Changes<'r> {
        let mut changes = Changes::default();
        for filter in self.filters() {
            match filter {
                Filter::RequestHeaders(modifier) => changes.modifiers.push(modifier),
                Filter::Rewrite(rewrite) => {
                    changes.host = rewrite.host.as_deref().or(changes.host);
                    if let Some(rewrite) = &rewrite.path {
                        let before = changes.path.as_deref().unwrap_or(path);
                        changes.path = Some(rewrite.apply(before));
                    }
                }
                Filter::ResponseHeaders(_)
                | Filter::Redirect(_)
                | Filter::Mirror(_)
                | Filter::Cors(_)
                | Filter::ExternalAuth(_) => {}
            }
        }
        changes
    }

    /// What is changed in the response.
    pub(super) fn response_modifiers(&self) -> Vec<&HeaderModifier> {
        let of_filters = self.filters().filter_map(|filter| match filter {
            Filter::ResponseHeaders(modifier) => Some(modifier),
            Filter::RequestHeaders(_)
            | Filter::Rewrite(_)
            | Filter::Redirect(_)
            | Filter::Mirror(_)
            | Filter::Cors(_)
            | Filter::ExternalAuth(_) => None,
        });
        of_filters.chain(&self.cors).collect()
    }

    /// Where copies go.
    pub(super) fn mirrors(&self) -> impl Iterator<Item = &Mirror> {
        self.filters().filter_map(|filter| match filter {
            Filter::Mirror(mirror) => Some(mirror),
            Filter::RequestHeaders(_)
            | Filter::ResponseHeaders(_)
            | Filter::Rewrite(_)
            | Filter::Redirect(_)
            | Filter::Cors(_)
            | Filter::ExternalAuth(_) => None,
        })
    }

    /// What the rule says about further attempts.
    pub(super) fn retry(&self) -> Option<&Retry> {
        self.rule.retry.as_ref()
    }

    /// How long it may take.
    pub(super) fn timeouts(&self) -> Timeouts {
        self.rule.timeouts
    }
}
