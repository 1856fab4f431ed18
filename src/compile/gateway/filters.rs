//! `filters` of HTTPRoute and GRPCRoute, of a rule or of a backend.

use std::sync::Arc;

use super::targets::{Carried, Targets};
use super::{Context, Verdict, cors, external_auth};
use crate::compile::ingress;
use crate::compile::report::Subject;
use crate::manifest::gateway::{
    BackendRef, HeaderFilter, HttpFilter, PathModifier, RedirectFilter, RequestMirror, UrlRewrite,
};
use crate::manifest::{Code, Kind};
use crate::snapshot::{
    Filter, HeaderModifier, HostMatch, MatchPath, Mirror, PathRewrite, Redirect, Rewrite,
};

/// Where filters stand.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place<'a, 'p> {
    pub(super) kind: Kind,
    pub(super) subject: Subject<'a>,
    /// What the rule's backends carry.
    pub(super) carried: Carried,
    /// `spec.rules[0].filters` or that of a backend.
    pub(super) field: &'p str,
    /// What the match takes: prefixes are replaced in it.
    pub(super) path: &'p MatchPath,
}

/// What filters come to.
#[derive(Debug, Default)]
pub(super) struct Compiled {
    pub(super) filters: Vec<Filter>,
    /// Answers in place of a backend.
    pub(super) redirect: Option<Redirect>,
    /// Why they cannot be carried out: requests fail then.
    pub(super) invalid: Option<Verdict>,
}

/// Compiles a list of filters, once for every match of a rule: the paths of some depend on it.
pub(super) fn compile<'a>(
    filters: &[HttpFilter],
    place: Place<'_, '_>,
    targets: &mut Targets<'a>,
    context: &mut Context<'a, '_, '_>,
) -> Compiled {
    let mut compiled = Compiled::default();
    check_together(filters, place, context);
    for (number, filter) in filters.iter().enumerate() {
        let field = format!("{}[{number}]", place.field);
        let step = match one(filter, &field, place, targets, context) {
            Ok(step) => step,
            Err((part, message)) => {
                let field = format!("{field}{part}");
                let finding = place.subject.error(Code::BadValue, &field, message.as_str());
                let help = "requests of this rule are answered with 500";
                context.findings.push(finding.help(help));
                let verdict = || Verdict::new("UnsupportedValue", message);
                compiled.invalid.get_or_insert_with(verdict);
                continue;
            }
        };
        match step {
            Step::Filter(filter) => compiled.filters.push(*filter),
            Step::Redirect(redirect) => compiled.redirect = Some(redirect),
            Step::Nothing => {}
        }
    }
    compiled
}

enum Step {
    Filter(Box<Filter>),
    Redirect(Redirect),
    /// It cannot be carried out and need not be: a mirror without a backend.
    Nothing,
}

/// What is wrong, with the part of the filter that it is about.
pub(super) type Bad = (&'static str, String);

fn one<'a>(
    filter: &HttpFilter,
    field: &str,
    place: Place<'_, '_>,
    targets: &mut Targets<'a>,
    context: &mut Context<'a, '_, '_>,
) -> Result<Step, Bad> {
    let missing = |what: &str| ("", format!("a filter of type {} needs {what}", filter.kind));
    let step = |filter: Filter| Ok(Step::Filter(Box::new(filter)));
    match &*filter.kind {
        "RequestHeaderModifier" => {
            let written = filter.request_header_modifier.as_ref();
            let written = written.ok_or_else(|| missing("requestHeaderModifier"))?;
            step(Filter::RequestHeaders(headers(written, ".requestHeaderModifier")?))
        }
        "ResponseHeaderModifier" => {
            let written = filter.response_header_modifier.as_ref();
            let written = written.ok_or_else(|| missing("responseHeaderModifier"))?;
            step(Filter::ResponseHeaders(headers(written, ".responseHeaderModifier")?))
        }
        "RequestMirror" => {
            let written = filter.request_mirror.as_ref();
            let written = written.ok_or_else(|| missing("requestMirror"))?;
            mirror(written, field, place, targets, context)
        }
        "RequestRedirect" if place.kind == Kind::HttpRoute => {
            let written = filter.request_redirect.as_ref();
            let written = written.ok_or_else(|| missing("requestRedirect"))?;
            redirect(written, place.path).map(Step::Redirect)
        }
        "URLRewrite" if place.kind == Kind::HttpRoute => {
            let written = filter.url_rewrite.as_ref();
            let written = written.ok_or_else(|| missing("urlRewrite"))?;
            step(Filter::Rewrite(rewrite(written, place.path)?))
        }
        "CORS" if place.kind == Kind::HttpRoute => {
            let written = filter.cors.as_ref().ok_or_else(|| missing("cors"))?;
            step(Filter::Cors(cors::compile(written)?))
        }
        "ExternalAuth" => {
            let written = filter.external_auth.as_ref();
            let written = written.ok_or_else(|| missing("externalAuth"))?;
            let auth = external_auth::compile(written, field, place, targets, context)?;
            step(Filter::ExternalAuth(auth))
        }
        kind => Err((".type", format!("a filter of type {kind:?} is not served here"))),
    }
}

