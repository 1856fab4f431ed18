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
    let own_scheme = if identity.is_tls { "https" } else { "http" };
    let scheme = redirect.scheme.as_deref().unwrap_or(own_scheme);
    let host = redirect.host.as_deref().unwrap_or(request.host);
    let port = match (redirect.port, &redirect.scheme) {
        (Some(port), _) => Some(port),
        // the scheme's own
        (None, Some(_)) => None,
        (None, None) => Some(identity.key.addr.port()),
    };
    let port = port.filter(|port| Some(*port) != well_known(scheme));
    let path = request.target.matched();
    let path = redirect.path.as_ref().map_or_else(|| path.to_owned(), |new| new.apply(path));
    let mut location = format!("{scheme}://{host}");
    if let Some(port) = port {
        location += &format!(":{port}");
    }
    location += &path;
    location += request.target.query;
    OwnAnswer::new(redirect.status).field("location", location)
}

fn well_known(scheme: &str) -> Option<u16> {
    match scheme {
        "http" => Some(80),
        "https" => Some(443),
        _ => None,
    }
}
