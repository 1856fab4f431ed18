//! Decides what becomes of a request: listener, rule, filters, backend.

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use super::filter::{Changes, cors, redirect};
use super::forwarded::Request;
use super::h1::{Name, Verb};
use super::hash;
use super::respond::OwnAnswer;
use super::session::{self, Kept, Session};
use super::{Identity, Server};
use crate::balance::pick_weighted;
use crate::observe::RequestRecord;
use crate::plane::proxy_protocol::header;
use crate::snapshot::{
    Action, EndpointId, ExternalAuth, Filter, HeaderModifier, HttpListener, Mirror, Protocol,
    Reason, Redirect, Retry, RetryBudget, Rule, Target, Timeouts, WeightedBackend,
};

/// Where a request goes, and what is done to it on the way.
#[derive(Clone, Debug)]
pub(super) struct Route {
    /// Who gets it.
    pub(super) target: Target,
    rule: Arc<Rule>,
    /// Which of the rule's backends it is; none for what goes elsewhere beside the request.
    share: Option<usize>,
    /// The session of the client, if it is to have one.
    session: Option<Box<Session>>,
    /// What its Service chooses endpoints by, where that is a hash.
    hash: Option<u64>,
    /// The address that the client used.
    reached: SocketAddr,
    /// What the response says beside the filters: CORS, a session, what the authorization server
    /// adds.
    added: Vec<HeaderModifier>,
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
    // before all rules: redirects and authorization are not for ACME servers
    if let Some(key_authorization) = server.local.challenges.http(&request.target.path) {
        return Err(OwnAnswer { body: key_authorization.into(), ..OwnAnswer::new(200) });
    }
    let host = listener.select(request.host).ok_or(Reason::NoRoute)?;
    let rule = host.routes.select(&request.asked()).ok_or(Reason::NoRoute)?;
    record.rule = Some(rule.clone());
    let cors = cors::of(&rule.filters, request)?;
    let shares = match &rule.action {
        Action::Forward(shares) => shares,
        Action::Redirect(redirect) => return Err(redirect::answer(redirect, request, identity)),
        Action::Fail(failure) => return Err(failure.reason.into()),
    };
    let kept = session::find(rule, shares, request);
    let (share, picked) = pick_share(server, shares, kept).ok_or(Reason::NoService)?;
    let target = picked.target.as_ref().map_err(|failure| failure.reason)?;
    let cors = cors.or(cors::of(&picked.filters, request)?);
    if let Some(redirect) = picked.filters.iter().find_map(as_redirect) {
        return Err(redirect::answer(redirect, request, identity));
    }
    record.backend = Some(target.backend.clone());
    if target.protocol == Protocol::Http2 && request.options.upgrade.is_some() {
        return Err(Reason::UpgradeUnsupported.into());
    }
    Ok(Route {
        target: target.clone(),
        rule: rule.clone(),
        share: Some(share),
        session: Session::of(rule, target, request, kept, identity.is_secure),
        hash: hash::of(&target.backend.balancing, request, identity.client.ip()),
        reached: identity.key.addr,
        added: cors.into_iter().collect(),
    })
}

/// The share that the client's session belongs to, or one by weight.
fn pick_share<'s>(
    server: &Server,
    shares: &'s [WeightedBackend],
    kept: Option<Kept>,
) -> Option<(usize, &'s WeightedBackend)> {
    match kept {
        Some(Kept { share, .. }) => Some((share, shares.get(share)?)),
        None => pick_weighted(shares, &mut server.local.rng.borrow_mut()),
    }
}

impl Route {
    /// What goes elsewhere beside a request, a copy of it or a question about it: the limits of
    /// the rule are for the request itself.
    pub(super) fn beside(&self, target: &Target) -> Self {
        Self {
            target: target.clone(),
            rule: self.rule.clone(),
            share: None,
            session: None,
            hash: None,
            reached: self.reached,
            added: Vec::new(),
        }
    }

