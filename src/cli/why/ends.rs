//! What the end of a container's run means: its exit code, its signal, who killed it.
//! <https://tldp.org/LDP/abs/html/exitcodes.html>, signal(7)

use super::cause::Cause;
use super::config::explain_start;
use super::facts::Facts;
use super::parts::Part;
use crate::object::access::{integer, text};
use serde_json::Value;

/// What follows an end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum After {
    /// The container waits for its next start.
    BackOff,
    /// It starts again soon.
    Restarts,
    /// It stays as it is.
    Over,
}

/// In a few words: `ended with exit code 1 (Error)`.
pub fn short(end: &Value) -> String {
    let reason = text(end, "/reason");
    let code = integer(end, "/exitCode");
    match reason {
        "" => format!("ended with exit code {code}"),
        reason => format!("ended with exit code {code} ({reason})"),
    }
}

pub fn crash_loop(facts: &Facts, part: &Part) -> Cause {
    match part.last_end() {
        Some(end) => cause(facts, part, end, After::BackOff),
        None => Cause::new(format!(
            "{} ends again and again (CrashLoopBackOff)",
            part.subject()
        ))
        .mend("see what it printed")
        .command(part.logs(facts, true)),
    }
}

pub fn cause(facts: &Facts, part: &Part, end: &Value, after: After) -> Cause {
    let who = part.subject();
    let times = part.restarts();
    let how = short(end);
    let what = match after {
        After::BackOff => format!(
            "{who} ends again and again (CrashLoopBackOff, {times} restarts so far) and waits before its next start; its last run {how}"
        ),
        After::Restarts => format!("{who} {how} and is about to start again"),
        After::Over => format!("{who} {how} and does not start again"),
    };
    let cause = explain(facts, part, end, after, Cause::new(what)).said(text(end, "/message"));
    if after == After::Over && text(&facts.pod, "/status/phase") == "Failed" {
        return cause
            .mend("a failed pod never starts again: once mended, delete it and apply it anew")
            .command(facts.command(&format!("delete pod {}", facts.name())));
    }
    cause
}

fn explain(facts: &Facts, part: &Part, end: &Value, after: After, cause: Cause) -> Cause {
    let code = integer(end, "/exitCode");
    let reason = text(end, "/reason");
    let message = text(end, "/message");
    let logs = part.logs(facts, after == After::BackOff);
    if reason == "OOMKilled" {
        return out_of_memory(facts, part, cause);
    }
    if matches!(reason, "StartError" | "ContainerCannotRun") {
        return explain_start(facts, part, message, cause);
    }
    if let Some(said) = killed_by_probe(facts, part, code) {
        return cause
            .because(format!("the node killed it: {said}"))
            .mend("see why the probed address or command fails; if the program is only slow, give it a startupProbe, or raise timeoutSeconds and failureThreshold")
            .command(logs);
    }
    if let Some(event) = facts
        .event(&["FailedPostStartHook"], part.name)
        .filter(|_| code == 137 || code == 143)
    {
        return cause
            .because("its postStart hook fails, and the node kills it for that")
            .because(format!("the hook said: {}", text(event, "/message")))
            .mend("correct lifecycle.postStart in the manifest")
            .command(logs);
    }
    match code {
        0 => cause
            .because("its program comes to its end by itself, and the pod's restart policy starts it again")
            .mend("let the program stay in the foreground; if it is meant to end, use restartPolicy: OnFailure or a Job")
            .command(logs),
        126 => cause
            .because("its command is there and may not be executed: it is not executable, or no program (exit code 126)")
            .mend("make it executable in the image (chmod +x), check its `#!` line, and that it is built for this processor")
            .command(logs),
        127 => cause
            .because("its command was not found (exit code 127): a misspelt name, a path that is not in the image, or a missing library")
            .mend("correct `command` and `args` in the manifest; look into the image")
            .command(facts.command(&format!(
                "debug {} --copy-to={}-look --container={} -it -- sh",
                facts.name(),
                facts.name(),
                part.name
            )))
            .command(logs),
        137 => cause
            .because("it was killed with SIGKILL (exit code 137): by somebody on the node, by the end of its grace period, or by the kernel when the whole node had no memory left")
            .mend("see whether the node ran out of memory, and who else uses it")
            .command("coracle top node")
            .command("sudo dmesg | grep -i 'killed process'"),
        143 => cause
            .because("it was told to stop with SIGTERM (exit code 143)")
            .mend("see who stopped it: its events, and what it printed")
            .command(facts.command(&format!("events --for pod/{}", facts.name())))
            .command(logs),
        129..=192 => by_signal(code - 128, cause).command(logs),
        _ => cause
            .because(format!("its program itself ended with code {code}: what went wrong is in what it printed"))
            .mend("read it, and correct the program, its arguments or its environment")
            .command(logs),
    }
}

fn by_signal(signal: i64, cause: Cause) -> Cause {
    match signal {
        11 => cause
            .because("its program crashed with a memory fault (SIGSEGV, exit code 139)")
            .mend("it is the program's own fault, or that of a library or image for another processor: try another version"),
        7 => cause
            .because("its program crashed with a bus error (SIGBUS): often /dev/shm or a mapped file is full")
            .mend("give it more shared memory: an emptyDir with medium: Memory at /dev/shm"),
        4 => cause
            .because("its program used an instruction this processor does not have (SIGILL)")
            .mend("use an image built for this very processor (an older ARM or x86 level)"),
        31 => cause
            .because("its program used a system call that its seccomp profile forbids (SIGSYS)")
            .mend("allow the call in the profile, or use seccompProfile.type: RuntimeDefault"),
        6 => cause
            .because("its program aborted itself (SIGABRT): a failed assertion or a lack of memory inside of it")
            .mend("read what it printed before"),
        2 => cause.because("it was interrupted (SIGINT)").mend("see who stopped it"),
        _ => cause
            .because(format!("signal {signal} ended it"))
            .mend("read what it printed before"),
    }
}

fn out_of_memory(facts: &Facts, part: &Part, cause: Cause) -> Cause {
    let limit = text(part.spec, "/resources/limits/memory");
    let cause = if limit.is_empty() {
        cause.because("it used more memory than the pod or the node had (OOMKilled); it has no limit of its own")
    } else {
        cause.because(format!(
            "it used more memory than its limit of {limit} (OOMKilled)"
        ))
    };
    cause
        .mend("raise resources.limits.memory in the manifest, or make the program use less")
        .command(facts.command(&format!("top pod {} --containers", facts.name())))
}

/// What the node says when it killed for a failed probe, where that explains this end.
fn killed_by_probe(facts: &Facts, part: &Part, code: i64) -> Option<String> {
    // A program may answer SIGTERM with any code of its own; only a start that failed cannot have been killed.
    if matches!(code, 126 | 127) {
        return None;
    }
    let killing = facts.event(&["Killing"], part.name)?;
    let message = text(killing, "/message");
    let kind = ["liveness", "startup"]
        .into_iter()
        .find(|kind| message.contains(&format!("failed {kind} probe")))?;
    let said = facts
        .events
        .iter()
        .filter(|event| text(event, "/reason") == "Unhealthy")
        .map(|event| text(event, "/message"))
        .find(|said| said.to_lowercase().starts_with(kind));
    Some(said.map_or_else(
        || format!("its {kind} probe failed"),
        |said| format!("its {kind} probe failed ({})", said.trim()),
    ))
}
