//! Pods that come, go and fall ill under load.
//!
//! Rolling update: every pod of a Service is replaced by another one, and nothing fails.
//! A pod that is told to end does what careless ones do: it refuses connections at once, resets those
//! that are idle (those that proxies keep) and closes the others after their answer. Everybody
//! is told of it late.

mod common;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use common::http::{Client, Response};
use common::{Block, Site, block_on};
use rutter::life::spawn_local;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::Instant;

/// How often each POST was executed, by its id.
type Executed = Arc<Mutex<HashMap<String, usize>>>;

/// A pod: a thread with a server.
struct Pod {
    stop: watch::Sender<bool>,
    /// Idle connections that were reset at its end.
    reset: Arc<AtomicUsize>,
    /// Whether it answers checks by 503.
    is_ill: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Pod {
    fn start(addr: SocketAddr, executed: &Executed) -> Self {
        let (stop, stopped) = watch::channel(false);
        let listener = std::net::TcpListener::bind(addr).expect("the pod's address must be free");
        listener.set_nonblocking(true).expect("a socket");
        let (reset, executed) = (Arc::<AtomicUsize>::default(), executed.clone());
        let is_ill = Arc::<AtomicBool>::default();
        let server =
            Server { addr, executed, stopped, reset: reset.clone(), is_ill: is_ill.clone() };
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            tokio::task::LocalSet::new().block_on(&runtime.expect("a runtime"), async {
                server.run(TcpListener::from_std(listener).expect("a socket")).await;
            });
        });
        Self { stop, reset, is_ill, thread: Some(thread) }
    }

    /// SIGTERM, as it were; gives how many idle connections it reset.
    fn stop(mut self) -> usize {
        self.stop.send_replace(true);
        self.thread.take().expect("a thread").join().expect("it must end");
        self.reset.load(Ordering::Relaxed)
    }
}

#[derive(Clone)]
struct Server {
    addr: SocketAddr,
    is_ill: Arc<AtomicBool>,
    executed: Executed,
    stopped: watch::Receiver<bool>,
    reset: Arc<AtomicUsize>,
}

impl Server {
    async fn run(mut self, listener: TcpListener) {
        // the end of every connection is the end of this
        let open = Rc::<()>::default();
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                _ = self.stopped.wait_for(|stopped| *stopped) => break,
            };
            let (stream, _) = accepted.expect("a connection");
            let (server, open) = (self.clone(), open.clone());
            spawn_local("pod", async move {
                server.serve(BufReader::new(stream)).await;
                drop(open);
            });
        }
        drop(listener);
        while Rc::strong_count(&open) > 1 {
            tokio::task::yield_now().await;
        }
    }

    async fn serve(mut self, mut stream: BufReader<TcpStream>) -> Option<()> {
        loop {
            let first = tokio::select! {
                biased;
                _ = self.stopped.wait_for(|stopped| *stopped) => {
                    rutter::net::reset_on_drop(stream.get_ref());
                    self.reset.fetch_add(1, Ordering::Relaxed);
                    return None;
                }
                first = line(&mut stream) => first?,
            };
            let (mut id, mut length) = (String::new(), 0);
            loop {
                let field = line(&mut stream).await?.to_ascii_lowercase();
                let Some((name, value)) = field.split_once(':') else { break };
                match name {
                    "x-id" => id = value.trim().to_owned(),
                    "content-length" => length = value.trim().parse().ok()?,
                    _ => {}
                }
            }
            stream.read_exact(&mut vec![0; length]).await.ok()?;
            if first.starts_with("POST") {
                *self.executed.lock().expect("a count").entry(id).or_default() += 1;
            }
            // some are at work when the end comes
            tokio::time::sleep(Duration::from_millis(1)).await;
            let is_last = *self.stopped.borrow();
            let close = if is_last { "Connection: close\r\n" } else { "" };
            let is_refused = first.contains("/healthz") && self.is_ill.load(Ordering::Relaxed);
            let status = if is_refused { "503 Service Unavailable" } else { "200 OK" };
            let pod = self.addr.ip();
            let answer =
                format!("HTTP/1.1 {status}\r\nContent-Length: 2\r\nX-Pod: {pod}\r\n{close}\r\nok");
            stream.write_all(answer.as_bytes()).await.ok()?;
            if is_last {
                return stream.shutdown().await.ok();
            }
        }
    }
}

