//! Init containers that stay, and restart policies of single containers.

use crate::busybox::IMAGE;
use crate::common::eventually;
use crate::manifests::{self, container};
use crate::namespace;

pub const TESTS: &[(&str, fn())] = &[
    (
        "sidecars_start_first_and_do_not_hold_the_pod_open",
        sidecars_start_first_and_do_not_hold_the_pod_open,
    ),
    (
        "sidecars_are_restarted_whatever_the_pods_policy",
        sidecars_are_restarted_whatever_the_pods_policy,
    ),
    (
        "containers_have_restart_policies_of_their_own",
        containers_have_restart_policies_of_their_own,
    ),
    (
        "an_init_container_that_fails_shows_as_such",
        an_init_container_that_fails_shows_as_such,
    ),
    (
        "the_active_deadline_ends_a_pod",
        the_active_deadline_ends_a_pod,
    ),
    ("a_changed_image_is_run", a_changed_image_is_run),
];

fn pod(name: &str, spec: &str) -> String {
    manifests::pod(name, 2, spec)
}

fn sidecars_start_first_and_do_not_hold_the_pod_open() {
    let node = namespace("sidecars");
    let log = ", volumeMounts: [{name: v, mountPath: /v}]";
    let manifest = pod(
        "job",
        &format!(
            "  restartPolicy: Never\n  volumes: [{{name: v, emptyDir: {{}}}}]\n  initContainers:\n{}{}{}  containers:\n{}",
            container(
                "one",
                "echo one >> /v/order; trap 'echo bye one >> /v/order; exit 0' TERM; while true; do sleep 0.1; done",
                &format!(", restartPolicy: Always{log}")
            ),
            container(
                "two",
                "echo two >> /v/order; trap 'echo bye two >> /v/order; cat /v/order; exit 0' TERM; while true; do sleep 0.1; done",
                &format!(", restartPolicy: Always{log}")
            ),
            container(
                "init",
                "until grep -q two /v/order; do sleep 0.1; done; echo init >> /v/order",
                log
            ),
            container("main", "cat /v/order; echo main >> /v/order", log),
        ),
    );
    node.kubectl_input(&["-n", "sidecars", "apply", "-f", "-"], &manifest)
        .must();
    node.wait_for("sidecars", "pod/job", "{.status.phase}", "Succeeded");
    let main = node
        .kubectl(&["-n", "sidecars", "logs", "job", "-c", "main"])
        .must();
    let mut lines: Vec<&str> = main.stdout.lines().collect();
    // The two run side by side; the init container comes after both.
    lines[..2].sort_unstable();
    assert_eq!(lines, ["one", "two", "init"]);
    // They end in reverse order.
    let two = node
        .kubectl(&["-n", "sidecars", "logs", "job", "-c", "two"])
        .must();
    assert!(two.stdout.ends_with("main\nbye two\n"), "{}", two.stdout);
    node.kubectl(&["-n", "sidecars", "get", "pod", "job"])
        .must_say("0/3")
        .must_say("Completed");
}

fn sidecars_are_restarted_whatever_the_pods_policy() {
    let node = namespace("sidecar-restarts");
    let manifest = pod(
        "p",
        &format!(
            "  restartPolicy: Never\n  initContainers:\n{}  containers:\n{}",
            container(
                "side",
                "test -e /tmp/x; sleep 0.5; exit 3",
                ", restartPolicy: Always"
            ),
            container("main", "sleep 3600", ""),
        ),
    );
    node.kubectl_input(&["-n", "sidecar-restarts", "apply", "-f", "-"], &manifest)
        .must();
    node.wait_for(
        "sidecar-restarts",
        "pod/p",
        "{.status.initContainerStatuses[0].restartCount}",
        "1",
    );
    node.wait_for("sidecar-restarts", "pod/p", "{.status.phase}", "Running");
    node.wait_for(
        "sidecar-restarts",
        "pod/p",
        "{.status.initContainerStatuses[0].state.waiting.reason}",
        "CrashLoopBackOff",
    );
    node.kubectl(&["-n", "sidecar-restarts", "delete", "pod", "p"])
        .must();
}

