//! CronJobs: a Job at each time of a schedule.
//!
//! What comes in: CronJobs and the Jobs they own. What goes out: Jobs, named by the minute they are for; old ones'
//! deletion; the CronJob's status. Invariants: a minute's Job is started once, whoever crashes when; of runs that were
//! missed only the latest is made up for, so that a clock that jumps brings no storm; a clock that was set back is not
//! waited for. It never knows what a Job does.
//! <https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/>

mod children;
mod due;
#[cfg(test)]
mod tests;

use super::action::{Action, ERROR, Plan, Target};
use super::clock;
use super::owners;
use super::runner::Controller;
use super::world::{Change, Key, World};
use crate::client::recorder::Kind;
use crate::object::cron::Cron;
use children::{Children, SCHEDULED};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::Resource;
use k8s_openapi::api::batch::v1::{CronJob, CronJobSpec, CronJobStatus, Job};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::json;
use std::sync::Arc;

/// That a run is left out is told while it is news, not at each look after.
const NEWS: SignedDuration = SignedDuration::from_secs(10);

pub struct CronJobs;

impl Controller for CronJobs {
    fn name(&self) -> &'static str {
        "cronjob-controller"
    }

    fn keys(&self, _: &World, change: &Change) -> Vec<Key> {
        match change {
            Change::CronJob(diff) => diff.key().into_iter().collect(),
            Change::Job(diff) => diff.controllers(CronJob::KIND),
            _ => Vec::new(),
        }
    }

    fn reconcile(&self, world: &World, key: &Key, now: Timestamp) -> Plan {
        let mut plan = Plan::default();
        let Some(cron_job) = world.cron_jobs.get(key) else {
            return plan;
        };
        let spec = &cron_job.spec;
        let children = Children::of(world, cron_job);
        let cron = Cron::parse(&spec.schedule, spec.time_zone.as_deref());
        let status = children.status(cron.as_ref().ok(), now);
        write(cron_job, &children, &status, &mut plan);
        if cron_job.metadata.deletion_timestamp.is_some() {
            return plan;
        }
        forget(cron_job, spec, &children, &mut plan);
        if spec.suspend == Some(true) {
            return plan;
        }
        // Validation keeps schedules that cannot be read out of the store, and tells why.
        if let Ok(cron) = cron {
            let run = Run {
                world,
                cron_job,
                spec,
                children: &children,
                cron: &cron,
                now,
            };
            run.start(&status, &mut plan);
        }
        plan
    }
}

/// What becomes of a run whose predecessor still runs.
fn policy(cron_job: &CronJob) -> &str {
    let policy = cron_job.spec.concurrency_policy.as_deref();
    policy.unwrap_or("Allow")
}

fn write(cron_job: &CronJob, children: &Children<'_>, status: &CronJobStatus, plan: &mut Plan) {
    if cron_job.status.clone().unwrap_or_default() == *status {
        return;
    }
    plan.actions.push(Action::SetStatus {
        target: Target::of::<CronJob>(&cron_job.metadata),
        resource_version: cron_job.metadata.resource_version.clone(),
        status: json!(status),
    });
    plan.actions.extend(children.endings(status));
}

/// Finished Jobs beyond the limits of the history go, the oldest first.
fn forget(cron_job: &CronJob, spec: &CronJobSpec, children: &Children<'_>, plan: &mut Plan) {
    let about = Target::of::<CronJob>(&cron_job.metadata);
    let limits = [
        ("Complete", spec.successful_jobs_history_limit.unwrap_or(3)),
        ("Failed", spec.failed_jobs_history_limit.unwrap_or(1)),
    ];
    for (end, limit) in limits {
        let finished = children.finished(end);
        let surplus = finished
            .len()
            .saturating_sub(usize::try_from(limit).unwrap_or(0));
        let old = finished.iter().take(surplus);
        plan.actions
            .extend(old.map(|job| children::delete(&about, job)));
    }
}

