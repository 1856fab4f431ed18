//! Metrics as others read them.

use std::io::Write;
use std::process::{Command, Stdio};

/// The names of the metrics as the reference parser reads them.
pub fn families(metrics: &str) -> Vec<String> {
    let program = "import sys; from prometheus_client.openmetrics.parser import \
                   text_string_to_metric_families as read; \
                   print(*(metric.name for metric in read(sys.stdin.read())))";
    // that of Debian, for which tests/run.sh installs the parser
    let mut python = Command::new("/usr/bin/python3")
        .args(["-c", program])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python3 is needed: apt-get install python3-prometheus-client");
    let mut text = python.stdin.take().expect("a pipe");
    text.write_all(metrics.as_bytes()).expect("it must read");
    drop(text);
    let output = python.wait_with_output().expect("it must end");
    assert!(output.status.success(), "the parser refuses the metrics");
    let names = String::from_utf8(output.stdout).expect("names");
    names.split_whitespace().map(str::to_owned).collect()
}
