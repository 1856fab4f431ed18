//! h2load: many requests at once.

use crate::front::{Front, run};

#[test]
fn h2load_gets_every_answer_over_both_versions_of_http() {
    let front = Front::start();
    let ip = front.site.http().ip();
    for (arguments, port, url) in [
        (&["--h1"][..], 80, "http://app.test/echo"),
        (&["-p", "h2c", "-m", "20"], 80, "http://app.test/echo"),
        (&["-p", "h2c", "-m", "20"], 80, "http://app.test/h2c"),
        (&["-m", "20"], 443, "https://app.test/h2c"),
        (&["--npn-list", "http/1.1"], 443, "https://app.test/echo"),
        (&["-p", "h2c", "-m", "20", "-d", "/bin/true"], 80, "http://app.test/h2c/body"),
    ] {
        let to = format!("--connect-to={ip}:{port}");
        let common = ["-n", "2000", "-c", "8", "-t", "1", &to];
        let printed = run("h2load", &[&common[..], arguments, &[url]].concat());
        let requests = printed.lines().find(|line| line.starts_with("requests: "));
        let expected = "2000 succeeded, 0 failed, 0 errored, 0 timeout";
        assert!(requests.is_some_and(|line| line.contains(expected)), "{arguments:?}: {printed}");
        assert!(printed.contains("status codes: 2000 2xx"), "{arguments:?}: {printed}");
    }
}
