//! Clients that stay with their endpoint (GEP-1619).
//!
//! The first response carries a token, in a cookie or a header field, which the client sends
//! back. A token names an endpoint by a digest of its address: every worker and every rutter
//! makes the same one, nothing has to be kept or shared, and it cannot lead anywhere but to an
//! endpoint of the very rule. The address is not in it in clear; who tries all addresses can find
//! it, as it is no secret. It also says when the session began, so that a session that may last
//! only so long ends, whatever the client keeps.
//!
//! The endpoint is looked for in all shares of the rule, those of weight 0 included: sessions
//! outlast weights (GEP-1619, "Traffic Splitting"). If it is gone or not usable, the client gets
//! another one, and another token. The session that the rule asks for goes before that of a
//! share's Service; of several shares only those whose Service asks for it keep their clients.
//!
//! Rules do not share sessions, also if their Service asks for them, that is by one name: a value
//! is a list of tokens, one a rule, and each rule replaces its own.
//!
//! The cookie or field goes on to the endpoint as well: the GEP presents sessions to it, and so
//! does Envoy. `SameSite` is `Lax`, where the GEP prefers `Strict`: with `Strict` a client that
//! comes back from another site, as after a login there, would lose its endpoint.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use aws_lc_rs::digest::{SHA256, digest};
use data_encoding::BASE64URL_NOPAD;

use super::forwarded::Request;
use super::h1::Name;
use crate::snapshot::{
    EndpointId, HeaderModifier, Rule, SessionCarrier, SessionPersistence, Target, WeightedBackend,
};

/// The endpoint that a client stays with, and which share of the rule it belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Kept {
    /// The place of the share in the rule.
    pub(super) share: usize,
    /// The endpoint: usable.
    pub(super) endpoint: EndpointId,
}

/// Finds the endpoint that a request's token names.
pub(super) fn find<'a, F>(
    rule: &Rule,
    shares: &[WeightedBackend],
    request: &Request<'a, F>,
) -> Option<Kept>
where
    F: Iterator<Item = (Name, &'a [u8], &'a [u8])> + Clone,
{
    shares.iter().enumerate().find_map(|(share, it)| {
        let target = it.target.as_ref().ok()?;
        let wanted = wanted(rule, target)?;
        let scope = Scope::of(rule, wanted);
        let now = now();
        let tokens = carried(wanted, request).filter_map(|text| Token::parse(&text));
        let mut own = tokens.filter(|token| token.tag == scope.tag()).take(MAX_OWN);
        own.find_map(|token| {
            let endpoint = token.endpoint(&scope, wanted, target, now)?;
            Some(Kept { share, endpoint })
        })
    })
}

/// What a rule asks for on the way to a target.
fn wanted<'s>(rule: &'s Rule, target: &'s Target) -> Option<&'s Arc<SessionPersistence>> {
    let policy = target.policy.as_ref().and_then(|policy| policy.session.as_ref());
    rule.session.as_ref().or(policy)
}

/// A client whose request goes to a target that keeps its clients.
#[derive(Clone, Debug)]
pub(super) struct Session {
    wanted: Arc<SessionPersistence>,
    scope: Scope,
    /// The endpoint that it has a token for.
    kept: Option<EndpointId>,
    /// Its tokens for other rules.
    others: Vec<String>,
    is_tls: bool,
}

