use crate::manifest::yaml::decode;

#[test]
fn pools_of_metallb_and_cilium_are_decoded_and_their_fields_known() {
    let text = "\
apiVersion: metallb.io/v1beta1
kind: IPAddressPool
metadata: {name: lan, namespace: metallb-system}
spec:
  addresses: [10.0.0.0/24]
  autoAssing: true
  serviceAllocation: {priority: 1, namespaces: [a], serviceSelector: [], serviceSelectors: [{matchLabels: {a: b}}]}
status: {assignedIPv4: 3}
---
apiVersion: cilium.io/v2alpha1
kind: CiliumLoadBalancerIPPool
metadata: {name: lan}
spec:
  blocks: [{cidr: 10.1.0.0/24, end: 10.1.0.9}]
  serviceSelector: {matchExpression: []}
  allowFirstLastIPs: \"No\"
---
apiVersion: cilium.io/v2
kind: CiliumLoadBalancerIPPol
metadata: {name: lan}
";
    let decoded = decode("test.yaml", text);
    let objects: Vec<_> =
        decoded.objects.iter().map(|(object, _)| object.reference().to_string()).collect();
    assert_eq!(objects, ["IPAddressPool metallb-system/lan", "CiliumLoadBalancerIPPool lan"]);
    let told: Vec<_> = decoded
        .findings
        .iter()
        .map(|it| format!("{} {}", it.message, it.help.as_deref().unwrap_or_default()))
        .collect();
    assert_eq!(
        told,
        [
            "IPAddressPool has no field spec.autoAssing did you mean autoAssign?",
            "IPAddressPool has no field spec.serviceAllocation.serviceSelector did you mean serviceSelectors?",
            "CiliumLoadBalancerIPPool has no field spec.blocks[0].end ",
            "CiliumLoadBalancerIPPool has no field spec.serviceSelector.matchExpression did you mean matchExpressions?",
            "kind CiliumLoadBalancerIPPol does not exist did you mean CiliumLoadBalancerIPPool?",
        ]
    );
}