/// What a run is decided from.
struct Run<'a> {
    world: &'a World,
    cron_job: &'a CronJob,
    spec: &'a CronJobSpec,
    children: &'a Children<'a>,
    cron: &'a Cron,
    now: Timestamp,
}

impl Run<'_> {
    fn start(&self, status: &CronJobStatus, plan: &mut Plan) {
        let meta = &self.cron_job.metadata;
        let about = Target::of::<CronJob>(meta);
        match self.cron.next(self.now) {
            Some(next) => clock::look_at(plan, next, self.now),
            None if self.is_new() => {
                let message = format!("invalid schedule: {} never comes", self.spec.schedule);
                let tell = Action::tell(&about, Kind::Warning, "InvalidSchedule", message);
                plan.actions.push(tell);
            }
            None => {}
        }
        let last = status.last_schedule_time.as_ref();
        let Some(since) = last.or(meta.creation_timestamp.as_ref()) else {
            return;
        };
        let mut since = since.0;
        if let Some(seconds) = self.spec.starting_deadline_seconds {
            since = since.max(clock::after(self.now, seconds.saturating_neg()));
        }
        let Some(due) = due::latest(self.cron, since, self.now) else {
            return;
        };
        let name = children::name(&about.name, due);
        let key = (about.namespace.clone(), name.clone());
        if self.world.jobs.get(&key).is_some() {
            // Somebody else's; ours would have been in the status.
            return;
        }
        let active: Vec<&Arc<Job>> = self.children.active().collect();
        match policy(self.cron_job) {
            "Forbid" if !active.is_empty() => {
                if self.now.duration_since(due) < NEWS {
                    let message = "Not starting job because prior execution is running and concurrency policy is Forbid";
                    let tell =
                        Action::tell(&about, Kind::Normal, "JobAlreadyActive", message.to_owned());
                    plan.actions.push(tell);
                }
                return;
            }
            "Replace" => {
                let ending = |job: &&&Arc<Job>| job.metadata.deletion_timestamp.is_none();
                let old = active.iter().filter(ending);
                plan.actions
                    .extend(old.map(|job| children::delete(&about, job)));
            }
            _ => {}
        }
        if due::are_many(self.cron, since, due) {
            let message = "too many missed start times. Set or decrease .spec.startingDeadlineSeconds or check clock skew";
            let tell = Action::tell(
                &about,
                Kind::Warning,
                "TooManyMissedTimes",
                message.to_owned(),
            );
            plan.actions.push(tell);
        }
        plan.actions.push(self.create(&about, name, due));
    }

    /// What is wrong with it is news.
    fn is_new(&self) -> bool {
        let created = self.cron_job.metadata.creation_timestamp.as_ref();
        created.is_some_and(|at| self.now.duration_since(at.0) < NEWS)
    }

    fn create(&self, about: &Target, name: String, due: Timestamp) -> Action {
        let template = &self.spec.job_template;
        let own = template.metadata.clone().unwrap_or_default();
        let mut annotations = own.annotations.unwrap_or_default();
        annotations.insert(SCHEDULED.to_owned(), self.cron.show(due));
        let metadata = ObjectMeta {
            name: Some(name.clone()),
            namespace: Some(about.namespace.clone()),
            labels: own.labels,
            annotations: Some(annotations),
            owner_references: Some(vec![owners::reference::<CronJob>(&self.cron_job.metadata)]),
            ..ObjectMeta::default()
        };
        let done = format!("Created job {name}");
        let failed = format!("Error creating job: {ERROR}");
        Action::Report {
            action: Box::new(Action::Create {
                target: Target::named::<Job>(&about.namespace, &name),
                object: json!({"metadata": metadata, "spec": template.spec}),
            }),
            done: vec![Action::tell(about, Kind::Normal, "SuccessfulCreate", done)],
            failed: vec![Action::tell(about, Kind::Warning, "FailedCreate", failed)],
        }
    }
}
