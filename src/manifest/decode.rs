//! Generic values → objects and findings: kinds, lists, defaults, unknown fields.

use std::cell::OnceCell;
use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::document::{Document, first_content};
use super::identity::{Identity, identify, reference, reference_in_text};
use super::mistake::{Mistake, unknown_field, wrong_type};
use super::node::Node;
use super::yaml::{Decoded, Occurrences, SyntaxError, parse, parse_places};
use super::{Code, Finding, Kind, Metadata, Object, Origin, Span};

/// Decodes one document of `file`.
pub fn decode_document(file: &Arc<str>, document: &Document<'_>) -> Decoded {
    let mut decoding =
        Decoding { file, document, places: OnceCell::new(), decoded: Decoded::default() };
    match parse(document) {
        Ok(value) => decoding.root(value),
        Err(error) => decoding.syntax(error),
    }
    decoding.decoded
}

/// The items of a list in order, nested lists unfolded; any other value is its only item.
pub(super) fn flatten_nodes(root: &Node) -> Vec<&Node> {
    let is_list =
        root.entry("kind").and_then(Node::text).is_some_and(|kind| kind.ends_with("List"));
    match root.entry("items") {
        Some(items) if is_list => items.items().iter().flat_map(flatten_nodes).collect(),
        _ => vec![root],
    }
}

/// A value that should be an object, with what the list around it says of it.
struct Item<'a> {
    value: &'a Value,
    kind: Option<&'a str>,
    api_version: Option<&'a str>,
}

impl<'a> Item<'a> {
    fn new(value: &'a Value) -> Self {
        let text = |field| value.get(field).and_then(Value::as_str);
        Self { value, kind: text("kind"), api_version: text("apiVersion") }
    }

    /// The items of a `List` or `ServiceList`; `None` for anything else.
    fn items(&self) -> Option<Vec<Self>> {
        let item_kind = self.kind?.strip_suffix("List")?;
        let items = self.value.get("items")?.as_array()?;
        let typed = |value| {
            let mut item = Self::new(value);
            if item.kind.is_none() && !item_kind.is_empty() {
                item.kind = Some(item_kind);
                item.api_version = item.api_version.or(self.api_version);
            }
            item
        };
        Some(items.iter().map(typed).flat_map(Self::flatten).collect())
    }

    fn flatten(self) -> Vec<Self> {
        self.items().unwrap_or_else(|| vec![self])
    }
}

struct Decoding<'a> {
    file: &'a Arc<str>,
    document: &'a Document<'a>,
    /// Parsed when something must be located.
    places: OnceCell<Option<Node>>,
    decoded: Decoded,
}

