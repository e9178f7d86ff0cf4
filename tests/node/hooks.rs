//! What containers do right after their start and right before their end.

use crate::common::eventually;
use crate::manifests::{container, pod};
use crate::namespace;
use std::time::{Duration, Instant};

pub const TESTS: &[(&str, fn())] = &[
    (
        "hooks_run_in_the_container_and_over_http",
        hooks_run_in_the_container_and_over_http,
    ),
    (
        "a_failing_post_start_hook_ends_the_container",
        a_failing_post_start_hook_ends_the_container,
    ),
    (
        "a_hook_that_hangs_holds_nobody_else_up",
        a_hook_that_hangs_holds_nobody_else_up,
    ),
    (
        "termination_messages_reach_the_status",
        termination_messages_reach_the_status,
    ),
];

const STEADY: &str = "trap 'echo going; exit 0' TERM; while true; do sleep 0.1; done";

fn hooks_run_in_the_container_and_over_http() {
    let node = namespace("hooks");
    // The hook's mark is waited for: it runs beside the command, not before it.
    let manifest = pod(
        "p",
        30,
        &format!(
            "  os: {{name: linux}}\n  containers:\n{}{}",
            container(
                "main",
                "trap 'cat /tmp/stop; echo usr1; exit 0' USR1; until test -e /tmp/start; do sleep 0.1; done; cat /tmp/start; while true; do sleep 0.1; done",
                ", lifecycle: {stopSignal: SIGUSR1, postStart: {exec: {command: [sh, -c, 'echo hello > /tmp/start']}}, preStop: {exec: {command: [sh, -c, 'echo stopping > /tmp/stop']}}}"
            ),
            container(
                "web",
                "mkdir -p /tmp/www; echo x > /tmp/www/bye; trap 'exit 0' TERM; httpd -f -v -p 8080 -h /tmp/www & while true; do sleep 0.1; done",
                ", ports: [{name: http, containerPort: 8080}], lifecycle: {preStop: {httpGet: {path: /bye, port: http}}}"
            )
        ),
    );
    node.kubectl_input(&["-n", "hooks", "apply", "-f", "-"], &manifest)
        .must();
    node.wait_for("hooks", "pod/p", "{.status.phase}", "Running");
    let logs = |container: &str| {
        node.kubectl(&["-n", "hooks", "logs", "p", "-c", container])
            .stdout
    };
    assert!(eventually(|| logs("main").contains("hello")));
    let follow = |container: &str| {
        node.kubectl_command()
            .args(["-n", "hooks", "logs", "-f", "p", "-c", container])
            .stdout(std::process::Stdio::piped())
            .spawn()
            .expect("kubectl")
    };
    let (main, web) = (follow("main"), follow("web"));
    node.kubectl(&["-n", "hooks", "delete", "pod", "p"]).must();
    let text = |child: std::process::Child| {
        String::from_utf8_lossy(&child.wait_with_output().expect("its output").stdout).into_owned()
    };
    let main = text(main);
    assert!(main.ends_with("stopping\nusr1\n"), "{main}");
    let web = text(web);
    assert!(web.contains("response:200"), "{web}");
}

fn a_failing_post_start_hook_ends_the_container() {
    let node = namespace("post-start");
    let manifest = pod(
        "p",
        2,
        &format!(
            "  restartPolicy: Never\n  containers:\n{}",
            container(
                "main",
                STEADY,
                ", lifecycle: {postStart: {exec: {command: [sh, -c, 'exit 3']}}}"
            )
        ),
    );
    node.kubectl_input(&["-n", "post-start", "apply", "-f", "-"], &manifest)
        .must();
    node.wait_for("post-start", "pod/p", "{.status.phase}", "Succeeded");
    for said in ["FailedPostStartHook", "PostStartHook failed"] {
        assert!(eventually(|| node
            .kubectl(&["-n", "post-start", "get", "events"])
            .stdout
            .contains(said)));
    }
    let again = manifest
        .replace("name: p}", "name: again}")
        .replace("Never", "Always");
    node.kubectl_input(&["-n", "post-start", "apply", "-f", "-"], &again)
        .must();
    let reasons = |reason: &str| {
        eventually(|| {
            node.kubectl(&["-n", "post-start", "get", "pod", "again"])
                .stdout
                .contains(reason)
        })
    };
    assert!(reasons("PostStartHookError"));
    assert!(reasons("CrashLoopBackOff"));
    let message = node.value(
        "post-start",
        "pod/again",
        "{.status.containerStatuses[0].state.waiting.message}",
    );
    assert!(message.contains("back-off"), "{message}");
    node.kubectl(&["-n", "post-start", "delete", "pod", "again"])
        .must();
}

fn a_hook_that_hangs_holds_nobody_else_up() {
    let node = namespace("hanging");
    let manifest = pod(
        "p",
        3,
        &format!(
            "  containers:\n{}{}{}",
            container(
                "slow",
                STEADY,
                ", lifecycle: {postStart: {exec: {command: [sleep, '3600']}}}"
            ),
            container(
                "stuck",
                STEADY,
                ", lifecycle: {preStop: {exec: {command: [sleep, '3600']}}}"
            ),
            container("free", STEADY, ""),
        ),
    );
    node.kubectl_input(&["-n", "hanging", "apply", "-f", "-"], &manifest)
        .must();
    let state = |at: usize| {
        format!(
            "{{.status.containerStatuses[?(@.name==\"{}\")].ready}}",
            ["slow", "stuck", "free"][at]
        )
    };
    node.wait_for("hanging", "pod/p", &state(1), "true");
    node.wait_for("hanging", "pod/p", &state(2), "true");
    assert_eq!(node.value("hanging", "pod/p", &state(0)), "false");
    node.kubectl(&["-n", "hanging", "get", "pod", "p"])
        .must_say("2/3")
        .must_say("ContainerCreating");
    let started = Instant::now();
    node.kubectl(&["-n", "hanging", "delete", "pod", "p"])
        .must();
    // The hook had the whole grace.
    assert!(started.elapsed() >= Duration::from_secs(3));
}

fn termination_messages_reach_the_status() {
    let node = namespace("last-words");
    let manifest = pod(
        "p",
        1,
        &format!(
            "  restartPolicy: Never\n  containers:\n{}{}{}",
            container("file", "echo -n from the file > /dev/termination-log", ""),
            container(
                "log",
                "echo from the log; exit 1",
                ", terminationMessagePolicy: FallbackToLogsOnError"
            ),
            container(
                "long",
                "yes x | head -c 10000 > /dev/termination-log; echo -n end >> /dev/termination-log",
                ""
            ),
        ),
    );
    node.kubectl_input(&["-n", "last-words", "apply", "-f", "-"], &manifest)
        .must();
    node.wait_for("last-words", "pod/p", "{.status.phase}", "Failed");
    let message = |at: usize| {
        node.value(
            "last-words",
            "pod/p",
            &format!("{{.status.containerStatuses[{at}].state.terminated.message}}"),
        )
    };
    assert_eq!(message(0), "from the file");
    assert_eq!(message(1), "from the log\n");
    let long = message(2);
    assert_eq!(long.len(), 4096);
    assert!(long.ends_with("\nx\nend"), "{}", &long[4000..]);
}
