//! One connection to an upstream, on which several queries wait (RFC 7766 section 6.2.1.1).

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use tokio::io::{
    AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader, ReadHalf, WriteHalf,
};
use tokio::net::TcpStream;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_rustls::TlsStream;

use super::exchange::ExchangeError;
use super::query::{Asked, Query};
use super::reply::{Rejected, Reply};
use crate::life::spawn_local;
use crate::plane::tls::{Client, Stream};

/// A connection that is being opened, is open, or is closed. A task of its own drives it; queries
/// go to that task, and come back by their ids.
#[derive(Debug)]
pub(super) struct Connection {
    /// Queries as they are sent, each with its length in front.
    queries: mpsc::UnboundedSender<Vec<u8>>,
    waiting: RefCell<HashMap<u16, Waiting>>,
    /// When a query was last sent, or a message received.
    used: Cell<Instant>,
    /// When a message was last received; at first, when it was opened, which it may not be yet.
    heard: Cell<Option<Instant>>,
    /// Takes no more queries, and ends when none waits.
    is_retired: Cell<bool>,
    /// That it is retired, or that a query of a retired one waits no more.
    changed: Notify,
    /// Why it could not be opened.
    refused: RefCell<Option<ExchangeError>>,
}

#[derive(Debug)]
struct Waiting {
    query: Query,
    answer: oneshot::Sender<Result<Reply, Rejected>>,
}

impl Connection {
    /// Begins to open one. Queries wait until it is.
    pub(super) fn open(addr: SocketAddr, tls: Option<Rc<Client>>, idle: Duration) -> Rc<Self> {
        let (queries, outgoing) = mpsc::unbounded_channel();
        let now = Instant::now();
        let connection = Rc::new(Self {
            queries,
            waiting: RefCell::default(),
            used: Cell::new(now),
            heard: Cell::new(None),
            is_retired: Cell::new(false),
            changed: Notify::new(),
            refused: RefCell::default(),
        });
        let driven = connection.clone();
        spawn_local("dns upstream connection", async move {
            let end = End { connection: driven };
            let connection = &end.connection;
            match timeout(CONNECT, connect(addr, tls)).await {
                Ok(Ok(stream)) => connection.drive(stream, outgoing, idle).await,
                Ok(Err(error)) => *connection.refused.borrow_mut() = Some(error.into()),
                Err(_) => *connection.refused.borrow_mut() = Some(ExchangeError::Timeout),
            }
        });
        connection
    }

    /// Asks, and waits for as long as the connection is open.
    pub(super) async fn ask(self: &Rc<Self>, asked: &Asked) -> Result<Reply, ExchangeError> {
        let (place, answer) = self.send(asked);
        let told = answer.await;
        drop(place);
        match told {
            Ok(Ok(reply)) => Ok(reply),
            Ok(Err(_)) => Err(ExchangeError::Invalid),
            Err(_) => Err(self.refused.borrow().clone().unwrap_or(ExchangeError::Closed)),
        }
    }

