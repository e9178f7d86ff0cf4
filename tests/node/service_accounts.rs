//! A program in a pod asks the API as the pod's service account.

use crate::busybox::IMAGE;
use crate::common::{TestNode, eventually};
use crate::namespace;

pub const TESTS: &[(&str, fn())] = &[
    (
        "a_pod_asks_the_api_with_its_token",
        a_pod_asks_the_api_with_its_token,
    ),
    (
        "a_pod_without_a_token_has_none",
        a_pod_without_a_token_has_none,
    ),
];

const PLACE: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// A pod with this project's own binary in it.
fn pod(name: &str, more: &str) -> String {
    let binary = env!("CARGO_BIN_EXE_coracle");
    format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}}}\nspec:\n  terminationGracePeriodSeconds: 1\n{more}  containers:\n  - name: main\n    image: {IMAGE}\n    command: [sleep, '3600']\n    env:\n    - {{name: KUBERNETES_SERVICE_HOST, value: 10.43.0.1}}\n    - {{name: KUBERNETES_SERVICE_PORT, value: '443'}}\n    volumeMounts:\n    - {{name: binary, mountPath: /coracle, readOnly: true}}\n  volumes:\n  - {{name: binary, hostPath: {{path: '{binary}', type: File}}}}\n"
    )
}

/// Runs a command in the pod.
fn inside(node: &TestNode, namespace: &str, pod: &str, command: &[&str]) -> crate::common::Ran {
    node.kubectl(&[&["-n", namespace, "exec", pod, "--"], command].concat())
}

fn a_pod_asks_the_api_with_its_token() {
    let node = namespace("accounts");
    node.kubectl_input(&["-n", "accounts", "create", "-f", "-"], &pod("asker", ""))
        .must();
    node.wait_for("accounts", "pod/asker", "{.status.phase}", "Running");
    let ask = |command: &[&str]| inside(&node, "accounts", "asker", command);
    ask(&["cat", &format!("{PLACE}/namespace")]).must_say("accounts");
    ask(&["cat", &format!("{PLACE}/ca.crt")]).must_say("BEGIN CERTIFICATE");
    // The server's certificate is checked against ca.crt for 10.43.0.1; the account may nothing yet.
    ask(&["/coracle", "get", "pods"]).must_fail_with(
        "User \"system:serviceaccount:accounts:default\" cannot list resource \"pods\"",
    );
    node.kubectl(&[
        "-n",
        "accounts",
        "create",
        "rolebinding",
        "view",
        "--clusterrole=view",
        "--serviceaccount=accounts:default",
    ])
    .must();
    ask(&["/coracle", "get", "pods"]).must_say("asker");
    ask(&["/coracle", "get", "secrets"]).must_fail_with("forbidden");
    // The pod is gone, and so is what its token could do.
    let token = ask(&["cat", &format!("{PLACE}/token")]).must().stdout;
    let review = format!(
        "apiVersion: authentication.k8s.io/v1\nkind: TokenReview\nmetadata: {{name: a}}\nspec: {{token: {}}}\n",
        token.trim()
    );
    let good = || {
        node.kubectl_input(
            &[
                "create",
                "-f",
                "-",
                "-o",
                "jsonpath={.status.authenticated}",
            ],
            &review,
        )
        .must()
        .stdout
    };
    assert_eq!(good(), "true");
    node.kubectl(&["-n", "accounts", "delete", "pod", "asker", "--now"])
        .must();
    assert!(eventually(|| good() != "true"));
}

fn a_pod_without_a_token_has_none() {
    let node = namespace("tokenless");
    node.kubectl_input(
        &["-n", "tokenless", "create", "-f", "-"],
        &pod("quiet", "  automountServiceAccountToken: false\n"),
    )
    .must();
    node.wait_for("tokenless", "pod/quiet", "{.status.phase}", "Running");
    let ran = inside(&node, "tokenless", "quiet", &["ls", PLACE]);
    assert!(!ran.ok, "{}", ran.stdout);
    inside(&node, "tokenless", "quiet", &["/coracle", "get", "pods"])
        .must_fail_with("no kubeconfig found");
}
