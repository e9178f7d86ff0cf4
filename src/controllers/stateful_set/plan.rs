//! What to do for one StatefulSet: replicas, then those too many, then the update.

use super::claims::{self, Claims};
use super::{identity, is_in_range, ordinals, pods, status, update};
use crate::client::recorder::Kind;
use crate::controllers::action::{Action, Plan, Target};
use crate::controllers::revisions::{self, Newest};
use crate::controllers::world::{PodView, World};
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{ControllerRevision, StatefulSet};
use serde_json::json;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Pods looked at in one plan where order does not matter (as many as other controllers make); what is left comes with
/// the next.
const BURST_MAX: usize = 500;
/// Where a revision keeps its hash.
const HASH: &str = "controller.kubernetes.io/hash";

pub fn plan(
    world: &World,
    set: &Arc<StatefulSet>,
    owned: &[Arc<PodView>],
    history: &[Arc<ControllerRevision>],
    now: Timestamp,
) -> Plan {
    let target = Target::of::<StatefulSet>(&set.metadata);
    let old = set.status.clone().unwrap_or_default();
    let is_ending = set.metadata.deletion_timestamp.is_some();
    let newest = revisions::newest::<StatefulSet>(
        world,
        &set.metadata,
        &set.spec.template,
        old.collision_count,
        history,
        HASH,
    );
    let newest = match newest {
        Newest::Is(revision) => revision,
        _ if is_ending => return Plan::default(),
        Newest::Wait => return Plan::default(),
        Newest::Do(action) => return Plan::of(vec![action]),
        Newest::Collides(count) => {
            return Plan::of(vec![Action::Patch {
                target,
                part: Some("status"),
                resource_version: None,
                patch: json!({"status": {"collisionCount": count}}),
            }]);
        }
    };
    let current = history
        .iter()
        .find(|r| Some(revisions::name(r)) == old.current_revision.as_deref())
        .unwrap_or(&newest);
    let mut plan = Plan::default();
    let is = status::of(set, owned, current, &newest, now, &mut plan);
    if status::differ(&old, &is) {
        plan.actions.push(Action::SetStatus {
            target,
            resource_version: set.metadata.resource_version.clone(),
            status: json!(is),
        });
    }
    if is_ending {
        return plan;
    }
    let work = Work {
        world,
        set,
        current,
        newest: &newest,
        is_ordered: set.spec.pod_management_policy.as_deref() != Some("Parallel"),
        now,
    };
    plan.actions.extend(work.steps(owned));
    plan.actions
        .extend(forget(set, owned, history, [current, &newest]));
    plan
}

/// Deletes revisions that nobody goes by.
fn forget(
    set: &StatefulSet,
    owned: &[Arc<PodView>],
    history: &[Arc<ControllerRevision>],
    kept: [&Arc<ControllerRevision>; 2],
) -> Vec<Action> {
    let is_live = |revision: &ControllerRevision| {
        let name = revisions::name(revision);
        kept.iter().any(|r| revisions::name(r) == name)
            || owned.iter().any(|pod| pods::revision(pod) == name)
    };
    let dead: Vec<_> = history.iter().filter(|r| !is_live(r)).collect();
    revisions::superfluous(&dead, set.spec.revision_history_limit, |_| false)
}

/// One after the other, as one step.
fn chain(actions: Vec<Action>) -> Option<Action> {
    actions
        .into_iter()
        .rev()
        .reduce(|rest, action| Action::Report {
            action: Box::new(action),
            done: vec![rest],
            failed: Vec::new(),
        })
}

struct Work<'a> {
    world: &'a World,
    set: &'a Arc<StatefulSet>,
    current: &'a Arc<ControllerRevision>,
    newest: &'a Arc<ControllerRevision>,
    is_ordered: bool,
    now: Timestamp,
}

/// What one pod needs.
#[derive(Default)]
struct Step {
    actions: Vec<Action>,
    /// What comes after it waits, where order matters.
    blocks: bool,
}

impl Step {
    fn waits() -> Step {
        Step {
            actions: Vec::new(),
            blocks: true,
        }
    }
}

