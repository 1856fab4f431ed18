//! HTTP/3: a socket of UDP beside each of HTTPS.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::snapshot::{HttpListener, ListenerSpec, Serve, SocketKey, Transport};

/// Serves by QUIC what is served over TLS at the same address and port, and has the one tell of the
/// other. Left out is where another listener has the port of UDP, where TLS is passed through for
/// some names, and where something is asked of clients: QUIC chooses its terms before it has read
/// the server name, and these depend on it.
pub(super) fn add(listeners: &mut BTreeMap<SocketKey, Arc<ListenerSpec>>) {
    let mut added = Vec::new();
    for (key, spec) in &mut *listeners {
        let Serve::Http(http) = &spec.serve else { continue };
        let is_open = |tls: &Arc<_>| asks_nothing(tls);
        if key.transport == Transport::Tcp && http.tls.as_ref().is_some_and(is_open) {
            added.push((*key, spec.clone(), http.clone()));
        }
    }
    for (tcp, spec, http) in added {
        let udp = SocketKey { transport: Transport::Udp, ..tcp };
        if listeners.contains_key(&udp) {
            continue;
        }
        let http = Arc::new(HttpListener::clone(&http).with_http3());
        for key in [tcp, udp] {
            let serve = Serve::Http(http.clone());
            let spec = ListenerSpec { key, serve, ..ListenerSpec::clone(&spec) };
            listeners.insert(key, Arc::new(spec));
        }
    }
}

fn asks_nothing(table: &crate::snapshot::TlsTable) -> bool {
    table.entries().iter().all(|entry| entry.client_auth.is_none())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::{
        CaBundle, CertificateId, ClientAuth, ClientAuthMode, HostMatch, RouteTable, TlsEntry,
        TlsListener, TlsTable,
    };

    fn key(transport: Transport, port: u16) -> SocketKey {
        SocketKey { transport, addr: ([127, 0, 0, 1], port).into() }
    }

    fn https(client_auth: Option<ClientAuth>) -> Serve {
        let client_auth = client_auth.map(Arc::new);
        let entry = TlsEntry { host: HostMatch::Any, certificates: Vec::new(), client_auth };
        let table = Arc::new(TlsTable::new(vec![entry]));
        let routes = Arc::new(RouteTable::default());
        Serve::Http(Arc::new(HttpListener::single("https".into(), Some(table), routes)))
    }

    #[test]
    fn http3_is_left_out_where_it_could_not_ask_what_https_asks_or_others_have_the_port() {
        let id = CertificateId(0);
        let authorities =
            Arc::new(CaBundle { id, certificates: Vec::new(), revocations: Vec::new() });
        let asking = ClientAuth { authorities, mode: ClientAuthMode::AllowInsecureFallback };
        let routes = Arc::new(RouteTable::default());
        let plain = Serve::Http(Arc::new(HttpListener::single("http".into(), None, routes)));
        let tls = || Serve::Tls(Arc::new(TlsListener::new("tls".into(), None, Vec::new())));
        let (tcp, udp) = (Transport::Tcp, Transport::Udp);
        let mut listeners = BTreeMap::new();
        for (transport, port, serve) in [
            (tcp, 1, https(None)),
            (tcp, 2, https(Some(asking))),
            (tcp, 3, plain),
            (tcp, 4, tls()),
            (tcp, 5, https(None)),
            (udp, 5, tls()),
        ] {
            let key = key(transport, port);
            listeners.insert(key, Arc::new(ListenerSpec { key, serve, rank: 0 }));
        }
        add(&mut listeners);
        let has_http3 =
            |spec: &&Arc<ListenerSpec>| spec.serve.http().is_some_and(|http| http.has_http3);
        let served: Vec<_> = listeners.values().filter(has_http3).map(|spec| spec.key).collect();
        assert_eq!(served, [key(tcp, 1), key(udp, 1)]);
        assert_eq!(listeners.len(), 7);
    }
}