impl Decoding<'_> {
    fn root(&mut self, mut value: Value) {
        drop_nulls(&mut value);
        let root = Item::new(&value);
        let Some(items) = root.items() else {
            return self.item(&root, self.origin(None));
        };
        for (index, item) in (0..).zip(&items) {
            self.item(item, self.origin(Some(index)));
        }
    }

    fn syntax(&mut self, error: SyntaxError) {
        let mut finding = Finding::error(Code::Syntax, &self.origin(None), error.message);
        finding.span = error.span;
        if self.document.text.contains("{{") {
            let help = "this looks like a template: render it first, as with `helm template`";
            finding = finding.help(help);
        }
        let object = reference_in_text(self.document.text);
        finding.object = object.clone();
        self.decoded.findings.push(finding);
        // The last document may be cut off: nothing is known of what should follow.
        self.decoded.broken.push(object.filter(|_| !self.document.is_last));
    }

    fn item(&mut self, item: &Item<'_>, origin: Origin) {
        let Some(kind) = item.kind else {
            return self.no_object(&origin);
        };
        match identify(kind, item.api_version) {
            Identity::Known(kind) => self.object(kind, item.value, origin),
            Identity::Nearly { message, help } => {
                let field = if help.contains("apiVersion") { "apiVersion" } else { "kind" };
                let finding =
                    Finding::warning(Code::UnknownKind, &origin, message).at(field).help(help);
                self.report(finding);
            }
            Identity::Other(name) => {
                let new = || Occurrences { count: 0, first: origin };
                self.decoded.unknown_kinds.entry(name).or_insert_with(new).count += 1;
            }
        }
    }

    fn no_object(&mut self, origin: &Origin) {
        let message = "this is no Kubernetes object: `kind` is missing";
        self.report(Finding::warning(Code::UnknownKind, origin, message));
        self.decoded.broken.push(None);
    }

    fn object(&mut self, kind: Kind, value: &Value, origin: Origin) {
        let about = reference(kind, value);
        let mut mistakes = Vec::new();
        let read = read_object(kind, value, &mut |path| mistakes.extend(unknown_field(kind, path)));
        let object = read.and_then(|mut object| {
            let problem = default_metadata(kind, object.metadata_mut());
            problem.map_or(Ok(object), Err)
        });
        match object {
            Ok(object) => self.decoded.objects.push((object, origin.clone())),
            Err(mistake) => {
                mistakes.push(mistake);
                self.decoded.broken.push(about.clone());
            }
        }
        for mistake in mistakes {
            let mut finding = mistake.finding(&origin);
            finding.object = about.clone();
            finding.span = self.place(&origin, |node| mistake.place(node));
            self.decoded.findings.push(finding);
        }
    }

    /// Adds a finding, located by its field.
    fn report(&mut self, mut finding: Finding) {
        let span = |node: &Node| node.find(&finding.field).or_else(|| Some(node.title()));
        finding.span = self.place(&finding.origin, span).filter(|span| span.line > 0);
        self.decoded.findings.push(finding);
    }

    fn place(&self, origin: &Origin, find: impl FnOnce(&Node) -> Option<Span>) -> Option<Span> {
        find(self.node(origin.item)?)
    }

    fn node(&self, item: Option<u32>) -> Option<&Node> {
        let root = self.places.get_or_init(|| parse_places(self.document)).as_ref()?;
        match item {
            Some(item) => flatten_nodes(root).get(usize::try_from(item).ok()?).copied(),
            None => Some(root),
        }
    }

    fn origin(&self, item: Option<u32>) -> Origin {
        let line = match item.and_then(|_| self.node(item)) {
            Some(node) => node.span.line,
            None => first_content(self.document.text).0 + self.document.lines_before,
        };
        Origin { file: self.file.clone(), line, document: self.document.index, item }
    }
}

