//! Verbs that change objects, wait for them and describe kinds, beside unmodified kubectl.

use crate::busybox::IMAGE;
use crate::common::{Ran, TestNode, coracle, eventually, run};
use crate::lifecycle::script_pod;
use crate::{import_busybox, namespace, shared};

pub const TESTS: &[(&str, fn())] = &[
    (
        "metadata_changes_read_as_kubectls",
        metadata_changes_read_as_kubectls,
    ),
    (
        "patch_replace_edit_and_diff_change_what_they_say",
        patch_replace_edit_and_diff_change_what_they_say,
    ),
    ("wait_returns_when_it_is_so", wait_returns_when_it_is_so),
    (
        "kinds_are_described_as_kubectl_describes_them",
        kinds_are_described_as_kubectl_describes_them,
    ),
    ("a_node_is_drained", a_node_is_drained),
    ("why_explains_what_is_no_pod", why_explains_what_is_no_pod),
];

/// What both say of the same words, in a namespace; the objects are named `kubectl` and `coracle`.
fn same(node: &TestNode, space: &str, words: &str) {
    let all = |name: &str| -> Vec<String> {
        let line = format!("-n {space} {}", words.replace("NAME", name));
        line.split(' ').map(str::to_owned).collect()
    };
    let (theirs, ours) = (all("kubectl"), all("coracle"));
    let theirs = node.kubectl(&theirs.iter().map(String::as_str).collect::<Vec<_>>());
    let ours = node.coracle(&ours.iter().map(String::as_str).collect::<Vec<_>>());
    let neutral = |text: &str| text.replace("kubectl", "NAME").replace("coracle", "NAME");
    let said = |ran: &Ran| (ran.code, neutral(&ran.stdout), neutral(&ran.stderr));
    assert_eq!(said(&theirs), said(&ours), "{words}");
}

fn config_maps(node: &TestNode, space: &str) {
    for name in ["kubectl", "coracle"] {
        node.kubectl(&[
            "-n",
            space,
            "create",
            "configmap",
            name,
            "--from-literal=a=1",
        ])
        .must();
    }
}

fn metadata_changes_read_as_kubectls() {
    let node = namespace("objects-metadata");
    config_maps(&node, "objects-metadata");
    for words in [
        "label configmap NAME app=web tier=front",
        "label configmap NAME app=web",
        "label configmap NAME app=other",
        "label configmap/NAME app=other --overwrite",
        "label configmap/NAME tier- nothing-",
        "label configmap NAME --list",
        "label configmap NAME app=x --overwrite --dry-run=server",
        "annotate configmap NAME note=one",
        "annotate configmap NAME note=two",
        "annotate configmap NAME note=two --overwrite",
        "annotate configmap NAME note-",
        "label configmap nobody-has-it a=b",
        "patch configmap NAME --type=merge -p {\"data\":{\"b\":\"2\"}}",
        "patch configmap NAME --type=merge -p {\"data\":{\"b\":\"2\"}}",
        "patch configmap NAME --type=json -p [{\"op\":\"remove\",\"path\":\"/data/b\"}]",
    ] {
        same(&node, "objects-metadata", words);
    }
    let labels = "{.metadata.labels}";
    assert_eq!(
        node.value("objects-metadata", "configmap/coracle", labels),
        node.value("objects-metadata", "configmap/kubectl", labels)
    );
    node.coracle(&[
        "-n",
        "objects-metadata",
        "label",
        "configmap/coracle",
        "a=b",
        "--resource-version=1",
    ])
    .must_fail_with("Conflict");
}

/// Runs `coracle` with an editor, which is a shell command that gets the file's name.
fn edit(node: &TestNode, editor: &str, arguments: &[&str]) -> Ran {
    let mut command = coracle();
    command
        .env("KUBECONFIG", node.kubeconfig())
        .env("KUBE_EDITOR", editor)
        .args(["-n", "objects-edit", "edit"])
        .args(arguments);
    run(&mut command)
}

