//! Where the pod may run, and whether that place is well.

use super::cause::Cause;
use super::facts::{Facts, Lookup, condition};
use crate::object::access::{list, map, present, text, truth};
use crate::object::quantity::Quantity;
use serde_json::Value;

/// From what the scheduler said to a cause.
type Judge = fn(&Facts, &str) -> Cause;

/// A pod without a node.
pub fn causes(facts: &Facts) -> Vec<Cause> {
    let scheduled = facts.condition("PodScheduled");
    let event = facts.event(&["FailedScheduling"], "");
    let message = match (text(scheduled, "/message"), event) {
        ("", Some(event)) => text(event, "/message"),
        (message, _) => message,
    };
    if text(scheduled, "/reason") == "SchedulingGated"
        || present(&facts.pod, "/spec/schedulingGates/0")
    {
        let gates: Vec<&str> = list(&facts.pod, "/spec/schedulingGates")
            .iter()
            .map(|gate| text(gate, "/name"))
            .collect();
        return vec![
            Cause::new(format!(
                "it is held back by its scheduling gates: {}",
                gates.join(", ")
            ))
            .said(message)
            .mend("whoever set them removes them when the pod may start; see whether that runs"),
        ];
    }
    let no_node = facts.nodes.as_ref().is_some_and(Vec::is_empty);
    if no_node {
        return vec![
            Cause::new("the cluster has no node it could run on")
                .said(message)
                .mend("start one (as root, on a machine of the cluster)")
                .command("sudo coracle up"),
        ];
    }
    let mut causes = super::storage::claims(facts);
    let known: [(&[&str], Judge); 8] = [
        (&["Insufficient", "Too many pods"], resources),
        (&["untolerated taint", "had taint"], taints),
        (
            &["node affinity", "node selector", "affinity/selector"],
            selector,
        ),
        (&["unschedulable"], cordoned),
        (&["free ports", "free host ports"], ports),
        (
            &[
                "persistentvolumeclaim",
                "PersistentVolumeClaim",
                "persistent volume",
                "volume node affinity",
            ],
            volume,
        ),
        (
            &["anti-affinity", "pod affinity rules", "topology spread"],
            spread,
        ),
        (&["not ready", "NotReady"], not_ready),
    ];
    for (words, judge) in known {
        if words.iter().any(|word| message.contains(word)) {
            causes.push(judge(facts, message));
        }
    }
    if causes.is_empty() && message.is_empty() {
        let scheduler = text(&facts.pod, "/spec/schedulerName");
        causes.push(if matches!(scheduler, "" | "default-scheduler") {
            Cause::new("no node has been chosen for it yet")
                .mend("wait a moment; if it stays so, see whether the server's scheduler runs and what it says")
                .command(facts.command(&format!("events --for pod/{} -w", facts.name())))
        } else {
            Cause::new(format!("it waits for a scheduler named {scheduler:?}, which has not looked at it"))
                .mend("start that scheduler, or leave schedulerName out of the manifest")
        });
    } else if causes.is_empty() {
        causes.push(
            Cause::new("no node is suitable for it")
                .said(message)
                .mend("compare what the pod wants with what the nodes have")
                .command("coracle describe nodes"),
        );
    }
    preemption(facts, causes, message)
}

fn unplaced(what: &str, message: &str) -> Cause {
    Cause::new(format!("no node takes it: {what}")).said(message)
}

fn resources(facts: &Facts, message: &str) -> Cause {
    let mut cause = unplaced("not enough is free", message);
    for resource in ["cpu", "memory", "ephemeral-storage"] {
        if !message.contains(&format!("Insufficient {resource}")) {
            continue;
        }
        let wanted = requested(&facts.pod, resource);
        let largest = facts
            .nodes
            .iter()
            .flatten()
            .filter_map(|node| amount(map(node, "/status/allocatable").get(resource)))
            .max();
        cause = match largest {
            Some(largest) if wanted > largest => cause.because(format!(
                "it asks for {} of {resource}, more than any node has at all ({})",
                shown(resource, wanted),
                shown(resource, largest)
            )),
            Some(largest) => cause.because(format!(
                "it asks for {} of {resource}; other pods have taken too much of the {} that the largest node has",
                shown(resource, wanted),
                shown(resource, largest)
            )),
            None => cause.because(format!("it asks for {} of {resource}", shown(resource, wanted))),
        };
    }
    let most = if message.contains("Insufficient cpu") {
        "cpu"
    } else {
        "memory"
    };
    if message.contains("Too many pods") {
        cause = cause.because("the nodes have as many pods as they may");
    }
    cause
        .mend("lower resources.requests in the manifest, delete pods that are not needed, or add a node")
        .command("coracle describe nodes")
        .command(format!("coracle top pod -A --sort-by={most}"))
}

