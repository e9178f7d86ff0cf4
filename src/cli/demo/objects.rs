//! What the demo applies: a small application of every kind of workload. Pure.

use serde_json::{Value, json};

/// Made from the binary itself: no network is needed.
const IMAGE: &str = "coracle.local/hello";
pub const PORT: u16 = 8080;
pub const NAMESPACE: &str = "default";
/// On every pod of the demo.
pub const LABEL: (&str, &str) = ("app.kubernetes.io/part-of", "coracle-demo");
/// The page's first word, before and after the update.
pub const GREETINGS: [&str; 2] = ["Hello", "Ahoy"];
/// Seconds that a web server still answers after it began to end: meanwhile its clients learn that it leaves. A board
/// in software emulation needs more than one.
const LEAVE_SECONDS: u8 = 3;

pub const DEPLOYMENT: &str = "hello";
pub const STATEFUL_SET: &str = "store";
pub const DAEMON_SET: &str = "agent";
pub const CRON_JOB: &str = "backup";
/// The Job made of the CronJob by hand.
pub const JOB: &str = "backup-now";

/// Pods that must be ready, by the value of their label `app`.
pub const SERVERS: [(&str, usize); 3] = [(DEPLOYMENT, 3), (STATEFUL_SET, 2), (DAEMON_SET, 1)];

/// In the order in which they are applied.
pub fn all() -> Vec<Value> {
    vec![
        service(DEPLOYMENT, &json!({})),
        deployment(GREETINGS[0]),
        service(STATEFUL_SET, &json!({"clusterIP": "None"})),
        stateful_set(),
        daemon_set(),
        cron_job(),
    ]
}

/// The web servers; another greeting is another revision.
pub fn deployment(greeting: &str) -> Value {
    let mut template = template(DEPLOYMENT, &[]);
    let spec = &mut template["spec"];
    spec["terminationGracePeriodSeconds"] = json!(2 * LEAVE_SECONDS);
    let container = &mut spec["containers"][0];
    container["env"] = json!([{"name": "GREETING", "value": greeting}]);
    container["lifecycle"] = json!({"preStop": {"sleep": {"seconds": LEAVE_SECONDS}}});
    object(
        "apps/v1",
        "Deployment",
        DEPLOYMENT,
        &json!({
            "replicas": SERVERS[0].1,
            "selector": {"matchLabels": {"app": DEPLOYMENT}},
            "strategy": {"rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
            "template": template,
        }),
    )
}

fn stateful_set() -> Value {
    let mut template = template(STATEFUL_SET, &["--count-starts", "/data/starts"]);
    template["spec"]["containers"][0]["volumeMounts"] =
        json!([{"name": "data", "mountPath": "/data"}]);
    object(
        "apps/v1",
        "StatefulSet",
        STATEFUL_SET,
        &json!({
            "serviceName": STATEFUL_SET,
            "replicas": SERVERS[1].1,
            "selector": {"matchLabels": {"app": STATEFUL_SET}},
            "template": template,
            "volumeClaimTemplates": [{
                "metadata": {"name": "data"},
                "spec": {
                    "storageClassName": "local-path",
                    "accessModes": ["ReadWriteOnce"],
                    "resources": {"requests": {"storage": "1Mi"}},
                },
            }],
        }),
    )
}

fn daemon_set() -> Value {
    object(
        "apps/v1",
        "DaemonSet",
        DAEMON_SET,
        &json!({
            "selector": {"matchLabels": {"app": DAEMON_SET}},
            "template": template(DAEMON_SET, &[]),
        }),
    )
}

fn cron_job() -> Value {
    let say = |name: &str, text: &str| container(name, &["--say", text]);
    object(
        "batch/v1",
        "CronJob",
        CRON_JOB,
        &json!({
            "schedule": "* * * * *",
            "jobTemplate": {
                "metadata": {"labels": labels(CRON_JOB)},
                "spec": {"template": {
                    "metadata": {"labels": labels(CRON_JOB)},
                    "spec": {
                        "restartPolicy": "Never",
                        "terminationGracePeriodSeconds": 1,
                        "initContainers": [say("prepare", "the init container came first")],
                        "containers": [say("save", "the backup is done")],
                    },
                }},
            },
        }),
    )
}

fn service(app: &str, more: &Value) -> Value {
    let mut spec = json!({
        "selector": {"app": app},
        "ports": [{"name": "http", "port": 80, "targetPort": "http"}],
    });
    json_patch::merge(&mut spec, more);
    object("v1", "Service", app, &spec)
}

fn object(api_version: &str, kind: &str, name: &str, spec: &Value) -> Value {
    json!({
        "apiVersion": api_version,
        "kind": kind,
        "metadata": {"name": name, "namespace": NAMESPACE, "labels": labels(name)},
        "spec": spec,
    })
}

fn labels(app: &str) -> Value {
    json!({LABEL.0: LABEL.1, "app": app})
}

/// A web server.
fn template(app: &str, args: &[&str]) -> Value {
    let mut container = container(app, args);
    container["ports"] = json!([{"name": "http", "containerPort": PORT}]);
    // A slow board answers late, and is asked again soon.
    container["readinessProbe"] =
        json!({"httpGet": {"path": "/", "port": "http"}, "periodSeconds": 1, "timeoutSeconds": 5});
    json!({
        "metadata": {"labels": labels(app)},
        "spec": {"terminationGracePeriodSeconds": 1, "containers": [container]},
    })
}

fn container(name: &str, args: &[&str]) -> Value {
    let mut container = json!({
        "name": name,
        "image": IMAGE,
        "imagePullPolicy": "Never",
        "resources": {"requests": {"cpu": "10m", "memory": "8Mi"}, "limits": {"memory": "32Mi"}},
    });
    if !args.is_empty() {
        container["args"] = json!(args);
    }
    container
}
