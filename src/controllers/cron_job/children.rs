//! A CronJob's Jobs, and what its status says of them.

use super::due;
use crate::client::recorder::Kind;
use crate::controllers::action::{Action, Target};
use crate::controllers::world::World;
use crate::controllers::{clock, job};
use crate::object::cron::Cron;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::batch::v1::{CronJob, CronJobStatus, Job};
use k8s_openapi::api::core::v1::ObjectReference;
use std::sync::Arc;

/// When the Job was scheduled for. Jobs that users make of a CronJob have none.
/// <https://kubernetes.io/docs/reference/labels-annotations-taints/#batch-kubernetes-io-cronjob-scheduled-timestamp>
pub const SCHEDULED: &str = "batch.kubernetes.io/cronjob-scheduled-timestamp";
/// How far back to look for what would have been the last run, where the clock has been set back.
const LOOK_BACK: SignedDuration = SignedDuration::from_hours(24 * 366);

/// The Job of this minute: the name is the lock that keeps two leaders, or one twice, from starting it twice.
pub fn name(cron_job: &str, scheduled: Timestamp) -> String {
    format!("{cron_job}-{}", scheduled.as_second().div_euclid(60))
}

/// The minute in the Job's name, of a Job that the schedule has made.
pub fn scheduled(cron_job: &str, job: &Job) -> Option<Timestamp> {
    let meta = &job.metadata;
    meta.annotations.as_ref()?.get(SCHEDULED)?;
    let end = meta.name.as_ref()?.strip_prefix(cron_job)?;
    let minute: i64 = end.strip_prefix('-')?.parse().ok()?;
    Timestamp::from_second(minute.checked_mul(60)?).ok()
}

pub struct Children<'a> {
    cron_job: &'a CronJob,
    pub all: Vec<&'a Arc<Job>>,
}

