//! Which Ingresses are ours.
//!
//! An Ingress names its class by `ingressClassName` or by the legacy annotation. The class is ours
//! if an IngressClass object of that name has our controller, or, where no such object exists, if
//! its name is that of `--ingress-class`. Without a class: the default class decides, as the API
//! server would have; where there is no default class either, rutter serves it, because a
//! directory of manifests has no other controller.

use super::findings::{Findings, Subject};
use super::order::precedence;
use super::settings::{INGRESS_CONTROLLER, Settings};
use crate::manifest::ingress::{Ingress, IngressClass};
use crate::manifest::{Code, ObjectKey, similar};
use crate::store::Objects;

/// The classes of a compilation.
pub(super) struct Classes<'a> {
    objects: &'a Objects,
    settings: &'a Settings,
}

impl<'a> Classes<'a> {
    /// Classes as written, and the name of ours.
    pub(super) fn new(objects: &'a Objects, settings: &'a Settings) -> Self {
        Self { objects, settings }
    }

    /// Whether an Ingress is ours; a class that does not exist is a finding.
    pub(super) fn is_ours(
        &self,
        ingress: &Ingress,
        subject: &Subject,
        findings: &mut Findings,
    ) -> bool {
        let legacy = ingress.metadata.annotation(LEGACY_CLASS);
        let named = ingress.spec.ingress_class_name.as_deref();
        let Some(name) = named.or(legacy) else { return self.default_is_ours() };
        let class = self.objects.ingress_classes.get(&ObjectKey::cluster(name));
        if let Some(class) = class {
            return is_our_controller(&class.object);
        }
        if *name == *self.settings.ingress_class {
            return true;
        }
        if named.is_some() {
            self.report_missing(name, subject, findings);
        }
        false
    }

    /// The newest default class, then the first by name (admission plugin DefaultIngressClass).
    fn default_is_ours(&self) -> bool {
        let classes = self.objects.ingress_classes.values().map(|stored| &stored.object);
        let mut defaults: Vec<_> =
            classes.filter(|class| class.metadata.annotation(IS_DEFAULT) == Some("true")).collect();
        defaults.sort_by_cached_key(|class| {
            let (absent, created, key) = precedence(&class.metadata);
            (absent, std::cmp::Reverse(created), key)
        });
        defaults.first().is_none_or(|class| is_our_controller(class))
    }

    fn report_missing(&self, name: &str, subject: &Subject, findings: &mut Findings) {
        let ours = &*self.settings.ingress_class;
        let classes = self.objects.ingress_classes.keys().map(|key| &*key.name);
        let message = format!("IngressClass {name:?} does not exist: nobody serves this Ingress");
        let help = match similar::closest(name, classes.chain([ours])) {
            Some(meant) => format!("did you mean {meant:?}?"),
            None => format!("use {ours:?}, or start rutter with --ingress-class {name}"),
        };
        let adding = findings.add(subject);
        adding.warning_help(Code::MissingClass, "spec.ingressClassName", message, help);
    }
}

fn is_our_controller(class: &IngressClass) -> bool {
    *class.spec.controller == *INGRESS_CONTROLLER
}

const LEGACY_CLASS: &str = "kubernetes.io/ingress.class";
const IS_DEFAULT: &str = "ingressclass.kubernetes.io/is-default-class";