impl Work<'_> {
    fn steps(&self, owned: &[Arc<PodView>]) -> Vec<Action> {
        let name = self.set.metadata.name.as_deref().unwrap_or_default();
        let by_ordinal: BTreeMap<i32, &Arc<PodView>> = owned
            .iter()
            .filter_map(|pod| Some((identity::ordinal(name, &pod.metadata)?, pod)))
            .collect();
        let (start, count) = ordinals(self.set);
        let mut steps = Vec::new();
        // In order, the first that is missing ends this; without, enough steps do.
        for ordinal in start..start.saturating_add(count) {
            let step = self.replica(ordinal, by_ordinal.get(&ordinal).copied());
            if self.is_ordered {
                steps.extend(step.actions);
                if step.blocks {
                    return steps;
                }
            } else {
                steps.extend(chain(step.actions));
                if steps.len() >= BURST_MAX {
                    return self.at_once(steps);
                }
            }
        }
        let (kept, condemned): (Vec<_>, Vec<_>) = by_ordinal
            .into_iter()
            .rev()
            .partition(|(ordinal, _)| is_in_range(self.set, *ordinal));
        let mut all = self.at_once(steps);
        for (ordinal, pod) in &condemned {
            all.extend(claims::retain(self.world, self.set, pod, *ordinal));
        }
        let (mut steps, blocks) = self.remove(&condemned);
        if !blocks && update::is_rolling(self.set) {
            let newest = revisions::name(self.newest);
            let is_available = |pod: &PodView| self.is_available(pod);
            let kept: Vec<_> = kept.into_iter().map(|(_, pod)| pod).collect();
            steps.extend(update::replace(self.set, &kept, newest, is_available));
        }
        all.extend(self.at_once(steps));
        all
    }

    /// Steps whose order does not matter.
    fn at_once(&self, mut steps: Vec<Action>) -> Vec<Action> {
        if self.is_ordered || steps.len() < 2 {
            return steps;
        }
        steps.truncate(BURST_MAX);
        vec![Action::Batch(steps)]
    }

    fn is_available(&self, pod: &PodView) -> bool {
        let wait = self.set.spec.min_ready_seconds.unwrap_or(0);
        pods::is_ready(pod) && pod.available(wait, self.now).is_ok()
    }

    fn replica(&self, ordinal: i32, pod: Option<&Arc<PodView>>) -> Step {
        let Some(pod) = pod else {
            return self.create(ordinal);
        };
        if pod.is_finished() {
            if pod.is_ending() {
                return Step::waits();
            }
            return Step {
                actions: vec![self.tell_of_end(pod), pods::delete(self.set, pod)],
                blocks: true,
            };
        }
        let mut actions = Vec::new();
        if pod.phase() == "Pending"
            && !pod.is_ending()
            && let Claims::Missing(missing) =
                claims::needed(self.world, self.set, ordinal, Some(pod))
        {
            actions.extend(missing);
        }
        let blocks = pod.is_ending() || !self.is_available(pod);
        if !blocks || !self.is_ordered {
            actions.extend(pods::label(self.set, pod, ordinal));
            actions.extend(claims::retain(self.world, self.set, pod, ordinal));
        }
        Step { actions, blocks }
    }

    fn create(&self, ordinal: i32) -> Step {
        let meta = &self.set.metadata;
        let name = identity::pod_name(meta.name.as_deref().unwrap_or_default(), ordinal);
        let key = (meta.namespace.clone().unwrap_or_default(), name);
        if self.world.pods.get(&key).is_some() {
            // Somebody else's: its end brings the next look.
            return Step::waits();
        }
        let Claims::Missing(mut actions) = claims::needed(self.world, self.set, ordinal, None)
        else {
            return Step::waits();
        };
        let revision = if update::is_of_current(self.set, ordinal) {
            self.current
        } else {
            self.newest
        };
        actions.extend(pods::create(self.set, revision, ordinal));
        Step {
            actions,
            blocks: true,
        }
    }

    /// Deletions of pods that are too many, highest ordinal first; and whether something is waited for.
    fn remove(&self, condemned: &[(i32, &Arc<PodView>)]) -> (Vec<Action>, bool) {
        let lowest_ill = condemned.iter().rev().find(|(_, p)| !pods::is_healthy(p));
        let mut steps = Vec::new();
        for (ordinal, pod) in condemned {
            if pod.is_ending() {
                if self.is_ordered {
                    return (steps, true);
                }
                continue;
            }
            let is_lowest_ill = lowest_ill.is_some_and(|(ill, _)| ill == ordinal);
            if self.is_ordered && !self.is_available(pod) && !is_lowest_ill {
                return (steps, true);
            }
            steps.push(pods::delete(self.set, pod));
            if self.is_ordered {
                return (steps, true);
            }
        }
        (steps, false)
    }

    fn tell_of_end(&self, pod: &PodView) -> Action {
        let target = Target::of::<StatefulSet>(&self.set.metadata);
        let (kind, reason, word) = match pod.phase() {
            "Failed" => (Kind::Warning, "RecreatingFailedPod", "failed"),
            _ => (Kind::Normal, "RecreatingTerminatedPod", "terminated"),
        };
        let name = pod.metadata.name.as_deref().unwrap_or_default();
        let message = format!(
            "StatefulSet {}/{} is recreating {word} Pod {name}",
            target.namespace, target.name
        );
        Action::tell(&target, kind, reason, message)
    }
}
