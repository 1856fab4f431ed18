//! The sockets of the process itself, opened before anything runs: whoever asked for one is told at
//! once if there is none.

use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};

use super::AppError;
use crate::config::{Config, DnsListen};
use crate::net::{ReusePort, bind_udp, listen_tcp};
use crate::plane::dns;
use crate::plane::listeners::{remedy, tell_if_shared};
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
    tell_if_shared(SocketKey { transport: Transport::Udp, addr });
    let pair = |_| {
        let udp = bind_udp(addr, ReusePort::Yes)?;
        Ok((udp, listen_tcp(addr, ReusePort::Yes)?))
    };
    match (0..config.workers).map(pair).collect::<io::Result<_>>() {
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
    tell_if_shared(SocketKey { transport: Transport::Tcp, addr });
    let listeners = (0..config.workers).map(|_| listen_tcp(addr, ReusePort::Yes));
    let listeners = listeners.collect::<io::Result<_>>();
    listeners.map_err(|error| AppError::Listen { what, option, addr, error })
}
