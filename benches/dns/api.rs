//! As much of a Kubernetes API server as CoreDNS asks for: lists and watches of three kinds, of
//! objects that never change.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;

use crate::Outcome;
use crate::cluster::Cluster;

struct Collection {
    path: &'static str,
    version: &'static str,
    kind: &'static str,
    objects: Vec<String>,
}

/// Starts one; it ends with the process.
pub fn start(cluster: &Cluster) -> Outcome<SocketAddr> {
    let collection = |path, version, kind, objects| Collection { path, version, kind, objects };
    let collections = Arc::new([
        collection("/api/v1/services", "v1", "Service", cluster.services()),
        collection("/api/v1/namespaces", "v1", "Namespace", cluster.namespaces()),
        collection(
            "/apis/discovery.k8s.io/v1/endpointslices",
            "discovery.k8s.io/v1",
            "EndpointSlice",
            cluster.slices(),
        ),
    ]);
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let addr = listener.local_addr()?;
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let collections = collections.clone();
            // an error is the client's end
            thread::spawn(move || serve(stream, &*collections).is_ok());
        }
    });
    Ok(addr)
}

fn serve(stream: TcpStream, collections: &[Collection]) -> Outcome<()> {
    let mut requests = BufReader::new(stream.try_clone()?);
    let mut stream = stream;
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if requests.read_line(&mut head)? == 0 {
                return Ok(());
            }
        }
        let target = head.split(' ').nth(1).unwrap_or_default();
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let is_asked = |parameter: &str| query.split('&').any(|it| it == parameter);
        match collections.iter().find(|collection| collection.path == path) {
            None => respond(&mut stream, "404 Not Found", "{}")?,
            Some(collection) if is_asked("watch=true") => {
                return watch(stream, collection, is_asked("sendInitialEvents=true"));
            }
            Some(collection) => respond(&mut stream, "200 OK", &list(collection))?,
        }
    }
}

fn respond(stream: &mut TcpStream, status: &str, body: &str) -> Outcome<()> {
    let length = body.len();
    write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
    )?;
    Ok(())
}

fn list(collection: &Collection) -> String {
    let Collection { version, kind, objects, .. } = collection;
    let items = objects.join(",");
    format!(
        r#"{{"apiVersion":"{version}","kind":"{kind}List","metadata":{{"resourceVersion":"1"}},"items":[{items}]}}"#
    )
}

/// Tells of no changes until the client leaves; before that of all objects, where they are wanted
/// (streaming lists).
fn watch(mut stream: TcpStream, collection: &Collection, is_initial: bool) -> Outcome<()> {
    stream.write_all(
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n",
    )?;
    let mut send = |event: &str, object: &str| {
        let line = format!(r#"{{"type":"{event}","object":{object}}}"#);
        // the line's end is a byte of the chunk
        write!(stream, "{:x}\r\n{line}\n\r\n", line.len() + 1)
    };
    if is_initial {
        let Collection { version, kind, objects, .. } = collection;
        for object in objects {
            send("ADDED", object)?;
        }
        let end = format!(
            r#"{{"apiVersion":"{version}","kind":"{kind}","metadata":{{"resourceVersion":"1","annotations":{{"k8s.io/initial-events-end":"true"}}}}}}"#
        );
        send("BOOKMARK", &end)?;
    }
    std::io::copy(&mut stream, &mut std::io::sink())?;
    Ok(())
}
