//! One look at a Deployment: which of its ways it goes, and what is written in the end.

use super::conditions::{self, Conditions};
use super::create::{self, New};
use super::sets::{Set, Sets, Shape};
use super::{revisions, rolling, scaling, status, template};
use crate::controllers::action::{Action, Plan, Target};
use crate::controllers::world::{Folded, World};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::apps::v1::{Deployment, DeploymentSpec, ReplicaSet};
use serde_json::json;
use std::sync::Arc;

struct Look<'a> {
    world: &'a World,
    deployment: &'a Deployment,
    spec: &'a DeploymentSpec,
    target: Target,
    shape: Shape,
    sets: Sets,
    conditions: Conditions,
    /// The new set is made by this plan.
    is_made: bool,
    now: Timestamp,
}

pub fn plan(
    world: &World,
    deployment: &Deployment,
    spec: &DeploymentSpec,
    owned: Vec<Arc<Folded<ReplicaSet>>>,
    now: Timestamp,
) -> Plan {
    let status = deployment.status.clone().unwrap_or_default();
    let mut look = Look {
        world,
        deployment,
        spec,
        target: Target::of::<Deployment>(&deployment.metadata),
        shape: Shape::of(spec),
        sets: sorted(owned, spec),
        conditions: status.conditions.unwrap_or_default(),
        is_made: false,
        now,
    };
    if deployment.metadata.deletion_timestamp.is_some() {
        return look.written(false, Vec::new());
    }
    look.tell_pause();
    look.sync_new();
    if spec.paused == Some(true) || scaling::is_due(&look.sets, &look.shape) {
        scaling::scale(&mut look.sets, &look.shape, status.replicas.unwrap_or(0));
        let superfluous = match spec.paused {
            Some(true) => revisions::superfluous(spec, &look.sets.old),
            _ => Vec::new(),
        };
        return look.written(false, superfluous);
    }
    if !look.shape.is_rolling && look.is_waiting_for_old() {
        return look.written(true, Vec::new());
    }
    if look.sets.new.is_none() {
        match create::new_set(world, deployment, spec, &look.sets.old, &look.shape) {
            New::Made(set) => look.begin(set),
            New::Collides(count) => return look.collided(count),
        }
    }
    let changed = if look.shape.is_rolling {
        rolling::step(&mut look.sets, &look.shape)
    } else {
        rolling::grow(&mut look.sets, &look.shape)
    };
    let is_complete = status::is_complete(
        deployment,
        &look.shape,
        &deployment.status.clone().unwrap_or_default(),
    );
    let superfluous = if !changed && is_complete {
        revisions::superfluous(spec, &look.sets.old)
    } else {
        Vec::new()
    };
    look.written(true, superfluous)
}

/// The oldest set of the template is the new one: after an update of this program, several may be equal.
fn sorted(owned: Vec<Arc<Folded<ReplicaSet>>>, spec: &DeploymentSpec) -> Sets {
    let mut old: Vec<Set> = owned.into_iter().map(Set::new).collect();
    old.sort_by_key(Set::age);
    let found = old
        .iter()
        .position(|s| template::is_of(&s.object, &spec.template));
    let new = found.map(|index| old.remove(index));
    Sets { new, old }
}

