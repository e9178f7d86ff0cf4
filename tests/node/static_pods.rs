//! Pods from files, and their mirrors.

use crate::busybox::IMAGE;
use crate::common::{TestNode, eventually};

pub const TESTS: &[(&str, fn())] = &[(
    "files_become_pods_and_mirrors",
    files_become_pods_and_mirrors,
)];

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
