//! A pod that its node, a deadline or a lack of resources has put to an end: phase Failed with a reason.
//! <https://kubernetes.io/docs/concepts/scheduling-eviction/node-pressure-eviction/>

use super::cause::Cause;
use super::facts::Facts;
use crate::object::access::{integer, text};

/// `None` where the pod failed by its containers alone.
pub fn cause(facts: &Facts) -> Option<Cause> {
    let reason = text(&facts.pod, "/status/reason");
    let message = text(&facts.pod, "/status/message");
    let node = text(&facts.pod, "/spec/nodeName");
    let cause = match reason {
        "" => return None,
        "Evicted" => evicted(facts, node, message),
        "DeadlineExceeded" => Cause::new(format!(
            "it ran longer than its activeDeadlineSeconds of {} s and was stopped",
            integer(&facts.pod, "/spec/activeDeadlineSeconds")
        ))
        .mend("raise or remove spec.activeDeadlineSeconds, or see why the work takes so long")
        .command(facts.command(&format!("logs {}", facts.name()))),
        "NodeAffinity" => Cause::new(format!(
            "node {node} refused it: the node's labels do not match its nodeSelector or affinity (NodeAffinity)"
        ))
        .mend("label the node, or change spec.nodeSelector; leave spec.nodeName to the scheduler")
        .command("coracle get nodes --show-labels"),
        "NodeName" | "NodePorts" | "NodeUnschedulable" | "TaintToleration" => {
            Cause::new(format!("node {node} refused it ({reason})"))
                .mend("change what the message names, and leave spec.nodeName to the scheduler")
                .command(format!("coracle describe node {node}"))
        }
        "SysctlForbidden" => Cause::new(format!(
            "node {node} refused it: it asks for a kernel setting that is not on the list of safe ones (SysctlForbidden)"
        ))
        .mend("remove it from spec.securityContext.sysctls, or set it for the whole node with sysctl(8) on the node")
        .command(facts.command(&format!("get pod {} -o yaml", facts.name()))),
        "Shutdown" | "NodeShutdown" | "Terminated" => Cause::new(format!("node {node} was shut down ({reason})"))
            .mend("start the node; a pod of a controller is replaced by itself"),
        "UnexpectedAdmissionError" | "AppArmor" | "PodOSNotSupported" => {
            Cause::new(format!("node {node} refused it ({reason})")).mend("change what the message names")
        }
        "Preempting" | "Preempted" => Cause::new("a pod of higher priority took its place")
            .mend("give it a higher priority, lower its requests, or add a node"),
        "NodeLost" => Cause::new(format!("its node {node} was lost")).mend("start the node again").command("coracle get nodes"),
        reason if reason.starts_with("OutOf") => Cause::new(format!(
            "node {node} refused it: not enough {} is free there ({reason})",
            reason.trim_start_matches("OutOf")
        ))
        .mend("lower its requests, delete pods there, or leave spec.nodeName to the scheduler")
        .command(format!("coracle describe node {node}")),
        _ => return None,
    };
    Some(
        cause
            .said(message)
            .mend("a failed pod never starts again: once mended, delete it and apply it anew")
            .command(facts.command(&format!("delete pod {}", facts.name()))),
    )
}

fn evicted(facts: &Facts, node: &str, message: &str) -> Cause {
    let cause = Cause::new(format!("it was evicted from node {node} (Evicted)"));
    let lower = message.to_lowercase();
    let name = facts.name();
    if lower.contains("exceeds the total limit")
        || lower.contains("exceeded its local ephemeral storage limit")
        || lower.contains("emptydir")
    {
        return cause
            .because("it wrote more to its disk than its own limit (emptyDir.sizeLimit or limits.ephemeral-storage)")
            .mend("raise the limit, or write less")
            .command(facts.command(&format!("get pod {name} -o yaml")));
    }
    let (what, mend) = if lower.contains("memory") {
        (
            "memory",
            "give it a request for memory near what it uses, so that others go first; or use less, or add a node",
        )
    } else if lower.contains("inode") {
        ("inodes (files)", "remove files or images on the node")
    } else if lower.contains("pid") || lower.contains("process") {
        ("process numbers", "see who forks without end on the node")
    } else if lower.contains("storage") || lower.contains("fs") || lower.contains("disk") {
        (
            "disk",
            "remove images and files on the node, or put its data directory on a larger disk",
        )
    } else if lower.contains("taint") {
        return cause
            .because("the node got a taint with the effect NoExecute that it does not tolerate")
            .mend("mend the node, or give the pod a toleration")
            .command(format!("coracle describe node {node}"));
    } else {
        return cause
            .mend("see what the node lacked")
            .command(format!("coracle describe node {node}"));
    };
    cause
        .because(format!(
            "the node was short of {what}, and this pod used most above its requests"
        ))
        .mend(mend)
        .command(format!("coracle describe node {node}"))
        .command("coracle top pod -A")
}
