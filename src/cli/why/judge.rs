//! From facts to causes: which judgements apply, and in what order.

use super::cause::Cause;
use super::ends;
use super::facts::Facts;
use super::parts::{Part, Role, parts};
use super::{config, deletion, health, images, placement, refusal, storage};
use crate::object::access::{list, present, text, truth};
use serde_json::Value;

/// The causes, the most immediate first; none where nothing is wrong.
pub fn why(facts: &Facts) -> Vec<Cause> {
    if present(&facts.pod, "/metadata/deletionTimestamp") {
        return deletion::causes(facts);
    }
    if finished(facts) {
        return Vec::new();
    }
    let phase = text(&facts.pod, "/status/phase");
    if phase == "Failed" {
        return failed(facts);
    }
    if text(&facts.pod, "/spec/nodeName").is_empty() {
        return placement::causes(facts);
    }
    let mut causes = placement::node(facts);
    let ready = text(facts.condition("Ready"), "/status") == "True";
    if ready && phase == "Running" {
        return causes;
    }
    causes.extend(storage::causes(facts));
    causes.extend(sandbox(facts));
    causes.extend(containers(facts));
    causes.extend(health::gates(facts));
    if causes.is_empty() {
        causes.push(starting(facts));
    }
    causes
}

/// It did its work and will not start again.
pub fn finished(facts: &Facts) -> bool {
    text(&facts.pod, "/status/phase") == "Succeeded"
}

/// What is worth knowing and wrong with nothing at present.
pub fn notes(facts: &Facts) -> Vec<String> {
    let mut notes = Vec::new();
    for part in parts(&facts.pod) {
        if part.restarts() > 0 && part.is_running() {
            let how = part.last_end().map_or_else(String::new, |end| {
                format!("; the run before {}", ends::short(end))
            });
            notes.push(format!(
                "{} has restarted {} times{how}",
                part.subject(),
                part.restarts()
            ));
        }
    }
    if let Some(owner) = list(&facts.pod, "/metadata/ownerReferences")
        .iter()
        .find(|owner| truth(owner, "/controller"))
    {
        notes.push(format!(
            "this pod belongs to {}/{}: what is to last is changed there",
            text(owner, "/kind"),
            text(owner, "/name")
        ));
    }
    notes
}

/// A pod that is over, and not well.
fn failed(facts: &Facts) -> Vec<Cause> {
    if let Some(cause) = refusal::cause(facts) {
        return vec![cause];
    }
    let mut causes: Vec<Cause> = parts(&facts.pod)
        .iter()
        .filter(|part| part.role != Role::Debug)
        .filter_map(|part| {
            let end = part.ended()?;
            (end["exitCode"] != 0).then(|| ends::cause(facts, part, end, ends::After::Over))
        })
        .collect();
    if causes.is_empty() {
        let reason = text(&facts.pod, "/status/reason");
        causes.push(
            Cause::new(format!("the pod has failed{}", in_brackets(reason)))
                .said(text(&facts.pod, "/status/message"))
                .mend("a failed pod never starts again: delete it and apply it anew")
                .command(facts.command(&format!("delete pod {}", facts.name()))),
        );
    }
    causes
}

pub fn in_brackets(reason: &str) -> String {
    if reason.is_empty() {
        String::new()
    } else {
        format!(" ({reason})")
    }
}

/// Namespaces and network of the pod could not be made.
fn sandbox(facts: &Facts) -> Option<Cause> {
    if !nothing_started(facts) {
        return None;
    }
    let event = facts.event(
        &[
            "FailedCreatePodSandBox",
            "FailedCreatePodSandbox",
            "FailedSync",
            "NetworkNotReady",
        ],
        "",
    )?;
    Some(
        Cause::new("the node cannot make the pod's namespaces and network")
            .said(text(event, "/message"))
            .mend("ask the node what it lacks (run this on the node)")
            .command("sudo coracle doctor"),
    )
}

/// No container has ever run.
pub fn nothing_started(facts: &Facts) -> bool {
    parts(&facts.pod)
        .iter()
        .all(|part| !part.is_running() && part.last_end().is_none())
}

