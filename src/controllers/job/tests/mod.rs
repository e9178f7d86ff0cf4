//! A row per rule: a Job and its pods, and what is to be done.
#![allow(clippy::unwrap_used)]

mod failures;
mod lifetime;
mod pods_of_it;

use super::*;
use serde_json::Value;

pub const NOW: &str = "2026-01-01T01:00:00Z";

pub fn now() -> Timestamp {
    NOW.parse().unwrap()
}

/// A Job that has begun an hour ago, with these fields of its spec and status.
pub fn job(spec: Value, status: Value) -> Value {
    let mut job = json!({"apiVersion": "batch/v1", "kind": "Job",
        "metadata": {"namespace": "n", "name": "j", "uid": "J"},
        "spec": {"parallelism": 1, "completions": 1, "backoffLimit": 6, "suspend": false,
            "selector": {"matchLabels": {"job": "j"}}, "podReplacementPolicy": "TerminatingOrFailed",
            "template": {"metadata": {"labels": {"job": "j"}},
                "spec": {"restartPolicy": "Never", "containers": [{"name": "c"}]}}},
        "status": {"startTime": "2026-01-01T00:00:00Z", "ready": 0, "terminating": 0, "uncountedTerminatedPods": {}}});
    for (part, fields) in [("spec", spec), ("status", status)] {
        for (key, value) in fields.as_object().unwrap() {
            job[part][key] = value.clone();
        }
    }
    job
}

/// `name state`, where the state has a letter for the phase (P, R, S, F), then `i3` for an index, `-` for no
/// finalizer, `d` for being deleted, `r` for ready, `x2` for an exit code, `n1` for failures of its index before,
/// `@` and minutes since it ended.
pub fn pod(text: &str) -> Value {
    let mut parts = text.split(' ');
    let name = parts.next().unwrap();
    let mut pod = json!({"apiVersion": "v1", "kind": "Pod",
        "metadata": {"namespace": "n", "name": name, "uid": name, "labels": {"job": "j"}, "annotations": {},
            "creationTimestamp": "2026-01-01T00:00:00Z", "finalizers": [pods::FINALIZER],
            "ownerReferences": [{"apiVersion": "batch/v1", "kind": "Job", "name": "j", "uid": "J", "controller": true}]},
        "spec": {"containers": [{"name": "c"}], "nodeName": "node"}, "status": {"phase": "Running"}});
    let mut ended_minutes = 30;
    let mut exit = None;
    for part in parts {
        let rest = &part[1..];
        match &part[..1] {
            "P" => pod["status"]["phase"] = "Pending".into(),
            "R" => {}
            "S" => (pod["status"]["phase"], exit) = ("Succeeded".into(), exit.or(Some(0))),
            "F" => (pod["status"]["phase"], exit) = ("Failed".into(), exit.or(Some(1))),
            "i" => pod["metadata"]["annotations"][pods::INDEX] = rest.into(),
            "n" => pod["metadata"]["annotations"][pods::INDEX_FAILURES] = rest.into(),
            "-" => pod["metadata"]["finalizers"] = json!([]),
            "d" => pod["metadata"]["deletionTimestamp"] = "2026-01-01T00:59:00Z".into(),
            "r" => {
                pod["status"]["conditions"] = json!([{"type": "Ready", "status": "True"}]);
            }
            "D" => {
                pod["status"]["conditions"] =
                    json!([{"type": "DisruptionTarget", "status": "True"}]);
            }
            "x" => exit = Some(rest.parse().unwrap()),
            "@" => ended_minutes = rest.parse().unwrap(),
            _ => panic!("{part}"),
        }
    }
    if let Some(code) = exit {
        let at = clock::after(now(), -60 * ended_minutes).to_string();
        pod["status"]["containerStatuses"] = json!([{"name": "c", "image": "", "imageID": "", "ready": false,
            "restartCount": 0, "state": {"terminated": {"exitCode": code, "finishedAt": at}}}]);
    }
    pod
}

pub fn plan(job: &Value, pods: &[&str]) -> Plan {
    let mut objects = vec![job.clone()];
    objects.extend(pods.iter().map(|text| pod(text)));
    let world = World::of(&objects);
    Jobs.reconcile(&world, &("n".into(), "j".into()), now())
}

/// The actions in a line: `status …; free a b; delete a; create 2; events …`.
pub fn line(plan: &Plan) -> String {
    let mut words: Vec<String> = plan.actions.iter().map(word).collect();
    words.retain(|word| !word.is_empty());
    words.join("; ")
}

fn word(action: &Action) -> String {
    match action {
        Action::SetStatus { status, .. } => format!("status {}", brief(status)),
        Action::Tell { reason, .. } => format!("tell {reason}"),
        Action::Batch(all) => {
            let words: Vec<String> = all.iter().map(word).collect();
            let verb = words[0].split(' ').next().unwrap_or_default().to_owned();
            let rest = words.iter().map(|w| w[verb.len()..].trim());
            format!("{verb} {}", rest.collect::<Vec<_>>().join(" "))
        }
        Action::Report { action, done, .. } => match done.as_slice() {
            [next @ Action::Report { .. }] => format!("drop{}", &word(next)[6..]),
            _ => word(action),
        },
        Action::Patch { target, .. } => format!("free {}", target.name),
        Action::Delete { target, .. } => format!("delete {}", target.name),
        Action::Create { object, .. } => {
            let annotations = &object["metadata"]["annotations"];
            let index = annotations[pods::INDEX].as_str().unwrap_or("pod");
            let failures = annotations[pods::INDEX_FAILURES].as_str();
            let failures = failures.map(|n| format!("/{n}")).unwrap_or_default();
            format!("create {index}{failures}")
        }
        other => panic!("{other:?}"),
    }
}

fn brief(status: &Value) -> String {
    let mut parts = Vec::new();
    for field in ["active", "ready", "terminating", "succeeded", "failed"] {
        if let Some(number) = status[field].as_i64().filter(|n| *n > 0) {
            parts.push(format!("{field}={number}"));
        }
    }
    for field in ["completedIndexes", "failedIndexes"] {
        if let Some(text) = status[field].as_str() {
            parts.push(format!("{field}={text}"));
        }
    }
    for list in ["succeeded", "failed"] {
        for uid in status["uncountedTerminatedPods"][list]
            .as_array()
            .into_iter()
            .flatten()
        {
            parts.push(format!("+{list}:{}", uid.as_str().unwrap()));
        }
    }
    for condition in status["conditions"].as_array().into_iter().flatten() {
        let sign = if condition["status"] == "True" {
            ""
        } else {
            "!"
        };
        let word = |key: &str| condition[key].as_str().unwrap_or_default().to_owned();
        parts.push(format!("{sign}{}:{}", word("type"), word("reason")));
    }
    parts.join(" ")
}

fn check(rows: &[(&str, Value, Value, &[&str], &str)]) {
    for (rule, spec, status, pods, expected) in rows {
        let found = line(&plan(&job(spec.clone(), status.clone()), pods));
        assert_eq!(found, *expected, "{rule}");
    }
}
