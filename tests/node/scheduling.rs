//! Where pods go and why not, on one real node beside nodes that only exist in the API: pods bound to those never run.
//! Trials here have nodes of their own: more nodes would change what other trials are told.

use crate::busybox::IMAGE;
use crate::common::{TestNode, eventually};
use crate::import_busybox;

pub const TESTS: &[(&str, fn())] = &[
    (
        "pods_go_where_their_rules_lead",
        pods_go_where_their_rules_lead,
    ),
    (
        "a_pod_of_higher_priority_displaces_one_of_lower",
        a_pod_of_higher_priority_displaces_one_of_lower,
    ),
];

const SPACE: &str = "default";
const CONDITION: &str = "{.status.conditions[?(@.type==\"PodScheduled\")].message}";
const REASON: &str = "{.status.conditions[?(@.type==\"PodScheduled\")].reason}";
const NODE: &str = "{.spec.nodeName}";

/// A node nobody runs: tainted, so that only those come who mean it.
fn simulated(name: &str, zone: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Node\nmetadata: {{name: {name}, labels: {{simulated: 'yes', kubernetes.io/hostname: {name}, topology.kubernetes.io/zone: {zone}}}}}\n\
         spec: {{taints: [{{key: simulated, value: 'yes', effect: NoSchedule}}]}}\n\
         status: {{allocatable: {{cpu: '4', memory: 8Gi, pods: '20'}}, capacity: {{cpu: '4', memory: 8Gi, pods: '20'}}}}\n---\n"
    )
}

/// A pod that sleeps; `spec` is more of it, in flow style and ending in a comma.
fn pod(name: &str, app: &str, spec: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}, labels: {{app: {app}}}}}\n\
         spec: {{terminationGracePeriodSeconds: 1, {spec} containers: [{{name: main, image: {IMAGE}, command: [sleep, '3600']}}]}}\n---\n"
    )
}

const TOLERATE: &str = "tolerations: [{operator: Exists}],";

fn pods_go_where_their_rules_lead() {
    let node = TestNode::start();
    import_busybox(&node);
    let nodes: String = [("sim-a", "a"), ("sim-b", "b"), ("sim-c", "c")]
        .iter()
        .map(|(name, zone)| simulated(name, zone))
        .collect();
    node.apply(&nodes);
    a_label_lets_a_pod_in(&node);
    companions_stay_apart(&node);
    pods_are_spread(&node);
    gates_hold_a_pod_back(&node);
    ports_are_taken_once(&node);
    wrong_rules_are_refused(&node);
}

fn a_label_lets_a_pod_in(node: &TestNode) {
    let affinity = "affinity: {nodeAffinity: {requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: [\
        {matchExpressions: [{key: disks, operator: Gt, values: ['1']}]}]}}},";
    node.apply(&pod("picky", "picky", &format!("{TOLERATE} {affinity}")));
    node.wait_for(
        SPACE,
        "pod/picky",
        CONDITION,
        "0/4 nodes are available: 4 node(s) didn't match Pod's node affinity/selector. \
         preemption: 0/4 nodes are available: 4 Preemption is not helpful for scheduling.",
    );
    node.kubectl(&["label", "node", "sim-b", "disks=1"]).must();
    node.kubectl(&["label", "node", "sim-c", "disks=2"]).must();
    node.wait_for(SPACE, "pod/picky", NODE, "sim-c");
    node.kubectl(&["get", "events"])
        .must_say("Successfully assigned default/picky to sim-c");
    let taken = "tolerations: [],";
    node.apply(&pod(
        "untolerant",
        "x",
        &format!("{taken} nodeSelector: {{simulated: 'yes'}},"),
    ));
    node.wait_for(
        SPACE,
        "pod/untolerant",
        CONDITION,
        "0/4 nodes are available: 1 node(s) didn't match Pod's node affinity/selector, \
         3 node(s) had untolerated taint {simulated: yes}. \
         preemption: 0/4 nodes are available: 4 Preemption is not helpful for scheduling.",
    );
    node.kubectl(&[
        "patch",
        "node",
        "sim-a",
        "-p",
        "{\"spec\":{\"taints\":null}}",
    ])
    .must();
    node.wait_for(SPACE, "pod/untolerant", NODE, "sim-a");
    node.apply(&simulated("sim-a", "a"));
}

