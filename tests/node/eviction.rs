//! Pods that go over their limits, nodes that run short, images nobody uses.

use crate::busybox::IMAGE;
use crate::common::{TestNode, eventually};
use crate::lifecycle::script_pod;

pub const TESTS: &[(&str, fn())] = &[
    (
        "limits_of_local_storage_are_kept",
        limits_of_local_storage_are_kept,
    ),
    (
        "a_node_short_of_memory_gives_up_pods_and_takes_none",
        a_node_short_of_memory_gives_up_pods_and_takes_none,
    ),
    (
        "a_node_short_of_disk_collects_then_gives_up_pods",
        a_node_short_of_disk_collects_then_gives_up_pods,
    ),
    (
        "unused_images_go_when_the_disk_is_full",
        unused_images_go_when_the_disk_is_full,
    ),
    (
        "reservations_and_thresholds_leave_allocatable",
        reservations_and_thresholds_leave_allocatable,
    ),
    (
        "settings_that_cannot_be_are_refused",
        settings_that_cannot_be_are_refused,
    ),
];

const REASON: &str = "{.status.phase} {.status.reason}";

fn limits_of_local_storage_are_kept() {
    // Its own node: evictions are counted.
    let mut node = TestNode::start();
    crate::import_busybox(&node);
    let pod = |name: &str, container: &str, volume: &str| {
        format!(
            "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}}}\nspec:\n  terminationGracePeriodSeconds: 1\n  volumes:\n  - name: scratch\n    emptyDir: {volume}\n  containers:\n  - name: main\n    image: {IMAGE}\n    volumeMounts: [{{name: scratch, mountPath: /scratch}}]\n    {container}\n"
        )
    };
    let write = |path: &str, mib: u32| {
        format!(
            "command: [sh, -c, 'dd if=/dev/zero of={path} bs=1M count={mib}; echo written; sleep 3600']"
        )
    };
    let limited = "resources: {limits: {ephemeral-storage: 2Mi}}";
    node.apply(&pod(
        "volume",
        &write("/scratch/big", 4),
        "{sizeLimit: 1Mi}",
    ));
    node.apply(&pod(
        "layer",
        &format!("{limited}\n    {}", write("/big", 5)),
        "{}",
    ));
    node.apply(&pod(
        "modest",
        &format!("{limited}\n    {}", write("/scratch/small", 1)),
        "{sizeLimit: 2Mi}",
    ));
    for (name, message) in [
        (
            "volume",
            "Usage of EmptyDir volume \"scratch\" exceeds the limit \"1Mi\". ",
        ),
        (
            "layer",
            "Pod ephemeral local storage usage exceeds the total limit of containers 2Mi. ",
        ),
    ] {
        let object = format!("pod/{name}");
        node.wait_for("default", &object, REASON, "Failed Evicted");
        assert_eq!(node.value("default", &object, "{.status.message}"), message);
        // The disk has its room back while the object still tells why.
        let uid = node.value("default", &object, "{.metadata.uid}");
        let volume = node.data_dir().join("pods").join(uid).join("volumes");
        assert!(eventually(|| !volume.join("scratch").exists()), "{name}");
        let events = node.kubectl(&["get", "events", "-o", "json"]);
        assert!(events.stdout.contains("\"Evicted\""), "{}", events.stdout);
    }
    let modest = node.value("default", "pod/modest", "{.status.phase}");
    assert_eq!(modest, "Running");
    // The pod has its reason in its status; the table shows the containers' own, as upstream's printer.
    for (name, row) in [
        ("volume", ["volume", "0/1", "Error", "0"]),
        ("layer", ["layer", "0/1", "Error", "0"]),
    ] {
        let line = node
            .kubectl(&["get", "pod", name, "--no-headers"])
            .must()
            .stdout;
        let cells: Vec<&str> = line.split_whitespace().take(4).collect();
        assert_eq!(cells, row);
    }
    let path = format!("/api/v1/nodes/{}/proxy/metrics", node.name);
    let metrics = node.kubectl(&["get", "--raw", &path]).must().stdout;
    let mut evictions: Vec<&str> = metrics
        .lines()
        .filter(|line| line.starts_with("kubelet_evictions{"))
        .collect();
    evictions.sort_unstable();
    assert_eq!(
        evictions,
        [
            "kubelet_evictions{eviction_signal=\"emptydirfs.limit\"} 1",
            "kubelet_evictions{eviction_signal=\"ephemeralpodfs.limit\"} 1",
        ]
    );
    node.reset().must();
}

