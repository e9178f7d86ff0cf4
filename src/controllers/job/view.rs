//! A Job and its pods at one moment, counted.

use super::failure_policy::{self, Verdict};
use super::indexes::Indexes;
use super::pods;
use super::spec::Spec;
use crate::controllers::clock;
use crate::controllers::world::PodView;
use jiff::{SignedDuration, Timestamp};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Upstream's `DefaultJobPodFailureBackOff` and `MaxJobPodFailureBackOff`.
const BACK_OFF_FIRST: SignedDuration = SignedDuration::from_secs(10);
const BACK_OFF_LAST: SignedDuration = SignedDuration::from_mins(10);

pub struct View<'a> {
    pub spec: Spec<'a>,
    /// All that are the Job's; of an Indexed Job by index.
    pub pods: Vec<&'a PodView>,
    pub active: Vec<&'a PodView>,
    pub now: Timestamp,
    /// Uids in the status that wait for their pods to be let go.
    pub uncounted_succeeded: BTreeSet<String>,
    pub uncounted_failed: BTreeSet<String>,
    /// Counted and not yet counted together.
    pub succeeded: i32,
    pub failed: i32,
    /// As the status has them.
    pub counted_indexes: Indexes,
    pub succeeded_indexes: Indexes,
    /// With a back-off limit per index only.
    pub failed_indexes: Option<Indexes>,
    /// The last failed pod of each index that is to be tried again: it carries the index's count of failures, and is
    /// kept until its successor does.
    pub held: BTreeMap<i32, &'a PodView>,
}

