//! `rutter proxy`: a reverse proxy without any file. The Ingress, Service and EndpointSlices that
//! a user would write are built in memory and go the way of all objects.

use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::process::ExitCode;
use std::sync::Arc;

use hyper::Uri;

use super::address::address;
use super::exit;
use crate::app::{AppError, Objects};
use crate::config::{Args as Options, Config};
use crate::manifest::endpoints::{EndpointPort, EndpointSlice, SliceEndpoint};
use crate::manifest::ingress::{
    Ingress, IngressBackend, IngressServiceBackend, IngressSpec, ServiceBackendPort,
};
use crate::manifest::service::{Service, ServicePort, ServiceSpec};
use crate::manifest::{Metadata, Object, Origin};
use crate::net::{ReusePort, listen_tcp};
use crate::source::Sourced;

/// Options of `proxy`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Where to listen for HTTP
    #[arg(long, value_name = "[IP:]PORT", value_parser = address)]
    from: SocketAddr,

    /// Where to send requests, by turns; may repeat
    #[arg(long, value_name = "URL", value_delimiter = ',', required = true)]
    to: Vec<String>,

    /// Access lines: text or json on standard output, or json appended to a file [default: off]
    #[arg(long, value_name = "off|text|json|PATH")]
    access_log: Option<String>,
}

/// Serves until SIGTERM or SIGINT.
pub fn run(args: &Args) -> ExitCode {
    let backends = match args.to.iter().map(|url| resolve(url)).collect::<Result<Vec<_>, _>>() {
        Ok(backends) => backends.concat(),
        Err(problem) => return exit::usage(&format!("--to: {problem}")),
    };
    let config = match Config::new(&options(args)) {
        Ok(config) => config,
        Err(error) => return exit::usage(&error),
    };
    if let Err(error) = listen_tcp(args.from, ReusePort::No) {
        // the only address there is: without it nothing would be served
        let error = AppError::Listen { what: "HTTP", option: "--from", addr: args.from, error };
        return exit::configuration(&error);
    }
    let objects = Objects::Listed(objects(&config.settings.ingress_class, &backends));
    let announcement =
        format!("rutter proxy: serving http://{} → {}", args.from, args.to.join(", "));
    super::run::serve(config, objects, move || eprintln!("{announcement}"))
}

fn options(args: &Args) -> Options {
    let off = || Some("off".to_owned());
    Options {
        http_port: Some(args.from.port().to_string()),
        https_port: off(),
        ingress_address: vec![args.from.ip().to_string()],
        dns_listen: off(),
        admin: off(),
        access_log: args.access_log.clone(),
        log: Some("warn".to_owned()),
        ..Options::default()
    }
}

/// The addresses behind `http://HOST[:PORT]`.
fn resolve(url: &str) -> Result<Vec<SocketAddr>, String> {
    let uri = url.parse::<Uri>().map_err(|error| format!("{url}: {error}"))?;
    match uri.scheme_str() {
        Some("http") => {}
        Some("https") => return Err(format!("{url}: https is not supported yet, only http")),
        _ => return Err(format!("{url}: expected http://HOST[:PORT]")),
    }
    if uri.path() != "/" || uri.query().is_some() {
        return Err(format!("{url}: a path cannot be prefixed; expected http://HOST[:PORT]"));
    }
    let host = uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    let addrs: Vec<_> = (host, uri.port_u16().unwrap_or(80))
        .to_socket_addrs()
        .map_err(|error| format!("{url}: cannot resolve {host}: {error}"))?
        .collect();
    Ok(one_family(addrs))
}

/// `localhost` has two addresses but one server: the addresses of the first one's family.
fn one_family(mut addrs: Vec<SocketAddr>) -> Vec<SocketAddr> {
    // most development servers listen on IPv4
    let prefers_v4 = addrs.iter().any(SocketAddr::is_ipv4);
    addrs.retain(|addr| addr.is_ipv4() == prefers_v4);
    addrs
}

const NAMESPACE: &str = "default";
const NAME: &str = "proxy";
/// Ports of a headless Service are names only; the EndpointSlices have the real ones.
const PORT: i64 = 80;

fn objects(class: &Arc<str>, backends: &[SocketAddr]) -> Vec<Sourced> {
    let mut objects =
        vec![Object::Ingress(ingress(class).into()), Object::Service(service().into())];
    objects.extend(
        backends
            .iter()
            .enumerate()
            .map(|(number, addr)| Object::EndpointSlice(slice(number, *addr).into())),
    );
    objects
        .into_iter()
        .map(|object| Sourced { object, origin: Origin::default(), stale: false })
        .collect()
}

