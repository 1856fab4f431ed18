//! Deployments become Pods, and the pods echo servers in this process.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::thread::JoinHandle;

use rutter::echo::{Bound, Echo, Identity, Journal, Tls};
use rutter::life::{DrainSignal, drain, spawn_local};
use rutter::net::ReusePort;
use serde_json::{Value, json};

use super::certificates::CERTIFICATES;
use crate::common::Block;

/// Running pods. When they are dropped, their ports refuse.
pub struct Pods {
    stop: DrainSignal,
    thread: Option<JoinHandle<()>>,
}

/// The pods of Deployments, in this order: from address 130 of the block on.
pub fn of_deployments(block: &Block, deployments: &[Value]) -> Vec<Value> {
    let mut pods = Vec::new();
    for deployment in deployments {
        let replicas = deployment["spec"]["replicas"].as_u64().unwrap_or(1);
        for number in 0..replicas {
            let last = u8::try_from(130 + pods.len()).expect("few pods");
            pods.push(pod(deployment, number, block.ip(last)));
        }
    }
    pods
}

/// Named as a ReplicaSet names them: upstream cuts the last two parts off.
fn pod(deployment: &Value, number: u64, ip: IpAddr) -> Value {
    let template = &deployment["spec"]["template"];
    let name = deployment["metadata"]["name"].as_str().expect("a name");
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": format!("{name}-6c9d8f7b5-x{number}k2p"),
            "namespace": deployment["metadata"]["namespace"],
            "labels": template["metadata"]["labels"],
        },
        "spec": template["spec"],
        "status": {
            "phase": "Running",
            "podIP": ip,
            "podIPs": [{ "ip": ip }],
            "conditions": [
                { "type": "Ready", "status": "True" },
                { "type": "ContainersReady", "status": "True" },
            ],
        },
    })
}

impl Pods {
    pub fn start(pods: &[Value], journal: &Arc<Journal>) -> Self {
        let bound: Vec<Bound> = pods
            .iter()
            .map(|pod| echo(pod, journal).bind(ReusePort::No).expect("the pod's address"))
            .collect();
        let (stop, drain) = drain();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime");
            tokio::task::LocalSet::new().block_on(&runtime, async move {
                let pods: Vec<_> = bound
                    .into_iter()
                    .map(|bound| {
                        let run = bound.run(drain.clone());
                        spawn_local("pod", async { run.await.expect("the pod must run") })
                    })
                    .collect();
                drop(drain);
                for pod in pods {
                    pod.await.expect("no panic");
                }
            });
        });
        Self { stop, thread: Some(thread) }
    }
}

impl Drop for Pods {
    fn drop(&mut self) {
        self.stop.start();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// What the environment of the only container asks for.
fn echo(pod: &Value, journal: &Arc<Journal>) -> Echo {
    let container = &pod["spec"]["containers"][0];
    let names: Vec<&str> = container["env"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|it| it["name"].as_str())
        .collect();
    let has = |name: &str| names.contains(&name);
    let ip: IpAddr = pod["status"]["podIP"].as_str().and_then(|ip| ip.parse().ok()).expect("an IP");
    let at = |port| vec![SocketAddr::new(ip, port)];
    let text = |value: &Value| Arc::from(value.as_str().unwrap_or_default());
    let tls = has("TLS_SERVER_CERT").then(|| certificate(pod));
    let mut echo = Echo {
        identity: Identity {
            pod: text(&pod["metadata"]["name"]),
            namespace: text(&pod["metadata"]["namespace"]),
            ..Identity::default()
        },
        conformance: true,
        journal: journal.clone(),
        ..Echo::default()
    };
    if container["image"].as_str().is_some_and(|image| image.contains("/coredns:")) {
        // any answer will do, so a query comes back as it is
        return Echo { udp: at(53), conformance: false, ..echo };
    }
    let secure = if tls.is_some() { at(8443) } else { Vec::new() };
    if has("TCP_ECHO_SERVER") {
        (echo.tcp, echo.tcp_tls) = (at(3000), secure);
    } else if has("UDP_ECHO_SERVER") {
        echo.udp = at(8080);
    } else if has("GRPC_ECHO_SERVER") {
        (echo.http, echo.https) = (at(3000), secure);
    } else {
        echo.http = [at(3000), at(3001)].concat();
        echo.https = secure;
    }
    echo.tls = tls;
    echo
}

/// The Secret and the ConfigMap that are its volumes.
fn certificate(pod: &Value) -> Tls {
    let namespace = pod["metadata"]["namespace"].as_str().expect("a namespace");
    let volumes = pod["spec"]["volumes"].as_array().expect("volumes");
    let named =
        |kind: &str, field: &str| volumes.iter().find_map(|volume| volume[kind][field].as_str());
    let secret = CERTIFICATES.secret(namespace, named("secret", "secretName").expect("a Secret"));
    let authority = named("configMap", "name")
        .map(|name| CERTIFICATES.authority(namespace, name).certificate.clone().into_bytes());
    Tls {
        certificate: secret.certificate.clone().into_bytes(),
        key: secret.key.clone().into_bytes(),
        client_ca: authority,
    }
}
