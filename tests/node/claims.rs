//! Persistent volumes: claims bound to volumes that are there, volumes made for claims, and what becomes of both.

use crate::common::eventually;
use crate::volumes::{apply, output, pod};
use crate::{namespace, shared};

pub const TESTS: &[(&str, fn())] = &[
    (
        "the_default_class_makes_a_volume",
        the_default_class_makes_a_volume,
    ),
    (
        "a_claim_is_bound_to_a_volume_that_fits",
        a_claim_is_bound_to_a_volume_that_fits,
    ),
    ("a_pod_waits_for_its_claim", a_pod_waits_for_its_claim),
    ("one_pod_at_a_time", one_pod_at_a_time),
    (
        "an_ephemeral_volume_goes_with_its_pod",
        an_ephemeral_volume_goes_with_its_pod,
    ),
    (
        "what_cannot_be_stored_is_refused",
        what_cannot_be_stored_is_refused,
    ),
];

fn claim(name: &str, spec: &str) -> String {
    format!(
        "apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {{name: {name}}}\nspec: {{resources: {{requests: {{storage: 64Mi}}}}, {spec}}}\n"
    )
}

fn user(name: &str, restart: &str, script: &str, claim: &str) -> String {
    pod(
        name,
        restart,
        script,
        &format!("  volumes: [{{name: v, persistentVolumeClaim: {{claimName: {claim}}}}}]"),
        "    volumeMounts: [{name: v, mountPath: /v}]",
    )
}

fn the_default_class_makes_a_volume() {
    let node = namespace("pvc-default");
    node.kubectl(&["get", "storageclass"])
        .must_say("local-path (default)")
        .must_say("WaitForFirstConsumer");
    apply(
        &node,
        "pvc-default",
        &claim("data", "accessModes: [ReadWriteOnce]"),
    );
    node.wait_for(
        "pvc-default",
        "pvc/data",
        "{.spec.storageClassName}",
        "local-path",
    );
    assert!(eventually(|| node
        .kubectl(&["-n", "pvc-default", "describe", "pvc", "data"])
        .stdout
        .contains("waiting for first consumer")));
    output(
        &node,
        "pvc-default",
        "writes",
        &user("writes", "Never", "echo kept > /v/f", "data"),
    );
    node.wait_for("pvc-default", "pvc/data", "{.status.phase}", "Bound");
    node.kubectl(&["-n", "pvc-default", "get", "pvc"])
        .must_say("64Mi")
        .must_say("RWO");
    let volume = node.value("pvc-default", "pvc/data", "{.spec.volumeName}");
    let path = node.value(
        "pvc-default",
        &format!("pv/{volume}"),
        "{.spec.hostPath.path}",
    );
    assert!(
        path.starts_with(&*node.data_dir().join("storage").to_string_lossy()),
        "{path}"
    );
    node.kubectl(&["get", "pv", &volume])
        .must_say("pvc-default/data")
        .must_say("Bound");
    node.kubectl(&["-n", "pvc-default", "delete", "pod", "writes"])
        .must();
    let said = output(
        &node,
        "pvc-default",
        "reads",
        &user("reads", "Always", "cat /v/f; sleep 3600", "data")
            .replace("Always", "Never")
            .replace("; sleep 3600", ""),
    );
    assert_eq!(said, "kept\n");
    // A claim that a pod uses stays until the pod is gone; then its volume goes, and what was in it.
    apply(
        &node,
        "pvc-default",
        &user("holds", "Always", "sleep 3600", "data"),
    );
    node.wait_for("pvc-default", "pod/holds", "{.status.phase}", "Running");
    node.kubectl(&["-n", "pvc-default", "delete", "pvc", "data", "--wait=false"])
        .must();
    node.kubectl(&["-n", "pvc-default", "get", "pvc", "data"])
        .must_say("Terminating");
    node.kubectl(&["-n", "pvc-default", "delete", "pod", "holds"])
        .must();
    assert!(eventually(|| !node
        .kubectl(&["-n", "pvc-default", "get", "pvc", "data"])
        .ok));
    assert!(eventually(|| !node.kubectl(&["get", "pv", &volume]).ok));
    assert!(!std::path::Path::new(&path).exists());
}