fn ingress(class: &Arc<str>) -> Ingress {
    let port = ServiceBackendPort { number: Some(PORT), name: None };
    let service = IngressServiceBackend { name: NAME.into(), port };
    Ingress {
        metadata: metadata(NAME, &[]),
        spec: IngressSpec {
            ingress_class_name: Some(class.clone()),
            default_backend: Some(IngressBackend { service: Some(service), resource: None }),
            ..IngressSpec::default()
        },
        ..Ingress::default()
    }
}

/// Headless: a virtual address would be one socket more, on a port that needs root.
fn service() -> Service {
    Service {
        metadata: metadata(NAME, &[]),
        spec: ServiceSpec {
            cluster_ip: Some("None".into()),
            cluster_ips: vec!["None".into()],
            ports: vec![ServicePort { port: PORT, ..ServicePort::default() }],
            ..ServiceSpec::default()
        },
        ..Service::default()
    }
}

/// One slice a backend, as all endpoints of a slice have the same port.
fn slice(number: usize, addr: SocketAddr) -> EndpointSlice {
    let family = if addr.is_ipv4() { "IPv4" } else { "IPv6" };
    let ip: IpAddr = addr.ip();
    EndpointSlice {
        metadata: metadata(&format!("{NAME}-{number}"), &[("kubernetes.io/service-name", NAME)]),
        address_type: family.into(),
        endpoints: vec![SliceEndpoint {
            address: Some(ip.to_string().into()),
            ..SliceEndpoint::default()
        }],
        ports: vec![EndpointPort {
            name: Some("".into()),
            port: Some(i64::from(addr.port())),
            ..EndpointPort::default()
        }],
    }
}

fn metadata(name: &str, labels: &[(&str, &str)]) -> Metadata {
    let labels = labels.iter().map(|(name, value)| ((*name).into(), (*value).into()));
    Metadata {
        name: name.into(),
        namespace: NAMESPACE.into(),
        labels: labels.collect(),
        ..Metadata::default()
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;
    use crate::compile::{Allocations, Settings, compile};
    use crate::store::Inbox;

    #[test]
    fn urls_become_addresses() {
        for (url, addr) in [
            ("http://127.0.0.1:3000", "127.0.0.1:3000"),
            ("http://127.0.0.1/", "127.0.0.1:80"),
            ("http://[::1]:3000", "[::1]:3000"),
            ("http://localhost:3000", "127.0.0.1:3000"),
        ] {
            assert_eq!(resolve(url), Ok(vec![addr.parse().unwrap()]), "{url}");
        }
    }

    #[test]
    fn urls_that_cannot_be_served_are_refused_with_the_reason() {
        for (url, reason) in [
            ("https://127.0.0.1", "https is not supported yet"),
            ("127.0.0.1:3000", "expected http://HOST[:PORT]"),
            ("ftp://127.0.0.1", "expected http://HOST[:PORT]"),
            ("http://127.0.0.1/path", "a path cannot be prefixed"),
            ("http://name.invalid", "cannot resolve name.invalid"),
        ] {
            let problem = resolve(url).expect_err(url);
            assert!(problem.contains(reason) && problem.starts_with(url), "{problem}");
        }
    }

    #[test]
    fn the_objects_compile_to_one_rule_with_every_backend() {
        let backends = ["127.0.0.1:3000", "127.0.0.1:3001"].map(|addr| addr.parse().unwrap());
        let mut inbox = Inbox::default();
        let settings = Settings::default();
        for sourced in objects(&settings.ingress_class, &backends) {
            inbox.objects.apply(&sourced);
        }
        let compiled =
            compile(&inbox.objects, &settings, &Allocations::default(), SystemTime::now());
        assert_eq!(compiled.report.findings, []);
        let snapshot = format!("{:?}", compiled.snapshot);
        for addr in backends {
            assert!(snapshot.contains(&addr.to_string()), "{addr} in {snapshot}");
        }
    }

    #[test]
    fn each_backend_has_a_slice_of_the_one_service() {
        let backends = ["127.0.0.1:3000", "127.0.0.1:3001"].map(|addr| addr.parse().unwrap());
        let objects = objects(&"rutter".into(), &backends);
        let names: Vec<_> =
            objects.iter().map(|each| each.object.reference().to_string()).collect();
        assert_eq!(
            names,
            [
                "Ingress default/proxy",
                "Service default/proxy",
                "EndpointSlice default/proxy-0",
                "EndpointSlice default/proxy-1",
            ]
        );
    }
}
