//! Memory of what L4 carries, in the release binary: `cargo bench --bench l4`.
//!
//! Prints, and fails above: 100,000 UDP flows take 64 MiB more than none; 10,000 idle TCP
//! connections 64 MiB, or as many of them as the limit of open files lets there be.
//! `--quick` makes a tenth of everything, for the tests, and allows 2 MiB for what does not depend on
//! how many there are.

use std::collections::HashSet;
use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rutter::net::{
    Departure, Inbox, ReusePort, bind_udp, enlarge_receive_buffer, raise_limit, send_departures,
    tell_details,
};
use tokio::io::Interest;
use tokio::net::UdpSocket;

fn main() {
    let scale = if std::env::args().any(|arg| arg == "--quick") { 10 } else { 1 };
    let limit = usize::try_from(raise_limit()).unwrap_or(usize::MAX);
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        flows(100_000 / scale).await;
        // either end of a connection is here
        connections((10_000 / scale).min(limit.saturating_sub(1_000) / 2)).await;
    });
}

/// Memory of so many UDP flows, one a client.
async fn flows(count: usize) {
    let endpoints = Ends::new();
    let clients = Ends::new();
    let rutter = Rutter::start("UDP", endpoints.port());
    let service = SocketAddr::from((SERVICE, PORT));
    exchange(&clients, &endpoints, service, 0..BATCH).await;
    let before = rutter.rss_kib();
    for start in (BATCH..count + BATCH).step_by(BATCH) {
        exchange(&clients, &endpoints, service, start..(start + BATCH).min(count + BATCH)).await;
    }
    report(
        "UDP flows",
        count,
        rutter.rss_kib().saturating_sub(before),
        64 * 1024 * count / 100_000,
    );
}

/// Has clients by these numbers ask until each has its answer.
async fn exchange(
    clients: &Ends,
    endpoints: &Ends,
    service: SocketAddr,
    numbers: std::ops::Range<usize>,
) {
    let mut waiting: HashSet<IpAddr> = numbers.map(client).collect();
    let mut inbox = Inbox::with_details();
    for _ in 0..ATTEMPTS {
        let ask = |from: &IpAddr| Departure {
            bytes: b"hello",
            to: service,
            from: Some(*from),
            segment: None,
        };
        send_departures(&clients.0, &waiting.iter().map(ask).collect::<Vec<_>>());
        let patience = tokio::time::sleep(PATIENCE);
        tokio::pin!(patience);
        while !waiting.is_empty() {
            tokio::select! {
                _ = endpoints.0.readable() => {
                    endpoints.receive(&mut inbox);
                    let back = inbox.arrivals().map(|it| Departure {
                        bytes: it.bytes,
                        to: it.from,
                        from: it.at,
                        segment: None,
                    });
                    send_departures(&endpoints.0, &back.collect::<Vec<_>>());
                }
                _ = clients.0.readable() => {
                    clients.receive(&mut inbox);
                    for at in inbox.arrivals().filter_map(|it| it.at) {
                        waiting.remove(&at);
                    }
                }
                () = &mut patience => break,
            }
            inbox.clear();
        }
        if waiting.is_empty() {
            return;
        }
    }
    panic!("{} clients have no answer", waiting.len());
}

/// Memory of so many idle connections.
async fn connections(count: usize) {
    let listener = tokio::net::TcpListener::bind("0.0.0.0:0").await.expect("a listener");
    let port = listener.local_addr().expect("an address").port();
    let rutter = Rutter::start("TCP", port);
    let mut held = Vec::new();
    let mut before = 0;
    for number in 0..=count {
        let connect = tokio::net::TcpStream::connect((SERVICE, PORT));
        let both = async { tokio::join!(connect, listener.accept()) };
        let both = tokio::time::timeout(Duration::from_secs(10), both).await;
        let (client, endpoint) = both.unwrap_or_else(|_| panic!("{number} connections carried"));
        held.push((client.expect("connected"), endpoint.expect("accepted").0));
        if number == 0 {
            before = rutter.rss_kib();
        }
    }
    let kib = rutter.rss_kib().saturating_sub(before);
    report("idle TCP connections", count, kib, 64 * 1024 * count / 10_000);
}

fn report(what: &str, count: usize, kib: usize, limit: usize) {
    println!("{count} {what} take {} KiB, {} bytes each", kib, kib * 1024 / count.max(1));
    let is_quick = std::env::args().any(|arg| arg == "--quick");
    let limit = limit + if is_quick { 2 * 1024 } else { 0 };
    assert!(kib <= limit, "{kib} KiB is more than {limit} KiB");
}

