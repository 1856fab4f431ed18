use std::cell::RefCell;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use hickory_proto::op::Message;
use hickory_proto::rr::RecordType;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream, UdpSocket};
use tokio::task::{JoinHandle, LocalSet};

use super::{bytes, parse, query, snapshot};
use crate::balance::{Loads, Rng};
use crate::config::AccessLog;
use crate::life::{self, DrainSignal};
use crate::net::{ReusePort, bind_udp, listen_tcp};
use crate::observe::{Gauges, Metrics};
use crate::plane::Local;
use crate::plane::dns::{Identity, Limits, Server, Sockets};
use crate::snapshot::Snapshot;
use crate::snapshot::cell::{self, CachedReader, Publisher};

/// A server on loopback.
pub(super) struct Site {
    pub(super) udp: SocketAddr,
    pub(super) tcp: SocketAddr,
    pub(super) tls: SocketAddr,
    pub(super) https: SocketAddr,
    pub(super) signal: DrainSignal,
    pub(super) running: JoinHandle<()>,
    pub(super) publisher: Publisher,
    metrics: Metrics,
    snapshot: CachedReader,
}

impl Site {
    pub(super) fn start(limits: Limits) -> Self {
        Self::serve(limits, snapshot())
    }

    pub(super) fn serve(limits: Limits, snapshot: Snapshot) -> Self {
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let udp = bind_udp(any, ReusePort::No).expect("port 0 must be free");
        let listen = || listen_tcp(any, ReusePort::No).expect("port 0 must be free");
        let (tcp, tls, https) = (listen(), listen(), listen());
        let addr = |it: &std::net::TcpListener| {
            it.local_addr().expect("a bound socket must have an address")
        };
        let udp_addr = udp.local_addr().expect("a bound socket must have an address");
        let (tcp_addr, tls_addr, https_addr) = (addr(&tcp), addr(&tls), addr(&https));
        let (mut publisher, reader) = cell::new();
        publisher.publish(snapshot);
        let (signal, drain) = life::drain();
        let metrics = Metrics::default();
        let mut shards = metrics.shards(1, &AccessLog::Off).expect("no log to fail");
        let local = Rc::new(Local {
            worker: 0,
            snapshot: reader.clone().cached(),
            affinity: Default::default(),
            gates: Default::default(),
            health: Default::default(),
            loads: Loads::default(),
            rng: RefCell::new(Rng::new(1)),
            tcp: Default::default(),
            limits: Default::default(),
            tls: Default::default(),
            admissions: Default::default(),
            challenges: Default::default(),
            clients: Default::default(),
            overload: Default::default(),
            level: Default::default(),
            observer: Rc::new(shards.remove(0).observer()),
            drain,
        });
        let sockets = Sockets { plain: Some((udp, tcp)), tls: Some(tls), https: Some(https) };
        let server = Server::new(local, limits, Identity::random());
        let running = life::spawn_local("dns", server.run(sockets));
        Self {
            udp: udp_addr,
            tcp: tcp_addr,
            tls: tls_addr,
            https: https_addr,
            signal,
            running,
            publisher,
            metrics,
            snapshot: reader.cached(),
        }
    }

    /// The value of a series, as a scrape shows it; 0 if there is none.
    pub(super) fn counted(&self, series: &str) -> u64 {
        let text = self.metrics.encode(&self.snapshot.load(), &Gauges::default());
        let value = text.lines().find_map(|line| line.strip_prefix(series)?.trim().parse().ok());
        value.map_or(0, |value: f64| value as u64)
    }

    /// The lines of the metrics that begin so.
    pub(super) fn metrics(&self, snapshot: &Snapshot, prefix: &str) -> Vec<String> {
        let text = self.metrics.encode(snapshot, &Gauges::default());
        text.lines().filter(|line| line.starts_with(prefix)).map(str::to_owned).collect()
    }

    pub(super) fn publish(&mut self, snapshot: Snapshot) {
        self.publisher.publish(snapshot);
    }

    pub(super) async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.tcp).await.expect("the server must accept")
    }
}

pub(super) fn framed(message: &Message) -> Vec<u8> {
    let message = bytes(message);
    let length = u16::try_from(message.len()).expect("a query must be short");
    [length.to_be_bytes().as_slice(), &message].concat()
}

