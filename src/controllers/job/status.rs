//! What a Job's status says next, and which pods it lets go. A pod is counted in two steps, so that a crash between
//! them neither loses nor doubles it: its uid is written down (or its index), then its finalizer is taken, and when
//! that is seen the uid becomes a number.

use super::failure_policy;
use super::pods;
use super::verdict::{self, SUCCESS_CRITERIA_MET};
use super::view::{View, count};
use crate::controllers::clock;
use crate::controllers::world::PodView;
use k8s_openapi::api::batch::v1::{JobCondition, JobStatus};
use std::collections::BTreeSet;

/// Uids written down at once (upstream's `MaxUncountedPods`): 20 KB of status.
const UNCOUNTED_MAX: usize = 500;

pub struct Next<'a> {
    pub status: JobStatus,
    /// Their finalizer goes once the status has been written.
    pub free: Vec<&'a PodView>,
    /// The Job has ended with this.
    pub ended: Option<JobCondition>,
    /// It has been suspended or resumed: the event's reason.
    pub turned: Option<&'static str>,
}

/// `over`: the interim condition of a Job that is over; its active pods are about to be deleted.
pub fn next<'a>(view: &View<'a>, over: Option<&JobCondition>) -> Next<'a> {
    let mut next = Next {
        status: view.spec.status().into_owned(),
        free: Vec::new(),
        ended: None,
        turned: None,
    };
    start(view, &mut next.status);
    counted(view, &mut next.status);
    let is_full = write_down(view, over, &mut next);
    if over.is_none() && !view.spec.is_ending() {
        suspension(view, &mut next);
    }
    let status = &mut next.status;
    let some = |number: i32| (number > 0).then_some(number);
    let ready = view.active.iter().filter(|pod| pod.is_ready());
    status.active = some(count(view.active.iter()));
    status.ready = Some(count(ready));
    status.terminating = Some(view.terminating());
    if let Some(over) = over {
        set(status, over.clone());
        let waiting = status.uncounted_terminated_pods.as_ref().is_some_and(|w| {
            let lists = [w.succeeded.as_ref(), w.failed.as_ref()];
            lists.into_iter().flatten().any(|list| !list.is_empty())
        });
        let is_left = waiting || is_full || !next.free.is_empty() || !view.active.is_empty();
        if !is_left && view.terminating() == 0 {
            end(view, over, &mut next);
        }
    }
    next
}

fn start(view: &View<'_>, status: &mut JobStatus) {
    if view.spec.is_suspended {
        return;
    }
    // A start in the future was written by a clock that has been set back since: its deadline would never come.
    let usable = status.start_time.as_ref();
    if usable.is_none_or(|at| clock::is_ahead(at.0, view.now)) {
        status.start_time = Some(clock::time(view.now));
    }
}

/// The second step: whose finalizer is gone becomes a number.
fn counted(view: &View<'_>, status: &mut JobStatus) {
    let tracked = view.pods.iter().filter(|pod| pods::is_tracked(pod));
    let tracked: BTreeSet<&str> = tracked.map(|pod| pods::uid(pod)).collect();
    let waiting = status.uncounted_terminated_pods.get_or_insert_default();
    let settle = |list: &mut Option<Vec<String>>, number: &mut Option<i32>| {
        let uids = list.take().unwrap_or_default();
        let all = uids.len();
        let left: Vec<String> = uids
            .into_iter()
            .filter(|uid| tracked.contains(uid.as_str()))
            .collect();
        let gone = i32::try_from(all - left.len()).unwrap_or(i32::MAX);
        *list = Some(left).filter(|left| !left.is_empty());
        *number = Some(number.unwrap_or(0).saturating_add(gone)).filter(|n| *n > 0);
    };
    settle(&mut waiting.succeeded, &mut status.succeeded);
    settle(&mut waiting.failed, &mut status.failed);
}

