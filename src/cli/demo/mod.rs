//! `rutter demo`: everything at once, without root, network or cluster.
//!
//! [`files`] writes manifests and a [`certificate`] into a directory that stays the user's to
//! edit, [`pods`] runs an echo server for each Pod found there, the app serves the directory as
//! `rutter run` would, and [`lines`] are what to try.

mod certificate;
mod files;
pub mod lines;
mod pods;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;

use self::pods::Pods;
use super::exit;
use crate::app::Objects;
use crate::config::{Args as Options, Config};
use crate::net::{ReusePort, bind_udp, listen_tcp};

/// Options of `demo`.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Directory of the manifests; files that exist are kept [default: a fresh one in the temporary directory]
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,

    /// Port of HTTP
    #[arg(long, value_name = "PORT", default_value_t = 8080)]
    http_port: u16,

    /// Port of HTTPS
    #[arg(long, value_name = "PORT", default_value_t = 8443)]
    https_port: u16,

    /// Port of DNS
    #[arg(long, value_name = "PORT", default_value_t = 1053)]
    dns_port: u16,

    /// Port of the admin API
    #[arg(long, value_name = "PORT", default_value_t = 9901)]
    admin_port: u16,

    /// Worker threads [default: one a core]
    #[arg(long, value_name = "N")]
    workers: Option<String>,
}

/// Serves until SIGTERM or SIGINT.
pub fn run(args: &Args) -> ExitCode {
    let (config, dir) = match prepare(args) {
        Ok(prepared) => prepared,
        Err(error) => return exit::failure(error.as_ref()),
    };
    let objects = Objects::Directory(config.manifests.clone());
    let page = lines::page(&lines::Places::new(args, &dir));
    super::run::serve(config, objects, move || print!("{page}"))
}

/// Writes the manifests and starts their pods.
fn prepare(args: &Args) -> anyhow::Result<(Config, PathBuf)> {
    check_ports(args)?;
    let dir = match &args.dir {
        Some(dir) => dir.clone(),
        None => files::fresh_dir().context("cannot make a temporary directory")?,
    };
    files::write(&dir).with_context(|| format!("cannot write to {}", dir.display()))?;
    // the pods first: a route should never lead to a pod that does not listen yet
    Pods::bind(&dir)?.spawn()?;
    Ok((Config::new(&options(args, &dir))?, dir))
}

/// The options of `rutter run` that make the same process.
fn options(args: &Args, dir: &Path) -> Options {
    let local = |port: u16| Some(SocketAddr::from((Ipv4Addr::LOCALHOST, port)).to_string());
    let localhost = || vec![Ipv4Addr::LOCALHOST.to_string()];
    Options {
        manifests: vec![dir.display().to_string()],
        http_port: Some(args.http_port.to_string()),
        https_port: Some(args.https_port.to_string()),
        ingress_address: localhost(),
        node_ip: localhost(),
        nodeport_addresses: localhost(),
        lb_pool: vec!["127.98.0.0/24".to_owned()],
        dns_listen: local(args.dns_port),
        admin: local(args.admin_port),
        workers: args.workers.clone(),
        log: Some("warn".to_owned()),
        ..Options::default()
    }
}

/// Tells of a taken port before anything is written, and which option changes it.
fn check_ports(args: &Args) -> anyhow::Result<()> {
    for (option, port) in [
        ("--http-port", args.http_port),
        ("--https-port", args.https_port),
        ("--dns-port", args.dns_port),
        ("--admin-port", args.admin_port),
    ] {
        let addr = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        listen_tcp(addr, ReusePort::No).with_context(|| {
            format!("cannot listen on {addr}; choose another port with {option}")
        })?;
    }
    let addr = SocketAddr::from((Ipv4Addr::LOCALHOST, args.dns_port));
    bind_udp(addr, ReusePort::No).with_context(|| {
        format!("cannot listen on udp {addr}; choose another port with --dns-port")
    })?;
    Ok(())
}

#[cfg(test)]
mod tests;
