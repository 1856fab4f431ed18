//! Every shell block of the README is run, in order, as a new user would type it.
//!
//! `cargo run --release -- …` runs the binary under test, and `tests/run.sh` (which is running
//! this very test) is not entered again. A block whose first line keeps running (`demo`, `run`,
//! `proxy`, `echo`) stays up for the blocks after it, once it has said that it serves; the next
//! such block takes its place.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

const BINARY: &str = env!("CARGO_BIN_EXE_rutter");
const ROOT: &str = env!("CARGO_MANIFEST_DIR");

#[test]
fn every_shell_block_of_the_readme_works() {
    let readme = fs::read_to_string(Path::new(ROOT).join("README.md")).expect("README.md");
    let blocks = shell_blocks(&readme);
    assert!(blocks.len() >= 2, "the two commands must be there");
    let tools = tempfile::tempdir().expect("a directory");
    let work = tempfile::tempdir().expect("a directory");
    install_tools(tools.path());
    let shim = work.path().join("tests/run.sh");
    fs::create_dir(work.path().join("tests")).expect("a directory");
    script(&shim, "#!/bin/sh\n# is running already: it runs this very test\n");
    let path = format!("{}:{}", tools.path().display(), std::env::var("PATH").expect("PATH"));
    let mut serving: Option<Serving> = None;
    for block in blocks {
        let mut shell = Command::new("bash");
        shell.args(["-euo", "pipefail", "-c", &block]).current_dir(work.path()).env("PATH", &path);
        if keeps_running(&block) {
            drop(serving.take());
            serving = Some(Serving::start(shell, &block));
            continue;
        }
        let output = shell.output().expect("bash");
        let printed = String::from_utf8_lossy(&output.stdout).into_owned()
            + &String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "this block of the README fails:\n{block}\n{printed}");
    }
}

/// The fenced blocks marked `sh`.
fn shell_blocks(markdown: &str) -> Vec<String> {
    let mut blocks = Vec::new();
    let mut lines = markdown.lines();
    while let Some(line) = lines.next() {
        if line == "```sh" {
            let block: Vec<_> = lines.by_ref().take_while(|line| *line != "```").collect();
            blocks.push(block.join("\n"));
        }
    }
    blocks
}

fn keeps_running(block: &str) -> bool {
    let first = block.lines().find(|line| !line.starts_with('#')).unwrap_or_default();
    ["demo", "run", "proxy", "echo"].iter().any(|command| {
        first.starts_with(&format!("rutter {command}"))
            || first.starts_with(&format!("cargo run --release -- {command}"))
    })
}

/// `rutter`, `cargo run --release -- …` and `tests/run.sh`, for the shell.
fn install_tools(tools: &Path) {
    let cargo = format!("#!/bin/sh\nshift 3\nexec {BINARY} \"$@\"\n");
    let scripts = [("rutter", format!("#!/bin/sh\nexec {BINARY} \"$@\"\n")), ("cargo", cargo)];
    for (name, text) in scripts {
        script(&tools.join(name), &text);
    }
}

fn script(path: &Path, text: &str) {
    fs::write(path, text).expect("a script");
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("to be executable");
}

/// A block that keeps running.
struct Serving(Child);

impl Serving {
    fn start(mut shell: Command, block: &str) -> Self {
        shell.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = shell.spawn().expect("bash");
        let (sender, lines) = mpsc::channel();
        let outputs: [Box<dyn std::io::Read + Send>; 2] = [
            Box::new(child.stdout.take().expect("piped")),
            Box::new(child.stderr.take().expect("piped")),
        ];
        for output in outputs {
            let sender = sender.clone();
            std::thread::spawn(move || {
                for line in BufReader::new(output).lines().map_while(Result::ok) {
                    let _ = sender.send(line);
                }
            });
        }
        drop(sender);
        let serving = Self(child);
        let mut printed = String::new();
        while !["serving", "are served"].iter().any(|word| printed.contains(word)) {
            let line = lines
                .recv_timeout(Duration::from_secs(30))
                .unwrap_or_else(|_| panic!("this block never serves:\n{block}\n{printed}"));
            printed += &(line + "\n");
        }
        // keeps reading, so that the process is never stopped by a full pipe
        std::thread::spawn(move || lines.iter().for_each(drop));
        serving
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = Command::new("kill").arg(self.0.id().to_string()).status();
        let _ = self.0.wait();
    }
}