fn read_object(
    kind: Kind,
    value: &Value,
    ignored: &mut dyn FnMut(&serde_ignored::Path<'_>),
) -> Result<Object, Mistake> {
    Ok(match kind {
        Kind::Namespace => Object::Namespace(read(kind, value, ignored)?),
        Kind::Node => Object::Node(read(kind, value, ignored)?),
        Kind::Pod => Object::Pod(read(kind, value, ignored)?),
        Kind::Service => Object::Service(read(kind, value, ignored)?),
        Kind::EndpointSlice => Object::EndpointSlice(read(kind, value, ignored)?),
        Kind::Endpoints => Object::Endpoints(read(kind, value, ignored)?),
        Kind::Ingress => Object::Ingress(read(kind, value, ignored)?),
        Kind::IngressClass => Object::IngressClass(read(kind, value, ignored)?),
        Kind::GatewayClass => Object::GatewayClass(read(kind, value, ignored)?),
        Kind::Gateway => Object::Gateway(read(kind, value, ignored)?),
        Kind::ListenerSet => Object::ListenerSet(read(kind, value, ignored)?),
        Kind::HttpRoute => Object::HttpRoute(read(kind, value, ignored)?),
        Kind::GrpcRoute => Object::GrpcRoute(read(kind, value, ignored)?),
        Kind::TlsRoute => Object::TlsRoute(read(kind, value, ignored)?),
        Kind::TcpRoute => Object::TcpRoute(read(kind, value, ignored)?),
        Kind::UdpRoute => Object::UdpRoute(read(kind, value, ignored)?),
        Kind::ReferenceGrant => Object::ReferenceGrant(read(kind, value, ignored)?),
        Kind::BackendTlsPolicy => Object::BackendTlsPolicy(read(kind, value, ignored)?),
        Kind::BackendTrafficPolicy => Object::BackendTrafficPolicy(read(kind, value, ignored)?),
        Kind::IpAddressPool => Object::IpAddressPool(read(kind, value, ignored)?),
        Kind::CiliumLoadBalancerIpPool => {
            Object::CiliumLoadBalancerIpPool(read(kind, value, ignored)?)
        }
        Kind::Secret => Object::Secret(read(kind, value, ignored)?),
        Kind::ConfigMap => Object::ConfigMap(read(kind, value, ignored)?),
    })
}

/// Reads once more with the path tracked when something is wrong: tracking it always would cost
/// every object.
fn read<T: DeserializeOwned + Clone>(
    kind: Kind,
    value: &Value,
    ignored: &mut dyn FnMut(&serde_ignored::Path<'_>),
) -> Result<Arc<T>, Mistake> {
    serde_ignored::deserialize(value, |path| ignored(&path)).map(compact).map_err(
        |untracked: serde_json::Error| match serde_path_to_error::deserialize::<_, T>(value) {
            Ok(_) => wrong_type(kind, String::new(), &untracked),
            Err(error) => wrong_type(kind, error.path().to_string(), error.inner()),
        },
    )
}

/// Lists that grew while they were read have room to spare; those of a copy have none.
#[expect(clippy::redundant_clone, reason = "the copy is compact")]
fn compact<T: Clone>(object: T) -> Arc<T> {
    Arc::new(object.clone())
}

/// `null` means absent, but for the values of string maps, which it makes empty strings.
fn drop_nulls(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(drop_nulls),
        Value::Object(fields) => {
            fields.retain(|_, value| !value.is_null());
            for (key, value) in fields {
                match value.as_object_mut() {
                    Some(strings) if STRING_MAPS.contains(&key.as_str()) => {
                        strings.values_mut().filter(|v| v.is_null()).for_each(|v| *v = "".into());
                    }
                    Some(_) | None => drop_nulls(value),
                }
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

const STRING_MAPS: [&str; 6] =
    ["labels", "annotations", "data", "stringData", "selector", "deprecatedTopology"];

/// Fills in the namespace, and says what the API server would refuse.
fn default_metadata(kind: Kind, metadata: &mut Metadata) -> Option<Mistake> {
    if !kind.is_namespaced() {
        metadata.namespace = Arc::default();
    } else if metadata.namespace.is_empty() {
        metadata.namespace = Arc::from("default");
    }
    if metadata.name.is_empty() {
        let mistake =
            Mistake::new(Code::BadValue, "metadata.name", format!("{kind} without a name"));
        return Some(mistake.help("write metadata.name; generateName is not supported"));
    }
    if !metadata.namespace.is_empty() && !is_label(&metadata.namespace) {
        return Some(bad_name("metadata.namespace", &metadata.namespace, NAMESPACE_RULE));
    }
    let (is_valid, rule) = match kind {
        Kind::Service | Kind::Namespace => (is_label(&metadata.name), NAMESPACE_RULE),
        Kind::Node
        | Kind::Pod
        | Kind::EndpointSlice
        | Kind::Endpoints
        | Kind::Ingress
        | Kind::IngressClass
        | Kind::GatewayClass
        | Kind::Gateway
        | Kind::ListenerSet
        | Kind::HttpRoute
        | Kind::GrpcRoute
        | Kind::TlsRoute
        | Kind::TcpRoute
        | Kind::UdpRoute
        | Kind::ReferenceGrant
        | Kind::BackendTlsPolicy
        | Kind::BackendTrafficPolicy
        | Kind::IpAddressPool
        | Kind::CiliumLoadBalancerIpPool
        | Kind::Secret
        | Kind::ConfigMap => (is_subdomain(&metadata.name), NAME_RULE),
    };
    (!is_valid).then(|| bad_name("metadata.name", &metadata.name, rule))
}

const NAMESPACE_RULE: &str =
    "at most 63 lower-case letters, digits and `-`, beginning and ending with a letter or digit";
const NAME_RULE: &str = "at most 253 lower-case letters, digits, `-` and `.`, each part beginning and ending with a \
     letter or digit";

fn bad_name(field: &str, name: &str, rule: &str) -> Mistake {
    Mistake::new(Code::BadValue, field, format!("{name:?} is no valid name")).help(rule)
}

/// RFC 1123 label, as `IsDNS1123Label` of k8s.io/apimachinery.
fn is_label(name: &str) -> bool {
    name.len() <= 63 && is_part(name)
}

/// RFC 1123 subdomain, as `IsDNS1123Subdomain` of k8s.io/apimachinery: only the whole is limited.
pub fn is_subdomain(name: &str) -> bool {
    name.len() <= 253 && name.split('.').all(is_part)
}

fn is_part(part: &str) -> bool {
    let is_alphanumeric = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let edges = [part.bytes().next(), part.bytes().last()];
    edges.into_iter().all(|edge| edge.is_some_and(is_alphanumeric))
        && part.bytes().all(|b| is_alphanumeric(b) || b == b'-')
}
