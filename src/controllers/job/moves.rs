//! Which pods a running Job needs made and deleted.

use super::indexes::Indexes;
use super::pods;
use super::view::{View, count};
use crate::controllers::world::PodView;
use jiff::Timestamp;
use std::collections::BTreeMap;

/// Pods made or deleted in one go (upstream's `MaxPodCreateDeletePerSync`): a Job of thousands leaves room for others.
const AT_ONCE_MAX: usize = 500;

/// A pod to be made.
#[derive(Debug, PartialEq, Eq)]
pub struct NewPod {
    pub index: Option<i32>,
    /// Of its index so far, counted and ignored, where each index has its own limit.
    pub failures: Option<(i32, i32)>,
}

#[derive(Debug, Default)]
pub struct Moves<'a> {
    pub delete: Vec<&'a PodView>,
    pub create: Vec<NewPod>,
    /// Failed pods are replaced then.
    pub again: Option<Timestamp>,
}

impl Moves<'_> {
    pub fn is_empty(&self) -> bool {
        self.delete.is_empty() && self.create.is_empty()
    }
}

pub fn moves<'a>(view: &View<'a>) -> Moves<'a> {
    let active = count(view.active.iter());
    let wanted = wanted(view, active);
    let surplus = usize::try_from(active - wanted).unwrap_or(0);
    let mut delete = surplus_pods(view, surplus);
    // One kind of move at a time, deletions first.
    if !delete.is_empty() {
        delete.truncate(AT_ONCE_MAX);
        return Moves {
            delete,
            ..Moves::default()
        };
    }
    let ending = if view.spec.only_failed_are_replaced {
        view.terminating()
    } else {
        0
    };
    let missing = usize::try_from(wanted - active - ending).unwrap_or(0);
    if missing == 0 {
        return Moves::default();
    }
    if view.failed_indexes.is_none()
        && let Some(until) = view.backs_off_until()
    {
        return Moves {
            again: Some(until),
            ..Moves::default()
        };
    }
    creations(view, missing.min(AT_ONCE_MAX))
}

fn wanted(view: &View<'_>, active: i32) -> i32 {
    let spec = &view.spec;
    if spec.is_suspended {
        return 0;
    }
    match spec.completions {
        Some(completions) => (completions - view.succeeded).clamp(0, spec.parallelism.max(0)),
        // A pod that succeeds ends a work queue: the rest finish, and no new ones come.
        None if view.succeeded > 0 => active,
        None => spec.parallelism,
    }
}

/// At least `least` active pods, those first that would be missed least; of Indexed Jobs also all without an index
/// of theirs or with another's.
fn surplus_pods<'a>(view: &View<'a>, least: usize) -> Vec<&'a PodView> {
    let mut order = view.active.clone();
    order.sort_by_cached_key(|pod| pods::by_worth(pod));
    if !view.spec.is_indexed {
        order.truncate(least);
        return order;
    }
    let mut best: BTreeMap<i32, &str> = BTreeMap::new();
    for pod in &order {
        if let Some(index) = pods::valid_index(&view.spec, pod) {
            best.insert(index, pods::uid(pod));
        }
    }
    let is_wrong = |pod: &&PodView| {
        pods::valid_index(&view.spec, pod).is_none_or(|index| best[&index] != pods::uid(pod))
    };
    let (mut surplus, right): (Vec<_>, Vec<_>) = order.into_iter().partition(is_wrong);
    let more = least.saturating_sub(surplus.len());
    surplus.extend(right.into_iter().take(more));
    surplus
}

fn creations<'a>(view: &View<'a>, missing: usize) -> Moves<'a> {
    let mut moves = Moves::default();
    if !view.spec.is_indexed {
        moves.create.resize_with(missing, || NewPod {
            index: None,
            failures: None,
        });
        return moves;
    }
    let mut taken = view.succeeded_indexes.union(&indexes(view.active.iter()));
    if view.spec.only_failed_are_replaced {
        let ending = view.pods.iter().filter(|pod| pods::is_terminating(pod));
        taken = taken.union(&indexes(ending));
    }
    if let Some(failed) = &view.failed_indexes {
        taken = taken.union(failed);
    }
    let completions = view.spec.completions.unwrap_or(0);
    for index in taken.missing(completions).take(missing) {
        if view.failed_indexes.is_none() {
            moves.create.push(NewPod {
                index: Some(index),
                failures: None,
            });
            continue;
        }
        if let Some(until) = view.index_backs_off_until(index) {
            moves.again = Some(moves.again.map_or(until, |at| at.min(until)));
        } else {
            let before = view.held.get(&index);
            let failures = before.map(|pod| pods::failures_after(&view.spec, pod));
            moves.create.push(NewPod {
                index: Some(index),
                failures: Some(failures.unwrap_or_default()),
            });
        }
    }
    moves
}

fn indexes<'a>(pods: impl Iterator<Item = &'a &'a PodView>) -> Indexes {
    Indexes::of(pods.filter_map(|pod| pods::index(pod)))
}
