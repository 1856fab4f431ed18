//! Endpoints that speak HTTP/2.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::rc::Rc;

use ::h2::server::{Builder, Connection, SendResponse};
use ::h2::{Reason, RecvStream, SendStream};
use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;

use super::world::{World, all, forward_to};
use crate::life;
use crate::snapshot::{Protocol, Target};

/// A request and the way to answer it.
pub(super) type Asked = (Request<RecvStream>, SendResponse<Bytes>);

/// An endpoint that has a function for its requests.
pub(super) struct H2Origin {
    pub(super) addr: SocketAddr,
    connections: Rc<Cell<usize>>,
}

impl H2Origin {
    pub(super) async fn new<F: Future<Output = ()> + 'static>(
        handle: impl Fn(Asked) -> F + Clone + 'static,
    ) -> Self {
        Self::with(Builder::new(), handle).await
    }

    pub(super) async fn with<F: Future<Output = ()> + 'static>(
        builder: Builder,
        handle: impl Fn(Asked) -> F + Clone + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("port 0 must be free");
        let addr = listener.local_addr().expect("a bound socket must have an address");
        let connections = Rc::<Cell<usize>>::default();
        let counted = connections.clone();
        life::spawn_local("origin", async move {
            while let Ok((stream, _)) = listener.accept().await {
                counted.set(counted.get() + 1);
                life::spawn_local("origin", serve(builder.clone(), stream, handle.clone()));
            }
        });
        Self { addr, connections }
    }

    pub(super) fn connections(&self) -> usize {
        self.connections.get()
    }
}

/// Serves one connection, every stream in a task of its own.
pub(super) async fn serve<F: Future<Output = ()> + 'static>(
    builder: Builder,
    stream: impl AsyncRead + AsyncWrite + Unpin + 'static,
    handle: impl Fn(Asked) -> F + 'static,
) {
    let Ok(mut connection) = builder.handshake::<_, Bytes>(stream).await else { return };
    while let Some(Ok(asked)) = connection.accept().await {
        life::spawn_local("origin", handle(asked));
    }
}

/// An endpoint whose connections the test holds in its hands.
pub(super) struct H2Manual(TcpListener, pub(super) SocketAddr);

impl H2Manual {
    pub(super) async fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("port 0 must be free");
        let addr = listener.local_addr().expect("a bound socket must have an address");
        Self(listener, addr)
    }

    pub(super) async fn accept(&self) -> Connection<tokio::net::TcpStream, Bytes> {
        let (stream, _) = self.0.accept().await.expect("accept must work");
        Builder::new().handshake(stream).await.expect("it must speak h2")
    }
}

/// The next request of a connection.
pub(super) async fn next<T>(connection: &mut Connection<T, Bytes>) -> Asked
where
    T: AsyncRead + AsyncWrite + Unpin,
{
    connection.accept().await.expect("it must be open").expect("it must be a request")
}

/// The same endpoints, spoken to in HTTP/2.
pub(super) fn h2(to: Target) -> Target {
    Target { protocol: Protocol::Http2, ..to }
}

/// Everything goes to these endpoints, in HTTP/2.
pub(super) async fn world_to(to: Target) -> World {
    let mut world = World::new().await;
    world.publish(all(forward_to(h2(to))), None);
    world
}

/// Answers with a text.
pub(super) fn answer(to: &mut SendResponse<Bytes>, text: impl Into<Bytes>) {
    let mut body = to.send_response(Response::new(()), false).expect("it must be open");
    body.send_data(text.into(), true).expect("it must be open");
}

/// Sends as much as there is room for, until all is sent.
pub(super) async fn send(body: &mut SendStream<Bytes>, mut data: Bytes) {
    while !data.is_empty() {
        body.reserve_capacity(data.len());
        while body.capacity() == 0 {
            match poll_fn(|cx| body.poll_capacity(cx)).await {
                Some(Ok(_)) => {}
                _ => return,
            }
        }
        let piece = data.split_to(body.capacity().min(data.len()));
        body.send_data(piece, false).expect("it must be open");
    }
}

/// Sends every piece of a body back as it comes, and its trailers at the end.
pub(super) async fn echo((request, mut to): Asked) {
    let mut response = Response::new(());
    *response.headers_mut() = HeaderMap::new();
    let mut back = to.send_response(response, false).expect("it must be open");
    let mut body = request.into_body();
    while let Some(data) = body.data().await {
        let Ok(data) = data else { return back.send_reset(Reason::CANCEL) };
        body.flow_control().release_capacity(data.len()).expect("it must be held");
        send(&mut back, data).await;
    }
    match body.trailers().await {
        Ok(Some(trailers)) => back.send_trailers(trailers).expect("it must be open"),
        Ok(None) => back.send_data(Bytes::new(), true).expect("it must be open"),
        Err(_) => back.send_reset(Reason::CANCEL),
    }
}

/// Runs beside the test.
#[expect(clippy::disallowed_methods, reason = "the test waits for the result")]
pub(super) fn life_join<T: 'static>(
    future: impl Future<Output = T> + 'static,
) -> tokio::task::JoinHandle<T> {
    tokio::task::spawn_local(future)
}
