//! Verbs of the command line that ask rather than change: why, ps, top, events; and debug.

use crate::busybox::IMAGE;
use crate::common::{TestNode, eventually};
use crate::lifecycle::script_pod;
use crate::{import_busybox, namespace};

pub const TESTS: &[(&str, fn())] = &[
    (
        "why_names_the_cause_and_its_exit_code_tells",
        why_names_the_cause_and_its_exit_code_tells,
    ),
    ("ps_needs_no_api", ps_needs_no_api),
    (
        "top_and_events_say_what_kubectl_says",
        top_and_events_say_what_kubectl_says,
    ),
    (
        "debug_gives_back_what_its_container_prints",
        debug_gives_back_what_its_container_prints,
    ),
];

fn why_names_the_cause_and_its_exit_code_tells() {
    let node = namespace("why");
    node.kubectl_input(
        &["-n", "why", "apply", "-f", "-"],
        &script_pod("well", "Always", "exec sleep 3600"),
    )
    .must();
    node.wait_for("why", "pod/well", "{.status.phase}", "Running");
    assert!(eventually(|| node
        .coracle(&["-n", "why", "why", "pod/well"])
        .stdout
        .contains("nothing is wrong")));
    node.coracle(&["-n", "why", "why", "well"])
        .must_say("is Running and Ready");
    node.kubectl_input(
        &["-n", "why", "apply", "-f", "-"],
        &script_pod("crash", "Always", "nosuchprogram"),
    )
    .must();
    let said = |words: &str| {
        eventually(|| {
            let ran = node.coracle(&["-n", "why", "why", "crash"]);
            ran.code == Some(1) && ran.stdout.contains(words)
        })
    };
    assert!(
        said("was not found (exit code 127)"),
        "{:?}",
        node.coracle(&["-n", "why", "why", "crash"])
    );
    let manifest = format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: lacking}}\nspec:\n  containers:\n  - name: main\n    image: {IMAGE}\n    \
         envFrom: [{{configMapRef: {{name: nothere}}}}]\n"
    );
    node.kubectl_input(&["-n", "why", "apply", "-f", "-"], &manifest)
        .must();
    assert!(
        eventually(|| node
            .coracle(&["-n", "why", "why", "lacking"])
            .stdout
            .contains("configmap \"nothere\" does not exist in namespace why")),
        "{:?}",
        node.coracle(&["-n", "why", "why", "lacking"])
    );
    node.coracle(&["-n", "why", "why", "nobody"])
        .must_fail_with("not found");
}

fn ps_needs_no_api() {
    let mut node = TestNode::start();
    import_busybox(&node);
    let data = node.data_dir().to_string_lossy().into_owned();
    node.apply(&script_pod("p", "Always", "exec sleep 3456"));
    node.wait_for("default", "pod/p", "{.status.phase}", "Running");
    let look = |node: &TestNode| {
        let ran = node.coracle(&["ps", "--data-dir", &data]).must();
        let line = ran.stdout.lines().find(|line| line.contains("sleep 3456"));
        let line = line.unwrap_or_else(|| panic!("{ran:?}"));
        let words: Vec<&str> = line.split_whitespace().collect();
        assert_eq!(words[..5], ["p", "default", "main", "Running", "0"]);
        words[5].to_owned()
    };
    let pid = look(&node);
    node.kill_hard();
    assert_eq!(look(&node), pid);
    node.coracle(&["ps", "-a", "-o", "json", "--data-dir", &data])
        .must_say("\"podUID\"");
    // Looking has changed nothing: the next node process finds it as it was.
    node.up();
    node.kubectl(&["exec", "p", "--", "echo", "alive"])
        .must_say("alive");
    assert_eq!(look(&node), pid);
    node.coracle(&["ps", "--data-dir", "/var/lib/nobody-has-a-node-here"])
        .must_fail_with("no node ever ran");
}

fn top_and_events_say_what_kubectl_says() {
    let node = namespace("tell");
    node.kubectl_input(
        &["-n", "tell", "apply", "-f", "-"],
        &script_pod("p", "Always", "exec sleep 3600"),
    )
    .must();
    node.wait_for("tell", "pod/p", "{.status.phase}", "Running");
    assert!(eventually(|| node
        .kubectl(&["-n", "tell", "top", "pod"])
        .stdout
        .contains("Mi")));
    let head = |text: &str| -> Vec<String> {
        text.lines()
            .next()
            .unwrap_or_default()
            .split_whitespace()
            .map(str::to_owned)
            .collect()
    };
    for arguments in [
        &["-n", "tell", "top", "pod"][..],
        &["-n", "tell", "top", "pod", "--containers"],
        &["-n", "tell", "events"],
        &["events", "-A"],
    ] {
        let (ours, theirs) = (node.coracle(arguments), node.kubectl(arguments));
        assert_eq!(head(&ours.stdout), head(&theirs.stdout), "{arguments:?}");
    }
    node.coracle(&["top", "node"])
        .must_say("MEMORY(bytes)")
        .must_say("%");
    node.coracle(&["-n", "tell", "events", "--for", "pod/p"])
        .must_say("Started")
        .must_say("Pod/p");
    let warnings = node.coracle(&["-n", "tell", "events", "--types=Warning"]);
    assert!(!warnings.stdout.contains("Started"), "{warnings:?}");
}

fn debug_gives_back_what_its_container_prints() {
    let node = namespace("look");
    node.kubectl_input(
        &["-n", "look", "apply", "-f", "-"],
        &script_pod("p", "Always", "exec sleep 5678"),
    )
    .must();
    node.wait_for("look", "pod/p", "{.status.phase}", "Running");
    let pull = "--image-pull-policy=IfNotPresent";
    let ran = node.coracle(&[
        "-n",
        "look",
        "debug",
        "p",
        "--image",
        IMAGE,
        pull,
        "--target=main",
        "-c",
        "d",
        "--attach",
        "--",
        "sh",
        "-c",
        "sleep 1; ps",
    ]);
    assert!(ran.stdout.contains("sleep 5678"), "{ran:?}");
    node.coracle(&[
        "-n",
        "look",
        "debug",
        "p",
        "--target=nobody",
        "--image",
        IMAGE,
    ])
    .must_fail_with("has no container \"nobody\"");
    let name = node
        .kubectl(&["get", "nodes", "-o", "jsonpath={.items[0].metadata.name}"])
        .stdout;
    let target = format!("node/{name}");
    node.coracle(&["describe", &target])
        .must_say("Allocated resources:")
        .must_say("in total)");
    node.coracle(&["-n", "look", "describe", "pod", "p"])
        .must_say("Ephemeral Containers:")
        .must_say("TokenExpirationSeconds");
    node.coracle(&[
        "-n", "look", "debug", &target, "--image", IMAGE, pull, "--attach", "--", "ls", "/host",
    ])
    .must_say("proc");
    node.coracle(&[
        "-n",
        "look",
        "debug",
        "p",
        "--copy-to=q",
        "--container=main",
        "--share-processes=false",
        "--",
        "sleep",
        "4321",
    ])
    .must();
    node.wait_for("look", "pod/q", "{.status.phase}", "Running");
    assert_eq!(
        node.value("look", "pod/q", "{.spec.containers[0].command}"),
        "[\"sleep\",\"4321\"]"
    );
}