fn companions_stay_apart(node: &TestNode) {
    let apart = "affinity: {podAntiAffinity: {requiredDuringSchedulingIgnoredDuringExecution: [\
        {topologyKey: kubernetes.io/hostname, labelSelector: {matchLabels: {app: lonely}}}]}},";
    node.apply(&pod("first", "lonely", apart));
    node.wait_for(SPACE, "pod/first", "{.status.phase}", "Running");
    // The rule of the one that is there keeps away one that has none itself.
    node.apply(&pod("second", "lonely", ""));
    node.wait_for(
        SPACE,
        "pod/second",
        CONDITION,
        "0/4 nodes are available: 1 node(s) didn't satisfy existing pods anti-affinity rules, \
         3 node(s) had untolerated taint {simulated: yes}. \
         preemption: 0/4 nodes are available: 1 No preemption victims found for incoming pod, \
         3 Preemption is not helpful for scheduling.",
    );
    node.apply(&pod("third", "lonely", apart));
    let said = "1 node(s) didn't match pod anti-affinity rules";
    assert!(eventually(|| node
        .value(SPACE, "pod/third", CONDITION)
        .contains(said)));
    node.kubectl(&["delete", "pod", "third"]).must();
    node.kubectl(&["delete", "pod", "first"]).must();
    node.wait_for(SPACE, "pod/second", "{.status.phase}", "Running");
    node.kubectl(&["delete", "pod", "second"]).must();
}

fn pods_are_spread(node: &TestNode) {
    let spread = format!(
        "{TOLERATE} nodeSelector: {{simulated: 'yes'}}, topologySpreadConstraints: [\
         {{maxSkew: 1, topologyKey: topology.kubernetes.io/zone, whenUnsatisfiable: DoNotSchedule, labelSelector: {{matchLabels: {{app: even}}}}}}],"
    );
    let names: Vec<String> = (0..6).map(|number| format!("even-{number}")).collect();
    let pods: String = names.iter().map(|n| pod(n, "even", &spread)).collect();
    node.apply(&pods);
    let places = || {
        let shown = node.value(
            SPACE,
            "pods",
            "{range .items[?(@.metadata.labels.app==\"even\")]}{.spec.nodeName}{\"\\n\"}{end}",
        );
        let mut places: Vec<String> = shown.lines().map(str::to_owned).collect();
        places.sort();
        places.join(" ")
    };
    assert!(
        eventually(|| places() == "sim-a sim-a sim-b sim-b sim-c sim-c"),
        "{}",
        places()
    );
    // Without one of the zones the others may not take more.
    node.kubectl(&["cordon", "sim-a"]).must();
    let ignore = spread
        .replace(
            TOLERATE,
            "tolerations: [{key: simulated, operator: Exists}],",
        )
        .replace("maxSkew: 1,", "maxSkew: 1, nodeTaintsPolicy: Ignore,");
    node.apply(&pod("even-6", "even", &ignore));
    node.apply(&pod("even-7", "even", &ignore));
    node.apply(&pod("even-8", "even", &ignore));
    let pending = || {
        let shown = node.kubectl(&["get", "pods", "--no-headers"]).must().stdout;
        shown
            .lines()
            .filter(|l| l.starts_with("even-") && l.contains("Pending"))
            .count()
    };
    // All of them are Pending to kubectl: nobody runs these nodes. One of them has no node either.
    assert!(eventually(|| pending() == 9));
    let unplaced = || {
        places()
            .split(' ')
            .filter(|place| place.starts_with("sim"))
            .count()
    };
    assert!(eventually(|| unplaced() == 8), "{}", places());
    let said = || {
        let shown = node.value(
            SPACE,
            "pods",
            &format!("{{range .items[*]}}{}{{end}}", &CONDITION),
        );
        shown.contains("2 node(s) didn't match pod topology spread constraints")
    };
    assert!(eventually(said));
    node.kubectl(&["uncordon", "sim-a"]).must();
    assert!(
        eventually(|| places() == "sim-a sim-a sim-a sim-b sim-b sim-b sim-c sim-c sim-c"),
        "{}",
        places()
    );
}

fn gates_hold_a_pod_back(node: &TestNode) {
    node.apply(&pod(
        "gated",
        "gated",
        "schedulingGates: [{name: example.com/one}, {name: example.com/two}],",
    ));
    node.wait_for(SPACE, "pod/gated", REASON, "SchedulingGated");
    node.kubectl(&["get", "pod", "gated"])
        .must_say("SchedulingGated");
    let gates = |names: &str| format!("{{\"spec\":{{\"schedulingGates\":{names}}}}}");
    let patch =
        |names: &str| node.kubectl(&["patch", "pod", "gated", "--type=merge", "-p", &gates(names)]);
    patch("[{\"name\":\"example.com/three\"}]").must_fail_with("only deletion is allowed");
    patch("[{\"name\":\"example.com/two\"}]").must();
    assert_eq!(node.value(SPACE, "pod/gated", NODE), "");
    patch("null").must();
    node.wait_for(SPACE, "pod/gated", "{.status.phase}", "Running");
    patch("[{\"name\":\"example.com/two\"}]").must_fail_with("only deletion is allowed");
    node.kubectl(&["delete", "pod", "gated"]).must();
}