pub(super) async fn receive(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Message> {
    let length = stream.read_u16().await?;
    let mut message = vec![0; usize::from(length)];
    stream.read_exact(&mut message).await?;
    Ok(parse(&message))
}

/// Whether the server has closed; also by a reset.
async fn is_closed(stream: &mut TcpStream) -> bool {
    receive(stream).await.is_err()
}

pub(super) fn numbered(id: u16) -> Message {
    let mut message = query("web.shop", RecordType::A);
    message.metadata.id = id;
    message
}

#[tokio::test]
async fn datagrams_are_answered_by_what_is_published_now() {
    let steps = async {
        let mut site = Site::start(Limits::default());
        let client = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
        client.connect(site.udp).await.expect("a route");
        let mut buffer = vec![0; 2048];
        for expected in [1, 0] {
            client.send(&bytes(&numbered(1))).await.expect("a datagram must be sent");
            let length = client.recv(&mut buffer).await.expect("an answer");
            assert_eq!(parse(&buffer[..length]).answers.len(), expected);
            site.publisher.publish(Snapshot::default());
        }
    };
    LocalSet::new().run_until(steps).await;
}

#[tokio::test]
async fn datagrams_that_are_no_query_are_dropped_and_the_next_is_answered() {
    let steps = async {
        let site = Site::start(Limits::default());
        let client = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
        client.connect(site.udp).await.expect("a route");
        let mut response = numbered(1);
        response.metadata.message_type = hickory_proto::op::MessageType::Response;
        for datagram in [vec![], vec![0; 5], bytes(&response), bytes(&numbered(2))] {
            client.send(&datagram).await.expect("a datagram must be sent");
        }
        let mut buffer = vec![0; 2048];
        let length = client.recv(&mut buffer).await.expect("an answer");
        assert_eq!(parse(&buffer[..length]).metadata.id, 2);
    };
    LocalSet::new().run_until(steps).await;
}

#[tokio::test]
async fn queries_in_one_write_are_answered_in_order() {
    let steps = async {
        let site = Site::start(Limits::default());
        let mut stream = site.connect().await;
        let all: Vec<u8> = (0..20).flat_map(|id| framed(&numbered(id))).collect();
        // cut within a length and within a message
        for part in [&all[..1], &all[1..30], &all[30..]] {
            stream.write_all(part).await.expect("the server must read");
        }
        for id in 0..20 {
            let response = receive(&mut stream).await.expect("an answer");
            assert_eq!((response.metadata.id, response.answers.len()), (id, 1));
        }
    };
    LocalSet::new().run_until(steps).await;
}

#[tokio::test]
async fn a_connection_ends_after_its_share_of_queries() {
    let steps = async {
        let site = Site::start(Limits { queries: 3, ..Limits::default() });
        let mut stream = site.connect().await;
        for id in 0..3 {
            stream.write_all(&framed(&numbered(id))).await.expect("the server must read");
            assert_eq!(receive(&mut stream).await.expect("an answer").metadata.id, id);
        }
        assert!(is_closed(&mut stream).await);
    };
    LocalSet::new().run_until(steps).await;
}

#[tokio::test]
async fn who_asks_for_more_than_its_share_reads_every_answer_and_an_end() {
    let steps = async {
        let site = Site::start(Limits { queries: 50, ..Limits::default() });
        let socket = TcpSocket::new_v4().expect("a socket");
        // so that answers wait at the server when it has nothing more to say
        socket.set_recv_buffer_size(4096).expect("a small buffer");
        let mut stream = socket.connect(site.tcp).await.expect("the server must accept");
        let question = |id| {
            let mut message = query("big.shop", RecordType::A);
            message.metadata.id = id;
            framed(&message)
        };
        let all: Vec<u8> = (0..500).flat_map(question).collect();
        stream.write_all(&all).await.expect("the server must read");
        for _ in 0..1_000 {
            tokio::task::yield_now().await;
        }
        for id in 0..50 {
            assert_eq!(receive(&mut stream).await.expect("an answer").metadata.id, id);
        }
        let end = receive(&mut stream).await.expect_err("the end");
        assert_eq!(end.kind(), io::ErrorKind::UnexpectedEof);
    };
    LocalSet::new().run_until(steps).await;
}

#[tokio::test]
async fn a_client_has_its_share_of_connections_and_gets_it_back() {
    let steps = async {
        let site = Site::start(Limits { connections_per_client: 2, ..Limits::default() });
        let mut held = [site.connect().await, site.connect().await];
        for stream in &mut held {
            stream.write_all(&framed(&numbered(1))).await.expect("the server must read");
            receive(stream).await.expect("an answer");
        }
        assert!(is_closed(&mut site.connect().await).await);
        let refused = "rutter_dns_refused_connections_total{transport=\"tcp\",reason=";
        assert_eq!(site.counted(&format!("{refused}\"client_limit\"}}")), 1);
        let [mut first, _second] = held;
        first.shutdown().await.expect("it must close");
        assert!(is_closed(&mut first).await);
        let mut again = site.connect().await;
        again.write_all(&framed(&numbered(2))).await.expect("the server must read");
        assert_eq!(receive(&mut again).await.expect("an answer").metadata.id, 2);
    };
    LocalSet::new().run_until(steps).await;
}

#[tokio::test]
async fn when_all_places_are_taken_the_connection_that_is_idle_longest_makes_room() {
    let steps = async {
        let site = Site::start(Limits { connections: 2, ..Limits::default() });
        let [mut first, mut second] = [site.connect().await, site.connect().await];
        for id in [0, 1, 2] {
            let stream = if id == 1 { &mut second } else { &mut first };
            stream.write_all(&framed(&numbered(id))).await.expect("the server must read");
            receive(stream).await.expect("an answer");
        }
        let mut third = site.connect().await;
        for stream in [&mut third, &mut first] {
            stream.write_all(&framed(&numbered(2))).await.expect("the server must read");
            assert_eq!(receive(stream).await.expect("an answer").metadata.id, 2);
        }
        assert!(is_closed(&mut second).await);
        let refused = "rutter_dns_refused_connections_total{transport=\"tcp\",reason=";
        assert_eq!(site.counted(&format!("{refused}\"evicted\"}}")), 1);
        assert_eq!(site.counted("rutter_dns_connections{transport=\"tcp\"}"), 2);
    };
    LocalSet::new().run_until(steps).await;
}

#[tokio::test]
async fn thousands_of_idle_connections_keep_no_client_out() {
    let steps = async {
        // as from many addresses: nobody is beyond the share of one
        let limits = Limits { connections: 50, connections_per_client: 1_000, ..Limits::default() };
        let site = Site::start(limits);
        let mut held = Vec::new();
        for _ in 0..200 {
            held.push(site.connect().await);
        }
        let mut client = site.connect().await;
        client.write_all(&framed(&numbered(3))).await.expect("the server must read");
        assert_eq!(receive(&mut client).await.expect("an answer").metadata.id, 3);
        assert_eq!(site.counted("rutter_dns_connections{transport=\"tcp\"}"), 50);
    };
    LocalSet::new().run_until(steps).await;
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_is_idle_or_stops_within_a_query_is_closed() {
    let steps = async {
        let site = Site::start(Limits::default());
        for sent in [&[][..], &[0], &[0, 40, 1, 2]] {
            let before = tokio::time::Instant::now();
            let mut stream = site.connect().await;
            stream.write_all(sent).await.expect("the server must read");
            assert!(is_closed(&mut stream).await);
            assert_eq!(before.elapsed().as_secs(), Duration::from_secs(5).as_secs());
        }
    };
    LocalSet::new().run_until(steps).await;
}

#[tokio::test(start_paused = true)]
async fn a_query_that_is_too_long_ends_the_connection_at_once() {
    let steps = async {
        let site = Site::start(Limits { idle: Duration::from_secs(1000), ..Limits::default() });
        let before = tokio::time::Instant::now();
        let mut stream = site.connect().await;
        stream.write_all(&[0xff, 0xff]).await.expect("the server must read");
        assert!(is_closed(&mut stream).await);
        assert!(before.elapsed() < Duration::from_secs(1000));
    };
    LocalSet::new().run_until(steps).await;
}

#[tokio::test]
async fn a_drain_ends_the_server_and_idle_connections() {
    let steps = async {
        let site = Site::start(Limits::default());
        let mut stream = site.connect().await;
        stream.write_all(&framed(&numbered(1))).await.expect("the server must read");
        receive(&mut stream).await.expect("an answer");
        site.signal.start();
        assert!(is_closed(&mut stream).await);
        site.running.await.expect("the server must end");
        assert!(site.signal.finished(Duration::from_secs(5)).await);
    };
    LocalSet::new().run_until(steps).await;
}