    /// How many queries wait.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.borrow().len()
    }

    /// Whether it takes no more queries.
    pub(super) fn is_retired(&self) -> bool {
        self.is_retired.get()
    }

    /// Takes no more queries; closes when none waits.
    pub(super) fn retire(&self) {
        self.is_retired.set(true);
        self.changed.notify_one();
    }

    fn send(self: &Rc<Self>, asked: &Asked) -> (Place, oneshot::Receiver<Result<Reply, Rejected>>) {
        let (answer, answered) = oneshot::channel();
        let mut waiting = self.waiting.borrow_mut();
        // ids are drawn from far more than there are queries
        let mut query = Query::new(asked);
        while waiting.contains_key(&number(query.id())) {
            query = Query::new(asked);
        }
        let length = u16::try_from(query.bytes.len()).unwrap_or_default();
        let message = [&length.to_be_bytes(), query.bytes.as_slice()].concat();
        let place =
            Place { connection: self.clone(), id: number(query.id()), sent: Instant::now() };
        self.used.set(place.sent);
        // a task that has ended waits for nothing: the answer is that the connection is closed
        if self.queries.send(message).is_ok() {
            waiting.insert(place.id, Waiting { query, answer });
        }
        (place, answered)
    }

    /// Moves messages until the upstream closes, or nobody needs it any more.
    async fn drive(
        &self,
        stream: Stream,
        queries: mpsc::UnboundedReceiver<Vec<u8>>,
        idle: Duration,
    ) {
        self.heard.set(Some(Instant::now()));
        let (reader, mut writer) = tokio::io::split(stream);
        tokio::select! {
            biased;
            () = self.unused(idle) => {}
            // an error or the end are the same to who waits
            _ = self.receive(reader) => return,
            _ = write(&mut writer, queries) => return,
        }
        self.is_retired.set(true);
        let _ = timeout(WRITE, writer.shutdown()).await;
    }

    /// Waits until there has been no query for that long, or the last one of a retired connection
    /// has ended. Cancel-safe.
    async fn unused(&self, idle: Duration) {
        let mut look = self.used.get() + idle;
        loop {
            tokio::select! {
                () = sleep_until(look) => {}
                () = self.changed.notified() => {}
            }
            let now = Instant::now();
            let end = self.used.get() + idle;
            if self.waiting.borrow().is_empty() && (self.is_retired() || now >= end) {
                return;
            }
            look = if end > now { end } else { now + idle };
        }
    }

    async fn receive(&self, stream: ReadHalf<impl AsyncRead + AsyncWrite>) -> io::Result<()> {
        let mut stream = BufReader::with_capacity(BUFFER, stream);
        let mut message = Vec::new();
        loop {
            let length = stream.read_u16().await?;
            message.resize(usize::from(length), 0);
            stream.read_exact(&mut message).await?;
            self.deliver(&message);
        }
    }

    /// Gives an answer to who waits for it. What is no answer to anything that was asked here is
    /// passed over.
    fn deliver(&self, message: &[u8]) {
        let now = Instant::now();
        self.used.set(now);
        self.heard.set(Some(now));
        let id = number(message);
        let mut waiting = self.waiting.borrow_mut();
        let Some(found) = waiting.get(&id) else { return };
        let read = Reply::read(message, &found.query, true);
        if read == Err(Rejected::NotOurs) {
            return;
        }
        if let Some(Waiting { answer, .. }) = waiting.remove(&id) {
            // who has given up does not care
            let _ = answer.send(read);
        }
    }
}

async fn connect(addr: SocketAddr, tls: Option<Rc<Client>>) -> io::Result<Stream> {
    let stream = TcpStream::connect(addr).await?;
    stream.set_nodelay(true)?;
    Ok(match tls {
        Some(tls) => Stream::Tls(Box::new(TlsStream::Client(*tls.connect(stream, QUERIES).await?))),
        None => Stream::Plain(stream),
    })
}

/// Sends queries, those that have come meanwhile in one piece.
async fn write(
    stream: &mut WriteHalf<impl AsyncRead + AsyncWrite>,
    mut queries: mpsc::UnboundedReceiver<Vec<u8>>,
) -> io::Result<()> {
    while let Some(mut bytes) = queries.recv().await {
        while let Ok(more) = queries.try_recv() {
            bytes.extend(more);
        }
        let written = async {
            stream.write_all(&bytes).await?;
            stream.flush().await
        };
        timeout(WRITE, written).await??;
    }
    Ok(())
}

/// The id of a message.
fn number(message: &[u8]) -> u16 {
    message.first_chunk().copied().map_or(0, u16::from_be_bytes)
}

/// The place of one query. When nobody waits for it any more and the upstream has said nothing
/// since, the connection is likely dead, without anybody having said so.
struct Place {
    connection: Rc<Connection>,
    id: u16,
    sent: Instant,
}

impl Drop for Place {
    fn drop(&mut self) {
        let connection = &self.connection;
        let is_unanswered = connection.waiting.borrow_mut().remove(&self.id).is_some();
        if is_unanswered && connection.heard.get().is_some_and(|heard| heard <= self.sent) {
            connection.is_retired.set(true);
        }
        if connection.is_retired() {
            connection.changed.notify_one();
        }
    }
}

/// The end of a connection, also by a panic: who waits is told.
struct End {
    connection: Rc<Connection>,
}

impl Drop for End {
    fn drop(&mut self) {
        self.connection.is_retired.set(true);
        self.connection.waiting.borrow_mut().clear();
    }
}

/// How long it may take until a connection is open. Longer than a query waits: the next may be
/// in time.
const CONNECT: Duration = Duration::from_secs(5);

/// How long the upstream may take to accept queries.
const WRITE: Duration = Duration::from_secs(5);

/// Bytes read at a time.
const BUFFER: usize = 4096;

/// Bytes of queries that wait to be encrypted.
const QUERIES: u32 = 64 * 1024;
