//! What pods may use: the cgroup files of each level, a fork bomb, and resources that change while a pod runs.

use crate::busybox::IMAGE;
use crate::common::{TestNode, eventually, tail};
use crate::namespace;
use std::fs;
use std::path::Path;

pub const TESTS: &[(&str, fn())] = &[
    (
        "pods_and_classes_have_cgroups_with_limits",
        pods_and_classes_have_cgroups_with_limits,
    ),
    ("a_fork_bomb_stays_in_its_pod", a_fork_bomb_stays_in_its_pod),
    (
        "resources_change_while_a_container_runs",
        resources_change_while_a_container_runs,
    ),
    (
        "a_change_waits_for_room_and_outlives_the_node_process",
        a_change_waits_for_room_and_outlives_the_node_process,
    ),
    (
        "an_editor_changes_resources_and_used_memory_is_not_taken",
        an_editor_changes_resources_and_used_memory_is_not_taken,
    ),
    (
        "an_oom_killed_child_is_no_end",
        an_oom_killed_child_is_no_end,
    ),
];

/// A pod of containers with these resources, each sleeping; `more` is lines of the pod's spec.
fn pod(name: &str, containers: &[&str], more: &str) -> String {
    let list: String = containers
        .iter()
        .enumerate()
        .map(|(at, more)| {
            format!(
                "  - name: c{at}\n    image: {IMAGE}\n    command: [sh, -c, 'exec sleep 3600']\n    {more}\n"
            )
        })
        .collect();
    format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}}}\nspec:\n  terminationGracePeriodSeconds: 0\n{more}  containers:\n{list}"
    )
}

/// A file of a cgroup below the node's root, with the name of either version: v1's controller and file, v2's file.
fn file(node: &TestNode, below: &str, v1: (&str, &str), v2: &str) -> String {
    let root = Path::new("/sys/fs/cgroup");
    let path = if root.join("cgroup.controllers").exists() {
        root.join(node.cgroup_root()).join(below).join(v2)
    } else {
        let (controller, name) = v1;
        let root = root.join(controller).join(node.cgroup_root());
        root.join(below).join(name)
    };
    let text = fs::read_to_string(&path).unwrap_or_else(|e| format!("{}: {e}", path.display()));
    text.trim().to_owned()
}

fn unified() -> bool {
    Path::new("/sys/fs/cgroup/cgroup.controllers").exists()
}

fn shares(node: &TestNode, below: &str) -> String {
    file(node, below, ("cpu", "cpu.shares"), "cpu.weight")
}

fn memory(node: &TestNode, below: &str) -> String {
    file(
        node,
        below,
        ("memory", "memory.limit_in_bytes"),
        "memory.max",
    )
}

fn quota(node: &TestNode, below: &str) -> String {
    file(node, below, ("cpu", "cpu.cfs_quota_us"), "cpu.max")
}

fn running(node: &TestNode, space: &str, name: &str, manifest: &str) -> String {
    node.kubectl_input(&["-n", space, "apply", "-f", "-"], manifest)
        .must();
    node.wait_for(space, &format!("pod/{name}"), "{.status.phase}", "Running");
    node.value(space, &format!("pod/{name}"), "{.metadata.uid}")
}

#[track_caller]
fn becomes(node: &TestNode, expected: &str, mut value: impl FnMut() -> String) {
    let mut last = String::new();
    let reached = eventually(|| {
        last = value();
        last == expected
    });
    assert!(
        reached,
        "wanted {expected:?}, last saw {last:?}\n{}",
        tail(&node.log(), 40)
    );
}