impl Look<'_> {
    fn name(&self) -> &str {
        self.deployment.metadata.name.as_deref().unwrap_or_default()
    }

    fn progressing(&self, reason: &str) -> bool {
        conditions::get(&self.conditions, conditions::PROGRESSING)
            .is_some_and(|c| c.reason.as_deref() == Some(reason))
    }

    fn set_progressing(&mut self, status: &str, reason: &str, message: String) {
        let kind = conditions::PROGRESSING;
        let condition = conditions::new(kind, status, reason, message, self.now);
        conditions::set(&mut self.conditions, condition);
    }

    /// A paused rollout makes no progress and must not be late for that.
    fn tell_pause(&mut self) {
        let (is_paused, was_paused) = (
            self.spec.paused == Some(true),
            self.progressing(conditions::PAUSED),
        );
        if status::deadline(self.spec).is_none() || self.progressing(conditions::TIMED_OUT) {
            return;
        }
        if is_paused && !was_paused {
            self.set_progressing("Unknown", conditions::PAUSED, "Deployment is paused".into());
        } else if !is_paused && was_paused {
            self.set_progressing(
                "Unknown",
                conditions::RESUMED,
                "Deployment is resumed".into(),
            );
        }
    }

    /// The new set, if there is one, has the newest revision, the Deployment's annotations and its patience.
    fn sync_new(&mut self) {
        let revision = revisions::next(&self.sets.old);
        let Some(new) = &mut self.sets.new else {
            return;
        };
        let theirs = self
            .deployment
            .metadata
            .annotations
            .clone()
            .unwrap_or_default();
        revisions::annotate(&mut new.annotations, &theirs, revision);
        new.min_ready_seconds = self.spec.min_ready_seconds.unwrap_or(0);
        let message = format!("Found new replica set {:?}", new.name());
        let is_told = conditions::get(&self.conditions, conditions::PROGRESSING).is_some();
        if status::deadline(self.spec).is_some() && !is_told {
            self.set_progressing("True", conditions::FOUND, message);
        }
    }

    /// Recreate: old sets are stopped, and their pods are not all gone.
    fn is_waiting_for_old(&mut self) -> bool {
        if rolling::stop_old(&mut self.sets, &self.shape) {
            return true;
        }
        self.sets.old.iter().any(|set| {
            let uid = set.object.metadata.uid.as_deref().unwrap_or_default();
            let mut pods = self.world.pods.owned_by(uid);
            set.status().replicas > 0 || pods.any(|pod| !pod.is_finished())
        })
    }

    fn begin(&mut self, set: Set) {
        if status::deadline(self.spec).is_some() {
            let message = format!("Created new replica set {:?}", set.name());
            self.set_progressing("True", conditions::CREATED, message);
        }
        self.sets.new = Some(set);
        self.is_made = true;
    }

    fn collided(self, count: i32) -> Plan {
        Plan::of(vec![Action::Patch {
            target: self.target,
            part: Some("status"),
            resource_version: self.deployment.metadata.resource_version.clone(),
            patch: json!({"status": {"collisionCount": count}}),
        }])
    }

    /// Everything that differs from what there is.
    fn written(self, is_rollout: bool, superfluous: Vec<Set>) -> Plan {
        let mut plan = Plan::default();
        let before = self.deployment.status.clone().unwrap_or_default();
        for set in &self.sets.old {
            plan.actions.extend(set.actions(&self.target));
        }
        if let Some(new) = &self.sets.new {
            plan.actions.extend(if self.is_made {
                let told = before.conditions.clone().unwrap_or_default();
                let has_deadline = status::deadline(self.spec).is_some();
                create::actions(new, &self.target, &told, has_deadline, self.now)
            } else {
                new.actions(&self.target)
            });
        }
        let mut after = status::counted(
            self.deployment,
            &self.sets,
            &self.shape,
            self.conditions.clone(),
            self.now,
        );
        if is_rollout {
            status::roll_out(
                self.deployment,
                self.spec,
                &self.sets,
                &self.shape,
                &mut after,
                self.now,
            );
            let conditions = after.conditions.clone().unwrap_or_default();
            if let Some(at) = status::due(self.spec, &conditions)
                && let Ok(at) = at.checked_add(SignedDuration::from_secs(1))
            {
                plan.again_at(at, self.now);
            }
        }
        plan.actions
            .extend(superfluous.iter().map(|set| Action::Delete {
                target: Target::of::<ReplicaSet>(&set.object.metadata),
                resource_version: set.object.metadata.resource_version.clone(),
                grace_period_seconds: None,
                propagation: Some("Background"),
            }));
        if status::differ(&before, &after) {
            plan.actions.push(Action::SetStatus {
                target: self.target.clone(),
                resource_version: self.deployment.metadata.resource_version.clone(),
                status: json!(after),
            });
        }
        plan.actions.extend(self.revision());
        plan
    }

    /// The Deployment bears its newest set's revision, last: it makes another version of the Deployment.
    fn revision(&self) -> Option<Action> {
        let of_set = self
            .sets
            .new
            .as_ref()?
            .annotations
            .get(revisions::REVISION)?;
        let own = self.deployment.metadata.annotations.as_ref();
        let own = own.and_then(|a| a.get(revisions::REVISION));
        debug_assert!(!self.name().is_empty());
        (own != Some(of_set) && self.deployment.metadata.deletion_timestamp.is_none()).then(|| {
            Action::Patch {
                target: self.target.clone(),
                part: None,
                resource_version: None,
                patch: json!({"metadata": {"annotations": {revisions::REVISION: of_set}}}),
            }
        })
    }
}
