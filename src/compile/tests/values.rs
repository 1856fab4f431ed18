//! Values of Services that the API server would refuse, and what is not honoured.

use serde_json::{Value, json};

use super::services::web;
use super::*;

#[test]
fn a_port_that_the_api_server_refuses_is_found() {
    check_found(vec![
        (json!({"ports": []}), Code::BadValue, "spec.ports"),
        (json!({"ports": [{"port": 0}]}), Code::BadValue, "spec.ports[0].port"),
        (json!({"ports": [{"port": 65536}]}), Code::BadValue, "spec.ports[0].port"),
        (
            json!({"ports": [{"port": 80, "protocol": "tcp"}]}),
            Code::BadValue,
            "spec.ports[0].protocol",
        ),
        (
            json!({"ports": [{"port": 80, "protocol": "SCTP"}]}),
            Code::NotCarried,
            "spec.ports[0].protocol",
        ),
        (json!({"ports": [{"port": 80, "name": "A"}]}), Code::BadValue, "spec.ports[0].name"),
        (
            json!({"ports": [{"port": 80, "targetPort": "a--b"}]}),
            Code::BadValue,
            "spec.ports[0].targetPort",
        ),
        (
            json!({"ports": [{"port": 80, "nodePort": 30000}]}),
            Code::BadValue,
            "spec.ports[0].nodePort",
        ),
        (
            json!({"ports": [{"name": "a", "port": 80}, {"port": 81}]}),
            Code::BadValue,
            "spec.ports[1].name",
        ),
        (
            json!({"ports": [{"name": "a", "port": 80}, {"name": "a", "port": 81}]}),
            Code::BadValue,
            "spec.ports[1].name",
        ),
        (
            json!({"ports": [{"name": "a", "port": 80}, {"name": "b", "port": 80}]}),
            Code::BadValue,
            "spec.ports[1].port",
        ),
    ]);
}

#[test]
fn a_field_that_cannot_be_served_as_written_is_found() {
    check_found(vec![
        (json!({"type": "Loadbalancer"}), Code::BadValue, "spec.type"),
        (json!({"type": "ExternalName"}), Code::BadValue, "spec.externalName"),
        (json!({"type": "NodePort", "clusterIP": "None"}), Code::BadValue, "spec.clusterIP"),
        (json!({"clusterIP": "127.96.0"}), Code::BadValue, "spec.clusterIP"),
        (json!({"clusterIPs": ["127.96.0.21"]}), Code::BadValue, "spec.clusterIPs[0]"),
        (json!({"ipFamilies": ["IPv5"]}), Code::BadValue, "spec.ipFamilies[0]"),
        (json!({"ipFamilies": ["IPv6"], "clusterIP": ""}), Code::PoolExhausted, "spec"),
        (
            json!({"sessionAffinity": "ClientIP", "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 0}}}),
            Code::BadValue,
            "spec.sessionAffinityConfig.clientIP.timeoutSeconds",
        ),
        (
            json!({"type": "LoadBalancer", "loadBalancerSourceRanges": ["10.0.0.0/8", "10/8"]}),
            Code::BadValue,
            "spec.loadBalancerSourceRanges[1]",
        ),
        (json!({"healthCheckNodePort": 30000}), Code::BadValue, "spec.healthCheckNodePort"),
        (
            json!({"type": "LoadBalancer", "healthCheckNodePort": 30000}),
            Code::BadValue,
            "spec.healthCheckNodePort",
        ),
        (json!({"clusterIP": "10.96.0.20"}), Code::UnservedAddress, "spec.clusterIP"),
        (json!({"selector": {"app": "wbe"}}), Code::EmptySelection, "spec.selector"),
        (
            json!({"ports": [{"port": 80, "targetPort": "htpp"}]}),
            Code::MissingTargetPort,
            "spec.ports[0].targetPort",
        ),
    ]);
}

#[test]
fn an_address_of_a_pod_that_is_none_is_found() {
    let compiled = compiled([web(json!({})), pod("web-0", "10.0.0.1"), pod("web-1", "10.0.0")]);
    assert_eq!(codes(&compiled), [(Code::BadValue, "status.podIP")]);
}

/// Changes to a good Service give this one finding.
#[track_caller]
fn check_found(rows: Vec<(Value, Code, &str)>) {
    for (extra, code, field) in rows {
        let compiled = compiled([web(extra.clone()), pod("web-0", "10.0.0.1")]);
        assert_eq!(codes(&compiled), [(code, field)], "{extra}");
    }
}

#[test]
fn a_misspelt_word_is_followed_by_what_was_meant() {
    for (extra, help) in [
        (json!({"type": "Loadbalancer"}), "did you mean LoadBalancer?"),
        (json!({"selector": {"app": "wbe"}}), "did you mean web? (the value of the label app)"),
        (json!({"ports": [{"port": 80, "targetPort": "htpp"}]}), "did you mean http?"),
    ] {
        let compiled = compiled([web(extra), pod("web-0", "10.0.0.1")]);
        let finding = compiled.report.findings.first().expect("a finding");
        assert_eq!(finding.help.as_deref(), Some(help));
    }
}
