//! What the scheduler knows: nodes, pods, the room taken, and who waits.
//!
//! A decision is assumed here at once: the next pod sees the room taken before the watch tells of the binding. Pods that
//! neither wait nor take room are not kept.

use super::budgets::Budgets;
use super::cluster::{Cluster, Tracked, mix};
use super::decide::{Decision, Scene, decide};
use super::hints::{News, helps};
use super::plugins::Plugins;
use super::queue::Queue;
use super::snapshot::{NodeInfo, PodInfo, PodKey};
use super::volumes::Storage;
use crate::client::informer::Event;
use k8s_openapi::api::core::v1::{Namespace, Node};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

/// As large as the pods and nodes that exist, which the store bounds.
#[derive(Debug, Default)]
pub struct Cache {
    cluster: Cluster,
    pods: BTreeMap<PodKey, Arc<Tracked>>,
    queue: Queue,
    /// Decided, and not yet seen bound.
    assumed: BTreeSet<PodKey>,
    /// Waiting pods for which room is being made.
    nominated: BTreeSet<PodKey>,
    /// Those of them whose nomination the watch has not shown yet.
    nominating: BTreeSet<PodKey>,
    /// Pods that were asked to go (key, uid), and for whom; the watch may not have shown it yet.
    doomed: BTreeMap<(PodKey, String), PodKey>,
    storage: Storage,
    budgets: Budgets,
    namespaces: BTreeSet<String>,
    start: usize,
    /// The caller's time, of the last call that told it.
    now: Duration,
}

/// Whether nothing changed that could change the answer: what the scheduler itself writes must not ask again.
fn is_same_question(before: &PodInfo, now: &PodInfo) -> bool {
    let bare = |pod: &PodInfo| PodInfo {
        told: None,
        nominated: None,
        started: 0,
        ..pod.clone()
    };
    bare(before) == bare(now)
}

impl Cache {
    /// Tells the time: the span since a moment of the caller's own. What is due then is in turn.
    pub fn tick(&mut self, now: Duration) {
        self.now = now;
        self.queue.due(now);
    }

    /// When `tick` is worth calling again.
    pub fn wake_at(&self) -> Option<Duration> {
        self.queue.wake_at()
    }

    pub fn on_node(&mut self, event: Event<Node>) {
        match event {
            Event::Restarted(nodes) => {
                let listed: Vec<_> = nodes.into_iter().map(NodeInfo::read).collect();
                let names: BTreeSet<_> = listed.iter().map(|info| info.name.as_str()).collect();
                let known = self.cluster.nodes();
                let gone: Vec<_> = known
                    .filter(|(_, _, info)| !names.contains(info.name.as_str()))
                    .map(|(_, _, info)| info.name.clone())
                    .collect();
                for name in gone {
                    self.remove_node(&name);
                }
                for info in listed {
                    self.set_node(info);
                }
            }
            Event::Applied(node) => self.set_node(NodeInfo::read(node)),
            Event::Deleted(node) => self.remove_node(&node.metadata.name.unwrap_or_default()),
        }
    }

    fn set_node(&mut self, info: NodeInfo) {
        let number = self.cluster.number(&info.name);
        let known = number.and_then(|n| self.cluster.node(n)?.info.as_deref());
        // Heartbeats change nothing here and wake nobody.
        if known == Some(&info) {
            return;
        }
        let now = Arc::new(info);
        let before = self.cluster.set_node(Arc::clone(&now));
        self.tell(&News::Node {
            before: before.as_deref(),
            now: &now,
        });
    }

    fn remove_node(&mut self, name: &str) {
        if self.cluster.remove_node(name).is_some() {
            self.tell(&News::NodeGone);
        }
    }

    pub fn on_pod(&mut self, event: Event<impl Into<PodInfo>>) {
        match event {
            Event::Restarted(pods) => {
                let listed: Vec<PodInfo> = pods.into_iter().map(Into::into).collect();
                let names: BTreeSet<_> = listed.iter().map(PodInfo::key).collect();
                let known = self.pods.keys();
                let gone: Vec<_> = known.filter(|k| !names.contains(k)).cloned().collect();
                for key in gone {
                    self.remove_pod(&key);
                }
                for pod in listed {
                    self.set_pod(pod);
                }
            }
            Event::Applied(pod) => self.set_pod(pod.into()),
            Event::Deleted(pod) => self.remove_pod(&pod.into().key()),
        }
    }