fn containers(facts: &Facts) -> Vec<Cause> {
    let parts = parts(&facts.pod);
    // While init containers are at work, the others only wait for them.
    let blocked = parts
        .iter()
        .position(|part| matches!(part.role, Role::Init | Role::Sidecar) && !passed(part));
    let due: Vec<&Part> = match blocked {
        Some(first) => parts[..=first].iter().collect(),
        None => parts
            .iter()
            .filter(|part| part.role != Role::Debug)
            .collect(),
    };
    let mut causes = Vec::new();
    for part in due {
        let mut found = container(facts, part);
        if let (Role::Init, Some(cause), true) = (part.role, found.as_mut(), blocked.is_some()) {
            cause.because.insert(
                0,
                "the pod's containers start after its init containers have succeeded".to_owned(),
            );
        }
        causes.extend(found);
    }
    causes
}

/// Whether what comes after this init container may start.
fn passed(part: &Part) -> bool {
    match part.role {
        Role::Sidecar => truth(part.status, "/started"),
        _ => part.ended().is_some_and(|end| end["exitCode"] == 0),
    }
}

fn container(facts: &Facts, part: &Part) -> Option<Cause> {
    if let Some((reason, message)) = part.waiting() {
        return waiting(facts, part, reason, message);
    }
    if part.is_running() {
        return match part.role {
            Role::Init => Some(
                Cause::new(format!("{} is still at work", part.subject()))
                    .mend("wait, or see what it does")
                    .command(part.logs(facts, false)),
            ),
            _ => health::cause(facts, part),
        };
    }
    let end = part.ended()?;
    if end["exitCode"] == 0 && part.role == Role::Init {
        return None;
    }
    let after = if restarts(facts, part, end) {
        ends::After::Restarts
    } else {
        ends::After::Over
    };
    Some(ends::cause(facts, part, end, after))
}

/// Whether the container starts again after this end.
fn restarts(facts: &Facts, part: &Part, end: &Value) -> bool {
    let own = text(part.spec, "/restartPolicy");
    let policy = if own.is_empty() {
        text(&facts.pod, "/spec/restartPolicy")
    } else {
        own
    };
    match policy {
        "Never" => false,
        "OnFailure" => end["exitCode"] != 0,
        _ => true,
    }
}

fn waiting(facts: &Facts, part: &Part, reason: &str, message: &str) -> Option<Cause> {
    match reason {
        "ErrImagePull"
        | "ImagePullBackOff"
        | "ErrImageNeverPull"
        | "InvalidImageName"
        | "ImageInspectError"
        | "RegistryUnavailable"
        | "SignatureValidationFailed" => Some(images::cause(facts, part, reason, message)),
        "CreateContainerConfigError" => Some(config::cause(facts, part, message)),
        "CrashLoopBackOff" => Some(ends::crash_loop(facts, part)),
        "PostStartHookError" => Some(health::post_start(facts, part, message)),
        "RunContainerError" | "CreateContainerError" | "StartError" => {
            Some(config::start_failure(facts, part, reason, message))
        }
        "ContainerCreating" | "PodInitializing" | "" => creating(facts, part),
        _ => Some(
            Cause::new(format!("{} waits: {reason}", part.subject()))
                .said(message)
                .mend("see its events")
                .command(facts.command(&format!("describe pod {}", facts.name()))),
        ),
    }
}

/// Nothing has gone wrong with it yet; it may be fetching its image.
fn creating(facts: &Facts, part: &Part) -> Option<Cause> {
    let when = |event: &Value| super::facts::last_seen(event).to_owned();
    let pulling = facts.event(&["Pulling"], part.name)?;
    let done = facts.event(&["Pulled", "Failed"], part.name);
    if done.is_some_and(|done| when(done) >= when(pulling)) {
        return None;
    }
    let since = crate::object::time::since(&when(pulling), facts.now);
    Some(
        Cause::new(format!(
            "the image {} of {} is being pulled, for {since} so far",
            part.image(),
            part.subject()
        ))
        .mend("wait; how fast it goes depends on the network and the disk")
        .command(facts.command(&format!("events --for pod/{} -w", facts.name()))),
    )
}

/// Neither ready nor visibly held up by anything.
fn starting(facts: &Facts) -> Cause {
    let node = text(&facts.pod, "/spec/nodeName");
    let condition = facts.condition("Ready");
    Cause::new(
        if list(&facts.pod, "/status/containerStatuses").is_empty() {
            format!("node {node} has not begun with it yet")
        } else {
            "it is still starting, and nothing is known to have gone wrong".to_owned()
        },
    )
    .said(text(condition, "/message"))
    .mend("wait a moment, and watch its events; if none come, see whether the node is well")
    .command(facts.command(&format!("events --for pod/{} -w", facts.name())))
    .command(format!("coracle describe node {node}"))
}
