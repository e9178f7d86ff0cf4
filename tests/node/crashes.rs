//! The node process dies at every step of a pod's start and end; a shim dies; the board loses power. The pod ends in the
//! state Kubernetes would show, and nothing is left behind.

use crate::busybox::IMAGE;
use crate::common::TestNode;
use crate::common::leaks::{Traces, assert_none};
use crate::import_busybox;
use crate::lifecycle::script_pod;

pub const TESTS: &[(&str, fn())] = &[
    ("at_every_step_of_a_start", at_every_step_of_a_start),
    ("at_every_step_of_a_restart", at_every_step_of_a_restart),
    ("at_every_step_of_an_end", at_every_step_of_an_end),
    (
        "of_a_shim_is_a_crash_of_its_pod",
        of_a_shim_is_a_crash_of_its_pod,
    ),
];

/// Points of `crash::point` on the way up, in order.
const START: &[&str] = &[
    "before PrepareVolumes",
    "after PrepareVolumes",
    "before CreateSandbox",
    "sandbox without an address",
    "sandbox without its hosts file",
    "after CreateSandbox",
    "before EnsureImage",
    "after EnsureImage",
    "before StartContainer",
    "after StartContainer",
];

/// Points between two runs of a container.
const RESTART: &[&str] = &["before RemoveContainer", "after RemoveContainer"];

/// Points on the way down.
const END: &[&str] = &[
    "before Stop",
    "after Stop",
    "before RemoveSandbox",
    "sandbox gone, address held",
    "after RemoveSandbox",
    "before CleanUp",
    "after CleanUp",
    "before DeletePod",
    "after DeletePod",
];

fn manifest(name: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}}}\nspec:\n  terminationGracePeriodSeconds: 5\n  \
         volumes: [{{name: disk, emptyDir: {{}}}}, {{name: memory, emptyDir: {{medium: Memory}}}}, {{name: words, configMap: {{name: words}}}}]\n  \
         initContainers: [{{name: first, image: {IMAGE}, command: [sh, -c, 'echo x >> /disk/f'], volumeMounts: [{{name: disk, mountPath: /disk}}]}}]\n  \
         containers:\n  - name: main\n    image: {IMAGE}\n    command: [sh, -c, \"trap 'exit 0' TERM; sleep 3600 & wait\"]\n    \
         volumeMounts: [{{name: disk, mountPath: /disk}}, {{name: memory, mountPath: /memory}}, {{name: words, mountPath: /words}}]\n"
    )
}

fn prepared() -> (TestNode, Traces) {
    let node = TestNode::start();
    import_busybox(&node);
    node.kubectl(&["create", "configmap", "words", "--from-literal=a=b"])
        .must();
    node.apply(&manifest("first"));
    node.wait_for("default", "pod/first", "{.status.phase}", "Running");
    node.kubectl(&["delete", "pod", "first"]).must();
    let before = Traces::of(&node);
    (node, before)
}

/// The node dies at `point` of what `act` sets going, and comes back.
pub fn crash_at(node: &mut TestNode, point: &str, act: impl FnOnce(&TestNode)) {
    node.stop();
    node.environment = vec![("CORACLE_CRASH_AT", point.to_owned())];
    node.up();
    act(node);
    node.await_death();
    node.environment.clear();
    node.up();
}

/// The node may die so soon that the answer is lost; that it died says that the pod is there.
fn apply_to_the_dying(node: &TestNode, manifest: &str) {
    node.kubectl_input(&["apply", "-f", "-"], manifest);
}

fn at_every_step_of_a_start() {
    let (mut node, before) = prepared();
    for (number, point) in START.iter().enumerate() {
        let name = format!("start-{number}");
        crash_at(&mut node, point, |node| {
            apply_to_the_dying(node, &manifest(&name));
        });
        let pod = format!("pod/{name}");
        node.wait_for("default", &pod, "{.status.phase}", "Running");
        node.wait_for(
            "default",
            &pod,
            "{.status.containerStatuses[0].restartCount}",
            "0",
        );
        // The init container's work is done, and the volumes are whole.
        let seen = node.kubectl(&[
            "exec", &name, "-c", "main", "--", "cat", "/disk/f", "/words/a",
        ]);
        assert!(
            seen.stdout.starts_with('x') && seen.stdout.ends_with('b'),
            "{point}: {seen:?}"
        );
        node.kubectl(&["delete", "pod", &name]).must();
        assert_none(&node, &before);
    }
}

fn at_every_step_of_a_restart() {
    let (mut node, before) = prepared();
    for (number, point) in RESTART.iter().enumerate() {
        let name = format!("restart-{number}");
        crash_at(&mut node, point, |node| {
            // It fails once; the second run stays.
            let script = "test -f /disk/again && exec sleep 3600; touch /disk/again; exit 1";
            apply_to_the_dying(
                node,
                &manifest(&name).replace("trap 'exit 0' TERM; sleep 3600 & wait", script),
            );
        });
        let pod = format!("pod/{name}");
        node.wait_for(
            "default",
            &pod,
            "{.status.containerStatuses[0].restartCount}",
            "1",
        );
        node.wait_for(
            "default",
            &pod,
            "{.status.containerStatuses[0].ready}",
            "true",
        );
        node.wait_for(
            "default",
            &pod,
            "{.status.containerStatuses[0].lastState.terminated.exitCode}",
            "1",
        );
        node.kubectl(&["delete", "pod", &name, "--grace-period=1"])
            .must();
        assert_none(&node, &before);
    }
}

fn at_every_step_of_an_end() {
    let (mut node, before) = prepared();
    for (number, point) in END.iter().enumerate() {
        let name = format!("end-{number}");
        node.apply(&manifest(&name));
        node.wait_for(
            "default",
            &format!("pod/{name}"),
            "{.status.phase}",
            "Running",
        );
        crash_at(&mut node, point, |node| {
            // As in `apply_to_the_dying`.
            node.kubectl(&["delete", "pod", &name, "--wait=false"]);
        });
        node.kubectl(&[
            "wait",
            "--for=delete",
            &format!("pod/{name}"),
            "--timeout=60s",
        ])
        .must();
        assert_none(&node, &before);
    }
}

fn of_a_shim_is_a_crash_of_its_pod() {
    let (node, before) = prepared();
    node.apply(&script_pod(
        "again",
        "Always",
        "trap 'exit 0' TERM; sleep 3600 & wait",
    ));
    node.apply(&script_pod("once", "Never", "sleep 3600"));
    for pod in ["pod/again", "pod/once"] {
        node.wait_for("default", pod, "{.status.phase}", "Running");
    }
    for name in ["again", "once"] {
        let uid = node.value("default", &format!("pod/{name}"), "{.metadata.uid}");
        let pid = std::fs::read_to_string(node.run_dir().join("pods").join(&uid).join("shim.pid"));
        let pid: i32 = pid
            .expect("the shim's pid file")
            .trim()
            .parse()
            .expect("a number");
        nix::sys::signal::kill(
            nix::unistd::Pid::from_raw(pid),
            nix::sys::signal::Signal::SIGKILL,
        )
        .expect("kill");
    }
    node.wait_for(
        "default",
        "pod/again",
        "{.status.containerStatuses[0].restartCount}",
        "1",
    );
    node.wait_for(
        "default",
        "pod/again",
        "{.status.containerStatuses[0].lastState.terminated.exitCode}",
        "255",
    );
    node.wait_for("default", "pod/again", "{.status.phase}", "Running");
    node.wait_for("default", "pod/once", "{.status.phase}", "Failed");
    node.kubectl(&["delete", "pods", "--all"]).must();
    assert_none(&node, &before);
}
