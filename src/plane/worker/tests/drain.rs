use std::collections::HashMap;

use super::super::thread::Mailbox;
use super::*;
use crate::plane::l4::udp::Carrier;
use crate::plane::tests::{Manual, run};
use crate::snapshot::Transport;

#[test]
fn a_connection_that_waits_to_be_accepted_when_the_drain_begins_is_served() {
    run(async {
        let listener = listen_tcp(([127, 0, 0, 1], 0).into(), ReusePort::No).expect("a port");
        let addr = listener.local_addr().expect("an address");
        let key = SocketKey { transport: Transport::Tcp, addr };
        let (mut core, origin) = (Core::new(), Manual::new().await);
        let to = frontend(vec![share(1, backend("web", Transport::Tcp, &[origin.addr]))]);
        core.publish(key, Serve::Frontend(to));
        let (mailbox, inbox) = mpsc::unbounded_channel();
        let (_changes, changed) = mpsc::unbounded_channel();
        let (answer, _answers) = mpsc::unbounded_channel();
        let worker = Rc::new(Worker {
            number: 0,
            sessions: Sessions::new(vec![mailbox], Caps::default()),
            local: core.local.clone(),
            http: l7::Server::new(core.local.clone()),
            buffer: Rc::default(),
            warned: Default::default(),
        });
        let accepting = accept::spawn(worker.clone(), key, listener).expect("it must begin");
        let carrier = Carrier::new(core.local.clone(), 1, 1);
        let (tcp, udp) = (HashMap::from([(key, accepting)]), HashMap::new());
        let mailbox = Mailbox {
            worker,
            carrier,
            inbox,
            changed,
            answer,
            tcp,
            udp,
            closing: Vec::new(),
            is_closed: false,
        };
        let (signal, drain) = crate::life::drain();
        let mut client = Client::connect(addr).await;
        signal.start();
        let served = async {
            let mut upstream = origin.accept().await;
            client.send("hello").await;
            upstream.until("hello").await;
            upstream.send("well").await;
            client.until("well").await;
            drop((client, upstream));
        };
        tokio::select! {
            biased;
            () = mailbox.run(drain) => panic!("the worker must not end before its connection"),
            () = served => {}
        }
    });
}
