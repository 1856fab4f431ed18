//! Connections of the admin API, bounded in number and time.

use std::convert::Infallible;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{Admin, KubeProxy};
use crate::life::{Drain, spawn_local};

impl Admin {
    /// Serves until the drain starts.
    pub async fn run(self, listener: TcpListener, drain: Drain) {
        run(listener, drain, move |request| self.answer(request)).await;
    }
}

impl KubeProxy {
    /// Serves until the drain starts.
    pub async fn run(self, listener: TcpListener, drain: Drain) {
        run(listener, drain, move |request| self.answer(request)).await;
    }
}

async fn run<A>(listener: TcpListener, drain: Drain, answer: A)
where
    A: Fn(&Request<Incoming>) -> Response<String> + Clone + 'static,
{
    let listener = match tokio::net::TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => return tracing::error!(%error, "no admin API"),
    };
    let room = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        // beyond the bound, clients wait in the queue of the socket
        let Ok(permit) = room.clone().acquire_owned().await else { return };
        let accepted = tokio::select! {
            biased;
            () = drain.started() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                spawn_local("admin", serve(stream, permit, answer.clone()));
            }
            Err(_) => tokio::time::sleep(BACK_OFF).await,
        }
    }
}

async fn serve<A>(stream: TcpStream, _permit: OwnedSemaphorePermit, answer: A)
where
    A: Fn(&Request<Incoming>) -> Response<String>,
{
    let service = service_fn(|request| {
        let response = answer(&request);
        async move { Ok::<_, Infallible>(response) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME)
        .max_buf_size(MAX_HEAD)
        .serve_connection(TokioIo::new(stream), service);
    // whoever asked has gone, or asked wrongly: nothing of ours has failed
    let _ = connection.await;
}

const MAX_CONNECTIONS: usize = 64;
const MAX_HEAD: usize = 16 * 1024;
/// Also how long an idle connection is kept.
const HEAD_TIME: Duration = Duration::from_secs(5);
const BACK_OFF: Duration = Duration::from_millis(100);
