//! Every line that `rutter demo` prints works. Needs bash, curl and dig.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};

use rutter::cli::demo::lines::{Places, all};

/// Ends the demo with the test.
struct Demo(Child);

impl Drop for Demo {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Four ports that are free, and below those that the kernel gives to whoever names none, so that
/// nothing that runs beside has got one before the demo does.
fn free_ports() -> [u16; 4] {
    let mut free = (20_000..32_000).filter(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok());
    std::array::from_fn(|_| free.next().expect("a free port"))
}

/// Starts the demo and waits for the end of its page.
fn start(places: &Places) -> Demo {
    let mut child = Command::new(&places.rutter)
        .args(["demo", "--workers", "1", "--dir", &places.dir])
        .args(["--http-port", &places.http.to_string(), "--https-port", &places.https.to_string()])
        .args(["--dns-port", &places.dns.to_string(), "--admin-port", &places.admin.to_string()])
        .stdout(Stdio::piped())
        .spawn()
        .expect("it must be there");
    let output = BufReader::new(child.stdout.take().expect("it must be there"));
    let demo = Demo(child);
    let last = all(places).pop().expect("it must be there").command;
    assert!(
        output.lines().any(|line| line.expect("it must be there") == last),
        "the page must be printed"
    );
    demo
}

#[test]
fn every_printed_line_works() {
    let dir = tempfile::tempdir().expect("it must be there");
    let [http, https, dns, admin] = free_ports();
    let places = Places {
        dir: dir.path().display().to_string(),
        rutter: env!("CARGO_BIN_EXE_rutter").to_owned(),
        http,
        https,
        dns,
        admin,
    };
    let _demo = start(&places);
    for line in all(&places) {
        let output =
            Command::new("bash").args(["-c", &line.command]).output().expect("it must be there");
        let printed = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{}: {output:?}", line.command);
        assert!(printed.contains(line.expected), "{}: {printed}", line.command);
    }
}
