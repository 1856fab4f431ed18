use std::net::SocketAddr;
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use super::super::*;
use crate::manifest::{Kind, ObjectKey, ObjectRef};
use crate::snapshot::{
    Backend, BackendId, CaBundle, Certificate, CertificateId, ClientAuth, ClientAuthMode, Endpoint,
    EndpointId, Exposure, Frontend, HostMatch, HttpListener, ListenerSpec, Serve, SocketKey,
    TlsEntry, TlsHost, TlsListener, TlsRoutes, TlsServe, TlsTable, Transport, WeightedBackend,
};

fn frontend(route: &str, service: &str) -> Arc<Frontend> {
    let endpoint = Endpoint {
        id: EndpointId(([127, 97, 0, 1], 8443).into()),
        ready: true,
        serving: true,
        terminating: false,
        pod: None,
        node: None,
        zone: None,
        origin: Default::default(),
    };
    let endpoints = vec![Arc::new(endpoint)];
    let service = ObjectKey::new("shop", service);
    let backend = Backend {
        id: BackendId { service, port: "443".into(), transport: Transport::Tcp },
        port: 443,
        app_protocol: Default::default(),
        proxy_protocol: None,
        balancing: Default::default(),
        compress: Default::default(),
        usable: endpoints.clone(),
        local: Vec::new(),
        topology: Default::default(),
        endpoints,
        origin: Default::default(),
        field: "".into(),
    };
    Arc::new(Frontend {
        owner: ObjectRef::new(Kind::TlsRoute, ObjectKey::new("shop", route)),
        exposure: Exposure::Gateway,
        origin: Origin { file: "shop.yaml".into(), line: 7, ..Origin::default() },
        shares: vec![WeightedBackend::all(Arc::new(backend))],
        policy: Arc::default(),
    })
}

fn table(mode: ClientAuthMode) -> Arc<TlsTable> {
    let authorities =
        CaBundle { id: CertificateId(2), certificates: vec![vec![1]], revocations: Vec::new() };
    let certificate = Certificate {
        id: CertificateId(1),
        secret: ObjectKey::new("shop", "cert"),
        origin: Default::default(),
        chain: Vec::new(),
        key: Vec::new(),
        names: vec!["end.shop.test".into()],
        not_after: 864_000,
    };
    Arc::new(TlsTable::new(vec![TlsEntry {
        host: HostMatch::Any,
        certificates: vec![Arc::new(certificate)],
        client_auth: Some(Arc::new(ClientAuth { authorities: Arc::new(authorities), mode })),
    }]))
}

fn ask(url: &str) -> String {
    let (pass, wide) = (frontend("pass", "web"), frontend("wide", "all"));
    let exact = |name: &str| HostMatch::Exact(name.into());
    let suffix = |name: &str| HostMatch::Suffix(name.into());
    let routes = Arc::new(TlsRoutes::new(vec![
        (suffix("shop.test"), wide),
        (exact("a.shop.test"), pass.clone()),
        (exact("b.shop.test"), pass.clone()),
    ]));
    let ended = Arc::new(TlsRoutes::new(vec![(exact("end.shop.test"), pass)]));
    let host = |name: &str, host, serve| TlsHost { name: name.into(), host, serve };
    let hosts = vec![
        host("pass", suffix("shop.test"), TlsServe::Passthrough(routes)),
        host(
            "end",
            exact("end.shop.test"),
            TlsServe::Terminate(table(ClientAuthMode::AllowValidOnly), ended),
        ),
        host("https", exact("www.test"), TlsServe::Http),
    ];
    let http_table = table(ClientAuthMode::AllowInsecureFallback);
    let http = HttpListener::single("https".into(), Some(http_table), Default::default());
    let addr: SocketAddr = ([127, 0, 0, 1], 443).into();
    let key = SocketKey { transport: Transport::Tcp, addr };
    let serve = Serve::Tls(Arc::new(TlsListener::new("gw".into(), Some(http.into()), hosts)));
    let listeners = [(key, Arc::new(ListenerSpec { key, serve, rank: 0 }))].into();
    let snapshot = Snapshot { listeners, ..Snapshot::default() };
    let question = Question::parse(&[url.to_owned()], &[], None).expect("a question");
    assert_eq!(Question::from_query(&question.to_query()), Ok(question.clone()));
    explain(&snapshot, &[], &question, UNIX_EPOCH).to_string()
}

#[test]
fn a_tls_connection_is_followed_by_its_server_name() {
    assert_eq!(
        ask("tls://A.shop.test:443"),
        "\
tls://a.shop.test:443

socket: tcp://127.0.0.1:443
  + tcp://127.0.0.1:443: it has the port

listener: \"pass\" for *.shop.test: passthrough
  + *.shop.test → \"pass\" passthrough: the most specific that matches
  - end.shop.test → \"end\" terminate: for end.shop.test, not a.shop.test
  - www.test → \"https\" HTTPS: for www.test, not a.shop.test

route: TLSRoute shop/pass
    at shop.yaml:7
  - *.shop.test → TLSRoute shop/wide: a.shop.test is more specific (shop.yaml:7)
  + a.shop.test → TLSRoute shop/pass: the most specific that matches (shop.yaml:7)
  - b.shop.test → TLSRoute shop/pass: for b.shop.test, not a.shop.test (shop.yaml:7)

frontend: tcp://127.0.0.1:443 is the gateway of TLSRoute shop/pass
    at shop.yaml:7

endpoint: the only one that can take new work
  + 127.97.0.1:8443: ready

it goes to an endpoint of shop/web:443/tcp
"
    );
}

#[test]
fn what_becomes_of_other_server_names_is_told() {
    for (url, expected) in [
        ("tls://end.shop.test:443", "*.shop.test → \"pass\" passthrough: end.shop.test is more"),
        ("tls://end.shop.test:443", "Secret shop/cert, as the default"),
        ("tls://end.shop.test:443", "client certificates: required, signed by the authority"),
        ("tls://www.test:443", "client certificates: optional"),
        ("tls://www.test:443", "TLS ends here: ask for https://"),
        ("tls://shop.test:443", "none of its listeners is for shop.test"),
        ("tls://shop.test:443", "\nthe connection is reset at once: no_route\n"),
        ("tls://127.0.0.1:443", "none is for clients that send no server name"),
        ("tls://a.shop.test:444", "nobody listens on port 444"),
        ("tcp://127.0.0.1:443", "ask for tls:// and a server name to see who takes it"),
    ] {
        let told = ask(url);
        assert!(told.contains(expected), "{expected}: {told}");
    }
}