fn patch_replace_edit_and_diff_change_what_they_say() {
    let node = namespace("objects-edit");
    config_maps(&node, "objects-edit");
    let directory = tempfile::tempdir().expect("temporary directory");
    let file = directory.path().join("map.yaml");
    let file = file.to_string_lossy().into_owned();
    let write = |value: &str| {
        let text = format!(
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: coracle}}\ndata: {{a: '{value}'}}\n"
        );
        std::fs::write(&file, text).expect("manifest");
    };
    let coracle = |words: &[&str]| node.coracle(&[&["-n", "objects-edit"], words].concat());
    let a = || node.value("objects-edit", "configmap/coracle", "{.data.a}");
    write("1");
    coracle(&["apply", "-f", &file]).must();
    let same = coracle(&["diff", "-f", &file]);
    assert_eq!((same.code, same.stdout.as_str()), (Some(0), ""), "{same:?}");
    write("2");
    let differs = coracle(&["diff", "-f", &file]);
    assert_eq!(differs.code, Some(1), "{differs:?}");
    assert!(
        differs.stdout.contains("-  a: \"1\"") || differs.stdout.contains("-  a: '1'"),
        "{differs:?}"
    );
    assert_eq!(a(), "1");
    coracle(&["replace", "-f", &file]).must_say("configmap/coracle replaced");
    assert_eq!(a(), "2");
    let uid = || node.value("objects-edit", "configmap/coracle", "{.metadata.uid}");
    let before = uid();
    coracle(&["replace", "--force", "-f", &file]).must_say("configmap \"coracle\" deleted");
    assert_ne!(before, uid());

    edit(&node, "sed -i /^..a:/s/2/3/", &["configmap/coracle"])
        .must_say("configmap/coracle edited");
    assert_eq!(a(), "3");
    let nothing = edit(&node, "true", &["configmap/coracle"]);
    assert!(
        nothing.stderr.contains("Edit cancelled, no changes made."),
        "{nothing:?}"
    );
    // The first time it breaks the object, the second time it finds the reason above and gives up.
    let broken = edit(
        &node,
        "sed -i 's/^  a: .*/  a: [1]/'",
        &["configmap/coracle"],
    );
    assert_eq!(broken.code, Some(1), "{broken:?}");
    assert!(
        broken.stderr.contains("no valid changes were saved"),
        "{broken:?}"
    );
    assert!(
        broken
            .stderr
            .contains("A copy of your changes has been stored"),
        "{broken:?}"
    );
    edit(&node, "false", &["configmap/coracle"]).must_fail_with("problem with the editor");
    assert_eq!(a(), "3");
}

fn wait_returns_when_it_is_so() {
    let node = namespace("objects-wait");
    node.kubectl_input(
        &["-n", "objects-wait", "apply", "-f", "-"],
        &script_pod(
            "p",
            "Always",
            "trap 'exit 0' TERM; while true; do sleep 0.1; done",
        ),
    )
    .must();
    let wait = |words: &[&str]| node.coracle(&[&["-n", "objects-wait", "wait"], words].concat());
    for what in [
        "--for=condition=Ready",
        "--for=jsonpath={.status.phase}=Running",
        "--for=create",
    ] {
        wait(&["pod/p", what, "--timeout=60s"]).must_say("pod/p condition met");
    }
    wait(&["pod/p", "--for=delete", "--timeout=100ms"])
        .must_fail_with("timed out waiting for the condition on pods/p");
    wait(&["pod/nobody", "--for=condition=Ready"]).must_fail_with("pods \"nobody\" not found");
    wait(&["pods", "-l", "a=b", "--for=condition=Ready"])
        .must_fail_with("no matching resources found");
    node.kubectl(&["-n", "objects-wait", "delete", "pod", "p", "--wait=false"])
        .must();
    wait(&["pods", "--all", "--for=delete", "--timeout=60s"]).must();
    assert!(
        node.kubectl(&["-n", "objects-wait", "get", "pod", "p"])
            .code
            != Some(0)
    );
}

fn kinds_are_described_as_kubectl_describes_them() {
    let node = shared();
    let squeeze = |text: &str| -> Vec<String> {
        text.lines()
            .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
            .filter(|line| !line.is_empty())
            .collect()
    };
    for words in [
        "api-versions",
        "api-resources",
        "api-resources --namespaced=false -o name",
        "api-resources --api-group= --verbs=list,watch --sort-by=kind",
        "explain pod",
        "explain pod.spec.containers",
        "explain pod.spec.volumes --recursive",
        "explain nodes.status",
    ] {
        let words: Vec<&str> = words.split(' ').collect();
        let theirs = node.kubectl(&words).must();
        let ours = node.coracle(&words).must();
        assert_eq!(squeeze(&ours.stdout), squeeze(&theirs.stdout), "{words:?}");
    }
    node.coracle(&["explain", "pod.spec.containers"])
        .must_say("name\t<string> -required-");
    node.coracle(&["explain", "pod.spec.boats"])
        .must_fail_with("field \"boats\" does not exist");
}

