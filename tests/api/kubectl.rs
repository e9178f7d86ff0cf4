//! What people do with kubectl, to the letter of its output.

use crate::{namespace, shared};
use std::io::{BufRead, BufReader};
use std::process::Stdio;

pub const TESTS: &[(&str, fn())] = &[
    ("patches_of_all_three_types", patches_of_all_three_types),
    ("label_annotate_and_selectors", label_annotate_and_selectors),
    ("a_stale_put_is_a_conflict", a_stale_put_is_a_conflict),
    (
        "watch_prints_changes_as_they_come",
        watch_prints_changes_as_they_come,
    ),
    ("discovery_and_version", discovery_and_version),
    ("lists_come_in_pages", lists_come_in_pages),
    (
        "namespace_takes_its_objects_with_it",
        namespace_takes_its_objects_with_it,
    ),
    (
        "unknown_fields_survive_when_not_validated",
        unknown_fields_survive_when_not_validated,
    ),
    ("strangers_are_kept_out", strangers_are_kept_out),
    (
        "server_side_apply_is_refused_clearly",
        server_side_apply_is_refused_clearly,
    ),
    ("dry_run_changes_nothing", dry_run_changes_nothing),
];

/// A pod that no node takes: these trials need no containers.
const PARKED: &str = "apiVersion: v1\nkind: Pod\nmetadata: {name: parked, labels: {app: parked, tier: back}}\nspec:\n  nodeSelector: {planet: none}\n  containers:\n  - {name: one, image: 'example.local/one:1', env: [{name: A, value: a}]}\n  - {name: two, image: 'example.local/two:1'}\n";

