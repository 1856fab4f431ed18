//! `rutter echo`: the built-in backend, a thread a core.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use anyhow::Context;
use tokio::runtime::{Builder, Runtime};
use tokio::task::LocalSet;
use tracing_subscriber::filter::Targets;

use super::address::address;
use super::exit;
use crate::echo::{Bound, Echo, Identity, Tls};
use crate::life::{Drain, Signal, Signals, drain};
use crate::observe::log;

/// Options of `echo`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Answer HTTP/1.1, h2c and gRPC here; may repeat [default: 8080 if nothing else is asked for]
    #[arg(long, value_name = "[IP:]PORT", value_parser = address)]
    http: Vec<SocketAddr>,

    /// Answer HTTP/1.1, HTTP/2 and gRPC over TLS here; may repeat
    #[arg(long, value_name = "[IP:]PORT", value_parser = address, requires = "tls_cert")]
    https: Vec<SocketAddr>,

    /// Echo TCP here; may repeat
    #[arg(long, value_name = "[IP:]PORT", value_parser = address)]
    tcp: Vec<SocketAddr>,

    /// Echo TCP over TLS here; may repeat
    #[arg(long, value_name = "[IP:]PORT", value_parser = address, requires = "tls_cert")]
    tcp_tls: Vec<SocketAddr>,

    /// Echo UDP here; may repeat
    #[arg(long, value_name = "[IP:]PORT", value_parser = address)]
    udp: Vec<SocketAddr>,

    /// Certificate for TLS, PEM, with its chain
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,

    /// Private key for TLS, PEM
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,

    /// Authority of clients, PEM: a client that shows a certificate must have it from there
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_client_ca: Option<PathBuf>,

    /// Name that is told in answers
    #[arg(long, value_name = "NAME", env = "POD_NAME", default_value = "echo")]
    pod: String,

    /// Namespace that is told in answers
    #[arg(
        long,
        value_name = "NAME",
        env = "NAMESPACE",
        default_value = "",
        hide_default_value = true
    )]
    namespace: String,

    /// Service that is told in answers
    #[arg(
        long,
        value_name = "NAME",
        env = "SERVICE_NAME",
        default_value = "",
        hide_default_value = true
    )]
    service: String,

    /// Ingress that is told in answers
    #[arg(
        long,
        value_name = "NAME",
        env = "INGRESS_NAME",
        default_value = "",
        hide_default_value = true
    )]
    ingress: String,

    /// Line sent first on TCP connections and in UDP answers
    #[arg(long, value_name = "TEXT")]
    greeting: Option<String>,

    /// Answer `GET /` in JSON too, which is plain text otherwise (much cheaper)
    #[arg(long)]
    json: bool,

    /// Answer as the echo server of Gateway API's conformance suite: JSON for `GET /` and for
    /// datagrams; TCP speaks first, then answers the lines TEST, IS_TLS and PING
    #[arg(long)]
    conformance: bool,

    /// Filter of the log, on standard error; debug tells every request but the cheap ones
    #[arg(long, value_name = "FILTER", env = "RUTTER_LOG", default_value = "info")]
    log: Targets,

    /// Threads [default: one a core]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,
}

/// Serves until SIGTERM or SIGINT.
pub fn run(args: &Args) -> ExitCode {
    match serve(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => exit::failure(error.as_ref()),
    }
}

/// How long connections may finish after the first signal.
const DRAIN: Duration = Duration::from_secs(5);

fn serve(args: &Args) -> anyhow::Result<()> {
    log::init(args.log.clone());
    let threads = args.threads.map_or_else(cores, usize::from);
    let bound = echo(args)?.bind_threads(threads)?;
    announce(&bound);
    let (signal, drain) = drain();
    for (number, bound) in bound.into_iter().enumerate() {
        let (drain, runtime) = (drain.clone(), runtime()?);
        thread::Builder::new()
            .name(format!("echo-{number}"))
            .spawn(move || serve_thread(&runtime, bound, drain))
            .context("cannot start a thread")?;
    }
    drop(drain);
    runtime()?.block_on(async {
        let mut signals = Signals::new().context("cannot listen for signals")?;
        while signals.next().await != Signal::Terminate {}
        signal.start();
        tokio::select! {
            _ = signal.finished(DRAIN) => {}
            _ = signals.next() => {}
        }
        Ok(())
    })
}

fn serve_thread(runtime: &Runtime, bound: Bound, drain: Drain) {
    let mut tasks = LocalSet::new();
    let served = tasks.block_on(runtime, bound.run(drain));
    if let Err(error) = served {
        tracing::error!(%error, "cannot serve");
    }
    // what the drain found under way
    runtime.block_on(&mut tasks);
}

fn runtime() -> anyhow::Result<Runtime> {
    Builder::new_current_thread().enable_all().build().context("cannot start a runtime")
}

fn cores() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

fn echo(args: &Args) -> anyhow::Result<Echo> {
    let asked = [&args.http, &args.https, &args.tcp, &args.tcp_tls, &args.udp];
    let asks_for_nothing = asked.iter().all(|addrs| addrs.is_empty());
    let http = if asks_for_nothing { vec![DEFAULT_HTTP] } else { args.http.clone() };
    Ok(Echo {
        http,
        https: args.https.clone(),
        tcp: args.tcp.clone(),
        tcp_tls: args.tcp_tls.clone(),
        udp: args.udp.clone(),
        identity: Identity {
            pod: args.pod.as_str().into(),
            namespace: args.namespace.as_str().into(),
            service: args.service.as_str().into(),
            ingress: args.ingress.as_str().into(),
            greeting: args.greeting.as_deref().map(Into::into),
        },
        tls: tls(args)?,
        json: args.json,
        conformance: args.conformance,
        ..Echo::default()
    })
}

fn tls(args: &Args) -> anyhow::Result<Option<Tls>> {
    let (Some(certificate), Some(key)) = (&args.tls_cert, &args.tls_key) else { return Ok(None) };
    let client_ca = args.tls_client_ca.as_deref().map(read).transpose()?;
    Ok(Some(Tls { certificate: read(certificate)?, key: read(key)?, client_ca }))
}

fn read(file: &Path) -> anyhow::Result<Vec<u8>> {
    std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))
}

const DEFAULT_HTTP: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED), 8080);

/// One line an address, with the port that port 0 became.
fn announce(bound: &[Bound]) {
    let Some(first) = bound.first() else { return };
    for (protocol, addrs) in [
        ("http", first.http_addrs()),
        ("https", first.https_addrs()),
        ("tcp", first.tcp_addrs()),
        ("tcp over tls", first.tcp_tls_addrs()),
        ("udp", first.udp_addrs()),
    ] {
        for addr in addrs {
            eprintln!("rutter echo: {protocol} on {addr}, {} threads", bound.len());
        }
    }
}
