//! The eviction manager at work: looks, tells of pressure, collects, gives up one pod, waits for its end.

use super::decide::{Watch, is_crossed};
use super::observe::{Observations, observe};
use super::pressure::{Pressure, is_critical};
use super::rank::{Candidate, rank};
use super::threshold::{Signal, Threshold};
use super::{Eviction, REASON, Settings, message, storage};
use crate::kubelet::counters::Counters;
use crate::kubelet::dirs::Dirs;
use crate::kubelet::events::{Kind, Recorder};
use crate::kubelet::gc::Collector;
use crate::kubelet::manager::{Pods, View};
use crate::kubelet::now_ms;
use crate::kubelet::spec::pod_resources::pod_requests;
use crate::kubelet::stats::{NodeFiles, Stats, same_filesystem};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

/// Between two looks (upstream's monitoring interval).
const LOOK: Duration = Duration::from_secs(10);
/// How long the end of a pod that was given up is waited for before the next look.
const CLEANUP_PATIENCE: Duration = Duration::from_secs(30);
/// Grace of a pod that a hard threshold or its own limit ends (upstream's).
const GRACE_MS_IMMEDIATE: i64 = 1_000;

/// What the manager works with.
pub struct Parts {
    pub pods: Arc<Pods>,
    pub stats: Arc<Stats>,
    pub collector: Arc<Collector>,
    pub counters: Arc<Counters>,
    pub recorder: Recorder,
    pub dirs: Dirs,
    pub node_name: String,
    /// Told when the pressure changes.
    pub node_changed: Arc<Notify>,
    pub images_dir: PathBuf,
}

pub struct Manager {
    parts: Parts,
    settings: Arc<Settings>,
    pressure: watch::Sender<Pressure>,
    watch: Watch,
    files: NodeFiles,
}

impl Manager {
    /// The manager, and the pressure it sees. It has looked once: the node's first status is true.
    pub fn new(parts: Parts, settings: Arc<Settings>) -> (Manager, watch::Receiver<Pressure>) {
        let (pressure, seen) = watch::channel(Pressure::default());
        let mut manager = Manager {
            parts,
            settings,
            pressure,
            watch: Watch::default(),
            files: NodeFiles::default(),
        };
        manager.look();
        (manager, seen)
    }

    pub async fn run(mut self, stop: CancellationToken) {
        loop {
            if stop.run_until_cancelled(self.turn()).await.is_none() {
                return;
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(LOOK) => {}
            }
        }
    }

    fn observe(&mut self) -> Observations {
        observe(
            &mut self.files,
            &self.parts.dirs.pods,
            &self.parts.images_dir,
        )
    }

    /// What is available, and what has to be done about it.
    fn look(&mut self) -> (Observations, Option<Threshold>) {
        let observed = self.observe();
        let look = self.watch.look(&self.settings, &observed, now_ms());
        let changed = self
            .pressure
            .send_if_modified(|present| std::mem::replace(present, look.pressure) != look.pressure);
        if changed {
            tracing::warn!(pressure = ?look.pressure, ?observed, "the node's pressure changed");
            self.parts.node_changed.notify_one();
        }
        (observed, look.act)
    }

    async fn turn(&mut self) {
        if !self.parts.pods.is_listed() {
            return;
        }
        // One after another, until nothing has to go: each is ended before the next is chosen.
        while self.limits().await || self.relieve().await {}
    }

    fn active(&self) -> Vec<View> {
        let mut views = self.parts.pods.views();
        views.retain(|view| {
            let meta = &view.pod.metadata;
            let uid = meta.uid.as_deref().unwrap_or_default();
            !view.over && meta.deletion_timestamp.is_none() && !self.parts.pods.is_evicted(uid)
        });
        views
    }

    /// Ends a pod that is over its own limits of local storage. True: there was one.
    async fn limits(&mut self) -> bool {
        for view in self.active() {
            if !storage::is_limited(&view.pod) {
                continue;
            }
            let disk = self.parts.stats.disk_of_limited(&view).await;
            if let Some((signal, message)) = storage::violation(&view.pod, &disk) {
                let eviction = Eviction {
                    message,
                    grace_ms: GRACE_MS_IMMEDIATE,
                    disrupted: false,
                };
                if !is_critical(&view.pod) && self.evict(&view, eviction, signal).await {
                    return true;
                }
            }
        }
        false
    }

