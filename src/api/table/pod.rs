//! The pod's cells. The STATUS logic follows upstream's `printPod` (`pkg/printers/internalversion`).

use crate::object::access::{integer, list, present, text, truth};
use crate::object::time;
use serde_json::{Value, json};

/// What READY, STATUS and RESTARTS say of a pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    pub ready: usize,
    pub containers: usize,
    /// `Running`, `Init:0/1`, `CrashLoopBackOff`, …
    pub reason: String,
    pub restarts: i64,
    /// Unix seconds of the last restart.
    pub restarted: Option<i64>,
}

/// Restarts of a group of containers and the end of the latest one before.
#[derive(Default, Clone, Copy)]
struct Restarts {
    count: i64,
    last: Option<i64>,
}

impl Restarts {
    fn add(&mut self, status: &Value) {
        self.count += integer(status, "/restartCount");
        self.last = self.last.max(time::seconds(text(
            status,
            "/lastState/terminated/finishedAt",
        )));
    }
}

/// Sums up the containers of `pod`.
pub fn summary(pod: &Value) -> Summary {
    let init = list(pod, "/spec/initContainers");
    let sidecar = |name: &str| {
        init.iter()
            .any(|c| text(c, "/name") == name && text(c, "/restartPolicy") == "Always")
    };
    let sidecars = init
        .iter()
        .filter(|c| text(c, "/restartPolicy") == "Always");
    let containers = list(pod, "/spec/containers").len() + sidecars.count();

    let phase = text(pod, "/status/phase");
    let mut reason = match text(pod, "/status/reason") {
        "" => phase.to_owned(),
        reason => reason.to_owned(),
    };
    let gated =
        |c: &Value| text(c, "/type") == "PodScheduled" && text(c, "/reason") == "SchedulingGated";
    if list(pod, "/status/conditions").iter().any(gated) {
        reason = "SchedulingGated".into();
    }

    let mut ready = 0;
    let mut restarts = Restarts::default();
    let mut sidecar_restarts = Restarts::default();
    let mut initializing = false;
    for (index, status) in list(pod, "/status/initContainerStatuses")
        .iter()
        .enumerate()
    {
        restarts.add(status);
        let is_sidecar = sidecar(text(status, "/name"));
        if is_sidecar {
            sidecar_restarts.add(status);
        }
        let terminated = present(status, "/state/terminated");
        if terminated && integer(status, "/state/terminated/exitCode") == 0 {
            continue;
        }
        if is_sidecar && truth(status, "/started") {
            ready += usize::from(truth(status, "/ready"));
            continue;
        }
        reason = match text(status, "/state/waiting/reason") {
            _ if terminated => format!("Init:{}", end(status)),
            "" | "PodInitializing" => format!("Init:{index}/{}", init.len()),
            waiting => format!("Init:{waiting}"),
        };
        initializing = true;
        break;
    }

    if !initializing || condition(pod, "Initialized") {
        restarts = sidecar_restarts;
        let mut running = false;
        for status in list(pod, "/status/containerStatuses").iter().rev() {
            restarts.add(status);
            let waiting = text(status, "/state/waiting/reason");
            if !waiting.is_empty() {
                reason = waiting.into();
            } else if present(status, "/state/terminated") {
                reason = end(status);
            } else if truth(status, "/ready") && present(status, "/state/running") {
                running = true;
                ready += 1;
            }
        }
        if reason == "Completed" && running {
            reason = if condition(pod, "Ready") {
                "Running"
            } else {
                "NotReady"
            }
            .into();
        }
    }

    if present(pod, "/metadata/deletionTimestamp") {
        if text(pod, "/status/reason") == "NodeLost" {
            reason = "Unknown".into();
        } else if !matches!(phase, "Failed" | "Succeeded") {
            reason = "Terminating".into();
        }
    }
    Summary {
        ready,
        containers,
        reason,
        restarts: restarts.count,
        restarted: restarts.last,
    }
}

/// How a terminated container ended: its reason, signal or exit code.
fn end(status: &Value) -> String {
    let signal = integer(status, "/state/terminated/signal");
    match text(status, "/state/terminated/reason") {
        "" if signal != 0 => format!("Signal:{signal}"),
        "" => format!("ExitCode:{}", integer(status, "/state/terminated/exitCode")),
        reason => reason.into(),
    }
}

