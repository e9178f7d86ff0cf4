//! What volumes hold: emptyDir in its forms, and files of the API that follow their objects.

use crate::busybox::IMAGE;
use crate::common::{TestNode, eventually};
use crate::namespace;

pub const TESTS: &[(&str, fn())] = &[
    ("empty_dirs_of_both_media", empty_dirs_of_both_media),
    (
        "an_empty_dir_past_its_limit_evicts_the_pod",
        an_empty_dir_past_its_limit_evicts_the_pod,
    ),
    ("files_follow_their_objects", files_follow_their_objects),
    (
        "projected_files_have_modes_and_owners",
        projected_files_have_modes_and_owners,
    ),
    ("fs_group_owns_volumes", fs_group_owns_volumes),
    (
        "what_cannot_be_a_volume_is_refused",
        what_cannot_be_a_volume_is_refused,
    ),
];

/// A pod of one container `main`; `spec` and `container` are more lines of YAML, indented as in a manifest.
pub fn pod(name: &str, restart: &str, script: &str, spec: &str, container: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}, labels: {{app: {name}}}}}\nspec:\n  terminationGracePeriodSeconds: 1\n  restartPolicy: {restart}\n{spec}\n  containers:\n  - name: main\n    image: {IMAGE}\n    command: [sh, -c, {}]\n{container}\n",
        serde_json::Value::from(script)
    )
}

pub fn apply(node: &TestNode, space: &str, manifest: &str) {
    node.kubectl_input(&["-n", space, "apply", "-f", "-"], manifest)
        .must();
}

/// Runs the pod to its good end; what it printed.
pub fn output(node: &TestNode, space: &str, name: &str, manifest: &str) -> String {
    apply(node, space, manifest);
    node.wait_for(
        space,
        &format!("pod/{name}"),
        "{.status.phase}",
        "Succeeded",
    );
    node.kubectl(&["-n", space, "logs", name]).must().stdout
}

/// What a command in the pod's container prints.
pub fn inside(node: &TestNode, space: &str, name: &str, command: &str) -> String {
    let ran = node.kubectl(&["-n", space, "exec", name, "--", "sh", "-c", command]);
    if ran.stdout.is_empty() {
        return ran.stderr;
    }
    ran.stdout
}

#[track_caller]
pub fn wait_inside(node: &TestNode, space: &str, name: &str, command: &str, expected: &str) {
    let mut last = String::new();
    let reached = eventually(|| {
        last = inside(node, space, name, command);
        last == expected
    });
    assert!(
        reached,
        "{command}: wanted {expected:?}, last saw {last:?}\n{}",
        crate::common::tail(&node.log(), 40)
    );
}

fn empty_dirs_of_both_media() {
    let node = namespace("vol-empty");
    let manifest = pod(
        "both",
        "Never",
        "busybox stat -c '%a' /disk /memory; grep ' /memory ' /proc/mounts; echo kept > /disk/f; test -f /disk/f && echo wrote; \
         dd if=/dev/zero of=/memory/f bs=1M count=3 2>&1 | grep -o 'No space left on device'; exit 0",
        "  volumes:\n  - {name: disk, emptyDir: {}}\n  - {name: memory, emptyDir: {medium: Memory, sizeLimit: 2Mi}}",
        "    volumeMounts: [{name: disk, mountPath: /disk}, {name: memory, mountPath: /memory}]",
    )
    .replace("grep", "busybox grep");
    let said = output(&node, "vol-empty", "both", &manifest);
    for part in [
        "777\n777\n",
        "tmpfs",
        "size=2048k",
        "wrote\n",
        "No space left on device",
    ] {
        assert!(said.contains(part), "{part:?} is not in\n{said}");
    }
    // A pod that is over keeps nothing on the disk, though it stays in the API.
    let uid = node.value("vol-empty", "pod/both", "{.metadata.uid}");
    let volumes = node.data_dir().join("pods").join(&uid).join("volumes");
    assert!(eventually(|| !volumes.exists()), "{}", volumes.display());
    let shared = format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: shared}}\nspec:\n  restartPolicy: Never\n  volumes: [{{name: v, emptyDir: {{}}}}]\n\
         \x20 initContainers: [{{name: writes, image: {IMAGE}, command: [sh, -c, 'echo from before > /v/f'], volumeMounts: [{{name: v, mountPath: /v}}]}}]\n\
         \x20 containers: [{{name: main, image: {IMAGE}, command: [sh, -c, 'cat /w/f; touch /w/x || echo read only'], volumeMounts: [{{name: v, mountPath: /w, readOnly: true}}]}}]\n"
    );
    let said = output(&node, "vol-empty", "shared", &shared);
    assert!(
        said.starts_with("from before\n") && said.contains("read only"),
        "{said}"
    );
}