    pub fn set_pod(&mut self, mut pod: PodInfo) {
        let key = pod.key();
        let before = self.pods.get(&key).cloned();
        let same = before.as_ref().filter(|before| before.pod.uid == pod.uid);
        if let (Some(before), None) = (&before, same) {
            // Another pod of the same name: the one that was here is gone.
            let gone = Arc::clone(before);
            self.forget_pod(&key, &gone);
        }
        let same = same.cloned();
        self.keep_own_decisions(&key, &mut pod, same.as_deref());
        if !pod.is_pending() && !pod.is_placed() {
            if let Some(before) = same {
                self.forget_pod(&key, &before);
            }
            return;
        }
        let unchanged = same
            .as_ref()
            .is_some_and(|b| is_same_question(&b.pod, &pod));
        if pod.is_pending() && pod.nominated.is_some() {
            self.nominated.insert(key.clone());
        } else {
            self.nominated.remove(&key);
        }
        let pending = pod.is_pending().then_some(pod.priority);
        let tracked = self.replace(&key, pod, same.as_ref());
        match pending {
            Some(_) if unchanged => {}
            Some(priority) => self.queue.add(&key, priority),
            None => self.queue.remove(&key),
        }
        if unchanged {
            return;
        }
        match same.filter(|before| before.pod.is_placed()) {
            Some(before) => self.tell(&News::Changed {
                before: &before.pod,
                now: &tracked.pod,
            }),
            None if tracked.pod.is_placed() => self.tell(&News::Placed(&tracked.pod)),
            None => {}
        }
    }

    /// The watch may not have caught up with what was decided here.
    fn keep_own_decisions(&mut self, key: &PodKey, pod: &mut PodInfo, before: Option<&Tracked>) {
        if self.assumed.contains(key) {
            if pod.node.is_some() || before.is_none() || pod.finished {
                self.assumed.remove(key);
            } else {
                pod.node = before.and_then(|b| b.pod.node.clone());
            }
        }
        if self.nominating.contains(key) {
            if pod.nominated.is_some() || before.is_none() || pod.node.is_some() {
                self.nominating.remove(key);
            } else {
                pod.nominated = before.and_then(|b| b.pod.nominated.clone());
            }
        }
        pod.terminating |= self.doomed.contains_key(&(key.clone(), pod.uid.clone()));
    }

    /// Puts a pod in the place of what was known of it: counted where it is, with the counts that it asks for.
    fn replace(
        &mut self,
        key: &PodKey,
        pod: PodInfo,
        before: Option<&Arc<Tracked>>,
    ) -> Arc<Tracked> {
        let asks_same = before.filter(|b| {
            let old = &b.pod;
            old.rules == pod.rules && old.labels == pod.labels && old.owner == pod.owner
        });
        let footing = match asks_same {
            Some(before) => before.footing.clone(),
            None => self.cluster.counts.acquire(&pod),
        };
        if let Some(before) = before {
            self.lift(before);
            if asks_same.is_none() {
                self.cluster.counts.release(&before.footing);
            }
        }
        let tracked = Arc::new(Tracked {
            pod: Arc::new(pod),
            footing,
        });
        if let (Some(node), false) = (&tracked.pod.node, tracked.pod.finished) {
            self.cluster.place(&tracked, node);
        }
        self.pods.insert(key.clone(), Arc::clone(&tracked));
        tracked
    }

    fn lift(&mut self, tracked: &Arc<Tracked>) {
        if let Some(node) = &tracked.pod.node {
            self.cluster.lift(tracked, node);
        }
    }

    pub fn remove_pod(&mut self, key: &PodKey) {
        if let Some(tracked) = self.pods.get(key).cloned() {
            self.forget_pod(key, &tracked);
        }
    }

