//! The board loses power and comes back: pods run again in new sandboxes, with what belongs to the disk and without
//! what belonged to memory.

use crate::busybox::IMAGE;
use crate::common::{TestNode, eventually};
use crate::lifecycle::script_pod;
use std::path::{Path, PathBuf};

pub const TESTS: &[(&str, fn())] = &[
    (
        "pods_come_back_after_a_reboot",
        pods_come_back_after_a_reboot,
    ),
    (
        "brings_back_probes_sidecars_volumes_and_tokens",
        brings_back_probes_sidecars_volumes_and_tokens,
    ),
];

fn pods_come_back_after_a_reboot() {
    let mut node = TestNode::start();
    crate::import_busybox(&node);
    node.apply(&script_pod("keeper", "Always", "sleep 3600"));
    node.apply(&script_pod("once", "Never", "sleep 3600"));
    for pod in ["pod/keeper", "pod/once"] {
        node.wait_for("default", pod, "{.status.phase}", "Running");
    }
    node.kill_hard();
    power_off(&node);
    node.up();
    node.wait_for(
        "default",
        "pod/keeper",
        "{.status.containerStatuses[0].restartCount}",
        "1",
    );
    node.wait_for("default", "pod/keeper", "{.status.phase}", "Running");
    node.wait_for("default", "pod/once", "{.status.phase}", "Failed");
    assert_eq!(
        node.value("default", "pod/keeper", "{.spec.containers[0].image}"),
        IMAGE
    );
    node.reset().must();
}

/// Everything a pod may hold: an init container, a sidecar with a startup probe, probes, volumes of disk and memory, a
/// claim, a ConfigMap, a token. Each run adds a line to `runs` on every volume it finds.
fn furnished() -> String {
    let note =
        |name: &str| format!("for d in /disk /memory /claim; do echo {name} >> $d/runs; done");
    format!(
        r"apiVersion: v1
kind: ConfigMap
metadata: {{name: chart}}
data: {{course: north}}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {{name: hold}}
spec: {{accessModes: [ReadWriteOnce], resources: {{requests: {{storage: 1Mi}}}}}}
---
apiVersion: v1
kind: Pod
metadata: {{name: furnished}}
spec:
  terminationGracePeriodSeconds: 1
  volumes:
  - {{name: disk, emptyDir: {{}}}}
  - {{name: memory, emptyDir: {{medium: Memory, sizeLimit: 1Mi}}}}
  - {{name: claim, persistentVolumeClaim: {{claimName: hold}}}}
  - {{name: chart, configMap: {{name: chart}}}}
  initContainers:
  - name: first
    image: {IMAGE}
    command: [sh, -c, '{first}']
    volumeMounts: &mounts
    - {{name: disk, mountPath: /disk}}
    - {{name: memory, mountPath: /memory}}
    - {{name: claim, mountPath: /claim}}
    - {{name: chart, mountPath: /chart}}
  - name: side
    image: {IMAGE}
    restartPolicy: Always
    command: [sh, -c, '{side}; touch /tmp/up; exec sleep 3600']
    startupProbe: {{exec: {{command: [test, -e, /tmp/up]}}, periodSeconds: 1, failureThreshold: 60}}
    volumeMounts: *mounts
  containers:
  - name: main
    image: {IMAGE}
    command: [sh, -c, '{main}; exec sleep 3600']
    readinessProbe: {{exec: {{command: [grep, -q, north, /chart/course]}}, periodSeconds: 1}}
    livenessProbe: {{exec: {{command: [test, -s, /var/run/secrets/kubernetes.io/serviceaccount/token]}}, periodSeconds: 1}}
    volumeMounts: *mounts
",
        first = note("first"),
        side = note("side"),
        main = note("main"),
    )
}

