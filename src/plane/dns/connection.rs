//! DNS over one TCP connection (RFC 7766).

use std::io;
use std::net::IpAddr;
use std::rc::Rc;

use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::limits::QUERY;
use super::server::{Next, Server};
use crate::life::spawn_local;
use crate::snapshot::Transport;

/// Answers queries until the client closes, is idle or has had its share. Answers of the cluster
/// have the order of their questions; one that waits for upstreams lets others pass (RFC 7766
/// section 6.2.1.1). A drain ends the connection between two queries.
pub(super) async fn serve(server: Rc<Server>, stream: TcpStream, client: IpAddr) {
    let guard = server.local.drain.guard();
    let _ = stream.set_nodelay(true);
    let (queries, replies) = stream.into_split();
    let (sender, receiver) = mpsc::channel(WRITTEN_AT_ONCE);
    let reading = async {
        // errors are the client's own business: it closed, or sent no more; what it has asked for
        // already is answered
        let _ = read_queries(&server, queries, client, sender).await;
        Ok(())
    };
    let _ = tokio::try_join!(reading, write_answers(&server, replies, receiver));
    drop(guard);
}

async fn read_queries(
    server: &Rc<Server>,
    stream: OwnedReadHalf,
    client: IpAddr,
    answers: mpsc::Sender<Vec<u8>>,
) -> io::Result<()> {
    let mut stream = BufReader::with_capacity(BUFFER, stream);
    for _ in 0..server.limits.queries {
        let request = tokio::select! {
            biased;
            () = server.local.drain.started() => return Ok(()),
            request = timeout(server.limits.idle, read(&mut stream)) => request??,
        };
        let mut answer = Vec::new();
        match server.answer(&request, client, Transport::Tcp, &mut answer) {
            Next::Nothing => {}
            Next::Send => {
                if answers.send(answer).await.is_err() {
                    return Ok(());
                }
            }
            Next::Wait(waiting) => {
                let (server, answers) = (server.clone(), answers.clone());
                spawn_local("dns forward", async move {
                    if server.forward(waiting, client, &mut answer).await {
                        let _ = answers.send(answer).await;
                    }
                });
            }
        }
    }
    Ok(())
}

/// Ends when nobody has anything to answer any more. Each answer has its length in front, and is
/// written at once with it.
async fn write_answers(
    server: &Server,
    mut stream: OwnedWriteHalf,
    mut answers: mpsc::Receiver<Vec<u8>>,
) -> io::Result<()> {
    let mut message = Vec::new();
    while let Some(answer) = answers.recv().await {
        let Ok(length) = u16::try_from(answer.len()) else { continue };
        message.clear();
        message.extend(length.to_be_bytes());
        message.extend(answer);
        timeout(server.limits.write, stream.write_all(&message)).await??;
    }
    stream.shutdown().await
}

/// One query, of which a length stands in front. Not cancel-safe: dropped only with the stream.
async fn read(stream: &mut BufReader<OwnedReadHalf>) -> io::Result<Vec<u8>> {
    let length = usize::from(stream.read_u16().await?);
    if length > QUERY {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut request = vec![0; length];
    stream.read_exact(&mut request).await?;
    Ok(request)
}

/// Bytes read at a time: several queries of one client that pipelines.
const BUFFER: usize = 1024;

/// Answers that may wait for the client to take them; then its queries wait.
const WRITTEN_AT_ONCE: usize = 4;
