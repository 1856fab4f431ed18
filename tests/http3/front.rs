//! A rutter that serves `app.test` by HTTPS and HTTP/3 on `NET.2:443`.

use crate::common::backend::Backend;
use crate::common::tls::Authority;
use crate::common::{Block, Options, Site};

pub struct Front {
    pub site: Site,
    pub authority: Authority,
    _echo: Backend,
}

const MANIFESTS: &str = r#"
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: app}
spec:
  ingressClassName: rutter
  tls: [{hosts: [app.test], secretName: app}]
  rules:
  - host: app.test
    http:
      paths:
      - {path: /, pathType: Prefix, backend: {service: {name: echo, port: {number: 80}}}}
      - {path: /raw, pathType: Prefix, backend: {service: {name: raw, port: {number: 80}}}}
      - {path: /nobody, pathType: Prefix, backend: {service: {name: nobody, port: {number: 80}}}}
"#;

impl Front {
    pub fn start() -> Self {
        Self::start_with(|_| {})
    }

    pub fn start_with(change: impl FnOnce(&mut Options)) -> Self {
        let block = Block::claim();
        let echo = Backend::http(block.addr(130, 8080), "echo-0");
        let authority = Authority::new();
        let manifests = [
            MANIFESTS.to_owned(),
            service("echo", 130),
            service("raw", 131),
            "---\napiVersion: v1\nkind: Service\nmetadata: {name: nobody}\nspec: {ports: [{port: \
             80}]}\n"
                .to_owned(),
            authority.secret("app", &["app.test"]),
        ];
        let site = Site::start_in(block, &manifests.concat(), |options| {
            options.set("http3", "on");
            change(options);
        });
        Self { site, authority, _echo: echo }
    }
}

/// A Service with the endpoint `NET.LAST:8080`.
fn service(name: &str, last: u8) -> String {
    format!(
        "---\napiVersion: v1\nkind: Service\nmetadata: {{name: {name}}}\nspec: {{ports: [{{port: \
         80}}]}}\n---\napiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {{name: \
         {name}, labels: {{kubernetes.io/service-name: {name}}}}}\naddressType: IPv4\nendpoints: \
         [{{addresses: [NET.{last}]}}]\nports: [{{port: 8080}}]\n"
    )
}