fn ports_are_taken_once(node: &TestNode) {
    let with_port = |name: &str| {
        format!(
            "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}}}\n\
             spec: {{hostNetwork: true, {TOLERATE} nodeSelector: {{kubernetes.io/hostname: sim-a}}, \
             containers: [{{name: main, image: {IMAGE}, ports: [{{containerPort: 8080}}]}}]}}\n---\n"
        )
    };
    node.apply(&with_port("port-one"));
    node.wait_for(SPACE, "pod/port-one", NODE, "sim-a");
    node.apply(&with_port("port-two"));
    assert!(eventually(|| node
        .value(SPACE, "pod/port-two", CONDITION)
        .contains(
            "1 node(s) didn't have free ports for the requested pod ports, 3 node(s) didn't match"
        )));
}

fn wrong_rules_are_refused(node: &TestNode) {
    for (spec, field) in [
        (
            "topologySpreadConstraints: [{maxSkew: 0, topologyKey: a, whenUnsatisfiable: DoNotSchedule}],",
            "spec.topologySpreadConstraints[0].maxSkew: Invalid value: 0: must be greater than zero",
        ),
        (
            "affinity: {podAffinity: {requiredDuringSchedulingIgnoredDuringExecution: [{topologyKey: '', labelSelector: {}}]}},",
            "topologyKey: Required value: can not be empty",
        ),
        (
            "schedulingGates: [{name: a}, {name: a}],",
            "spec.schedulingGates[1]: Duplicate value: \"a\"",
        ),
    ] {
        node.kubectl_input(&["create", "-f", "-"], &pod("wrong", "wrong", spec))
            .must_fail_with(field);
    }
}

fn a_pod_of_higher_priority_displaces_one_of_lower() {
    let node = TestNode::start();
    import_busybox(&node);
    let cpu = node.value(
        SPACE,
        &format!("node/{}", node.name),
        "{.status.allocatable.cpu}",
    );
    let milli: u64 = match cpu.strip_suffix('m') {
        Some(milli) => milli.parse().expect("thousandths"),
        None => cpu.parse::<u64>().expect("cores") * 1000,
    };
    // Two of them do not fit beside each other.
    let sized = |name: &str, spec: &str, script: &str| {
        format!(
            "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}}}\n\
             spec: {{{spec} containers: [{{name: main, image: {IMAGE}, command: [sh, -c, {script}], \
             resources: {{requests: {{cpu: {}m}}}}}}]}}\n---\n",
            milli * 6 / 10
        )
    };
    // It takes its time to end: the other waits for it meanwhile, and is promised the room.
    let deaf = "\"trap '' TERM; while :; do sleep 1; done\"";
    node.apply(&sized("low", "terminationGracePeriodSeconds: 4,", deaf));
    node.wait_for(SPACE, "pod/low", "{.status.phase}", "Running");
    node.apply(&sized(
        "equal",
        "terminationGracePeriodSeconds: 1,",
        "'sleep 3600'",
    ));
    node.wait_for(
        SPACE,
        "pod/equal",
        CONDITION,
        "0/1 nodes are available: 1 Insufficient cpu. \
         preemption: 0/1 nodes are available: 1 No preemption victims found for incoming pod.",
    );
    let high = "terminationGracePeriodSeconds: 1, priorityClassName: system-cluster-critical,";
    node.apply(&sized("high", high, "'sleep 3600'"));
    node.wait_for(SPACE, "pod/high", "{.status.nominatedNodeName}", &node.name);
    let target = "{.status.conditions[?(@.type==\"DisruptionTarget\")].reason}";
    node.wait_for(SPACE, "pod/low", target, "PreemptionByScheduler");
    assert!(
        !node
            .value(SPACE, "pod/low", "{.metadata.deletionTimestamp}")
            .is_empty()
    );
    node.wait_for(SPACE, "pod/high", "{.status.phase}", "Running");
    assert_eq!(
        node.value(SPACE, "pod/high", "{.status.nominatedNodeName}"),
        ""
    );
    assert!(!node.kubectl(&["get", "pod", "low"]).ok, "it made room");
    let uid = node.value(SPACE, "pod/high", "{.metadata.uid}");
    node.kubectl(&["get", "events"])
        .must_say(&format!("Preempted by pod {uid} on node {}", node.name));
    // Who waited before still waits, and comes when there is room again.
    assert_eq!(node.value(SPACE, "pod/equal", NODE), "");
    node.kubectl(&["delete", "pod", "high"]).must();
    node.wait_for(SPACE, "pod/equal", "{.status.phase}", "Running");
}
