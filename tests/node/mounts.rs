//! How volumes are mounted: below sub paths, with propagation, of the host, of images; and that nothing stays mounted.

use crate::common::{TestNode, eventually, run};
use crate::crashes::crash_at;
use crate::volumes::{apply, inside, output, pod, wait_inside};
use crate::{import_busybox, namespace};
use std::path::Path;
use std::process::Command;

pub const TESTS: &[(&str, fn())] = &[
    (
        "sub_paths_stay_in_their_volume",
        sub_paths_stay_in_their_volume,
    ),
    ("host_paths_of_every_type", host_paths_of_every_type),
    ("mounts_propagate_as_asked", mounts_propagate_as_asked),
    (
        "read_only_reaches_as_deep_as_asked",
        read_only_reaches_as_deep_as_asked,
    ),
    ("images_are_volumes", images_are_volumes),
    ("nothing_stays_mounted", nothing_stays_mounted),
];

fn sub_paths_stay_in_their_volume() {
    let node = namespace("mnt-sub");
    let said = output(
        &node,
        "mnt-sub",
        "parts",
        &pod(
            "parts",
            "Never",
            "echo hello > /a/f; ls /whole; cat /whole/first/f; busybox stat -c %a /whole/first; ls /whole/$POD; touch /ro/x || echo read only",
            "  volumes: [{name: v, emptyDir: {}}]",
            "    env: [{name: POD, valueFrom: {fieldRef: {fieldPath: metadata.name}}}]\n    volumeMounts:\n    - {name: v, mountPath: /whole}\n\
             \x20   - {name: v, mountPath: /a, subPath: first}\n    - {name: v, mountPath: /b, subPathExpr: $(POD)/deep}\n    - {name: v, mountPath: /ro, subPath: first, readOnly: true}",
        ),
    );
    assert!(
        said.starts_with("first\nparts\nhello\n777\ndeep\n") && said.contains("read only"),
        "{said}"
    );
    // A container plants a link that leads to the host; whoever mounts below it gets nothing.
    let directory = tempfile::tempdir().expect("temporary directory");
    std::fs::write(directory.path().join("secret"), "of the host").expect("file");
    let escape = format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: escapes}}\nspec:\n  restartPolicy: Never\n  volumes: [{{name: v, emptyDir: {{}}}}]\n\
         \x20 initContainers: [{{name: plants, image: {0}, command: [sh, -c, 'busybox ln -s {1} /v/out'], volumeMounts: [{{name: v, mountPath: /v}}]}}]\n\
         \x20 containers: [{{name: main, image: {0}, command: [cat, /v/secret], volumeMounts: [{{name: v, mountPath: /v, subPath: out}}]}}]\n",
        crate::busybox::IMAGE,
        directory.path().display()
    );
    apply(&node, "mnt-sub", &escape);
    node.wait_for(
        "mnt-sub",
        "pod/escapes",
        "{.status.containerStatuses[0].state.waiting.reason}",
        "CreateContainerConfigError",
    );
    let message = node.value(
        "mnt-sub",
        "pod/escapes",
        "{.status.containerStatuses[0].state.waiting.message}",
    );
    assert!(message.contains("leads out of its volume"), "{message}");
    apply(
        &node,
        "mnt-sub",
        &pod(
            "unset",
            "Never",
            "true",
            "  volumes: [{name: v, emptyDir: {}}]",
            "    volumeMounts: [{name: v, mountPath: /v, subPathExpr: $(NOBODY)}]",
        ),
    );
    node.wait_for(
        "mnt-sub",
        "pod/unset",
        "{.status.containerStatuses[0].state.waiting.message}",
        "missing value for \"NOBODY\"",
    );
}

fn host_paths_of_every_type() {
    let node = namespace("mnt-host");
    let directory = tempfile::tempdir().expect("temporary directory");
    let root = directory.path().display();
    std::fs::write(directory.path().join("file"), "of the host").expect("file");
    let _socket =
        std::os::unix::net::UnixListener::bind(directory.path().join("socket")).expect("socket");
    let said = output(
        &node,
        "mnt-host",
        "all",
        &pod(
            "all",
            "Never",
            "cat /file; echo; echo changed > /new/f; echo made > /newfile; test -S /socket && echo socket; test -c /null && echo device; ls /any",
            &format!(
                "  volumes:\n  - {{name: file, hostPath: {{path: {root}/file, type: File}}}}\n  - {{name: new, hostPath: {{path: {root}/new, type: DirectoryOrCreate}}}}\n\
                 \x20 - {{name: newfile, hostPath: {{path: {root}/newfile, type: FileOrCreate}}}}\n  - {{name: socket, hostPath: {{path: {root}/socket, type: Socket}}}}\n\
                 \x20 - {{name: device, hostPath: {{path: /dev/null, type: CharDevice}}}}\n  - {{name: any, hostPath: {{path: {root}}}}}"
            ),
            "    volumeMounts: [{name: file, mountPath: /file}, {name: new, mountPath: /new}, {name: newfile, mountPath: /newfile}, {name: socket, mountPath: /socket}, {name: device, mountPath: /null}, {name: any, mountPath: /any}]",
        ),
    );
    assert_eq!(
        said,
        "of the host\nsocket\ndevice\nfile\nnew\nnewfile\nsocket\n"
    );
    let made =
        |name: &str| std::fs::read_to_string(directory.path().join(name)).unwrap_or_default();
    assert_eq!(
        (made("new/f"), made("newfile")),
        ("changed\n".into(), "made\n".into())
    );
    apply(
        &node,
        "mnt-host",
        &pod(
            "wrong",
            "Never",
            "true",
            &format!("  volumes: [{{name: v, hostPath: {{path: {root}/file, type: Directory}}}}]"),
            "    volumeMounts: [{name: v, mountPath: /v}]",
        ),
    );
    assert!(eventually(|| node
        .kubectl(&["-n", "mnt-host", "describe", "pod", "wrong"])
        .stdout
        .contains("hostPath type check failed")));
}

