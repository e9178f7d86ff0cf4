//! A new number of replicas while several sets have pods: each gets its share.
//! <https://kubernetes.io/docs/concepts/workloads/controllers/deployment/#proportional-scaling>

use super::sets::{DESIRED, MAX, Set, Sets, Shape, sum};
use std::cmp::Reverse;

/// Whether a set with pods was sized for another number of replicas.
pub fn is_due(sets: &Sets, shape: &Shape) -> bool {
    let mut active = sets.iter().filter(|s| s.size > 0);
    active.any(|s| s.number(DESIRED).is_some_and(|n| n != shape.replicas))
}

pub fn scale(sets: &mut Sets, shape: &Shape, status_replicas: i32) {
    if let Some(only) = active_or_latest(sets) {
        only.scale(shape.replicas, shape);
        return;
    }
    if sets
        .new
        .as_ref()
        .is_some_and(|new| is_saturated(new, shape))
    {
        for set in sets.old.iter_mut().filter(|s| s.size > 0) {
            set.scale(0, shape);
        }
        return;
    }
    if shape.is_rolling {
        proportional(sets, shape, status_replicas);
    }
}

/// The one set with pods, or the newest of all if none has any.
fn active_or_latest(sets: &mut Sets) -> Option<&mut Set> {
    match sets.iter().filter(|s| s.size > 0).count() {
        0 if sets.new.is_some() => sets.new.as_mut(),
        0 => sets.old.iter_mut().max_by_key(|s| s.age()),
        1 => sets.iter_mut().find(|s| s.size > 0),
        _ => None,
    }
}

fn is_saturated(new: &Set, shape: &Shape) -> bool {
    new.size == shape.replicas
        && new.number(DESIRED) == Some(shape.replicas)
        && new.available() == shape.replicas
}

fn proportional(sets: &mut Sets, shape: &Shape, status_replicas: i32) {
    let mut active: Vec<&mut Set> = sets.iter_mut().filter(|s| s.size > 0).collect();
    let total = sum(active.iter().map(|s| s.size));
    let allowed = if shape.replicas > 0 { shape.max() } else { 0 };
    let to_add = allowed - total;
    // The largest first; among equals the newer grows and the older shrinks.
    if to_add > 0 {
        active.sort_by_key(|s| (Reverse(s.size), Reverse(s.age())));
    } else {
        active.sort_by_key(|s| (Reverse(s.size), s.age()));
    }
    let mut added = 0;
    let mut sizes = Vec::new();
    for set in &active {
        let share = share(set, shape, status_replicas);
        let left = to_add - added;
        let part = match to_add {
            0 => 0,
            1.. => share.min(left),
            _ => share.max(left),
        };
        added += part;
        sizes.push(set.size.saturating_add(part));
    }
    if let Some(first) = sizes.first_mut() {
        *first = first.saturating_add(to_add - added).max(0);
    }
    for (set, size) in active.into_iter().zip(sizes) {
        set.scale(size, shape);
    }
}

/// What the set gains or loses if it keeps its part of the whole.
fn share(set: &Set, shape: &Shape, status_replicas: i32) -> i32 {
    if shape.replicas == 0 {
        return -set.size;
    }
    let before = i64::from(set.number(MAX).unwrap_or(status_replicas));
    if before <= 0 {
        return 0;
    }
    let scaled = i64::from(set.size) * i64::from(shape.max());
    // Rounded, halves up.
    let size = (2 * scaled + before) / (2 * before);
    i32::try_from(size).unwrap_or(i32::MAX) - set.size
}
