//! The objects of a cluster, which are the same for a directory and for an API server.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use crate::Outcome;

/// Services with a virtual address, and as many headless ones.
pub struct Cluster {
    /// Of each of the two kinds.
    services: usize,
}

/// Namespaces that the Services are spread over.
pub const NAMESPACES: usize = 100;
/// Pods of a headless Service.
pub const PODS: usize = 10;

impl Cluster {
    pub fn new(services: usize) -> Self {
        Self { services: services / 2 }
    }

    /// How many Services there are of each kind.
    pub fn of_a_kind(&self) -> usize {
        self.services
    }

    pub fn namespaces(&self) -> Vec<String> {
        let object = |place| {
            format!(
                r#"{{"apiVersion":"v1","kind":"Namespace","metadata":{{"name":"ns{place}","resourceVersion":"1"}}}}"#
            )
        };
        (0..NAMESPACES).map(object).collect()
    }

    /// Those with a virtual address are for another proxy, so that only their names are served.
    pub fn services(&self) -> Vec<String> {
        let with_address = (0..self.services).map(|place| service(place, &address(place)));
        let headless = (0..self.services).map(|place| {
            let (name, namespace) = (format!("headless{place}"), place % NAMESPACES);
            format!(
                r#"{{"apiVersion":"v1","kind":"Service","metadata":{{"name":"{name}","namespace":"ns{namespace}","resourceVersion":"1"}},"spec":{{"type":"ClusterIP","clusterIP":"None","clusterIPs":["None"],"selector":{{"app":"{name}"}},"ports":[{{"name":"http","port":80,"protocol":"TCP","targetPort":8080}}]}}}}"#
            )
        });
        with_address.chain(headless).collect()
    }

    pub fn slices(&self) -> Vec<String> {
        (0..self.services).map(slice).collect()
    }

    /// Writes a file a namespace.
    pub fn write(&self, dir: &Path) -> Outcome<()> {
        let mut files = vec![String::new(); NAMESPACES];
        let (services, slices) = (self.services(), self.slices());
        let objects = self.namespaces().into_iter().chain(services).chain(slices);
        // the order of each list is that of the namespaces
        let places = (0..NAMESPACES).chain((0..3).flat_map(|_| 0..self.services));
        for (object, place) in objects.zip(places) {
            writeln!(files[place % NAMESPACES], "---\n{object}")?;
        }
        for (place, text) in files.iter().enumerate() {
            fs::write(dir.join(format!("ns{place}.yaml")), text)?;
        }
        Ok(())
    }
}

/// A Service with a virtual address that another proxy serves.
pub fn service(place: usize, address: &str) -> String {
    let namespace = place % NAMESPACES;
    format!(
        r#"{{"apiVersion":"v1","kind":"Service","metadata":{{"name":"web{place}","namespace":"ns{namespace}","resourceVersion":"1","labels":{{"service.kubernetes.io/service-proxy-name":"other"}}}},"spec":{{"type":"ClusterIP","clusterIP":"{address}","clusterIPs":["{address}"],"ports":[{{"name":"http","port":80,"protocol":"TCP","targetPort":8080}}]}}}}"#
    )
}

fn address(place: usize) -> String {
    format!("127.96.{}.{}", 1 + place / 250, 1 + place % 250)
}

fn slice(place: usize) -> String {
    let mut endpoints = String::new();
    for pod in 0..PODS {
        let number = place * PODS + pod;
        let comma = if pod == 0 { "" } else { "," };
        let [_, a, b, c] = (number as u32).to_be_bytes();
        // writing to a String cannot fail
        let _ = write!(
            endpoints,
            r#"{comma}{{"addresses":["10.{a}.{b}.{c}"],"conditions":{{"ready":true,"serving":true,"terminating":false}},"hostname":"pod{pod}","nodeName":"node{}"}}"#,
            number % 50
        );
    }
    let (name, namespace) = (format!("headless{place}"), place % NAMESPACES);
    format!(
        r#"{{"apiVersion":"discovery.k8s.io/v1","kind":"EndpointSlice","metadata":{{"name":"{name}-x","namespace":"ns{namespace}","resourceVersion":"1","labels":{{"kubernetes.io/service-name":"{name}"}}}},"addressType":"IPv4","endpoints":[{endpoints}],"ports":[{{"name":"http","port":8080,"protocol":"TCP"}}]}}"#
    )
}
