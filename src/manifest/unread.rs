//! The fields that Kubernetes 1.36 gives the kinds that rutter reads: those it reads and those
//! it does not. A field that is in none of these lists is a mistake of its writer.
//!
//! What is below a field that is not read is not looked at. Lists of struct types follow
//! `staging/src/k8s.io/api` at v1.36, with the fields of older manifests that the API server
//! still lets pass.

use super::Kind;

/// The fields of the mapping at `path` (`spec.ports[]`, without indexes); empty where rutter does
/// not know of any.
pub(super) fn fields(kind: Kind, path: &str) -> &'static [&'static str] {
    match path {
        "" => return top(kind),
        "metadata" => return METADATA,
        _ => {}
    }
    match kind {
        Kind::Namespace => namespace(path),
        Kind::Node => node(path),
        Kind::Pod => pod(path),
        Kind::Service => service(path),
        Kind::EndpointSlice => endpoint_slice(path),
        Kind::Endpoints => endpoints(path),
        Kind::Ingress => ingress(path),
        Kind::IngressClass => ingress_class(path),
        Kind::GatewayClass
        | Kind::Gateway
        | Kind::ListenerSet
        | Kind::HttpRoute
        | Kind::GrpcRoute
        | Kind::TlsRoute
        | Kind::TcpRoute
        | Kind::UdpRoute
        | Kind::ReferenceGrant
        | Kind::BackendTlsPolicy
        | Kind::BackendTrafficPolicy => super::gateway::fields(kind, path),
        Kind::IpAddressPool | Kind::CiliumLoadBalancerIpPool => super::pool::fields(kind, path),
        Kind::Secret | Kind::ConfigMap => &[],
    }
}

fn top(kind: Kind) -> &'static [&'static str] {
    match kind {
        Kind::Namespace
        | Kind::Node
        | Kind::Pod
        | Kind::Service
        | Kind::Ingress
        | Kind::GatewayClass
        | Kind::Gateway
        | Kind::ListenerSet
        | Kind::HttpRoute
        | Kind::GrpcRoute
        | Kind::TlsRoute
        | Kind::TcpRoute
        | Kind::UdpRoute
        | Kind::BackendTlsPolicy
        | Kind::BackendTrafficPolicy
        | Kind::IpAddressPool
        | Kind::CiliumLoadBalancerIpPool => &["apiVersion", "kind", "metadata", "spec", "status"],
        Kind::IngressClass | Kind::ReferenceGrant => &["apiVersion", "kind", "metadata", "spec"],
        Kind::EndpointSlice => {
            &["apiVersion", "kind", "metadata", "addressType", "endpoints", "ports"]
        }
        Kind::Endpoints => &["apiVersion", "kind", "metadata", "subsets"],
        Kind::Secret => {
            &["apiVersion", "kind", "metadata", "type", "data", "stringData", "immutable"]
        }
        Kind::ConfigMap => &["apiVersion", "kind", "metadata", "data", "binaryData", "immutable"],
    }
}

fn namespace(path: &str) -> &'static [&'static str] {
    match path {
        "spec" => &["finalizers"],
        "status" => &["phase", "conditions"],
        _ => &[],
    }
}

fn node(path: &str) -> &'static [&'static str] {
    match path {
        "spec" => NODE_SPEC,
        "spec.taints[]" => &["key", "value", "effect", "timeAdded"],
        "status" => NODE_STATUS,
        "status.addresses[]" => &["type", "address"],
        "status.conditions[]" => {
            &["type", "status", "lastHeartbeatTime", "lastTransitionTime", "reason", "message"]
        }
        _ => &[],
    }
}

fn pod(path: &str) -> &'static [&'static str] {
    match path {
        "spec" => POD_SPEC,
        "spec.dnsConfig" => &["nameservers", "searches", "options"],
        "spec.containers[]" | "spec.initContainers[]" => CONTAINER,
        "spec.containers[].ports[]" | "spec.initContainers[].ports[]" => {
            &["name", "containerPort", "protocol", "hostIP", "hostPort"]
        }
        "status" => POD_STATUS,
        "status.podIPs[]" => &["ip"],
        "status.conditions[]" => &[
            "type",
            "status",
            "lastProbeTime",
            "lastTransitionTime",
            "reason",
            "message",
            "observedGeneration",
        ],
        _ => &[],
    }
}

fn service(path: &str) -> &'static [&'static str] {
    match path {
        "spec" => SERVICE_SPEC,
        "spec.ports[]" => &["name", "port", "protocol", "appProtocol", "targetPort", "nodePort"],
        "spec.sessionAffinityConfig" => &["clientIP"],
        "spec.sessionAffinityConfig.clientIP" => &["timeoutSeconds"],
        "status" => &["loadBalancer", "conditions"],
        _ => load_balancer(path),
    }
}

fn endpoint_slice(path: &str) -> &'static [&'static str] {
    match path {
        "endpoints[]" => &[
            "addresses",
            "conditions",
            "hostname",
            "nodeName",
            "targetRef",
            "zone",
            "hints",
            "deprecatedTopology",
        ],
        "endpoints[].conditions" => &["ready", "serving", "terminating"],
        "endpoints[].hints" => &["forZones", "forNodes"],
        "endpoints[].hints.forZones[]" | "endpoints[].hints.forNodes[]" => &["name"],
        "endpoints[].targetRef" => OBJECT_REFERENCE,
        "ports[]" => ENDPOINT_PORT,
        _ => &[],
    }
}

fn endpoints(path: &str) -> &'static [&'static str] {
    match path {
        "subsets[]" => &["addresses", "notReadyAddresses", "ports"],
        "subsets[].addresses[]" | "subsets[].notReadyAddresses[]" => {
            &["ip", "hostname", "nodeName", "targetRef"]
        }
        "subsets[].addresses[].targetRef" | "subsets[].notReadyAddresses[].targetRef" => {
            OBJECT_REFERENCE
        }
        "subsets[].ports[]" => ENDPOINT_PORT,
        _ => &[],
    }
}