    /// Forgets the pod and gives its room back; that may help others.
    fn forget_pod(&mut self, key: &PodKey, tracked: &Arc<Tracked>) {
        self.queue.remove(key);
        self.pods.remove(key);
        self.assumed.remove(key);
        self.nominating.remove(key);
        let was_nominated = self.nominated.remove(key);
        self.doomed.remove(&(key.clone(), tracked.pod.uid.clone()));
        self.lift(tracked);
        self.cluster.counts.release(&tracked.footing);
        if tracked.pod.is_placed() {
            self.tell(&News::Left(&tracked.pod));
        } else if was_nominated {
            // The room that was kept for it is anybody's now.
            let mut left = PodInfo::clone(&tracked.pod);
            left.node = left.nominated.take();
            self.tell(&News::Left(&left));
        }
    }

    /// Wakes those whom the news may help.
    fn tell(&mut self, news: &News) {
        let (pods, cluster) = (&self.pods, &self.cluster);
        let helped = self.queue.parked().filter(|(key, failed)| {
            pods.get(*key)
                .is_some_and(|tracked| helps(&tracked.pod, *failed, news, cluster))
        });
        let helped: Vec<PodKey> = helped.map(|(key, _)| key.clone()).collect();
        for key in helped {
            self.queue.wake(&key, self.now);
        }
    }

    pub fn on_namespace(&mut self, event: Event<Namespace>) {
        let set = |cache: &mut Cache, namespace: Namespace| {
            let name = namespace.metadata.name.unwrap_or_default();
            let labels = namespace.metadata.labels.unwrap_or_default();
            let changed = cache.cluster.counts.set_namespace(&name, Some(labels));
            cache.namespaces.insert(name);
            changed
        };
        let changed = match event {
            Event::Restarted(list) => {
                let names = list.iter().filter_map(|n| n.metadata.name.clone());
                let names: BTreeSet<String> = names.collect();
                let mut changed = false;
                for gone in self.namespaces.difference(&names) {
                    changed |= self.cluster.counts.set_namespace(gone, None);
                }
                self.namespaces = names;
                for namespace in list {
                    changed |= set(self, namespace);
                }
                changed
            }
            Event::Applied(namespace) => set(self, namespace),
            Event::Deleted(namespace) => {
                let name = namespace.metadata.name.unwrap_or_default();
                self.namespaces.remove(&name);
                self.cluster.counts.set_namespace(&name, None)
            }
        };
        if changed {
            self.tell(&News::Namespace);
        }
    }

    pub fn on_budget(&mut self, event: Event<PodDisruptionBudget>) {
        self.budgets.take_in(event);
    }

    /// Takes in news of persistent volumes, which may help those that wait.
    pub fn on_storage(&mut self, take_in: impl FnOnce(&mut Storage)) {
        take_in(&mut self.storage);
        self.tell(&News::Storage);
    }

    /// Decides for the next pod in the queue and assumes the answer. `None`: nobody waits.
    pub fn next(&mut self) -> Option<(Arc<PodInfo>, Decision)> {
        loop {
            let key = self.queue.take()?;
            let known = self.pods.get(&key).filter(|t| t.pod.is_pending());
            let Some(tracked) = known.cloned() else {
                self.queue.remove(&key);
                continue;
            };
            let nominated = self.others_nominated(&tracked);
            let mut scene = Scene {
                cluster: &mut self.cluster,
                storage: &self.storage,
                budgets: &self.budgets,
                nominated: &nominated,
                start: &mut self.start,
                seed: mix(0, &tracked.pod.uid),
            };
            let decision = decide(&mut scene, &tracked);
            self.assume(&key, &tracked, &decision);
            return Some((Arc::clone(&tracked.pod), decision));
        }
    }

    /// Pods of no lower priority for which room is being made.
    fn others_nominated(&self, tracked: &Tracked) -> Vec<(Arc<Tracked>, usize)> {
        let all = self.nominated.iter().filter_map(|key| self.pods.get(key));
        all.filter(|other| other.pod.priority >= tracked.pod.priority)
            .filter(|other| other.pod.uid != tracked.pod.uid)
            .filter_map(|other| {
                let node = self.cluster.number(other.pod.nominated.as_deref()?)?;
                Some((Arc::clone(other), node))
            })
            .collect()
    }