/// Rules of the CRD about several filters.
fn check_together(filters: &[HttpFilter], place: Place<'_, '_>, context: &mut Context<'_, '_, '_>) {
    let count = |kind: &str| filters.iter().filter(|it| &*it.kind == kind).count();
    let once = [
        "CORS",
        "RequestHeaderModifier",
        "ResponseHeaderModifier",
        "RequestRedirect",
        "URLRewrite",
    ];
    let mut refuse = |message: String| {
        context.findings.push(place.subject.error(Code::BadValue, place.field, message));
    };
    for kind in once.iter().filter(|kind| count(kind) > 1) {
        refuse(format!("a filter of type {kind} cannot be repeated"));
    }
    if count("RequestRedirect") > 0 && count("URLRewrite") > 0 {
        refuse("RequestRedirect and URLRewrite exclude each other".to_owned());
    }
}

fn headers(written: &HeaderFilter, part: &'static str) -> Result<HeaderModifier, Bad> {
    // `schema` tells of fields that stay as they are
    let may_change = |name: &Arc<str>| !HeaderModifier::is_reserved(name);
    let named = |list: &[crate::manifest::gateway::HttpHeader]| {
        let changed = list.iter().filter(|it| may_change(&it.name));
        changed.map(|it| (it.name.clone(), it.value.clone())).collect::<Vec<_>>()
    };
    let (set, add) = (named(&written.set), named(&written.add));
    for (name, value) in set.iter().chain(&add) {
        if !is_token(name) {
            return Err((part, format!("{name:?} is no name of a header field")));
        }
        if value.bytes().any(|byte| byte < b' ' && byte != b'\t' || byte == 0x7f) {
            return Err((part, format!("the value of {name} holds control characters")));
        }
    }
    let remove = written.remove.iter().filter(|name| may_change(name)).cloned().collect();
    Ok(HeaderModifier { set, add, remove })
}

/// A path as a request line can carry it; empty stands for `/`.
fn is_path(path: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_graphic() && !b"\"#<>?".contains(&byte);
    (path.is_empty() || path.starts_with('/')) && path.bytes().all(allowed)
}

/// RFC 9110 section 5.6.2.
pub(super) fn is_token(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !name.is_empty() && name.bytes().all(allowed)
}

fn mirror<'a>(
    written: &RequestMirror,
    field: &str,
    place: Place<'_, '_>,
    targets: &mut Targets<'a>,
    context: &mut Context<'a, '_, '_>,
) -> Result<Step, Bad> {
    let part = ".requestMirror";
    let Some(wanted) = &written.backend_ref else {
        return Err((part, "backendRef is missing".to_owned()));
    };
    let (numerator, denominator) = match (written.percent, written.fraction) {
        (Some(_), Some(_)) => {
            return Err((part, "percent and fraction exclude each other".to_owned()));
        }
        (Some(percent), None) => (percent, 100),
        (None, Some(fraction)) => (fraction.numerator, fraction.denominator),
        (None, None) => (1, 1),
    };
    let share = u32::try_from(numerator).ok().zip(u32::try_from(denominator).ok());
    let share =
        share.filter(|(numerator, denominator)| *denominator > 0 && numerator <= denominator);
    let Some((numerator, denominator)) = share else {
        return Err((part, format!("{numerator} of {denominator} is no share")));
    };
    let field = format!("{field}.requestMirror.backendRef");
    Ok(match target(wanted, &field, place, targets, context) {
        Some(target) => {
            Step::Filter(Box::new(Filter::Mirror(Mirror { target, numerator, denominator })))
        }
        None => Step::Nothing,
    })
}

