//! A row of a table: one HTTP request, and what shall come of it.

use bytes::Bytes;
use http_body_util::Full;
use hyper::{Request, Uri, Version};
use serde_json::Value;

use super::client::{Answer, Way};
use super::{INFRA, Suite};
use crate::common::block_on;
use crate::common::http::seen;

/// One request and its answer. Without a word about the answer, it is 200 from a pod of the infra
/// namespace that saw the request as it was sent.
#[derive(Clone)]
pub struct Case {
    method: &'static str,
    host: Option<String>,
    path: String,
    headers: Vec<(&'static str, String)>,
    statuses: Vec<u16>,
    by: By,
    namespace: &'static str,
    seen_method: Option<&'static str>,
    seen_path: Option<String>,
    seen_host: Option<&'static str>,
    seen_headers: Vec<(&'static str, &'static str)>,
    unseen_headers: Vec<&'static str>,
    seen_server_name: Option<&'static str>,
    seen_certificate: Option<String>,
    told_headers: Vec<(&'static str, Vec<&'static str>)>,
    untold_headers: Vec<&'static str>,
    redirect: Option<Redirect>,
}

/// Who answers.
#[derive(Clone, Copy, PartialEq, Eq)]
enum By {
    /// A pod of any backend.
    Anyone,
    /// A pod of that Deployment.
    Backend(&'static str),
    /// The Gateway itself.
    Gateway,
}

/// Parts of a `Location`. What is not given is that of the request, and no port is the scheme's.
#[derive(Clone, Copy, Default)]
pub struct Redirect {
    pub scheme: Option<&'static str>,
    pub host: Option<&'static str>,
    pub port: Option<u16>,
    pub path: Option<&'static str>,
}

pub fn get(path: impl Into<String>) -> Case {
    request("GET", path)
}

pub fn request(method: &'static str, path: impl Into<String>) -> Case {
    Case {
        method,
        host: None,
        path: path.into(),
        headers: Vec::new(),
        statuses: vec![200],
        by: By::Anyone,
        namespace: INFRA,
        seen_method: None,
        seen_path: None,
        seen_host: None,
        seen_headers: Vec::new(),
        unseen_headers: Vec::new(),
        seen_server_name: None,
        seen_certificate: None,
        told_headers: Vec::new(),
        untold_headers: Vec::new(),
        redirect: None,
    }
}

impl Case {
    pub fn host(self, host: impl Into<String>) -> Self {
        Self { host: Some(host.into()), ..self }
    }

    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// The pod puts these fields into its answer.
    pub fn echoing(self, fields: &[(&str, &str)]) -> Self {
        let fields: Vec<_> = fields.iter().map(|(name, value)| format!("{name}:{value}")).collect();
        self.with("X-Echo-Set-Header", fields.join(","))
    }

    pub fn to(self, backend: &'static str) -> Self {
        Self { by: By::Backend(backend), ..self }
    }

    /// The pod is of another namespace.
    pub fn of(self, namespace: &'static str) -> Self {
        Self { namespace, ..self }
    }

    /// Answered with one of these by the Gateway.
    pub fn status(self, status: impl Into<Statuses>) -> Self {
        Self { statuses: status.into().0, by: By::Gateway, ..self }
    }

    /// Answered with one of these by a pod of that Deployment, or by the Gateway in its stead.
    pub fn is(self, status: impl Into<Statuses>) -> Self {
        Self { statuses: status.into().0, ..self }
    }

    pub fn redirect(self, status: u16, redirect: Redirect) -> Self {
        Self { redirect: Some(redirect), ..self.status(status) }
    }

    pub fn seen_path(self, path: impl Into<String>) -> Self {
        Self { seen_path: Some(path.into()), ..self }
    }

    pub fn seen_host(self, host: &'static str) -> Self {
        Self { seen_host: Some(host), ..self }
    }

    pub fn sees(mut self, fields: &[(&'static str, &'static str)]) -> Self {
        self.seen_headers.extend(fields);
        self
    }