impl Session {
    /// The session of a request that goes to `target`, if it is to have one.
    pub(super) fn of<'a, F>(
        rule: &Rule,
        target: &Target,
        request: &Request<'a, F>,
        kept: Option<Kept>,
        is_tls: bool,
    ) -> Option<Box<Self>>
    where
        F: Iterator<Item = (Name, &'a [u8], &'a [u8])> + Clone,
    {
        let wanted = wanted(rule, target)?;
        let scope = Scope::of(rule, wanted);
        let is_other = |text: &String| Token::parse(text).is_some_and(|it| it.tag != scope.tag());
        let others = carried(wanted, request).filter(is_other).take(MAX_OTHERS).collect();
        let kept = kept.map(|kept| kept.endpoint);
        Some(Box::new(Self { wanted: wanted.clone(), scope, kept, others, is_tls }))
    }

    /// The endpoint that the client is to stay with.
    pub(super) fn kept(&self) -> Option<EndpointId> {
        self.kept
    }

    /// What the client is told, after an answer of an endpoint that is not the one it had.
    pub(super) fn told(&self, endpoint: EndpointId) -> Option<HeaderModifier> {
        if self.kept == Some(endpoint) {
            return None;
        }
        let Self { wanted, others, .. } = self;
        let own = Token::new(&self.scope, endpoint, now()).text();
        let value = std::iter::once(&own).chain(others).map(String::as_str).collect::<Vec<_>>();
        let value = value.join(SEPARATOR);
        let mut told = HeaderModifier::default();
        match &wanted.carrier {
            SessionCarrier::Header => told.set.push((wanted.name.clone(), value.into())),
            SessionCarrier::Cookie { path, permanent } => {
                let mut cookie =
                    format!("{}={value}; Path={path}; HttpOnly; SameSite=Lax", wanted.name);
                if let (true, Some(time)) = (permanent, wanted.absolute_timeout) {
                    cookie += &format!("; Max-Age={}", time.as_secs());
                }
                if self.is_tls {
                    cookie += "; Secure";
                }
                told.add.push(("set-cookie".into(), cookie.into()));
            }
        }
        Some(told)
    }
}

/// The tokens of a request: of every cookie of the name, of every field.
fn carried<'a, F>(
    wanted: &SessionPersistence,
    request: &Request<'a, F>,
) -> impl Iterator<Item = String>
where
    F: Iterator<Item = (Name, &'a [u8], &'a [u8])> + Clone,
{
    let is_cookie = matches!(wanted.carrier, SessionCarrier::Cookie { .. });
    let values = request.fields.clone().flat_map(move |(known, name, value)| {
        let text = std::str::from_utf8(value).unwrap_or_default();
        if !is_cookie && name.eq_ignore_ascii_case(wanted.name.as_bytes()) {
            vec![text]
        } else if is_cookie && known == Name::Cookie {
            let crumbs = text.split(';').filter_map(|crumb| crumb.trim().split_once('='));
            crumbs.filter(|(name, _)| **name == *wanted.name).map(|(_, value)| value).collect()
        } else {
            Vec::new()
        }
    });
    let tokens = values.flat_map(|value| value.split(SEPARATOR)).take(MAX_TOKENS);
    tokens.map(|token| token.trim().to_owned())
}

/// What tells the sessions of one rule from those of others.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Scope([u8; 32]);

impl Scope {
    /// The rule, not one of its matches: they share their sessions. Of an Ingress, each path is a rule.
    fn of(rule: &Rule, wanted: &SessionPersistence) -> Self {
        let matches = rule.field.split_once(".matches[");
        let rule_field = matches.map_or(&*rule.field, |(rule, _)| rule);
        let text = format!("{}\0{rule_field}\0{}", rule.route, wanted.name);
        Self(sha256(text.as_bytes()))
    }

    fn tag(&self) -> [u8; 4] {
        let Self([first, second, third, fourth, ..]) = self;
        [*first, *second, *third, *fourth]
    }
}

/// A session, as a client carries it: 32 characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Token {
    /// Whose it is.
    tag: [u8; 4],
    /// When it began, in seconds since 1970.
    started: u32,
    /// Which endpoint.
    digest: [u8; 16],
}

impl Token {
    fn new(scope: &Scope, endpoint: EndpointId, started: u32) -> Self {
        let address = endpoint.addr().to_string();
        let parts: [&[u8]; 3] = [&scope.0, &started.to_be_bytes(), address.as_bytes()];
        let hash = sha256(&parts.concat());
        let digest = hash.first_chunk().copied().unwrap_or_default();
        Self { tag: scope.tag(), started, digest }
    }

