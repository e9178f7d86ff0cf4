//! An image goes while pods run from it: what runs goes on, what starts again gets it anew.

use crate::busybox;
use crate::common::eventually;
use crate::images::Registry;
use crate::namespace;

pub const TESTS: &[(&str, fn())] = &[(
    "under_a_running_and_a_restarting_pod",
    under_a_running_and_a_restarting_pod,
)];

const SPACE: &str = "image-loss";

fn under_a_running_and_a_restarting_pod() {
    let node = namespace(SPACE);
    let registry = Registry::start();
    let archive = registry.directory.path().join("busybox.tar");
    busybox::write_archive_with(&archive, "gone while it is used");
    registry.push(&archive, "harbour/gone:1");
    let image = format!("{}/harbour/gone:1", registry.address);
    // Ends when something comes through the pipe, with nothing but the shell that runs already; its second run stays.
    let script = "test -e /pipe/again && exec sleep 3600; touch /pipe/again; mkfifo /pipe/p; read line < /pipe/p; exit 3";
    let pod = |name: &str, command: &str| {
        format!(
            "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}}}\nspec:\n  terminationGracePeriodSeconds: 0\n  volumes: [{{name: pipe, emptyDir: {{}}}}]\n  containers:\n  - name: main\n    image: '{image}'\n    command: [sh, -c, {}]\n    volumeMounts: [{{name: pipe, mountPath: /pipe}}]\n",
            serde_json::Value::from(command)
        )
    };
    for (name, command) in [("steady", "exec sleep 3600"), ("again", script)] {
        node.kubectl_input(&["-n", SPACE, "apply", "-f", "-"], &pod(name, command))
            .must();
        let object = format!("pod/{name}");
        node.wait_for(SPACE, &object, "{.status.phase}", "Running");
    }
    let uid = node.value(SPACE, "pod/again", "{.metadata.uid}");
    let pipe = node.data_dir().join(format!("pods/{uid}/volumes/pipe/p"));
    assert!(eventually(|| pipe.exists()), "{}", pipe.display());

    // Asked to, the node refuses.
    node.coracle(&["image", "rm", &image])
        .must_fail_with("is in use by a container; delete its pods first");
    // A card that forgets does not ask.
    let layers = node.data_dir().join("images/layers");
    let mut lost = 0;
    for entry in std::fs::read_dir(&layers).expect("layers").flatten() {
        let mark = entry.path().join("fs/etc/mark");
        if std::fs::read_to_string(&mark).is_ok_and(|text| text.contains("gone while it is used")) {
            std::fs::remove_dir_all(entry.path().join("fs")).expect("removed");
            lost += 1;
        }
    }
    assert_eq!(lost, 1);
    let served = registry.blobs_served();
    std::fs::write(&pipe, "now\n").expect("the pipe");
    let run = "{.status.containerStatuses[0].restartCount} {.status.containerStatuses[0].lastState.terminated.exitCode} {.status.phase}";
    node.wait_for(SPACE, "pod/again", run, "1 3 Running");
    node.wait_for(
        SPACE,
        "pod/again",
        "{.status.containerStatuses[0].ready}",
        "true",
    );
    assert!(registry.blobs_served() > served);
    node.kubectl(&["-n", SPACE, "exec", "again", "--", "cat", "/etc/mark"])
        .must_say("gone while it is used");
    assert_eq!(node.value(SPACE, "pod/steady", run), "0  Running");
    node.kubectl(&["-n", SPACE, "delete", "pods", "--all"])
        .must();
    node.coracle(&["image", "rm", &image]).must();
}