/// `None` at the end of the connection.
async fn line(stream: &mut BufReader<TcpStream>) -> Option<String> {
    let mut line = String::new();
    let length = stream.read_line(&mut line).await.ok()?;
    (length > 0).then(|| line.trim_end().to_owned())
}

/// What became of the requests of one client.
#[derive(Default)]
struct Outcome {
    gets: usize,
    failed_gets: Vec<String>,
    posts: HashMap<String, bool>,
}

/// A client that sends GET and POST in turn on one connection, until `done`.
fn load(addr: SocketAddr, number: usize, done: &AtomicBool) -> Outcome {
    let mut outcome = Outcome::default();
    let mut client = Client::connect(addr);
    let clock = tokio::runtime::Builder::new_current_thread().enable_time().build();
    let clock = clock.expect("a runtime");
    let start = Instant::now();
    for turn in 0_u32.. {
        if done.load(Ordering::Relaxed) {
            break;
        }
        let due = start + PACE * turn;
        clock.block_on(async { tokio::time::sleep_until(due).await });
        let is_get = turn % 2 == 0;
        let id = format!("{number}-{turn}");
        let request = match is_get {
            true => "GET / HTTP/1.1\r\nHost: a.test\r\n\r\n".to_owned(),
            false => format!(
                "POST / HTTP/1.1\r\nHost: a.test\r\nX-Id: {id}\r\nContent-Length: 4\r\n\r\nbody"
            ),
        };
        let response = client.send(request.as_bytes()).response();
        let is_ok = response.as_ref().is_some_and(|it| it.status == 200);
        if is_get {
            outcome.gets += 1;
            if !is_ok {
                outcome.failed_gets.push(format!("{id}: {}", told(response.as_ref())));
            }
        } else {
            outcome.posts.insert(id, is_ok);
        }
        let is_closed = |it: &Response| it.header("connection") == Some("close");
        if response.as_ref().is_none_or(is_closed) {
            client = Client::connect(addr);
        }
    }
    outcome
}

fn told(response: Option<&Response>) -> String {
    response.map_or_else(|| "no answer".to_owned(), |it| format!("{} {}", it.status, it.text()))
}

/// The Service's endpoints.
fn slice(pods: &[u8]) -> String {
    let endpoint = |last: &u8| format!("{{addresses: [NET.{last}], conditions: {{ready: true}}}}");
    let endpoints: Vec<_> = pods.iter().map(endpoint).collect();
    format!(
        "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {{name: web-1, labels: \
         {{kubernetes.io/service-name: web}}}}\naddressType: IPv4\nports: [{{name: http, port: \
         8080}}]\nendpoints: [{}]\n",
        endpoints.join(", ")
    )
}

const SERVICE: &str = r#"
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {ports: [{name: http, port: 80, targetPort: 8080}]}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: web}
spec: {defaultBackend: {service: {name: web, port: {name: http}}}}
"#;

/// All of them together send a thousand requests a second.
const CLIENTS: usize = 8;
const PACE: Duration = Duration::from_millis(8);
/// How late the endpoints are updated.
const LATE: [Duration; 3] = [Duration::ZERO, Duration::from_secs(1), Duration::from_secs(5)];