impl<'a> View<'a> {
    pub fn of(spec: Spec<'a>, owned: &'a [Arc<PodView>], now: Timestamp) -> View<'a> {
        let mut all: Vec<&PodView> = owned.iter().map(Arc::as_ref).collect();
        if spec.is_indexed {
            all.sort_by_key(|pod| pods::index(pod));
        }
        let status = spec.status();
        let waiting = status.uncounted_terminated_pods.as_ref();
        let set = |list: Option<&Vec<String>>| -> BTreeSet<String> {
            list.into_iter().flatten().cloned().collect()
        };
        let mut view = View {
            active: all.iter().copied().filter(|pod| pod.is_active()).collect(),
            pods: all,
            now,
            uncounted_succeeded: set(waiting.and_then(|w| w.succeeded.as_ref())),
            uncounted_failed: set(waiting.and_then(|w| w.failed.as_ref())),
            succeeded: 0,
            failed: 0,
            counted_indexes: Indexes::default(),
            succeeded_indexes: Indexes::default(),
            failed_indexes: None,
            held: BTreeMap::new(),
            spec,
        };
        view.count();
        if view.spec.is_indexed {
            view.count_indexes();
        }
        view
    }

    fn count(&mut self) {
        let spec = &self.spec;
        let status = spec.status();
        let has_place = |pod: &PodView| !spec.is_indexed || pods::valid_index(spec, pod).is_some();
        let fresh = || {
            let all = self.pods.iter();
            all.filter(|pod| pods::is_tracked(pod) && has_place(pod))
        };
        let succeeded = fresh()
            .filter(|pod| self.succeeds(pod) && !self.uncounted_succeeded.contains(pods::uid(pod)));
        let failed = fresh().filter(|pod| {
            pods::has_failed(spec, pod)
                && !self.uncounted_failed.contains(pods::uid(pod))
                && failure_policy::judge(spec, pod).counts()
        });
        let sum = |counted: Option<i32>, waiting: usize, fresh: usize| {
            let more = i32::try_from(waiting + fresh).unwrap_or(i32::MAX);
            counted.unwrap_or(0).saturating_add(more)
        };
        let (succeeded, failed) = (succeeded.count(), failed.count());
        self.succeeded = sum(status.succeeded, self.uncounted_succeeded.len(), succeeded);
        self.failed = sum(status.failed, self.uncounted_failed.len(), failed);
    }

    /// One that was deleted, is written down as failed and ends well after all stays a failure: it counts once.
    fn succeeds(&self, pod: &PodView) -> bool {
        pods::has_succeeded(pod) && !self.uncounted_failed.contains(pods::uid(pod))
    }

    fn count_indexes(&mut self) {
        let spec = &self.spec;
        let status = spec.status();
        let completions = spec.completions.unwrap_or(0);
        let read = |text: &Option<String>| {
            Indexes::parse(text.as_deref().unwrap_or_default(), completions)
        };
        self.counted_indexes = read(&status.completed_indexes);
        let fresh = |is_one: &dyn Fn(&PodView) -> bool| {
            let all = self.pods.iter();
            let all = all.filter(|pod| pods::is_tracked(pod) && is_one(pod));
            Indexes::of(all.filter_map(|pod| pods::valid_index(spec, pod)))
        };
        self.succeeded_indexes = self
            .counted_indexes
            .union(&fresh(&|pod| self.succeeds(pod)));
        self.succeeded = self.succeeded_indexes.count();
        if let Some(limit) = spec.fields.backoff_limit_per_index {
            let fails_index = |pod: &PodView| {
                pods::has_failed(spec, pod)
                    && match failure_policy::judge(spec, pod) {
                        Verdict::FailIndex => true,
                        Verdict::Ignore => false,
                        Verdict::Count | Verdict::FailJob(_) => {
                            pods::failures_before(pod).0 >= limit
                        }
                    }
            };
            let failed = read(&status.failed_indexes).union(&fresh(&fails_index));
            self.held = self.held(&failed);
            self.failed_indexes = Some(failed);
        }
    }

    fn held(&self, failed: &Indexes) -> BTreeMap<i32, &'a PodView> {
        let active: BTreeSet<i32> = self.active.iter().filter_map(|p| pods::index(p)).collect();
        let mut held: BTreeMap<i32, &PodView> = BTreeMap::new();
        let age = |pod: &PodView| {
            let (counted, ignored) = pods::failures_before(pod);
            (counted.saturating_add(ignored), pods::ended_at(pod))
        };
        for pod in &self.pods {
            let Some(index) = pods::valid_index(&self.spec, pod) else {
                continue;
            };
            let is_over = self.succeeded_indexes.contains(index) || failed.contains(index);
            if !pods::is_tracked(pod)
                || !pods::has_failed(&self.spec, pod)
                || is_over
                || active.contains(&index)
            {
                continue;
            }
            let newest = held.entry(index).or_insert(pod);
            if age(newest) <= age(pod) {
                *newest = pod;
            }
        }
        held
    }

    pub fn terminating(&self) -> i32 {
        count(self.pods.iter().filter(|pod| pods::is_terminating(pod)))
    }

    /// When pods may be made again after failures, where they may not yet. Upstream remembers failures while it runs;
    /// here the pods that failed since the last success are the memory, which outlasts the process.
    pub fn backs_off_until(&self) -> Option<Timestamp> {
        let ended = |is_one: &dyn Fn(&PodView) -> bool| -> Vec<Timestamp> {
            let all = self.pods.iter().filter(|pod| is_one(pod));
            all.filter_map(|pod| pods::ended_at(pod)).collect()
        };
        let last_success = ended(&pods::has_succeeded).into_iter().max();
        let mut failures = ended(&|pod| pods::has_failed(&self.spec, pod));
        failures.retain(|at| Some(*at) > last_success);
        let count = i32::try_from(failures.len()).unwrap_or(i32::MAX);
        self.back_off(count, failures.into_iter().max()?)
    }

    /// The same for one index.
    pub fn index_backs_off_until(&self, index: i32) -> Option<Timestamp> {
        let pod = self.held.get(&index)?;
        let (counted, ignored) = pods::failures_before(pod);
        let failures = counted.saturating_add(ignored).saturating_add(1);
        self.back_off(failures, pods::ended_at(pod)?)
    }

    fn back_off(&self, failures: i32, last: Timestamp) -> Option<Timestamp> {
        // Written by a clock that has been set back since: to wait for it would be to wait forever.
        if failures <= 0 || clock::is_ahead(last, self.now) {
            return None;
        }
        let factor = 1_i32.checked_shl((failures - 1).min(16).unsigned_abs());
        let wait = BACK_OFF_FIRST.saturating_mul(factor.unwrap_or(i32::MAX));
        let until = clock::after(last, wait.min(BACK_OFF_LAST).as_secs());
        (until > self.now).then_some(until)
    }

    /// When the Job has been active for too long.
    pub fn deadline(&self) -> Option<Timestamp> {
        let seconds = self.spec.fields.active_deadline_seconds?;
        let started = self.spec.status().start_time.as_ref()?.0;
        (!self.spec.is_suspended).then(|| clock::after(started, seconds))
    }

    /// Containers restarted in place, which counts where pods restart on failure.
    pub fn restarts(&self) -> i32 {
        let running = self.pods.iter();
        let running = running.filter(|pod| matches!(pod.phase(), "Pending" | "Running"));
        running
            .flat_map(|pod| {
                let status = &pod.status;
                status
                    .init_container_statuses
                    .iter()
                    .chain(&status.container_statuses)
            })
            .fold(0, |sum, status| sum.saturating_add(status.restart_count))
    }
}

/// How many, in a status' numbers.
pub fn count<T>(all: impl Iterator<Item = T>) -> i32 {
    i32::try_from(all.count()).unwrap_or(i32::MAX)
}
