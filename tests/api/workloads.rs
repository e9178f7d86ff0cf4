//! Deployments, sets, jobs and their kin as kubectl's users know them. No pod of them has to run: these trials are about
//! the API.

use crate::common::{Ran, TestNode};
use crate::namespace;
use std::sync::Arc;

pub const TESTS: &[(&str, fn())] = &[
    (
        "each_kind_from_create_to_delete",
        each_kind_from_create_to_delete,
    ),
    (
        "kubectl_scales_what_has_replicas",
        kubectl_scales_what_has_replicas,
    ),
    ("generators_send_protobuf", generators_send_protobuf),
    (
        "mistakes_are_named_as_upstream_names_them",
        mistakes_are_named_as_upstream_names_them,
    ),
    (
        "large_lists_and_objects_are_bounded",
        large_lists_and_objects_are_bounded,
    ),
];

struct Room {
    node: Arc<TestNode>,
    namespace: &'static str,
}

impl Room {
    fn new(namespace: &'static str) -> Room {
        Room {
            node: crate::namespace(namespace),
            namespace,
        }
    }

    fn kubectl(&self, arguments: &[&str]) -> Ran {
        self.node
            .kubectl(&[&["-n", self.namespace], arguments].concat())
    }

    fn input(&self, arguments: &[&str], manifest: &str) -> Ran {
        self.node
            .kubectl_input(&[&["-n", self.namespace], arguments].concat(), manifest)
    }

    fn value(&self, object: &str, path: &str) -> String {
        self.node.value(self.namespace, object, path)
    }
}

/// A pod that no node takes.
const POD: &str = "{metadata: {labels: {app: x}}, spec: {nodeSelector: {planet: none}, containers: [{name: c, image: 'example.local/one:1'}]}}";

/// Kind, plural with group, and its spec with a template.
fn manifest(version: &str, kind: &str, spec: &str) -> String {
    format!("apiVersion: {version}\nkind: {kind}\nmetadata: {{name: x}}\nspec: {spec}\n")
}

fn replicated(version: &str, kind: &str) -> String {
    let selector = match kind {
        "ReplicationController" => "{app: x}",
        _ => "{matchLabels: {app: x}}",
    };
    let spec = format!("{{selector: {selector}, template: {POD}}}");
    manifest(version, kind, &spec)
}

fn each_kind_from_create_to_delete() {
    let room = Room::new("each-kind");
    let once = POD.replace("spec: {", "spec: {restartPolicy: Never, ");
    let revision = "apiVersion: apps/v1\nkind: ControllerRevision\nmetadata: {name: x}\ndata: {}\nrevision: 3\n";
    let template =
        format!("apiVersion: v1\nkind: PodTemplate\nmetadata: {{name: x}}\ntemplate: {POD}\n");
    for (kind, manifest, columns) in [
        (
            "deployment.apps",
            replicated("apps/v1", "Deployment"),
            "UP-TO-DATE AVAILABLE AGE CONTAINERS IMAGES SELECTOR",
        ),
        (
            "replicaset.apps",
            replicated("apps/v1", "ReplicaSet"),
            "DESIRED CURRENT READY AGE CONTAINERS IMAGES SELECTOR",
        ),
        (
            "statefulset.apps",
            replicated("apps/v1", "StatefulSet"),
            "NAME READY AGE CONTAINERS IMAGES",
        ),
        (
            "daemonset.apps",
            replicated("apps/v1", "DaemonSet"),
            "NODE SELECTOR AGE CONTAINERS IMAGES SELECTOR",
        ),
        (
            "replicationcontroller",
            replicated("v1", "ReplicationController"),
            "DESIRED CURRENT READY AGE CONTAINERS IMAGES SELECTOR",
        ),
        (
            "job.batch",
            manifest(
                "batch/v1",
                "Job",
                &format!("{{suspend: true, template: {once}}}"),
            ),
            "STATUS COMPLETIONS DURATION AGE CONTAINERS IMAGES SELECTOR",
        ),
        (
            "cronjob.batch",
            manifest(
                "batch/v1",
                "CronJob",
                &format!("{{schedule: '0 0 1 1 *', jobTemplate: {{spec: {{template: {once}}}}}}}"),
            ),
            "SCHEDULE TIMEZONE SUSPEND ACTIVE LAST SCHEDULE AGE CONTAINERS IMAGES SELECTOR",
        ),
        (
            "controllerrevision.apps",
            revision.to_owned(),
            "CONTROLLER REVISION AGE",
        ),
        ("podtemplate", template, "CONTAINERS IMAGES POD LABELS AGE"),
    ] {
        let object = format!("{kind}/x");
        room.input(&["apply", "-f", "-"], &manifest)
            .must_say(&format!("{object} created"));
        room.input(&["apply", "-f", "-"], &manifest)
            .must_say(&format!("{object} unchanged"));
        room.input(&["create", "-f", "-"], &manifest)
            .must_fail_with("already exists");
        let shown = room.kubectl(&["get", &object, "-o", "wide"]).must().stdout;
        let head: Vec<&str> = shown
            .lines()
            .next()
            .unwrap_or_default()
            .split_whitespace()
            .collect();
        assert!(head.join(" ").contains(columns), "{shown}");
        room.kubectl(&[
            "patch",
            &object,
            "--type=merge",
            "-p",
            r#"{"metadata":{"labels":{"a":"b"}}}"#,
        ])
        .must_say("patched");
        room.kubectl(&["label", &object, "c=d"]).must_say("labeled");
        let whole = room.kubectl(&["get", &object, "-o", "json"]).must().stdout;
        // Whatever its controller has written meanwhile.
        let mut whole: serde_json::Value = serde_json::from_str(&whole).expect("JSON");
        if let Some(metadata) = whole["metadata"].as_object_mut() {
            metadata.remove("resourceVersion");
        }
        room.input(&["replace", "-f", "-"], &whole.to_string())
            .must_say("replaced");
        room.kubectl(&["delete", &object, "--cascade=background"])
            .must_say("deleted");
    }
}