impl<'a> Children<'a> {
    pub fn of(world: &'a World, cron_job: &'a CronJob) -> Children<'a> {
        let meta = &cron_job.metadata;
        let owned = world.jobs.owned_by(meta.uid.as_deref().unwrap_or_default());
        let here = owned.filter(|job| job.metadata.namespace == meta.namespace);
        Children {
            cron_job,
            all: here.collect(),
        }
    }

    fn name(&self) -> &str {
        self.cron_job.metadata.name.as_deref().unwrap_or_default()
    }

    /// The schedule made them, and they run.
    pub fn active(&self) -> impl Iterator<Item = &'a Arc<Job>> {
        let all = self.all.iter().copied();
        all.filter(|job| job::end(job).is_none() && scheduled(self.name(), job).is_some())
    }

    /// Finished ones with this end, the oldest first.
    pub fn finished(&self, end: &str) -> Vec<&'a Arc<Job>> {
        let is_one = |job: &&Arc<Job>| {
            job::end(job).is_some_and(|condition| condition.type_ == end)
                && job.metadata.deletion_timestamp.is_none()
        };
        let mut all: Vec<_> = self.all.iter().copied().filter(is_one).collect();
        all.sort_by_key(|job| {
            let started = job.status.as_ref().and_then(|s| s.start_time.as_ref());
            let started = started.map(|at| at.0);
            (started.is_none(), started, job.metadata.name.clone())
        });
        all
    }

    /// The status as it should be. What was started is read from the Jobs themselves, so that a crash between the start
    /// and this loses nothing.
    pub fn status(&self, cron: Option<&Cron>, now: Timestamp) -> CronJobStatus {
        let old = self.cron_job.status.clone().unwrap_or_default();
        let before = old.active.unwrap_or_default();
        let is = |reference: &ObjectReference, job: &Job| reference.uid == job.metadata.uid;
        let active: Vec<&Arc<Job>> = self.active().collect();
        let still = before
            .iter()
            .filter(|r| active.iter().any(|job| is(r, job)));
        let mut references: Vec<ObjectReference> = still.cloned().collect();
        let fresh = active
            .iter()
            .filter(|job| !before.iter().any(|r| is(r, job)));
        references.extend(fresh.map(|job| ObjectReference {
            resource_version: job.metadata.resource_version.clone(),
            ..Target::of::<Job>(&job.metadata).reference()
        }));
        let succeeded = self.all.iter().filter_map(|job| {
            let done = job::end(job).is_some_and(|end| end.type_ == "Complete");
            let at = job.status.as_ref()?.completion_time.as_ref()?;
            done.then(|| at.clone())
        });
        CronJobStatus {
            active: Some(references).filter(|all| !all.is_empty()),
            last_schedule_time: self.last_schedule(cron, now).map(clock::time),
            last_successful_time: succeeded.chain(old.last_successful_time).max(),
        }
    }

    fn last_schedule(&self, cron: Option<&Cron>, now: Timestamp) -> Option<Timestamp> {
        let status = self.cron_job.status.as_ref();
        let told = status
            .and_then(|s| s.last_schedule_time.as_ref())
            .map(|at| at.0);
        let started = self.all.iter();
        let started = started.filter_map(|job| scheduled(self.name(), job));
        let is_real = |at: &Timestamp| !clock::is_ahead(*at, now);
        let last = started.chain(told).filter(is_real).max();
        let created = self.cron_job.metadata.creation_timestamp.as_ref();
        let base = told.or(created.map(|at| at.0));
        match (base, cron) {
            // Years would pass without a run until the clock is there again: from now on it counts as if it had been
            // right, the latest run done.
            (Some(base), Some(cron)) if clock::is_ahead(base, now) && last.is_none() => {
                let since = now.saturating_sub(LOOK_BACK).unwrap_or(Timestamp::MIN);
                Some(due::latest(cron, since, now).unwrap_or(now))
            }
            _ => last,
        }
    }

    /// Events about what is no longer active.
    pub fn endings(&self, new: &CronJobStatus) -> Vec<Action> {
        let about = Target::of::<CronJob>(&self.cron_job.metadata);
        let old = self
            .cron_job
            .status
            .as_ref()
            .and_then(|s| s.active.as_ref());
        let left = |reference: &&ObjectReference| {
            let mut all = new.active.iter().flatten();
            !all.any(|r| r.uid == reference.uid)
        };
        let tell = |reference: &ObjectReference| {
            let name = reference.name.as_deref().unwrap_or_default();
            let job = self
                .all
                .iter()
                .find(|job| job.metadata.uid == reference.uid);
            match job {
                Some(job) => {
                    let end = &job::end(job)?.type_;
                    let message = format!("Saw completed job: {name}, condition: {end}");
                    Some(Action::tell(
                        &about,
                        Kind::Normal,
                        "SawCompletedJob",
                        message,
                    ))
                }
                // Replaced ones went by our own hand, and that has been told.
                None if super::policy(self.cron_job) == "Replace" => None,
                None => {
                    let message = format!("Active job went missing: {name}");
                    Some(Action::tell(&about, Kind::Normal, "MissingJob", message))
                }
            }
        };
        old.into_iter()
            .flatten()
            .filter(left)
            .filter_map(tell)
            .collect()
    }
}

/// Deletes a Job, its pods after it, and tells of it.
pub fn delete(about: &Target, job: &Job) -> Action {
    let name = job.metadata.name.as_deref().unwrap_or_default();
    let done = format!("Deleted job {name}");
    let failed = format!("Deleted job: {}", crate::controllers::action::ERROR);
    Action::Report {
        action: Box::new(Action::Delete {
            target: Target::of::<Job>(&job.metadata),
            resource_version: None,
            grace_period_seconds: None,
            propagation: Some("Background"),
        }),
        done: vec![Action::tell(about, Kind::Normal, "SuccessfulDelete", done)],
        failed: vec![Action::tell(about, Kind::Warning, "FailedDelete", failed)],
    }
}
