//! The accept loop.

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::sessions::Handed;
use super::thread::Worker;
use crate::life::spawn_local;
use crate::net::bound_unsent;
use crate::snapshot::SocketKey;

/// An accept loop that runs; dropped, it ends once the queue is empty.
#[derive(Debug)]
pub(super) struct Accepting {
    _stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Accepting {
    /// Ends the loop; the task ends when the socket is closed.
    pub(super) fn stop(self) -> JoinHandle<()> {
        self.task
    }
}

/// Spawns the loop of one listener: the only function that does.
pub(super) fn spawn(
    worker: Rc<Worker>,
    key: SocketKey,
    listener: TcpListener,
) -> io::Result<Accepting> {
    let (stop, stopped) = oneshot::channel();
    let listener = tokio::net::TcpListener::from_std(listener)?;
    bound_unsent(&listener, worker.local.limits.unsent_bytes);
    let task = spawn_local("accept", run(worker, key, listener, stopped));
    Ok(Accepting { _stop: stop, task })
}

async fn run(
    worker: Rc<Worker>,
    key: SocketKey,
    listener: tokio::net::TcpListener,
    mut stopped: oneshot::Receiver<()>,
) {
    loop {
        let accepted = tokio::select! {
            biased;
            _ = &mut stopped => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, client)) => worker.place(stream, client, key),
            Err(error) if is_of_connection(&error) => {}
            Err(error) => {
                // out of descriptors or memory: only time and others can help
                tracing::warn!(%key, %error, "cannot accept");
                tokio::time::sleep(BACK_OFF).await;
            }
        }
    }
    if let Ok(listener) = listener.into_std() {
        empty_queue(&worker, key, &listener);
    }
}

/// Takes what the kernel has already accepted for us: closing would reset it.
fn empty_queue(worker: &Rc<Worker>, key: SocketKey, listener: &TcpListener) {
    loop {
        match accept_now(listener) {
            Ok((stream, client)) => worker.take_over(stream, client, key),
            Err(error) if is_of_connection(&error) => {}
            Err(_) => return,
        }
    }
}

fn accept_now(listener: &TcpListener) -> io::Result<(TcpStream, SocketAddr)> {
    let (stream, client) = listener.accept()?;
    stream.set_nonblocking(true)?;
    Ok((stream, client))
}

/// Whether the error is about one connection only, which is gone (accept(2)).
fn is_of_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::Interrupted
    )
}

/// How long a worker that cannot accept waits.
const BACK_OFF: Duration = Duration::from_millis(100);

impl Worker {
    /// Serves a fresh connection here, or hands it to a worker that has less to do.
    fn place(self: &Rc<Self>, stream: tokio::net::TcpStream, client: SocketAddr, key: SocketKey) {
        if let Some(reason) = self.refusal(key) {
            return self.refuse(stream, client, key, reason);
        }
        let mut chosen = self.sessions.choose(self.number);
        // in a drain, the other worker may have ended
        if chosen != self.number && self.local.drain.is_started() {
            chosen = self.number;
        }
        let session = self.sessions.begin(chosen);
        if chosen == self.number {
            return self.serve(stream, client, key, session);
        }
        if let Ok(stream) = stream.into_std() {
            self.sessions.hand_over(chosen, Handed { stream, client, key, session });
        }
    }

    fn take_over(self: &Rc<Self>, stream: TcpStream, client: SocketAddr, key: SocketKey) {
        if let Ok(stream) = tokio::net::TcpStream::from_std(stream) {
            self.place(stream, client, key);
        }
    }
}