    fn parse(text: &str) -> Option<Self> {
        if text.len() != TOKEN_LENGTH {
            return None;
        }
        let bytes = BASE64URL_NOPAD.decode(text.as_bytes()).ok()?;
        let (tag, rest) = bytes.split_first_chunk()?;
        let (started, rest) = rest.split_first_chunk()?;
        let digest = rest.first_chunk()?;
        Some(Self { tag: *tag, started: u32::from_be_bytes(*started), digest: *digest })
    }

    fn text(&self) -> String {
        let parts: [&[u8]; 3] = [&self.tag, &self.started.to_be_bytes(), &self.digest];
        BASE64URL_NOPAD.encode(&parts.concat())
    }

    /// The usable endpoint that it names, if the session is not over.
    fn endpoint(
        &self,
        scope: &Scope,
        wanted: &SessionPersistence,
        target: &Target,
        now: u32,
    ) -> Option<EndpointId> {
        let age = now.saturating_sub(self.started);
        let limit = wanted.absolute_timeout.unwrap_or(Duration::MAX);
        let begun = self.started <= now.saturating_add(CLOCK_SKEW);
        if self.tag != scope.tag() || !begun || u64::from(age) >= limit.as_secs() {
            return None;
        }
        let mut ids = target.backend.usable.iter().map(|endpoint| endpoint.id);
        ids.find(|id| Self::new(scope, *id, self.started) == *self)
    }
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    digest(&SHA256, bytes).as_ref().try_into().unwrap_or_default()
}

/// Seconds since 1970, which every rutter counts alike.
fn now() -> u32 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    u32::try_from(since.unwrap_or_default().as_secs()).unwrap_or(u32::MAX)
}

const TOKEN_LENGTH: usize = 32;
/// Between tokens of several rules.
const SEPARATOR: &str = ".";
/// Tokens of a request that are looked at.
const MAX_TOKENS: usize = 16;
/// Tokens for a rule that are looked at: each is a digest for every endpoint. A client that behaves
/// has one; a second cookie of the name may be from another host of its domain.
const MAX_OWN: usize = 2;
/// Tokens of other rules that a client is given back.
const MAX_OTHERS: usize = 7;
/// How far another rutter's clock may be ahead, in seconds.
const CLOCK_SKEW: u32 = 60;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plane::l7::tests::world::{forward, rule};
    use crate::snapshot::{Action, HostMatch};

    #[test]
    fn a_session_is_over_after_its_time_whatever_the_client_keeps() {
        let action = forward("web", &[([127, 0, 0, 1], 80).into(), ([127, 0, 0, 2], 80).into()]);
        let rule = rule(HostMatch::Any, "", action);
        let Action::Forward(shares) = &rule.action else { panic!("it must forward") };
        let target = shares[0].target.as_ref().expect("it must be served");
        let endpoint = target.backend.usable[1].id;
        let rows = [
            (Some(10), 1_000, 1_009, true),
            (Some(10), 1_000, 1_010, false),
            (None, 1_000, u32::MAX, true),
            (Some(10), 1_050, 1_000, true),
            (Some(10), 1_100, 1_000, false),
        ];
        for (limit, started, now, is_kept) in rows {
            let wanted = SessionPersistence {
                name: "a".into(),
                carrier: SessionCarrier::Header,
                absolute_timeout: limit.map(Duration::from_secs),
            };
            let scope = Scope::of(&rule, &wanted);
            let token = Token::parse(&Token::new(&scope, endpoint, started).text());
            let found = token.and_then(|token| token.endpoint(&scope, &wanted, target, now));
            assert_eq!(found, is_kept.then_some(endpoint), "{limit:?} {started} {now}");
            // a later beginning does not fit the digest
            let forged = token.map(|token| Token { started: started + 5, ..token });
            let found = forged.and_then(|token| token.endpoint(&scope, &wanted, target, now));
            assert_eq!(found, None);
        }
    }
}