fn an_empty_dir_past_its_limit_evicts_the_pod() {
    let node = namespace("vol-limit");
    apply(
        &node,
        "vol-limit",
        &pod(
            "large",
            "Always",
            "dd if=/dev/zero of=/v/f bs=1M count=3; sleep 3600",
            "  volumes: [{name: scratch, emptyDir: {sizeLimit: 1Mi}}]",
            "    volumeMounts: [{name: scratch, mountPath: /v}]",
        ),
    );
    node.wait_for("vol-limit", "pod/large", "{.status.phase}", "Failed");
    assert_eq!(
        node.value(
            "vol-limit",
            "pod/large",
            "{.status.reason}: {.status.message}"
        )
        .trim_end(),
        "Evicted: Usage of EmptyDir volume \"scratch\" exceeds the limit \"1Mi\"."
    );
    // Upstream's printer shows how the container ended, not why the pod did.
    let rows = node.kubectl(&["-n", "vol-limit", "get", "pods", "--no-headers"]);
    let cells: Vec<&str> = rows.stdout.split_whitespace().take(4).collect();
    assert_eq!(cells, ["large", "0/1", "Error", "0"]);
}

fn files_follow_their_objects() {
    let node = namespace("vol-files");
    apply(
        &node,
        "vol-files",
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings}\ndata: {colour: green, shape: round}\n---\n\
         apiVersion: v1\nkind: Secret\nmetadata: {name: hidden}\nstringData: {word: hush}\n",
    );
    apply(
        &node,
        "vol-files",
        &pod(
            "reader",
            "Always",
            "sleep 3600",
            "  volumes:\n  - {name: settings, configMap: {name: settings}}\n  - {name: hidden, secret: {secretName: hidden}}\n\
             \x20 - {name: later, configMap: {name: later, optional: true}}\n\
             \x20 - {name: me, downwardAPI: {items: [{path: labels, fieldRef: {fieldPath: metadata.labels}}, {path: memory, resourceFieldRef: {containerName: main, resource: limits.memory, divisor: 1Mi}}]}}",
            "    resources: {limits: {memory: 32Mi}}\n    volumeMounts:\n    - {name: settings, mountPath: /settings}\n    - {name: settings, mountPath: /fixed, subPath: colour}\n\
             \x20   - {name: hidden, mountPath: /hidden}\n    - {name: later, mountPath: /later}\n    - {name: me, mountPath: /me}",
        ),
    );
    node.wait_for("vol-files", "pod/reader", "{.status.phase}", "Running");
    let look = |command: &str, expected: &str| {
        wait_inside(&node, "vol-files", "reader", command, expected);
    };
    look("cat /settings/colour /fixed /hidden/word", "greengreenhush");
    look("cat /me/labels; echo; cat /me/memory", "app=\"reader\"\n32");
    look(
        "ls /settings /later",
        "/later:\n\n/settings:\ncolour\nshape\n",
    );
    look("busybox readlink /settings/colour", "..data/colour\n");
    look("touch /settings/x 2>&1 | busybox grep -c Read-only", "1\n");
    apply(
        &node,
        "vol-files",
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings}\ndata: {colour: blue, size: large}\n---\n\
         apiVersion: v1\nkind: Secret\nmetadata: {name: hidden}\nstringData: {word: shout}\n---\n\
         apiVersion: v1\nkind: ConfigMap\nmetadata: {name: later}\ndata: {came: yes it did}\n",
    );
    node.kubectl(&["-n", "vol-files", "label", "pod", "reader", "more=labels"])
        .must();
    look(
        "cat /settings/colour /settings/size /hidden/word /later/came",
        "bluelargeshoutyes it did",
    );
    look("ls /settings", "colour\nsize\n");
    look("cat /me/labels", "app=\"reader\"\nmore=\"labels\"");
    // As upstream: what was mounted by subPath stays what it was.
    look("cat /fixed", "green");
    // An object that is gone leaves the files; that is told, and nothing is restarted.
    node.kubectl(&["-n", "vol-files", "delete", "configmap", "settings"])
        .must();
    assert!(eventually(|| node
        .kubectl(&["-n", "vol-files", "get", "events"])
        .stdout
        .contains("configmap \"settings\" not found")));
    look("cat /settings/colour", "blue");
    assert_eq!(
        node.value(
            "vol-files",
            "pod/reader",
            "{.status.containerStatuses[0].restartCount}"
        ),
        "0"
    );
}

