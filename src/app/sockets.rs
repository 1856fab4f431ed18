//! The sockets of the process itself, opened before anything runs: whoever asked for one is told at
//! once if there is none.

use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};

use super::AppError;
use crate::balance::{self, Health};
use crate::config::{AccessLog, Announce, Config, DnsListen};
use crate::net::{ReusePort, bind_each, bind_udp, listen_tcp};
use crate::observe::Metrics;
use crate::plane::AnnounceGate;
use crate::plane::announce::Announcer;
use crate::plane::checks::Checker;
use crate::plane::dns;
use crate::plane::listeners::{remedy, warn_of_shared};
use crate::snapshot::{SocketKey, Transport};

/// The admin API's default address may be taken by another rutter: then this one does without.
pub(super) fn admin(config: &Config) -> Result<Option<TcpListener>, AppError> {
    let Some(addr) = config.admin else { return Ok(None) };
    match listen_tcp(addr, ReusePort::No) {
        Ok(listener) => Ok(Some(listener)),
        Err(error) if config.admin_is_default => {
            let remedy = remedy(addr, "--admin", &error);
            tracing::warn!("no admin API: cannot listen on {addr} (--admin): {remedy}");
            Ok(None)
        }
        Err(error) => {
            Err(AppError::Listen { what: "the admin API", option: "--admin", addr, error })
        }
    }
}

/// Where kube-proxy's own pages are.
pub(super) fn kube_proxy(config: &Config) -> Result<Vec<TcpListener>, AppError> {
    let listen = |addr: &SocketAddr| {
        let (what, option, addr) = ("kube-proxy's pages", "--kube-proxy-listen", *addr);
        listen_tcp(addr, ReusePort::No).map_err(|error| AppError::Listen {
            what,
            option,
            addr,
            error,
        })
    };
    config.kube_proxy.iter().map(listen).collect()
}

/// The DNS sockets of every worker, and where DNS listens over UDP and TCP.
pub(super) fn dns(config: &Config) -> Result<(Option<SocketAddr>, Vec<dns::Sockets>), AppError> {
    let (addr, plain) = plain(config)?;
    let tls = encrypted(config, "DNS over TLS", "--dns-tls-listen", config.dns_tls)?;
    let https = encrypted(config, "DNS over HTTPS", "--dns-https-listen", config.dns_https)?;
    let (mut plain, mut tls, mut https) = (plain.into_iter(), tls.into_iter(), https.into_iter());
    let sockets = |_| dns::Sockets { plain: plain.next(), tls: tls.next(), https: https.next() };
    Ok((addr, (0..config.workers).map(sockets).collect()))
}

/// A socket of each transport.
type Pair = (UdpSocket, TcpListener);

/// One pair a worker. `auto` goes on without where the port is not permitted.
fn plain(config: &Config) -> Result<(Option<SocketAddr>, Vec<Pair>), AppError> {
    let (addr, is_auto) = match config.dns {
        DnsListen::Off => return Ok((None, Vec::new())),
        DnsListen::At(addr) => (addr, false),
        DnsListen::Auto(addr) => (addr, true),
    };
    let pair = |reuse_port| Ok((bind_udp(addr, reuse_port)?, listen_tcp(addr, reuse_port)?));
    match bind_workers(config, SocketKey { transport: Transport::Udp, addr }, pair) {
        Ok(sockets) => Ok((Some(addr), sockets)),
        Err(error) if is_auto => {
            let remedy = remedy(addr, "--dns-listen", &error);
            tracing::warn!("no DNS: cannot listen on {addr} (--dns-listen): {remedy}");
            Ok((None, Vec::new()))
        }
        Err(error) => Err(AppError::Listen { what: "DNS", option: "--dns-listen", addr, error }),
    }
}

/// One listener a worker, or none at all.
fn encrypted(
    config: &Config,
    what: &'static str,
    option: &'static str,
    addr: Option<SocketAddr>,
) -> Result<Vec<TcpListener>, AppError> {
    let Some(addr) = addr else { return Ok(Vec::new()) };
    let key = SocketKey { transport: Transport::Tcp, addr };
    let listeners = bind_workers(config, key, |reuse_port| listen_tcp(addr, reuse_port));
    listeners.map_err(|error| AppError::Listen { what, option, addr, error })
}

/// One of each worker.
fn bind_workers<S>(
    config: &Config,
    key: SocketKey,
    bind: impl Fn(ReusePort) -> io::Result<S>,
) -> io::Result<Vec<S>> {
    let (sockets, is_shared) = bind_each(config.workers, bind)?;
    if is_shared {
        warn_of_shared(key);
    }
    Ok(sockets)
}

/// What asks endpoints whether they are well, and where workers see it.
pub(super) fn checker(metrics: &Metrics) -> Result<(Checker, Health), AppError> {
    let (writer, health) = balance::health();
    let shards = metrics.shards(1, &AccessLog::Off).map_err(AppError::AccessLog)?;
    let shard = shards.into_iter().next().unwrap_or_default();
    Ok((Checker::new(writer, shard), health))
}

/// What announces addresses, if something is to, and the gate between it and the sockets.
pub(super) fn announcer(
    config: &Config,
    metrics: &Metrics,
) -> Result<(Option<Announcer>, Option<AnnounceGate>), AppError> {
    let chosen = match &config.announce {
        Announce::Off => return Ok((None, None)),
        Announce::All => None,
        Announce::On(names) => Some(names.clone()),
    };
    let (announcer, gate) =
        Announcer::new(chosen, metrics.announcements()).map_err(AppError::Announce)?;
    Ok((Some(announcer), Some(gate)))
}
