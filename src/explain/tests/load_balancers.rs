//! Which addresses LoadBalancers have, and why.

use super::{MANIFESTS, ask_of, explained};
use crate::compile::Settings;

#[test]
fn a_load_balancer_says_which_pool_gave_its_address_and_why() {
    let pools = "\
---
apiVersion: metallb.io/v1beta1
kind: IPAddressPool
metadata: {name: lan, namespace: metallb-system}
spec: {addresses: [127.98.1.7/32]}
---
apiVersion: v1
kind: Service
metadata: {name: front, namespace: shop}
spec: {type: LoadBalancer, clusterIP: 127.96.0.21, loadBalancerIP: 127.98.1.7, selector: {app: web}, ports: [{port: 80}]}
---
apiVersion: v1
kind: Service
metadata: {name: late, namespace: shop}
spec: {type: LoadBalancer, clusterIP: 127.96.0.22, selector: {app: web}, ports: [{port: 80}]}
";
    let manifests = MANIFESTS.to_owned() + pools;
    for asked in ["tcp://127.98.1.7:80", "tcp://front.shop:80"] {
        let told = ask_of(&manifests, &[asked], None);
        let sign = if asked.contains("127") { '+' } else { '-' };
        let expected = format!(
            "load balancer: one address\n  {sign} 127.98.1.7: of IPAddressPool metallb-system/lan: \
             asked for by spec.loadBalancerIP (shop.yaml:34)\n"
        );
        assert!(told.contains(&expected), "{told}");
    }
    let told = ask_of(&manifests, &["tcp://late.shop:80"], None);
    let expected = "load balancer: no address; no pool has a free address for family IPv4: nothing \
                    is left in IPAddressPool metallb-system/lan (shop.yaml:34)\n";
    assert!(told.contains(expected), "{told}");
}

#[test]
fn an_address_that_somebody_wants_and_does_not_have_is_no_strangers() {
    let wanting = MANIFESTS.replacen(
        "spec: {clusterIP: 127.96.0.20,",
        "spec: {type: LoadBalancer, loadBalancerIP: 10.9.9.9,",
        1,
    );
    let pool = "---\napiVersion: cilium.io/v2alpha1\nkind: CiliumLoadBalancerIPPool\n\
                metadata: {name: lan}\nspec: {blocks: [{cidr: 127.98.1.0/24}]}\n";
    let told = ask_of(&(wanting + pool), &["tcp://10.9.9.9:80"], None);
    let expected = "- Service shop/web: no pool has the address 10.9.9.9";
    assert!(told.contains(expected), "{told}");
}

#[test]
fn a_load_balancer_says_which_node_announces_its_address_and_why() {
    let extra = "\
---
apiVersion: metallb.io/v1beta1
kind: IPAddressPool
metadata: {name: lan, namespace: metallb-system}
spec: {addresses: [10.0.0.10/32]}
---
apiVersion: v1
kind: Service
metadata: {name: front, namespace: shop}
spec: {type: LoadBalancer, clusterIP: 127.96.0.21, selector: {app: web}, ports: [{port: 80}]}
---
apiVersion: v1
kind: Node
metadata: {name: node-a}
---
apiVersion: v1
kind: Node
metadata: {name: node-b}
---
apiVersion: v1
kind: Node
metadata: {name: node-c}
spec: {taints: [{key: ToBeDeletedByClusterAutoscaler, effect: NoSchedule}]}
";
    let manifests = MANIFESTS.to_owned() + extra;
    for (node, by) in [("node-b", "this node (node-b)"), ("node-a", "node node-b, not by this one")]
    {
        let settings = Settings { announce: true, node_name: node.into(), ..Settings::default() };
        let told = explained(&manifests, &["tcp://10.0.0.10:80"], None, settings).to_string();
        let expected = format!(
            "announcement: 10.0.0.10 by {by}: the first of 2 nodes, by SHA-256 of node#address\n  \
             + node node-b: announces\n  - node node-a: takes over when those before it go\n  \
             - node node-c: it has the taint ToBeDeletedByClusterAutoscaler\n"
        );
        assert!(told.contains(&expected), "{told}");
    }
}