fn projected_files_have_modes_and_owners() {
    let node = namespace("vol-project");
    apply(
        &node,
        "vol-project",
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings}\ndata: {a: one, b: two}\n---\n\
         apiVersion: v1\nkind: Secret\nmetadata: {name: hidden}\nstringData: {word: hush}\n",
    );
    let said = output(
        &node,
        "vol-project",
        "all",
        &pod(
            "all",
            "Never",
            "cd /all; cat deep/a word name; echo; busybox stat -L -c '%n %a %u' deep/a word name; ls",
            "  volumes:\n  - name: all\n    projected:\n      defaultMode: 0440\n      sources:\n\
             \x20     - configMap: {name: settings, items: [{key: a, path: deep/a, mode: 0600, user: 1000}]}\n\
             \x20     - secret: {name: hidden}\n      - secret: {name: nowhere, optional: true}\n\
             \x20     - downwardAPI: {items: [{path: name, fieldRef: {fieldPath: metadata.name}}]}",
            "    volumeMounts: [{name: all, mountPath: /all}]",
        ),
    );
    assert_eq!(
        said,
        "onehushall\ndeep/a 600 1000\nword 440 0\nname 440 0\ndeep\nname\nword\n"
    );
    // A key that is not there holds the pod back until it is.
    apply(
        &node,
        "vol-project",
        &pod(
            "waits",
            "Never",
            "cat /v/*",
            "  volumes: [{name: v, configMap: {name: settings, items: [{key: c, path: c}]}}]",
            "    volumeMounts: [{name: v, mountPath: /v}]",
        ),
    );
    assert!(eventually(|| node
        .kubectl(&["-n", "vol-project", "describe", "pod", "waits"])
        .stdout
        .contains("references non-existent config key")));
    node.kubectl(&[
        "-n",
        "vol-project",
        "patch",
        "configmap",
        "settings",
        "-p",
        "{\"data\":{\"c\":\"three\"}}",
    ])
    .must();
    node.wait_for("vol-project", "pod/waits", "{.status.phase}", "Succeeded");
}

fn fs_group_owns_volumes() {
    let node = namespace("vol-group");
    apply(
        &node,
        "vol-group",
        "apiVersion: v1\nkind: Secret\nmetadata: {name: hidden}\nstringData: {word: hush}\n",
    );
    let said = output(
        &node,
        "vol-group",
        "grouped",
        &pod(
            "grouped",
            "Never",
            "id -G; touch /disk/f /memory/f; busybox stat -L -c '%n %a %g' /disk /disk/f /memory /memory/f /hidden/word; cat /hidden/word",
            "  securityContext: {runAsUser: 1000, runAsGroup: 3000, fsGroup: 2000, fsGroupChangePolicy: OnRootMismatch}\n\
             \x20 volumes:\n  - {name: disk, emptyDir: {}}\n  - {name: memory, emptyDir: {medium: Memory}}\n  - {name: hidden, secret: {secretName: hidden, defaultMode: 0400}}",
            "    volumeMounts: [{name: disk, mountPath: /disk}, {name: memory, mountPath: /memory}, {name: hidden, mountPath: /hidden}]",
        ),
    );
    assert_eq!(
        said,
        "3000 2000\n/disk 2777 2000\n/disk/f 644 2000\n/memory 2777 2000\n/memory/f 644 2000\n/hidden/word 440 2000\nhush"
    );
}

fn what_cannot_be_a_volume_is_refused() {
    let node = namespace("vol-refused");
    let with = |volume: &str, mount: &str| {
        pod(
            "wrong",
            "Never",
            "true",
            &format!("  volumes: [{{name: v, {volume}}}]"),
            &format!("    volumeMounts: [{{name: v, mountPath: /v{mount}}}]"),
        )
    };
    for (volume, mount, said) in [
        ("nfs: {server: a, path: /}", "", "not supported"),
        ("csi: {driver: a}", "", "not supported"),
        ("emptyDir: {medium: Tape}", "", "emptyDir.medium"),
        (
            "configMap: {name: a, items: [{key: a, path: ../a}]}",
            "",
            "items[0].path",
        ),
        ("emptyDir: {}", ", subPath: ../x", "subPath"),
        (
            "emptyDir: {}",
            ", mountPropagation: Bidirectional",
            "available only to privileged containers",
        ),
        (
            "emptyDir: {}",
            ", recursiveReadOnly: Enabled",
            "readOnly is true",
        ),
    ] {
        let refused = node.kubectl_input(
            &["-n", "vol-refused", "apply", "-f", "-"],
            &with(volume, mount),
        );
        refused.must_fail_with(said);
    }
    // The API takes it, this node has none: the pod waits and says why.
    apply(
        &node,
        "vol-refused",
        &with("emptyDir: {medium: HugePages-16Gi}", ""),
    );
    assert!(eventually(|| node
        .kubectl(&["-n", "vol-refused", "describe", "pod", "wrong"])
        .stdout
        .contains("this node has no huge pages of 17179869184 bytes")));
}
