//! WebSockets in Python: one end of another hand on either side.

use crate::front::{Front, run};

#[test]
fn python_echoes_pings_and_closes_through_the_proxy_with_and_without_tls() {
    let front = Front::start();
    let ip = front.site.http().ip().to_string();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients/websocket.py");
    run("/usr/bin/python3", &[script, &front.pysocket.to_string(), &ip, &front.ca()]);
}
