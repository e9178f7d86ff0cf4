//! Pods without a node.

use super::*;

pub fn situations() -> Vec<Situation> {
    let mut big = unplaced("0/1 nodes are available: 1 Insufficient cpu.");
    big["spec"]["containers"][0]["resources"] = json!({"requests": {"cpu": "8"}});
    vec![
        (
            "too large",
            facts(big),
            &[
                "it asks for 8 of cpu, more than any node has at all (2)",
                "--sort-by=cpu",
            ],
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
            &["disk=fast", "coracle label node n disk=fast"],
        ),
        (
            "taint",
            facts(unplaced(
                "0/1 nodes are available: 1 node(s) had untolerated taint {gpu: }.",
            )),
            &[
                "node n has the taint gpu:NoSchedule",
                "coracle taint node n gpu:NoSchedule-",
            ],
        ),
        (
            "cordoned",
            facts(unplaced(
                "0/1 nodes are available: 1 node(s) were unschedulable.",
            )),
            &["coracle uncordon"],
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
        (
            "spread",
            facts({
                let mut pod = unplaced(
                    "0/2 nodes are available: 1 node(s) didn't match pod anti-affinity rules, 1 node(s) didn't match pod topology spread constraints. preemption: 0/2 nodes are available: 2 No preemption victims found for incoming pod.",
                );
                pod["spec"]["topologySpreadConstraints"] = json!([{"topologyKey": "zone"}]);
                pod["spec"]["affinity"] = json!({"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [{"topologyKey": "rack"}]}});
                pod
            }),
            &[
                "keeps it away from pods that run already (by rack)",
                "(by zone, DoNotSchedule) would be unequal",
                "no pod of lower priority could make room",
            ],
        ),
        (
            "nominated",
            facts({
                let mut pod = unplaced("0/1 nodes are available: 1 Insufficient cpu.");
                pod["status"]["nominatedNodeName"] = json!("n");
                pod
            }),
            &["room is being made for it on node n"],
        ),
    ]
}
