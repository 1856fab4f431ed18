//! Calls of the echo service, and the messages of its answers.

use bytes::Bytes;
use http_body_util::Full;
use hyper::Request;

use super::case::backend_of;
use super::client::{Way, joined};
use super::{INFRA, Suite};
use crate::common::block_on;

const SERVICE: &str = "gateway_api_conformance.echo_basic.grpcecho.GrpcEcho";

pub const OK: u32 = 0;
pub const UNIMPLEMENTED: u32 = 12;
pub const UNAVAILABLE: u32 = 14;

/// One call. Without a word about the answer, it comes from a pod of the infra namespace.
#[derive(Clone)]
pub struct Call {
    method: &'static str,
    authority: Option<&'static str>,
    metadata: Vec<(&'static str, &'static str)>,
    codes: Vec<u32>,
    backend: Option<&'static str>,
    seen: Vec<(&'static str, &'static str)>,
    unseen: Vec<&'static str>,
    tls: bool,
}

/// What the echo service says.
#[derive(Debug, Default)]
pub struct Told {
    pub code: u32,
    pub method: String,
    pub authority: String,
    pub headers: Vec<(String, String)>,
    pub namespace: String,
    pub pod: String,
    pub server_name: String,
}

pub fn call(method: &'static str) -> Call {
    Call {
        method,
        authority: None,
        metadata: Vec::new(),
        codes: vec![OK],
        backend: None,
        seen: Vec::new(),
        unseen: Vec::new(),
        tls: false,
    }
}

impl Call {
    pub fn authority(self, authority: &'static str) -> Self {
        Self { authority: Some(authority), ..self }
    }

    pub fn with(mut self, name: &'static str, value: &'static str) -> Self {
        self.metadata.push((name, value));
        self
    }

    pub fn to(self, backend: &'static str) -> Self {
        Self { backend: Some(backend), ..self }
    }

    pub fn code(self, codes: &[u32]) -> Self {
        Self { codes: codes.to_vec(), ..self }
    }

    pub fn sees(mut self, fields: &[(&'static str, &'static str)]) -> Self {
        self.seen.extend(fields);
        self
    }

    pub fn sees_no(mut self, names: &[&'static str]) -> Self {
        self.unseen.extend(names);
        self
    }

    /// The pod was called over TLS.
    pub fn over_tls(self) -> Self {
        Self { tls: true, ..self }
    }

    fn request(&self, way: &Way<'_>) -> Request<Full<Bytes>> {
        let authority = self.authority.map_or_else(|| way.addr.to_string(), str::to_owned);
        let uri = format!("{}://{authority}/{SERVICE}/{}", way.scheme(), self.method);
        let mut builder =
            Request::post(uri).header("content-type", "application/grpc").header("te", "trailers");
        for (name, value) in &self.metadata {
            builder = builder.header(*name, *value);
        }
        // one empty message, not compressed
        builder.body(Full::from(vec![0; 5])).expect("a request")
    }

    fn problems(&self, told: &Told) -> Vec<String> {
        let mut problems = Vec::new();
        if !self.codes.contains(&told.code) {
            problems.push(format!("code {} is not in {:?}", told.code, self.codes));
            return problems;
        }
        if told.code != OK {
            return problems;
        }
        if told.namespace != INFRA {
            problems.push(format!("namespace {}", told.namespace));
        }
        if told.method != format!("/{SERVICE}/{}", self.method) {
            problems.push(format!("method {}", told.method));
        }
        if self.authority.is_some_and(|authority| authority != told.authority) {
            problems.push(format!("authority {}", told.authority));
        }
        if self.backend.is_some_and(|backend| backend_of(&told.pod) != backend) {
            problems.push(format!("{} answered", told.pod));
        }
        if self.tls == told.server_name.is_empty() {
            problems.push(format!("server name {:?}", told.server_name));
        }
        for (name, wanted) in &self.seen {
            let actual = told.header(name);
            if actual != *wanted {
                problems.push(format!("the pod saw {name}: {actual:?}, not {wanted:?}"));
            }
        }
        let unseen = self.unseen.iter().filter(|name| !told.header(name).is_empty());
        problems.extend(unseen.map(|name| format!("the pod saw {name}")));
        problems
    }
}

impl Suite {
    /// Makes the calls of a table, by prior knowledge of HTTP/2.
    #[track_caller]
    pub fn check_grpc(&self, gateway: &str, calls: &[Call]) {
        let way = Way::plain(self.address(gateway, 80)).http2();
        let problems = block_on(async {
            let mut all = Vec::new();
            for call in calls {
                let problems = match tell(&way, call).await {
                    Ok(told) => call.problems(&told),
                    Err(error) => vec![error],
                };
                let name = format!("{} {:?} {:?}", call.method, call.authority, call.metadata);
                all.extend(problems.into_iter().map(|it| format!("{name}: {it}")));
            }
            all
        });
        assert!(problems.is_empty(), "{}", problems.join("\n"));
    }
}

/// Makes one call on a connection of its own.
pub async fn tell(way: &Way<'_>, call: &Call) -> Result<Told, String> {
    let answer = way.connect().await?.send(call.request(way)).await?;
    let status = joined(&answer.trailers, "grpc-status").or_else(|| answer.header("grpc-status"));
    // the mapping of gRPC for answers that are none of its own
    let code = match (status.and_then(|code| code.parse().ok()), answer.status) {
        (Some(code), _) => code,
        (None, 404) => UNIMPLEMENTED,
        (None, 502..=504) => UNAVAILABLE,
        (None, status) => return Err(format!("no gRPC status, HTTP {status}")),
    };
    let mut told = Told { code, ..Told::default() };
    if let Some(message) = answer.body.get(5..) {
        told.read(message);
    }
    Ok(told)
}

impl Told {
    fn header(&self, name: &str) -> String {
        let values = self.headers.iter().filter(|(key, _)| key.eq_ignore_ascii_case(name));
        values.map(|(_, value)| value.as_str()).collect::<Vec<_>>().join(",")
    }

    /// `EchoResponse`.
    fn read(&mut self, message: &[u8]) {
        let Some((_, assertions)) = fields(message).find(|(number, _)| *number == 1) else {
            return;
        };
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let inner = |message: &[u8], wanted: u8| {
            fields(message)
                .find(|(number, _)| *number == wanted)
                .map_or_else(String::new, |it| text(it.1))
        };
        for (number, bytes) in fields(assertions) {
            match number {
                1 => self.method = text(bytes),
                2 => self.headers.push((inner(bytes, 1), inner(bytes, 2))),
                3 => self.authority = text(bytes),
                4 => (self.namespace, self.pod) = (inner(bytes, 1), inner(bytes, 4)),
                5 => self.server_name = inner(bytes, 3),
                _ => {}
            }
        }
    }
}

/// Number and bytes of each field; all of them are of wire type 2.
fn fields(mut message: &[u8]) -> impl Iterator<Item = (u8, &[u8])> {
    std::iter::from_fn(move || {
        let (tag, mut rest) = message.split_first()?;
        let (mut length, mut shift) = (0_usize, 0);
        loop {
            let (byte, after) = rest.split_first()?;
            rest = after;
            length |= usize::from(byte & 0x7f) << shift;
            shift += 7;
            if byte & 0x80 == 0 {
                break;
            }
        }
        let (bytes, after) = rest.split_at_checked(length)?;
        message = after;
        Some((tag >> 3, bytes))
    })
}
