//! A browser: a page that fetches, opens a WebSocket and listens to events.

use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

use crate::common::PATIENCE;
use crate::front::{Front, run};

/// A running browser; it ends with the test.
struct Browser(Child);

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What the page found out, in a browser with these options.
fn visit(front: &Front, url: &str, options: &[&str]) -> Value {
    let home = tempfile::tempdir().expect("a directory");
    let trusted = home.path().join(".pki/nssdb");
    std::fs::create_dir_all(&trusted).expect("a directory");
    let trusted = format!("sql:{}", trusted.display());
    run("certutil", &["-d", &trusted, "-N", "--empty-password"]);
    run("certutil", &["-d", &trusted, "-A", "-t", "C,,", "-n", "test", "-i", &front.ca()]);
    let ip = front.site.http().ip();
    let browser = Command::new("chromium")
        .args(["--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run"])
        .args(["--disable-background-networking", "--no-proxy-server"])
        .args(["--remote-debugging-port=0"])
        .arg(format!("--user-data-dir={}", home.path().join("profile").display()))
        .arg(format!("--host-resolver-rules=MAP app.test {ip}"))
        .args(options)
        .arg(url)
        .env("HOME", home.path())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("chromium must be installed: tests/run.sh does it");
    let _browser = Browser(browser);
    let told = front.origin.results.recv_timeout(PATIENCE).expect("the page must tell");
    serde_json::from_str(&told).expect("JSON")
}

#[test]
fn a_browser_fetches_talks_and_listens_with_and_without_tls() {
    let log = tempfile::NamedTempFile::new().expect("a file");
    let path = log.path().display().to_string();
    let front = Front::start_with(|options| options.set("access-log", path));
    for (scheme, protocol) in [("http", "http/1.1"), ("https", "h2")] {
        let told = visit(&front, &format!("{scheme}://app.test/page"), &[]);
        assert_eq!(told, expected(protocol), "{scheme}");
    }
    drop(front);
    let log = std::fs::read_to_string(log.path()).expect("the log");
    let entries = log.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    let sockets = entries.filter(|entry| entry["status"] == 101);
    let protocols: Vec<_> = sockets.map(|entry| entry["protocol"].clone()).collect();
    assert_eq!(
        protocols,
        ["HTTP/1.1", "HTTP/2"],
        "a WebSocket is a stream where there are streams"
    );
}

/// What it finds out where everything works.
fn expected(protocol: &str) -> Value {
    let length = crate::origin::text().len();
    json!({
        "text": length, "stream": length, "posted": "500000", "status": 404, "parallel": 30,
        "socket": "5,100000 3001 true", "events": true, "protocol": protocol,
    })
}

#[cfg(feature = "http3")]
#[test]
fn a_browser_fetches_and_listens_over_http3() {
    let front = Front::start_with(|options| options.set("http3", "on"));
    // from the first request on; only so it takes an authority that is not public
    let options = ["--enable-quic", "--origin-to-force-quic-on=app.test:443"];
    let told = visit(&front, "https://app.test/page", &options);
    assert_eq!(told, expected("h3"));
}
