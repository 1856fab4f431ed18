//! What stands for a Gateway in the cluster (GEP-1762, GEP-1867): a headless Service with the
//! Gateway's name in a label, and the labels and annotations of `spec.infrastructure`.
//!
//! rutter itself needs no such object; tools find the Gateway's parts by it. A directory has
//! nowhere to put it: the report shows it.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::gateways::OwnGateway;
use super::listener::OwnListener;
use crate::compile::report::InfrastructureService;

/// The Service of each accepted Gateway.
pub(super) fn services(
    gateways: &[OwnGateway<'_>],
    listeners: &[OwnListener<'_>],
) -> Vec<InfrastructureService> {
    let mut served: BTreeMap<usize, Vec<&OwnListener<'_>>> = BTreeMap::new();
    for listener in listeners.iter().filter(|it| it.is_programmed()) {
        served.entry(listener.gateway).or_default().push(listener);
    }
    let accepted = gateways.iter().enumerate().filter(|(_, it)| it.refused.is_none());
    let service = |(place, gateway)| {
        let listeners = served.get(&place).map(Vec::as_slice).unwrap_or_default();
        service(gateway, listeners)
    };
    accepted.map(service).collect()
}

fn service(gateway: &OwnGateway<'_>, served: &[&OwnListener<'_>]) -> InfrastructureService {
    let spec = gateway.spec();
    let mut labels = spec.infrastructure.labels.clone();
    labels.insert(NAME_LABEL.into(), gateway.key.name.clone());
    labels.insert(CLASS_LABEL.into(), spec.gateway_class_name.clone());
    let ports: BTreeMap<Arc<str>, u16> = served
        .iter()
        .filter_map(|it| {
            let transport = it.protocol?.transport();
            Some((format!("{transport}-{}", it.port).into(), it.port))
        })
        .collect();
    InfrastructureService {
        namespace: gateway.key.namespace.clone(),
        name: format!("{}-{}", gateway.key.name, spec.gateway_class_name).into(),
        labels,
        annotations: spec.infrastructure.annotations.clone(),
        ports,
    }
}

const NAME_LABEL: &str = "gateway.networking.k8s.io/gateway-name";
const CLASS_LABEL: &str = "gateway.networking.k8s.io/gateway-class-name";
