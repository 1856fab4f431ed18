//! The filter `CORS` (GEP-1767).

use std::sync::Arc;

use super::filters::Bad;
use crate::manifest::gateway::CorsFilter;
use crate::snapshot::Cors;

/// What is written, if it makes sense.
pub(super) fn compile(written: &CorsFilter) -> Result<Cors, Bad> {
    let lists = [
        ("allowOrigins", &written.allow_origins),
        ("allowMethods", &written.allow_methods),
        ("allowHeaders", &written.allow_headers),
    ];
    for (name, list) in lists {
        if list.len() > 1 && list.iter().any(|it| &**it == "*") {
            return Err((".cors", format!("{name} cannot hold `*` beside others")));
        }
    }
    if let Some(origin) = written.allow_origins.iter().find(|it| !is_origin(it)) {
        let message = format!("{origin:?} is no origin: `*`, or scheme://host[:port]");
        return Err((".cors", message));
    }
    let max_age = written.max_age.unwrap_or(DEFAULT_MAX_AGE);
    let Some(max_age) = u32::try_from(max_age).ok().filter(|age| *age > 0) else {
        return Err((".cors", format!("{max_age} is no time in seconds")));
    };
    Ok(Cors {
        allow_origins: written.allow_origins.clone(),
        allow_credentials: written.allow_credentials.unwrap_or_default(),
        allow_methods: written.allow_methods.clone(),
        allow_headers: written.allow_headers.clone(),
        expose_headers: written.expose_headers.clone(),
        max_age,
    })
}

/// `*`, or a scheme and a host, whose first label may be `*`.
fn is_origin(origin: &Arc<str>) -> bool {
    if &**origin == "*" {
        return true;
    }
    let Some((scheme, host)) = origin.split_once("://") else { return false };
    let of_scheme = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte);
    !scheme.is_empty() && scheme.bytes().all(of_scheme) && !host.is_empty() && !host.contains('/')
}

const DEFAULT_MAX_AGE: i64 = 5;