fn condition(pod: &Value, kind: &str) -> bool {
    list(pod, "/status/conditions")
        .iter()
        .any(|c| text(c, "/type") == kind && text(c, "/status") == "True")
}

fn or_none(value: &str) -> Value {
    Value::from(if value.is_empty() { "<none>" } else { value })
}

pub fn ready(pod: &Value, _now: i64) -> Value {
    let summary = summary(pod);
    Value::from(format!("{}/{}", summary.ready, summary.containers))
}

pub fn status(pod: &Value, _now: i64) -> Value {
    summary(pod).reason.into()
}

pub fn restarts(pod: &Value, now: i64) -> Value {
    let summary = summary(pod);
    Value::from(match summary.restarted {
        Some(then) if summary.restarts != 0 => {
            format!(
                "{} ({} ago)",
                summary.restarts,
                time::human(now.saturating_sub(then))
            )
        }
        _ => summary.restarts.to_string(),
    })
}

pub fn address(pod: &Value, _now: i64) -> Value {
    match text(pod, "/status/podIPs/0/ip") {
        "" => or_none(text(pod, "/status/podIP")),
        address => address.into(),
    }
}

pub fn node(pod: &Value, _now: i64) -> Value {
    or_none(text(pod, "/spec/nodeName"))
}

pub fn nominated_node(pod: &Value, _now: i64) -> Value {
    or_none(text(pod, "/status/nominatedNodeName"))
}