    pub fn sees_no(mut self, names: &[&'static str]) -> Self {
        self.unseen_headers.extend(names);
        self
    }

    pub fn seen_server_name(self, name: &'static str) -> Self {
        Self { seen_server_name: Some(name), ..self }
    }

    pub fn seen_certificate(self, pem: &str) -> Self {
        Self { seen_certificate: Some(pem.replace("\r\n", "\n")), ..self }
    }

    /// The answer has a field with one of these values; blanks do not count.
    pub fn tells(mut self, name: &'static str, values: &[&'static str]) -> Self {
        self.told_headers.push((name, values.to_vec()));
        self
    }

    pub fn tells_no(mut self, names: &[&'static str]) -> Self {
        self.untold_headers.extend(names);
        self
    }

    fn request(&self, way: &Way<'_>) -> Request<Full<Bytes>> {
        let addr = way.addr;
        let host = self.host.clone().unwrap_or_else(|| match (way.scheme(), addr.port()) {
            ("http", 80) | ("https", 443) => addr.ip().to_string(),
            _ => addr.to_string(),
        });
        let mut builder = Request::builder().method(self.method);
        builder = if way.http2 {
            builder.uri(format!("{}://{host}{}", way.scheme(), self.path)).version(Version::HTTP_2)
        } else {
            builder.uri(&self.path).header("host", host)
        };
        for (name, value) in &self.headers {
            builder = builder.header(*name, value);
        }
        builder.body(Full::default()).expect("a request")
    }

    /// What is wrong with the answer; nothing if it is as it shall be.
    fn problems(&self, way: &Way<'_>, answer: &Answer) -> Vec<String> {
        let mut problems = Vec::new();
        if !self.statuses.contains(&answer.status) {
            let body = String::from_utf8_lossy(&answer.body);
            problems.push(format!("{} is not in {:?}: {body}", answer.status, self.statuses));
            return problems;
        }
        match serde_json::from_slice::<Value>(&answer.body) {
            Ok(body) if body.is_object() && answer.status == 200 => {
                self.compare_request(&body, &mut problems);
            }
            _ if self.by == By::Gateway || answer.status != 200 => {}
            _ => problems.push("no pod answered".to_owned()),
        }
        self.compare_answer(answer, &mut problems);
        if let Some(redirect) = self.redirect {
            self.compare_location(way, redirect, answer, &mut problems);
        }
        problems
    }

    fn compare_request(&self, body: &Value, problems: &mut Vec<String>) {
        let mut same = |what: &str, actual: &Value, wanted: &str| {
            if *actual != wanted {
                problems.push(format!("{what} is {actual}, not {wanted:?}"));
            }
        };
        same("namespace", &body["namespace"], self.namespace);
        same("path", &body["path"], self.seen_path.as_ref().unwrap_or(&self.path));
        same("method", &body["method"], self.seen_method.unwrap_or(self.method));
        if let Some(host) = self.seen_host.or(self.host.as_deref()) {
            same("host", &body["host"], host);
        }
        if let Some(name) = self.seen_server_name {
            same("server name", &body["tls"]["serverName"], name);
        }
        let pod = body["pod"].as_str().unwrap_or_default();
        match self.by {
            By::Anyone => {}
            By::Backend(backend) if backend_of(pod) == backend => {}
            By::Backend(backend) => problems.push(format!("{pod} answered, not {backend}")),
            By::Gateway => problems.push(format!("{pod} answered, not the Gateway")),
        }
        for (name, wanted) in &self.seen_headers {
            let actual = seen(body, name).join(",");
            if actual != *wanted {
                problems.push(format!("the pod saw {name}: {actual:?}, not {wanted:?}"));
            }
        }
        for name in &self.unseen_headers {
            if !seen(body, name).is_empty() {
                problems.push(format!("the pod saw {name}"));
            }
        }
        if let Some(pem) = &self.seen_certificate {
            let shown = body["tls"]["peerCertificates"].as_array().into_iter().flatten();
            if !shown.into_iter().any(|it| it == pem) {
                problems.push("the pod saw no such certificate".to_owned());
            }
        }
    }

    fn compare_answer(&self, answer: &Answer, problems: &mut Vec<String>) {
        let bare = |text: &str| text.replace(' ', "");
        for (name, wanted) in &self.told_headers {
            let actual = answer.header(name);
            let is_wanted =
                |actual: &String| wanted.iter().any(|wanted| bare(wanted) == bare(actual));
            if !actual.as_ref().is_some_and(is_wanted) {
                problems.push(format!("{name} is {actual:?}, not one of {wanted:?}"));
            }
        }
        for name in &self.untold_headers {
            if let Some(actual) = answer.header(name) {
                problems.push(format!("there is {name}: {actual}"));
            }
        }
    }

    fn compare_location(
        &self,
        way: &Way<'_>,
        redirect: Redirect,
        answer: &Answer,
        problems: &mut Vec<String>,
    ) {
        let location = answer.header("location").unwrap_or_default();
        let Ok(uri) = location.parse::<Uri>() else {
            problems.push(format!("location is no URL: {location:?}"));
            return;
        };
        let scheme = uri.scheme_str().unwrap_or_else(|| way.scheme());
        let well_known = if scheme == "https" { 443 } else { 80 };
        let port = uri.port_u16();
        let requested = self.path.split('?').next().unwrap_or_default();
        let is_right = scheme == redirect.scheme.unwrap_or_else(|| way.scheme())
            && redirect.host.is_none_or(|host| uri.host() == Some(host))
            && uri.path() == redirect.path.unwrap_or(requested)
            && match redirect.port {
                Some(wanted) => port == Some(wanted),
                None => port.is_none_or(|port| port == well_known),
            };
        if !is_right {
            problems.push(format!("location is {location}"));
        }
    }

    fn name(&self) -> String {
        let host = self.host.as_deref().unwrap_or_default();
        let headers = self.headers.iter().map(|(name, value)| format!(" {name}: {value}"));
        format!("{} {host}{}{}", self.method, self.path, headers.collect::<String>())
    }
}

/// Statuses, one of which it shall be.
pub struct Statuses(Vec<u16>);

impl From<u16> for Statuses {
    fn from(status: u16) -> Self {
        Self(vec![status])
    }
}

impl<const N: usize> From<[u16; N]> for Statuses {
    fn from(statuses: [u16; N]) -> Self {
        Self(statuses.to_vec())
    }
}

/// The Deployment of a pod: its name without what the ReplicaSet and the pod add.
pub fn backend_of(pod: &str) -> &str {
    let mut parts = pod.rsplitn(3, '-');
    parts.nth(2).unwrap_or(pod)
}

impl Suite {
    /// Sends the requests of a table, each on a connection of its own, and tells all that is wrong.
    #[track_caller]
    pub fn check(&self, way: &Way<'_>, cases: &[Case]) {
        let problems = block_on(async {
            let mut all = Vec::new();
            for case in cases {
                let problems = match ask(way, case).await {
                    Ok(answer) => case.problems(way, &answer),
                    Err(error) => vec![error],
                };
                all.extend(problems.into_iter().map(|it| format!("{}: {it}", case.name())));
            }
            all
        });
        assert!(problems.is_empty(), "{}", problems.join("\n"));
    }

    /// The same at port 80 of a Gateway.
    #[track_caller]
    pub fn check_http(&self, gateway: &str, cases: &[Case]) {
        self.check(&Way::plain(self.address(gateway, 80)), cases);
    }
}

/// Sends one request on a connection of its own.
pub async fn ask(way: &Way<'_>, case: &Case) -> Result<Answer, String> {
    way.connect().await?.send(case.request(way)).await
}

/// The pod that answers; for weights.
pub async fn pod(way: &Way<'_>, case: &Case) -> String {
    let answer = ask(way, case).await.expect("an answer");
    let body = serde_json::from_slice::<Value>(&answer.body).expect("JSON of a pod");
    body["pod"].as_str().expect("a pod").to_owned()
}