fn brings_back_probes_sidecars_volumes_and_tokens() {
    let mut node = TestNode::start();
    crate::import_busybox(&node);
    node.apply(&furnished());
    let ready = "{.status.conditions[?(@.type==\"Ready\")].status}";
    node.wait_for("default", "pod/furnished", ready, "True");
    let of = |node: &TestNode, path: &str| node.value("default", "pod/furnished", path);
    let ids =
        "{.status.initContainerStatuses[*].containerID} {.status.containerStatuses[*].containerID}";
    let before = (of(&node, "{.metadata.uid}"), of(&node, ids));
    let read = |node: &TestNode, file: &str| {
        let ran = node.kubectl(&["exec", "furnished", "-c", "main", "--", "cat", file]);
        ran.stdout.lines().collect::<Vec<_>>().join(" ")
    };
    for volume in ["disk", "memory", "claim"] {
        assert_eq!(read(&node, &format!("/{volume}/runs")), "first side main");
    }
    let token = "/var/run/secrets/kubernetes.io/serviceaccount/token";
    assert!(read(&node, token).starts_with("ey"));

    node.kill_hard();
    power_off(&node);
    node.up();

    // The init container ran anew, in a new sandbox; every container counts one more start.
    node.wait_for(
        "default",
        "pod/furnished",
        "{.status.initContainerStatuses[*].restartCount} {.status.containerStatuses[*].restartCount}",
        "1 1 1",
    );
    node.wait_for("default", "pod/furnished", ready, "True");
    assert_eq!(of(&node, "{.metadata.uid}"), before.0);
    let now = of(&node, ids);
    for id in before.1.split(' ') {
        assert!(!now.contains(id), "{id} is still there: {now}");
    }
    // Nobody saw how the runs before ended.
    assert_eq!(
        of(
            &node,
            "{.status.containerStatuses[0].lastState.terminated.exitCode} {.status.containerStatuses[0].lastState.terminated.reason}"
        ),
        "255 Unknown"
    );
    // The disk remembers, memory does not.
    for (volume, runs) in [
        ("disk", "first side main first side main"),
        ("claim", "first side main first side main"),
        ("memory", "first side main"),
    ] {
        assert_eq!(read(&node, &format!("/{volume}/runs")), runs, "{volume}");
    }
    assert_eq!(read(&node, "/chart/course"), "north");
    assert!(read(&node, token).starts_with("ey"));
    let mounted = std::fs::read_to_string("/proc/self/mountinfo").expect("mountinfo");
    let of_pod = mounted.lines().filter(|l| l.contains(&before.0)).count();
    assert_eq!(of_pod, 1, "one memory emptyDir is mounted: {mounted}");
    node.kubectl(&["delete", "pod", "furnished"]).must();
    node.reset().must();
}

/// What a reboot does, without one: every process of the node dies; tmpfs, mounts, cgroups and links are gone.
fn power_off(node: &TestNode) {
    assert!(
        !processes(node).is_empty(),
        "shims name their run directory on their command line"
    );
    assert!(eventually(|| {
        let alive = processes(node);
        for &pid in &alive {
            let pid = nix::unistd::Pid::from_raw(pid);
            let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL);
        }
        alive.is_empty()
    }));
    let mounted = std::fs::read_to_string("/proc/self/mountinfo").expect("mountinfo");
    let own = [node.run_dir(), node.data_dir()];
    let points = mounted.lines().filter_map(|line| line.split(' ').nth(4));
    for point in points.filter(|p| own.iter().any(|dir| Path::new(p).starts_with(dir))) {
        nix::mount::umount2(point, nix::mount::MntFlags::MNT_DETACH).expect("unmounted");
    }
    std::fs::remove_dir_all(node.run_dir()).expect("run directory");
    for root in cgroup_roots(node) {
        assert!(
            eventually(|| remove_cgroups(&root)),
            "{} stays",
            root.display()
        );
    }
    crate::common::run(std::process::Command::new("ip").args(["link", "delete", node.bridge()]))
        .must();
}

/// Shims, and whatever runs in the node's cgroups.
fn processes(node: &TestNode) -> Vec<i32> {
    let run_dir = node.run_dir().to_string_lossy().into_owned();
    let root = format!("/{}/", node.cgroup_root());
    let belongs = |pid: &str| {
        let read = |file: &str| std::fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
        String::from_utf8_lossy(&read("cmdline")).contains(&run_dir)
            || String::from_utf8_lossy(&read("cgroup")).contains(&root)
    };
    std::fs::read_dir("/proc")
        .expect("/proc")
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|pid| pid.bytes().all(|byte| byte.is_ascii_digit()) && belongs(pid))
        .filter_map(|pid| pid.parse().ok())
        .collect()
}

/// Of every hierarchy.
fn cgroup_roots(node: &TestNode) -> Vec<PathBuf> {
    let top = Path::new("/sys/fs/cgroup");
    let below = std::fs::read_dir(top).into_iter().flatten().flatten();
    below
        .map(|entry| entry.path())
        .chain([top.to_owned()])
        .map(|hierarchy| hierarchy.join(node.cgroup_root()))
        .filter(|root| root.is_dir())
        .collect()
}

fn remove_cgroups(at: &Path) -> bool {
    for entry in std::fs::read_dir(at).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_cgroups(&entry.path());
        }
    }
    // `cpu` and `cpuacct` may be two names of one hierarchy.
    std::fs::remove_dir(at).is_ok() || !at.exists()
}
