//! Containers that run and are not ready: probes, hooks, readiness gates.

use super::cause::Cause;
use super::facts::Facts;
use super::parts::{Part, Role};
use crate::object::access::{integer, list, present, text, truth};
use crate::object::time;
use serde_json::Value;

/// A running container that is not ready; `None` where it is.
pub fn cause(facts: &Facts, part: &Part) -> Option<Cause> {
    if part.is_ready() || part.role == Role::Debug {
        return None;
    }
    if present(part.spec, "/startupProbe") && !truth(part.status, "/started") {
        return Some(startup(facts, part));
    }
    if present(part.spec, "/readinessProbe") {
        return Some(readiness(facts, part));
    }
    let hook = present(part.spec, "/lifecycle/postStart") && !truth(part.status, "/started");
    Some(if hook {
        Cause::new(format!(
            "the postStart hook of {} has not ended yet",
            part.subject()
        ))
        .mend("the container counts as started when the hook has: wait, or make the hook shorter")
        .command(part.logs(facts, false))
    } else {
        Cause::new(format!(
            "{} runs and is not reported ready yet",
            part.subject()
        ))
        .mend("wait a moment; a container without probes is ready as soon as the node has said so")
        .command(facts.command(&format!("get pod {} -w", facts.name())))
    })
}

fn startup(facts: &Facts, part: &Part) -> Cause {
    let probe = &part.spec["startupProbe"];
    let allowed =
        integer(probe, "/failureThreshold").max(1) * integer(probe, "/periodSeconds").max(1);
    let since = time::since(text(part.status, "/state/running/startedAt"), facts.now);
    with_answer(
        facts,
        part,
        "startup",
        Cause::new(format!(
            "{} has not passed its startup probe yet, {since} after its start (about {} are allowed, then it is killed)",
            part.subject(),
            time::human(allowed)
        )),
    )
    .because(format!("the node {}", asks(probe)))
    .mend("wait; if the program needs longer, raise startupProbe.failureThreshold; if it never answers, see what it printed")
    .command(part.logs(facts, false))
}

fn readiness(facts: &Facts, part: &Part) -> Cause {
    let probe = &part.spec["readinessProbe"];
    with_answer(
        facts,
        part,
        "readiness",
        Cause::new(format!(
            "{} runs, and its readiness probe fails, so no Service sends it requests",
            part.subject()
        )),
    )
    .because(format!("the node {}", asks(probe)))
    .mend("see why that fails: what the program printed, and the same question asked by hand")
    .command(part.logs(facts, false))
    .command(part.exec(facts, &by_hand(probe)))
}

/// What the probe's last failure said.
fn with_answer(facts: &Facts, part: &Part, kind: &str, cause: Cause) -> Cause {
    let about = format!("{{{}}}", part.name);
    let said = facts
        .events
        .iter()
        .filter(|event| text(event, "/reason") == "Unhealthy")
        .filter(|event| {
            let path = text(event, "/involvedObject/fieldPath");
            path.is_empty() || path.ends_with(&about)
        })
        .filter(|event| text(event, "/message").to_lowercase().starts_with(kind))
        .max_by_key(|event| super::facts::last_seen(event).to_owned())
        .map_or("", |event| text(event, "/message"));
    cause.said(said)
}

fn scalar(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

/// `asks GET http://:8080/healthz every 10 s and wants an answer within 1 s`
fn asks(probe: &Value) -> String {
    let what = if present(probe, "/exec") {
        let words: Vec<&str> = list(probe, "/exec/command")
            .iter()
            .filter_map(Value::as_str)
            .collect();
        format!("runs `{}` in it", words.join(" "))
    } else if present(probe, "/httpGet") {
        let get = &probe["httpGet"];
        let scheme = text(get, "/scheme").to_lowercase();
        format!(
            "asks GET {}://{}:{}{}",
            if scheme.is_empty() { "http" } else { &scheme },
            text(get, "/host"),
            scalar(&get["port"]),
            text(get, "/path")
        )
    } else if present(probe, "/tcpSocket") {
        format!(
            "connects to its TCP port {}",
            scalar(&probe["tcpSocket"]["port"])
        )
    } else {
        format!(
            "asks its gRPC health service on port {}",
            scalar(&probe["grpc"]["port"])
        )
    };
    format!(
        "{what} every {} s and wants an answer within {} s",
        integer(probe, "/periodSeconds").max(1),
        integer(probe, "/timeoutSeconds").max(1)
    )
}

/// A command in the container that does about the same.
fn by_hand(probe: &Value) -> String {
    if present(probe, "/exec") {
        let words: Vec<&str> = list(probe, "/exec/command")
            .iter()
            .filter_map(Value::as_str)
            .collect();
        words.join(" ")
    } else if present(probe, "/httpGet") {
        let get = &probe["httpGet"];
        format!(
            "wget -qO- http://127.0.0.1:{}{}",
            scalar(&get["port"]),
            text(get, "/path")
        )
    } else {
        "netstat -ltn".to_owned()
    }
}

/// `PostStartHookError`.
pub fn post_start(facts: &Facts, part: &Part, message: &str) -> Cause {
    let event = facts.event(&["FailedPostStartHook"], part.name);
    let said = event.map_or(message, |event| text(event, "/message"));
    Cause::new(format!(
        "the postStart hook of {} fails, so the node stops the container (PostStartHookError)",
        part.subject()
    ))
    .said(said)
    .mend("correct lifecycle.postStart in the manifest; the hook's own message stands above")
    .command(facts.command(&format!("get pod {} -o yaml", facts.name())))
    .command(part.logs(facts, true))
}

/// Readiness gates that nobody has opened.
/// <https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/#pod-readiness-gate>
pub fn gates(facts: &Facts) -> Vec<Cause> {
    list(&facts.pod, "/spec/readinessGates")
        .iter()
        .map(|gate| text(gate, "/conditionType"))
        .filter(|gate| text(facts.condition(gate), "/status") != "True")
        .map(|gate| {
            let condition = facts.condition(gate);
            let how = if condition.is_null() { "nobody has set it".to_owned() } else { format!("it is {}", text(condition, "/status")) };
            Cause::new(format!("the pod waits at its readiness gate {gate:?}: {how}"))
                .said(text(condition, "/message"))
                .mend("whoever the gate belongs to (a load balancer, a controller) must set this condition to True; see whether that runs. By hand:")
                .command(facts.command(&format!(
                    "patch pod {} --subresource=status --type=strategic -p '{{\"status\":{{\"conditions\":[{{\"type\":\"{gate}\",\"status\":\"True\"}}]}}}}'",
                    facts.name()
                )))
        })
        .collect()
}
