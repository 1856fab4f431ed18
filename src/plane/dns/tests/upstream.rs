//! An upstream on loopback that does as it is told.

use std::cell::{Cell, RefCell};
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;

use hickory_proto::op::{Message, MessageType, OpCode, ResponseCode};
use hickory_proto::rr::rdata::{A, CNAME, SOA};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UdpSocket};

use crate::life::spawn_local;
use crate::snapshot::Transport;

/// What is sent for a query: any number of messages; over TCP the first.
type Answers = dyn Fn(&Message, Transport) -> Vec<Message>;

pub(super) struct Upstream {
    pub(super) addr: SocketAddr,
    /// What it does now.
    pub(super) answers: Rc<RefCell<Box<Answers>>>,
    /// Queries for addresses so far: probes ask for other types.
    pub(super) asked: Rc<Cell<usize>>,
}

impl Upstream {
    pub(super) async fn start(
        answers: impl Fn(&Message, Transport) -> Vec<Message> + 'static,
    ) -> Self {
        let (udp, tcp) = loop {
            let udp = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
            let addr = udp.local_addr().expect("a bound socket must have an address");
            // the port of the one may be taken for the other
            if let Ok(tcp) = TcpListener::bind(addr).await {
                break (udp, tcp);
            }
        };
        let upstream = Self {
            addr: udp.local_addr().expect("a bound socket must have an address"),
            answers: Rc::new(RefCell::new(Box::new(answers))),
            asked: Rc::default(),
        };
        let (by_udp, by_tcp) = (upstream.handler(), upstream.handler());
        spawn_local("upstream over UDP", async move {
            let mut buffer = vec![0; 4096];
            loop {
                let (length, client) = udp.recv_from(&mut buffer).await.expect("a datagram");
                for answer in by_udp(&buffer[..length], Transport::Udp) {
                    udp.send_to(&answer, client).await.expect("it must be sent");
                }
            }
        });
        spawn_local("upstream over TCP", async move {
            loop {
                let (mut stream, _) = tcp.accept().await.expect("a connection");
                let length = stream.read_u16().await.expect("a length");
                let mut query = vec![0; length.into()];
                stream.read_exact(&mut query).await.expect("a query");
                if let Some(answer) = by_tcp(&query, Transport::Tcp).first() {
                    let length = u16::try_from(answer.len()).expect("a short message");
                    stream.write_u16(length).await.expect("it must be sent");
                    stream.write_all(answer).await.expect("it must be sent");
                }
            }
        });
        upstream
    }

    fn handler(&self) -> impl Fn(&[u8], Transport) -> Vec<Vec<u8>> + 'static {
        let (answers, asked) = (self.answers.clone(), self.asked.clone());
        move |query, transport| {
            let query = Message::from_vec(query).expect("our query must be readable");
            if query.queries[0].query_type() == RecordType::A && transport == Transport::Udp {
                asked.set(asked.get() + 1);
            }
            let messages = answers.borrow()(&query, transport);
            messages.iter().map(|it| it.to_vec().expect("it must be writable")).collect()
        }
    }
}

/// An answer with the question of the query.
pub(super) fn reply(query: &Message, code: ResponseCode) -> Message {
    let mut reply = Message::new(query.metadata.id, MessageType::Response, OpCode::Query);
    reply.metadata.response_code = code;
    reply.queries = query.queries.clone();
    reply.edns = query.edns.clone();
    reply
}

/// An answer with one address for whatever name.
pub(super) fn address(query: &Message, last: u8, ttl: u32) -> Message {
    let mut reply = reply(query, ResponseCode::NoError);
    let owner = query.queries[0].name().clone();
    reply.answers = vec![Record::from_rdata(owner, ttl, RData::A(A::new(192, 0, 2, last)))];
    reply
}

/// An answer by an alias.
pub(super) fn aliased(query: &Message, target: &str, last: u8) -> Message {
    let target = Name::from_ascii(target).expect("a name");
    let mut reply = address(query, last, 60);
    let alias = RData::CNAME(CNAME(target.clone()));
    reply.answers[0].name = target;
    reply.answers.insert(0, Record::from_rdata(query.queries[0].name().clone(), 60, alias));
    reply
}

/// That a name does not exist.
pub(super) fn nothing(query: &Message) -> Message {
    let mut reply = reply(query, ResponseCode::NXDomain);
    let root = Name::root();
    let soa = RData::SOA(SOA::new(root.clone(), root.clone(), 1, 2, 3, 4, 60));
    reply.authorities = vec![Record::from_rdata(root, 60, soa)];
    reply
}
