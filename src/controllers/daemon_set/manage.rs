//! One pod on each node that is meant, none on others.

use super::nodes::{Place, Places};
use super::pods::{self, Work};
use super::rolling;
use crate::client::recorder::Kind;
use crate::controllers::action::{Action, Plan, Target};
use crate::controllers::clock;
use crate::controllers::world::PodView;
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::DaemonSet;
use std::sync::Arc;

pub fn manage(
    set: &DaemonSet,
    places: &Places,
    hash: &str,
    now: Timestamp,
    plan: &mut Plan,
) -> Work {
    let mut work = Work::default();
    let lost = places.lost.iter().filter(|pod| !pod.is_ending());
    work.remove.extend(lost.cloned());
    let surges = rolling::Bounds::of(set, places.wanted()).surge > 0;
    for (name, place) in &places.nodes {
        if place.stays {
            let kept = failed(set, name, place, now, &mut work, plan);
            if surges {
                surge(set, &kept, hash, now, &mut work);
            } else {
                work.remove.extend(kept.iter().skip(1).cloned());
            }
            let is_vacant = if surges {
                // One that ends does not hold up the next.
                place.pods.iter().all(|pod| pod.is_ending())
            } else {
                place.pods.is_empty()
            };
            if is_vacant && place.runs {
                work.make.push((name.clone(), 0));
            }
        } else {
            let here = place.pods.iter().filter(|pod| !pod.is_ending());
            work.remove.extend(here.cloned());
        }
    }
    work
}

/// Replaces pods that ended, failed ones after a while; answers with those that did not.
fn failed(
    set: &DaemonSet,
    node: &str,
    place: &Place,
    now: Timestamp,
    work: &mut Work,
    plan: &mut Plan,
) -> Vec<Arc<PodView>> {
    let here: Vec<_> = place.pods.iter().filter(|pod| !pod.is_ending()).collect();
    let is_alone = here.iter().all(|pod| pod.is_finished());
    let mut kept = Vec::new();
    let mut failures = None;
    for pod in here {
        match pod.phase() {
            "Failed" => {
                let at = pods::replaced_at(pod);
                // After the clock was set back there is nothing to wait for.
                if at > now && !clock::is_ahead(at, clock::after(now, pods::WAIT_MAX)) {
                    clock::look_at(plan, at, now);
                    continue;
                }
                work.tell.push(tell(set, node, pod, Kind::Warning));
                work.remove.push(pod.clone());
                failures = failures.max(Some(pods::failures(pod)));
            }
            "Succeeded" => {
                work.tell.push(tell(set, node, pod, Kind::Normal));
                work.remove.push(pod.clone());
            }
            _ => kept.push(pod.clone()),
        }
    }
    if let Some(failures) = failures
        && is_alone
        && place.runs
    {
        work.make.push((node.to_owned(), failures));
    }
    kept
}

fn tell(set: &DaemonSet, node: &str, pod: &PodView, kind: Kind) -> Action {
    let target = Target::of::<DaemonSet>(&set.metadata);
    let name = pod.metadata.name.as_deref().unwrap_or_default();
    let what = format!("daemon pod {}/{name} on node {node}", target.namespace);
    match kind {
        Kind::Warning => {
            let message = format!("Found failed {what}, will try to kill it");
            Action::tell(&target, kind, "FailedDaemonPod", message)
        }
        Kind::Normal => {
            let message = format!("Found succeeded {what}, will try to delete it");
            Action::tell(&target, kind, "SucceededDaemonPod", message)
        }
    }
}

/// Of an update with surge, the oldest old pod and the oldest new one stay, until the new one can do without it.
fn surge(set: &DaemonSet, kept: &[Arc<PodView>], hash: &str, now: Timestamp, work: &mut Work) {
    let (new, old): (Vec<_>, Vec<_>) = kept.iter().partition(|pod| pods::is_new(pod, hash));
    let others = new.iter().skip(1).chain(old.iter().skip(1));
    work.remove.extend(others.map(|pod| (*pod).clone()));
    if let (Some(new), Some(old)) = (new.first(), old.first())
        && (!old.is_ready() || pods::is_available(set, new, now))
    {
        work.remove.push((*old).clone());
    }
}
