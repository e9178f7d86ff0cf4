//! A pod that is to go and has not gone.
//! <https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/#pod-termination>

use super::cause::Cause;
use super::facts::{Facts, Lookup, condition};
use super::parts::parts;
use crate::object::access::{integer, list, text};
use crate::object::time;
use serde_json::Value;

/// Past its grace period a node needs this long at most to kill, unmount and report, in seconds.
const SLACK_SECONDS: i64 = 10;

pub fn causes(facts: &Facts) -> Vec<Cause> {
    // The timestamp is when the grace period ends.
    let over = facts.since("/metadata/deletionTimestamp").unwrap_or(0);
    let grace = integer(&facts.pod, "/metadata/deletionGracePeriodSeconds");
    let force = facts.command(&format!(
        "delete pod {} --grace-period=0 --force",
        facts.name()
    ));
    let mut causes = Vec::new();
    let running: Vec<String> = parts(&facts.pod)
        .iter()
        .filter(|part| part.is_running())
        .map(|part| part.subject())
        .collect();
    let node = text(&facts.pod, "/spec/nodeName");
    let lost = match &facts.node {
        Some(Lookup::Missing) => Some(format!("its node {node} does not exist any more")),
        Some(Lookup::There(object)) => match text(condition(object, "Ready"), "/status") {
            "True" | "" => None,
            "Unknown" => Some(format!("its node {node} does not answer")),
            _ => Some(format!("its node {node} is not ready")),
        },
        _ => None,
    };
    if let Some(lost) = &lost {
        causes.push(
            Cause::new(format!("it is being deleted, and {lost}: nobody can confirm that its containers have ended"))
                .mend("bring the node back; only if its machine is off for good, take the pod out of the API by force")
                .command(format!("coracle describe node {node}"))
                .command(force.clone()),
        );
    }
    let finalizers: Vec<&str> = list(&facts.pod, "/metadata/finalizers")
        .iter()
        .filter_map(Value::as_str)
        .collect();
    if !finalizers.is_empty() {
        causes.push(
            Cause::new(format!("it is being deleted and held back by its finalizers: {}", finalizers.join(", ")))
                .because("each is removed by the controller that set it, when that has done its part")
                .mend("see whether that controller runs; only if it never will again, remove them by hand")
                .command(facts.command(&format!(
                    "patch pod {} --type=merge -p '{{\"metadata\":{{\"finalizers\":null}}}}'",
                    facts.name()
                ))),
        );
    }
    if over <= 0 {
        causes.push(
            with_hook(
                facts,
                Cause::new(format!(
                    "it is being stopped: its grace period of {grace} s ends in {}",
                    time::human(-over)
                )),
            )
            .because(if running.is_empty() {
                "the node tidies up after its containers".to_owned()
            } else {
                format!("{} has not ended yet", running.join(", "))
            })
            .mend("wait, or kill it now; a program that heeds SIGTERM ends sooner")
            .command(facts.command(&format!("delete pod {} --now", facts.name()))),
        );
    } else if lost.is_none() && !running.is_empty() {
        causes.push(
            with_hook(
                facts,
                Cause::new(format!(
                    "it should have ended {} ago, and {} still runs",
                    time::human(over),
                    running.join(", ")
                )),
            )
            .because(if over <= SLACK_SECONDS {
                "the node is killing it"
            } else {
                "a process that SIGKILL does not end is stuck in the kernel: a disk or network file system that does not answer"
            })
            .mend("look at the node's kernel messages, and whether its disks and network mounts answer (on the node)")
            .command("sudo coracle ps -a")
            .command("sudo dmesg | tail"),
        );
    } else if causes.is_empty() {
        causes.push(
            Cause::new(format!("it should have ended {} ago; its containers have, and the node has not confirmed it yet", time::human(over)))
                .mend("wait a moment; then see whether the node is well, and only then take the pod out by force")
                .command(format!("coracle describe node {node}"))
                .command(force),
        );
    }
    causes
}

/// What a preStop hook had to say.
fn with_hook(facts: &Facts, cause: Cause) -> Cause {
    match facts.event(&["FailedPreStopHook"], "") {
        Some(event) => cause
            .because("its preStop hook failed")
            .said(text(event, "/message")),
        None => cause,
    }
}
