//! Jobs that say so are deleted some time after they have finished, with their pods.
//! <https://kubernetes.io/docs/concepts/workloads/controllers/ttlafterfinished/>

use super::action::{Action, Plan, Target};
use super::runner::Controller;
use super::world::{Change, Key, World};
use super::{clock, job};
use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;

pub struct TtlAfterFinished;

impl Controller for TtlAfterFinished {
    fn name(&self) -> &'static str {
        "ttl-after-finished-controller"
    }

    fn keys(&self, _: &World, change: &Change) -> Vec<Key> {
        match change {
            Change::Job(diff) => diff.key().into_iter().collect(),
            _ => Vec::new(),
        }
    }

    fn reconcile(&self, world: &World, key: &Key, now: Timestamp) -> Plan {
        let mut plan = Plan::default();
        let Some(job) = world.jobs.get(key) else {
            return plan;
        };
        let Some(at) = expiry(job) else {
            return plan;
        };
        if at > now {
            // A finish in the future, of a clock that has been set back, is waited for: what it has to show is not
            // thrown away early.
            clock::look_at(&mut plan, at, now);
            return plan;
        }
        plan.actions.push(Action::Delete {
            target: Target::of::<Job>(&job.metadata),
            // Its TTL may have been raised meanwhile.
            resource_version: job.metadata.resource_version.clone(),
            grace_period_seconds: None,
            propagation: Some("Foreground"),
        });
        plan
    }
}

/// When the Job goes. `None`: it stays, or is going already.
fn expiry(job: &Job) -> Option<Timestamp> {
    let seconds = job.spec.as_ref()?.ttl_seconds_after_finished?;
    let finished = job::end(job)?.last_transition_time.as_ref()?.0;
    job.metadata
        .deletion_timestamp
        .is_none()
        .then(|| clock::after(finished, seconds.into()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::{Value, json};
    use std::time::Duration;

    #[test]
    fn finished_jobs_go_after_their_time() {
        let now: Timestamp = "2026-01-01T00:00:30Z".parse().unwrap();
        let job = |ttl: Value, end: &str| {
            json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"namespace": "n", "name": "j", "uid": "J"},
                "spec": {"ttlSecondsAfterFinished": ttl, "template": {}},
                "status": {"conditions": [{"type": end, "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}]}})
        };
        let mut ending = job(json!(0), "Complete");
        ending["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
        for (job, deletes, again) in [
            (job(json!(30), "Complete"), true, None),
            (job(json!(0), "Failed"), true, None),
            (job(json!(31), "Complete"), false, Some(1)),
            (job(json!(i32::MAX), "Complete"), false, Some(60)),
            (job(Value::Null, "Complete"), false, None),
            (job(json!(0), "FailureTarget"), false, None),
            (ending, false, None),
        ] {
            let plan = TtlAfterFinished.reconcile(
                &World::of(std::slice::from_ref(&job)),
                &("n".into(), "j".into()),
                now,
            );
            assert_eq!(!plan.actions.is_empty(), deletes, "{job}");
            assert_eq!(plan.again, again.map(Duration::from_secs), "{job}");
        }
    }
}
