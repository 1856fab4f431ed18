use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::life::spawn_local;
use crate::plane::Accepted;
use crate::plane::l4::tcp;
use crate::plane::tests::{Core, backend, named_echo, run};
use crate::plane::tls::Stream;
use crate::snapshot::{Serve, SocketKey, Transport};

/// Connects and tells who answered. An error: the connection was reset.
async fn hear(
    core: &Core,
    listener: &TcpListener,
    frontend: &Arc<Frontend>,
) -> std::io::Result<u8> {
    let addr = listener.local_addr()?;
    let (client, accepted) = tokio::join!(TcpStream::connect(addr), listener.accept());
    let (stream, client_addr) = accepted?;
    let key = SocketKey { transport: Transport::Tcp, addr };
    let accepted = Accepted { stream: Stream::Plain(stream), client: client_addr, key };
    let session =
        tcp::serve(core.local.clone(), Default::default(), accepted, vec![], frontend.clone());
    spawn_local("session", session);
    client?.read_u8().await
}

#[test]
fn connections_are_shared_by_weight_and_a_failed_share_is_reset() {
    run(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("port 0 must be free");
        let addr = listener.local_addr().expect("a bound socket must have an address");
        let key = SocketKey { transport: Transport::Tcp, addr };
        let backends = [
            backend("a", Transport::Tcp, &[named_echo("a").await]),
            backend("b", Transport::Tcp, &[named_echo("b").await]),
        ];
        for (parts, expected) in TABLE {
            let mut core = Core::new();
            let frontend = frontend_of(parts, &backends);
            core.publish(key, Serve::Frontend(frontend.clone()));
            let mut counts = [0; 3];
            for _ in 0..500 {
                let place = match hear(&core, &listener, &frontend).await {
                    Ok(b'a') => 0,
                    Ok(b'b') => 1,
                    Ok(other) => panic!("{other} answered"),
                    Err(error) => {
                        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
                        2
                    }
                };
                counts[place] += 1;
            }
            check(parts, counts, expected);
            core.until_ended(counts[2], "", Some(refusal(parts))).await;
        }
    });
}