fn a_claim_is_bound_to_a_volume_that_fits() {
    let node = namespace("pvc-static");
    let directory = tempfile::tempdir().expect("temporary directory");
    let root = directory.path().display();
    for (name, size, more) in [
        ("static-small", "1Mi", String::new()),
        ("static-fits", "1Gi", String::new()),
        ("static-large", "2Gi", String::new()),
    ] {
        apply(
            &node,
            "pvc-static",
            &format!(
                "apiVersion: v1\nkind: PersistentVolume\nmetadata: {{name: {name}}}\nspec: {{capacity: {{storage: {size}}}, accessModes: [ReadWriteOnce, ReadOnlyMany], storageClassName: by-hand, hostPath: {{path: {root}/{name}, type: DirectoryOrCreate}}{more}}}\n"
            ),
        );
    }
    apply(
        &node,
        "pvc-static",
        &claim(
            "data",
            "accessModes: [ReadWriteOnce], storageClassName: by-hand",
        ),
    );
    node.wait_for(
        "pvc-static",
        "pvc/data",
        "{.status.phase}/{.spec.volumeName}/{.status.capacity.storage}",
        "Bound/static-fits/1Gi",
    );
    node.wait_for(
        "pvc-static",
        "pv/static-large",
        "{.status.phase}",
        "Available",
    );
    output(
        &node,
        "pvc-static",
        "writes",
        &user("writes", "Never", "echo there > /v/f", "data"),
    );
    assert_eq!(
        std::fs::read_to_string(directory.path().join("static-fits/f")).unwrap_or_default(),
        "there\n"
    );
    node.kubectl(&["-n", "pvc-static", "delete", "pod", "writes"])
        .must();
    node.kubectl(&["-n", "pvc-static", "delete", "pvc", "data"])
        .must();
    node.wait_for(
        "pvc-static",
        "pv/static-fits",
        "{.status.phase}",
        "Released",
    );
    assert!(
        directory.path().join("static-fits/f").exists(),
        "Retain keeps what is in it"
    );
    // `local`, with the node it is on, for the first who asks.
    apply(
        &node,
        "pvc-static",
        &format!(
            "apiVersion: storage.k8s.io/v1\nkind: StorageClass\nmetadata: {{name: disks}}\nprovisioner: kubernetes.io/no-provisioner\nvolumeBindingMode: WaitForFirstConsumer\n---\n\
             apiVersion: v1\nkind: PersistentVolume\nmetadata: {{name: static-local}}\nspec: {{capacity: {{storage: 1Gi}}, accessModes: [ReadWriteOnce], storageClassName: disks, local: {{path: {root}/static-fits}},\n\
             \x20 nodeAffinity: {{required: {{nodeSelectorTerms: [{{matchExpressions: [{{key: kubernetes.io/hostname, operator: In, values: [{}]}}]}}]}}}}}}\n---\n{}",
            node.name,
            claim(
                "disk",
                "accessModes: [ReadWriteOnce], storageClassName: disks"
            )
        ),
    );
    let said = output(
        &node,
        "pvc-static",
        "reads",
        &user("reads", "Never", "cat /v/f", "disk"),
    );
    assert_eq!(said, "there\n");
    node.kubectl(&["-n", "pvc-static", "delete", "pod,pvc", "--all"])
        .must();
    for name in [
        "static-small",
        "static-fits",
        "static-large",
        "static-local",
    ] {
        node.kubectl(&["delete", "pv", name]).must();
    }
    node.kubectl(&["delete", "storageclass", "disks"]).must();
}

