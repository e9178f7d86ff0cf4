//! The demo's pods: what a Deployment of three and a Job of one would make.

use serde_json::{Value, json};

/// Made from the binary itself: no network is needed.
const IMAGE: &str = "coracle.local/hello";
pub const PORT: u16 = 8080;
const REPLICAS: usize = 3;
/// On every pod of the demo.
pub const LABEL: (&str, &str) = ("app.kubernetes.io/part-of", "coracle-demo");

pub fn all() -> Vec<Value> {
    let servers = (1..=REPLICAS).map(|number| pod(&format!("hello-{number}"), "hello", &server()));
    servers.chain([pod("task", "task", &task())]).collect()
}

fn pod(name: &str, app: &str, spec: &Value) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": "default",
            "labels": {LABEL.0: LABEL.1, "app": app},
        },
        "spec": spec,
    })
}

fn server() -> Value {
    json!({
        "terminationGracePeriodSeconds": 1,
        "containers": [{
            "name": "hello",
            "image": IMAGE,
            "imagePullPolicy": "Never",
            "ports": [{"name": "http", "containerPort": PORT}],
            "resources": {"requests": {"cpu": "10m", "memory": "8Mi"}, "limits": {"memory": "32Mi"}},
        }],
    })
}

fn task() -> Value {
    let say = |name: &str, text: &str| {
        json!({
            "name": name,
            "image": IMAGE,
            "imagePullPolicy": "Never",
            "args": ["hello", "--say", text],
            "resources": {"requests": {"cpu": "10m", "memory": "8Mi"}, "limits": {"memory": "32Mi"}},
        })
    };
    json!({
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": 1,
        "initContainers": [say("prepare", "the init container came first")],
        "containers": [say("work", "the task is done")],
    })
}
