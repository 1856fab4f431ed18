mod parts;

use super::*;
use crate::manifest::{Code, Kind, ObjectKey, Severity};

const SERVICE: &str = "\
apiVersion: v1
kind: Service
metadata:
  name: cart
  namespace: shop
spec:
  selector: {app: cart}
  ports:
  - name: http
    port: 80
    targetPort: web
";

fn references(decoded: &Decoded) -> Vec<String> {
    decoded.objects.iter().map(|(object, _)| object.reference().to_string()).collect()
}

/// `severity code line:column+length message | help`.
fn shown(findings: &[Finding]) -> Vec<String> {
    let span = |span: Option<Span>| {
        span.map_or(String::new(), |it| format!("{}:{}+{} ", it.line, it.column, it.length))
    };
    let help = |help: &Option<String>| help.as_ref().map_or(String::new(), |it| format!(" | {it}"));
    findings
        .iter()
        .map(|it| {
            format!("{} {} {}{}{}", it.severity, it.code, span(it.span), it.message, help(&it.help))
        })
        .collect()
}

#[track_caller]
fn check_findings(text: &str, expected: &[&str]) -> Decoded {
    let decoded = decode("test.yaml", text);
    assert_eq!(shown(&decoded.findings), expected, "{text}");
    decoded
}

/// A Service with one line of its text replaced.
fn with(line: &str, replaced: &str) -> String {
    assert!(SERVICE.contains(line), "{line}");
    SERVICE.replace(line, replaced)
}

#[test]
fn a_service_is_decoded_and_knows_where_it_is_written() {
    let decoded = check_findings(&format!("# shop\n---\n{SERVICE}"), &[]);
    let [(Object::Service(service), origin)] = decoded.objects.as_slice() else {
        panic!("{decoded:?}");
    };
    assert_eq!(service.metadata.key(), ObjectKey::new("shop", "cart"));
    assert_eq!(service.spec.ports[0].port, 80);
    assert_eq!(origin.to_string(), "test.yaml:3");
}

#[test]
fn the_namespace_is_default_unless_the_kind_has_none() {
    let text = "apiVersion: v1\nkind: Secret\nmetadata: {name: a}\n---\n\
                apiVersion: v1\nkind: Node\nmetadata: {name: b, namespace: c}\n";
    assert_eq!(references(&check_findings(text, &[])), ["Secret default/a", "Node b"]);
}

#[test]
fn a_bad_document_harms_only_itself() {
    let text = format!("{SERVICE}---\nkind: [\n---\n{}", with("cart", "web"));
    let decoded = decode("test.yaml", &text);
    assert_eq!(references(&decoded), ["Service shop/cart", "Service shop/web"]);
    assert_eq!(decoded.broken, [None]);
    assert_eq!(decoded.findings.len(), 1);
    assert_eq!(decoded.findings[0].code, Code::Syntax);
    assert_eq!(decoded.findings[0].severity, Severity::Error);
    let span = decoded.findings[0].span.expect("a syntax error has a place");
    assert!((13..=15).contains(&span.line), "{span:?}");
    assert_eq!(decoded.objects[1].1.document, 2);
}

#[test]
fn a_broken_document_tells_which_object_it_is_unless_it_may_be_cut_off() {
    let broken = with("port: 80", "port: [80");
    let cart = ObjectRef::new(Kind::Service, ObjectKey::new("shop", "cart"));
    let last = decode("test.yaml", &broken);
    assert_eq!(last.broken, [None]);
    assert_eq!(last.findings[0].object, Some(cart.clone()));
    let inner = decode("test.yaml", &format!("{broken}---\n{}", with("cart", "web")));
    assert_eq!(inner.broken, [Some(cart)]);
}

#[test]
fn unknown_fields_are_warnings_with_a_suggestion() {
    let decoded = check_findings(
        &with("selector", "selectr"),
        &["warning RT004 7:3+7 Service has no field spec.selectr | did you mean selector?"],
    );
    assert_eq!(decoded.objects.len(), 1);
    check_findings(
        &with("targetPort", "targetport"),
        &["warning RT004 11:5+10 Service has no field spec.ports[0].targetport | did you mean \
           targetPort?"],
    );
    check_findings(
        &with("spec:", "replicas: 3\nspec:"),
        &["warning RT004 6:1+8 Service has no field replicas"],
    );
}