/// The first step: what has ended is written down, to be let go after. Whether there is more than fits.
fn write_down<'a>(view: &View<'a>, over: Option<&JobCondition>, next: &mut Next<'a>) -> bool {
    let spec = &view.spec;
    let fails_all = over.is_some_and(|c| c.type_ != SUCCESS_CRITERIA_MET);
    let waiting = next
        .status
        .uncounted_terminated_pods
        .get_or_insert_default();
    let (mut succeeded, mut failed) = (
        waiting.succeeded.take().unwrap_or_default(),
        waiting.failed.take().unwrap_or_default(),
    );
    let mut indexes = Vec::new();
    let mut is_full = false;
    for pod in view.pods.iter().filter(|pod| pods::is_tracked(pod)) {
        if succeeded.len() + failed.len() + indexes.len() >= UNCOUNTED_MAX {
            is_full = true;
            break;
        }
        let has_failed = pods::has_failed(spec, pod);
        if !may_go(view, over, pod, has_failed) {
            continue;
        }
        next.free.push(pod);
        let uid = pods::uid(pod);
        let index = pods::valid_index(spec, pod);
        if pods::has_succeeded(pod) && !view.uncounted_failed.contains(uid) {
            match index {
                // An index in the status is proof enough: no uid is needed.
                Some(index) if spec.is_indexed && !view.counted_indexes.contains(index) => {
                    indexes.push(index);
                }
                _ if spec.is_indexed => {}
                _ if !view.uncounted_succeeded.contains(uid) => succeeded.push(uid.to_owned()),
                _ => {}
            }
        } else if (has_failed || fails_all)
            && !view.uncounted_failed.contains(uid)
            && (!spec.is_indexed || index.is_some())
            && failure_policy::judge(spec, pod).counts()
        {
            failed.push(uid.to_owned());
        }
    }
    let filled = |list: Vec<String>| Some(list).filter(|list| !list.is_empty());
    waiting.succeeded = filled(succeeded);
    waiting.failed = filled(failed);
    if spec.is_indexed {
        let all = view
            .counted_indexes
            .union(&super::indexes::Indexes::of(indexes));
        next.status.succeeded = Some(all.count()).filter(|n| *n > 0);
        next.status.completed_indexes = Some(all.to_string()).filter(|text| !text.is_empty());
        next.status.failed_indexes = view.failed_indexes.as_ref().map(ToString::to_string);
    }
    is_full
}

fn may_go(view: &View<'_>, over: Option<&JobCondition>, pod: &PodView, has_failed: bool) -> bool {
    if view.spec.is_ending() || pods::has_succeeded(pod) {
        return true;
    }
    if over.is_some() {
        // It is deleted first.
        return !pod.is_active();
    }
    let is_held = || {
        let held = pods::index(pod).and_then(|index| view.held.get(&index));
        held.is_some_and(|held| pods::uid(held) == pods::uid(pod))
    };
    has_failed && !is_held()
}

fn suspension(view: &View<'_>, next: &mut Next<'_>) {
    let now = view.now;
    let suspended = super::spec::condition(&next.status, "Suspended").is_some();
    match (view.spec.is_suspended, suspended) {
        (true, false) => {
            let message = "Job suspended".to_owned();
            set(
                &mut next.status,
                verdict::new("Suspended", "True", "JobSuspended", message, now),
            );
            next.turned = Some("Suspended");
        }
        (false, true) => {
            let message = "Job resumed".to_owned();
            set(
                &mut next.status,
                verdict::new("Suspended", "False", "JobResumed", message, now),
            );
            // The deadline is for the time it is active.
            next.status.start_time = Some(clock::time(now));
            next.turned = Some("Resumed");
        }
        _ => {}
    }
}

fn end(view: &View<'_>, over: &JobCondition, next: &mut Next<'_>) {
    let kind = if over.type_ == SUCCESS_CRITERIA_MET {
        next.status.completion_time = Some(clock::time(view.now));
        "Complete"
    } else {
        "Failed"
    };
    let (reason, message) = (over.reason.clone(), over.message.clone());
    let ended = verdict::new(
        kind,
        "True",
        &reason.unwrap_or_default(),
        message.unwrap_or_default(),
        view.now,
    );
    set(&mut next.status, ended.clone());
    next.ended = Some(ended);
}

/// Sets the condition, where it says something new.
fn set(status: &mut JobStatus, condition: JobCondition) {
    let all = status.conditions.get_or_insert_default();
    match all.iter_mut().find(|c| c.type_ == condition.type_) {
        Some(old) if old.status == condition.status && old.reason == condition.reason => {}
        Some(old) => *old = condition,
        None => all.push(condition),
    }
}
