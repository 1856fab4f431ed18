//! Listeners that can be served → sockets, those of Ingress among them.
//!
//! On a socket that Ingress and Gateways share there is one route table a host: rules of an
//! Ingress for a host are found beside those of a Gateway's listener for it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;

use super::gateways::OwnGateway;
use super::hosts::HostIndex;
use super::listener::{Class, OwnListener, Protocol};
use super::{Context, socket_keys};
use crate::compile::settings::Settings;
use crate::snapshot::matching::HostMap;
use crate::snapshot::{
    ClientAuth, Exposure, Frontend, HostMatch, HttpListener, ListenerSpec, RouteTable, Rule, Serve,
    SocketKey, TlsEntry, TlsHost, TlsListener, TlsRoutes, TlsServe, TlsTable, Transport,
    VirtualHost,
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
    /// Where they are among all.
    places: Vec<usize>,
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
    let served = listeners.iter().enumerate().filter(|(_, it)| it.is_programmed());
    for (place, listener) in served {
        let Some(gateway) = gateways.get(listener.gateway) else { continue };
        for key in socket_keys(gateway, listener) {
            let shared = sockets.entry(key).or_default();
            shared.listeners.push(listener);
            shared.places.push(place);
        }
    }
    // sockets that share all of it share one value
    let mut made: BTreeMap<(Vec<usize>, Option<Class>), Serve> = BTreeMap::new();
    let mut specs = Vec::with_capacity(sockets.len());
    for (key, mut shared) in sockets {
        let content = (std::mem::take(&mut shared.places), shared.ingress);
        let known = made.get(&content).cloned();
        let Some(serve) = known.or_else(|| shared.serve(ingress)) else { continue };
        made.insert(content, serve.clone());
        specs.push(ListenerSpec { key, serve, rank: 0 });
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
            let table = TlsTable::new(entries.chain(self.entries_of(ingress)).collect());
            let hosts = self.virtual_hosts(ingress);
            Arc::new(HttpListener::new(name.clone(), Some(Arc::new(table)), hosts))
        });
        if let (Some(http), true) = (&http, self.listeners.iter().all(|it| is_http(&it))) {
            return Serve::Http(http.clone());
        }
        let raw = self.listeners.iter().filter(is_raw).map(|it| raw_host(it));
        let mut hosts: Vec<_> = raw.collect();
        let of_http = http.iter().flat_map(|http| http.hosts());
        let of_raw: BTreeSet<&HostMatch> = hosts.iter().map(|it| &it.host).collect();
        let of_http = of_http.filter(|it| !of_raw.contains(&it.host));
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

    /// The certificates of Ingresses. Whoever comes in by one of them may ask for whatever the
    /// listener of that host serves, and so owes what the Gateway asks of clients there.
    fn entries_of(&self, ingress: &IngressRules) -> Vec<TlsEntry> {
        let mut by_host = HostMap::<Option<Arc<ClientAuth>>>::default();
        for listener in self.listeners.iter().rev() {
            *by_host.entry(&listener.host) = listener.client_auth.clone();
        }
        let of_ingress = self.ingress.and(ingress.tls.as_ref()).into_iter().flatten();
        let with_auth = |entry: &TlsEntry| {
            let client_auth = by_host.matches(&entry.host.to_string()).next().cloned().flatten();
            TlsEntry { client_auth, ..entry.clone() }
        };
        of_ingress.map(with_auth).collect()
    }

    /// The HTTP listeners of the socket. Hosts of TLS that is not looked into are there too,
    /// without rules: a request for one of them came by the wrong connection (421).
    fn virtual_hosts(&self, ingress: &IngressRules) -> Vec<Arc<VirtualHost>> {
        let of_ingress: &[Arc<Rule>] = match (self.ingress, &ingress.rules) {
            (Some(_), Some(table)) => table.rules(),
            _ => &[],
        };
        let mut by_host = HostIndex::<Vec<usize>>::default();
        for (place, rule) in of_ingress.iter().enumerate() {
            by_host.entry(&rule.host).push(place);
        }
        let mut hosts: Vec<Arc<VirtualHost>> = Vec::new();
        for listener in &self.listeners {
            let mut rules = listener.rules.clone();
            let mut joining: Vec<usize> =
                by_host.intersecting(&listener.host).flatten().copied().collect();
            joining.sort_unstable();
            joining.dedup();
            let is_for_all = listener.host == HostMatch::Any;
            let joining = joining.into_iter().filter_map(|place| of_ingress.get(place));
            let joining = joining.filter(|rule| is_for_all || rule.host != HostMatch::Any);
            rules.extend(joining.cloned());
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
        policy: Arc::default(),
    })
}
