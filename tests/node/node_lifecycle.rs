//! Nodes that fall silent, and what becomes of their pods; namespaces that cannot go; Secrets with tokens. The lost
//! nodes are objects only: nobody runs them.

use crate::common::{TestNode, eventually};
use crate::namespace;

pub const TESTS: &[(&str, fn())] = &[
    (
        "a_silent_node_is_lost_and_its_pods_leave",
        a_silent_node_is_lost_and_its_pods_leave,
    ),
    (
        "a_nonsensical_grace_is_refused",
        a_nonsensical_grace_is_refused,
    ),
    (
        "an_ending_namespace_says_what_holds_it",
        an_ending_namespace_says_what_holds_it,
    ),
    (
        "a_token_secret_is_filled_and_believed",
        a_token_secret_is_filled_and_believed,
    ),
    ("dependents_stay_or_go", dependents_stay_or_go),
];

const READY: &str = "{.status.conditions[?(@.type==\"Ready\")].status}";

fn a_silent_node_is_lost_and_its_pods_leave() {
    let mut node = TestNode::prepare();
    node.options = vec!["--node-monitor-grace-period=15s".to_owned()];
    node.up();
    node.apply(
        "apiVersion: v1\nkind: Node\nmetadata: {name: ghost}\n---\n\
         apiVersion: coordination.k8s.io/v1\nkind: Lease\nmetadata: {name: ghost, namespace: kube-node-lease}\n\
         spec: {holderIdentity: ghost, leaseDurationSeconds: 40, renewTime: '2020-01-01T00:00:00.000000Z'}\n",
    )
    .must();
    let ready = r#"{"status":{"conditions":[{"type":"Ready","status":"True","reason":"KubeletReady","lastHeartbeatTime":"2020-01-01T00:00:00Z"}]}}"#;
    node.kubectl(&[
        "patch",
        "node",
        "ghost",
        "--subresource=status",
        "--type=merge",
        "-p",
        ready,
    ])
    .must();
    let pod = |name: &str, seconds: &str| {
        format!(
            "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}}}\nspec:\n  nodeName: ghost\n  terminationGracePeriodSeconds: 0\n  \
             tolerations:\n  - {{key: node.kubernetes.io/unreachable, operator: Exists, effect: NoExecute{seconds}}}\n  \
             containers:\n  - {{name: main, image: 'none:1'}}\n---\n"
        )
    };
    let pods = pod("brief", ", tolerationSeconds: 1")
        + &pod("patient", ", tolerationSeconds: 3600")
        + &pod("faithful", "");
    node.apply(&pods).must();
    let status =
        r#"{"status":{"phase":"Running","conditions":[{"type":"Ready","status":"True"}]}}"#;
    node.kubectl(&[
        "patch",
        "pod",
        "patient",
        "--subresource=status",
        "--type=merge",
        "-p",
        status,
    ])
    .must();
    node.wait_for("", "node/ghost", READY, "Unknown");
    let says = node.value(
        "",
        "node/ghost",
        "{.status.conditions[?(@.type==\"Ready\")].message}",
    );
    assert_eq!(says, "Kubelet stopped posting node status.");
    node.wait_for(
        "",
        "node/ghost",
        "{.spec.taints[?(@.effect==\"NoExecute\")].key}",
        "node.kubernetes.io/unreachable",
    );
    // It was never started, so nobody has to confirm its end.
    assert!(eventually(|| {
        let ending = "{.items[?(@.metadata.deletionTimestamp)].metadata.name}";
        let all = node.value("default", "pods", "{.items[*].metadata.name}");
        node.value("default", "pods", ending) == "brief" || !all.contains("brief")
    }));
    node.wait_for("default", "pod/patient", READY, "False");
    assert_eq!(
        node.value("default", "pod/faithful", "{.metadata.deletionTimestamp}"),
        ""
    );
    // It speaks again: the taint goes, and with it the reason to evict.
    let back = ready.replace("2020", "2021");
    node.kubectl(&[
        "patch",
        "node",
        "ghost",
        "--subresource=status",
        "--type=merge",
        "-p",
        &back,
    ])
    .must();
    node.wait_for("", "node/ghost", "{.spec.taints[*].key}", "");
    node.stop();
}

fn a_nonsensical_grace_is_refused() {
    for (value, says) in [("5s", "15s to 24h"), ("soon", "is no duration")] {
        let mut command = crate::common::coracle();
        command.args(["up", &format!("--node-monitor-grace-period={value}")]);
        crate::common::run(&mut command).must_fail_with(says);
    }
}

