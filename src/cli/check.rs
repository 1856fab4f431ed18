//! `rutter check`: what is wrong with manifests.

use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use super::manifests::compile_paths;
use super::{exit, render};
use crate::compile::Report;
use crate::config::{Args as Options, Config};
use crate::manifest::Severity;
use crate::source::directory::Texts;

/// Options of `check`.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Files and directories; - is the standard input
    #[arg(value_name = "PATH")]
    paths: Vec<String>,

    /// How to print findings; github makes annotations of a workflow
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    output: Output,

    /// Fail on warnings as on errors
    #[arg(long)]
    strict: bool,

    #[command(flatten)]
    options: Options,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Output {
    Text,
    Json,
    Github,
}

/// Prints findings. Exits 0 if there is nothing worse than a note, 1 for warnings, 2 for errors
/// (and for warnings with `--strict`), 64 if a path cannot be opened.
pub fn run(args: &Args) -> ExitCode {
    let mut options = args.options.clone();
    options.manifests.extend(args.paths.iter().cloned());
    let config = match Config::new(&options) {
        Ok(config) => config,
        Err(error) => return exit::usage(&error),
    };
    let paths: Vec<PathBuf> = config.manifests;
    if paths.is_empty() {
        return exit::usage(&"nothing to check: name files or directories");
    }
    let (compiled, mut texts) = match compile_paths(&paths, &config.settings) {
        Ok(compiled) => compiled,
        Err(error) => return exit::usage(&exit::chain(&error)),
    };
    let text = print(&compiled.report, args.output, &mut texts);
    // a reader that has seen enough is no error
    let _ = std::io::stdout().write_all(text.as_bytes());
    ExitCode::from(code(&compiled.report, args.strict))
}

fn print(report: &Report, output: Output, texts: &mut Texts) -> String {
    match output {
        Output::Text => render::text(report, texts, use_colour()),
        Output::Json => serde_json::to_string_pretty(report).unwrap_or_default() + "\n",
        Output::Github => report.findings.iter().map(render::github).collect(),
    }
}

fn use_colour() -> bool {
    std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|it| it.is_empty())
}

fn code(report: &Report, strict: bool) -> u8 {
    match report.findings.iter().map(|finding| finding.severity).min() {
        Some(Severity::Error) => 2,
        Some(Severity::Warning) if strict => 2,
        Some(Severity::Warning) => 1,
        Some(Severity::Note) | None => 0,
    }
}
