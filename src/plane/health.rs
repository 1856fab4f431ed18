//! `healthCheckNodePort`: tells load balancers in front of the nodes whether this one has pods of
//! a Service, as kube-proxy tells them (`pkg/proxy/healthcheck/service_health.go`).
//!
//! While rutter drains the answer is 503, until the last session has ended.
//!
//! In: a connection, what the snapshot says of the Service. Out: one answer, whatever the path.
//! Checkers connect anew each time, so a connection carries one request.

use std::io;
use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::life::Drain;
use crate::snapshot::HealthCheck;

/// Answers one request and closes; whoever sends none in time gets nothing.
pub async fn serve(mut stream: TcpStream, check: &HealthCheck, drain: &Drain) {
    let _ = tokio::time::timeout(PATIENCE, answer(&mut stream, check, drain)).await;
}

async fn answer(stream: &mut TcpStream, check: &HealthCheck, drain: &Drain) -> io::Result<()> {
    let mut head = Vec::with_capacity(1024);
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        if head.len() >= MAX_HEAD || stream.read_buf(&mut head).await? == 0 {
            return Ok(());
        }
    }
    let with_body = !head.starts_with(b"HEAD ");
    stream.write_all(response(check, !drain.is_started(), with_body).as_bytes()).await?;
    stream.shutdown().await
}

/// 200 if a pod is ready here and rutter is not on its way out, else 503.
fn response(check: &HealthCheck, is_healthy: bool, with_body: bool) -> String {
    let HealthCheck { service, local_endpoints, .. } = check;
    let status = match is_healthy && *local_endpoints > 0 {
        true => "200 OK",
        false => "503 Service Unavailable",
    };
    let body = json!({
        "service": {"namespace": service.namespace, "name": service.name},
        "localEndpoints": local_endpoints,
        "serviceProxyHealthy": is_healthy,
    })
    .to_string();
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nX-Content-Type-Options: nosniff\r\n\
         X-Load-Balancing-Endpoint-Weight: {local_endpoints}\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n{}",
        body.len(),
        if with_body { &body } else { "" },
    )
}

/// For a whole exchange.
const PATIENCE: Duration = Duration::from_secs(5);

const MAX_HEAD: usize = 8192;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::{ObjectKey, Origin};

    fn check(local_endpoints: usize) -> HealthCheck {
        let service = ObjectKey::new("shop", "web");
        HealthCheck { service, local_endpoints, origin: Origin::default() }
    }

    #[test]
    fn a_node_is_healthy_with_a_ready_pod_and_a_proxy_that_stays() {
        for (endpoints, is_healthy, status) in
            [(2, true, 200), (1, true, 200), (0, true, 503), (2, false, 503), (0, false, 503)]
        {
            let response = response(&check(endpoints), is_healthy, true);
            let (head, body) = response.split_once("\r\n\r\n").expect("a head");
            assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{head}");
            assert!(
                head.contains(&format!("\r\nX-Load-Balancing-Endpoint-Weight: {endpoints}\r\n"))
            );
            assert!(head.contains("\r\nContent-Type: application/json\r\n"));
            assert!(head.contains("\r\nX-Content-Type-Options: nosniff\r\n"));
            assert!(head.contains(&format!("\r\nContent-Length: {}\r\n", body.len())));
            let body: serde_json::Value = serde_json::from_str(body).expect("JSON");
            let service = json!({"namespace": "shop", "name": "web"});
            let expected = json!({"service": service, "localEndpoints": endpoints,
                                  "serviceProxyHealthy": is_healthy});
            assert_eq!(body, expected);
        }
    }

    #[test]
    fn a_request_of_a_head_gets_no_body() {
        assert!(response(&check(1), true, false).ends_with("\r\n\r\n"));
    }
}