#[test]
fn rolling_the_pods_fails_no_get_and_runs_no_post_twice() {
    let block = Block::claim();
    let executed = Executed::default();
    let start = |last: u8| Pod::start(block.addr(last, 8080), &executed);
    let mut pods: Vec<(u8, Pod)> = (130..133).map(|last| (last, start(last))).collect();
    let lasts = |pods: &[(u8, Pod)]| slice(&pods.iter().map(|it| it.0).collect::<Vec<_>>());
    // the address of the next pod, while the site owns the block
    let next: Vec<_> = (133..133 + 9).map(|last| block.addr(last, 8080)).collect();
    let site = Site::start_in(block, SERVICE, |_| {});
    site.save("endpoints.yaml", &lasts(&pods));
    let (done, addr) = (AtomicBool::new(false), site.http());
    let mut reset = 0;
    let outcomes: Vec<Outcome> = std::thread::scope(|scope| {
        let done = &done;
        let clients: Vec<_> =
            (0..CLIENTS).map(|number| scope.spawn(move || load(addr, number, done))).collect();
        let mut next = (133_u8..).zip(next);
        for late in LATE {
            for _ in 0..3 {
                let (last, addr) = next.next().expect("an address");
                pods.push((last, Pod::start(addr, &executed)));
                site.save("endpoints.yaml", &lasts(&pods));
                let (_, old) = pods.remove(0);
                reset += old.stop();
                block_on(async { tokio::time::sleep(late).await });
                site.save("endpoints.yaml", &lasts(&pods));
            }
        }
        done.store(true, Ordering::Relaxed);
        clients.into_iter().map(|it| it.join().expect("a client")).collect()
    });
    check(&outcomes, &executed.lock().expect("counts"), reset);
}

fn check(outcomes: &[Outcome], executed: &HashMap<String, usize>, reset: usize) {
    let gets: usize = outcomes.iter().map(|it| it.gets).sum();
    let failed: Vec<_> = outcomes.iter().flat_map(|it| &it.failed_gets).collect();
    assert!(failed.is_empty(), "{} of {gets} GETs failed: {failed:#?}", failed.len());
    let twice: Vec<_> = executed.iter().filter(|(_, count)| **count > 1).collect();
    assert!(twice.is_empty(), "POSTs that ran twice: {twice:?}");
    let posts: HashMap<_, _> = outcomes.iter().flat_map(|it| &it.posts).collect();
    let lost = posts.iter().filter(|(id, is_ok)| ***is_ok && !executed.contains_key(**id));
    assert_eq!(lost.count(), 0, "answered and never run");
    let failed = posts.values().filter(|is_ok| !***is_ok).count();
    assert!(failed * 100 <= posts.len(), "{failed} of {} POSTs failed", posts.len());
    // or the test has not tested anything
    assert!(gets > 1_000 && posts.len() > 1_000, "{gets} GETs and {} POSTs", posts.len());
    assert!(reset > 0, "no kept connection was reset");
    println!("{gets} GETs, {} POSTs, {failed} failed; {reset} resets", posts.len());
}

#[test]
fn a_pod_that_says_it_is_ill_gets_nothing_until_it_is_well() {
    let block = Block::claim();
    let (well, ill) = (block.addr(130, 8080), block.addr(131, 8080));
    let executed = Executed::default();
    let _well = Pod::start(well, &executed);
    let pod = Pod::start(ill, &executed);
    let annotations = "annotations: {rutter.dev/health-check: http:/healthz, \
                       rutter.dev/health-check-interval: 100ms, rutter.dev/slow-start: 0s}";
    let service = SERVICE.replacen("{name: web}", &format!("{{name: web, {annotations}}}"), 1);
    let site = Site::start_in(block, &format!("{service}---\n{}", slice(&[130, 131])), |_| {});
    let mut client = Client::connect(site.http());
    let mut wait_for = |expected: &[SocketAddr]| {
        let start = Instant::now();
        loop {
            let answers = (0..40).map(|_| client.get("a.test", "/"));
            let mut pods: Vec<_> =
                answers.map(|it| it.header("x-pod").expect("a pod").to_owned()).collect();
            pods.sort();
            pods.dedup();
            if pods == expected.iter().map(|it| it.ip().to_string()).collect::<Vec<_>>() {
                return;
            }
            assert!(start.elapsed() < common::PATIENCE, "{pods:?} in place of {expected:?}");
        }
    };
    wait_for(&[well, ill]);
    pod.is_ill.store(true, Ordering::Relaxed);
    wait_for(&[well]);
    let metrics = common::http::get(site.admin(), "localhost", "/metrics").text();
    let series =
        "rutter_endpoint_checks_total{service=\"default/web\",port=\"http\",result=\"failed\"}";
    assert!(metrics.contains(series), "{metrics}");
    pod.is_ill.store(false, Ordering::Relaxed);
    wait_for(&[well, ill]);
}
