//! The manifests of the conformance suite, out of its Go module.

use std::path::{Path, PathBuf};

use serde_json::Value;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
const MODULE: &str = "target/tools/gomod/sigs.k8s.io/gateway-api/conformance@v1.6.1";

/// The class of every Gateway here.
pub const CLASS: &str = "rutter-conformance";
/// Who serves that class.
pub const CONTROLLER: &str = "rutter.dev/gateway-controller";

/// A file of the suite, with our class and controller in it.
pub fn text(name: &str) -> String {
    let path = folder().join(name);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| {
        panic!(
            "{}: {error}; the manifests of the conformance suite are missing: run\n  \
             GOMODCACHE={ROOT}/target/tools/gomod GOFLAGS=-modcacherw \
             go mod download sigs.k8s.io/gateway-api/conformance@v1.6.1",
            path.display()
        )
    });
    text.replace("{GATEWAY_CLASS_NAME}", CLASS).replace("{GATEWAY_CONTROLLER_NAME}", CONTROLLER)
}

fn folder() -> PathBuf {
    Path::new(ROOT).join(MODULE)
}

/// The manifests of every test, but for those of the mesh profiles.
pub fn names() -> Vec<String> {
    text("base/manifests.yaml");
    let entries = std::fs::read_dir(folder().join("tests")).expect("the folder of the tests");
    let names = entries.map(|entry| entry.expect("an entry").file_name());
    let mut names: Vec<String> = names
        .filter_map(|name| name.into_string().ok())
        .filter(|name| name.ends_with(".yaml") && !name.starts_with("mesh"))
        .collect();
    names.sort();
    names
}

/// The documents of a text.
pub fn documents(text: &str) -> Vec<Value> {
    let documents = text.split("\n---").map(|document| {
        serde_saphyr::from_str::<Option<Value>>(document)
            .unwrap_or_else(|error| panic!("{error}\n{document}"))
    });
    documents.flatten().collect()
}
