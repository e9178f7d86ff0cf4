//! What users read of small pods: STATUS, READY, RESTARTS and exit codes as upstream promises them (`outcomes/pods.yaml`).

use crate::busybox::IMAGE;
use crate::common::{TestNode, tail};
use crate::namespace;
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

pub const TESTS: &[(&str, fn())] = &[("every_pod_ends_as_upstream", every_pod_ends_as_upstream)];

/// A restart of the third run comes after 10 s and 20 s of back-off, a probe's after the grace, all beside each other.
const PATIENCE: Duration = Duration::from_mins(3);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    name: String,
    /// Where upstream promises it; for the reader.
    source: String,
    policy: Option<String>,
    /// Short for a container `main` that runs this.
    sh: Option<String>,
    spec: Option<Value>,
    /// Bound to the node by the manifest, past the scheduler.
    #[serde(default)]
    bound: bool,
    expect: Expected,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Expected {
    /// Words of the STATUS column, any of which will do.
    status: Option<String>,
    ready: Option<String>,
    /// `2`, or `1+` for at least one.
    restarts: Option<String>,
    phase: Option<String>,
    /// `status.reason`.
    reason: Option<String>,
    #[serde(default)]
    codes: BTreeMap<String, i64>,
    #[serde(default)]
    conditions: BTreeMap<String, String>,
    /// The termination message of `main`.
    message: Option<String>,
}

impl Row {
    fn manifest(&self, node: &str) -> Value {
        let mut spec = self.spec.clone().unwrap_or_else(
            || json!({"containers": [{"name": "main", "command": ["sh", "-c", self.sh]}]}),
        );
        for group in ["initContainers", "containers"] {
            for container in spec[group].as_array_mut().into_iter().flatten() {
                if container["image"].is_null() {
                    container["image"] = IMAGE.into();
                }
            }
        }
        spec["terminationGracePeriodSeconds"] = 1.into();
        if let Some(policy) = &self.policy {
            spec["restartPolicy"] = policy.as_str().into();
        }
        if self.bound {
            spec["nodeName"] = node.into();
        }
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": self.name}, "spec": spec})
    }
}

impl Expected {
    /// The first thing that is not as expected. `line`: the pod's line of `kubectl get pods`.
    fn differs(&self, line: &str, pod: &Value) -> Option<String> {
        let mut columns = line.split_whitespace().skip(1);
        let ready = columns.next().unwrap_or_default();
        let status = columns.next().unwrap_or_default();
        let restarts = columns.next().unwrap_or_default();
        let differs = |what: &str, wanted: &str, seen: &str| {
            Some(format!("{what}: wanted {wanted:?}, saw {seen:?}"))
        };
        if let Some(wanted) = &self.status
            && !wanted.split('|').any(|word| word == status)
        {
            return differs("STATUS", wanted, status);
        }
        if let Some(wanted) = &self.ready
            && wanted != ready
        {
            return differs("READY", wanted, ready);
        }
        if let Some(wanted) = &self.restarts {
            let seen: i64 = restarts.parse().unwrap_or(-1);
            let met = match wanted.strip_suffix('+') {
                Some(least) => seen >= least.parse().expect("a number"),
                None => restarts == wanted,
            };
            if !met {
                return differs("RESTARTS", wanted, restarts);
            }
        }
        let text = |pointer: &str| {
            pod.pointer(pointer)
                .and_then(Value::as_str)
                .unwrap_or_default()
        };
        for (what, wanted) in [
            ("/status/phase", &self.phase),
            ("/status/reason", &self.reason),
        ] {
            if let Some(wanted) = wanted
                && wanted != text(what)
            {
                return differs(what, wanted, text(what));
            }
        }
        for (kind, wanted) in &self.conditions {
            let conditions = pod["status"]["conditions"].as_array();
            let seen = conditions
                .into_iter()
                .flatten()
                .find(|c| c["type"] == kind.as_str());
            let seen = seen.and_then(|c| c["status"].as_str()).unwrap_or("absent");
            if seen != wanted {
                return differs(kind, wanted, seen);
            }
        }
        for (container, wanted) in &self.codes {
            let code = &ended(pod, container)["exitCode"];
            if code != *wanted {
                return differs(
                    &format!("exit code of {container}"),
                    &wanted.to_string(),
                    &code.to_string(),
                );
            }
        }
        if let Some(wanted) = &self.message {
            let message = ended(pod, "main")["message"]
                .as_str()
                .unwrap_or_default()
                .to_owned();
            if message != *wanted {
                return differs("termination message", wanted, &message);
            }
        }
        None
    }
}