fn pods_and_classes_have_cgroups_with_limits() {
    let mut node = TestNode::start();
    crate::import_busybox(&node);
    let guaranteed = "resources: {limits: {cpu: 200m, memory: 64Mi}}";
    let half = "resources: {requests: {cpu: 100m}, limits: {memory: 32Mi}}";
    let one = running(
        &node,
        "default",
        "one",
        &pod("one", &[guaranteed, guaranteed], ""),
    );
    let two = running(
        &node,
        "default",
        "two",
        &pod("two", &[guaranteed, half], ""),
    );
    let three = running(&node, "default", "three", &pod("three", &[""], ""));
    let own = "  resources: {requests: {cpu: 300m}, limits: {cpu: 500m, memory: 48Mi}}\n";
    let four = running(&node, "default", "four", &pod("four", &["", ""], own));
    if !unified() {
        let at = format!("pod{one}");
        assert_eq!(
            (shares(&node, &at), quota(&node, &at), memory(&node, &at)),
            ("409".into(), "40000".into(), (128 << 20).to_string())
        );
        let at = format!("burstable/pod{two}");
        assert_eq!(
            (shares(&node, &at), quota(&node, &at), memory(&node, &at)),
            ("307".into(), "-1".into(), (96 << 20).to_string())
        );
        let at = format!("burstable/pod{four}");
        assert_eq!(
            (shares(&node, &at), quota(&node, &at), memory(&node, &at)),
            ("307".into(), "50000".into(), (48 << 20).to_string())
        );
        assert_eq!(shares(&node, &format!("besteffort/pod{three}")), "2");
        assert_eq!(shares(&node, "besteffort"), "2");
        // 200m + 100m + 300m.
        becomes(&node, "614", || shares(&node, "burstable"));
        node.kubectl(&["delete", "pod", "four"]).must();
        becomes(&node, "307", || shares(&node, "burstable"));
    }
    let pids = file(
        &node,
        &format!("pod{one}"),
        ("pids", "pids.max"),
        "pids.max",
    );
    assert!(pids == "4096" || pids == "1024", "{pids}");
    let score = |name: &str| {
        let ran = node.kubectl(&[
            "exec",
            name,
            "-c",
            "c0",
            "--",
            "cat",
            "/proc/1/oom_score_adj",
        ]);
        ran.must().stdout.trim().to_owned()
    };
    assert_eq!(score("three"), "1000");
    let burstable: i32 = score("two").parse().expect("a number");
    assert!((3..1000).contains(&burstable), "{burstable}");
    for (text, said) in [
        (
            pod(
                "bad",
                &["resources: {limits: {cpu: 2}}"],
                "  resources: {limits: {cpu: 1}}\n",
            ),
            "must be less than or equal to pod limits of 1",
        ),
        (
            pod("bad", &["resources: {requests: {example.com/gpu: 1}}"], ""),
            "Limit must be set for non overcommitable resources",
        ),
        (
            pod("bad", &["resources: {limits: {hugepages-2Mi: 2Mi}}"], ""),
            "HugePages require cpu or memory",
        ),
    ] {
        node.kubectl_input(&["apply", "-f", "-"], &text)
            .must_fail_with(said);
    }
    node.stop();
}

fn a_fork_bomb_stays_in_its_pod() {
    let mut node = TestNode::prepare();
    node.options = vec![
        "--pod-max-pids=64".to_owned(),
        "--system-reserved=memory=100Mi,cpu=100m,pid=500".to_owned(),
        "--eviction-hard=memory.available<1Mi".to_owned(),
    ];
    node.up();
    crate::import_busybox(&node);
    let uid = running(&node, "default", "bomb", &pod("bomb", &[""], ""));
    let below = format!("besteffort/pod{uid}");
    let pids = |name: &str| file(&node, &below, ("pids", name), name);
    assert_eq!(pids("pids.max"), "64");
    // Every process starts two more. It ends when the kernel gives no more.
    node.kubectl(&["exec", "bomb", "--", "sh", "-c", "b() { b | b & b; }; b"]);
    // The kernel counts it where the limit is, or with v1 where the fork was tried.
    let id = node.value(
        "default",
        "pod/bomb",
        "{.status.containerStatuses[0].containerID}",
    );
    let inner = format!("{below}/{}", id.trim_start_matches("coracle://"));
    let refused = || {
        [&below, &inner].iter().any(|at| {
            let text = file(&node, at, ("pids", "pids.events"), "pids.events");
            text.starts_with("max ") && text != "max 0"
        })
    };
    assert!(eventually(refused), "no fork was refused");
    let count: u64 = pids("pids.current").parse().expect("a number");
    assert!(count <= 64, "{count}");
    // The node goes on, and the pod can go.
    running(&node, "default", "beside", &pod("beside", &[""], ""));
    node.kubectl(&["delete", "pod", "bomb", "--timeout=60s"])
        .must();
    let total = fs::read_to_string("/proc/meminfo").expect("meminfo");
    let total: u64 = total
        .lines()
        .find_map(|l| l.strip_prefix("MemTotal:"))
        .and_then(|l| l.trim().strip_suffix(" kB")?.parse().ok())
        .expect("MemTotal");
    let all: u64 = memory(&node, "").parse().expect("a limit of all pods");
    let wanted = total * 1024 - (100 << 20);
    assert!(wanted - all < 65_536, "{all} is not {wanted}");
    let below = file(&node, "", ("pids", "pids.max"), "pids.max");
    assert!(below.parse::<u64>().is_ok(), "{below}");
    node.stop();
}

