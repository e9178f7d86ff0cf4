//! Deployments, ReplicaSets, StatefulSets and DaemonSets that are short of pods.
//! <https://kubernetes.io/docs/concepts/workloads/controllers/deployment/#deployment-status>

use super::case::Case;
use super::cause::Cause;
use crate::object::access::{integer, map, text, truth};
use crate::object::time;

/// A controller's look at a new spec takes no longer than this, in seconds, unless it is busy or away.
const LOOK_SECONDS: i64 = 5;

pub fn deployment(case: &Case) -> Vec<Cause> {
    let mut causes = unseen(case);
    let progressing = case.condition("Progressing");
    let name = case.name();
    if truth(&case.object, "/spec/paused") {
        causes.push(
            Cause::new("its roll-out is paused: changes of its template wait")
                .mend("resume it")
                .command(case.command(&format!("rollout resume deployment/{name}"))),
        );
    }
    causes.extend(no_pods_made(case));
    if text(progressing, "/status") == "False" {
        let limit = integer(&case.object, "/spec/progressDeadlineSeconds");
        let cause = Cause::new(format!(
            "its roll-out has made no progress for {} (progressDeadlineSeconds)",
            time::human(if limit == 0 { 600 } else { limit })
        ))
        .said(text(progressing, "/message"));
        let cause = case.blame_pod(cause);
        causes.push(if has_revision_before(case) {
            cause
                .mend("or go back to the revision before")
                .command(case.command(&format!("rollout undo deployment/{name}")))
        } else {
            cause
        });
    } else if causes.is_empty() {
        causes.extend(short(case, "/spec/replicas", "/status/availableReplicas"));
    }
    causes
}

/// A first revision has none to go back to.
fn has_revision_before(case: &Case) -> bool {
    let annotations = map(&case.object, "/metadata/annotations");
    let revision = annotations.get("deployment.kubernetes.io/revision");
    revision.and_then(|revision| revision.as_str()) != Some("1")
}

pub fn replica_set(case: &Case) -> Vec<Cause> {
    let mut causes = unseen(case);
    causes.extend(no_pods_made(case));
    if causes.is_empty() {
        causes.extend(short(case, "/spec/replicas", "/status/readyReplicas"));
    }
    causes
}

pub fn stateful_set(case: &Case) -> Vec<Cause> {
    let mut causes = unseen(case);
    causes.extend(no_pods_made(case));
    if causes.is_empty() {
        let ordered = text(&case.object, "/spec/podManagementPolicy") != "Parallel";
        causes.extend(
            short(case, "/spec/replicas", "/status/readyReplicas").map(|cause| {
                if ordered {
                    cause.because(
                        "its pods start one after the other, each when the one before is ready (podManagementPolicy OrderedReady)",
                    )
                } else {
                    cause
                }
            }),
        );
    }
    causes
}

pub fn daemon_set(case: &Case) -> Vec<Cause> {
    let mut causes = unseen(case);
    causes.extend(no_pods_made(case));
    let wanted = integer(&case.object, "/status/desiredNumberScheduled");
    if causes.is_empty() && wanted == 0 {
        let selector = map(&case.object, "/spec/template/spec/nodeSelector");
        let labels: Vec<String> = selector
            .iter()
            .map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default()))
            .collect();
        let why = if labels.is_empty() {
            "taints of the nodes, or its node affinity, keep it away".to_owned()
        } else {
            format!("no node has the labels {}", labels.join(","))
        };
        causes.push(
            Cause::new("no node is to run it")
                .because(why)
                .mend("label a node so, or change spec.template.spec (nodeSelector, affinity, tolerations)")
                .command("coracle get nodes --show-labels"),
        );
    } else if causes.is_empty() {
        causes.extend(short(
            case,
            "/status/desiredNumberScheduled",
            "/status/numberReady",
        ));
    }
    causes
}

/// The spec is newer than what the controller has seen.
fn unseen(case: &Case) -> Vec<Cause> {
    let generation = integer(&case.object, "/metadata/generation");
    let seen = integer(&case.object, "/status/observedGeneration");
    let age = case.since("/metadata/creationTimestamp").unwrap_or(0);
    if seen >= generation || age < LOOK_SECONDS {
        return Vec::new();
    }
    vec![
        Cause::new(format!(
            "its controller has not looked at its newest version yet (generation {generation}, seen {seen})"
        ))
        .mend("wait a moment; if it stays so, see whether the server is well")
        .command("coracle get nodes"),
    ]
}

/// Pods cannot even be created: a quota, an admission rule, a missing service account.
fn no_pods_made(case: &Case) -> Option<Cause> {
    let failure = case.condition("ReplicaFailure");
    let message = if text(failure, "/status") == "True" {
        text(failure, "/message")
    } else {
        // The other kinds have no such condition; an event of long ago says nothing of now.
        let event = case.event(&["FailedCreate"])?;
        let made = case.event(&["SuccessfulCreate"]);
        let newer = made
            .is_some_and(|made| super::facts::last_seen(made) >= super::facts::last_seen(event));
        if newer {
            return None;
        }
        text(event, "/message")
    };
    let cause = Cause::new("its pods cannot be created").said(message);
    Some(if message.contains("quota") {
        cause
            .mend("free some of the namespace's quota, ask for less, or raise the quota")
            .command(case.command("describe resourcequota"))
    } else if message.contains("serviceaccount") || message.contains("service account") {
        cause
            .mend("create the service account, or correct spec.template.spec.serviceAccountName")
            .command(case.command("get serviceaccounts"))
    } else {
        cause.mend("correct its pod template, or what the message names")
    })
}

/// Fewer pods than wanted.
fn short(case: &Case, wanted: &str, there: &str) -> Option<Cause> {
    let wanted = match case.object.pointer(wanted) {
        Some(value) => value.as_i64().unwrap_or_default(),
        None => 1,
    };
    let there = integer(&case.object, there);
    (there < wanted)
        .then(|| case.blame_pod(Cause::new(format!("{there} of {wanted} pods are ready"))))
}
