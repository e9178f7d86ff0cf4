//! HorizontalPodAutoscalers: replicas by what pods use.
//! <https://kubernetes.io/docs/tasks/run-application/horizontal-pod-autoscale/>
//!
//! What comes in: autoscalers, their targets and pods, and what those pods were measured to use (`World::usage`). What
//! goes out: the target's `scale`, the status, events. Invariants: what was not measured never makes a target larger
//! than it would be without those pods, nor smaller; within the tolerance nothing changes; a status is not written for
//! a flicker of its figures. Metrics that nobody serves here (Pods, Object, External) are invalid, as upstream has it
//! without an adapter.

mod behavior;
mod calculate;
mod metrics;
mod status;
mod target;
#[cfg(test)]
mod tests;

use super::action::{Action, Plan, Target};
use super::runner::Controller;
use super::world::usage::{Memo, Memory, Note};
use super::world::{Change, Key, World, key};
use crate::client::recorder::Kind;
use jiff::Timestamp;
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use serde_json::json;
use status::Status;

pub struct Autoscalers;

impl Controller for Autoscalers {
    fn name(&self) -> &'static str {
        "horizontal-pod-autoscaler"
    }

    fn keys(&self, world: &World, change: &Change) -> Vec<Key> {
        match change {
            Change::Autoscaler(diff) => match (&diff.old, &diff.new) {
                // Its own status is no news.
                (Some(old), Some(new)) if old.spec == new.spec => Vec::new(),
                _ => diff.key().into_iter().collect(),
            },
            Change::Usage => {
                let all = world.autoscalers.iter();
                all.map(|autoscaler| key(&autoscaler.metadata)).collect()
            }
            _ => Vec::new(),
        }
    }

    fn reconcile(&self, world: &World, key: &Key, now: Timestamp) -> Plan {
        match world.autoscalers.get(key) {
            Some(one) if one.metadata.deletion_timestamp.is_none() => of(world, one, key, now),
            _ => Plan::default(),
        }
    }
}

fn of(world: &World, autoscaler: &HorizontalPodAutoscaler, key: &Key, now: Timestamp) -> Plan {
    let spec = autoscaler.spec.clone();
    let about = Target::of::<HorizontalPodAutoscaler>(&autoscaler.metadata);
    let mut status = Status::new(autoscaler, now);
    let mut actions = Vec::new();
    let warn = |reason, message| Action::tell(&about, Kind::Warning, reason, message);
    let scale = match target::find(world, &key.0, &spec.scale_target_ref) {
        Ok(scale) => scale,
        Err(why) => {
            let message =
                format!("the HPA controller was unable to get the target's current scale: {why}");
            status.condition("AbleToScale", "False", "FailedGetScale", &message);
            if status.is_news() {
                actions.push(warn("FailedGetScale", why));
            }
            actions.extend(status.write());
            return Plan::of(actions);
        }
    };
    let message = "the HPA controller was able to get the target's current scale";
    status.condition("AbleToScale", "True", "SucceededGetScale", message);
    let (least, most) = (spec.min_replicas.unwrap_or(1), spec.max_replicas);
    let current = scale.replicas;
    status.is.current_replicas = Some(current);
    let mut reason = String::new();
    let desired = if current == 0 && least != 0 {
        let message = "scaling is disabled since the replica count of the target is zero";
        status.condition("ScalingActive", "False", "ScalingDisabled", message);
        status.is.desired_replicas = 0;
        actions.extend(status.write());
        return Plan::of(actions);
    } else if current > most {
        reason.push_str("Current number of replicas above Spec.MaxReplicas");
        most
    } else if current < least {
        reason.push_str("Current number of replicas below Spec.MinReplicas");
        least
    } else {
        let found = metrics::replicas(world, &key.0, &spec, &scale, now);
        status.is.current_metrics = Some(found.statuses).filter(|all| !all.is_empty());
        let (reason_code, text) = &found.condition;
        let active = if found.replicas.is_some() {
            "True"
        } else {
            "False"
        };
        status.condition("ScalingActive", active, reason_code, text);
        if let Some(error) = found.error
            && status.is_news()
        {
            actions.push(warn("FailedComputeMetricsReplicas", error));
        }
        let Some((wanted, metric)) = found.replicas else {
            status.is.desired_replicas =
                autoscaler.status.as_ref().map_or(0, |s| s.desired_replicas);
            actions.extend(status.write());
            return Plan::of(actions);
        };
        if wanted > current {
            reason = format!("{metric} above target");
        } else if wanted < current {
            reason.push_str("All metrics below target");
        }
        let none = Memory::default();
        let memory = world.usage.memory.get(key).unwrap_or(&none);
        let limits = behavior::Limits {
            current,
            least,
            most,
            memory,
            now,
        };
        let normal = behavior::normalize(&limits, spec.behavior.as_ref(), wanted);
        status.condition("AbleToScale", "True", normal.able.0, normal.able.1);
        let limited = if normal.is_limited { "True" } else { "False" };
        status.condition("ScalingLimited", limited, normal.limit.0, normal.limit.1);
        actions.push(remember(key, false, wanted, now));
        normal.replicas
    };
    status.is.desired_replicas = desired;
    if desired == current {
        actions.extend(status.write());
        return Plan::of(actions);
    }
    // Where the target does not take it, the status says so.
    let mut failed = Status::new(autoscaler, now);
    failed.is = status.is.clone();
    failed.is.desired_replicas = current;
    let message = format!(
        "the HPA controller was unable to update the target scale: {}",
        super::action::ERROR
    );
    failed.condition("AbleToScale", "False", "FailedUpdateScale", &message);
    let message = format!("the HPA controller was able to update the target scale to {desired}");
    status.condition("AbleToScale", "True", "SucceededRescale", &message);
    status.is.last_scale_time = Some(super::clock::time(now));
    let rescaled = format!("New size: {desired}; reason: {reason}");
    let mut done = vec![
        remember(key, true, desired - current, now),
        Action::tell(&about, Kind::Normal, "SuccessfulRescale", rescaled),
    ];
    done.extend(status.write());
    let why = format!(
        "New size: {desired}; reason: {reason}; error: {}",
        super::action::ERROR
    );
    let mut refused = vec![warn("FailedRescale", why)];
    refused.extend(failed.write());
    actions.push(Action::Report {
        action: Box::new(Action::Patch {
            target: scale.target,
            part: Some("scale"),
            resource_version: None,
            patch: json!({"spec": {"replicas": desired}}),
        }),
        done,
        failed: refused,
    });
    Plan::of(actions)
}

fn remember(key: &Key, is_scaled: bool, replicas: i32, at: Timestamp) -> Action {
    Action::Remember(Note {
        autoscaler: key.clone(),
        is_scaled,
        memo: Memo { at, replicas },
    })
}
