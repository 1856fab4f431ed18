//! The proxies and what they are told: the same routes to the same backend.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use super::{Front, Options, Outcome, Proxy, RUTTER, Running, free_port, spawn, text, wait_for};

/// One of the hosts that are routed.
pub(super) fn host(number: usize) -> String {
    format!("host-{number}.bench.test")
}

/// What all proxies have in common.
pub(super) struct Site<'a> {
    dir: &'a Path,
    backend: u16,
    front: Front,
    routes: usize,
}

impl<'a> Site<'a> {
    /// Makes a certificate, if there is to be one.
    pub(super) fn new(dir: &'a Path, backend: u16, options: &Options) -> Outcome<Self> {
        let Options { front, routes, .. } = *options;
        if front == Front::Tls {
            let (key, certificate) = (dir.join("tls.key"), dir.join("tls.crt"));
            let made = Command::new("openssl")
                .args(
                    "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 9"
                        .split(' '),
                )
                .args(["-subj", "/CN=bench.test", "-addext", "subjectAltName=DNS:*.bench.test"])
                .args(["-keyout", text(&key)?, "-out", text(&certificate)?])
                .output()?;
            if !made.status.success() {
                return Err("openssl made no certificate".into());
            }
            let pair = [fs::read(&certificate)?, fs::read(&key)?].concat();
            fs::write(dir.join("tls.pem"), pair)?;
        }
        Ok(Self { dir, backend, front, routes })
    }

    pub(super) fn rutter(&self) -> Outcome<Proxy> {
        let (port, admin) = (free_port()?, free_port()?);
        let manifests = self.dir.join("manifests/bench.yaml");
        fs::write(&manifests, self.manifests()?)?;
        let (http, https) = match self.front {
            Front::Tls => ("off".to_owned(), port.to_string()),
            Front::Http1 | Front::Http2 => (port.to_string(), "off".to_owned()),
        };
        let process = spawn(
            0,
            RUTTER,
            &[
                "run",
                "--manifests",
                text(&manifests)?,
                &format!("--http-port={http}"),
                &format!("--https-port={https}"),
                "--ingress-address=127.0.0.1",
                "--dns-listen=off",
                &format!("--admin=127.0.0.1:{admin}"),
                "--workers=1",
                "--log=warn",
                "--access-log",
                text(&self.dir.join("rutter.log"))?,
            ],
        )?;
        wait_for(port)?;
        Ok(Proxy { name: "rutter", port, process })
    }

    fn manifests(&self) -> Outcome<String> {
        let rule = |number| RULE.replace("HOST", &host(number));
        let rules: String = (0..self.routes).map(rule).collect();
        let mut manifests = MANIFESTS.replace("PORT", &self.backend.to_string());
        manifests += &INGRESS.replace("RULES", &rules);
        if self.front == Front::Tls {
            let indented = |name: &str| {
                let lines = fs::read_to_string(self.dir.join(name))?;
                Outcome::Ok(lines.lines().map(|line| format!("    {line}\n")).collect::<String>())
            };
            manifests += "  tls: [{hosts: ['*.bench.test'], secretName: tls}]\n";
            let secret = SECRET.replace("CERTIFICATE", &indented("tls.crt")?);
            manifests += &secret.replace("KEY", &indented("tls.key")?);
        }
        Ok(manifests)
    }

