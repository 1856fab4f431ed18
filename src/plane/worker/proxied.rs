//! Connections that begin with the PROXY protocol (`--proxy-protocol`).

use std::net::SocketAddr;
use std::rc::Rc;

use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

use super::sessions::Session;
use super::thread::Worker;
use crate::life::spawn_local;
use crate::net::{ProxyHeader, read_proxy_header};
use crate::plane::{Accepted, l4};
use crate::snapshot::{Exposure, Reason, SocketKey};

impl Worker {
    /// Reads the header in a task of its own, then serves the connection as that of the client that
    /// it names. Only a trusted proxy may tell: anybody else is reset, header or not.
    pub(super) fn serve_proxied(
        self: &Rc<Self>,
        mut stream: TcpStream,
        proxy: SocketAddr,
        key: SocketKey,
        session: Session,
    ) {
        let is_trusted = self.local.snapshot.load().network.is_trusted_proxy(proxy.ip());
        let worker = self.clone();
        spawn_local("proxy-protocol", async move {
            let told = match is_trusted {
                true => {
                    tokio::time::timeout(worker.local.limits.handshake_time, client(&mut stream))
                        .await
                }
                false => Ok(Err(Reason::SourceNotAllowed)),
            };
            match told.unwrap_or(Err(Reason::RequestTimeout)) {
                Ok(client) => worker.serve_as(stream, client.unwrap_or(proxy), key, session),
                Err(reason) => {
                    let accepted = Accepted { stream, client: proxy, key };
                    l4::tcp::refuse(&worker.local, &accepted, Exposure::Gateway, reason);
                }
            }
        });
    }
}

/// Whom the header names; no byte behind it is read.
async fn client(stream: &mut TcpStream) -> Result<Option<SocketAddr>, Reason> {
    let mut header = Vec::new();
    loop {
        match read_proxy_header(&header).map_err(|_| Reason::BadRequest)? {
            ProxyHeader::Whole(client) => return Ok(client),
            ProxyHeader::Needs(more) => {
                let mut piece = vec![0; more];
                stream.read_exact(&mut piece).await.map_err(|_| Reason::ClientClosed)?;
                header.append(&mut piece);
            }
        }
    }
}
