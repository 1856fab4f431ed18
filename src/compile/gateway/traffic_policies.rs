//! XBackendTrafficPolicy (GEP-3388): retry budgets and sessions of Services.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Context, duration, session};
use crate::compile::order::Seniority;
use crate::compile::report::Subject;
use crate::manifest::gateway::RetryConstraint;
use crate::manifest::{Code, Kind, ObjectKey};
use crate::snapshot::{RetryBudget, TrafficPolicy};

/// Policies by Service; of two for the same the older one counts.
#[derive(Debug, Default)]
pub(super) struct TrafficPolicies(BTreeMap<ObjectKey, Arc<TrafficPolicy>>);

impl TrafficPolicies {
    pub(super) fn new(context: &mut Context<'_, '_, '_>) -> Self {
        let mut stored: Vec<_> = context.objects.backend_traffic_policies.iter().collect();
        stored.sort_by_cached_key(|(key, it)| Seniority::of(&it.object.metadata, key));
        let mut policies = BTreeMap::new();
        for (key, stored) in stored {
            let subject = Subject::new(Kind::BackendTrafficPolicy, key, stored);
            let spec = &stored.object.spec;
            let field = "spec.sessionPersistence";
            let session = spec.session_persistence.as_ref();
            let session = session.and_then(|it| session::compile(it, subject, field, context));
            let budget = spec.retry_constraint.as_ref();
            let retry_budget = budget.and_then(|it| budget_of(it, subject, context));
            let policy = Arc::new(TrafficPolicy { retry_budget, session });
            for (place, target) in spec.target_refs.iter().enumerate() {
                let field = format!("spec.targetRefs[{place}]");
                if (&*target.group, &*target.kind) != ("", "Service") {
                    let message = format!("a policy is for a Service, not for a {}", target.kind);
                    let field = format!("{field}.kind");
                    context.findings.push(subject.error(Code::BadValue, &field, message));
                    continue;
                }
                let (namespace, name) = (key.namespace.clone(), target.name.clone());
                let service = ObjectKey { namespace, name };
                if context.references.policy_target(&service).is_none() {
                    let message = format!("Service {service} does not exist");
                    let field = format!("{field}.name");
                    context.findings.push(subject.error(Code::MissingService, &field, message));
                    continue;
                }
                let held = policies.entry(service).or_insert_with(|| policy.clone());
                if !Arc::ptr_eq(held, &policy) {
                    let message = "another XBackendTrafficPolicy is for the same and older";
                    context.findings.push(subject.warning(Code::Conflict, &field, message));
                }
            }
        }
        Self(policies)
    }

    /// What is asked of the traffic to a Service.
    pub(super) fn of(&self, service: &ObjectKey) -> Option<&Arc<TrafficPolicy>> {
        self.0.get(service)
    }
}

fn budget_of(
    written: &RetryConstraint,
    subject: Subject<'_>,
    context: &mut Context<'_, '_, '_>,
) -> Option<RetryBudget> {
    let mut refuse = |part: &str, message: String| {
        let field = format!("spec.retryConstraint.{part}");
        context.findings.push(subject.error(Code::BadValue, &field, message));
        None
    };
    let (budget, rate) = (&written.budget, &written.min_retry_rate);
    let Some(percent) = u32::try_from(budget.percent).ok().filter(|it| *it <= 100) else {
        return refuse("budget.percent", format!("{} is no percentage", budget.percent));
    };
    let Some(interval) = duration::parse(&budget.interval).filter(|it| !it.is_zero()) else {
        let message = format!("{:?} is no duration such as 10s", budget.interval);
        return refuse("budget.interval", message);
    };
    let Some(min_count) = u32::try_from(rate.count).ok() else {
        return refuse("minRetryRate.count", format!("{} is no count", rate.count));
    };
    let Some(min_interval) = duration::parse(&rate.interval).filter(|it| !it.is_zero()) else {
        let message = format!("{:?} is no duration such as 1s", rate.interval);
        return refuse("minRetryRate.interval", message);
    };
    Some(RetryBudget { percent, interval, min_count, min_interval })
}
