//! Of what ends.

use super::{is_owned, is_starved, named};
use crate::controllers::job;
use crate::controllers::world::{World, key};

/// By this a Job holds its pods until they are counted.
const FINALIZER: &str = "batch.kubernetes.io/job-tracking";

pub fn ended(world: &World) -> Vec<String> {
    let mut told = Vec::new();
    for one in world.jobs.iter() {
        let (namespace, _) = key(&one.metadata);
        let spec = one.spec.clone().unwrap_or_default();
        let status = one.status.clone().unwrap_or_default();
        let none = spec.parallelism == Some(0) || spec.suspend == Some(true);
        let Some(end) = job::end(one) else {
            if !none && !is_starved(world, &namespace) {
                told.push(format!("{} goes on: {status:?}", named(&one.metadata)));
            }
            continue;
        };
        if end.type_ == "Complete" && status.succeeded != spec.completions {
            told.push(format!("{} is done with {status:?}", named(&one.metadata)));
        }
        if status.active.unwrap_or(0) + status.terminating.unwrap_or(0) != 0 {
            told.push(format!("{} ended with {status:?}", named(&one.metadata)));
        }
    }
    for pod in world.pods.iter() {
        let mut held = pod.metadata.finalizers.iter().flatten();
        let is_held = held.any(|finalizer| finalizer == FINALIZER);
        let counting = world.jobs.iter().any(|one| {
            job::end(one).is_none()
                && is_owned(
                    &pod.metadata,
                    one.metadata.uid.as_deref().unwrap_or_default(),
                )
        });
        if is_held && (!counting || pod.is_finished()) {
            told.push(format!("{} is held", named(&pod.metadata)));
        }
    }
    told
}

pub fn expired(world: &World) -> Vec<String> {
    let jobs = world.jobs.iter();
    let late = jobs.filter(|one| {
        let spec = one.spec.as_ref();
        let lasts = spec.and_then(|s| s.ttl_seconds_after_finished);
        lasts.is_some() && job::end(one).is_some()
    });
    late.map(|one| named(&one.metadata)).collect()
}

pub fn history(world: &World) -> Vec<String> {
    let mut told = Vec::new();
    for one in world.cron_jobs.iter() {
        let uid = one.metadata.uid.as_deref().unwrap_or_default();
        let own = || world.jobs.owned_by(uid);
        for (end, limit) in [("Complete", 2), ("Failed", 1)] {
            let count = own().filter(|j| job::end(j).is_some_and(|c| c.type_ == end));
            let count = count.count();
            if count > limit {
                told.push(format!("{} has {count} {end}", named(&one.metadata)));
            }
        }
        let active = own().filter(|j| job::end(j).is_none());
        let mut active: Vec<_> = active.map(|j| j.metadata.uid.clone()).collect();
        let says = one.status.iter().flat_map(|s| s.active.iter().flatten());
        let mut says: Vec<_> = says.map(|r| r.uid.clone()).collect();
        active.sort();
        says.sort();
        if active != says {
            told.push(format!(
                "{} says {says:?}: {active:?}",
                named(&one.metadata)
            ));
        }
    }
    told
}
