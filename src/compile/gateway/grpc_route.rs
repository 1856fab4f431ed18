//! GRPCRoute → rules: calls are POSTs to `/service/method`.

use super::http_route::{Compiled, Parts};
use super::targets::{Carried, Targets};
use super::{Context, matches, session};
use crate::compile::report::Subject;
use crate::manifest::Kind;
use crate::manifest::gateway::GrpcRoute;
use crate::snapshot::Timeouts;

/// Compiles a route.
pub(super) fn compile<'a>(
    route: &GrpcRoute,
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
            kind: Kind::GrpcRoute,
            subject,
            carried: Carried::Grpc,
            filters: &rule.filters,
            backends: &rule.backend_refs,
            timeouts: Timeouts::default(),
            retry: None,
            session: session.and_then(|it| session::compile(it, subject, &at, context)),
            field,
        };
        let matched: Vec<_> = rule.matches.iter().map(matches::grpc).collect();
        invalid_rules += usize::from(parts.add(matched, &mut compiled, targets, context));
    }
    compiled.all_invalid = invalid_rules > 0 && invalid_rules == route.spec.rules.len();
    compiled
}
