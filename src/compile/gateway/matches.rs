//! `matches` of HTTPRoute and GRPCRoute → paths and predicates.

use std::sync::Arc;

use crate::compile::ingress;
use crate::compile::ingress::Refused;
use crate::manifest::gateway::{
    GrpcMethodMatch, GrpcRouteMatch, HttpPathMatch, HttpRouteMatch, NamedMatch,
};
use crate::snapshot::MatchPath;
use crate::snapshot::matching::{FieldMatch, MatchValue, Pattern, Predicates};

/// A value that cannot be read, with the field below the match.
type Bad = (String, Refused);

/// What a request must be for one `matches[]` of an HTTPRoute.
pub(super) fn http(wanted: &HttpRouteMatch) -> Result<(MatchPath, Predicates), Bad> {
    let path = path(&wanted.path)?;
    if let Some(method) = wanted.method.as_deref().filter(|it| !METHODS.contains(it)) {
        let refused = Refused::because(format!("{method:?} is none of {}", METHODS.join(", ")));
        return Err((".method".to_owned(), refused));
    }
    let headers = fields(&wanted.headers, "headers", true)?;
    let query = fields(&wanted.query_params, "queryParams", false)?;
    Ok((path, Predicates { method: wanted.method.clone(), headers, query }))
}

/// What a call must be for one `matches[]` of a GRPCRoute: a POST to `/service/method`.
pub(super) fn grpc(wanted: &GrpcRouteMatch) -> Result<(MatchPath, Predicates), Bad> {
    let path = match &wanted.method {
        Some(method) => grpc_path(method)?,
        None => MatchPath::Prefix("".into()),
    };
    let headers = fields(&wanted.headers, "headers", true)?;
    Ok((path, Predicates { method: None, headers, query: Vec::new() }))
}

fn path(wanted: &HttpPathMatch) -> Result<MatchPath, Bad> {
    let bad = |refused| (".path.value".to_owned(), refused);
    match &*wanted.kind {
        "Exact" => ingress::path("Exact", &wanted.value).map_err(bad),
        "PathPrefix" => ingress::path("Prefix", &wanted.value).map_err(bad),
        "RegularExpression" => pattern(&wanted.value).map(MatchPath::Regex).map_err(bad),
        kind => {
            let known = "Exact, PathPrefix, RegularExpression";
            let refused = Refused::because(format!("{kind:?} is none of {known}"));
            Err((".path.type".to_owned(), refused))
        }
    }
}

fn grpc_path(wanted: &GrpcMethodMatch) -> Result<MatchPath, Bad> {
    let service = wanted.service.as_deref().filter(|it| !it.is_empty());
    let method = wanted.method.as_deref().filter(|it| !it.is_empty());
    let bad = |why: String| (".method".to_owned(), Refused::because(why));
    match wanted.kind.as_deref().unwrap_or("Exact") {
        "Exact" => match (service, method) {
            (Some(service), Some(method)) => {
                Ok(MatchPath::Exact(format!("/{service}/{method}").into()))
            }
            (Some(service), None) => Ok(MatchPath::Prefix(format!("/{service}").into())),
            (None, Some(method)) => {
                let any_service = format!("/[^/]+/{}", escaped(method));
                pattern(&any_service).map(MatchPath::Regex).map_err(|it| (".method".into(), it))
            }
            (None, None) => Err(bad("neither service nor method is set".to_owned())),
        },
        "RegularExpression" => {
            let any = "[^/]+";
            let both = format!("/(?:{})/(?:{})", service.unwrap_or(any), method.unwrap_or(any));
            pattern(&both).map(MatchPath::Regex).map_err(|it| (".method".into(), it))
        }
        kind => Err(bad(format!("{kind:?} is none of Exact, RegularExpression"))),
    }
}

/// Names of methods are letters, digits and `_`; whatever else is written is no expression.
fn escaped(text: &str) -> String {
    let escape = |it: char| {
        let plain = it.is_ascii_alphanumeric() || it == '_';
        if plain { it.to_string() } else { format!("\\x{{{:x}}}", u32::from(it)) }
    };
    text.chars().map(escape).collect()
}

/// Of several entries for a name only the first counts (Gateway API).
fn fields(wanted: &[NamedMatch], part: &str, is_header: bool) -> Result<Vec<FieldMatch>, Bad> {
    let mut fields: Vec<FieldMatch> = Vec::with_capacity(wanted.len());
    for (place, field) in wanted.iter().enumerate() {
        let name: Arc<str> = match is_header {
            true => field.name.to_ascii_lowercase().into(),
            false => field.name.clone(),
        };
        let at = |below: &str, refused| (format!(".{part}[{place}]{below}"), refused);
        if name.is_empty() {
            return Err(at(".name", Refused::because("the name is missing")));
        }
        if fields.iter().any(|known| known.name == name) {
            continue;
        }
        let value = match field.kind.as_deref().unwrap_or("Exact") {
            "Exact" => MatchValue::Exact(field.value.clone()),
            "RegularExpression" => {
                let pattern = pattern(&field.value).map_err(|refused| at(".value", refused))?;
                MatchValue::Regex(pattern)
            }
            kind => {
                let why = format!("{kind:?} is none of Exact, RegularExpression");
                return Err(at(".type", Refused::because(why)));
            }
        };
        fields.push(FieldMatch { name, value });
    }
    Ok(fields)
}

fn pattern(written: &str) -> Result<Pattern, Refused> {
    Pattern::new(written).map_err(|why| {
        let why = why.lines().last().unwrap_or_default().trim().to_owned();
        Refused::because(format!("{written:?} is no regular expression: {why}"))
    })
}

const METHODS: [&str; 9] =
    ["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"];
