//! Pods that are over, going, or on a node that is not well.

use super::*;

pub fn situations() -> Vec<Situation> {
    let going = |deleted: &str, more: Value| {
        let mut pod = healthy();
        pod["metadata"]["deletionTimestamp"] = json!(deleted);
        pod["metadata"]["deletionGracePeriodSeconds"] = json!(30);
        json_patch::merge(&mut pod, &more);
        pod
    };
    let mut init = pod(
        json!({"spec": {"initContainers": [{"name": "setup", "image": "i"}]}, "status": {
        "initContainerStatuses": [{"name": "setup", "restartCount": 2, "state": {"waiting": {"reason": "CrashLoopBackOff"}},
            "lastState": {"terminated": {"exitCode": 3, "reason": "Error"}}}],
        "containerStatuses": [{"name": "app", "state": {"waiting": {"reason": "PodInitializing"}}}]}}),
    );
    init["status"]["phase"] = json!("Pending");
    let sick = |status: &str| {
        let mut facts = facts(healthy());
        facts.node = Some(Lookup::There(json!({"status": {"conditions": [
            {"type": "Ready", "status": status, "reason": "KubeletNotReady", "message": "no network", "lastHeartbeatTime": "then"}]}})));
        facts
    };
    vec![
        (
            "evicted for memory",
            facts(over(
                "Evicted",
                "The node was low on resource: memory. Threshold quantity: 100Mi",
            )),
            &[
                "the node was short of memory",
                "a failed pod never starts again",
            ],
        ),
        (
            "evicted by itself",
            facts(over(
                "Evicted",
                "Usage of EmptyDir volume \"v\" exceeds the limit \"1Mi\".",
            )),
            &["its own limit"],
        ),
        (
            "node affinity",
            facts(over("NodeAffinity", "Pod was rejected")),
            &["labels do not match"],
        ),
        (
            "out of cpu",
            facts(over(
                "OutOfcpu",
                "Node didn't have enough resource: cpu, requested: 4000, used: 1, capacity: 2000",
            )),
            &["not enough cpu is free there (OutOfcpu)", "requested: 4000"],
        ),
        (
            "sysctl",
            facts(over(
                "SysctlForbidden",
                "forbidden sysctl: \"kernel.x\" not allowlisted",
            )),
            &["not on the list of safe ones"],
        ),
        (
            "deadline",
            facts(pod(
                json!({"spec": {"activeDeadlineSeconds": 5}, "status": {"phase": "Failed", "reason": "DeadlineExceeded"}}),
            )),
            &["longer than its activeDeadlineSeconds of 5 s"],
        ),
        (
            "failed",
            facts(pod(
                json!({"spec": {"restartPolicy": "Never"}, "status": {"phase": "Failed", "containerStatuses": [{"name": "app", "state": {"terminated": {"exitCode": 2, "reason": "Error"}}}]}}),
            )),
            &[
                "ended with exit code 2 (Error) and does not start again",
                "delete pod web",
            ],
        ),
        (
            "init container",
            facts(init),
            &[
                "init container \"setup\" ends again and again",
                "start after its init containers",
                "ended with code 3",
                "-c setup --previous",
            ],
        ),
        (
            "stopping",
            facts(going("1970-01-01T00:16:50Z", json!({}))),
            &["ends in 10s", "delete pod web --now"],
        ),
        (
            "finalizers",
            facts(going(
                "1970-01-01T00:10:00Z",
                json!({"metadata": {"finalizers": ["example.com/keep"]}}),
            )),
            &[
                "held back by its finalizers: example.com/keep",
                "finalizers\":null",
            ],
        ),
        (
            "unkillable",
            facts(going("1970-01-01T00:10:00Z", json!({}))),
            &["still runs", "stuck in the kernel"],
        ),
        (
            "deleted on a lost node",
            Facts {
                node: Some(Lookup::Missing),
                ..facts(going("1970-01-01T00:10:00Z", json!({})))
            },
            &["does not exist any more", "--grace-period=0 --force"],
        ),
        (
            "node not ready",
            sick("False"),
            &["its node n is not ready (KubeletNotReady)", "no network"],
        ),
        (
            "node silent",
            sick("Unknown"),
            &["has not been heard of since then"],
        ),
        (
            "node gone",
            Facts {
                node: Some(Lookup::Missing),
                ..facts(healthy())
            },
            &["its node n does not exist"],
        ),
        (
            "just bound",
            facts(pod(json!({}))),
            &["node n has not begun with it yet"],
        ),
    ]
}
