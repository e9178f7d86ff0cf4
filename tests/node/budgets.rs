//! Disruption budgets and quotas, counted from real pods.

use crate::busybox::IMAGE;
use crate::namespace;

pub const TESTS: &[(&str, fn())] = &[
    ("a_budget_counts_healthy_pods", a_budget_counts_healthy_pods),
    (
        "a_quota_is_freed_by_what_goes",
        a_quota_is_freed_by_what_goes,
    ),
];

/// Three pods with a request each, and a budget that lets one go.
fn a_budget_counts_healthy_pods() {
    let name = "budgets";
    let node = namespace(name);
    let objects = format!(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: web}}\nspec:\n  replicas: 3\n  \
         selector: {{matchLabels: {{app: web}}}}\n  template:\n    metadata: {{labels: {{app: web}}}}\n    spec:\n      \
         terminationGracePeriodSeconds: 1\n      containers:\n      - {{name: main, image: {IMAGE}, command: [sleep, '1000']}}\n---\n\
         apiVersion: policy/v1\nkind: PodDisruptionBudget\nmetadata: {{name: web}}\nspec:\n  maxUnavailable: 34%\n  \
         selector: {{matchLabels: {{app: web}}}}\n"
    );
    node.kubectl_input(&["-n", name, "apply", "-f", "-"], &objects)
        .must();
    let all = "{.status.expectedPods} {.status.desiredHealthy} {.status.currentHealthy} {.status.disruptionsAllowed}";
    node.wait_for(name, "pdb/web", all, "3 1 3 2");
    let condition = "{.status.conditions[0].type}={.status.conditions[0].status}";
    node.wait_for(name, "pdb/web", condition, "DisruptionAllowed=True");
    node.kubectl(&["-n", name, "get", "pdb", "web"])
        .must_say("34%");
    node.kubectl(&[
        "-n",
        name,
        "patch",
        "deployment",
        "web",
        "-p",
        r#"{"spec":{"replicas":1}}"#,
    ])
    .must();
    node.wait_for(name, "pdb/web", all, "1 0 1 1");
    node.kubectl(&[
        "-n",
        name,
        "patch",
        "pdb",
        "web",
        "--type=merge",
        "-p",
        r#"{"spec":{"maxUnavailable":0}}"#,
    ])
    .must();
    node.wait_for(name, "pdb/web", condition, "DisruptionAllowed=False");
    let seen = node.value(
        name,
        "pdb/web",
        "{.metadata.generation} {.status.observedGeneration}",
    );
    assert_eq!(seen, "2 2");
}

fn a_quota_is_freed_by_what_goes() {
    let name = "quotas";
    let node = namespace(name);
    let objects = format!(
        "apiVersion: v1\nkind: ResourceQuota\nmetadata: {{name: all}}\nspec: {{hard: {{pods: '2', requests.cpu: '1', configmaps: '5'}}}}\n---\n\
         apiVersion: v1\nkind: Pod\nmetadata: {{name: one}}\nspec:\n  terminationGracePeriodSeconds: 1\n  containers:\n  \
         - {{name: main, image: {IMAGE}, command: [sleep, '1000'], resources: {{requests: {{cpu: 100m}}}}}}\n"
    );
    node.kubectl_input(&["-n", name, "apply", "-f", "-"], &objects)
        .must();
    let used = "{.status.used.pods} {.status.used['requests\\.cpu']} {.status.used.configmaps}";
    // The authority's certificate is the one map.
    node.wait_for(name, "quota/all", used, "1 100m 1");
    node.kubectl(&["-n", name, "create", "configmap", "mine"])
        .must();
    node.wait_for(name, "quota/all", used, "1 100m 2");
    node.kubectl(&["-n", name, "delete", "pod/one", "configmap/mine"])
        .must();
    node.wait_for(name, "quota/all", used, "0 0 1");
}
