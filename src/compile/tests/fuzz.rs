//! Whatever can be decoded can be compiled: a bad object becomes a finding.

use super::*;
use crate::fuzz_tests::Target;
use crate::manifest::fuzz_tests::on_its_stack;
use crate::manifest::yaml::decode;

const MANIFESTS: Target<'_> = Target {
    name: "manifest",
    words: &[
        "\n",
        "\n---\n",
        "  ",
        "- ",
        ": ",
        "{",
        "}",
        "[",
        "]",
        ", ",
        "\"",
        "null",
        "true",
        "-1",
        "0",
        "65536",
        "2001:db8::1",
        "10.0.0.0/8",
        "255.255.255.255",
        "::/0",
        "*.a.test",
        "(a+)+",
        "kind: Service\n",
        "kind: HTTPRoute\n",
        "kind: Gateway\n",
        "metadata: {name: a}\n",
        "ExternalName",
        "LoadBalancer",
        "None",
        "TLS",
        "Exact",
        "RegularExpression",
        "99999999999s",
        "é",
        "%",
        "rutter.dev/",
    ],
    inputs: 1_500,
};

#[test]
fn damaged_manifests_are_compiled_or_told_about() {
    on_its_stack(|| {
        MANIFESTS.fuzz(|input, _| {
            let text = String::from_utf8_lossy(input);
            let mut objects = Objects::default();
            for (object, origin) in decode("f.yaml", &text).objects {
                objects.apply(&Sourced { object, origin, stale: false });
            }
            let compile = |held: &Allocations| compile(&objects, &Settings::default(), held, now());
            let first = compile(&Allocations::default());
            let again = compile(&first.allocations);
            assert_eq!(again.snapshot, first.snapshot, "what was given is kept");
            let lines = text.lines().count().max(1);
            let findings = &first.report.findings;
            assert!(findings.iter().all(|it| it.origin.line as usize <= lines));
            let codes: Vec<_> = findings.iter().map(|it| (it.code, it.field.clone())).collect();
            (first.snapshot.listeners.len(), codes)
        });
    });
}