fn an_ending_namespace_says_what_holds_it() {
    let node = namespace("held");
    node.apply(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: stuck, namespace: held, finalizers: [example.com/hold]}\n",
    )
    .must();
    node.kubectl(&["delete", "namespace", "held", "--wait=false"])
        .must();
    let message = |kind: &str| format!("{{.status.conditions[?(@.type==\"{kind}\")].message}}");
    node.wait_for(
        "",
        "namespace/held",
        &message("NamespaceContentRemaining"),
        "Some resources are remaining: configmaps. has 1 resource instances",
    );
    let finalizers = node.value(
        "",
        "namespace/held",
        &message("NamespaceFinalizersRemaining"),
    );
    assert_eq!(
        finalizers,
        "Some content in the namespace has finalizers remaining: example.com/hold in 1 resource instances"
    );
    let free = r#"{"metadata":{"finalizers":null}}"#;
    node.kubectl(&[
        "-n",
        "held",
        "patch",
        "configmap",
        "stuck",
        "--type=merge",
        "-p",
        free,
    ])
    .must();
    assert!(eventually(|| !node
        .kubectl(&["get", "namespace", "held"])
        .ok));
}

fn a_token_secret_is_filled_and_believed() {
    let node = namespace("tokens");
    node.kubectl(&["-n", "tokens", "create", "serviceaccount", "robot"])
        .must();
    let secret = "apiVersion: v1\nkind: Secret\ntype: kubernetes.io/service-account-token\nmetadata:\n  name: robot\n  namespace: tokens\n";
    node.kubectl_input(&["create", "-f", "-"], secret)
        .must_fail_with("metadata.annotations[kubernetes.io/service-account.name]");
    node.apply(&format!(
        "{secret}  annotations: {{kubernetes.io/service-account.name: robot}}\n"
    ))
    .must();
    let read = |field: &str| {
        let template = format!("go-template={{{{index .data \"{field}\" | base64decode}}}}");
        node.kubectl(&["-n", "tokens", "get", "secret", "robot", "-o", &template])
    };
    assert!(eventually(
        || read("token").ok && read("token").stdout.contains('.')
    ));
    let token = read("token").must().stdout;
    read("namespace").must_say("tokens");
    read("ca.crt").must_say("BEGIN CERTIFICATE");
    let review = format!(
        "apiVersion: authentication.k8s.io/v1\nkind: TokenReview\nmetadata: {{name: a}}\nspec: {{token: {token}}}\n"
    );
    let ask = || {
        let path = "jsonpath={.status.authenticated} {.status.user.username}";
        node.kubectl_input(&["create", "-f", "-", "-o", path], &review)
            .must()
            .stdout
    };
    assert_eq!(ask(), "true system:serviceaccount:tokens:robot");
    node.kubectl(&["-n", "tokens", "delete", "serviceaccount", "robot"])
        .must();
    assert!(eventually(|| !node
        .kubectl(&["-n", "tokens", "get", "secret", "robot"])
        .ok));
    assert_ne!(ask(), "true system:serviceaccount:tokens:robot");
}

fn dependents_stay_or_go() {
    let node = namespace("cascade");
    for (how, stays) in [
        ("orphan", true),
        ("foreground", false),
        ("background", false),
    ] {
        node.apply(&format!(
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {how}, namespace: cascade}}\n"
        ))
        .must();
        let uid = node.value("cascade", &format!("configmap/{how}"), "{.metadata.uid}");
        node.apply(&format!(
            "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: child-{how}\n  namespace: cascade\n  ownerReferences:\n  \
             - {{apiVersion: v1, kind: ConfigMap, name: {how}, uid: {uid}, blockOwnerDeletion: true}}\n"
        ))
        .must();
        let cascade = format!("--cascade={how}");
        node.coracle(&["-n", "cascade", "delete", "configmap", how, &cascade])
            .must();
        let child = format!("child-{how}");
        let there = || {
            node.kubectl(&["-n", "cascade", "get", "configmap", &child])
                .ok
        };
        if stays {
            node.wait_for(
                "cascade",
                &format!("configmap/{child}"),
                "{.metadata.ownerReferences}",
                "",
            );
            assert!(there());
        } else {
            assert!(eventually(|| !there()), "{how}");
        }
    }
    node.coracle(&[
        "-n",
        "cascade",
        "delete",
        "configmap",
        "x",
        "--cascade=maybe",
    ])
    .must_fail_with("possible values: background, foreground, orphan");
}
