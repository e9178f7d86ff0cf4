//! Autoscalers, by what real pods use.

use crate::busybox::IMAGE;
use crate::common::eventually;
use crate::namespace;

pub const TESTS: &[(&str, fn())] = &[(
    "a_busy_deployment_grows_and_an_idle_one_shrinks",
    a_busy_deployment_grows_and_an_idle_one_shrinks,
)];

fn a_busy_deployment_grows_and_an_idle_one_shrinks() {
    let name = "autoscalers";
    let node = namespace(name);
    let workload = |app: &str, replicas: u8, command: &str| {
        format!(
            "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: {app}}}\nspec:\n  replicas: {replicas}\n  \
             selector: {{matchLabels: {{app: {app}}}}}\n  template:\n    metadata: {{labels: {{app: {app}}}}}\n    spec:\n      \
             terminationGracePeriodSeconds: 1\n      containers:\n      - name: main\n        image: {IMAGE}\n        \
             command: [sh, -c, '{command}']\n        resources: {{requests: {{cpu: 10m}}, limits: {{cpu: 40m}}}}\n---\n\
             apiVersion: autoscaling/v2\nkind: HorizontalPodAutoscaler\nmetadata: {{name: {app}}}\nspec:\n  \
             scaleTargetRef: {{apiVersion: apps/v1, kind: Deployment, name: {app}}}\n  minReplicas: 1\n  maxReplicas: 3\n  \
             metrics: [{{type: Resource, resource: {{name: cpu, target: {{type: Utilization, averageUtilization: 50}}}}}}]\n  \
             behavior: {{scaleDown: {{stabilizationWindowSeconds: 0}}}}\n---\n"
        )
    };
    let objects =
        workload("busy", 1, "while true; do :; done") + &workload("idle", 2, "sleep 1000");
    node.kubectl_input(&["-n", name, "apply", "-f", "-"], &objects)
        .must();
    let told = |app: &str| {
        node.kubectl(&["-n", name, "describe", "hpa", app])
            .must()
            .stdout
    };
    for (app, replicas) in [("busy", "3"), ("idle", "1")] {
        let deployment = format!("deployment/{app}");
        // Two samples of a pod, a whole window since it got ready, and the next question.
        let mut reached = false;
        for _ in 0..2 {
            reached = reached
                || eventually(|| node.value(name, &deployment, "{.spec.replicas}") == replicas);
        }
        assert!(reached, "{app}: {}", told(app));
    }
    assert!(
        told("busy").contains("SuccessfulRescale"),
        "{}",
        told("busy")
    );
    node.wait_for(
        name,
        "hpa/busy",
        "{.status.conditions[?(@.type=='ScalingActive')].status}",
        "True",
    );
}