/// A directory of the host on a mount that is shared, as systemd makes all of them.
struct SharedMount(tempfile::TempDir);

impl SharedMount {
    fn new() -> SharedMount {
        let shared = SharedMount(tempfile::tempdir().expect("temporary directory"));
        run(Command::new("mount")
            .args(["-t", "tmpfs", "tmpfs"])
            .arg(shared.0.path()))
        .must();
        run(Command::new("mount")
            .arg("--make-shared")
            .arg(shared.0.path()))
        .must();
        shared
    }
}

impl Drop for SharedMount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-R").arg(self.0.path()).status();
    }
}

fn mounts_propagate_as_asked() {
    let node = namespace("mnt-propagate");
    let shared = SharedMount::new();
    let root = shared.0.path();
    for name in ["before", "later", "up"] {
        std::fs::create_dir(root.join(name)).expect("directory");
    }
    let volume = format!(
        "  volumes: [{{name: v, hostPath: {{path: {}}}}}]",
        root.display()
    );
    let manifest = pod(
        "three",
        "Always",
        "sleep 3600",
        &volume,
        "    securityContext: {privileged: true}\n    volumeMounts: [{name: v, mountPath: /none}, {name: v, mountPath: /down, mountPropagation: HostToContainer}, {name: v, mountPath: /both, mountPropagation: Bidirectional}]",
    );
    apply(&node, "mnt-propagate", &manifest);
    node.wait_for("mnt-propagate", "pod/three", "{.status.phase}", "Running");
    run(Command::new("mount")
        .args(["-t", "tmpfs", "tmpfs"])
        .arg(root.join("later")))
    .must();
    std::fs::write(root.join("later/f"), "").expect("file");
    let look = |command: &str, expected: &str| {
        wait_inside(&node, "mnt-propagate", "three", command, expected);
    };
    look(
        "ls /down/later /both/later",
        "/both/later:\nf\n\n/down/later:\nf\n",
    );
    look("ls /none/later", "");
    // Up: only where it was asked for.
    inside(
        &node,
        "mnt-propagate",
        "three",
        "busybox mount -t tmpfs tmpfs /both/up; touch /both/up/g; busybox mount -t tmpfs tmpfs /down/before; touch /down/before/h",
    );
    assert!(eventually(|| root.join("up/g").exists()));
    assert!(!root.join("before/h").exists());
    node.kubectl(&["-n", "mnt-propagate", "delete", "pod", "three"])
        .must();
    // A path on a mount that is not shared cannot: that is told, not ignored.
    let private = SharedMount::new();
    run(Command::new("mount")
        .arg("--make-private")
        .arg(private.0.path()))
    .must();
    let volume = format!(
        "  volumes: [{{name: v, hostPath: {{path: {}}}}}]",
        private.0.path().display()
    );
    apply(
        &node,
        "mnt-propagate",
        &pod(
            "alone",
            "Never",
            "true",
            &volume,
            "    volumeMounts: [{name: v, mountPath: /v, mountPropagation: HostToContainer}]",
        ),
    );
    node.wait_for("mnt-propagate", "pod/alone", "{.status.phase}", "Failed");
    let said = node.value(
        "mnt-propagate",
        "pod/alone",
        "{.status.containerStatuses[0].state.terminated.message}",
    );
    assert!(said.contains("is not a shared or slave mount"), "{said}");
}

fn read_only_reaches_as_deep_as_asked() {
    let node = namespace("mnt-deep");
    let shared = SharedMount::new();
    let below = shared.0.path().join("below");
    std::fs::create_dir(&below).expect("directory");
    run(Command::new("mount")
        .args(["-t", "tmpfs", "tmpfs"])
        .arg(&below))
    .must();
    let said = output(
        &node,
        "mnt-deep",
        "deep",
        &pod(
            "deep",
            "Never",
            "for d in /flat /flat/below /deep /deep/below; do touch $d/x 2>/dev/null && echo $d writable || echo $d read-only; done; busybox grep -c ' /opt .*nosuid.*noexec' /proc/mounts",
            &format!(
                "  volumes: [{{name: v, hostPath: {{path: {}}}}}]",
                shared.0.path().display()
            ),
            "    volumeMounts: [{name: v, mountPath: /flat, readOnly: true}, {name: v, mountPath: /deep, readOnly: true, recursiveReadOnly: Enabled}, {name: v, mountPath: /opt, bindMountOptions: [noexec, nosuid]}]",
        ),
    );
    assert_eq!(
        said,
        "/flat read-only\n/flat/below writable\n/deep read-only\n/deep/below read-only\n1\n"
    );
}