fn ingress(path: &str) -> &'static [&'static str] {
    match path {
        "spec" => &["ingressClassName", "defaultBackend", "tls", "rules"],
        "spec.tls[]" => &["hosts", "secretName"],
        "spec.rules[]" => &["host", "http"],
        "spec.rules[].http" => &["paths"],
        "spec.rules[].http.paths[]" => &["path", "pathType", "backend"],
        "status" => &["loadBalancer"],
        _ => match path.strip_prefix("spec.rules[].http.paths[].backend") {
            Some(rest) => backend(rest),
            None => path
                .strip_prefix("spec.defaultBackend")
                .map_or_else(|| load_balancer(path), backend),
        },
    }
}

fn backend(path: &str) -> &'static [&'static str] {
    match path {
        "" => &["service", "resource"],
        ".service" => &["name", "port"],
        ".service.port" => &["name", "number"],
        ".resource" => &["apiGroup", "kind", "name"],
        _ => &[],
    }
}

fn load_balancer(path: &str) -> &'static [&'static str] {
    match path {
        "status.loadBalancer" => &["ingress"],
        "status.loadBalancer.ingress[]" => &["ip", "hostname", "ipMode", "ports"],
        "status.loadBalancer.ingress[].ports[]" => &["port", "protocol", "error"],
        _ => &[],
    }
}

fn ingress_class(path: &str) -> &'static [&'static str] {
    match path {
        "spec" => &["controller", "parameters"],
        "spec.parameters" => &["apiGroup", "kind", "name", "scope", "namespace"],
        _ => &[],
    }
}

const METADATA: &[&str] = &[
    "name",
    "generateName",
    "namespace",
    "selfLink",
    "uid",
    "resourceVersion",
    "generation",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "labels",
    "annotations",
    "ownerReferences",
    "finalizers",
    "managedFields",
    "clusterName",
];

const OBJECT_REFERENCE: &[&str] =
    &["kind", "namespace", "name", "uid", "apiVersion", "resourceVersion", "fieldPath"];

const ENDPOINT_PORT: &[&str] = &["name", "port", "protocol", "appProtocol"];

const SERVICE_SPEC: &[&str] = &[
    "type",
    "clusterIP",
    "clusterIPs",
    "ipFamilies",
    "ipFamilyPolicy",
    "ipFamily",
    "ports",
    "selector",
    "externalName",
    "externalIPs",
    "sessionAffinity",
    "sessionAffinityConfig",
    "loadBalancerIP",
    "loadBalancerClass",
    "loadBalancerSourceRanges",
    "allocateLoadBalancerNodePorts",
    "externalTrafficPolicy",
    "internalTrafficPolicy",
    "healthCheckNodePort",
    "publishNotReadyAddresses",
    "trafficDistribution",
    "topologyKeys",
];

const NODE_SPEC: &[&str] =
    &["podCIDR", "podCIDRs", "providerID", "unschedulable", "taints", "configSource", "externalID"];

const NODE_STATUS: &[&str] = &[
    "capacity",
    "allocatable",
    "phase",
    "conditions",
    "addresses",
    "daemonEndpoints",
    "nodeInfo",
    "images",
    "volumesInUse",
    "volumesAttached",
    "config",
    "runtimeHandlers",
    "features",
    "declaredFeatures",
];

const POD_SPEC: &[&str] = &[
    "volumes",
    "initContainers",
    "containers",
    "ephemeralContainers",
    "restartPolicy",
    "terminationGracePeriodSeconds",
    "activeDeadlineSeconds",
    "dnsPolicy",
    "nodeSelector",
    "serviceAccountName",
    "serviceAccount",
    "automountServiceAccountToken",
    "nodeName",
    "hostNetwork",
    "hostPID",
    "hostIPC",
    "shareProcessNamespace",
    "securityContext",
    "imagePullSecrets",
    "hostname",
    "subdomain",
    "affinity",
    "schedulerName",
    "tolerations",
    "hostAliases",
    "priorityClassName",
    "priority",
    "dnsConfig",
    "readinessGates",
    "runtimeClassName",
    "enableServiceLinks",
    "preemptionPolicy",
    "overhead",
    "topologySpreadConstraints",
    "setHostnameAsFQDN",
    "os",
    "hostUsers",
    "schedulingGates",
    "resourceClaims",
    "resources",
    "hostnameOverride",
    "workloadRef",
    "schedulingGroup",
];

const CONTAINER: &[&str] = &[
    "name",
    "image",
    "command",
    "args",
    "workingDir",
    "ports",
    "envFrom",
    "env",
    "resources",
    "resizePolicy",
    "restartPolicy",
    "restartPolicyRules",
    "volumeMounts",
    "volumeDevices",
    "livenessProbe",
    "readinessProbe",
    "startupProbe",
    "lifecycle",
    "terminationMessagePath",
    "terminationMessagePolicy",
    "imagePullPolicy",
    "securityContext",
    "stdin",
    "stdinOnce",
    "tty",
];

const POD_STATUS: &[&str] = &[
    "observedGeneration",
    "phase",
    "conditions",
    "message",
    "reason",
    "nominatedNodeName",
    "hostIP",
    "hostIPs",
    "podIP",
    "podIPs",
    "startTime",
    "initContainerStatuses",
    "containerStatuses",
    "ephemeralContainerStatuses",
    "qosClass",
    "resize",
    "resourceClaimStatuses",
    "extendedResourceClaimStatus",
    "allocatedResources",
    "resources",
];
