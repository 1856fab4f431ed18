//! Listeners that can be served → sockets, those of Ingress among them.
//!
//! On a socket that Ingress and Gateways share there is one route table a host: rules of an
//! Ingress for a host are found beside those of a Gateway's listener for it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use super::conflicts::intersects;
use super::gateways::OwnGateway;
use super::listener::{Class, OwnListener, Protocol};
use super::{Context, socket_keys};
use crate::compile::settings::Settings;
use crate::snapshot::{
    Exposure, Frontend, HostMatch, HttpListener, ListenerSpec, RouteTable, Rule, Serve, SocketKey,
    TlsEntry, TlsHost, TlsListener, TlsRoutes, TlsServe, TlsTable, Transport, VirtualHost,
};

/// What listens for Ingress and Gateways.
pub(in crate::compile) type Sockets = Vec<ListenerSpec>;

/// What Ingress wants served.
#[derive(Debug, Default)]
pub(in crate::compile) struct IngressRules {
    /// `None`: there is no Ingress.
    pub(in crate::compile) rules: Option<Arc<RouteTable>>,
    /// `None`: no Ingress asks for TLS.
    pub(in crate::compile) tls: Option<Vec<TlsEntry>>,
}

impl IngressRules {
    /// Where Ingress listens, and for what.
    pub(super) fn sockets(&self, settings: &Settings) -> Vec<(SocketKey, Class)> {
        let plain = settings.http_port.filter(|_| self.rules.is_some());
        let secure = settings.https_port.filter(|_| self.tls.is_some());
        let ports = plain.map(|port| (port, Class::Http)).into_iter();
        let ports: Vec<_> = ports.chain(secure.map(|port| (port, Class::Tls))).collect();
        let addresses = settings.ingress_addresses.iter();
        let at = |ip: &std::net::IpAddr| {
            let ip = *ip;
            let key = move |port: u16| SocketKey {
                transport: Transport::Tcp,
                addr: SocketAddr::new(ip, port),
            };
            ports.iter().map(move |(port, class)| (key(*port), *class)).collect::<Vec<_>>()
        };
        addresses.flat_map(at).collect()
    }
}

/// One socket, and the listeners that share it.
#[derive(Debug, Default)]
struct Shared<'r, 'a> {
    listeners: Vec<&'r OwnListener<'a>>,
    ingress: Option<Class>,
}