fn images_are_volumes() {
    let node = namespace("mnt-image");
    let said = output(
        &node,
        "mnt-image",
        "carries",
        &pod(
            "carries",
            "Never",
            "cat /image/etc/mark; echo; cat /mark; echo; ls /etc-of-it; touch /image/x || echo read only",
            &format!(
                "  volumes: [{{name: v, image: {{reference: {}, pullPolicy: IfNotPresent}}}}]",
                crate::busybox::IMAGE
            ),
            "    volumeMounts: [{name: v, mountPath: /image}, {name: v, mountPath: /mark, subPath: etc/mark}, {name: v, mountPath: /etc-of-it, subPath: etc}]",
        ),
    );
    assert!(
        said.starts_with("the usual one\nthe usual one\ngroup\nmark\npasswd\n")
            && said.contains("read only"),
        "{said}"
    );
    apply(
        &node,
        "mnt-image",
        &pod(
            "absent",
            "Never",
            "true",
            "  volumes: [{name: v, image: {reference: test.local/absent:1, pullPolicy: Never}}]",
            "    volumeMounts: [{name: v, mountPath: /v}]",
        ),
    );
    assert!(eventually(|| node
        .kubectl(&["-n", "mnt-image", "describe", "pod", "absent"])
        .stdout
        .contains("is not present with pull policy of Never")));
}

/// Mounts of this host below the node's directories.
fn mounted(node: &TestNode) -> Vec<String> {
    let roots = [node.data_dir(), node.run_dir()];
    let table = std::fs::read_to_string("/proc/self/mountinfo").expect("mountinfo");
    table
        .lines()
        .filter_map(|line| line.split(' ').nth(4))
        .filter(|point| roots.iter().any(|root| Path::new(point).starts_with(root)))
        .map(str::to_owned)
        .collect()
}

fn many_mounts(name: &str) -> String {
    pod(
        name,
        "Always",
        "sleep 3600",
        &format!(
            "  volumes:\n  - {{name: memory, emptyDir: {{medium: Memory}}}}\n  - {{name: disk, emptyDir: {{}}}}\n  - {{name: image, image: {{reference: {}, pullPolicy: IfNotPresent}}}}",
            crate::busybox::IMAGE
        ),
        "    volumeMounts: [{name: memory, mountPath: /memory}, {name: memory, mountPath: /part, subPath: part}, {name: disk, mountPath: /disk, subPath: a/b}, {name: image, mountPath: /image, subPath: etc}]",
    )
}

fn nothing_stays_mounted() {
    let mut node = TestNode::start();
    import_busybox(&node);
    let before = mounted(&node);
    node.apply(&many_mounts("plain"));
    node.wait_for("default", "pod/plain", "{.status.phase}", "Running");
    assert_eq!(
        mounted(&node).len(),
        before.len() + 1,
        "only the tmpfs is the host's"
    );
    node.kubectl(&["delete", "pod", "plain"]).must();
    assert_eq!(mounted(&node), before);
    // The node dies while the pod is made, and while it is taken away.
    for (round, point) in [
        "after PrepareVolumes",
        "after StartContainer",
        "before CleanUp",
        "after CleanUp",
    ]
    .into_iter()
    .enumerate()
    {
        let name = format!("cut-{round}");
        if point.ends_with("CleanUp") {
            node.apply(&many_mounts(&name));
            node.wait_for(
                "default",
                &format!("pod/{name}"),
                "{.status.phase}",
                "Running",
            );
            crash_at(&mut node, point, |node| {
                node.kubectl(&["delete", "pod", &name, "--wait=false"])
                    .must();
            });
        } else {
            crash_at(&mut node, point, |node| {
                node.apply(&many_mounts(&name));
            });
            node.wait_for(
                "default",
                &format!("pod/{name}"),
                "{.status.phase}",
                "Running",
            );
            wait_inside(
                &node,
                "default",
                &name,
                "ls /image",
                "group\nmark\npasswd\n",
            );
            node.kubectl(&["delete", "pod", &name]).must();
        }
        assert!(
            eventually(|| mounted(&node) == before),
            "{point}: {:?}\n{}",
            mounted(&node),
            crate::common::tail(&node.log(), 40)
        );
    }
    // Deleted while nobody looks: the next start clears up.
    node.apply(&many_mounts("orphan"));
    node.wait_for("default", "pod/orphan", "{.status.phase}", "Running");
    node.kubectl(&[
        "delete",
        "pod",
        "orphan",
        "--force",
        "--grace-period=0",
        "--wait=false",
    ])
    .must();
    node.kill_hard();
    node.up();
    assert!(
        eventually(|| mounted(&node) == before),
        "{:?}",
        mounted(&node)
    );
    node.reset().must();
}
