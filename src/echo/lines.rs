//! TCP as the echo server of Gateway API's conformance suite speaks it: the server begins, then
//! answers lines.
//!
//! | line | answer |
//! |---|---|
//! | `TEST` | who answers, and how TLS was agreed on, as JSON in one line |
//! | `IS_TLS` | `true` or `false` |
//! | `PING` | `PONG` |
//! | anything else | nothing |

use std::io;

use serde::Serialize;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};

use super::Identity;
use super::tls::Session;
use crate::life::DrainGuard;

/// What the server says first.
const WELCOME: &str = "Gateway API Test TCP Server\n";

/// A longer line ends the conversation.
const LONGEST_LINE: u64 = 64 * 1024;

/// Serves one connection until its client closes its half.
pub(super) async fn serve<S>(
    stream: S,
    tls: Option<Session>,
    port: u16,
    identity: Identity,
    _held: DrainGuard,
) where
    S: AsyncRead + AsyncWrite + Unpin,
{
    // how a client leaves is its own affair
    let _ = converse(stream, tls, port, &identity).await;
}

async fn converse<S>(
    stream: S,
    tls: Option<Session>,
    port: u16,
    identity: &Identity,
) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut stream = BufReader::new(stream);
    stream.write_all(WELCOME.as_bytes()).await?;
    stream.flush().await?;
    let told = Told::new(tls, port, identity);
    let mut line = String::new();
    loop {
        line.clear();
        let read = (&mut stream).take(LONGEST_LINE).read_line(&mut line).await?;
        if read == 0 || !line.ends_with('\n') && read as u64 == LONGEST_LINE {
            return stream.shutdown().await;
        }
        let answer = match line.trim_end_matches(['\r', '\n']) {
            "TEST" => serde_json::to_string(&told)?,
            "IS_TLS" => told.is_tls.to_string(),
            "PING" => "PONG".to_owned(),
            _ => continue,
        };
        stream.write_all(format!("{answer}\n").as_bytes()).await?;
        stream.flush().await?;
    }
}

#[derive(Debug, Serialize)]
struct Told<'a> {
    namespace: &'a str,
    ingress: &'a str,
    service: &'a str,
    pod: &'a str,
    #[serde(rename = "tcpport", skip_serializing_if = "Option::is_none")]
    tcp_port: Option<String>,
    #[serde(rename = "tlsport", skip_serializing_if = "Option::is_none")]
    tls_port: Option<String>,
    #[serde(rename = "isTLS")]
    is_tls: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    tls: Option<Session>,
}

impl<'a> Told<'a> {
    fn new(tls: Option<Session>, port: u16, identity: &'a Identity) -> Self {
        let is_tls = tls.is_some();
        Self {
            namespace: &identity.namespace,
            ingress: &identity.ingress,
            service: &identity.service,
            pod: &identity.pod,
            tcp_port: (!is_tls).then(|| port.to_string()),
            tls_port: is_tls.then(|| port.to_string()),
            is_tls,
            tls,
        }
    }
}