    /// Takes back what a crossed threshold asks for. True: a pod was given up, look again.
    async fn relieve(&mut self) -> bool {
        let (_, act) = self.look();
        let Some(threshold) = act else {
            return false;
        };
        let resource = threshold.signal.resource();
        self.parts.recorder.node_named(
            &self.parts.node_name,
            Kind::Warning,
            "EvictionThresholdMet",
            format!("Attempting to reclaim {resource}"),
        );
        let (pods_dir, images_dir) = (&self.parts.dirs.pods, &self.parts.images_dir);
        let on_nodefs = matches!(
            threshold.signal,
            Signal::NodefsAvailable | Signal::NodefsInodesFree
        );
        let on_imagefs = matches!(
            threshold.signal,
            Signal::ImagefsAvailable | Signal::ImagefsInodesFree
        );
        // Ended runs lie beside the pods, images beside the image store; usually that is one disk.
        let is_one_disk = same_filesystem(pods_dir, images_dir);
        if on_nodefs || (on_imagefs && is_one_disk) {
            self.parts.pods.reclaim_dead();
        }
        if on_imagefs || (on_nodefs && is_one_disk) {
            self.parts.collector.remove_unused().await;
        }
        let observed = self.observe();
        if !is_crossed(&threshold, &observed, true) {
            tracing::info!(signal = %threshold.signal, "enough was collected; no pod has to go");
            return false;
        }
        let sample = self.parts.stats.counters().await;
        let views = self.active();
        let mut candidates = Vec::with_capacity(views.len());
        for view in views.iter().filter(|view| !is_critical(&view.pod)) {
            let uid = view.pod.metadata.uid.clone().unwrap_or_default();
            let used = sample.pods.iter().find(|pod| pod.uid == uid);
            let on_disk = matches!(resource, "ephemeral-storage" | "inodes");
            let disk = if on_disk {
                Some(self.parts.stats.disk(view).await.total())
            } else {
                None
            };
            let requests = pod_requests(&view.pod);
            let request = |name: &str| {
                let amount = requests.get(name).copied().unwrap_or(0);
                u64::try_from(amount).unwrap_or(0)
            };
            candidates.push(Candidate {
                priority: view.pod.spec.as_ref().and_then(|s| s.priority).unwrap_or(0),
                // As upstream: what containers use, without what is charged to the pod alone.
                memory: used.map(|pod| {
                    let of =
                        |c: &crate::kubelet::stats::ContainerUsage| c.usage.working_set_bytes();
                    pod.containers.iter().map(of).sum()
                }),
                memory_request: request("memory"),
                disk: disk.map(|disk| disk.bytes),
                disk_request: request("ephemeral-storage"),
                inodes: disk.map(|disk| disk.inodes),
                pids: used.map(|pod| pod.usage.pids),
                uid,
            });
        }
        rank(&mut candidates, threshold.signal);
        let Some(first) = candidates.first() else {
            tracing::error!(signal = %threshold.signal, "the node is under pressure and there is no pod that may be given up");
            return false;
        };
        let is_it = |view: &&View| view.pod.metadata.uid.as_deref() == Some(first.uid.as_str());
        let Some(view) = views.iter().find(is_it) else {
            return false;
        };
        let disk = self.parts.stats.disk(view).await;
        let eviction = Eviction {
            message: message::node_low(
                &threshold,
                observed.get(&threshold.signal).copied(),
                &view.pod,
                sample.pods.iter().find(|pod| pod.uid == first.uid),
                Some(&disk),
            ),
            grace_ms: self.grace_ms(&threshold, view),
            disrupted: true,
        };
        self.evict(view, eviction, threshold.signal.as_str()).await
    }

    /// Soft thresholds leave a pod its own grace, up to the node's bound.
    fn grace_ms(&self, threshold: &Threshold, view: &View) -> i64 {
        if threshold.grace_ms.is_none() {
            return GRACE_MS_IMMEDIATE;
        }
        let spec = view.pod.spec.as_ref();
        let own_s = spec.and_then(|spec| spec.termination_grace_period_seconds);
        let grace_s = own_s.unwrap_or(0).min(self.settings.pod_grace_s_max).max(0);
        grace_s.saturating_mul(1000).max(GRACE_MS_IMMEDIATE)
    }

    /// False: the pod is gone already, or ending.
    async fn evict(&self, view: &View, eviction: Eviction, signal: &'static str) -> bool {
        let meta = &view.pod.metadata;
        let uid = meta.uid.clone().unwrap_or_default();
        let name = format!(
            "{}/{}",
            meta.namespace.as_deref().unwrap_or_default(),
            meta.name.as_deref().unwrap_or_default()
        );
        let Some(mut ending) = self.parts.pods.evict(&uid, eviction.clone()) else {
            return false;
        };
        tracing::warn!(pod = name, signal, "evicted: {}", eviction.message);
        self.parts
            .recorder
            .pod(&view.pod, None, Kind::Warning, REASON, eviction.message);
        self.parts.counters.evicted(signal);
        let ended = async {
            while !ending.borrow_and_update().over {
                if ending.changed().await.is_err() {
                    break;
                }
            }
        };
        if tokio::time::timeout(CLEANUP_PATIENCE, ended).await.is_err() {
            tracing::warn!(pod = name, "an evicted pod has not ended yet");
            return true;
        }
        true
    }
}
