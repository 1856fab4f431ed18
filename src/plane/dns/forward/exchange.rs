//! One query to one upstream: UDP, and TCP for what does not fit.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};

use super::query::{Asked, Query};
use super::reply::{Rejected, Reply};

/// Asks, from a socket of its own: the system draws the port (D7). Waits for ever for an answer that
/// does not come.
pub(super) async fn exchange(upstream: SocketAddr, asked: &Asked) -> io::Result<Reply> {
    let query = Query::new(asked);
    match by_datagram(upstream, &query).await? {
        Ok(reply) => Ok(reply),
        Err(Rejected::Truncated) => by_stream(upstream, &Query::new(asked)).await,
        Err(Rejected::Lying | Rejected::NotOurs) => Err(io::ErrorKind::InvalidData.into()),
    }
}

/// Whatever is not the answer to this query is passed over.
async fn by_datagram(upstream: SocketAddr, query: &Query) -> io::Result<Result<Reply, Rejected>> {
    let any: SocketAddr = match upstream {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let socket = UdpSocket::bind(any).await?;
    // only its datagrams are received, and that nobody listens there is an error at once
    socket.connect(upstream).await?;
    socket.send(&query.bytes).await?;
    let mut buffer = vec![0; LARGEST_DATAGRAM];
    loop {
        let length = socket.recv(&mut buffer).await?;
        let read = Reply::read(buffer.get(..length).unwrap_or_default(), query, false);
        if read != Err(Rejected::NotOurs) {
            return Ok(read);
        }
    }
}

async fn by_stream(upstream: SocketAddr, query: &Query) -> io::Result<Reply> {
    let mut stream = TcpStream::connect(upstream).await?;
    stream.set_nodelay(true)?;
    let length = u16::try_from(query.bytes.len()).unwrap_or_default();
    stream.write_all(&[&length.to_be_bytes(), query.bytes.as_slice()].concat()).await?;
    let mut message = vec![0; usize::from(stream.read_u16().await?)];
    stream.read_exact(&mut message).await?;
    Reply::read(&message, query, true).map_err(|_| io::ErrorKind::InvalidData.into())
}

/// Bytes; some upstreams send more than the 1232 that they are told.
const LARGEST_DATAGRAM: usize = 4096;