#[test]
fn fields_that_kubernetes_has_and_rutter_does_not_read_are_no_findings() {
    let pod = "\
apiVersion: v1
kind: Pod
metadata:
  name: a
  uid: 1234-5678
  resourceVersion: '17'
  ownerReferences: [{kind: ReplicaSet, name: a}]
  managedFields: [{anything: {f:spec: {}}}]
spec:
  containers:
  - name: web
    image: nginx
    env: [{name: A, value: b}]
    resources: {limits: {cpu: 1}}
    ports: [{containerPort: 80, hostPort: 80}]
  tolerations: []
status: {startTime: 2026-01-01T00:00:00Z, podIP: 10.0.0.1}
";
    check_findings(pod, &[]);
    for text in [
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\nbinaryData: {a: eA==}\nimmutable: true",
        "apiVersion: v1\nkind: Secret\nmetadata: {name: a}\nimmutable: true",
        "apiVersion: v1\nkind: Namespace\nmetadata: {name: a}\nspec: {finalizers: [kubernetes]}\nstatus: {phase: Active}",
        "apiVersion: v1\nkind: Node\nmetadata: {name: a}\nspec: {podCIDR: 10.0.0.0/24}\nstatus: {capacity: {cpu: 4}}",
    ] {
        check_findings(text, &[]);
    }
}

#[test]
fn values_of_a_wrong_type_are_errors_with_place_and_remedy() {
    let quoted = with("port: 80", "port: \"80\"");
    let decoded = check_findings(
        &quoted,
        &[
            "error RT005 10:11+4 spec.ports[0].port must be a whole number, not the string \"80\" | \
         remove the quotes",
        ],
    );
    assert!(decoded.objects.is_empty());
    assert_eq!(decoded.broken.len(), 1);
    check_findings(
        &with("app: cart", "ready: yes"),
        &[
            "error RT005 7:21+3 spec.selector.ready must be a string, not the boolean true | put it in \
         quotes: YAML reads true, yes, on, false, no and off as booleans",
        ],
    );
    check_findings(
        &with("app: cart", "version: 1.10"),
        &[
            "error RT005 7:23+4 spec.selector.version must be a string, not the number 1.1 | put it in \
         quotes",
        ],
    );
    check_findings(
        &with("targetPort: web", "targetPort: {}"),
        &["error RT005 11:5+10 spec.ports[0].targetPort must be a number or a string"],
    );
    check_findings(
        &with("selector: {app: cart}", "selector: [app]"),
        &["error RT005 7:3+8 spec.selector must be a mapping, not a list"],
    );
}

#[test]
fn a_value_of_a_secret_is_never_shown() {
    let text = "apiVersion: v1\nkind: Secret\nmetadata: {name: a}\nstringData: {pin: 1234}\n";
    check_findings(
        text,
        &["error RT005 4:19+4 stringData.pin must be a string, not a number | put it in quotes"],
    );
}

#[test]
fn other_kinds_are_counted_and_near_misses_reported() {
    let text =
        "apiVersion: apps/v1\nkind: Deployment\n---\napiVersion: apps/v1\nkind: Deployment\n";
    let decoded = check_findings(text, &[]);
    let deployments = &decoded.unknown_kinds["Deployment"];
    assert_eq!((deployments.count, deployments.first.line), (2, 1));
    check_findings(
        "apiVersion: extensions/v1beta1\nkind: Ingress\nmetadata: {name: a}\n",
        &["warning RT003 1:13+18 Ingress of extensions/v1beta1 is not read | write apiVersion: \
         networking.k8s.io/v1"],
    );
    check_findings(
        "apiVersion: v1\nkind: Servce\nmetadata: {name: a}\n",
        &["warning RT003 2:7+6 kind Servce does not exist | did you mean Service?"],
    );
    for text in ["replicas: 3\n", "- a\n- b\n", "some text\n"] {
        let decoded = decode("test.yaml", text);
        assert_eq!(decoded.broken, [None], "{text}");
        assert_eq!(decoded.findings[0].code, Code::UnknownKind, "{text}");
    }
}