fn patches_of_all_three_types() {
    let node = namespace("patches");
    node.kubectl_input(&["-n", "patches", "create", "-f", "-"], PARKED)
        .must();
    let patch = |kind: &str, patch: &str| {
        node.kubectl(&[
            "-n", "patches", "patch", "pod", "parked", "--type", kind, "-p", patch,
        ])
    };
    // Strategic: the list of containers is merged by name.
    patch(
        "strategic",
        r#"{"spec":{"containers":[{"name":"two","image":"example.local/two:2"}]}}"#,
    )
    .must_say("pod/parked patched");
    let images = "{.spec.containers[*].image}";
    assert_eq!(
        node.value("patches", "pod/parked", images),
        "example.local/one:1 example.local/two:2"
    );
    patch(
        "merge",
        r#"{"metadata":{"labels":{"tier":null,"colour":"green"}}}"#,
    )
    .must();
    assert_eq!(
        node.value("patches", "pod/parked", "{.metadata.labels}"),
        r#"{"app":"parked","colour":"green"}"#
    );
    patch(
        "json",
        r#"[{"op":"replace","path":"/spec/containers/0/image","value":"example.local/one:3"}]"#,
    )
    .must();
    assert_eq!(
        node.value("patches", "pod/parked", images),
        "example.local/one:3 example.local/two:2"
    );
    patch(
        "json",
        r#"[{"op":"test","path":"/metadata/name","value":"other"}]"#,
    )
    .must_fail_with("test");
    patch("merge", r#"{"spec":{"nodeSelector":{"planet":"earth"}}}"#)
        .must_fail_with("pod updates may not change fields other than");
    patch("merge", "{").must_fail_with("");
}

fn label_annotate_and_selectors() {
    let node = namespace("labels");
    for name in ["a", "b", "c"] {
        node.kubectl(&["-n", "labels", "create", "configmap", name])
            .must();
    }
    node.kubectl(&["-n", "labels", "label", "configmap", "a", "b", "side=port"])
        .must();
    node.kubectl(&["-n", "labels", "label", "configmap", "c", "side=starboard"])
        .must();
    node.kubectl(&["-n", "labels", "annotate", "configmap", "a", "note=first"])
        .must_say("configmap/a annotated");
    // The namespace was born with it, and it has no labels.
    node.kubectl(&[
        "-n",
        "labels",
        "label",
        "configmap",
        "kube-root-ca.crt",
        "side=none",
    ])
    .must();
    let names = |selector: &str| {
        node.kubectl(&[
            "-n",
            "labels",
            "get",
            "configmap",
            "-l",
            selector,
            "-o",
            "name",
        ])
        .must()
        .stdout
    };
    assert_eq!(names("side=port"), "configmap/a\nconfigmap/b\n");
    assert_eq!(names("side in (starboard,aft)"), "configmap/c\n");
    assert_eq!(names("side!=port,side!=none"), "configmap/c\n");
    assert_eq!(names("side,side notin (port,none)"), "configmap/c\n");
    assert_eq!(names("!side"), "");
    let field = node
        .kubectl(&[
            "-n",
            "labels",
            "get",
            "configmap",
            "--field-selector",
            "metadata.name=b",
            "-o",
            "name",
        ])
        .must();
    assert_eq!(field.stdout, "configmap/b\n");
    node.kubectl(&[
        "-n",
        "labels",
        "get",
        "configmap",
        "--field-selector",
        "data.x=b",
    ])
    .must_fail_with("field label not supported");
    node.kubectl(&["-n", "labels", "label", "configmap", "a", "side-"])
        .must_say("unlabeled");
    node.kubectl(&["-n", "labels", "label", "configmap", "a", "bad=-value-"])
        .must_fail_with("invalid");
}

fn a_stale_put_is_a_conflict() {
    let node = namespace("stale");
    node.kubectl(&[
        "-n",
        "stale",
        "create",
        "configmap",
        "edited",
        "--from-literal=x=1",
    ])
    .must();
    let held = node
        .kubectl(&["-n", "stale", "get", "configmap", "edited", "-o", "json"])
        .must()
        .stdout;
    node.kubectl(&[
        "-n",
        "stale",
        "annotate",
        "configmap",
        "edited",
        "someone=else",
    ])
    .must();
    node.kubectl_input(&["-n", "stale", "replace", "-f", "-"], &held)
        .must_fail_with("the object has been modified; please apply your changes to the latest version and try again");
    let fresh = node
        .kubectl(&["-n", "stale", "get", "configmap", "edited", "-o", "json"])
        .must()
        .stdout;
    node.kubectl_input(&["-n", "stale", "replace", "-f", "-"], &fresh)
        .must_say("replaced");
}

fn watch_prints_changes_as_they_come() {
    let node = namespace("watched");
    let mut watch = node
        .kubectl_command()
        .args(["-n", "watched", "get", "pods", "-o", "wide", "-w"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("kubectl");
    let mut lines = BufReader::new(watch.stdout.take().expect("piped")).lines();
    node.kubectl_input(&["-n", "watched", "create", "-f", "-"], PARKED)
        .must();
    let header = lines.next().expect("a line").expect("text");
    assert!(
        header.starts_with("NAME") && header.contains("NOMINATED NODE"),
        "{header}"
    );
    let row = lines.next().expect("a line").expect("text");
    assert!(
        row.contains("parked") && row.contains("0/2") && row.contains("Pending"),
        "{row}"
    );
    watch.kill().expect("kubectl runs");
    watch.wait().expect("kubectl ends");
}

fn discovery_and_version() {
    let node = shared();
    let resources = node
        .kubectl(&["api-resources", "--no-headers"])
        .must()
        .stdout;
    for kind in [
        "Namespace",
        "Node",
        "Pod",
        "ConfigMap",
        "Secret",
        "Service",
        "ServiceAccount",
        "Event",
        "Deployment",
        "CronJob",
        "Lease",
    ] {
        assert!(
            resources
                .lines()
                .any(|line| line.split_whitespace().last() == Some(kind)),
            "{kind} in\n{resources}"
        );
    }
    node.kubectl(&["version"]).must_say("Server Version: v1.");
    node.kubectl(&["get", "po,svc,cm", "-A"]).must();
    node.kubectl(&["get", "nodes"]).must_say("Ready");
    node.kubectl(&["get", "sprockets"])
        .must_fail_with("the server doesn't have a resource type");
    node.kubectl(&["cluster-info"]).must_say("is running at");
    node.coracle(&["get", "nodes"]).must_say("Ready");
    node.coracle(&["version"]).must_say("coracle");
}

fn lists_come_in_pages() {
    let node = namespace("pages");
    let manifest: Vec<String> = (0..25)
        .map(|number| {
            format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: page-{number:02}}}\n")
        })
        .collect();
    node.kubectl_input(
        &["-n", "pages", "create", "-f", "-"],
        &manifest.join("---\n"),
    )
    .must();
    let names = node
        .kubectl(&[
            "-n",
            "pages",
            "get",
            "configmap",
            "--chunk-size",
            "7",
            "-o",
            "name",
        ])
        .must()
        .stdout;
    // And the one that the namespace was born with.
    assert_eq!(names.lines().count(), 26);
    let page = node
        .kubectl(&[
            "get",
            "--raw",
            "/api/v1/namespaces/pages/configmaps?limit=10",
        ])
        .must()
        .stdout;
    let page: serde_json::Value = serde_json::from_str(&page).expect("JSON");
    assert_eq!(page["items"].as_array().expect("items").len(), 10);
    assert_eq!(page["metadata"]["remainingItemCount"], 16);
    let token = page["metadata"]["continue"].as_str().expect("token");
    // A change between two pages does not show in the second: it is of the same revision.
    node.kubectl(&["-n", "pages", "delete", "configmap", "page-20"])
        .must();
    let rest = node
        .kubectl(&[
            "get",
            "--raw",
            &format!("/api/v1/namespaces/pages/configmaps?limit=100&continue={token}"),
        ])
        .must()
        .stdout;
    let rest: serde_json::Value = serde_json::from_str(&rest).expect("JSON");
    assert_eq!(rest["items"].as_array().expect("items").len(), 16);
}

fn namespace_takes_its_objects_with_it() {
    let node = namespace("doomed");
    node.kubectl_input(&["-n", "doomed", "create", "-f", "-"], PARKED)
        .must();
    node.kubectl(&["-n", "doomed", "create", "configmap", "inside"])
        .must();
    node.kubectl(&["delete", "namespace", "doomed"])
        .must_say("deleted");
    node.kubectl(&["get", "namespace", "doomed"])
        .must_fail_with("not found");
    node.kubectl(&["create", "namespace", "doomed"]).must();
    let left = node
        .kubectl(&["-n", "doomed", "get", "pods,cm", "-o", "name"])
        .must()
        .stdout;
    assert!(
        !left.contains("inside") && !left.contains("parked"),
        "{left}"
    );
    node.kubectl(&["-n", "nowhere", "create", "configmap", "x"])
        .must_fail_with("namespaces \"nowhere\" not found");
}

fn unknown_fields_survive_when_not_validated() {
    let node = namespace("unknown");
    let manifest = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: future}\ndata: {a: b}\nfromTheFuture: {x: 1}\n";
    node.kubectl_input(&["-n", "unknown", "create", "-f", "-"], manifest)
        .must_fail_with("unknown field \"fromTheFuture\"");
    node.kubectl_input(
        &["-n", "unknown", "create", "--validate=false", "-f", "-"],
        manifest,
    )
    .must();
    let raw = node
        .kubectl(&[
            "get",
            "--raw",
            "/api/v1/namespaces/unknown/configmaps/future",
        ])
        .must()
        .stdout;
    let object: serde_json::Value = serde_json::from_str(&raw).expect("JSON");
    assert_eq!(object["fromTheFuture"]["x"], 1);
}

