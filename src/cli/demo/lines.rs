//! What to try, as data: a test runs each line.

use std::path::{Path, PathBuf};

use super::Args;

/// One command for a shell.
#[derive(Clone, Debug)]
pub struct Line {
    /// What it shows.
    pub about: &'static str,
    /// For `bash -c`.
    pub command: String,
    /// A part of what it prints.
    pub expected: &'static str,
}

/// What the commands name.
#[derive(Clone, Debug)]
pub struct Places {
    /// The directory of the manifests, as a word of a shell.
    pub dir: String,
    /// The program as the user called it, as a word of a shell.
    pub rutter: String,
    /// Port of HTTP.
    pub http: u16,
    /// Port of HTTPS.
    pub https: u16,
    /// Port of DNS.
    pub dns: u16,
    /// Port of the admin API.
    pub admin: u16,
}

impl Places {
    /// The places of a demo with these options, started by this process.
    pub fn new(args: &Args, dir: &Path) -> Self {
        let program =
            std::env::args_os().next().map(PathBuf::from).unwrap_or_else(|| "rutter".into());
        Self {
            dir: quoted(dir),
            rutter: quoted(&program),
            http: args.http_port,
            https: args.https_port,
            dns: args.dns_port,
            admin: args.admin_port,
        }
    }
}

/// The path as one word of a shell.
fn quoted(path: &Path) -> String {
    let text = path.to_string_lossy();
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "/._-".contains(letter);
    if text.chars().all(is_plain) {
        text.into_owned()
    } else {
        format!("'{}'", text.replace('\'', "'\\''"))
    }
}

/// The page that the demo prints.
pub fn page(places: &Places) -> String {
    let head = format!(
        "The manifests in {} are served. Edit them while it runs; Ctrl-C ends it.\n",
        places.dir
    );
    let lines = all(places);
    lines.iter().fold(head, |page, line| format!("{page}\n# {}\n{}\n", line.about, line.command))
}

/// Every line, in the order of the page.
pub fn all(places: &Places) -> Vec<Line> {
    [http(places), names(places), transport(places), control(places), edits(places)].concat()
}

fn http(Places { dir, rutter, http, https, .. }: &Places) -> Vec<Line> {
    let shop = format!("curl -s --resolve shop.localhost:{http}:127.0.0.1");
    vec![
        Line {
            about: "HTTP: an Ingress, a Service, three pods; the answer names the pod",
            command: format!("{shop} http://shop.localhost:{http}/"),
            expected: "web-",
        },
        Line {
            about: "twenty requests, counted by pod",
            command: format!(
                "{shop} 'http://shop.localhost:{http}/[1-20]' | grep -o '\"pod\":\"[^\"]*\"' | sort | uniq -c"
            ),
            expected: "\"pod\":\"web-2\"",
        },
        Line {
            about: "a path to another Service, where one of three pods is a canary",
            command: format!(
                "{shop} 'http://shop.localhost:{http}/api/[1-20]' | grep -o '\"pod\":\"[^\"]*\"' | sort | uniq -c"
            ),
            expected: "\"pod\":\"api-canary\"",
        },
        Line {
            about: "HTTPS and HTTP/2, with a certificate made for this demo",
            command: format!(
                "curl -s --cacert {dir}/ca.crt --resolve api.localhost:{https}:127.0.0.1 https://api.localhost:{https}/orders"
            ),
            expected: "\"host\":\"api.localhost",
        },
        Line {
            about: "a wildcard host, and a stream of events through it",
            command: format!(
                "curl -sN --resolve tv.media.localhost:{http}:127.0.0.1 'http://tv.media.localhost:{http}/sse?count=3'"
            ),
            expected: "data: event 3",
        },
        Line {
            about: "the Gateway API: a Gateway of its own address, a rewritten path, a header field more",
            command: format!("{GATEWAY} http://shop.localhost:8080/v1/cart"),
            expected: "\"path\":\"/cart\"",
        },
        Line {
            about: "why it goes where it goes: every listener, route, filter and weight",
            command: format!("{rutter} explain http://shop.localhost:8080/v1/cart -m {dir}"),
            expected: "weight 9 (90 %)",
        },
        Line {
            about: "a redirect of the Gateway",
            command: format!(
                "{GATEWAY} -o /dev/null -w '%{{redirect_url}}\\n' http://shop.localhost:8080/old/cart"
            ),
            expected: "http://shop.localhost:8080/v1/cart",
        },
    ]
}