fn a_node_is_drained() {
    let node = TestNode::start();
    import_busybox(&node);
    let name = node
        .kubectl(&["get", "nodes", "-o", "jsonpath={.items[0].metadata.name}"])
        .must()
        .stdout;
    node.coracle(&["taint", "nodes", &name, "gpu=yes:PreferNoSchedule"])
        .must_say(&format!("node/{name} tainted"));
    node.coracle(&["taint", "nodes", &name, "gpu=no:PreferNoSchedule"])
        .must_fail_with("already has gpu taint(s) with same effect(s) and --overwrite is false");
    node.coracle(&["taint", "nodes", &name, "gpu-"])
        .must_say(&format!("node/{name} untainted"));
    node.coracle(&["cordon", &name])
        .must_say(&format!("node/{name} cordoned"));
    node.coracle(&["cordon", &name])
        .must_say(&format!("node/{name} already cordoned"));
    node.coracle(&["uncordon", &name])
        .must_say(&format!("node/{name} uncordoned"));
    let script = "trap 'exit 0' TERM; while true; do sleep 0.1; done";
    node.apply(&script_pod("bare", "Always", script)).must();
    node.apply(&format!(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: web}}\nspec:\n  selector: {{matchLabels: {{app: web}}}}\n  template:\n    metadata: {{labels: {{app: web}}}}\n    spec:\n      containers:\n      - name: main\n        image: {IMAGE}\n        command: [sh, -c, \"{script}\"]\n"
    ))
    .must();
    node.wait_for("default", "pod/bare", "{.status.phase}", "Running");
    node.wait_for(
        "default",
        "deployment/web",
        "{.status.availableReplicas}",
        "1",
    );
    node.coracle(&["drain", &name]).must_fail_with(
        "cannot delete Pods that declare no controller (use --force to override): default/bare",
    );
    node.value("default", "pod/bare", "{.metadata.name}");
    let drained = node
        .coracle(&[
            "drain",
            &name,
            "--force",
            "--ignore-daemonsets",
            "--timeout=60s",
        ])
        .must();
    for line in [
        format!("node/{name} already cordoned"),
        "ing pod default/bare".to_owned(),
        "pod/bare ".to_owned(),
        format!("node/{name} drained"),
    ] {
        assert!(drained.stdout.contains(&line), "{line}: {drained:?}");
    }
    assert!(
        drained
            .stderr
            .contains("Warning: deleting Pods that declare no controller: default/bare")
    );
    // Its successor finds no node, and that can be explained.
    assert!(eventually(|| {
        let ran = node.coracle(&["why", "deployment/web"]);
        ran.code == Some(1) && ran.stdout.contains("cordoned")
    }));
    node.coracle(&["uncordon", &name]).must();
    node.wait_for(
        "default",
        "deployment/web",
        "{.status.availableReplicas}",
        "1",
    );
    node.coracle(&["why", "deployment/web"])
        .must_say("nothing is wrong");
}

fn why_explains_what_is_no_pod() {
    let node = namespace("objects-why");
    let manifest = format!(
        "apiVersion: batch/v1\nkind: Job\nmetadata: {{name: once}}\nspec:\n  backoffLimit: 0\n  template:\n    spec:\n      restartPolicy: Never\n      containers:\n      - name: main\n        image: {IMAGE}\n        command: [sh, -c, 'exit 3']\n---\napiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {{name: data}}\nspec:\n  storageClassName: nothere\n  accessModes: [ReadWriteOnce]\n  resources: {{requests: {{storage: 1Mi}}}}\n"
    );
    node.kubectl_input(&["-n", "objects-why", "apply", "-f", "-"], &manifest)
        .must();
    let said = |object: &str, words: &str| {
        eventually(|| {
            let ran = node.coracle(&["-n", "objects-why", "why", object]);
            ran.code == Some(1) && ran.stdout.contains(words)
        })
    };
    assert!(said("job/once", "backoffLimit of 0"));
    assert!(said(
        "pvc/data",
        "the storage class \"nothere\" does not exist"
    ));
    node.coracle(&["why", "namespace/objects-why"])
        .must_say("nothing is wrong");
    node.coracle(&["-n", "objects-why", "why", "service/x"])
        .must_fail_with("why knows pods");
}