    /// Changes what is known of a pod as a decision will change it.
    fn revise(&mut self, key: &PodKey, change: impl FnOnce(&mut PodInfo)) -> Option<Arc<Tracked>> {
        let before = self.pods.get(key).cloned()?;
        let mut pod = PodInfo::clone(&before.pod);
        change(&mut pod);
        Some(self.replace(key, pod, Some(&before)))
    }

    fn assume(&mut self, key: &PodKey, tracked: &Arc<Tracked>, decision: &Decision) {
        match decision {
            Decision::Bind(node) => {
                self.queue.remove(key);
                self.nominated.remove(key);
                self.nominating.remove(key);
                self.assumed.insert(key.clone());
                let placed = self.revise(key, |pod| {
                    pod.node = Some(node.clone());
                    pod.nominated = None;
                });
                if let Some(placed) = placed {
                    self.tell(&News::Placed(&placed.pod));
                }
            }
            // News of the claims brings it back.
            Decision::Claim { .. } => {
                self.queue.park(key, Plugins::VOLUMES, true, self.now);
            }
            Decision::Wait(failed) => self.queue.park(key, *failed, true, self.now),
            Decision::Unschedulable {
                message,
                failed,
                gives_up_room,
            } => {
                self.revise(key, |pod| {
                    pod.told = Some(message.clone());
                    if *gives_up_room {
                        pod.nominated = None;
                    }
                });
                self.queue.park(key, *failed, false, self.now);
                if *gives_up_room && self.nominated.remove(key) {
                    self.nominating.remove(key);
                    let mut left = PodInfo::clone(&tracked.pod);
                    left.node = left.nominated.take();
                    self.tell(&News::Left(&left));
                }
            }
            Decision::Preempt {
                node,
                victims,
                message,
                displaced,
                ..
            } => {
                self.revise(key, |pod| {
                    pod.nominated = Some(node.clone());
                    pod.told = Some(message.clone());
                });
                self.nominated.insert(key.clone());
                self.nominating.insert(key.clone());
                for victim in victims {
                    let at = victim.key();
                    self.doomed
                        .insert((at.clone(), victim.uid.clone()), key.clone());
                    self.revise(&at, |pod| pod.terminating = true);
                }
                for other in displaced {
                    self.revise(other, |pod| pod.nominated = None);
                    self.nominated.remove(other);
                    self.nominating.remove(other);
                    self.queue.wake(other, self.now);
                }
            }
        }
    }

    /// The pods that were to make room were asked to: the pod waits for them.
    pub fn preempted(&mut self, key: &PodKey) {
        self.queue.resume(key);
    }

    /// They could not be asked: nothing is promised, and the pod is tried again later.
    pub fn not_preempted(&mut self, key: &PodKey) {
        let victims = self.doomed.extract_if(.., |_, by| by == key);
        let victims: Vec<PodKey> = victims.map(|((victim, _), _)| victim).collect();
        for victim in victims {
            self.revise(&victim, |pod| pod.terminating = false);
        }
        self.nominated.remove(key);
        self.nominating.remove(key);
        self.revise(key, |pod| {
            pod.nominated = None;
            pod.told = None;
        });
        self.queue.later(key, self.now);
    }

    /// The binding failed: the room is free again, and the pod is tried again later.
    pub fn forget(&mut self, key: &PodKey, uid: &str) {
        let Some(tracked) = self.pods.get(key).filter(|t| t.pod.uid == uid).cloned() else {
            return;
        };
        if self.assumed.remove(key) {
            self.revise(key, |pod| pod.node = None);
            self.queue.add(key, tracked.pod.priority);
            self.tell(&News::Left(&tracked.pod));
        }
        if self.pods.get(key).is_some_and(|t| t.pod.is_pending()) {
            self.queue.later(key, self.now);
        }
    }
}

#[cfg(test)]
#[path = "cache_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "cache_properties.rs"]
mod properties;
