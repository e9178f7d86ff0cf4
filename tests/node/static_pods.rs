//! Pods from files, and their mirrors.

use crate::busybox::IMAGE;
use crate::common::{TestNode, eventually, in_own_mounts, tail};

pub const TESTS: &[(&str, fn())] = &[
    (
        "files_become_pods_and_mirrors",
        files_become_pods_and_mirrors,
    ),
    ("run_while_the_api_takes_nothing", || {
        in_own_mounts(run_while_the_api_takes_nothing);
    }),
];

fn file(name: &str, says: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Pod\nmetadata:\n  name: {name}\n  labels: {{app: {name}}}\nspec:\n  terminationGracePeriodSeconds: 1\n  containers:\n  - name: main\n    image: {IMAGE}\n    command: [sh, -c, 'echo {says}; exec sleep 3600']\n"
    )
}

fn files_become_pods_and_mirrors() {
    let mut node = TestNode::prepare();
    let dir = node.use_manifest_dir();
    std::fs::create_dir_all(&dir).expect("directory");
    let write = |name: &str, text: &str| std::fs::write(dir.join(name), text).expect("a file");
    write("web.yaml", &file("web", "one"));
    write("broken.yaml", "apiVersion: v1\nkind: Pod\nmetadata: [");
    node.up();
    crate::import_busybox(&node);
    let (web, pod) = (
        format!("web-{}", node.name),
        format!("pod/web-{}", node.name),
    );
    node.wait_for("default", &pod, "{.status.phase}", "Running");
    assert!(node.log().contains("broken.yaml"), "{}", node.log());
    let owner = "{.metadata.ownerReferences[0].kind}/{.metadata.ownerReferences[0].name} {.metadata.annotations.kubernetes\\.io/config\\.source} {.spec.nodeName}";
    assert_eq!(
        node.value("default", &pod, owner),
        format!("Node/{0} file {0}", node.name)
    );
    let hashes = node.value(
        "default",
        &pod,
        "{.metadata.annotations.kubernetes\\.io/config\\.hash} {.metadata.annotations.kubernetes\\.io/config\\.mirror}",
    );
    let (hash, mirror) = hashes.split_once(' ').expect("two");
    assert!(hash == mirror && hash.len() == 32, "{hashes}");
    node.kubectl(&["logs", &web]).must_say("one");
    node.kubectl(&["exec", &web, "--", "echo", "inside"])
        .must_say("inside");

    // The mirror is only a picture.
    let identity = "{.metadata.uid} {.status.containerStatuses[0].containerID}";
    let seen = |node: &TestNode| {
        let text = node.value("default", &pod, identity);
        text.split_once(' ')
            .map(|(a, b)| (a.to_string(), b.to_string()))
            .unwrap_or_default()
    };
    let (uid, container) = seen(&node);
    node.kubectl(&["delete", "pod", &web, "--wait=false"])
        .must();
    assert!(eventually(|| {
        let (now, same) = seen(&node);
        !now.is_empty() && now != uid && same == container
    }));

    // A node process that starts anew adopts what runs.
    node.kill_hard();
    node.up();
    node.wait_for("default", &pod, "{.status.phase}", "Running");
    assert_eq!(seen(&node).1, container);

    // Another content is another pod; the broken one, mended, runs too.
    write("web.yaml", &file("web", "two"));
    write("broken.yaml", &file("mended", "three"));
    assert!(eventually(|| node
        .kubectl(&["logs", &web])
        .stdout
        .contains("two")));
    let mended = format!("pod/mended-{}", node.name);
    node.wait_for("default", &mended, "{.status.phase}", "Running");

    std::fs::remove_file(dir.join("web.yaml")).expect("a file");
    assert!(eventually(|| !node.kubectl(&["get", &pod]).ok));
    node.wait_for("default", &mended, "{.status.phase}", "Running");
    node.reset().must();
}

/// The store takes no write while its disk has less than 16 MiB: the API is as good as away, and there is still room
/// for what pods need. From the start of the node process on: it learns of no pod but by their files.
fn run_while_the_api_takes_nothing() {
    let mut node = TestNode::prepare();
    let program = std::fs::metadata(env!("CARGO_BIN_EXE_coracle")).expect("the program");
    node.use_disk(48 + (program.len() >> 20) as u32);
    let dir = node.use_manifest_dir();
    std::fs::create_dir_all(&dir).expect("directory");
    let write = |name: &str, text: &str| std::fs::write(dir.join(name), text).expect("a file");
    write("steady.yaml", &file("steady", "one"));
    node.up();
    crate::import_busybox(&node);
    let of = |name: &str| format!("pod/{name}-{}", node.name);
    let (steady, later) = (of("steady"), of("later"));
    node.wait_for("default", &steady, "{.status.phase}", "Running");
    let id = "{.status.containerStatuses[0].containerID}";
    let before = node.value("default", &steady, id);

    node.kill_hard();
    let stat = nix::sys::statvfs::statvfs(&node.data_dir()).expect("statvfs");
    let free = stat.blocks_available() * stat.fragment_size();
    let ballast = node.data_dir().join("ballast");
    std::fs::write(&ballast, vec![1; (free - (12 << 20)) as usize]).expect("ballast");
    // Ends once, in its own time, and then stays.
    let ends = file("later", "run").replace(
        "echo run; exec sleep 3600",
        "echo run; test -e /data/again && exec sleep 3600; touch /data/again; exit 5",
    ) + "    volumeMounts: [{name: data, mountPath: /data}]\n  volumes: [{name: data, emptyDir: {}}]\n";
    write("later.yaml", &ends);
    node.up_unready();
    let runs = |name: &str, attempt: u64| {
        let ran = node.coracle(&[
            "ps",
            "--output",
            "json",
            "--data-dir",
            &node.data_dir().to_string_lossy(),
        ]);
        let seen: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap_or_default();
        seen["items"].as_array().into_iter().flatten().any(|row| {
            let text = row.to_string();
            text.contains(name) && row["attempt"] == attempt && text.contains("unning")
        })
    };
    assert!(
        eventually(|| runs("later", 1) && runs("steady", 0)),
        "{:?}\n{}",
        node.coracle(&[
            "ps",
            "-a",
            "--output",
            "json",
            "--data-dir",
            &node.data_dir().to_string_lossy()
        ]),
        tail(&node.log(), 60)
    );
    node.kubectl(&["create", "configmap", "refused"])
        .must_fail_with("no space left on device");
    assert!(!node.kubectl(&["get", &later]).ok);

    std::fs::remove_file(&ballast).expect("room");
    node.wait_for("default", &later, "{.status.containerStatuses[0].restartCount} {.status.containerStatuses[0].lastState.terminated.exitCode} {.status.phase}", "1 5 Running");
    assert_eq!(node.value("default", &steady, id), before);
    assert!(!node.log().contains("panicked"), "{}", node.log());
    node.reset().must();
}
