//! DNS over one TCP connection (RFC 7766).

use std::io;

use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::limits::QUERY;
use super::server::Server;
use crate::snapshot::Transport;

/// Answers queries in their order, one after the other, until the client closes, is idle or has
/// had its share. A drain ends the connection between two queries.
pub(super) async fn serve(server: &Server, stream: TcpStream) {
    let guard = server.local.drain.guard();
    let _ = stream.set_nodelay(true);
    // errors are the client's own business: it closed, or stopped reading
    let _ = exchange(server, BufReader::with_capacity(BUFFER, stream)).await;
    drop(guard);
}

async fn exchange(server: &Server, mut stream: BufReader<TcpStream>) -> io::Result<()> {
    for _ in 0..server.limits.queries {
        let request = tokio::select! {
            biased;
            () = server.local.drain.started() => return Ok(()),
            request = timeout(server.limits.idle, read(&mut stream)) => request??,
        };
        let Some(message) = answer(server, &request) else { continue };
        timeout(server.limits.write, stream.write_all(&message)).await??;
    }
    stream.shutdown().await
}

/// One query, of which a length stands in front. Not cancel-safe: dropped only with the stream.
async fn read(stream: &mut BufReader<TcpStream>) -> io::Result<Vec<u8>> {
    let length = usize::from(stream.read_u16().await?);
    if length > QUERY {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut request = vec![0; length];
    stream.read_exact(&mut request).await?;
    Ok(request)
}

/// The answer with its length in front, to be written at once.
fn answer(server: &Server, request: &[u8]) -> Option<Vec<u8>> {
    let mut answer = Vec::new();
    if !server.answer(request, Transport::Tcp, &mut answer) {
        return None;
    }
    let length = u16::try_from(answer.len()).ok()?;
    let mut message = Vec::with_capacity(answer.len() + 2);
    message.extend(length.to_be_bytes());
    message.extend(answer);
    Some(message)
}

/// Bytes read at a time: several queries of one client that pipelines.
const BUFFER: usize = 1024;
