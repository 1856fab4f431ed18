//! A blocking HTTP/1.1 client that shows exactly what was received.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};

use socket2::{Domain, Socket, Type};

/// A response, with names in lower case.
#[derive(Debug)]
pub struct Response {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Response {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON, as the echo backend answers.
    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("no JSON ({error}) in {} {}", self.status, self.text()))
    }
}

/// The values of a field, in any case, among the `headers` that the echo backend saw.
pub fn seen<'a>(answer: &'a serde_json::Value, name: &str) -> Vec<&'a str> {
    let headers = answer["headers"].as_object().into_iter().flatten();
    let values =
        headers.filter(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, values)| values);
    values.filter_map(|values| values.as_array()).flatten().filter_map(|it| it.as_str()).collect()
}

/// Connects by an address of this machine.
pub fn connect_from(from: IpAddr, to: SocketAddr) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(to), Type::STREAM, None)?;
    socket.bind(&SocketAddr::new(from, 0).into())?;
    socket.connect_timeout(&to.into(), super::PATIENCE)?;
    Ok(socket.into())
}

/// A kept connection.
pub struct Client {
    stream: BufReader<TcpStream>,
}

impl Client {
    #[track_caller]
    pub fn connect(addr: SocketAddr) -> Self {
        Self::of(TcpStream::connect_timeout(&addr, super::PATIENCE).expect("a connection"))
    }

    /// On a connection that is there.
    pub fn of(stream: TcpStream) -> Self {
        stream.set_read_timeout(Some(super::PATIENCE)).expect("a time-out");
        stream.set_nodelay(true).expect("no delay");
        Self { stream: BufReader::new(stream) }
    }

    /// Sends bytes as they are.
    pub fn send(&mut self, bytes: &[u8]) -> &mut Self {
        self.stream.get_mut().write_all(bytes).expect("to be sent");
        self
    }

    /// Asks for a path of a host and reads the answer.
    #[track_caller]
    pub fn get(&mut self, host: &str, path: &str) -> Response {
        self.send(format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n").as_bytes());
        self.response().expect("a response")
    }

    /// Reads one response to a request other than HEAD; `None` when the connection ended instead.
    pub fn response(&mut self) -> Option<Response> {
        let status = self.line()?.split(' ').nth(1)?.parse().ok()?;
        let mut headers = Vec::new();
        loop {
            let line = self.line()?;
            let Some((name, value)) = line.split_once(':') else { break };
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
        let mut response = Response { status, headers, body: Vec::new() };
        response.body = self.body(&response)?;
        Some(response)
    }

    fn body(&mut self, response: &Response) -> Option<Vec<u8>> {
        let mut body = Vec::new();
        if matches!(response.status, 100..200 | 204 | 304) {
            return Some(body);
        }
        if let Some(length) = response.header("content-length") {
            body.resize(length.parse().ok()?, 0);
            self.stream.read_exact(&mut body).ok()?;
        } else if response.header("transfer-encoding") == Some("chunked") {
            while let length @ 1.. = usize::from_str_radix(&self.line()?, 16).ok()? {
                let start = body.len();
                body.resize(start + length, 0);
                self.stream.read_exact(&mut body[start..]).ok()?;
                self.line()?;
            }
            while !self.line()?.is_empty() {}
        } else {
            self.stream.read_to_end(&mut body).ok()?;
        }
        Some(body)
    }

    fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        self.stream.read_line(&mut line).ok().filter(|length| *length > 0)?;
        Some(line.trim_end_matches(['\r', '\n']).to_owned())
    }

    /// The connection itself.
    pub fn into_stream(self) -> TcpStream {
        self.stream.into_inner()
    }
}

/// One request on a connection of its own.
#[track_caller]
pub fn get(addr: SocketAddr, host: &str, path: &str) -> Response {
    Client::connect(addr).get(host, path)
}
