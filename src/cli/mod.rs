//! The command line: one file a subcommand.
//!
//! In: arguments. Out: an exit code ([`exit`]); data on standard output, messages on standard
//! error. Called by `main`. Each subcommand has `Args` (what clap parses) and `run(&Args)`, which
//! calls the library and prints.
//!
//! Deliberately absent: anything that another front end could want too; that is in the library.

mod address;
mod exit;
mod manifests;
mod render;

pub mod ca;
pub mod check;
pub mod completions;
pub mod demo;
pub mod echo;
pub mod explain;
pub mod limits;
pub mod man;
pub mod proxy;
pub mod run;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Service proxy, cluster DNS and ingress controller for Kubernetes objects
#[derive(Debug, Parser)]
#[command(name = "rutter", version, before_help = EXAMPLES, disable_help_subcommand = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve the manifests of files and directories, and follow their changes
    #[command(before_help = RUN, after_help = RUN_CODES)]
    Run(crate::config::Args),
    /// Tell what is wrong with manifests, without serving them
    #[command(before_help = CHECK, after_help = CHECK_CODES)]
    Check(check::Args),
    /// Tell which way a request, a connection or a name would go, and why
    #[command(before_help = EXPLAIN)]
    Explain(explain::Args),
    /// Proxy HTTP from one address to others, without any manifest
    #[command(before_help = PROXY)]
    Proxy(proxy::Args),
    /// Be a certificate authority, for development
    #[command(before_help = CA)]
    Ca(ca::Args),
    /// Answer as a backend: HTTP, TCP and UDP echo
    #[command(before_help = ECHO)]
    Echo(echo::Args),
    /// Try everything: sample manifests, their pods, and lines to try; no root, no network
    #[command(before_help = DEMO)]
    Demo(demo::Args),
    /// Print the limits that `run --limit` sets, with their defaults
    #[command(before_help = LIMITS)]
    Limits,
    /// Print the completion script of a shell
    #[command(before_help = COMPLETIONS)]
    Completions(completions::Args),
    /// Print the manual page, or write the pages of all commands
    #[command(before_help = MAN)]
    Man(man::Args),
}

/// Parses the command line (its first item is the name of the program) and runs it.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    match Cli::try_parse_from(arguments) {
        Ok(cli) => cli.command.run(),
        Err(error) => exit::parsing(&error),
    }
}

impl Command {
    fn run(&self) -> ExitCode {
        match self {
            Self::Run(args) => run::run(args),
            Self::Check(args) => check::run(args),
            Self::Explain(args) => explain::run(args),
            Self::Proxy(args) => proxy::run(args),
            Self::Ca(args) => ca::run(args),
            Self::Echo(args) => echo::run(args),
            Self::Demo(args) => demo::run(args),
            Self::Limits => limits::run(),
            Self::Completions(args) => completions::run(args),
            Self::Man(args) => man::run(args),
        }
    }
}

const EXAMPLES: &str = "\
Examples:
  rutter demo                                              try everything, without root
  rutter proxy --from :8080 --to http://127.0.0.1:3000     one reverse proxy, no file
  rutter run -m ./manifests --http-port 8080               serve your manifests
  rutter check ./manifests                                 what is wrong with them?
  rutter explain http://shop.example/cart -m ./manifests   where does this request go?";

const RUN: &str = "\
Examples:
  rutter run -m ./manifests --http-port 8080 --https-port 8443
  rutter run -m base -m overlay.yaml --dns-listen 127.0.0.1:1053
  rutter run --config rutter.yaml";

const RUN_CODES: &str = "\
SIGTERM and SIGINT drain, a second one ends at once; SIGHUP reads the manifests again.
Exit code: 0 ended by a signal, 64 wrong options, 78 a file or address of the options cannot be used here,
1 anything else";

const CHECK: &str = "\
Examples:
  rutter check ./manifests
  rutter check --strict -o github shop.yaml";

const CHECK_CODES: &str = "\
Exit code: 0 nothing worse than a note, 1 warnings, 2 errors (with --strict: or warnings), 64 wrong
options or a path that cannot be opened";

const EXPLAIN: &str = "\
Examples:
  rutter explain http://shop.example/cart -m ./manifests
  rutter explain POST https://shop.example/ -H X-Canary:1 -m ./manifests
  rutter explain tcp://127.96.1.30:6379
  rutter explain dns web.shop SRV";

const PROXY: &str = "\
Examples:
  rutter proxy --from :8080 --to http://127.0.0.1:3000
  rutter proxy --from 127.0.0.1:8080 --to http://10.0.0.1:3000,http://10.0.0.2:3000";

const CA: &str = "\
Examples:
  rutter ca init
  rutter ca issue shop.localhost '*.shop.localhost' 127.0.0.1
  rutter ca issue shop.localhost --secret shop/shop-tls > manifests/shop-tls.yaml
  rutter ca issue me --client
  rutter ca trust";

const ECHO: &str = "\
Examples:
  rutter echo                                       HTTP on port 8080
  rutter echo --http 8080 --tcp 9000 --udp 9000 --greeting web-1
  rutter echo --https 8443 --tls-cert cert.pem --tls-key key.pem
  curl localhost:8080/any/path                      the request as seen, as JSON
  curl 'localhost:8080/?delay=200&status=503&close' the answer as wished
  curl 'localhost:8080/?size=1000000'               that many bytes
  curl -T file localhost:8080/body                  the body comes back
  curl -N 'localhost:8080/sse?count=5'              events; also /chunked, /trailers, /ws";

const DEMO: &str = "\
Examples:
  rutter demo
  rutter demo --dir ./demo --http-port 9080";

const LIMITS: &str = "\
Examples:
  rutter limits
  rutter run -m ./manifests --limit client-idle=90s --limit connections=20000";

const COMPLETIONS: &str = "\
Examples:
  rutter completions bash > ~/.local/share/bash-completion/completions/rutter
  rutter completions zsh > ~/.zfunc/_rutter";

const MAN: &str = "\
Examples:
  rutter man | man -l -
  rutter man --dir ~/.local/share/man/man1";

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn help_begins_with_examples() {
        for mut command in
            std::iter::once(Cli::command()).chain(Cli::command().get_subcommands().cloned())
        {
            let help = command.render_help().to_string();
            assert!(help.starts_with("Examples:\n"), "{help}");
        }
    }

    #[test]
    fn every_example_parses() {
        let command = Cli::command();
        let texts = std::iter::once(&command)
            .chain(command.get_subcommands())
            .filter_map(|command| Some(command.get_before_help()?.to_string()));
        for line in texts.collect::<Vec<_>>().iter().flat_map(|text| text.lines()) {
            let Some(line) = line.strip_prefix("  rutter ") else { continue };
            let line = line.split("   ").next().unwrap_or_default();
            let line = line.split(['|', '>']).next().unwrap_or_default();
            let words = line.split_whitespace().map(|word| OsString::from(word.trim_matches('\'')));
            let parsed = Cli::try_parse_from(std::iter::once("rutter".into()).chain(words));
            assert!(parsed.is_ok(), "{line}: {}", parsed.map(|_| ()).unwrap_err());
        }
    }
}
