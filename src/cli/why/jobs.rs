//! Jobs that failed, CronJobs that do not fire.
//! <https://kubernetes.io/docs/concepts/workloads/controllers/job/>
//! <https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/>

use super::case::Case;
use super::cause::Cause;
use super::facts::{condition, last_seen};
use crate::object::access::{integer, present, text, truth};
use crate::object::cron::Cron;
use serde_json::Value;

pub fn job(case: &Case) -> Vec<Cause> {
    let failed = case.condition("Failed");
    if text(failed, "/status") == "True" {
        return vec![over(case, failed)];
    }
    if case.is("Complete", "True") {
        return Vec::new();
    }
    let name = case.name();
    if truth(&case.object, "/spec/suspend") {
        return vec![
            Cause::new("it is suspended: no pod of it runs")
                .mend("let it go on")
                .command(case.command(&format!(
                    "patch job {name} --type=merge -p '{{\"spec\":{{\"suspend\":false}}}}'"
                ))),
        ];
    }
    let failures = integer(&case.object, "/status/failed");
    if case.pod.is_some() {
        return vec![case.blame_pod(Cause::new(if failures > 0 {
            format!("it is still at work; {failures} of its pods have failed so far")
        } else {
            "it cannot get on with its work".to_owned()
        }))];
    }
    let refused = case.event(&["FailedCreate"]);
    let made = case.event(&["SuccessfulCreate"]);
    match refused {
        Some(event) if made.is_none_or(|made| last_seen(made) < last_seen(event)) => vec![
            Cause::new("its pods cannot be created")
                .said(text(event, "/message"))
                .mend("correct its pod template, or what the message names"),
        ],
        _ => Vec::new(),
    }
}

fn over(case: &Case, failed: &Value) -> Cause {
    let name = case.name();
    let reason = text(failed, "/reason");
    let what = match reason {
        "BackoffLimitExceeded" => format!(
            "it has failed: {} pods failed, more than its backoffLimit of {} allows",
            integer(&case.object, "/status/failed"),
            case.object["spec"]["backoffLimit"].as_i64().unwrap_or(6)
        ),
        "DeadlineExceeded" => format!(
            "it has failed: it ran longer than its activeDeadlineSeconds of {}",
            integer(&case.object, "/spec/activeDeadlineSeconds")
        ),
        "PodFailurePolicy" => "it has failed: its podFailurePolicy says so".to_owned(),
        "FailedIndexes" | "MaxFailedIndexesExceeded" => {
            format!(
                "it has failed: the indexes {} did",
                text(&case.object, "/status/failedIndexes")
            )
        }
        _ => format!("it has failed{}", super::judge::in_brackets(reason)),
    };
    case.blame_pod(Cause::new(what).said(text(failed, "/message")))
        .mend("a failed job never starts again: correct it, delete it and create it anew")
        .command(case.command(&format!("logs -l job-name={name}")))
        .command(case.command(&format!("delete job {name}")))
}

pub fn cron_job(case: &Case) -> Vec<Cause> {
    let name = case.name();
    let mut causes = Vec::new();
    if truth(&case.object, "/spec/suspend") {
        causes.push(
            Cause::new("it is suspended: no job is made")
                .mend("let it go on")
                .command(case.command(&format!(
                    "patch cronjob {name} --type=merge -p '{{\"spec\":{{\"suspend\":false}}}}'"
                ))),
        );
    }
    let zone = case.object["spec"]["timeZone"].as_str();
    if let Err(problem) = Cron::parse(text(&case.object, "/spec/schedule"), zone) {
        causes.push(
            Cause::new("its schedule cannot be read, so it never fires")
                .said(&problem.to_string())
                .mend("correct spec.schedule or spec.timeZone"),
        );
    }
    let running: Vec<&str> = case
        .jobs
        .iter()
        .filter(|job| {
            text(condition(job, "Complete"), "/status") != "True"
                && text(condition(job, "Failed"), "/status") != "True"
        })
        .map(|job| text(job, "/metadata/name"))
        .collect();
    if !running.is_empty() && text(&case.object, "/spec/concurrencyPolicy") == "Forbid" {
        let job = running.join(", ");
        causes.push(
            Cause::new(format!("its job {job} still runs, and concurrencyPolicy Forbid lets no other start"))
                .mend("see why that job does not end; or allow several at once (concurrencyPolicy Allow or Replace)")
                .command(case.command(&format!("why job/{}", running[0]))),
        );
    }
    let missed = case.event(&["MissSchedule", "TooManyMissedTimes", "FailedNeedsStart"]);
    if let Some(event) = missed {
        causes.push(
            Cause::new("starts of it were missed")
                .said(text(event, "/message"))
                .mend("see that a node runs at these times; startingDeadlineSeconds says how late a start may be"),
        );
    }
    if let Some(event) = case.event(&["FailedCreate"]) {
        causes.push(
            Cause::new("its job cannot be created")
                .said(text(event, "/message"))
                .mend("correct its job template, or what the message names"),
        );
    }
    let newest = case
        .jobs
        .iter()
        .max_by_key(|job| text(job, "/metadata/creationTimestamp"));
    if let Some(job) = newest.filter(|job| text(condition(job, "Failed"), "/status") == "True") {
        let job = text(job, "/metadata/name");
        causes.push(
            Cause::new(format!("its newest job {job} has failed"))
                .mend("see why")
                .command(case.command(&format!("why job/{job}"))),
        );
    }
    causes
}

/// When a CronJob fires next, and when it last did.
pub fn notes(case: &Case) -> Vec<String> {
    let zone = case.object["spec"]["timeZone"].as_str();
    let Ok(cron) = Cron::parse(text(&case.object, "/spec/schedule"), zone) else {
        return Vec::new();
    };
    let last = if present(&case.object, "/status/lastScheduleTime") {
        format!(
            "it fired last at {}",
            text(&case.object, "/status/lastScheduleTime")
        )
    } else {
        "it has not fired yet".to_owned()
    };
    let next = jiff::Timestamp::from_second(case.now)
        .ok()
        .and_then(|now| cron.next(now))
        .map(|next| cron.show(next));
    match next {
        Some(next) => vec![format!("{last}; the next time is {next}")],
        None => vec![format!("{last}; its schedule names no time to come")],
    }
}