    pub(super) fn haproxy(&self) -> Outcome<Proxy> {
        let (port, stats) = (free_port()?, free_port()?);
        let config = self.dir.join("haproxy.cfg");
        let routes = self.dir.join("haproxy.map");
        let route = |number| format!("{} bench\n", host(number));
        fs::write(&routes, (0..self.routes).map(route).collect::<String>())?;
        let bind = match self.front {
            Front::Http1 => String::new(),
            Front::Http2 => " proto h2".to_owned(),
            Front::Tls => format!(" ssl crt {}", text(&self.dir.join("tls.pem"))?),
        };
        let text_of = HAPROXY
            .replace("PORT", &format!("{port}{bind}"))
            .replace("STATS", &stats.to_string())
            .replace("MAP", text(&routes)?)
            .replace("BACKEND", &self.backend.to_string());
        fs::write(&config, text_of)?;
        let log = fs::File::create(self.dir.join("haproxy.log"))?;
        let process = Command::new("taskset")
            .args(["-c", "0", "haproxy", "-db", "-f", text(&config)?])
            .stdout(log)
            .stderr(Stdio::null())
            .spawn()?;
        wait_for(port)?;
        Ok(Proxy { name: "haproxy", port, process: Running(process) })
    }

    pub(super) fn nginx(&self) -> Outcome<Proxy> {
        let port = free_port()?;
        let config = self.dir.join("nginx.conf");
        let dir = text(self.dir)?;
        let protocol = match self.front {
            Front::Http1 => "",
            Front::Http2 => " http2",
            Front::Tls => " ssl",
        };
        let listen = format!("127.0.0.1:{port}{protocol}");
        let text_of = NGINX.replace("DIR", dir).replace("BACKEND", &self.backend.to_string());
        let tls = format!("ssl_certificate {dir}/tls.crt; ssl_certificate_key {dir}/tls.key;");
        let tls = if self.front == Front::Tls { &tls } else { "" };
        let server =
            |number| NGINX_SERVER.replace("HOST", &host(number)).replace("LISTEN", &listen);
        let servers: String = (0..self.routes).map(server).collect();
        fs::write(&config, text_of.replace("TLS", tls).replace("SERVERS", &servers))?;
        let process = spawn(0, "nginx", &["-p", dir, "-c", text(&config)?])?;
        wait_for(port)?;
        Ok(Proxy { name: "nginx", port, process })
    }
}

const MANIFESTS: &str = "
apiVersion: v1
kind: Service
metadata: {name: bench}
spec:
  clusterIP: None
  ports: [{port: 80}]
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: bench, labels: {kubernetes.io/service-name: bench}}
addressType: IPv4
endpoints: [{addresses: [127.0.0.1]}]
ports: [{port: PORT}]
";

const INGRESS: &str = "---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: bench}
spec:
  rules:
RULES";

const RULE: &str = "  - host: HOST
    http:
      paths:
      - {path: /, pathType: Prefix, backend: {service: {name: bench, port: {number: 80}}}}
";

const SECRET: &str = "---
apiVersion: v1
kind: Secret
metadata: {name: tls}
type: kubernetes.io/tls
stringData:
  tls.crt: |
CERTIFICATE  tls.key: |
KEY";

const HAPROXY: &str = "
global
    nbthread 1
    log stdout format raw local0
defaults
    mode http
    log global
    option httplog
    option forwardfor
    timeout connect 1s
    timeout client 60s
    timeout server 60s
    http-reuse always
frontend front
    bind 127.0.0.1:PORT
    use_backend %[req.hdr(host),lower,map_str(MAP)] if { path_beg / }
backend bench
    server one 127.0.0.1:BACKEND
frontend stats
    bind 127.0.0.1:STATS
    http-request use-service prometheus-exporter if { path /metrics }
";

const NGINX: &str = "
daemon off;
master_process off;
pid DIR/nginx.pid;
error_log DIR/nginx-error.log;
events { worker_connections 4096; }
http {
    access_log DIR/nginx.log;
    keepalive_requests 100000000;
    server_names_hash_max_size 8192;
    server_names_hash_bucket_size 128;
    TLS
    upstream bench { server 127.0.0.1:BACKEND; keepalive 256; keepalive_requests 100000000; }
SERVERS
}
";

const NGINX_SERVER: &str = "
    server {
        listen LISTEN;
        server_name HOST;
        location / {
            proxy_pass http://bench;
            proxy_http_version 1.1;
            proxy_set_header Connection \"\";
            proxy_set_header Host $host;
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
        }
    }
";