/// Clients, or endpoints, of every loopback address at one port.
struct Ends(UdpSocket);

impl Ends {
    fn new() -> Self {
        let any = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
        let socket = bind_udp(any, ReusePort::No).expect("port 0 must be free");
        tell_details(&socket, true).expect("a socket takes options");
        enlarge_receive_buffer(&socket, 4 << 20);
        Self(UdpSocket::from_std(socket).expect("a runtime"))
    }

    fn port(&self) -> u16 {
        self.0.local_addr().expect("an address").port()
    }

    /// Takes in what is there, perhaps nothing.
    fn receive(&self, inbox: &mut Inbox) {
        let _ = self.0.try_io(Interest::READABLE, || match inbox.receive(&self.0) {
            Ok(true) => Err(ErrorKind::WouldBlock.into()),
            Ok(false) => Ok(()),
            Err(error) => Err(error),
        });
    }
}

/// The address of a client.
fn client(number: usize) -> IpAddr {
    let number = u32::try_from(number).expect("a few");
    Ipv4Addr::from(u32::from(Ipv4Addr::new(127, 130, 0, 1)) + number).into()
}

/// The binary, with one Service.
struct Rutter {
    child: Child,
    dir: tempfile::TempDir,
}

impl Rutter {
    fn start(protocol: &str, port: u16) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let manifest = dir.path().join("service.yaml");
        fs::write(&manifest, manifests(protocol, port)).expect("a file");
        let log = fs::File::create(dir.path().join("log")).expect("a file");
        let admin = format!("127.0.0.1:{}", free_port());
        let child = Command::new(env!("CARGO_BIN_EXE_rutter"))
            .args(["run", "--http-port", "off", "--https-port", "off", "--dns-listen", "off"])
            .args(["--workers", "1", "--admin", &admin, "--manifests"])
            .arg(&manifest)
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("rutter starts");
        let mut rutter = Self { child, dir };
        rutter.wait(&admin);
        rutter
    }

    /// Until it serves; otherwise says what it said.
    fn wait(&mut self, admin: &str) {
        for _ in 0..400 {
            if ready(admin).is_some_and(|answer| answer.starts_with("HTTP/1.1 200")) {
                return;
            }
            if self.child.try_wait().expect("a child").is_some() {
                break;
            }
            std::thread::park_timeout(Duration::from_millis(25));
        }
        let log = fs::read_to_string(self.dir.path().join("log")).unwrap_or_default();
        panic!("rutter does not serve; {:?}\n{log}", ready(admin));
    }

    /// Resident memory.
    fn rss_kib(&self) -> usize {
        let status = format!("/proc/{}/status", self.child.id());
        let status = fs::read_to_string(status).expect("procfs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("VmRSS");
        line.split_whitespace().next().and_then(|text| text.parse().ok()).expect("KiB")
    }
}

impl Drop for Rutter {
    fn drop(&mut self) {
        // it may have ended by itself
        let _ = self.child.kill().and_then(|()| self.child.wait());
    }
}

fn manifests(protocol: &str, port: u16) -> String {
    let endpoints: String =
        (1..=200).map(|last| format!("- {{addresses: [127.97.1.{last}]}}\n")).collect();
    format!(
        "apiVersion: v1\nkind: Service\nmetadata: {{name: carried}}\nspec: {{clusterIP: {SERVICE}, \
         ports: [{{name: p, port: {PORT}, protocol: {protocol}}}]}}\n---\napiVersion: \
         discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {{name: carried, labels: \
         {{kubernetes.io/service-name: carried}}}}\naddressType: IPv4\nports: [{{name: p, port: \
         {port}, protocol: {protocol}}}]\nendpoints:\n{endpoints}"
    )
}

/// What the admin API says of readiness.
fn ready(admin: &str) -> Option<String> {
    let mut stream = TcpStream::connect(admin).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(1))).ok()?;
    stream
        .write_all(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        .ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    Some(answer)
}

/// As free as it can be before somebody binds it.
fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("an address").port()
}

/// An address of the default range of Services; nobody else is there.
const SERVICE: Ipv4Addr = Ipv4Addr::new(127, 96, 7, 1);
const PORT: u16 = 5300;
/// Clients at a time: as many as a receive buffer holds.
const BATCH: usize = 128;
/// How often a client asks, and how long it waits for an answer each time.
const ATTEMPTS: usize = 20;
const PATIENCE: Duration = Duration::from_millis(500);