const RESTARTS: &str = "{.status.containerStatuses[0].restartCount}";

fn patch(node: &TestNode, space: &str, name: &str, resources: &str) -> crate::common::Ran {
    let patch =
        format!(r#"{{"spec": {{"containers": [{{"name": "c0", "resources": {resources}}}]}}}}"#);
    node.kubectl(&[
        "-n",
        space,
        "patch",
        "pod",
        name,
        "--subresource",
        "resize",
        "-p",
        &patch,
    ])
}

fn resources_change_while_a_container_runs() {
    let node = namespace("resize");
    let first = "resources: {requests: {cpu: 100m, memory: 32Mi}, limits: {cpu: 200m, memory: 64Mi}}\n    resizePolicy: [{resourceName: memory, restartPolicy: RestartContainer}]";
    let uid = running(&node, "resize", "one", &pod("one", &[first], ""));
    let id = node.value(
        "resize",
        "pod/one",
        "{.status.containerStatuses[0].containerID}",
    );
    let id = id.trim_start_matches("coracle://").to_owned();
    let below = format!("burstable/pod{uid}");
    let at = format!("{below}/{id}");
    patch(
        &node,
        "resize",
        "one",
        r#"{"requests": {"cpu": "150m"}, "limits": {"cpu": "400m"}}"#,
    )
    .must();
    let quota_of = |milli: u32| {
        if unified() {
            format!("{} 100000", milli * 100)
        } else {
            (milli * 100).to_string()
        }
    };
    becomes(&node, &quota_of(400), || quota(&node, &at));
    becomes(&node, &quota_of(400), || quota(&node, &below));
    node.wait_for(
        "resize",
        "pod/one",
        "{.status.containerStatuses[0].resources.limits.cpu}",
        "400m",
    );
    assert_eq!(
        node.value(
            "resize",
            "pod/one",
            "{.status.containerStatuses[0].allocatedResources.cpu}"
        ),
        "150m"
    );
    assert_eq!(node.value("resize", "pod/one", RESTARTS), "0");
    assert_eq!(
        node.value("resize", "pod/one", "{.metadata.generation}"),
        "2"
    );
    node.wait_for("resize", "pod/one", "{.status.observedGeneration}", "2");
    // Memory of this one changes with a restart.
    patch(&node, "resize", "one", r#"{"limits": {"memory": "96Mi"}}"#).must();
    node.wait_for("resize", "pod/one", RESTARTS, "1");
    node.wait_for(
        "resize",
        "pod/one",
        "{.status.containerStatuses[0].resources.limits.memory}",
        "96Mi",
    );
    becomes(&node, &(96 << 20).to_string(), || memory(&node, &below));
    becomes(&node, "", || {
        node.value(
            "resize",
            "pod/one",
            "{.status.conditions[?(@.type==\"PodResizeInProgress\")].status}",
        )
    });
    for (resources, said) in [
        (
            r#"{"limits": {"cpu": null}}"#,
            "resource limits cannot be removed",
        ),
        (
            r#"{"requests": {"cpu": "400m", "memory": "96Mi"}}"#,
            "Pod QOS Class may not change",
        ),
        (
            r#"{"limits": {"ephemeral-storage": "1Gi"}}"#,
            "only cpu and memory resources are mutable",
        ),
    ] {
        patch(&node, "resize", "one", resources).must_fail_with(said);
    }
}

fn a_change_waits_for_room_and_outlives_the_node_process() {
    let mut node = TestNode::start();
    crate::import_busybox(&node);
    let cpus = std::thread::available_parallelism()
        .expect("processors")
        .get();
    let small = "resources: {requests: {cpu: 100m}}";
    let large = format!("resources: {{requests: {{cpu: {}m}}}}", cpus * 1000 - 400);
    let uid = running(&node, "default", "small", &pod("small", &[small], ""));
    running(&node, "default", "large", &pod("large", &[&large], ""));
    let pending = "{.status.conditions[?(@.type==\"PodResizePending\")].reason}";
    patch(&node, "default", "small", r#"{"requests": {"cpu": "500"}}"#).must();
    node.wait_for("default", "pod/small", pending, "Infeasible");
    patch(
        &node,
        "default",
        "small",
        r#"{"requests": {"cpu": "800m"}}"#,
    )
    .must();
    node.wait_for("default", "pod/small", pending, "Deferred");
    let granted = "{.status.containerStatuses[0].allocatedResources.cpu}";
    assert_eq!(node.value("default", "pod/small", granted), "100m");
    node.kill_hard();
    node.up();
    node.wait_for("default", "pod/small", pending, "Deferred");
    assert_eq!(node.value("default", "pod/small", granted), "100m");
    node.kubectl(&["delete", "pod", "large"]).must();
    node.wait_for("default", "pod/small", granted, "800m");
    if !unified() {
        becomes(&node, "819", || {
            shares(&node, &format!("burstable/pod{uid}"))
        });
        becomes(&node, "819", || shares(&node, "burstable"));
    }
    assert_eq!(node.value("default", "pod/small", RESTARTS), "0");
    assert_eq!(node.value("default", "pod/small", pending), "");
    node.stop();
}

fn an_editor_changes_resources_and_used_memory_is_not_taken() {
    let space = "resize-edit";
    let node = namespace(space);
    let first =
        "resources: {requests: {cpu: 100m, memory: 16Mi}, limits: {cpu: 200m, memory: 64Mi}}";
    let uid = running(&node, space, "one", &pod("one", &[first], ""));
    let edit = |script: &str| {
        crate::common::run(
            node.kubectl_command()
                .env("KUBE_EDITOR", format!("sed -i '{script}'"))
                .env("TMPDIR", node.run_dir())
                .args(["-n", space, "edit", "pod", "one", "--subresource", "resize"]),
        )
    };
    let status = |path: &str| format!("{{.status.containerStatuses[0].{path}}}");
    edit("s/cpu: 200m/cpu: 300m/").must_say("pod/one edited");
    node.wait_for(space, "pod/one", &status("resources.limits.cpu"), "300m");
    // An editor that leaves everything as it is changes nothing; a wrong amount goes back to the editor.
    let unchanged = edit("s/a/a/").must();
    assert!(
        unchanged
            .stderr
            .contains("Edit cancelled, no changes made.")
    );
    edit("s/cpu: 300m/cpu: lots/").must_fail_with("pods \"one\" is invalid");
    assert_eq!(node.value(space, "pod/one", RESTARTS), "0");

    // Memory in use, held by a file in memory.
    let exec = |script: &str| {
        node.kubectl(&["-n", space, "exec", "one", "--", "sh", "-c", script])
            .must()
    };
    exec("head -c 40000000 /dev/zero > /dev/shm/held");
    patch(&node, space, "one", r#"{"limits": {"memory": "24Mi"}}"#).must();
    let condition =
        |field: &str| format!("{{.status.conditions[?(@.type==\"PodResizeInProgress\")].{field}}}");
    node.wait_for(space, "pod/one", &condition("reason"), "Error");
    let message = node.value(space, "pod/one", &condition("message"));
    assert!(
        message.starts_with(
            "attempting to set container \"c0\" memory limit (25165824) below current usage ("
        ),
        "{message}"
    );
    let below = format!("burstable/pod{uid}");
    assert_eq!(memory(&node, &below), (64 << 20).to_string());
    let limit = status("resources.limits.memory");
    assert_eq!(node.value(space, "pod/one", &limit), "64Mi");
    assert_eq!(node.value(space, "pod/one", RESTARTS), "0");
    // Given back, it can be taken.
    exec("rm /dev/shm/held");
    node.wait_for(space, "pod/one", &limit, "24Mi");
    becomes(&node, &(24 << 20).to_string(), || memory(&node, &below));
    node.wait_for(space, "pod/one", &condition("status"), "");
    assert_eq!(node.value(space, "pod/one", RESTARTS), "0");
}

fn an_oom_killed_child_is_no_end() {
    if unified() {
        // There the container ends as a whole.
        return;
    }
    let node = namespace("oom-child");
    let script = "sh -c 'busybox tail /dev/zero'; echo it said $?; exit 0";
    let manifest = format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: parent}}\nspec:\n  restartPolicy: Never\n  containers:\n  - name: c0\n    image: {IMAGE}\n    resources: {{limits: {{memory: 16Mi}}}}\n    command: [sh, -c, {}]\n",
        serde_json::Value::from(script)
    );
    node.kubectl_input(&["-n", "oom-child", "apply", "-f", "-"], &manifest)
        .must();
    node.wait_for("oom-child", "pod/parent", "{.status.phase}", "Succeeded");
    assert_eq!(
        node.value(
            "oom-child",
            "pod/parent",
            "{.status.containerStatuses[0].state.terminated.reason}"
        ),
        "Completed"
    );
    node.kubectl(&["-n", "oom-child", "logs", "parent"])
        .must_say("it said 137");
}