fn amount(value: Option<&Value>) -> Option<Quantity> {
    Quantity::parse(value?.as_str()?).ok()
}

/// What the containers ask for together, or the largest init container if that is more.
fn requested(pod: &Value, resource: &str) -> Quantity {
    let of = |group: &str| {
        list(pod, group)
            .iter()
            .filter_map(|container| amount(map(container, "/resources/requests").get(resource)))
            .collect::<Vec<_>>()
    };
    let together = of("/spec/containers")
        .iter()
        .fold(0_i128, |sum, one| sum.saturating_add(one.nano));
    let init = of("/spec/initContainers")
        .iter()
        .map(|one| one.nano)
        .max()
        .unwrap_or(0);
    Quantity {
        nano: together.max(init),
    }
}

fn shown(resource: &str, amount: Quantity) -> String {
    const MIB: i64 = 1 << 20;
    if resource == "cpu" {
        let milli = amount.milli();
        if milli % 1000 == 0 {
            (milli / 1000).to_string()
        } else {
            format!("{milli}m")
        }
    } else if amount.value() >= MIB {
        format!("{}Mi", amount.value() / MIB)
    } else {
        amount.value().to_string()
    }
}

fn taints(facts: &Facts, message: &str) -> Cause {
    let mut cause = unplaced(
        "nodes keep pods away by a taint that it does not tolerate",
        message,
    );
    let mut names = Vec::new();
    for node in facts.nodes.iter().flatten() {
        for taint in list(node, "/spec/taints") {
            names.push((
                text(node, "/metadata/name"),
                text(taint, "/key"),
                text(taint, "/effect"),
            ));
        }
    }
    for (node, key, effect) in names
        .iter()
        .filter(|(_, key, effect)| *effect != "PreferNoSchedule" && message.contains(key))
    {
        let why = match *key {
            "node.kubernetes.io/not-ready" | "node.kubernetes.io/unreachable" => {
                " (the node is not ready)"
            }
            "node.kubernetes.io/memory-pressure" => " (it is short of memory)",
            "node.kubernetes.io/disk-pressure" => " (its disk is full)",
            "node.kubernetes.io/pid-pressure" => " (it has too many processes)",
            "node.kubernetes.io/unschedulable" => " (it is cordoned)",
            _ => "",
        };
        cause = cause.because(format!("node {node} has the taint {key}:{effect}{why}"));
    }
    let own = names
        .iter()
        .find(|(_, key, _)| !key.starts_with("node.kubernetes.io/") && message.contains(key));
    match own {
        Some((node, key, effect)) => cause
            .mend("give the pod a toleration, or take the taint away")
            .command(format!("coracle taint node {node} {key}:{effect}-")),
        None => cause
            .mend("mend what the node suffers from, or give the pod a toleration")
            .command("coracle describe nodes"),
    }
}

fn selector(facts: &Facts, message: &str) -> Cause {
    let wanted: Vec<String> = map(&facts.pod, "/spec/nodeSelector")
        .iter()
        .map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default()))
        .collect();
    let mut cause = unplaced("no node has the labels it asks for", message);
    if !wanted.is_empty() {
        cause = cause.because(format!("its nodeSelector is {}", wanted.join(",")));
    }
    let node = facts
        .nodes
        .iter()
        .flatten()
        .next()
        .map_or("<node>", |node| text(node, "/metadata/name"));
    let label = wanted.first().map_or("<key>=<value>", String::as_str);
    cause
        .mend("label a node so, or change spec.nodeSelector or spec.affinity")
        .command("coracle get nodes --show-labels")
        .command(format!("coracle label node {node} {label}"))
}

fn cordoned(facts: &Facts, message: &str) -> Cause {
    let nodes: Vec<&str> = facts
        .nodes
        .iter()
        .flatten()
        .filter(|node| truth(node, "/spec/unschedulable"))
        .map(|node| text(node, "/metadata/name"))
        .collect();
    unplaced("nodes are cordoned, so nothing new is put on them", message)
        .mend("let them take pods again")
        .command(format!(
            "coracle uncordon {}",
            if nodes.is_empty() {
                "<node>".to_owned()
            } else {
                nodes.join(" ")
            }
        ))
}

