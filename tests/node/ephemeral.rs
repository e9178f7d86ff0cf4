//! Debug containers in a running pod.

use crate::busybox::IMAGE;
use crate::common::eventually;
use crate::lifecycle::script_pod;
use crate::namespace;

pub const TESTS: &[(&str, fn())] = &[
    (
        "kubectl_debug_sees_the_targets_processes",
        kubectl_debug_sees_the_targets_processes,
    ),
    (
        "debug_containers_are_only_added",
        debug_containers_are_only_added,
    ),
];

fn kubectl_debug_sees_the_targets_processes() {
    let node = namespace("debug");
    node.kubectl_input(
        &["-n", "debug", "apply", "-f", "-"],
        &script_pod("p", "Always", "exec sleep 4567"),
    )
    .must();
    node.wait_for("debug", "pod/p", "{.status.phase}", "Running");
    node.kubectl(&[
        "-n",
        "debug",
        "debug",
        "p",
        "--image",
        IMAGE,
        "--image-pull-policy=IfNotPresent",
        "--target=main",
        "-c",
        "look",
        "--profile=general",
        "--",
        "sh",
        "-c",
        "ps; echo seen; exit 3",
    ])
    .must();
    let status = "{.status.ephemeralContainerStatuses[0].state.terminated.exitCode}";
    node.wait_for("debug", "pod/p", status, "3");
    node.kubectl(&["-n", "debug", "logs", "p", "-c", "look"])
        .must_say("sleep 4567")
        .must_say("seen");
    // Never again, and the pod does not mind.
    assert_eq!(
        node.value(
            "debug",
            "pod/p",
            "{.status.ephemeralContainerStatuses[0].restartCount} {.status.phase} {.status.containerStatuses[0].restartCount}"
        ),
        "0 Running 0"
    );
    node.kubectl(&["-n", "debug", "get", "pod", "p"])
        .must_say("1/1")
        .must_say("Running");
    assert!(eventually(|| node
        .kubectl(&[
            "-n",
            "debug",
            "get",
            "events",
            "-o",
            "jsonpath={.items[*].involvedObject.fieldPath}"
        ])
        .stdout
        .contains("spec.ephemeralContainers{look}")));
    // One that runs can be entered, and ends with the pod.
    node.kubectl(&[
        "-n",
        "debug",
        "debug",
        "p",
        "--image",
        IMAGE,
        "--image-pull-policy=IfNotPresent",
        "-c",
        "stay",
        "--profile=general",
        "--",
        "sleep",
        "3600",
    ])
    .must();
    assert!(eventually(|| !node
        .value(
            "debug",
            "pod/p",
            "{.status.ephemeralContainerStatuses[?(@.name==\"stay\")].state.running.startedAt}",
        )
        .is_empty()));
    node.kubectl(&[
        "-n", "debug", "exec", "p", "-c", "stay", "--", "echo", "inside",
    ])
    .must_say("inside");
    node.kubectl(&["-n", "debug", "delete", "pod", "p"]).must();
}

fn debug_containers_are_only_added() {
    let node = namespace("debug-rules");
    node.kubectl_input(
        &["-n", "debug-rules", "apply", "-f", "-"],
        &script_pod("p", "Always", "sleep 3600"),
    )
    .must();
    let raw = |body: &str| {
        node.kubectl_input(
            &[
                "replace",
                "--raw",
                "/api/v1/namespaces/debug-rules/pods/p/ephemeralcontainers",
                "-f",
                "-",
            ],
            body,
        )
    };
    let pod = node
        .kubectl(&["-n", "debug-rules", "get", "pod", "p", "-o", "json"])
        .must();
    let mut pod: serde_json::Value = serde_json::from_str(&pod.stdout).expect("JSON");
    let mut put = |containers: serde_json::Value| {
        pod["metadata"]["resourceVersion"] = serde_json::Value::Null;
        pod["spec"]["ephemeralContainers"] = containers;
        raw(&pod.to_string())
    };
    let one = serde_json::json!({"name": "one", "image": IMAGE, "command": ["true"]});
    put(serde_json::json!([one])).must();
    put(serde_json::json!([])).must_fail_with("may not be removed");
    put(serde_json::json!([{"name": "one", "image": "other"}]))
        .must_fail_with("may not be changed");
    put(serde_json::json!([one, {"name": "two", "image": IMAGE, "ports": [{"containerPort": 1}]}]))
        .must_fail_with("cannot be set for an Ephemeral Container");
    put(serde_json::json!([one, {"name": "two", "image": IMAGE, "targetContainerName": "nobody"}]))
        .must_fail_with("Not found");
    let created =
        script_pod("q", "Always", "true") + "  ephemeralContainers: [{name: d, image: b}]\n";
    node.kubectl_input(&["-n", "debug-rules", "apply", "-f", "-"], &created)
        .must_fail_with("cannot be set on create");
}