fn target<'a>(
    wanted: &BackendRef,
    field: &str,
    place: Place<'_, '_>,
    targets: &mut Targets<'a>,
    context: &mut Context<'a, '_, '_>,
) -> Option<crate::snapshot::Target> {
    targets.target(wanted, place.carried, place.kind, place.subject, field, context).ok()
}

fn redirect(written: &RedirectFilter, matched: &MatchPath) -> Result<Redirect, Bad> {
    let part = ".requestRedirect";
    let scheme = written.scheme.as_deref();
    if let Some(scheme) = scheme.filter(|it| !["http", "https"].contains(it)) {
        return Err((part, format!("{scheme:?} is none of http, https")));
    }
    let port = match written.port.map(u16::try_from) {
        None => None,
        Some(Ok(port @ 1..)) => Some(port),
        Some(_) => return Err((part, "the port is none: 1 to 65535".to_owned())),
    };
    let status = written.status_code.unwrap_or(302);
    let status = u16::try_from(status).ok().filter(|it| [301, 302, 303, 307, 308].contains(it));
    let Some(status) = status else {
        return Err((part, "the status is none of 301, 302, 303, 307, 308".to_owned()));
    };
    Ok(Redirect {
        scheme: scheme.map(Arc::from),
        host: written.hostname.as_deref().map(|it| host(it, part)).transpose()?,
        path: written.path.as_ref().map(|it| path(it, matched, part)).transpose()?,
        port,
        status,
    })
}

fn rewrite(written: &UrlRewrite, matched: &MatchPath) -> Result<Rewrite, Bad> {
    let part = ".urlRewrite";
    Ok(Rewrite {
        host: written.hostname.as_deref().map(|it| host(it, part)).transpose()?,
        path: written.path.as_ref().map(|it| path(it, matched, part)).transpose()?,
    })
}

fn host(written: &str, part: &'static str) -> Result<Arc<str>, Bad> {
    match ingress::host(written) {
        Ok(HostMatch::Exact(host)) => Ok(host),
        _ => Err((part, format!("{written:?} is no host"))),
    }
}

fn path(
    written: &PathModifier,
    matched: &MatchPath,
    part: &'static str,
) -> Result<PathRewrite, Bad> {
    let given = written.replace_full_path.iter().chain(&written.replace_prefix_match);
    if let Some(path) = given.into_iter().find(|it| !is_path(it)) {
        let why = "it begins with `/`, and holds neither query nor space";
        return Err((part, format!("{path:?} is no path: {why}")));
    }
    match (&*written.kind, &written.replace_full_path, &written.replace_prefix_match) {
        ("ReplaceFullPath", Some(full), None) => Ok(PathRewrite::Full(full.clone())),
        ("ReplacePrefixMatch", None, Some(replacement)) => {
            let MatchPath::Prefix(prefix) = matched else {
                let message = "replacePrefixMatch needs a match of type PathPrefix";
                return Err((part, message.to_owned()));
            };
            let replacement = replacement.strip_suffix('/').unwrap_or(replacement).into();
            Ok(PathRewrite::Prefix { matched: prefix.clone(), replacement })
        }
        (kind @ ("ReplaceFullPath" | "ReplacePrefixMatch"), _, _) => {
            Err((part, format!("type {kind} needs its field, and no other")))
        }
        (kind, _, _) => {
            let known = "ReplaceFullPath, ReplacePrefixMatch";
            Err((part, format!("{kind:?} is none of {known}")))
        }
    }
}