fn kubectl_scales_what_has_replicas() {
    let room = Room::new("scales");
    for (kind, version, object) in [
        ("Deployment", "apps/v1", "deployment.apps/x"),
        ("ReplicaSet", "apps/v1", "replicaset.apps/x"),
        ("StatefulSet", "apps/v1", "statefulset.apps/x"),
        ("ReplicationController", "v1", "replicationcontroller/x"),
    ] {
        room.input(&["create", "-f", "-"], &replicated(version, kind))
            .must();
        room.kubectl(&["scale", object, "--replicas=0"])
            .must_say(&format!("{object} scaled"));
        assert_eq!(room.value(object, "{.spec.replicas}"), "0");
        room.kubectl(&["scale", object, "--replicas=2", "--current-replicas=7"])
            .must_fail_with("Expected replicas to be 7, was 0");
        room.kubectl(&["scale", object, "--replicas=1", "--current-replicas=0"])
            .must_say("scaled");
        room.kubectl(&["scale", object, "--replicas=2", "--resource-version=1"])
            .must_fail_with("");
        let scale = room
            .kubectl(&[
                "get",
                object,
                "--subresource=scale",
                "-o",
                "jsonpath={.kind} {.spec.replicas} {.status.selector}",
            ])
            .must()
            .stdout;
        assert_eq!(scale, "Scale 1 app=x", "{kind}");
        room.kubectl(&["get", object, "--subresource=scale"])
            .must_say("DESIRED");
        let patch = |patch: &str| {
            room.kubectl(&[
                "patch",
                object,
                "--subresource=scale",
                "--type=merge",
                "-p",
                patch,
            ])
        };
        patch(r#"{"spec":{"replicas":0}}"#).must();
        assert_eq!(room.value(object, "{.spec.replicas}"), "0");
        patch(r#"{"spec":{"replicas":-1}}"#).must_fail_with("must be greater than or equal to 0");
        room.kubectl(&["delete", object]).must();
    }
    room.input(&["create", "-f", "-"], &replicated("apps/v1", "DaemonSet"))
        .must();
    room.kubectl(&["scale", "daemonset/x", "--replicas=2"])
        .must_fail_with("");
}

fn generators_send_protobuf() {
    let room = Room::new("generators");
    let image = "--image=example.local/one:1";
    room.kubectl(&["create", "deployment", "web", image, "--replicas=0"])
        .must_say("deployment.apps/web created");
    room.kubectl(&[
        "create",
        "cronjob",
        "nightly",
        image,
        "--schedule=0 0 1 1 *",
    ])
    .must_say("cronjob.batch/nightly created");
    room.kubectl(&["create", "job", "now", "--from=cronjob/nightly"])
        .must_say("job.batch/now created");
    room.kubectl(&["create", "job", "once", image])
        .must_say("job.batch/once created");
    assert_eq!(
        room.value(
            "deployment/web",
            "{.spec.replicas} {.spec.selector.matchLabels}"
        ),
        r#"0 {"app":"web"}"#
    );
    assert_eq!(
        room.value(
            "job/once",
            "{.spec.backoffLimit} {.spec.template.spec.restartPolicy}"
        ),
        "6 Never"
    );
    let uid = room.value("job/once", "{.metadata.uid}");
    let labels = r"{.spec.selector.matchLabels.batch\.kubernetes\.io/controller-uid}";
    assert_eq!(room.value("job/once", labels), uid);
}

fn mistakes_are_named_as_upstream_names_them() {
    let room = Room::new("mistakes");
    let deployment = replicated("apps/v1", "Deployment");
    room.input(&["apply", "-f", "-"], &deployment).must();
    let other = deployment.replace("app: x", "app: other");
    room.input(&["apply", "-f", "-"], &other).must_fail_with(
        "spec.selector: Invalid value: {\"matchLabels\":{\"app\":\"other\"}}: field is immutable",
    );
    let set = replicated("apps/v1", "StatefulSet");
    room.input(&["apply", "-f", "-"], &set).must();
    room.kubectl(&["patch", "statefulset", "x", "-p", r#"{"spec":{"serviceName":"b"}}"#])
        .must_fail_with("updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden");
    for (manifest, said) in [
        (
            deployment.replacen("matchLabels: {app: x}", "matchLabels: {app: other}", 1),
            "`selector` does not match template `labels`",
        ),
        (
            deployment.replacen("spec: {selector", "spec: {replicas: -1, selector", 1),
            "spec.replicas: Invalid value: -1: must be greater than or equal to 0",
        ),
        (
            deployment.replacen("nodeSelector", "runtimeClassName: kata, nodeSelector", 1),
            "spec.template.spec.runtimeClassName: Forbidden",
        ),
        (
            manifest("batch/v1", "Job", &format!("{{template: {POD}}}")),
            "spec.template.spec.restartPolicy: Required value: valid values: \"OnFailure\", \"Never\"",
        ),
        (
            manifest("batch/v1", "CronJob", "{schedule: nightly}"),
            "spec.schedule: Invalid value: \"nightly\"",
        ),
    ] {
        room.input(
            &["create", "-f", "-"],
            &manifest.replacen("name: x", "name: z", 1),
        )
        .must_fail_with(said);
    }
}

/// What the node may come to hold more, whatever other trials do beside: far less than either body as parsed JSON many
/// times over.
const GROWTH_KIB_MAX: u64 = 128 * 1024;

fn resident_kib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number = line.and_then(|line| line.split_whitespace().next());
    number
        .and_then(|number| number.parse().ok())
        .expect("VmRSS")
}

/// Objects in one List.
const MANY: usize = 10_000;

fn large_lists_and_objects_are_bounded() {
    let node = namespace("large");
    let before_kib = resident_kib(node.pid());
    let mut list = String::from(r#"{"apiVersion":"v1","kind":"List","items":["#);
    for number in 0..MANY {
        if number > 0 {
            list.push(',');
        }
        list.push_str(r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"m"#);
        list.push_str(&number.to_string());
        list.push_str(r#""}}"#);
    }
    list += "]}";
    // A List is the client's: the server is sent its items one by one, and takes none whole.
    node.kubectl_input(
        &[
            "-n",
            "large",
            "create",
            "--raw",
            "/api/v1/namespaces/large/configmaps",
            "-f",
            "-",
        ],
        &list,
    )
    .must_fail_with("does not match the expected kind");
    let large = format!(
        r#"{{"apiVersion":"v1","kind":"ConfigMap","metadata":{{"name":"big"}},"data":{{"a":"{}"}}}}"#,
        "x".repeat(3 * 512 * 1024)
    );
    node.kubectl_input(&["-n", "large", "create", "-f", "-"], &large)
        .must_fail_with("");
    node.kubectl(&["-n", "large", "get", "configmap", "big"])
        .must_fail_with("NotFound");
    node.kubectl(&["-n", "large", "get", "configmaps"])
        .must_say("kube-root-ca.crt");
    let grown_kib = resident_kib(node.pid()).saturating_sub(before_kib);
    assert!(grown_kib < GROWTH_KIB_MAX, "{grown_kib} KiB");
}
