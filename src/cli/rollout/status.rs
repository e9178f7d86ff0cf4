//! How far a rollout is, in kubectl's words. Pure.

use crate::object::access::{integer, list, text};
use serde_json::Value;

/// A line, and whether it is the last one.
#[derive(Debug, PartialEq, Eq)]
pub struct Status {
    pub text: String,
    pub done: bool,
}

fn waiting(text: String) -> Status {
    Status { text, done: false }
}

fn done(text: String) -> Status {
    Status { text, done: true }
}

/// # Errors
/// The rollout has failed, is of another revision, or its strategy knows no rollouts.
pub fn of(kind: &str, object: &Value, revision: i64) -> Result<Status, anyhow::Error> {
    match kind {
        "Deployment" => deployment(object, revision),
        "DaemonSet" => daemon_set(object),
        _ => stateful_set(object),
    }
}

fn observed(object: &Value) -> bool {
    integer(object, "/metadata/generation") <= integer(object, "/status/observedGeneration")
}

fn deployment(object: &Value, revision: i64) -> Result<Status, anyhow::Error> {
    let name = text(object, "/metadata/name");
    let status = |field: &str| integer(object, &format!("/status/{field}"));
    if revision > 0 {
        let running = super::history::revision_of(object).unwrap_or_default();
        anyhow::ensure!(
            running == revision,
            "desired revision ({revision}) is different from the running revision ({running})"
        );
    }
    if !observed(object) {
        return Ok(waiting(
            "Waiting for deployment spec update to be observed...".to_owned(),
        ));
    }
    let late = list(object, "/status/conditions").iter().any(|condition| {
        text(condition, "/type") == "Progressing"
            && text(condition, "/reason") == "ProgressDeadlineExceeded"
    });
    anyhow::ensure!(!late, "deployment {name:?} exceeded its progress deadline");
    let wanted = object
        .pointer("/spec/replicas")
        .and_then(Value::as_i64)
        .unwrap_or(1);
    let (all, updated, available) = (
        status("replicas"),
        status("updatedReplicas"),
        status("availableReplicas"),
    );
    let head = format!("Waiting for deployment {name:?} rollout to finish:");
    Ok(if updated < wanted {
        waiting(format!(
            "{head} {updated} out of {wanted} new replicas have been updated..."
        ))
    } else if all > updated {
        waiting(format!(
            "{head} {} old replicas are pending termination...",
            all - updated
        ))
    } else if available < updated {
        waiting(format!(
            "{head} {available} of {updated} updated replicas are available..."
        ))
    } else {
        done(format!("deployment {name:?} successfully rolled out"))
    })
}

/// Only rolling updates have a status.
fn rolling(object: &Value) -> Result<(), anyhow::Error> {
    anyhow::ensure!(
        matches!(
            text(object, "/spec/updateStrategy/type"),
            "RollingUpdate" | ""
        ),
        "rollout status is only available for RollingUpdate strategy type"
    );
    Ok(())
}

fn daemon_set(object: &Value) -> Result<Status, anyhow::Error> {
    rolling(object)?;
    let name = text(object, "/metadata/name");
    let status = |field: &str| integer(object, &format!("/status/{field}"));
    if !observed(object) {
        return Ok(waiting(
            "Waiting for daemon set spec update to be observed...".to_owned(),
        ));
    }
    let (wanted, updated, available) = (
        status("desiredNumberScheduled"),
        status("updatedNumberScheduled"),
        status("numberAvailable"),
    );
    let head = format!("Waiting for daemon set {name:?} rollout to finish:");
    Ok(if updated < wanted {
        waiting(format!(
            "{head} {updated} out of {wanted} new pods have been updated..."
        ))
    } else if available < wanted {
        waiting(format!(
            "{head} {available} of {wanted} updated pods are available..."
        ))
    } else {
        done(format!("daemon set {name:?} successfully rolled out"))
    })
}

fn stateful_set(object: &Value) -> Result<Status, anyhow::Error> {
    rolling(object)?;
    let status = |field: &str| integer(object, &format!("/status/{field}"));
    if status("observedGeneration") == 0 || !observed(object) {
        return Ok(waiting(
            "Waiting for statefulset spec update to be observed...".to_owned(),
        ));
    }
    let wanted = object
        .pointer("/spec/replicas")
        .and_then(Value::as_i64)
        .unwrap_or(1);
    let (ready, updated) = (status("readyReplicas"), status("updatedReplicas"));
    if ready < wanted {
        return Ok(waiting(format!(
            "Waiting for {} pods to be ready...",
            wanted - ready
        )));
    }
    let partition = object.pointer("/spec/updateStrategy/rollingUpdate/partition");
    if let Some(partition) = partition.and_then(Value::as_i64) {
        let part = wanted - partition;
        return Ok(if updated < part {
            waiting(format!(
                "Waiting for partitioned roll out to finish: {updated} out of {part} new pods have been updated..."
            ))
        } else {
            done(format!(
                "partitioned roll out complete: {updated} new pods have been updated..."
            ))
        });
    }
    let revision = text(object, "/status/updateRevision");
    Ok(if revision == text(object, "/status/currentRevision") {
        let current = status("currentReplicas");
        done(format!(
            "statefulset rolling update complete {current} pods at revision {revision}..."
        ))
    } else {
        waiting(format!(
            "waiting for statefulset rolling update to complete {updated} pods at revision {revision}..."
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn deployments() {
        let object = |status: Value| json!({"metadata": {"name": "web", "generation": 2}, "spec": {"replicas": 2}, "status": status});
        for (status, expected) in [
            (json!({}), "observed..."),
            (
                json!({"observedGeneration": 2, "updatedReplicas": 1}),
                "1 out of 2 new replicas",
            ),
            (
                json!({"observedGeneration": 2, "updatedReplicas": 2, "replicas": 3}),
                "1 old replicas",
            ),
            (
                json!({"observedGeneration": 2, "updatedReplicas": 2, "replicas": 2}),
                "0 of 2 updated",
            ),
            (
                json!({"observedGeneration": 2, "updatedReplicas": 2, "replicas": 2, "availableReplicas": 2}),
                "deployment \"web\" successfully rolled out",
            ),
            (
                json!({"observedGeneration": 2, "conditions": [{"type": "Progressing", "reason": "ProgressDeadlineExceeded"}]}),
                "deployment \"web\" exceeded its progress deadline",
            ),
        ] {
            let said = of("Deployment", &object(status), 0)
                .map_or_else(|error| error.to_string(), |status| status.text);
            assert!(said.contains(expected), "{said}");
        }
        assert!(of("Deployment", &object(json!({})), 5).is_err());
    }

    #[test]
    fn sets() {
        let daemon = json!({"metadata": {"name": "d"}, "status": {"desiredNumberScheduled": 1, "updatedNumberScheduled": 1}});
        let said = of("DaemonSet", &daemon, 0)
            .map(|status| status.text)
            .unwrap_or_default();
        assert!(said.contains("0 of 1 updated pods are available"), "{said}");
        let stateful = json!({"spec": {"replicas": 1}, "status": {"observedGeneration": 1, "readyReplicas": 1, "currentReplicas": 1}});
        assert!(of("StatefulSet", &stateful, 0).is_ok_and(|status| status.done));
        assert!(
            of(
                "StatefulSet",
                &json!({"spec": {"updateStrategy": {"type": "OnDelete"}}}),
                0
            )
            .is_err()
        );
    }
}
