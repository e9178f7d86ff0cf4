//! Quotas, limits, priorities, budgets, ingresses and autoscalers with kubectl.

use crate::common::eventually;
use crate::{namespace, shared};

pub const TESTS: &[(&str, fn())] = &[
    (
        "kubectl_creates_and_shows_them",
        kubectl_creates_and_shows_them,
    ),
    ("a_quota_at_its_end", a_quota_at_its_end),
    (
        "limits_and_priorities_of_pods",
        limits_and_priorities_of_pods,
    ),
    ("drain_asks_the_budget", drain_asks_the_budget),
    ("heartbeats_are_not_written", heartbeats_are_not_written),
];

fn kubectl_creates_and_shows_them() {
    let node = namespace("policies");
    let kubectl = |line: &str| {
        let mut arguments = vec!["-n", "policies"];
        arguments.extend(line.split(' '));
        node.kubectl(&arguments)
    };
    kubectl("create quota q --hard=cpu=4,pods=10 --scopes=NotTerminating")
        .must_say("resourcequota/q created");
    kubectl("create pdb b --selector=app=web --min-available=50%").must_say("created");
    kubectl("create ingress i --class=none --rule=example.com/a*=web:80,tls=secret")
        .must_say("created");
    node.kubectl(&[
        "create",
        "priorityclass",
        "of-policies",
        "--value=7",
        "--description=seven",
    ])
    .must_say("created");
    kubectl("create deployment web --image=example.local/web:1 --replicas=0").must();
    kubectl("autoscale deployment web --min=2 --max=5 --cpu-percent=80").must_say("autoscaled");
    kubectl("get pdb b").must_say("50%");
    kubectl("get ingress i").must_say("example.com");
    kubectl("get hpa web").must_say("Deployment/web");
    kubectl("get horizontalpodautoscalers.v1.autoscaling web -o jsonpath={.spec.targetCPUUtilizationPercentage}")
        .must_say("80");
    node.kubectl(&["get", "priorityclass"])
        .must_say("system-node-critical");
    for kind in ["quota", "pdb", "ingress", "hpa"] {
        kubectl(&format!("get {kind} -o wide")).must();
        kubectl(&format!("delete {kind} --all")).must_say("deleted");
    }
    node.kubectl(&["delete", "priorityclass", "of-policies"])
        .must();
    node.kubectl(&["delete", "priorityclass", "system-node-critical"])
        .must_fail_with("system priority class");
}

fn a_quota_at_its_end() {
    let node = namespace("quotas");
    node.kubectl(&["-n", "quotas", "create", "quota", "two", "--hard=secrets=2"])
        .must();
    let secret = |name: &str| node.kubectl(&["-n", "quotas", "create", "secret", "generic", name]);
    secret("a").must();
    secret("b").must();
    secret("c").must_fail_with(
        "secrets \"c\" is forbidden: exceeded quota: two, requested: secrets=1, used: secrets=2, limited: secrets=2",
    );
    node.kubectl(&["-n", "quotas", "get", "quota", "two"])
        .must_say("secrets: 2/2");
}

fn limits_and_priorities_of_pods() {
    let node = namespace("limits");
    node.apply(
        "apiVersion: v1\nkind: LimitRange\nmetadata: {name: sizes, namespace: limits}\nspec:\n  limits:\n  - type: Container\n    max: {memory: 64Mi}\n    default: {memory: 32Mi}\n",
    )
    .must();
    let pod = |name: &str, spec: &str, container: &str| {
        let manifest = format!(
            "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}, namespace: limits}}\nspec:\n  nodeSelector: {{planet: none}}\n{spec}  containers:\n  - {{name: a, image: 'example.local/a:1'{container}}}\n"
        );
        node.kubectl_input(&["apply", "-f", "-"], &manifest)
    };
    pod(
        "plain",
        "  priorityClassName: system-cluster-critical\n",
        "",
    )
    .must();
    assert_eq!(
        node.value(
            "limits",
            "pod/plain",
            "{.spec.containers[0].resources.limits.memory} {.spec.priority}"
        ),
        "32Mi 2000000000"
    );
    pod("large", "", ", resources: {limits: {memory: 1Gi}}")
        .must_fail_with("maximum memory usage per Container is 64Mi, but limit is 1Gi");
    pod("odd", "  priorityClassName: odd\n", "")
        .must_fail_with("no PriorityClass with name odd was found");
}

/// The pods are on a node that is not there, and ready by decree.
fn drain_asks_the_budget() {
    let node = namespace("drains");
    node.apply("apiVersion: v1\nkind: Node\nmetadata: {name: ghost, labels: {ghost: 'yes'}}\nspec: {unschedulable: true}\n")
        .must();
    node.apply("apiVersion: policy/v1\nkind: PodDisruptionBudget\nmetadata: {name: web, namespace: drains}\nspec: {minAvailable: 1, selector: {matchLabels: {app: web}}}\n")
        .must();
    // As the budget's controller finds it, once the pod is ready.
    node.kubectl(&["-n", "drains", "patch", "pdb", "web", "--subresource=status", "--type=merge", "-p",
        r#"{"status":{"observedGeneration":1,"currentHealthy":1,"desiredHealthy":1,"expectedPods":1}}"#])
        .must();
    node.apply("apiVersion: v1\nkind: Pod\nmetadata: {name: web, namespace: drains, labels: {app: web}}\nspec:\n  nodeName: ghost\n  containers:\n  - {name: a, image: 'example.local/a:1'}\n")
        .must();
    node.kubectl(&[
        "-n",
        "drains",
        "patch",
        "pod",
        "web",
        "--subresource=status",
        "--type=merge",
        "-p",
        r#"{"status":{"phase":"Running","conditions":[{"type":"Ready","status":"True"}]}}"#,
    ])
    .must();
    node.kubectl(&[
        "drain",
        "ghost",
        "--force",
        "--timeout=2s",
        "--pod-selector=app=web",
    ])
    .must_fail_with("violate the pod's disruption budget");
    node.kubectl(&["-n", "drains", "delete", "pdb", "web"])
        .must();
    node.kubectl(&[
        "drain",
        "ghost",
        "--force",
        "--timeout=2s",
        "--pod-selector=app=web",
    ]);
    assert_eq!(
        node.value(
            "drains",
            "pod/web",
            "{.status.conditions[?(@.type=='DisruptionTarget')].reason}"
        ),
        "EvictionByEvictionAPI"
    );
    node.kubectl(&[
        "-n",
        "drains",
        "delete",
        "pod",
        "web",
        "--force",
        "--grace-period=0",
    ])
    .must();
    node.kubectl(&["delete", "node", "ghost"]).must();
}

fn heartbeats_are_not_written() {
    let node = shared();
    let registered = "{.items[?(@.status.nodeInfo.kubeletVersion)].metadata.name}";
    let name = node.value("default", "nodes", registered);
    let of = |path: &str| node.value("kube-node-lease", &format!("lease/{name}"), path);
    assert!(eventually(|| {
        node.kubectl(&["-n", "kube-node-lease", "get", "lease", &name])
            .ok
    }));
    assert_eq!(
        of(
            "{.spec.holderIdentity} {.spec.leaseDurationSeconds} {.metadata.ownerReferences[0].kind}"
        ),
        format!("{name} 40 Node")
    );
    let first = of("{.spec.renewTime}");
    assert!(eventually(|| of("{.spec.renewTime}") != first));
    // Only what is kept in memory has a resourceVersion this large.
    let revision: u64 = of("{.metadata.resourceVersion}").parse().expect("number");
    assert!(revision >= 1 << 62, "{revision}");
}