#[test]
fn names_that_the_api_server_would_refuse_are_errors() {
    check_findings(
        "apiVersion: v1\nkind: Pod\nmetadata: {generateName: a-}\n",
        &[
            "error RT007 3:1+8 Pod without a name | write metadata.name; generateName is not supported",
        ],
    );
    for (kind, name) in [("Service", "Cart"), ("Service", "a.b"), ("Pod", "a..b"), ("Pod", "-a")] {
        let text = format!("apiVersion: v1\nkind: {kind}\nmetadata:\n  name: {name}\n");
        let decoded = decode("test.yaml", &text);
        assert_eq!(decoded.findings[0].code, Code::BadValue, "{kind} {name}");
        assert_eq!(decoded.findings[0].span.map(|span| (span.line, span.column)), Some((4, 9)));
        assert!(decoded.objects.is_empty());
    }
    check_findings("apiVersion: v1\nkind: Pod\nmetadata: {name: web-0.a}\n", &[]);
}

#[test]
fn lists_are_unfolded_also_nested_and_typed() {
    let text = "\
apiVersion: v1
kind: List
items:
- apiVersion: v1
  kind: ServiceList
  items:
  - metadata: {name: a}
  - metadata: {name: b}
    spec:
      prots: []
- {apiVersion: v1, kind: Pod, metadata: {name: c}}
- {apiVersion: apps/v1, kind: Deployment, metadata: {name: d}}
";
    let decoded = check_findings(
        text,
        &["warning RT004 10:7+5 Service has no field spec.prots | did you mean ports?"],
    );
    assert_eq!(references(&decoded), ["Service default/a", "Service default/b", "Pod default/c"]);
    let lines: Vec<_> = decoded.objects.iter().map(|(_, origin)| origin.line).collect();
    assert_eq!(lines, [7, 8, 11]);
    assert_eq!(decoded.unknown_kinds["Deployment"].first.line, 12);
    let name = locate(text, &decoded.objects[2].1, "metadata.name");
    assert_eq!(name, Some(Span { line: 11, column: 48, length: 1 }));
}

#[test]
fn json_is_decoded_like_yaml() {
    let text = "{\n\t\"apiVersion\": \"v1\",\n\t\"kind\": \"Service\",\n\t\"metadata\": {\"name\": \
                \"a\\u0062\"},\n\t\"spec\": {\"ports\": [{\"port\": 80, \"nodeprt\": 1}]}\n}\n";
    let decoded = check_findings(
        text,
        &[
            "warning RT004 5:34+9 Service has no field spec.ports[0].nodeprt | did you mean nodePort?",
        ],
    );
    assert_eq!(references(&decoded), ["Service default/ab"]);
}

#[test]
fn null_is_absent_and_an_empty_string_in_string_maps() {
    let text = "\
apiVersion: v1
kind: Pod
metadata:
  name: a
  labels:
    app:
  annotations:
spec:
  containers:
  - name: ~
    ports: null
  nodeName:
";
    let decoded = check_findings(text, &[]);
    let metadata = decoded.objects[0].0.metadata();
    assert_eq!(metadata.label("app"), Some(""));
    assert!(metadata.annotations.is_empty());
}

#[test]
fn a_key_that_is_written_twice_is_an_error() {
    let decoded = decode("test.yaml", &with("    port: 80", "    port: 80\n    port: 81"));
    assert_eq!(decoded.findings[0].code, Code::Syntax);
    assert_eq!(decoded.findings[0].span.map(|span| span.line), Some(11), "{decoded:?}");
}

