//! `kind` and `apiVersion` → which of the kinds that rutter reads, if any.

use serde_json::Value;

use super::similar::distance;
use super::{Kind, ObjectKey, ObjectRef};

/// What an object says it is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Identity {
    /// A kind that rutter reads.
    Known(Kind),
    /// Meant to be one, but misspelt or of a version that is not read.
    Nearly { message: String, help: String },
    /// Some other kind, as `Deployment` or `Service.serving.knative.dev`.
    Other(String),
}

/// Tells what an object says it is.
pub(super) fn identify(kind: &str, api_version: Option<&str>) -> Identity {
    if let Some(known) = Kind::ALL.into_iter().find(|known| known.name() == kind) {
        return versioned(known, api_version);
    }
    let group = api_version.map_or("", group);
    let near = Kind::ALL.into_iter().find(|known| is_near(kind, known.name()));
    match near.filter(|near| is_own_group(*near, group)) {
        Some(near) => Identity::Nearly {
            message: format!("kind {kind} does not exist"),
            help: format!("did you mean {near}?"),
        },
        None => Identity::Other(kind.to_owned()),
    }
}

fn versioned(kind: Kind, api_version: Option<&str>) -> Identity {
    let help = format!("write apiVersion: {}", kind.api_version());
    match api_version {
        Some(version) if is_read(kind, version) => Identity::Known(kind),
        Some(version) if is_own_group(kind, group(version)) => {
            Identity::Nearly { message: format!("{kind} of {version} is not read"), help }
        }
        Some(version) => Identity::Other(format!("{kind}.{}", group(version))),
        None => Identity::Nearly { message: format!("{kind} without apiVersion"), help },
    }
}

/// Short names must match but for one letter: `Job` is no misspelt `Pod`.
fn is_read(kind: Kind, api_version: &str) -> bool {
    let same_group = group(api_version) == group(kind.api_version());
    let version = api_version.rsplit('/').next().unwrap_or_default();
    api_version == kind.api_version() || same_group && kind.older_versions().contains(&version)
}

fn is_near(kind: &str, known: &str) -> bool {
    let limit = if known.len() > 5 { 2 } else { 1 };
    distance(&kind.to_lowercase(), &known.to_lowercase()) <= limit
}

fn group(api_version: &str) -> &str {
    api_version.split_once('/').map_or("", |(group, _)| group)
}

/// The group of the kind, and those it had before or that are written by mistake.
fn is_own_group(kind: Kind, group: &str) -> bool {
    matches!(group, "" | "core" | "extensions") || group == self::group(kind.api_version())
}

/// Which object a value is, as far as it tells.
pub(super) fn reference(kind: Kind, value: &Value) -> Option<ObjectRef> {
    let metadata = value.get("metadata")?;
    let name = metadata.get("name")?.as_str().filter(|name| !name.is_empty())?;
    let namespace = metadata.get("namespace").and_then(Value::as_str);
    Some(ObjectRef::new(kind, key(kind, namespace, name)))
}

/// Which object a text is that is not YAML, as far as its lines tell.
pub(super) fn reference_in_text(text: &str) -> Option<ObjectRef> {
    let kind = scalar_of(text.lines(), "kind:")?;
    let kind = Kind::ALL.into_iter().find(|known| known.name() == kind)?;
    let metadata = || {
        text.lines()
            .skip_while(|line| !line.starts_with("metadata:"))
            .skip(1)
            .take_while(|line| line.is_empty() || line.starts_with([' ', '#']))
    };
    let indent = metadata().find_map(|line| line.find(|c: char| !c.is_whitespace()))?;
    let fields = || metadata().filter_map(|line| line.get(indent..));
    let name = scalar_of(fields(), "name:")?;
    Some(ObjectRef::new(kind, key(kind, scalar_of(fields(), "namespace:"), name)))
}

fn key(kind: Kind, namespace: Option<&str>, name: &str) -> ObjectKey {
    if !kind.is_namespaced() {
        return ObjectKey::cluster(name);
    }
    ObjectKey::new(namespace.filter(|namespace| !namespace.is_empty()).unwrap_or("default"), name)
}

fn scalar_of<'a>(mut lines: impl Iterator<Item = &'a str>, field: &str) -> Option<&'a str> {
    let rest = lines.find_map(|line| line.strip_prefix(field))?;
    let text = rest.split(" #").next().unwrap_or(rest).trim().trim_matches(['"', '\'']);
    (!text.is_empty()).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_nearly(kind: &str, api_version: Option<&str>, expected: &str) {
        let Identity::Nearly { help, .. } = identify(kind, api_version) else {
            panic!("{kind} {api_version:?} must be nearly known");
        };
        assert_eq!(help, expected);
    }

    #[test]
    fn kinds_are_known_by_name_and_version() {
        for kind in Kind::ALL {
            assert_eq!(identify(kind.name(), Some(kind.api_version())), Identity::Known(kind));
        }
    }

    #[test]
    fn a_near_miss_names_the_remedy() {
        check_nearly("Ingres", Some("networking.k8s.io/v1"), "did you mean Ingress?");
        check_nearly("service", Some("v1"), "did you mean Service?");
        check_nearly("Endpoint", None, "did you mean Endpoints?");
        check_nearly("Service", None, "write apiVersion: v1");
        let ingress = "write apiVersion: networking.k8s.io/v1";
        check_nearly("Ingress", Some("extensions/v1beta1"), ingress);
        check_nearly("Ingress", Some("networking.k8s.io/v1beta1"), ingress);
    }

    #[test]
    fn other_kinds_are_not_mistaken_for_misspelt_ones() {
        for (kind, version, expected) in [
            ("Deployment", "apps/v1", "Deployment"),
            ("ServiceAccount", "v1", "ServiceAccount"),
            ("Job", "batch/v1", "Job"),
            ("Role", "rbac.authorization.k8s.io/v1", "Role"),
            ("Service", "serving.knative.dev/v1", "Service.serving.knative.dev"),
        ] {
            assert_eq!(identify(kind, Some(version)), Identity::Other(expected.to_owned()));
        }
    }

    #[test]
    fn a_broken_text_still_tells_which_object_it_is() {
        let text = "---\napiVersion: v1\nkind: Service # comment\nmetadata:\n  labels:\n    name: \
                    x\n  name: 'cart'\n  namespace: shop\nspec: {\n";
        let expected = ObjectRef::new(Kind::Service, ObjectKey::new("shop", "cart"));
        assert_eq!(reference_in_text(text), Some(expected));
        assert_eq!(reference_in_text("kind: Service\nmeta"), None);
        assert_eq!(reference_in_text("kind: Deployment\nmetadata:\n  name: a\n"), None);
    }
}
