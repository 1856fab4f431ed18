//! What a session takes while nothing happens.

use std::rc::Rc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::LocalSet;

use super::*;
use crate::life::spawn_local;
use crate::net::SharedBuffers;
use crate::plane::Accepted;
use crate::plane::l4::tcp;
use crate::plane::tests::{Core, Manual, backend};
use crate::plane::tls::Stream;
use crate::snapshot::{SocketKey, Transport};

const SESSIONS: i64 = 64;

struct World {
    core: Core,
    buffers: Rc<SharedBuffers>,
    listener: TcpListener,
    origin: Manual,
}

/// Opens sessions, each of which moves bulk both ways, and then waits.
async fn open(world: &World) -> Vec<(TcpStream, TcpStream)> {
    let frontend = frontend(vec![share(1, backend("web", Transport::Tcp, &[world.origin.addr]))]);
    let addr = world.listener.local_addr().expect("an address");
    let key = SocketKey { transport: Transport::Tcp, addr };
    let mut sessions = Vec::new();
    for _ in 0..SESSIONS {
        let (client, accepted) = tokio::join!(TcpStream::connect(addr), world.listener.accept());
        let (stream, from) = accepted.expect("it must be accepted");
        let accepted = Accepted { stream: Stream::Plain(stream), client: from, key };
        let (local, buffers) = (world.core.local.clone(), world.buffers.clone());
        let session = tcp::serve(local, buffers, accepted, vec![], frontend.clone());
        assert!(size_of_val(&session) <= 1200, "{}", size_of_val(&session));
        spawn_local("session", session);
        let mut client = client.expect("it must connect");
        let mut endpoint = world.origin.accept().await.stream;
        move_bulk(&mut client, &mut endpoint).await;
        move_bulk(&mut endpoint, &mut client).await;
        sessions.push((client, endpoint));
    }
    sessions
}

async fn move_bulk(from: &mut TcpStream, to: &mut TcpStream) {
    let (sent, mut read) = (vec![7; 500_000], vec![0; 500_000]);
    let (sent, read) = tokio::join!(from.write_all(&sent), to.read_exact(&mut read));
    sent.expect("it must be sent");
    read.expect("it must arrive");
}

/// Ten thousand of them would take less than 64 MiB by far; their client and endpoint are among what
/// is counted.
#[test]
fn an_idle_session_costs_at_most_three_kibibytes_whatever_it_has_moved() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let (runtime, tasks) = (runtime.expect("a runtime must start"), LocalSet::new());
    let (world, before) = tasks.block_on(&runtime, async {
        let world = World {
            core: Core::new(),
            buffers: Rc::default(),
            listener: TcpListener::bind("127.0.0.1:0").await.expect("port 0 must be free"),
            origin: Manual::new().await,
        };
        let sessions = open(&world).await;
        (world, sessions)
    });
    let mut sessions = Vec::new();
    let allocated = allocation_counter::measure(|| {
        sessions = tasks.block_on(&runtime, open(&world));
    });
    let each = allocated.bytes_current / SESSIONS;
    assert!((200..=3072).contains(&each), "{each} bytes");
    drop((before, sessions));
}