fn ports(_: &Facts, message: &str) -> Cause {
    unplaced("another pod has its hostPort on every node", message)
        .mend("leave hostPort out and use a Service, or choose another port")
}

fn volume(facts: &Facts, message: &str) -> Cause {
    unplaced("its volumes cannot be had on any node", message)
        .mend("see its claims and volumes")
        .command(facts.command("get pvc"))
        .command("coracle get pv")
}

/// Affinity, anti-affinity and spread rules: each that the message names, with what it asks for.
fn spread(facts: &Facts, message: &str) -> Cause {
    let pod = &facts.pod;
    let keys = |pointer: &str| {
        let keys: Vec<&str> = list(pod, pointer)
            .iter()
            .map(|term| text(term, "/topologyKey"))
            .collect();
        keys.join(", ")
    };
    let mut cause = unplaced("its affinity or spread rules leave no node over", message);
    if message.contains("match pod affinity rules") {
        let pointer = "/spec/affinity/podAffinity/requiredDuringSchedulingIgnoredDuringExecution";
        cause = cause.because(format!(
            "its podAffinity wants to be where certain pods run (by {}), and none runs there",
            keys(pointer)
        ));
    }
    if message.contains("match pod anti-affinity rules") {
        let pointer =
            "/spec/affinity/podAntiAffinity/requiredDuringSchedulingIgnoredDuringExecution";
        cause = cause.because(format!(
            "its podAntiAffinity keeps it away from pods that run already (by {})",
            keys(pointer)
        ));
    }
    if message.contains("existing pods anti-affinity") {
        cause = cause.because("the podAntiAffinity of a pod that runs already keeps it away");
    }
    if message.contains("topology spread constraints") {
        let missing = if message.contains("missing required label") {
            "; nodes lack that label"
        } else {
            ""
        };
        cause = cause.because(format!(
            "its topologySpreadConstraints (by {}, DoNotSchedule) would be unequal{missing}",
            keys("/spec/topologySpreadConstraints")
        ));
    }
    cause.mend("loosen spec.affinity or spec.topologySpreadConstraints (preferred instead of required, ScheduleAnyway), or add a node")
}

/// What the scheduler said of making room by taking pods of lower priority away.
/// <https://kubernetes.io/docs/concepts/scheduling-eviction/pod-priority-preemption/>
fn preemption(facts: &Facts, mut causes: Vec<Cause>, message: &str) -> Vec<Cause> {
    let nominated = text(&facts.pod, "/status/nominatedNodeName");
    let why = if !nominated.is_empty() {
        format!(
            "room is being made for it on node {nominated}: pods of lower priority are ending there"
        )
    } else if message.contains("No preemption victims found") {
        "no pod of lower priority could make room for it".to_owned()
    } else {
        return causes;
    };
    if let Some(cause) = causes.last_mut() {
        cause.because.push(why);
    }
    causes
}

fn not_ready(_: &Facts, message: &str) -> Cause {
    unplaced("nodes are not ready", message)
        .mend("see what the nodes say")
        .command("coracle get nodes")
        .command("coracle describe nodes")
}

/// The node it is bound to.
pub fn node(facts: &Facts) -> Vec<Cause> {
    let name = text(&facts.pod, "/spec/nodeName");
    match &facts.node {
        Some(Lookup::Missing) => vec![
            Cause::new(format!("its node {name} does not exist (any more)"))
                .mend("start the node again under its name, or delete the pod and let another be put elsewhere")
                .command(facts.command(&format!("delete pod {} --grace-period=0 --force", facts.name()))),
        ],
        Some(Lookup::There(node)) => {
            let ready = condition(node, "Ready");
            match text(ready, "/status") {
                "True" | "" => Vec::new(),
                status => {
                    let silent = status == "Unknown";
                    let what = if silent {
                        format!("its node {name} has not been heard of since {}: what is known of the pod may be old", text(ready, "/lastHeartbeatTime"))
                    } else {
                        format!("its node {name} is not ready{}", super::judge::in_brackets(text(ready, "/reason")))
                    };
                    vec![
                        Cause::new(what)
                            .said(text(ready, "/message"))
                            .mend(if silent {
                                "see whether the machine is on, has network, and coracle runs on it (there: sudo coracle up)"
                            } else {
                                "mend what the message names; on the node, the doctor may know more"
                            })
                            .command(format!("coracle describe node {name}"))
                            .command("sudo coracle doctor"),
                    ]
                }
            }
        }
        Some(Lookup::Unknown) | None => Vec::new(),
    }
}
