//! Services with real pods behind them, as kubectl shows them.

use crate::busybox::IMAGE;
use crate::common::{TestNode, eventually};
use crate::namespace;

pub const TESTS: &[(&str, fn())] = &[
    (
        "a_service_follows_its_ready_pods",
        a_service_follows_its_ready_pods,
    ),
    (
        "a_headless_service_names_pods_before_they_are_ready",
        a_headless_service_names_pods_before_they_are_ready,
    ),
    (
        "endpoints_of_users_are_mirrored",
        endpoints_of_users_are_mirrored,
    ),
];

/// Ready once `/tmp/ready` is there.
fn pod(name: &str, more: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}, labels: {{app: web}}}}\nspec:\n  {more}\n  \
         terminationGracePeriodSeconds: 1\n  containers:\n  - name: main\n    image: {IMAGE}\n    \
         command: [sleep, '1000']\n    ports: [{{name: http, containerPort: 8080}}]\n    \
         readinessProbe: {{exec: {{command: [test, -e, /tmp/ready]}}, periodSeconds: 1}}\n---\n"
    )
}

fn apply(node: &TestNode, namespace: &str, manifest: &str) {
    node.kubectl_input(&["-n", namespace, "apply", "-f", "-"], manifest)
        .must();
}

fn is(node: &TestNode, namespace: &str, object: &str, path: &str, expected: &str) {
    let mut found = String::new();
    assert!(
        eventually(|| {
            found = node.value(namespace, object, path);
            found == expected
        }),
        "{object} {path}: {found:?}, not {expected:?}"
    );
}

const SLICE: &str = "endpointslices";
const READY: &str = "{.items[0].endpoints[*].conditions.ready}";

fn a_service_follows_its_ready_pods() {
    let name = "endpoints";
    let node = namespace(name);
    let service = "apiVersion: v1\nkind: Service\nmetadata: {name: web}\nspec:\n  selector: {app: web}\n  \
                   ports: [{name: web, port: 80, targetPort: http}]\n";
    apply(&node, name, &format!("{}{service}", pod("one", "")));
    is(&node, name, SLICE, READY, "false");
    is(
        &node,
        name,
        "endpoints/web",
        "{.subsets[0].notReadyAddresses[*].targetRef.name}",
        "one",
    );
    node.kubectl(&["-n", name, "exec", "one", "--", "touch", "/tmp/ready"])
        .must();
    is(&node, name, SLICE, READY, "true");
    let ip = node.value(name, "pod/one", "{.status.podIP}");
    is(
        &node,
        name,
        SLICE,
        "{.items[0].endpoints[0].addresses[0]}",
        &ip,
    );
    is(&node, name, SLICE, "{.items[0].ports[0].port}", "8080");
    is(
        &node,
        name,
        "endpoints/web",
        "{.subsets[*].addresses[*].ip}",
        &ip,
    );
    node.kubectl(&["-n", name, "describe", "service", "web"])
        .must_say(&format!("{ip}:8080"));
    node.kubectl(&["-n", name, "delete", "pod", "one"]).must();
    is(&node, name, SLICE, "{.items[*].endpoints[*].addresses}", "");
    is(&node, name, "endpoints/web", "{.subsets}", "");
    // All goes with the Service.
    node.kubectl(&["-n", name, "delete", "service", "web"])
        .must();
    is(
        &node,
        name,
        "endpoints,endpointslices",
        "{.items[*].metadata.name}",
        "",
    );
}

fn a_headless_service_names_pods_before_they_are_ready() {
    let name = "headless";
    let node = namespace(name);
    let service = "apiVersion: v1\nkind: Service\nmetadata: {name: web}\nspec:\n  clusterIP: None\n  \
                   publishNotReadyAddresses: true\n  selector: {app: web}\n";
    let named = pod("one", "hostname: first\n  subdomain: web");
    apply(&node, name, &format!("{named}{service}"));
    is(&node, name, SLICE, READY, "true");
    is(
        &node,
        name,
        SLICE,
        "{.items[0].endpoints[0].conditions.serving}",
        "false",
    );
    is(
        &node,
        name,
        SLICE,
        "{.items[0].endpoints[0].hostname}",
        "first",
    );
    is(
        &node,
        name,
        "endpoints/web",
        "{.subsets[0].addresses[0].hostname}",
        "first",
    );
    let labels = node.value(name, "endpoints/web", "{.metadata.labels}");
    assert!(
        labels.contains("service.kubernetes.io/headless"),
        "{labels}"
    );
}

fn endpoints_of_users_are_mirrored() {
    let name = "mirrored";
    let node = namespace(name);
    let objects = "apiVersion: v1\nkind: Service\nmetadata: {name: db}\nspec:\n  ports: [{port: 5432}]\n---\n\
                   apiVersion: v1\nkind: Endpoints\nmetadata: {name: db}\nsubsets:\n\
                   - {addresses: [{ip: 192.0.2.7}], ports: [{port: 5432}]}\n";
    apply(&node, name, objects);
    is(
        &node,
        name,
        SLICE,
        "{.items[*].endpoints[*].addresses[*]}",
        "192.0.2.7",
    );
    let patch = r#"{"subsets":[{"addresses":[{"ip":"192.0.2.8"}],"ports":[{"port":5432}]}]}"#;
    node.kubectl(&[
        "-n",
        name,
        "patch",
        "endpoints",
        "db",
        "--type=merge",
        "-p",
        patch,
    ])
    .must();
    is(
        &node,
        name,
        SLICE,
        "{.items[*].endpoints[*].addresses[*]}",
        "192.0.2.8",
    );
    node.kubectl(&["-n", name, "delete", "service", "db"])
        .must();
    is(
        &node,
        name,
        "endpoints,endpointslices",
        "{.items[*].metadata.name}",
        "",
    );
}
