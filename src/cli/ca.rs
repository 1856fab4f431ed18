//! `rutter ca`: a certificate authority for development.
//!
//! A directory holds it: `ca.pem`, and `ca-key.pem`, which only its owner can read. Nothing of it is
//! read while rutter serves.

mod authority;
mod trust;

use std::path::PathBuf;
use std::process::ExitCode;

use authority::{Authority, CaError, Issued};

use super::exit;

/// Options of `ca`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Make an authority, once
    Init(Init),
    /// Sign a certificate for names and addresses
    Issue(Issue),
    /// Tell how this machine is made to trust the authority, or do it
    Trust(Trust),
}

#[derive(Debug, clap::Args)]
struct Place {
    /// Directory of the authority
    #[arg(long, value_name = "DIR", default_value = "certs/ca")]
    dir: PathBuf,
}

#[derive(Debug, clap::Args)]
struct Init {
    #[command(flatten)]
    place: Place,

    /// By which people know it
    #[arg(long, value_name = "TEXT", default_value = "rutter development CA")]
    name: String,
}

#[derive(Debug, clap::Args)]
struct Issue {
    /// Host names, as shop.localhost or *.shop.localhost, and addresses
    #[arg(value_name = "NAME", required = true)]
    names: Vec<String>,

    #[command(flatten)]
    place: Place,

    /// Directory of the certificate and its key [default: that of the authority]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,

    /// Print a Secret of type kubernetes.io/tls in place of writing files
    #[arg(long, value_name = "[NAMESPACE/]NAME")]
    secret: Option<String>,

    /// For a client, in place of a server
    #[arg(long)]
    client: bool,

    /// How long it is valid
    #[arg(long, value_name = "DAYS", default_value_t = 90, value_parser = clap::value_parser!(u16).range(1..=398))]
    days: u16,
}

#[derive(Debug, clap::Args)]
struct Trust {
    #[command(flatten)]
    place: Place,

    /// Do it: as root, where the system is Debian's or Fedora's kind
    #[arg(long)]
    install: bool,
}

/// Does what is asked. Exits 64 for names that are none, 78 where files are there or not there.
pub fn run(args: &Args) -> ExitCode {
    let said = match &args.command {
        Command::Init(init) => make(init),
        Command::Issue(issue) => sign(issue),
        Command::Trust(it) => trust::run(&it.place.dir, it.install),
    };
    match said {
        Ok(text) => exit::output(text.as_bytes()),
        Err(error @ CaError::BadName { .. }) => exit::usage(&error),
        Err(error) => exit::configuration(&error),
    }
}

fn make(init: &Init) -> Result<String, CaError> {
    let dir = init.place.dir.display();
    Authority::make(&init.place.dir, &init.name)?;
    Ok(format!(
        "{dir}/ca.pem      the certificate of the authority: for those who are to trust it\n\
         {dir}/ca-key.pem  its key: for nobody else\n"
    ))
}

fn sign(issue: &Issue) -> Result<String, CaError> {
    let authority = Authority::read(&issue.place.dir)?;
    let issued = authority.issue(&issue.names, issue.client, issue.days)?;
    if let Some(secret) = &issue.secret {
        return Ok(manifest(secret, &issued));
    }
    let dir = issue.out.as_ref().unwrap_or(&issue.place.dir);
    let (certificate, key) = issued.write(dir)?;
    Ok(format!("{}\n{}\n", certificate.display(), key.display()))
}

/// A Secret that an Ingress or a Gateway can name.
fn manifest(secret: &str, issued: &Issued) -> String {
    let (namespace, name) = match secret.split_once('/') {
        Some((namespace, name)) => (format!("  namespace: {namespace}\n"), name),
        None => (String::new(), secret),
    };
    let block = |text: &str| text.lines().map(|line| format!("    {line}\n")).collect::<String>();
    format!(
        "apiVersion: v1\nkind: Secret\nmetadata:\n  name: {name}\n{namespace}type: \
         kubernetes.io/tls\nstringData:\n  tls.crt: |\n{}  tls.key: |\n{}",
        block(&issued.certificate),
        block(&issued.key),
    )
}