/// The newest run of `container` that is over.
fn ended(pod: &Value, container: &str) -> Value {
    let statuses = ["initContainerStatuses", "containerStatuses"].into_iter();
    let mut statuses =
        statuses.flat_map(|group| pod["status"][group].as_array().into_iter().flatten());
    let Some(status) = statuses.find(|s| s["name"] == container) else {
        return Value::Null;
    };
    match &status["state"]["terminated"] {
        Value::Null => status["lastState"]["terminated"].clone(),
        terminated => terminated.clone(),
    }
}

/// Every row that is not as expected now, with why.
fn differing(node: &TestNode, rows: &[Row]) -> Vec<String> {
    let lines = node
        .kubectl(&["-n", "outcomes", "get", "pods", "--no-headers"])
        .must()
        .stdout;
    let pods = node
        .kubectl(&["-n", "outcomes", "get", "pods", "-o", "json"])
        .must()
        .stdout;
    let pods: Value = serde_json::from_str(&pods).expect("JSON");
    let pods = pods["items"].as_array().cloned().unwrap_or_default();
    rows.iter()
        .filter_map(|row| {
            let line = lines
                .lines()
                .find(|l| l.split_whitespace().next() == Some(row.name.as_str()));
            let pod = pods
                .iter()
                .find(|p| p["metadata"]["name"] == row.name.as_str());
            let why = match (line, pod) {
                (Some(line), Some(pod)) => row.expect.differs(line, pod)?,
                _ => "is not listed".to_owned(),
            };
            Some(format!("{} ({}): {why}", row.name, row.source))
        })
        .collect()
}

fn every_pod_ends_as_upstream() {
    let rows: Vec<Row> =
        serde_saphyr::from_str(include_str!("outcomes/pods.yaml")).expect("the table");
    assert!(rows.len() >= 60, "only {} rows", rows.len());
    let count = rows.len();
    let node = namespace("outcomes");
    let manifests: Vec<Value> = rows.iter().map(|row| row.manifest(&node.name)).collect();
    let list = json!({"apiVersion": "v1", "kind": "List", "items": manifests});
    node.kubectl_input(&["-n", "outcomes", "create", "-f", "-"], &list.to_string())
        .must();

    // A row counts once it was seen as expected: CrashLoopBackOff alternates with the runs between.
    let mut missing: Vec<&Row> = rows.iter().collect();
    let mut why = Vec::new();
    let started = Instant::now();
    while !missing.is_empty() && started.elapsed() < PATIENCE {
        why = differing(&node, &rows);
        missing.retain(|row| {
            why.iter()
                .any(|w| w.split(' ').next() == Some(row.name.as_str()))
        });
        std::thread::sleep(Duration::from_millis(200));
    }
    why.retain(|w| {
        missing
            .iter()
            .any(|row| w.split(' ').next() == Some(row.name.as_str()))
    });
    assert!(
        missing.is_empty(),
        "{} of {} pods are not as upstream's:\n{}\nnode log:\n{}",
        missing.len(),
        rows.len(),
        why.join("\n"),
        tail(&node.log(), 40)
    );
    // What must not happen (a restart, readiness) must not have happened in all this time either.
    let steady: Vec<Row> = rows
        .into_iter()
        .filter(|row| {
            row.expect.restarts.as_deref() == Some("0")
                && row.expect.status.as_ref().is_some_and(|s| !s.contains('|'))
        })
        .collect();
    let why = differing(&node, &steady);
    assert!(
        why.is_empty(),
        "did not stay as expected:\n{}",
        why.join("\n")
    );
    println!("outcomes: {count} pods as upstream's");
    node.kubectl(&["delete", "namespace", "outcomes", "--wait=false"])
        .must();
}
