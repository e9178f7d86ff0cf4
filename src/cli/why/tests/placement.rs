//! Pods without a node.

use super::*;

pub fn situations() -> Vec<Situation> {
    let mut big = unplaced("0/1 nodes are available: 1 Insufficient cpu.");
    big["spec"]["containers"][0]["resources"] = json!({"requests": {"cpu": "8"}});
    vec![
        (
            "too large",
            facts(big),
            &["it asks for 8000m of cpu, more than any node has at all (2000m)"],
        ),
        (
            "taken",
            facts(unplaced("0/1 nodes are available: 1 Insufficient memory.")),
            &["not enough is free", "coracle describe nodes"],
        ),
        (
            "selector",
            facts(unplaced(
                "0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector.",
            )),
            &["disk=fast", "kubectl label node n disk=fast"],
        ),
        (
            "taint",
            facts(unplaced(
                "0/1 nodes are available: 1 node(s) had untolerated taint {gpu: }.",
            )),
            &[
                "node n has the taint gpu:NoSchedule",
                "kubectl taint node n gpu:NoSchedule-",
            ],
        ),
        (
            "cordoned",
            facts(unplaced(
                "0/1 nodes are available: 1 node(s) were unschedulable.",
            )),
            &["kubectl uncordon"],
        ),
        (
            "no node",
            Facts {
                nodes: Some(Vec::new()),
                ..facts(unplaced("no nodes available to schedule pods"))
            },
            &["the cluster has no node", "sudo coracle up"],
        ),
        (
            "foreign scheduler",
            facts(pod(
                json!({"spec": {"nodeName": null, "schedulerName": "mine"}}),
            )),
            &["scheduler named \"mine\""],
        ),
    ]
}