fn a_node_short_of_memory_gives_up_pods_and_takes_none() {
    let mut node = TestNode::start();
    crate::import_busybox(&node);
    let burstable = script_pod("burstable", "Always", "sleep 3600").replace(
        "    command:",
        "    resources: {requests: {memory: 1Ki}}\n    command:",
    );
    let vital = script_pod("vital", "Always", "sleep 3600").replace(
        "spec:\n",
        "spec:\n  priorityClassName: system-node-critical\n",
    );
    node.apply(&burstable);
    node.apply(&vital);
    for pod in ["pod/burstable", "pod/vital"] {
        node.wait_for("default", pod, "{.status.phase}", "Running");
    }
    let toleration =
        "{.spec.tolerations[?(@.key==\"node.kubernetes.io/memory-pressure\")].operator}";
    assert_eq!(node.value("default", "pod/burstable", toleration), "Exists");

    node.stop();
    node.options = vec!["--eviction-hard=memory.available<99.9%".to_owned()];
    node.up();
    node.wait_for("default", "pod/burstable", REASON, "Failed Evicted");
    let message = node.value("default", "pod/burstable", "{.status.message}");
    for part in [
        "The node was low on resource: memory. Threshold quantity: ",
        ", available: ",
        "Container main was using ",
        ", request is 1Ki, has larger consumption of memory. ",
    ] {
        assert!(message.contains(part), "{message:?} lacks {part:?}");
    }
    let condition = "{.status.conditions[?(@.type==\"DisruptionTarget\")].reason}";
    assert_eq!(
        node.value("default", "pod/burstable", condition),
        "TerminationByKubelet"
    );
    let object = format!("node/{}", node.name);
    let pressure = "{.status.conditions[?(@.type==\"MemoryPressure\")].status}";
    node.wait_for("default", &object, pressure, "True");
    let taints = "{.spec.taints[*].key}";
    node.wait_for(
        "default",
        &object,
        taints,
        "node.kubernetes.io/memory-pressure",
    );
    // The scheduler keeps a BestEffort pod away; one that is bound all the same is refused at the door.
    node.apply(&script_pod("later", "Always", "sleep 3600"));
    let why = "{.status.conditions[?(@.type==\"PodScheduled\")].message}";
    let kept_away = eventually(|| {
        node.value("default", "pod/later", why)
            .contains("node(s) had untolerated taint {node.kubernetes.io/memory-pressure: }")
    });
    assert!(
        kept_away,
        "{}",
        node.value("default", "pod/later", "{.status}")
    );
    let bound = script_pod("bound", "Always", "sleep 3600")
        .replace("spec:\n", &format!("spec:\n  nodeName: {}\n", node.name));
    node.apply(&bound);
    node.wait_for("default", "pod/bound", REASON, "Failed Evicted");
    assert_eq!(
        node.value("default", "pod/bound", "{.status.message}"),
        "Pod was rejected: The node had condition: [MemoryPressure]. "
    );
    // No container of it ever was: only here the table says so.
    let line = node
        .kubectl(&["get", "pod", "bound", "--no-headers"])
        .must()
        .stdout;
    let cells: Vec<&str> = line.split_whitespace().take(4).collect();
    assert_eq!(cells, ["bound", "0/1", "Evicted", "0"]);
    assert_eq!(
        node.value("default", "pod/vital", "{.status.phase}"),
        "Running"
    );

    node.stop();
    node.options.clear();
    node.up();
    node.wait_for("default", &object, pressure, "False");
    node.wait_for("default", &object, taints, "");
    node.wait_for("default", "pod/later", "{.status.phase}", "Running");
}