fn containers_have_restart_policies_of_their_own() {
    let node = namespace("rules");
    let rule = |codes: &str| {
        format!(
            ", restartPolicy: Never, restartPolicyRules: [{{action: Restart, exitCodes: {{operator: In, values: {codes}}}}}]"
        )
    };
    let manifest = pod(
        "p",
        &format!(
            "  restartPolicy: Always\n  volumes: [{{name: v, emptyDir: {{}}}}]\n  containers:\n{}{}",
            container(
                "again",
                "test -e /v/x || { touch /v/x; exit 42; }; exit 7",
                &format!(
                    "{}, volumeMounts: [{{name: v, mountPath: /v}}]",
                    rule("[42]")
                )
            ),
            container("once", "exit 5", ", restartPolicy: Never"),
        ),
    );
    node.kubectl_input(&["-n", "rules", "apply", "-f", "-"], &manifest)
        .must();
    node.wait_for("rules", "pod/p", "{.status.phase}", "Failed");
    assert_eq!(
        node.value(
            "rules",
            "pod/p",
            "{.status.containerStatuses[*].restartCount} {.status.containerStatuses[*].state.terminated.exitCode}"
        ),
        "1 0 7 5"
    );
    let all = ", restartPolicy: Never, restartPolicyRules: [{action: RestartAllContainers, exitCodes: {operator: In, values: [9]}}], volumeMounts: [{name: v, mountPath: /v}]";
    let together = pod(
        "together",
        &format!(
            "  restartPolicy: Never\n  volumes: [{{name: v, emptyDir: {{}}}}]\n  initContainers:\n{}  containers:\n{}{}",
            container("init", "true", ""),
            container(
                "trigger",
                "test -e /v/x || { until test -e /v/other; do sleep 0.1; done; touch /v/x; exit 9; }; sleep 3600",
                all
            ),
            container(
                "other",
                "trap 'exit 0' TERM; touch /v/other; while true; do sleep 0.1; done",
                ", volumeMounts: [{name: v, mountPath: /v}]"
            ),
        ),
    );
    node.kubectl_input(&["-n", "rules", "apply", "-f", "-"], &together)
        .must();
    node.wait_for(
        "rules",
        "pod/together",
        "{.status.initContainerStatuses[0].restartCount} {.status.containerStatuses[*].restartCount} {.status.containerStatuses[*].lastState.terminated.reason} {.status.conditions[?(@.type==\"AllContainersRestarting\")].status}",
        "1 1 1 RestartingAllContainers RestartingAllContainers False",
    );
    node.kubectl(&["-n", "rules", "get", "pod", "together"])
        .must_say("2/2")
        .must_say("Running");
    let wrong = pod(
        "wrong",
        &format!(
            "  containers:\n{}",
            container(
                "a",
                "true",
                ", restartPolicyRules: [{action: Restart, exitCodes: {operator: In, values: [1]}}]"
            )
        ),
    );
    node.kubectl_input(&["-n", "rules", "apply", "-f", "-"], &wrong)
        .must_fail_with("must specify restartPolicy when restart rules are used");
}

fn an_init_container_that_fails_shows_as_such() {
    let node = namespace("init-states");
    let init = |policy: &str| {
        pod(
            &policy.to_lowercase(),
            &format!(
                "  restartPolicy: {policy}\n  initContainers:\n{}{}  containers:\n{}",
                container("first", "true", ""),
                container("bad", "exit 4", ""),
                container("main", "sleep 3600", ""),
            ),
        )
    };
    for policy in ["Always", "Never"] {
        node.kubectl_input(&["-n", "init-states", "apply", "-f", "-"], &init(policy))
            .must();
    }
    node.wait_for("init-states", "pod/never", "{.status.phase}", "Failed");
    node.kubectl(&["-n", "init-states", "get", "pod", "never"])
        .must_say("Init:Error");
    assert!(eventually(|| node
        .kubectl(&["-n", "init-states", "get", "pod", "always"])
        .stdout
        .contains("Init:CrashLoopBackOff")));
    node.kubectl(&["-n", "init-states", "delete", "pod", "always"])
        .must();
}

fn the_active_deadline_ends_a_pod() {
    let node = namespace("deadline");
    let manifest = pod(
        "late",
        &format!(
            "  activeDeadlineSeconds: 100000\n  containers:\n{}",
            container(
                "main",
                "trap 'exit 0' TERM; while true; do sleep 0.1; done",
                ""
            )
        ),
    );
    node.kubectl_input(&["-n", "deadline", "apply", "-f", "-"], &manifest)
        .must();
    node.wait_for("deadline", "pod/late", "{.status.phase}", "Running");
    let patch = |seconds: u32| {
        node.kubectl(&[
            "-n",
            "deadline",
            "patch",
            "pod",
            "late",
            "-p",
            &format!("{{\"spec\":{{\"activeDeadlineSeconds\":{seconds}}}}}"),
        ])
    };
    patch(200_000).must_fail_with("must be less than or equal to previous value");
    patch(1).must();
    node.wait_for(
        "deadline",
        "pod/late",
        "{.status.phase}/{.status.reason}",
        "Failed/DeadlineExceeded",
    );
    // STATUS tells how the container ended, as upstream's printer does.
    node.kubectl(&["-n", "deadline", "get", "pod", "late"])
        .must_say("Completed");
    assert!(eventually(|| node
        .kubectl(&["-n", "deadline", "get", "events"])
        .stdout
        .contains(
            "Pod was active on the node longer than the specified deadline"
        )));
}

fn a_changed_image_is_run() {
    let node = namespace("renewed");
    let manifest = pod(
        "p",
        &format!(
            "  restartPolicy: Never\n  containers:\n{}",
            container(
                "main",
                "trap 'exit 0' TERM; while true; do sleep 0.1; done",
                ""
            )
        ),
    );
    node.kubectl_input(&["-n", "renewed", "apply", "-f", "-"], &manifest)
        .must();
    node.wait_for("renewed", "pod/p", "{.status.phase}", "Running");
    let set = |image: &str| {
        node.kubectl(&[
            "-n",
            "renewed",
            "set",
            "image",
            "pod/p",
            &format!("main={image}"),
        ])
        .must();
    };
    set("test.local/missing:1");
    let waiting = "{.status.containerStatuses[0].state.waiting.reason}";
    assert!(eventually(|| node
        .value("renewed", "pod/p", waiting)
        .contains("Image")));
    assert!(eventually(|| node
        .kubectl(&["-n", "renewed", "get", "events"])
        .stdout
        .contains(
            "Container main definition changed, will be restarted"
        )));
    // A better one is tried at once.
    set(IMAGE);
    node.wait_for(
        "renewed",
        "pod/p",
        "{.status.containerStatuses[0].restartCount} {.status.phase}",
        "1 Running",
    );
}
