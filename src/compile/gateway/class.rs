//! Which GatewayClasses are ours: those that name our controller, every one of them; and the
//! class `rutter`, also where no object says so (a directory needs no class).

use crate::compile::references::References;
use crate::compile::report::Subject;
use crate::compile::settings::GATEWAY_CONTROLLER;
use crate::manifest::gateway::GatewayClass;
use crate::manifest::{Code, Kind, ObjectKey};
use crate::store::{Objects, Stored};

use super::{Context, Verdict};

/// The classes.
pub(super) struct Classes<'a, 'b> {
    objects: &'a Objects,
    references: &'b References<'a>,
}

impl<'a, 'b> Classes<'a, 'b> {
    pub(super) fn new(objects: &'a Objects, references: &'b References<'a>) -> Self {
        Self { objects, references }
    }

    /// Those that name our controller.
    pub(super) fn ours(&self) -> impl Iterator<Item = (&'a ObjectKey, &'a Stored<GatewayClass>)> {
        self.objects.gateway_classes.iter().filter(|(_, class)| is_ours(class))
    }

    /// Whether a Gateway of that class is ours.
    pub(super) fn names_us(&self, name: &str) -> bool {
        match self.references.gateway_class(name) {
            Some(class) => is_ours(class),
            None => name == OWN,
        }
    }

    /// Says that a Gateway names a class that does not exist.
    pub(super) fn check(
        &self,
        name: &str,
        subject: Subject<'_>,
        context: &mut Context<'a, '_, '_>,
    ) {
        if name == OWN || self.references.gateway_class(name).is_some() {
            return;
        }
        let message = format!("there is no GatewayClass {name:?}; the Gateway is not served");
        let field = "spec.gatewayClassName";
        let mut finding = subject.warning(Code::MissingClass, field, message);
        let names = self.objects.gateway_classes.keys().map(|key| &*key.name);
        let similar = context.findings.did_you_mean(name, names.chain([OWN]));
        finding.help = similar.or_else(|| {
            Some(format!(
                "write a GatewayClass {name} with controllerName: {GATEWAY_CONTROLLER}, or name \
                 the class {OWN}, which needs no object"
            ))
        });
        context.findings.push(finding);
    }
}

fn is_ours(class: &Stored<GatewayClass>) -> bool {
    &*class.object.spec.controller_name == GATEWAY_CONTROLLER
}

/// Why a class is not accepted: it has parameters, and there are none to have.
pub(super) fn refused(class: &GatewayClass) -> Option<Verdict> {
    let reference = class.spec.parameters_ref.as_ref()?;
    Some(Verdict::new("InvalidParameters", no_parameters(&reference.kind, &reference.name)))
}

/// What is said about a `parametersRef`.
pub(super) fn no_parameters(kind: &str, name: &str) -> String {
    format!("{kind} {name:?} cannot be used: rutter has no parameters of this kind")
}

/// A finding for a class that is not accepted.
pub(super) fn report(
    key: &ObjectKey,
    class: &Stored<GatewayClass>,
    context: &mut Context<'_, '_, '_>,
) {
    if let Some(verdict) = refused(&class.object) {
        let subject = Subject::new(Kind::GatewayClass, key, class);
        let help = "take parametersRef away: options are those of the command line";
        let finding = subject.error(Code::BadValue, "spec.parametersRef", verdict.message);
        context.findings.push(finding.help(help));
    }
}

/// The class that needs no object.
const OWN: &str = "rutter";