fn a_node_short_of_disk_collects_then_gives_up_pods() {
    let mut node = TestNode::start();
    crate::import_busybox(&node);
    node.apply(&script_pod(
        "writer",
        "Always",
        "dd if=/dev/zero of=/big bs=1M count=2; sleep 3600",
    ));
    node.apply(&script_pod("idle", "Always", "sleep 3600"));
    for pod in ["pod/writer", "pod/idle"] {
        node.wait_for("default", pod, "{.status.phase}", "Running");
    }
    node.stop();
    node.options = vec![
        "--eviction-hard=nodefs.available<99.9%".to_owned(),
        "--eviction-pressure-transition-period=1s".to_owned(),
    ];
    node.up();
    for pod in ["pod/writer", "pod/idle"] {
        node.wait_for("default", pod, REASON, "Failed Evicted");
    }
    // One at a time, the largest first.
    let when = "{.status.conditions[?(@.type==\"DisruptionTarget\")].lastTransitionTime}";
    let first = node.value("default", "pod/writer", when);
    let second = node.value("default", "pod/idle", when);
    assert!(first <= second, "{first} {second}");
    let message = node.value("default", "pod/writer", "{.status.message}");
    assert!(
        message
            .starts_with("The node was low on resource: ephemeral-storage. Threshold quantity: ")
            && message.contains("has larger consumption of ephemeral-storage. "),
        "{message}"
    );
    let object = format!("node/{}", node.name);
    let pressure = "{.status.conditions[?(@.type==\"DiskPressure\")].status}";
    node.wait_for("default", &object, pressure, "True");
    let told = eventually(|| {
        let events = node.kubectl(&["get", "events", "-o", "json"]).stdout;
        events.contains("EvictionThresholdMet")
            && events.contains("Attempting to reclaim ephemeral-storage")
    });
    assert!(told);
}

fn unused_images_go_when_the_disk_is_full() {
    let mut node = TestNode::start();
    crate::import_busybox(&node);
    // After a restart the API answers a moment before the kubelet does.
    let listed = |node: &TestNode| {
        let mut images = None;
        eventually(|| {
            let ran = node.coracle(&["image", "ls"]);
            images = ran.ok.then_some(ran.stdout);
            images.is_some()
        });
        images.expect("the node lists its images")
    };
    assert!(listed(&node).contains("busybox"), "{}", listed(&node));
    node.apply(&script_pod("user", "Always", "sleep 3600"));
    node.wait_for("default", "pod/user", "{.status.phase}", "Running");
    node.stop();
    node.options = [
        "--image-gc-high-threshold=1",
        "--image-gc-low-threshold=0",
        "--minimum-image-ttl-duration=0s",
    ]
    .map(str::to_owned)
    .to_vec();
    // In use, it stays, and the node says that there was nothing to gain.
    node.up();
    let round_is_over = || {
        node.kubectl(&["get", "events", "-o", "json"])
            .stdout
            .contains("FreeDiskSpaceFailed")
    };
    assert!(eventually(round_is_over), "{}", node.log());
    assert!(listed(&node).contains("busybox"), "{}", listed(&node));
    node.kubectl(&["delete", "pod", "user", "--now"]).must();
    node.stop();
    node.up();
    let gone = eventually(|| !listed(&node).contains("busybox"));
    assert!(gone, "{}", listed(&node));
    // The built-in one is not collected.
    assert!(listed(&node).contains("hello"), "{}", listed(&node));
    let reported = "{.status.images[*].names}";
    let object = format!("node/{}", node.name);
    let reported_gone =
        eventually(|| !node.value("default", &object, reported).contains("busybox"));
    assert!(reported_gone);
}

fn reservations_and_thresholds_leave_allocatable() {
    let mut node = TestNode::prepare();
    node.options = [
        "--eviction-hard=memory.available<100Mi,nodefs.available<1%",
        "--system-reserved=cpu=100m,memory=50Mi",
        "--kube-reserved=cpu=150m,ephemeral-storage=1Gi",
    ]
    .map(str::to_owned)
    .to_vec();
    node.up();
    let object = format!("node/{}", node.name);
    let number = |path: &str| -> i64 {
        let text = node.value("default", &object, path);
        let digits = text.trim_end_matches("Ki");
        digits
            .parse()
            .unwrap_or_else(|_| panic!("{path}: {text:?}"))
    };
    let memory = number("{.status.capacity.memory}") - number("{.status.allocatable.memory}");
    assert_eq!(memory, 150 * 1024);
    let disk = number("{.status.capacity.ephemeral-storage}");
    let left = number("{.status.allocatable.ephemeral-storage}");
    assert_eq!(disk - left, disk / 100 + (1 << 30));
    let cpu = node.value("default", &object, "{.status.allocatable.cpu}");
    assert!(cpu.ends_with("750m"), "{cpu}");
}

fn settings_that_cannot_be_are_refused() {
    for (argument, why) in [
        (
            "--eviction-hard=memory<1",
            "unknown eviction signal \"memory\"",
        ),
        ("--kube-reserved=disk=1Gi", "cannot reserve \"disk\""),
        ("--image-gc-high-threshold=3", "must be below"),
        ("--minimum-image-ttl-duration=2", "is no duration"),
    ] {
        let mut node = TestNode::prepare();
        node.options = vec![argument.to_owned()];
        crate::common::run(&mut node.up_command()).must_fail_with(why);
    }
}