    /// What endpoints are told about the client before anything else, where their Service asks for
    /// it.
    pub(super) fn proxy_header(&self, client: SocketAddr) -> Option<Rc<[u8]>> {
        let version = self.target.backend.proxy_protocol?;
        Some(header(version, client, self.reached).into())
    }

    fn share(&self) -> Option<&WeightedBackend> {
        match &self.rule.action {
            Action::Forward(shares) => shares.get(self.share?),
            Action::Redirect(_) | Action::Fail(_) => None,
        }
    }

    /// The filters of the rule, then those of the chosen share.
    fn filters(&self) -> impl Iterator<Item = &Filter> {
        self.rule.filters.iter().chain(self.share().into_iter().flat_map(|share| &share.filters))
    }

    /// What is changed in the request.
    pub(super) fn request_changes<'r>(&'r self, path: &str) -> Changes<'r> {
        let mut changes = Changes::default();
        for filter in self.filters() {
            if let Filter::RequestHeaders(modifier) = filter {
                changes.modifiers.push(modifier);
            } else if let Filter::Rewrite(rewrite) = filter {
                changes.host = rewrite.host.as_deref().or(changes.host);
                if let Some(rewrite) = &rewrite.path {
                    let before = changes.path.as_deref().unwrap_or(path);
                    changes.path = Some(rewrite.apply(before));
                }
            }
        }
        changes
    }

    /// What is changed in the response.
    pub(super) fn response_modifiers(&self) -> Vec<&HeaderModifier> {
        let of_filters = self.filters().filter_map(|filter| {
            if let Filter::ResponseHeaders(modifier) = filter { Some(modifier) } else { None }
        });
        of_filters.chain(&self.added).collect()
    }

    /// What else the response says.
    pub(super) fn added(&self) -> &[HeaderModifier] {
        &self.added
    }

    /// Adds to what the response says.
    pub(super) fn add(&mut self, modifier: HeaderModifier) {
        self.added.push(modifier);
    }

    /// Where copies go.
    pub(super) fn mirrors(&self) -> impl Iterator<Item = &Mirror> {
        self.filters().filter_map(|filter| {
            if let Filter::Mirror(mirror) = filter { Some(mirror) } else { None }
        })
    }

    /// Who is asked whether the request may go on.
    pub(super) fn authorizations(&self) -> impl Iterator<Item = &ExternalAuth> {
        self.filters().filter_map(|filter| {
            if let Filter::ExternalAuth(auth) = filter { Some(auth) } else { None }
        })
    }

    /// The endpoint that the client stays with.
    pub(super) fn kept(&self) -> Option<EndpointId> {
        self.session.as_ref()?.kept()
    }

    /// What endpoints are chosen by, where that is a hash.
    pub(super) fn hash(&self) -> Option<u64> {
        self.hash
    }

    /// An endpoint has answered: the client may have to be told to come back to it.
    pub(super) fn answered_by(&mut self, endpoint: EndpointId) {
        let told = self.session.as_ref().and_then(|session| session.told(endpoint));
        self.added.extend(told);
    }

    /// What the rule says about further attempts.
    pub(super) fn retry(&self) -> Option<&Retry> {
        self.share.and(self.rule.retry.as_ref())
    }

    /// How many further attempts the Service takes, as a policy says or else as is usual. A rule that
    /// asks for attempts means them.
    pub(super) fn retry_budget(&self) -> Option<&RetryBudget> {
        self.share?;
        let policy = self.target.policy.as_ref().and_then(|policy| policy.retry_budget.as_ref());
        policy.or_else(|| self.rule.retry.is_none().then_some(&RetryBudget::DEFAULT))
    }

    /// How long it may take.
    pub(super) fn timeouts(&self) -> Timeouts {
        self.share.map(|_| self.rule.timeouts).unwrap_or_default()
    }
}

fn as_redirect(filter: &Filter) -> Option<&Redirect> {
    if let Filter::Redirect(redirect) = filter { Some(redirect) } else { None }
}