/// Every socket.
pub(super) fn build(
    gateways: &[OwnGateway<'_>],
    listeners: &[OwnListener<'_>],
    ingress: &IngressRules,
    context: &Context<'_, '_, '_>,
) -> Sockets {
    let mut sockets: BTreeMap<SocketKey, Shared<'_, '_>> = BTreeMap::new();
    for (key, class) in ingress.sockets(context.settings) {
        sockets.entry(key).or_default().ingress = Some(class);
    }
    for listener in listeners.iter().filter(|it| it.is_programmed()) {
        let Some(gateway) = gateways.get(listener.gateway) else { continue };
        for key in socket_keys(gateway, listener) {
            sockets.entry(key).or_default().listeners.push(listener);
        }
    }
    // sockets that share all of it share one value
    let mut made: Vec<(Vec<*const ()>, Option<Class>, Serve)> = Vec::new();
    let mut specs = Vec::with_capacity(sockets.len());
    for (key, shared) in sockets {
        let ids: Vec<*const ()> =
            shared.listeners.iter().map(|it| std::ptr::from_ref(*it).cast()).collect();
        let known = made.iter().find(|(other, class, _)| *other == ids && *class == shared.ingress);
        let serve = match known {
            Some((_, _, serve)) => Some(serve.clone()),
            None => shared.serve(ingress),
        };
        let Some(serve) = serve else { continue };
        made.push((ids, shared.ingress, serve.clone()));
        specs.push(ListenerSpec { key, serve });
    }
    specs
}

impl Shared<'_, '_> {
    fn serve(&self, ingress: &IngressRules) -> Option<Serve> {
        let first = self.listeners.first();
        let class = self.ingress.or_else(|| Some(first?.protocol?.class()))?;
        Some(match class {
            Class::Http => {
                let hosts = self.virtual_hosts(ingress);
                Serve::Http(Arc::new(HttpListener::new(self.name("http"), None, hosts)))
            }
            Class::Tls => self.tls(ingress),
            Class::Tcp | Class::Udp => {
                let first = first?;
                let way = first.ways.first().map(|(_, frontend)| frontend.clone());
                Serve::Frontend(way.unwrap_or_else(|| nothing_attached(first)))
            }
        })
    }

    /// What metrics call it.
    fn name(&self, of_ingress: &str) -> Arc<str> {
        match (self.ingress, self.listeners.first()) {
            (None, Some(first)) => label(first),
            _ => of_ingress.into(),
        }
    }

    fn tls(&self, ingress: &IngressRules) -> Serve {
        let name = self.name("https");
        let is_http = |it: &&&OwnListener<'_>| it.protocol == Some(Protocol::Https);
        let is_raw = |it: &&&OwnListener<'_>| it.protocol != Some(Protocol::Https);
        let has_http = self.ingress.is_some() || self.listeners.iter().any(|it| is_http(&it));
        let http = has_http.then(|| {
            let entries = self.listeners.iter().filter(is_http).map(|it| entry(it));
            let of_ingress = self.ingress.and(ingress.tls.as_ref()).into_iter().flatten();
            let table = TlsTable::new(entries.chain(of_ingress.cloned()).collect());
            let hosts = self.virtual_hosts(ingress);
            Arc::new(HttpListener::new(name.clone(), Some(Arc::new(table)), hosts))
        });
        if let (Some(http), true) = (&http, self.listeners.iter().all(|it| is_http(&it))) {
            return Serve::Http(http.clone());
        }
        let raw = self.listeners.iter().filter(is_raw).map(|it| raw_host(it));
        let mut hosts: Vec<_> = raw.collect();
        let of_http = http.iter().flat_map(|http| http.hosts());
        let of_http = of_http.filter(|it| hosts.iter().all(|raw| raw.host != it.host));
        let of_http: Vec<_> = of_http
            .map(|it| TlsHost {
                name: it.name.clone(),
                host: it.host.clone(),
                serve: TlsServe::Http,
            })
            .collect();
        hosts.extend(of_http);
        Serve::Tls(Arc::new(TlsListener::new(name, http, hosts)))
    }

    /// The HTTP listeners of the socket. Hosts of TLS that is not looked into are there too,
    /// without rules: a request for one of them came by the wrong connection (421).
    fn virtual_hosts(&self, ingress: &IngressRules) -> Vec<Arc<VirtualHost>> {
        let of_ingress: &[Arc<Rule>] = match (self.ingress, &ingress.rules) {
            (Some(_), Some(table)) => table.rules(),
            _ => &[],
        };
        let mut hosts: Vec<Arc<VirtualHost>> = Vec::new();
        for listener in &self.listeners {
            let mut rules = listener.rules.clone();
            let joins = |rule: &&Arc<Rule>| match (&listener.host, &rule.host) {
                (HostMatch::Any, _) => true,
                (_, HostMatch::Any) => false,
                (own, host) => intersects(own, host),
            };
            rules.extend(of_ingress.iter().filter(joins).cloned());
            hosts.push(Arc::new(VirtualHost {
                name: label(listener),
                host: listener.host.clone(),
                routes: Arc::new(RouteTable::new(rules)),
            }));
        }
        if self.ingress.is_some() && hosts.iter().all(|it| it.host != HostMatch::Any) {
            let name = if self.ingress == Some(Class::Tls) { "https" } else { "http" };
            let routes = ingress.rules.clone().unwrap_or_default();
            hosts.push(Arc::new(VirtualHost { name: name.into(), host: HostMatch::Any, routes }));
        }
        hosts
    }
}

/// `namespace/name/listener`, of the Gateway or ListenerSet.
fn label(listener: &OwnListener<'_>) -> Arc<str> {
    format!("{}/{}", listener.subject.key(), listener.spec.name).into()
}

fn entry(listener: &OwnListener<'_>) -> TlsEntry {
    TlsEntry {
        host: listener.host.clone(),
        certificates: listener.certificates.clone(),
        client_auth: listener.client_auth.clone(),
    }
}

fn raw_host(listener: &OwnListener<'_>) -> TlsHost {
    let routes = Arc::new(TlsRoutes::new(listener.ways.clone()));
    let serve = match listener.protocol {
        Some(Protocol::TlsTerminate) => {
            TlsServe::Terminate(Arc::new(TlsTable::new(vec![entry(listener)])), routes)
        }
        _ => TlsServe::Passthrough(routes),
    };
    TlsHost { name: label(listener), host: listener.host.clone(), serve }
}

/// A listener without a route refuses.
fn nothing_attached(listener: &OwnListener<'_>) -> Arc<Frontend> {
    Arc::new(Frontend {
        owner: listener.subject.reference(),
        exposure: Exposure::Gateway,
        origin: listener.subject.origin().clone(),
        shares: Vec::new(),
        policy: None,
    })
}
