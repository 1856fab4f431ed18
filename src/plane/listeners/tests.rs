//! The order in which sockets and announcements come and go.

use std::net::IpAddr;
use std::sync::Arc;

use tokio::sync::{mpsc, watch};
use tokio::task::LocalSet;

use super::{Change, Reconciler};
use crate::life::{drain, spawn_local};
use crate::plane::AnnounceGate;
use crate::plane::tests::{backend, frontend, share};
use crate::snapshot::{Generation, ListenerSpec, Serve, Snapshot, SocketKey, Transport, cell};

const SERVICE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(127, 0, 0, 2));

fn serving() -> Snapshot {
    let key = SocketKey { transport: Transport::Tcp, addr: (SERVICE, 0).into() };
    let endpoint = ([127, 0, 0, 3], 7).into();
    let serve =
        Serve::Frontend(frontend(vec![share(1, backend("web", key.transport, &[endpoint]))]));
    let spec = Arc::new(ListenerSpec { key, serve, rank: 0 });
    Snapshot { listeners: [(key, spec)].into(), ..Snapshot::default() }
}

#[tokio::test]
async fn sockets_close_once_announcements_have_ended_and_those_begin_once_sockets_are_applied() {
    let (mut publisher, reader) = cell::new();
    let (worker, mut changes) = mpsc::unbounded_channel();
    let (answer, answers) = mpsc::unbounded_channel();
    let (withdraw, withdrawn) = watch::channel(Generation(0));
    let (serve, mut served) = watch::channel(Default::default());
    let reconciler = Reconciler {
        budget: 9,
        workers: vec![worker],
        answers,
        applied: watch::Sender::default(),
        unbound: watch::Sender::new(Arc::from([])),
        announce: Some(AnnounceGate { withdrawn, served: serve }),
    };
    let (_signal, drain) = drain();
    let check = async {
        spawn_local("listeners", reconciler.run(reader, drain));
        withdraw.send_replace(publisher.publish(serving()));
        assert!(matches!(changes.recv().await, Some(Change::OpenTcp(..))));
        assert!(matches!(changes.recv().await, Some(Change::Applied(Generation(1)))));
        // the worker has not said so yet
        tokio::task::yield_now().await;
        assert!(!served.has_changed().expect("running"));
        answer.send(Generation(1)).expect("running");
        served.changed().await.expect("running");
        let now = served.borrow_and_update().clone();
        assert_eq!((now.generation, now.addresses), (Generation(1), Arc::new([SERVICE].into())));

        let gone = publisher.publish(Snapshot::default());
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        assert!(changes.try_recv().is_err(), "it is announced still");
        withdraw.send_replace(gone);
        assert!(matches!(changes.recv().await, Some(Change::Close(_))));
    };
    LocalSet::new().run_until(check).await;
}