pub fn readiness_gates(pod: &Value, _now: i64) -> Value {
    let gates = list(pod, "/spec/readinessGates");
    if gates.is_empty() {
        return "<none>".into();
    }
    let met = gates
        .iter()
        .filter(|gate| condition(pod, text(gate, "/conditionType")))
        .count();
    json!(format!("{met}/{}", gates.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn container(name: &str, state: Value) -> Value {
        json!({"name": name, "state": state})
    }
    fn running(name: &str) -> Value {
        json!({"name": name, "ready": true, "state": {"running": {"startedAt": "1970-01-01T00:00:00Z"}}})
    }
    fn pod(init: &[Value], main: &[Value], more: Value) -> Value {
        let names = |statuses: &[Value]| {
            statuses
                .iter()
                .map(|s| json!({"name": s["name"]}))
                .collect::<Vec<_>>()
        };
        let mut pod = json!({
            "metadata": {"name": "p"},
            "spec": {"initContainers": names(init), "containers": names(main)},
            "status": {"phase": "Running", "initContainerStatuses": init, "containerStatuses": main},
        });
        json_patch::merge(&mut pod, &more);
        pod
    }

    #[test]
    fn status_logic() {
        let waiting = |reason: &str| json!({"waiting": {"reason": reason}});
        let ended = |code: i64, signal: i64, reason: &str| json!({"terminated": {"exitCode": code, "signal": signal, "reason": reason}});
        let none = json!({});
        let initialized =
            json!({"status": {"conditions": [{"type": "Initialized", "status": "True"}]}});
        let ready = json!({"status": {"conditions": [{"type": "Ready", "status": "True"}]}});
        let deleted = json!({"metadata": {"deletionTimestamp": "x"}});
        let a = |state| container("a", state);
        let b = |state| container("b", state);
        for (init, main, more, want, ready_want) in [
            (
                vec![],
                vec![],
                json!({"status": {"phase": "Pending"}}),
                "Pending",
                "0/0",
            ),
            (
                vec![],
                vec![running("a"), running("b")],
                none.clone(),
                "Running",
                "2/2",
            ),
            (
                vec![],
                vec![],
                json!({"status": {"phase": "Failed", "reason": "Evicted"}}),
                "Evicted",
                "0/0",
            ),
            // Once containers ran, their own end is shown, as upstream shows it.
            (
                vec![],
                vec![a(ended(137, 0, "Error"))],
                json!({"status": {"phase": "Failed", "reason": "Evicted"}}),
                "Error",
                "0/1",
            ),
            (
                vec![],
                vec![a(waiting("ContainerCreating"))],
                none.clone(),
                "ContainerCreating",
                "0/1",
            ),
            (
                vec![],
                vec![a(waiting("CrashLoopBackOff"))],
                none.clone(),
                "CrashLoopBackOff",
                "0/1",
            ),
            (
                vec![a(json!({"running": {}}))],
                vec![b(waiting("PodInitializing"))],
                none.clone(),
                "Init:0/1",
                "0/1",
            ),
            (
                vec![a(waiting("PodInitializing"))],
                vec![b(waiting("PodInitializing"))],
                none.clone(),
                "Init:0/1",
                "0/1",
            ),
            (
                vec![a(waiting("CrashLoopBackOff"))],
                vec![b(waiting("PodInitializing"))],
                none.clone(),
                "Init:CrashLoopBackOff",
                "0/1",
            ),
            (
                vec![a(ended(3, 0, ""))],
                vec![b(none.clone())],
                none.clone(),
                "Init:ExitCode:3",
                "0/1",
            ),
            (
                vec![a(ended(3, 9, ""))],
                vec![b(none.clone())],
                none.clone(),
                "Init:Signal:9",
                "0/1",
            ),
            (
                vec![a(ended(3, 0, "Error"))],
                vec![b(none.clone())],
                none.clone(),
                "Init:Error",
                "0/1",
            ),
            (
                vec![a(ended(3, 0, "Error"))],
                vec![running("b")],
                initialized,
                "Init:Error",
                "1/1",
            ),
            (
                vec![a(ended(0, 0, "Completed"))],
                vec![b(waiting("PodInitializing"))],
                none.clone(),
                "PodInitializing",
                "0/1",
            ),
            (
                vec![],
                vec![a(ended(0, 0, "Completed"))],
                json!({"status": {"phase": "Succeeded"}}),
                "Completed",
                "0/1",
            ),
            (
                vec![],
                vec![a(ended(2, 0, ""))],
                none.clone(),
                "ExitCode:2",
                "0/1",
            ),
            (
                vec![],
                vec![a(ended(2, 15, ""))],
                none.clone(),
                "Signal:15",
                "0/1",
            ),
            (
                vec![],
                vec![a(ended(1, 0, "OOMKilled"))],
                none.clone(),
                "OOMKilled",
                "0/1",
            ),
            (
                vec![],
                vec![a(ended(0, 0, "Completed")), running("b")],
                none.clone(),
                "NotReady",
                "1/2",
            ),
            (
                vec![],
                vec![a(ended(0, 0, "Completed")), running("b")],
                ready,
                "Running",
                "1/2",
            ),
            (
                vec![],
                vec![running("a")],
                deleted.clone(),
                "Terminating",
                "1/1",
            ),
            (
                vec![],
                vec![a(ended(0, 0, "Completed"))],
                json!({"metadata": {"deletionTimestamp": "x"}, "status": {"phase": "Succeeded"}}),
                "Completed",
                "0/1",
            ),
            (
                vec![],
                vec![running("a")],
                json!({"metadata": {"deletionTimestamp": "x"}, "status": {"reason": "NodeLost"}}),
                "Unknown",
                "1/1",
            ),
        ] {
            let pod = pod(&init, &main, more);
            assert_eq!(status(&pod, 0), want, "{pod}");
            assert_eq!(super::ready(&pod, 0), ready_want, "{pod}");
        }
    }

    #[test]
    fn restarts_and_wide_cells() {
        let again = json!({"name": "a", "restartCount": 3, "lastState": {"terminated": {"finishedAt": "1970-01-01T00:00:50Z"}}});
        let empty = pod(&[], &[], json!({}));
        let restarted = pod(
            &[],
            std::slice::from_ref(&again),
            json!({"spec": {"readinessGates": [{"conditionType": "x"}]}, "status": {"podIP": "10.42.0.2"}}),
        );
        assert_eq!(restarts(&restarted, 60), "3 (10s ago)");
        assert_eq!(restarts(&empty, 60), "0");
        assert_eq!(restarts(&pod(&[again], &[], json!({})), 60), "3 (10s ago)");
        assert_eq!(address(&restarted, 0), "10.42.0.2");
        assert_eq!(readiness_gates(&restarted, 0), "0/1");
        assert_eq!(
            (node(&empty, 0), nominated_node(&empty, 0)),
            ("<none>".into(), "<none>".into())
        );
    }
}