fn strangers_are_kept_out() {
    let node = shared();
    let anonymous = |path: &str| {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("runtime");
        let url = format!("https://127.0.0.1:{}{path}", node.port);
        runtime.block_on(async {
            let client = reqwest::Client::builder()
                .danger_accept_invalid_certs(true)
                .build()
                .expect("client");
            let answer = client.get(url).send().await.expect("an answer");
            (answer.status().as_u16(), answer.text().await.expect("text"))
        })
    };
    assert_eq!(anonymous("/readyz"), (200, "ok".to_owned()));
    assert!(anonymous("/version").1.contains("gitVersion"));
    for path in [
        "/api",
        "/api/v1/secrets",
        "/apis",
        "/openapi/v3",
        "/api/v1/nodes/x/proxy/images",
    ] {
        assert_eq!(anonymous(path).0, 401, "{path}");
    }
    let mode = std::os::unix::fs::PermissionsExt::mode(
        &std::fs::metadata(node.kubeconfig())
            .expect("kubeconfig")
            .permissions(),
    );
    assert_eq!(mode & 0o777, 0o600);
}

fn server_side_apply_is_refused_clearly() {
    let node = namespace("applied");
    let manifest = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\n";
    node.kubectl_input(
        &["-n", "applied", "apply", "--server-side", "-f", "-"],
        manifest,
    )
    .must_fail_with("server-side apply is not supported");
}

fn dry_run_changes_nothing() {
    let node = namespace("dry");
    let manifest = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\n";
    node.kubectl_input(
        &["-n", "dry", "apply", "--dry-run=server", "-f", "-"],
        manifest,
    )
    .must_say("created (server dry run)");
    node.kubectl(&["-n", "dry", "get", "configmap", "x"])
        .must_fail_with("not found");
}