fn a_pod_waits_for_its_claim() {
    let node = namespace("pvc-waits");
    apply(
        &node,
        "pvc-waits",
        &user("early", "Never", "echo came", "later"),
    );
    let condition = "{.status.conditions[?(@.type==\"PodScheduled\")].message}";
    node.wait_for(
        "pvc-waits",
        "pod/early",
        condition,
        "0/1 nodes are available: persistentvolumeclaim \"later\" not found. preemption: 0/1 nodes are available: 1 Preemption is not helpful for scheduling.",
    );
    apply(
        &node,
        "pvc-waits",
        &claim(
            "later",
            "accessModes: [ReadWriteOnce], storageClassName: nobodys",
        ),
    );
    node.wait_for(
        "pvc-waits",
        "pod/early",
        condition,
        "0/1 nodes are available: pod has unbound immediate PersistentVolumeClaims. preemption: 0/1 nodes are available: 1 Preemption is not helpful for scheduling.",
    );
    node.kubectl(&["-n", "pvc-waits", "delete", "pvc", "later"])
        .must();
    apply(
        &node,
        "pvc-waits",
        &claim("later", "accessModes: [ReadWriteOnce]"),
    );
    node.wait_for("pvc-waits", "pod/early", "{.status.phase}", "Succeeded");
    node.kubectl(&["delete", "namespace", "pvc-waits"]).must();
    assert!(eventually(|| !node
        .kubectl(&["get", "pv"])
        .stdout
        .contains("pvc-waits/")));
}

fn one_pod_at_a_time() {
    let node = namespace("pvc-alone");
    apply(
        &node,
        "pvc-alone",
        &claim("mine", "accessModes: [ReadWriteOncePod]"),
    );
    apply(
        &node,
        "pvc-alone",
        &user("first", "Always", "sleep 3600", "mine"),
    );
    node.wait_for("pvc-alone", "pod/first", "{.status.phase}", "Running");
    apply(
        &node,
        "pvc-alone",
        &user("second", "Always", "sleep 3600", "mine"),
    );
    let condition = "{.status.conditions[?(@.type==\"PodScheduled\")].message}";
    node.wait_for(
        "pvc-alone",
        "pod/second",
        condition,
        "0/1 nodes are available: node has pod using PersistentVolumeClaim with the same name and ReadWriteOncePod access mode. preemption: 0/1 nodes are available: 1 Preemption is not helpful for scheduling.",
    );
    node.kubectl(&["-n", "pvc-alone", "delete", "pod", "first"])
        .must();
    node.wait_for("pvc-alone", "pod/second", "{.status.phase}", "Running");
}

fn an_ephemeral_volume_goes_with_its_pod() {
    let node = namespace("pvc-brief");
    apply(
        &node,
        "pvc-brief",
        &pod(
            "brief",
            "Always",
            "echo here > /v/f; sleep 3600",
            "  volumes: [{name: scratch, ephemeral: {volumeClaimTemplate: {spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 8Mi}}}}}}]",
            "    volumeMounts: [{name: scratch, mountPath: /v}]",
        ),
    );
    node.wait_for("pvc-brief", "pod/brief", "{.status.phase}", "Running");
    let volume = node.value("pvc-brief", "pvc/brief-scratch", "{.spec.volumeName}");
    node.kubectl(&["-n", "pvc-brief", "delete", "pod", "brief"])
        .must();
    assert!(eventually(|| !node
        .kubectl(&["-n", "pvc-brief", "get", "pvc", "brief-scratch"])
        .ok));
    assert!(eventually(|| !node.kubectl(&["get", "pv", &volume]).ok));
}

fn what_cannot_be_stored_is_refused() {
    let node = shared();
    let volume = |spec: &str| {
        format!(
            "apiVersion: v1\nkind: PersistentVolume\nmetadata: {{name: wrong}}\nspec: {{capacity: {{storage: 1Gi}}, accessModes: [ReadWriteOnce], {spec}}}\n"
        )
    };
    for (manifest, said) in [
        (volume("nfs: {server: a, path: /}"), "spec.nfs: Forbidden"),
        (volume("local: {path: /a}"), "Local volume requires node affinity"),
        (volume("hostPath: {path: /a}, volumeMode: Block"), "spec.volumeMode"),
        (claim("wrong", "accessModes: []"), "at least 1 access mode is required"),
        (claim("wrong", "accessModes: [ReadWriteOnce], volumeMode: Block"), "spec.volumeMode"),
        (
            "apiVersion: storage.k8s.io/v1\nkind: StorageClass\nmetadata: {name: wrong}\nprovisioner: coracle.dev/local-path\n".to_owned(),
            "use WaitForFirstConsumer",
        ),
    ] {
        node.kubectl_input(&["apply", "-f", "-"], &manifest).must_fail_with(said);
    }
}
