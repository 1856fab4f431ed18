//! Real input: the Online Boutique demo's manifests (see `tests/data`), with one pod a Deployment.

mod common;

use common::backend::Backend;
use common::http;
use common::site::Finding;
use common::{Block, Site};

/// Its Services with the port that each of them publishes, as written in the manifests.
const SERVICES: [(&str, &str, u16, u16); 12] = [
    ("frontend", "frontend", 80, 8080),
    ("frontend-external", "frontend", 80, 8080),
    ("adservice", "adservice", 9555, 9555),
    ("currencyservice", "currencyservice", 7000, 7000),
    ("cartservice", "cartservice", 7070, 7070),
    ("redis-cart", "redis-cart", 6379, 6379),
    ("recommendationservice", "recommendationservice", 8080, 8080),
    ("shippingservice", "shippingservice", 50051, 50051),
    ("checkoutservice", "checkoutservice", 5050, 5050),
    ("paymentservice", "paymentservice", 50051, 50051),
    ("emailservice", "emailservice", 5000, 8080),
    ("productcatalogservice", "productcatalogservice", 3550, 3550),
];

#[test]
fn every_service_resolves_by_name_and_answers_on_its_address() {
    let block = Block::claim();
    let mut manifests = include_str!("data/online-boutique.yaml").to_owned();
    let mut pods: Vec<(&str, Backend)> = Vec::new();
    for (_, app, _, port) in SERVICES {
        if pods.iter().any(|(name, _)| *name == app) {
            continue;
        }
        let last = 130 + u8::try_from(pods.len()).expect("few pods");
        pods.push((app, Backend::http(block.addr(last, port), app)));
        manifests += &format!(
            "---\napiVersion: v1\nkind: Pod\nmetadata: {{name: {app}-0, labels: {{app: \
             {app}}}}}\nstatus: {{podIP: NET.{last}, phase: Running, conditions: [{{type: Ready, \
             status: \"True\"}}]}}\n"
        );
    }
    let site = Site::start_in(block, &manifests, |_| {});
    let findings = site.findings();
    assert!(findings.iter().all(Finding::is_note), "{findings:#?}");
    for (name, app, port, _) in SERVICES {
        let addresses = site.frontends("default", name);
        let addr = addresses.iter().find(|addr| addr.port() == port);
        let addr = *addr.unwrap_or_else(|| panic!("{name} has no address"));
        assert_eq!(http::get(addr, name, "/x").json()["pod"], app, "{name}");
    }
}
