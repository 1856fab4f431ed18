//! TCP: an optional greeting, then every byte comes back.

use std::io;
use std::sync::Arc;

use tokio::io::{AsyncWriteExt, copy};
use tokio::net::TcpStream;

use crate::life::DrainGuard;

/// Serves one connection until its client closes its half.
pub(super) async fn serve(stream: TcpStream, greeting: Option<Arc<str>>, _held: DrainGuard) {
    // how a client leaves is its own affair
    let _ = echo(stream, greeting).await;
}

async fn echo(mut stream: TcpStream, greeting: Option<Arc<str>>) -> io::Result<()> {
    if let Some(greeting) = greeting {
        stream.write_all(format!("{greeting}\n").as_bytes()).await?;
    }
    let (mut receive, mut send) = stream.split();
    copy(&mut receive, &mut send).await?;
    send.shutdown().await
}