#[test]
fn anchors_and_merges_work_and_bombs_do_not() {
    let text = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  labels: &l {a: b}\n  name: x\n  \
                annotations:\n    <<: *l\n    c: d\n";
    let decoded = check_findings(text, &[]);
    assert_eq!(decoded.objects[0].0.metadata().annotation("a"), Some("b"));

    let mut laughs = String::from("a0: &a0 [x, x]\n");
    for level in 1..40 {
        let below = level - 1;
        laughs.push_str(&format!("a{level}: &a{level} [*a{below}, *a{below}]\n"));
    }
    let long = format!("a: &a \"{}\"\nb: [{}]\n", "x".repeat(1 << 20), "*a, ".repeat(5_000));
    let deep = format!("a: {}{}\n", "[".repeat(1_000), "]".repeat(1_000));
    for bomb in [laughs, long, deep] {
        let decoded = decode("bomb.yaml", &bomb);
        assert_eq!(decoded.findings.len(), 1);
        let message = &decoded.findings[0].message;
        assert_eq!(decoded.findings[0].code, Code::Syntax, "{message}");
        assert!(!message.contains(['{', '_']), "words, not the names of limits: {message}");
    }
}

#[test]
fn a_template_is_told_from_bad_yaml() {
    let decoded = decode("test.yaml", "kind: {{ .Values.kind }}\nmetadata: {{ x }}: {\n");
    let help = decoded.findings[0].help.as_deref().unwrap_or_default();
    assert!(help.contains("helm template"), "{help}");
}

#[test]
fn fields_are_located_and_missing_ones_by_their_parent() {
    let text = format!("---\n{SERVICE}");
    let origin = decode("test.yaml", &text).objects[0].1.clone();
    for (field, expected) in [
        ("", (5, 9, 4)),
        ("nowhere", (5, 9, 4)),
        ("spec", (7, 1, 4)),
        ("spec.type", (7, 1, 4)),
        ("spec.selector", (8, 3, 8)),
        ("spec.selector.app", (8, 19, 4)),
        ("spec.ports[0]", (10, 5, 4)),
        ("spec.ports[0].port", (11, 11, 2)),
        ("spec.ports[0].nodePort", (10, 5, 4)),
        ("spec.ports[1].port", (9, 3, 5)),
    ] {
        let (line, column, length) = expected;
        let expected = Some(Span { line, column, length });
        assert_eq!(locate(&text, &origin, field), expected, "{field}");
    }
}

#[test]
fn keys_with_dots_are_found() {
    let text = "apiVersion: v1\nkind: Pod\nmetadata:\n  name: a\n  annotations:\n    \
                example.com/a: x\n    example.com/a.b: z\n";
    let origin = decode("test.yaml", text).objects[0].1.clone();
    let line = |field| locate(text, &origin, field).map(|span| span.line);
    assert_eq!(line("metadata.annotations.example.com/a"), Some(6));
    assert_eq!(line("metadata.annotations.example.com/a.b"), Some(7));
    assert_eq!(line("metadata.annotations[\"example.com/a.b\"]"), Some(7));
}

/// Not a test of behaviour: prints what `cargo test --release -- --ignored --nocapture` measures.
#[test]
#[ignore = "measurement"]
fn measure_decoding_of_many_objects() {
    let service = |i: usize| SERVICE.replace("cart", &format!("cart-{i}"));
    let pod = |i: usize| {
        format!(
            "apiVersion: v1\nkind: Pod\nmetadata:\n  name: pod-{i}\n  labels:\n    app: cart\n\
             spec:\n  nodeName: node-1\n  containers:\n  - name: web\n    image: nginx\n    ports:\n    \
             - containerPort: 8080\n      name: web\nstatus:\n  podIP: 10.0.0.1\n  conditions:\n  \
             - {{type: Ready, status: 'True'}}\n"
        )
    };
    let documents: Vec<_> = (0..20_000).map(service).chain((0..60_000).map(pod)).collect();
    let text = documents.join("---\n");
    let start = tokio::time::Instant::now();
    let decoded = decode("big.yaml", &text);
    println!("{} objects, {} bytes: {:?}", decoded.objects.len(), text.len(), start.elapsed());
    let problems = shown(&decoded.findings[..decoded.findings.len().min(1)]);
    assert_eq!((decoded.objects.len(), problems), (80_000, Vec::new()));
}