/// The Gateway has its address and port from its manifest.
const GATEWAY: &str = "curl -s --resolve shop.localhost:8080:127.98.0.1";

fn names(Places { dns, .. }: &Places) -> Vec<Line> {
    let dig = format!("dig @127.0.0.1 -p {dns} +short");
    vec![
        Line {
            about: "DNS: a Service, a port of it, the pods of a headless one, a name outside",
            command: format!("{dig} web.shop.svc.cluster.local"),
            expected: "127.96.1.10",
        },
        Line {
            about: "the same, by the name of its port",
            command: format!("{dig} _http._tcp.web.shop.svc.cluster.local SRV"),
            expected: "8080 web.shop.svc.cluster.local.",
        },
        Line {
            about: "headless: one pod by its own name",
            command: format!("{dig} db-0.db.shop.svc.cluster.local"),
            expected: "127.97.1.31",
        },
        Line {
            about: "ExternalName",
            command: format!("{dig} payments.shop.svc.cluster.local CNAME"),
            expected: "payments.example.com.",
        },
    ]
}

fn transport(_: &Places) -> Vec<Line> {
    vec![
        Line {
            about: "the virtual address of a Service",
            command: "curl -s http://127.96.1.10:8080/".to_owned(),
            expected: "web-",
        },
        Line {
            about: "TCP: a greeting of the pod, then what you said",
            command: "bash -c 'exec 3<>/dev/tcp/127.96.1.30/6379; echo PING >&3; head -n2 <&3'"
                .to_owned(),
            expected: "cache-0\nPING",
        },
        Line {
            about: "UDP",
            command: "bash -c 'exec 3<>/dev/udp/127.96.2.20/8125; echo hits:1 >&3; head -n2 <&3'"
                .to_owned(),
            expected: "stats-0\nhits:1",
        },
        Line {
            about: "a NodePort",
            command: "curl -s http://127.0.0.1:30080/".to_owned(),
            expected: "uploads-0",
        },
        Line {
            about: "a LoadBalancer",
            command: "curl -s http://127.98.0.10:8080/".to_owned(),
            expected: "stream-0",
        },
    ]
}

fn control(Places { dir, rutter, http, https, admin, .. }: &Places) -> Vec<Line> {
    vec![
        Line {
            about: "why does this request go where it goes?",
            command: format!(
                "{rutter} explain http://shop.localhost:{http}/api/orders -m {dir} --http-port {http} --https-port {https}"
            ),
            expected: "api",
        },
        Line {
            about: "are the manifests right?",
            command: format!("{rutter} check {dir} --lb-pool 127.98.0.0/24"),
            expected: "",
        },
        Line {
            about: "is everything served?",
            command: format!("curl -s 'http://127.0.0.1:{admin}/readyz?verbose'"),
            expected: "",
        },
        Line {
            about: "metrics for Prometheus",
            command: format!("curl -s http://127.0.0.1:{admin}/metrics | grep ^rutter_"),
            expected: "rutter_",
        },
    ]
}

fn edits(Places { dir, http, .. }: &Places) -> Vec<Line> {
    vec![
        Line {
            about: "hot reload: a fourth pod, by one more file",
            command: format!(
                "sed 's/web-3/web-4/; s/127\\.97\\.1\\.3/127.97.1.4/g' {dir}/shop/web-3.yaml > {dir}/shop/web-4.yaml; sleep 1; \
                 curl -s --resolve shop.localhost:{http}:127.0.0.1 'http://shop.localhost:{http}/[1-40]' | grep -o '\"pod\":\"[^\"]*\"' | sort | uniq -c"
            ),
            expected: "\"pod\":\"web-4\"",
        },
        Line { about: "and back", command: format!("rm {dir}/shop/web-4.yaml"), expected: "" },
    ]
}
