//! Whether a Job is over, and why.
//! <https://kubernetes.io/docs/concepts/workloads/controllers/job/#job-termination-and-cleanup>

use super::failure_policy::{self, Verdict};
use super::pods;
use super::spec::condition;
use super::success_policy;
use super::view::View;
use crate::controllers::clock;
use jiff::Timestamp;
use k8s_openapi::api::batch::v1::JobCondition;

/// Says that the Job will fail when its pods have ended.
pub const FAILURE_TARGET: &str = "FailureTarget";
/// Says that the Job will be complete when its pods have ended.
pub const SUCCESS_CRITERIA_MET: &str = "SuccessCriteriaMet";

pub fn new(
    kind: &str,
    status: &str,
    reason: &str,
    message: String,
    now: Timestamp,
) -> JobCondition {
    JobCondition {
        type_: kind.to_owned(),
        status: status.to_owned(),
        reason: Some(reason.to_owned()),
        message: Some(message),
        last_probe_time: Some(clock::time(now)),
        last_transition_time: Some(clock::time(now)),
    }
}

/// The interim condition of a Job that is over, as its status has it or should.
pub fn verdict(view: &View<'_>) -> Option<JobCondition> {
    let status = view.spec.status();
    if let Some(decided) =
        condition(&status, SUCCESS_CRITERIA_MET).or_else(|| condition(&status, FAILURE_TARGET))
    {
        return Some(decided.clone());
    }
    let failed =
        |(reason, message): (&str, String)| new(FAILURE_TARGET, "True", reason, message, view.now);
    if let Some(why) = failure(view) {
        return Some(failed(why));
    }
    let message = success_policy::met(&view.spec, &view.succeeded_indexes)?;
    Some(new(
        SUCCESS_CRITERIA_MET,
        "True",
        "SuccessPolicy",
        message,
        view.now,
    ))
}

/// Enough pods have succeeded, and none is left. `moves`: pods are about to be made or deleted.
pub fn completion(view: &View<'_>, moves: bool) -> Option<JobCondition> {
    let enough = match view.spec.completions {
        // One success ends a work queue; the others then finish what they have.
        None => view.succeeded > 0,
        Some(completions) => view.succeeded >= completions,
    };
    let message = "Reached expected number of succeeded pods".to_owned();
    (enough && view.active.is_empty() && !moves).then(|| {
        new(
            SUCCESS_CRITERIA_MET,
            "True",
            "CompletionsReached",
            message,
            view.now,
        )
    })
}

fn failure(view: &View<'_>) -> Option<(&'static str, String)> {
    let spec = &view.spec;
    let policy = spec.fields.pod_failure_policy.is_some();
    for pod in view.pods.iter().filter(|_| policy) {
        if pods::has_failed(spec, pod)
            && let Verdict::FailJob(message) = failure_policy::judge(spec, pod)
        {
            return Some(("PodFailurePolicy", message));
        }
    }
    if view.failed > spec.backoff_limit || restarts_too_often(view) {
        return Some((
            "BackoffLimitExceeded",
            "Job has reached the specified backoff limit".to_owned(),
        ));
    }
    if view.deadline().is_some_and(|at| at <= view.now) {
        return Some((
            "DeadlineExceeded",
            "Job was active longer than specified deadline".to_owned(),
        ));
    }
    let failed = view.failed_indexes.as_ref()?.count();
    if spec
        .fields
        .max_failed_indexes
        .is_some_and(|max| failed > max)
    {
        return Some((
            "MaxFailedIndexesExceeded",
            "Job has exceeded the specified maximal number of failed indexes".to_owned(),
        ));
    }
    let over = failed.saturating_add(view.succeeded_indexes.count());
    (failed > 0
        && spec
            .completions
            .is_some_and(|completions| over >= completions))
    .then(|| ("FailedIndexes", "Job has failed indexes".to_owned()))
}

fn restarts_too_often(view: &View<'_>) -> bool {
    let template = view.spec.fields.template.spec.as_ref();
    if template.and_then(|spec| spec.restart_policy.as_deref()) != Some("OnFailure") {
        return false;
    }
    view.restarts() >= view.spec.backoff_limit.max(1)
}
