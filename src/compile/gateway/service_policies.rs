//! What policies say of Services: how their endpoints are spoken to, and of the traffic to them.
//! Routes and Ingresses go by it alike.

use super::Context;
use super::policies::Policies;
use super::traffic_policies::TrafficPolicies;
use crate::compile::references::References;
use crate::compile::report::Findings;
use crate::compile::settings::Settings;
use crate::compile::tls::Certificates;
use crate::snapshot::{Failure, Reason, Target};

/// The policies of all Services.
#[derive(Debug)]
pub(in crate::compile) struct ServicePolicies<'a> {
    pub(super) tls: Policies<'a>,
    traffic: TrafficPolicies,
}

impl<'a> ServicePolicies<'a> {
    pub(in crate::compile) fn read(
        settings: &Settings,
        references: &References<'a>,
        certificates: &mut Certificates<'_>,
        findings: &mut Findings,
    ) -> Self {
        let objects = references.objects();
        let mut context = Context { objects, settings, references, certificates, findings };
        let tls = Policies::new(&mut context);
        let traffic = TrafficPolicies::new(&mut context);
        Self { tls, traffic }
    }

    /// Asks of the traffic to a target what its Service's policy asks.
    pub(in crate::compile) fn shape(&self, target: &mut Target) {
        target.policy = self.traffic.of(&target.backend.id.service).cloned();
    }

    /// Speaks TLS to a target if a policy says so. One that cannot be followed fails: nothing may go
    /// out in the clear then.
    pub(in crate::compile) fn secure(&self, target: &mut Target) -> Result<(), Failure> {
        let id = &target.backend.id;
        match self.tls.of(id) {
            None => {}
            Some(Ok(tls)) => target.tls = Some(tls.clone()),
            Some(Err(why)) => {
                let detail = format!("BackendTLSPolicy of Service {}: {why}", id.service);
                return Err(Failure { reason: Reason::InvalidBackend, detail: detail.into() });
            }
        }
        Ok(())
    }
}
