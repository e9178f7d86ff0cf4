//! Which nodes get a pod of the newest template next.
//! <https://kubernetes.io/docs/tasks/manage-daemon/update-daemon-set/>

use super::nodes::Places;
use super::pods::{self, Work};
use crate::controllers::deployment::share;
use crate::controllers::world::PodView;
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use std::sync::Arc;

pub fn is_rolling(set: &DaemonSet) -> bool {
    let strategy = set.spec.update_strategy.as_ref();
    strategy.and_then(|s| s.type_.as_deref()) != Some("OnDelete")
}

/// How many nodes may be without, and with two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    pub unavailable: i32,
    pub surge: i32,
}

impl Bounds {
    /// Of the nodes that are to have a pod; shares are rounded up, and both cannot be none.
    pub fn of(set: &DaemonSet, wanted: i32) -> Bounds {
        let strategy = set.spec.update_strategy.as_ref();
        let rolling = strategy.and_then(|s| s.rolling_update.clone());
        let rolling = rolling.filter(|_| is_rolling(set)).unwrap_or_default();
        let (one, none) = (IntOrString::Int(1), IntOrString::Int(0));
        let unavailable = rolling.max_unavailable.as_ref().unwrap_or(&one);
        let surge = rolling.max_surge.as_ref().unwrap_or(&none);
        let mut bounds = Bounds {
            unavailable: share(unavailable, wanted, true),
            surge: share(surge, wanted, true),
        };
        if bounds.unavailable == 0 && bounds.surge == 0 {
            bounds.unavailable = 1;
        }
        bounds
    }
}

/// At most one pod of a node.
type One<'a> = Option<&'a Arc<PodView>>;

/// What a node has: (new, old); `None`: more than that, which is cleared up first.
fn pair<'a>(here: &'a [Arc<PodView>], hash: &str) -> Option<(One<'a>, One<'a>)> {
    let living = here.iter().filter(|pod| !pod.is_ending());
    let (new, old): (Vec<_>, Vec<_>) = living.partition(|pod| pods::is_new(pod, hash));
    let is_pair = new.len() < 2 && old.len() < 2;
    is_pair.then(|| (new.first().copied(), old.first().copied()))
}

pub fn update(set: &DaemonSet, places: &Places, hash: &str, now: Timestamp) -> Work {
    let bounds = Bounds::of(set, places.wanted());
    match bounds.surge {
        0 => one_by_one(set, places, hash, bounds.unavailable, now),
        surge => surging(set, places, hash, surge, now),
    }
}

/// Old pods go, and the next look makes new ones.
fn one_by_one(
    set: &DaemonSet,
    places: &Places,
    hash: &str,
    unavailable: i32,
    now: Timestamp,
) -> Work {
    let mut missing = 0;
    let mut candidates = Vec::new();
    let mut work = Work::default();
    let places = places.nodes.values();
    for place in places.filter(|place| place.runs || !place.pods.is_empty()) {
        let is_available = |pod: &PodView| pods::is_available(set, pod, now);
        match pair(&place.pods, hash) {
            Some((Some(new), None)) => missing += i32::from(!is_available(new)),
            Some((None, Some(old))) if is_available(old) => candidates.push(old.clone()),
            Some((None, Some(old))) => {
                missing += 1;
                work.remove.push(old.clone());
            }
            _ => missing += 1,
        }
    }
    let left = usize::try_from(unavailable.saturating_sub(missing)).unwrap_or(0);
    work.remove.extend(candidates.into_iter().take(left));
    work
}

/// New pods come beside old ones, which go once the new ones are available.
fn surging(set: &DaemonSet, places: &Places, hash: &str, surge: i32, now: Timestamp) -> Work {
    let mut surged = 0;
    let mut candidates = Vec::new();
    let mut work = Work::default();
    for (name, place) in &places.nodes {
        match pair(&place.pods, hash) {
            None => surged += 1,
            Some((_, None)) => {}
            Some((None, Some(_))) if !place.runs => {}
            Some((None, Some(old))) if pods::is_available(set, old, now) => {
                candidates.push((name.clone(), 0));
            }
            Some((None, Some(_))) => work.make.push((name.clone(), 0)),
            Some((Some(new), Some(old))) => {
                if pods::is_available(set, new, now) {
                    work.remove.push(old.clone());
                } else {
                    surged += 1;
                }
            }
        }
    }
    let left = usize::try_from(surge.saturating_sub(surged)).unwrap_or(0);
    work.make.extend(candidates.into_iter().take(left));
    work
}
