//! `rutter explain`: which way a request, a connection or a name goes, and why.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::exit;
use super::manifests::compile_paths;
use crate::config::{Args as Options, Config};
use crate::explain::{Explanation, Place, Question, explain};
use crate::manifest::yaml::Places;
use crate::source::directory::Texts;

/// Options of `explain`.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    #[arg(
        help = "[METHOD] URL, tcp://, udp:// or tls://HOST:PORT, or dns NAME [TYPE]",
        value_name = "WHAT",
        required = true,
        num_args = 1..=3
    )]
    words: Vec<String>,

    /// A header field of the request; may repeat
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE")]
    headers: Vec<String>,

    /// The address that asks
    #[arg(long, value_name = "IP")]
    from: Option<String>,

    /// How to print the steps
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    output: Output,

    #[command(flatten)]
    options: Options,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Output {
    Text,
    Json,
}

/// Explains by manifests (`-m`), or asks a running rutter (`--admin`).
pub fn run(args: &Args) -> ExitCode {
    let question = Question::parse(&args.words, &args.headers, args.from.as_deref());
    let question = match question {
        Ok(question) => question,
        Err(error) => return exit::usage(&error),
    };
    let config = match Config::new(&args.options) {
        Ok(config) => config,
        Err(error) => return exit::usage(&error),
    };
    let explained = if config.manifests.is_empty() {
        ask(&config, &question)
    } else {
        explain_manifests(&config, &question)
    };
    match explained.and_then(|explanation| print(&explanation, args.output)) {
        Ok(text) => exit::output(text.as_bytes()),
        Err(error) => exit::failure(error.as_ref()),
    }
}

fn print(explanation: &Explanation, output: Output) -> anyhow::Result<String> {
    Ok(match output {
        Output::Text => explanation.to_string(),
        Output::Json => serde_json::to_string_pretty(explanation)? + "\n",
    })
}

fn explain_manifests(config: &Config, question: &Question) -> anyhow::Result<Explanation> {
    let (compiled, mut texts) = compile_paths(&config.manifests, &config.settings)?;
    let mut explanation =
        explain(&compiled.snapshot, &compiled.report.findings, question, SystemTime::now());
    find_lines(&mut explanation, &mut texts);
    Ok(explanation)
}

/// Makes the line of an object that of the field that is meant.
fn find_lines(explanation: &mut Explanation, texts: &mut Texts) {
    let mut by_file: BTreeMap<Arc<str>, Vec<&mut Place>> = BTreeMap::new();
    for place in explanation.places_mut() {
        by_file.entry(place.origin.file.clone()).or_default().push(place);
    }
    for (file, found) in by_file {
        let Some(text) = texts.text(&file) else { continue };
        let mut places = Places::new(&text);
        for place in found {
            if let Some(span) = places.find(&place.origin, &place.field) {
                place.origin.line = span.line;
            }
        }
    }
}

/// Asks the admin API of a running rutter. Its manifests are read here, as far as they can be:
/// it keeps no texts.
fn ask(config: &Config, question: &Question) -> anyhow::Result<Explanation> {
    let Some(addr) = config.admin else {
        anyhow::bail!("name manifests with -m PATH, or a running rutter with --admin ADDR:PORT");
    };
    let target = format!("/explain?{}", question.to_query());
    let answer = fetch(addr, &target).map_err(|error| {
        anyhow::anyhow!("no rutter answers at {addr}; name manifests with -m PATH: {error}")
    })?;
    let mut explanation = serde_json::from_str(&answer)?;
    find_lines(&mut explanation, &mut Texts::default());
    Ok(explanation)
}

/// One HTTP/1.0 request, whose answer ends with the connection.
fn fetch(addr: SocketAddr, target: &str) -> anyhow::Result<String> {
    let mut stream = TcpStream::connect_timeout(&addr, TIMEOUT)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    write!(stream, "GET {target} HTTP/1.0\r\nHost: {addr}\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    if head.split(' ').nth(1) != Some("200") {
        anyhow::bail!("{}", body.trim_end());
    }
    Ok(body.to_owned())
}

const TIMEOUT: Duration = Duration::from_secs(5);
