//! From the old template's pods to the new one's: a step of a rolling update, and of a recreation.

use super::sets::{Set, Sets, Shape, sum};

/// The size of the new set that leaves room for the old pods.
pub fn new_size(sets: &Sets, size: i32, others: i32, shape: &Shape) -> i32 {
    debug_assert!(sets.new.as_ref().is_none_or(|new| new.size == size));
    if !shape.is_rolling {
        return shape.replicas;
    }
    let room = shape.max() - others.saturating_add(size);
    if room <= 0 {
        return size;
    }
    size + room.min(shape.replicas - size)
}

/// One step: the new set grows, or else old ones shrink. Whether anything changed.
pub fn step(sets: &mut Sets, shape: &Shape) -> bool {
    grow(sets, shape) || shrink(sets, shape)
}

pub fn grow(sets: &mut Sets, shape: &Shape) -> bool {
    let others = sum(sets.old.iter().map(|s| s.size));
    let Some(size) = sets.new.as_ref().map(|new| new.size) else {
        return false;
    };
    let wanted = match size.cmp(&shape.replicas) {
        std::cmp::Ordering::Equal => return false,
        std::cmp::Ordering::Greater => shape.replicas,
        std::cmp::Ordering::Less => new_size(sets, size, others, shape),
    };
    if wanted != size
        && let Some(new) = &mut sets.new
    {
        new.scale(wanted, shape);
    }
    wanted != size
}

/// Old pods that are not available go first: they serve nobody. Then as many others as the new ones make up for.
fn shrink(sets: &mut Sets, shape: &Shape) -> bool {
    if sets.old.iter().all(|s| s.size == 0) {
        return false;
    }
    let new_unavailable = sets
        .new
        .as_ref()
        .map_or(0, |new| new.size - new.available());
    let spare = sets.size() - shape.min_available() - new_unavailable;
    if spare <= 0 {
        return false;
    }
    let available = sets.available();
    sets.old.sort_by_key(Set::age);
    let mut left = spare;
    let mut changed = false;
    for set in &mut sets.old {
        let unhealthy = set.size - set.available();
        let count = unhealthy.min(left);
        if set.size > 0 && count > 0 {
            left -= count;
            set.scale(set.size - count, shape);
            changed = true;
        }
    }
    let mut left = available - shape.min_available();
    for set in &mut sets.old {
        let count = set.size.min(left);
        if count > 0 {
            left -= count;
            set.scale(set.size - count, shape);
            changed = true;
        }
    }
    changed
}

/// Recreate: all old ones to nothing. Whether anything changed.
pub fn stop_old(sets: &mut Sets, shape: &Shape) -> bool {
    let mut changed = false;
    for set in sets.old.iter_mut().filter(|s| s.size > 0) {
        set.scale(0, shape);
        changed = true;
    }
    changed
}
