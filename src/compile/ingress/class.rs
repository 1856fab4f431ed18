//! Which Ingresses are ours.
//!
//! 1. `ingressClassName`: the IngressClass of that name must have our controller, or be
//!    the class that the operator named (`--ingress-class`), with or without an object.
//! 2. Without it, the annotation `kubernetes.io/ingress.class` decides in the same way.
//! 3. Without either, the default IngressClass decides. Several: the newest, then the first name.
//! 4. Without a default class the Ingress is ours. An API server would have filled in a default
//!    at creation, and another controller may watch; a directory has neither.

use std::cmp::Reverse;

use crate::manifest::Code;
use crate::manifest::ingress::IngressClass;
use crate::store::Objects;

use super::OwnIngress;
use crate::compile::order::Seniority;
use crate::compile::references::References;
use crate::compile::report::Findings;
use crate::compile::settings::{INGRESS_CONTROLLER, Settings};

pub(super) struct Classes<'a, 'b> {
    objects: &'a Objects,
    references: &'b References<'a>,
    /// The class that is ours by name.
    own: &'b str,
    default: Option<&'a str>,
}

impl<'a, 'b> Classes<'a, 'b> {
    pub(super) fn new(
        objects: &'a Objects,
        settings: &'b Settings,
        references: &'b References<'a>,
    ) -> Self {
        Self { objects, references, own: &settings.ingress_class, default: default_class(objects) }
    }

    pub(super) fn is_ours(&self, ingress: &OwnIngress<'_>, findings: &mut Findings) -> bool {
        let field = ingress.spec().ingress_class_name.as_deref().filter(|name| !name.is_empty());
        let annotation = ingress.stored.object.metadata.annotation(ANNOTATION);
        if let (Some(field), Some(annotation)) = (field, annotation)
            && field != annotation
        {
            let message = format!("the annotation {ANNOTATION} names another class: {annotation}");
            let place = "spec.ingressClassName";
            findings.push(ingress.subject().warning(Code::BadValue, place, message));
        }
        let (name, place) = match (field, annotation) {
            (Some(name), _) => (name, "spec.ingressClassName"),
            (None, Some(name)) => (name, "metadata.annotations.kubernetes.io/ingress.class"),
            (None, None) => return self.default.is_none_or(|name| self.names_us(name)),
        };
        if self.references.ingress_class(name).is_none() && name != self.own {
            self.report_missing(ingress, name, place, findings);
        }
        self.names_us(name)
    }

    fn names_us(&self, name: &str) -> bool {
        let class = self.references.ingress_class(name);
        name == self.own
            || class.is_some_and(|it| &*it.object.spec.controller == INGRESS_CONTROLLER)
    }

    fn report_missing(
        &self,
        ingress: &OwnIngress<'_>,
        name: &str,
        place: &str,
        findings: &mut Findings,
    ) {
        let message = format!("there is no IngressClass {name:?}; the Ingress is not served");
        let mut finding = ingress.subject().warning(Code::MissingClass, place, message);
        let names = self.objects.ingress_classes.keys().map(|key| &*key.name);
        let similar = findings.did_you_mean(name, names.chain([self.own]));
        finding.help = similar
            .or_else(|| Some(format!("if it is ours, start rutter with --ingress-class {name}")));
        findings.push(finding);
    }
}

fn default_class(objects: &Objects) -> Option<&str> {
    let is_default = |class: &IngressClass| class.metadata.annotation(DEFAULT) == Some("true");
    let defaults = objects.ingress_classes.iter().filter(|(_, it)| is_default(&it.object));
    let newest =
        defaults.min_by_key(|(key, it)| (Reverse(Seniority::created(&it.object.metadata)), *key));
    newest.map(|(key, _)| &*key.name)
}

const ANNOTATION: &str = "kubernetes.io/ingress.class";

const DEFAULT: &str = "ingressclass.kubernetes.io/is-default-class";
