//! Redirects (Gateway API `HTTPRequestRedirectFilter`).

use crate::plane::l7::Identity;
use crate::plane::l7::forwarded::Request;
use crate::plane::l7::respond::OwnAnswer;
use crate::snapshot::Redirect;

/// The answer that sends the client elsewhere. The query goes along.
pub(in crate::plane::l7) fn answer<F>(
    redirect: &Redirect,
    request: &Request<'_, F>,
    identity: &Identity,
) -> OwnAnswer {
    let scheme = if identity.is_secure { "https" } else { "http" };
    let (path, query) = (request.target.matched(), request.target.query);
    let location = redirect.location(scheme, request.host, identity.forwarded_port, path, query);
    OwnAnswer::new(redirect.status).field("location", location)
}
