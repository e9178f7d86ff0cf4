//! Owns the pods' workers: starts one for each pod bound here, tells it of changes, clears up what no pod owns.

mod static_pods;

use super::Context;
use super::admit::{Room, admit};
use super::eviction::{self, Eviction};
use super::pod::ephemeral;
use super::pod::record::Record;
use super::pod::resize::granted;
use super::pod::state::{PodState, Verdict, containers};
use super::spec::pod_resources::{Amounts, pod_requests};
use super::static_pods::mirror::{Mirror, is_mirror};
use super::static_pods::{Source, StaticPods};
use super::volumes;
use super::worker::Worker;
use crate::client::informer::{Event, Scope, informer};
use crate::runtime::RuntimeEvent;
use futures::StreamExt;
use k8s_openapi::api::core::v1::{Node, Pod};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// What a worker is to make true. The newest value is all that counts, so the queue is one place long.
#[derive(Debug, Clone)]
pub struct Wanted {
    pub pod: Arc<Pod>,
    /// The pod is out of the API, or its file is gone.
    pub gone: bool,
    /// Set for a static pod: it comes from a file, and the API has a mirror of it.
    pub mirror: Option<Mirror>,
    /// The node gives the pod up.
    pub eviction: Option<Eviction>,
    /// How often disk was asked back: ended runs that wait for their restart are removed at once.
    pub reclaims: u32,
}

/// What others may know of a pod here.
#[derive(Debug, Clone, PartialEq)]
pub struct View {
    pub pod: Arc<Pod>,
    pub containers: BTreeMap<String, ContainerView>,
    /// The pod uses nothing of the node any more.
    pub over: bool,
    /// What it was granted of the node.
    pub requests: Amounts,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ContainerView {
    /// The newest run that left a log.
    pub attempt: Option<u32>,
    pub running: bool,
    /// Why it waits, as its status says.
    pub waiting: Option<String>,
    /// Of the newest run; empty and 0 before the first.
    pub id: String,
    pub started_ms: i64,
    /// The image of the newest run, as its status names it.
    pub image: String,
}

impl View {
    pub fn of(pod: &Arc<Pod>, state: &PodState) -> View {
        let statuses = pod.status.as_ref();
        let waiting = |name: &str| {
            let status = statuses?
                .init_container_statuses
                .iter()
                .flatten()
                .chain(statuses?.container_statuses.iter().flatten())
                .chain(statuses?.ephemeral_container_statuses.iter().flatten())
                .find(|s| s.name == name)?;
            status.state.as_ref()?.waiting.as_ref()?.reason.clone()
        };
        let list = containers(pod)
            .map(|(_, c)| &c.name)
            .chain(ephemeral::list(pod).map(|e| &e.name))
            .map(|name| {
                let record = state.record(name);
                let view = ContainerView {
                    attempt: record.and_then(|r| r.attempt()),
                    running: record.is_some_and(|r| r.is_running()),
                    waiting: waiting(name),
                    id: record.map(|r| r.id().to_owned()).unwrap_or_default(),
                    started_ms: record.map_or(0, Record::started_ms),
                    image: record.map(|r| r.image.clone()).unwrap_or_default(),
                };
                (name.clone(), view)
            })
            .collect();
        View {
            pod: pod.clone(),
            containers: list,
            requests: pod_requests(&granted(pod, state)),
            over: !state.any_running()
                && (state.verdict.is_some()
                    // Nothing of a pod that is being deleted starts again.
                    || pod.metadata.deletion_timestamp.is_some()
                    || state.cleaned
                    || super::pod::decide::is_complete(pod, state)),
        }
    }
}

struct Handle {
    wanted: watch::Sender<Wanted>,
    view: watch::Receiver<View>,
}

/// The pods of this node, by uid; the manager fills it, the HTTP side reads it. Bounded by the API: more pods than
/// the node takes are here only until their refusal is reported and they are deleted.
#[derive(Default)]
pub struct Pods {
    handles: Mutex<HashMap<String, Handle>>,
    listed: AtomicBool,
}

impl Pods {
    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Handle>> {
        self.handles.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn find(&self, namespace: &str, name: &str) -> Option<watch::Receiver<View>> {
        let handles = self.lock();
        let matching = handles.values().filter(|h| {
            let wanted = h.wanted.borrow();
            let meta = &wanted.pod.metadata;
            meta.namespace.as_deref() == Some(namespace) && meta.name.as_deref() == Some(name)
        });
        // While a deleted pod still stops, its successor of the same name is the one meant.
        matching
            .min_by_key(|h| h.wanted.borrow().gone)
            .map(|h| h.view.clone())
    }

    /// True once every pod bound here is known.
    pub fn is_listed(&self) -> bool {
        self.listed.load(Ordering::Acquire)
    }

    /// Gives a pod up; its view tells when it is over. `None`: it is not here, or given up already.
    pub fn evict(&self, uid: &str, eviction: Eviction) -> Option<watch::Receiver<View>> {
        let handles = self.lock();
        let handle = handles.get(uid)?;
        let is_new = handle.wanted.send_if_modified(|wanted| {
            let is_new = wanted.eviction.is_none();
            wanted.eviction.get_or_insert(eviction);
            is_new
        });
        is_new.then(|| handle.view.clone())
    }

    /// True for a pod that was given up and may still be ending.
    pub fn is_evicted(&self, uid: &str) -> bool {
        let handles = self.lock();
        handles
            .get(uid)
            .is_some_and(|handle| handle.wanted.borrow().eviction.is_some())
    }

    /// Asks every worker to remove ended runs now.
    pub fn reclaim_dead(&self) {
        for handle in self.lock().values() {
            handle
                .wanted
                .send_modify(|wanted| wanted.reclaims = wanted.reclaims.wrapping_add(1));
        }
    }

    /// Of every pod here.
    pub fn uids(&self) -> HashSet<String> {
        self.lock().keys().cloned().collect()
    }

    pub fn views(&self) -> Vec<View> {
        self.lock()
            .values()
            .map(|h| h.view.borrow().clone())
            .collect()
    }
}

/// Sets of static pods that wait for the manager; only the last counts.
const STATIC_CHANGES_MAX: usize = 4;

/// Runs the pods until `stop`, which leaves their containers running.
pub async fn run(
    ctx: Arc<Context>,
    pods: Arc<Pods>,
    mut runtime_events: mpsc::Receiver<RuntimeEvent>,
    files: Option<StaticPods>,
    stop: CancellationToken,
) {
    let scope = Scope {
        field_selector: Some(format!("spec.nodeName={}", ctx.facts.name)),
        ..Scope::default()
    };
    let mut events = informer::<Pod>(&ctx.client, scope);
    let mut manager = Manager {
        ctx,
        pods,
        workers: JoinSet::new(),
        ids: HashMap::new(),
        stop: stop.clone(),
        listed: false,
        static_pods: Vec::new(),
        mirrors: HashMap::new(),
    };
    // Before anything else: they need no API, and the first list must not take theirs for orphans.
    let (changes, mut static_changes) = mpsc::channel(STATIC_CHANGES_MAX);
    let mut reading = JoinSet::new();
    if let Some(files) = files {
        let mut source = Source::new(files, &manager.ctx.facts.name);
        let first = source.read();
        manager.static_pods_changed(first.clone()).await;
        reading.spawn(source.run(first, changes, stop.clone()));
    }
    let mut runtime_open = true;
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            Some(pods) = static_changes.recv() => manager.static_pods_changed(pods).await,
            Some(event) = events.next() => manager.apply(event).await,
            event = runtime_events.recv(), if runtime_open => match event {
                Some(event) => manager.wake(&event),
                None => runtime_open = false,
            },
            Some(ended) = manager.workers.join_next_with_id(), if !manager.workers.is_empty() => {
                manager.worker_ended(ended);
                manager.start_static_pods().await;
            }
        }
    }
    while reading.join_next().await.is_some() {}
    // Workers see the same stop; each is awaited so that no write to the API is cut off half-way.
    while manager.workers.join_next().await.is_some() {}
}

struct Manager {
    ctx: Arc<Context>,
    pods: Arc<Pods>,
    workers: JoinSet<()>,
    ids: HashMap<tokio::task::Id, String>,
    stop: CancellationToken,
    listed: bool,
    /// What the files hold.
    static_pods: Vec<Arc<Pod>>,
    /// The mirrors in the API, by namespace and name.
    mirrors: HashMap<(String, String), Arc<Pod>>,
}

impl Manager {
    async fn apply(&mut self, event: Event<Pod>) {
        match event {
            Event::Restarted(mut list) => {
                // Older pods are admitted first, as upstream does after a restart.
                list.sort_by(|a, b| {
                    a.metadata
                        .creation_timestamp
                        .cmp(&b.metadata.creation_timestamp)
                });
                let mut alive: HashSet<String> =
                    list.iter().filter_map(|p| p.metadata.uid.clone()).collect();
                for (uid, handle) in self.pods.lock().iter() {
                    if handle.wanted.borrow().mirror.is_some() {
                        alive.insert(uid.clone());
                    } else if !alive.contains(uid) {
                        handle.wanted.send_modify(|w| w.gone = true);
                    }
                }
                if !self.listed {
                    self.listed = true;
                    self.clear_orphans(&alive).await;
                }
                self.mirrors_listed(&list);
                for pod in list {
                    self.applied(pod).await;
                }
                self.pods.listed.store(true, Ordering::Release);
            }
            Event::Applied(pod) => self.applied(pod).await,
            Event::Deleted(pod) if is_mirror(&pod) => self.mirror_deleted(&pod),
            Event::Deleted(pod) => {
                let uid = pod.metadata.uid.clone().unwrap_or_default();
                if let Some(handle) = self.pods.lock().get(&uid) {
                    handle.wanted.send_modify(|w| {
                        w.pod = Arc::new(pod);
                        w.gone = true;
                    });
                }
            }
        }
    }

    async fn applied(&mut self, pod: Pod) {
        let Some(uid) = pod.metadata.uid.clone() else {
            return;
        };
        if is_mirror(&pod) {
            return Box::pin(self.mirror_applied(pod)).await;
        }
        let pod = Arc::new(pod);
        if let Some(handle) = self.pods.lock().get(&uid) {
            handle.wanted.send_modify(|w| {
                w.pod = pod;
                w.gone = false;
            });
            return;
        }
        Box::pin(self.start(Wanted {
            pod,
            gone: false,
            mirror: None,
            eviction: None,
            reclaims: 0,
        }))
        .await;
    }

    /// A worker for a pod that has none.
    async fn start(&mut self, wanted: Wanted) {
        let pod = wanted.pod.clone();
        let uid = pod.metadata.uid.clone().unwrap_or_default();
        let ctx = self.ctx.clone();
        let _room = ctx.room.lock().await;
        let refused = self.refuse(&pod).await;
        let (wanted_tx, wanted) = watch::channel(wanted);
        let (view_tx, view) = watch::channel(View::of(&pod, &PodState::default()));
        let worker = Worker::new(self.ctx.clone(), pod, wanted, view_tx);
        let task = self.workers.spawn(worker.run(refused, self.stop.clone()));
        self.ids.insert(task.id(), uid.clone());
        let handle = Handle {
            wanted: wanted_tx,
            view,
        };
        self.pods.lock().insert(uid, handle);
    }

    /// Admission, only for pods that have not been taken before.
    async fn refuse(&self, pod: &Pod) -> Option<Verdict> {
        let status = pod.status.as_ref();
        let phase = status.and_then(|s| s.phase.as_deref()).unwrap_or("Pending");
        let taken = phase != "Pending" || status.is_some_and(|s| s.start_time.is_some());
        let uid = pod.metadata.uid.as_deref().unwrap_or_default();
        if taken
            || pod.metadata.deletion_timestamp.is_some()
            || self.ctx.runtime.sandbox(uid).await.is_some()
        {
            return None;
        }
        let pressure = *self.ctx.pressure.borrow();
        let mut others = self.pods.views();
        others.retain(|view| !view.over);
        let room = Room {
            pods_max: self.ctx.pods_max,
            facts: self.ctx.facts.clone(),
            labels: self.node_labels(pod).await,
        };
        let refused = eviction::admit(pod, pressure)
            .and_then(|()| admit(pod, others.iter().map(|view| &view.requests), &room))
            .and_then(|()| super::admit_security::admit(pod, &self.ctx.policy))
            .err()?;
        tracing::warn!(pod = %format!("{}/{}", pod.metadata.namespace.as_deref().unwrap_or_default(),
            pod.metadata.name.as_deref().unwrap_or_default()), reason = refused.reason, "pod refused: {}", refused.message);
        let message = refused
            .message
            .strip_prefix("Pod was rejected: ")
            .unwrap_or(&refused.message)
            .to_string();
        // Reasons of events are a closed list here, so that they can be counted by name.
        let reason = match refused.reason.as_str() {
            "OutOfpods" => "OutOfpods",
            "OutOfcpu" => "OutOfcpu",
            "OutOfmemory" => "OutOfmemory",
            "OutOfephemeral-storage" => "OutOfephemeral-storage",
            "NodeAffinity" => "NodeAffinity",
            "SysctlForbidden" => "SysctlForbidden",
            "AppArmor" => "AppArmor",
            eviction::REASON => eviction::REASON,
            _ => "OutOfResources",
        };
        self.ctx
            .recorder
            .pod(pod, None, super::events::Kind::Warning, reason, message);
        Some(refused)
    }

    /// The labels a node selector is held against: the Node's as they are now, since whoever bound the pod may have
    /// seen a label that was set a moment ago.
    async fn node_labels(&self, pod: &Pod) -> BTreeMap<String, String> {
        let selects = pod
            .spec
            .as_ref()
            .is_some_and(|spec| spec.node_selector.is_some());
        let node = if selects {
            self.ctx
                .client
                .get::<Node>(None, &self.ctx.node_name)
                .await
                .ok()
        } else {
            None
        };
        node.and_then(|node| node.metadata.labels)
            .unwrap_or_else(|| self.ctx.labels.clone())
    }

    /// The runtime says that something changed; the worker looks for itself.
    fn wake(&self, event: &RuntimeEvent) {
        let (RuntimeEvent::ContainerExited { pod_uid, .. } | RuntimeEvent::SandboxDied { pod_uid }) =
            event;
        if let Some(handle) = self.pods.lock().get(pod_uid) {
            handle.wanted.send_modify(|_| {});
        }
    }

    fn worker_ended(&mut self, ended: Result<(tokio::task::Id, ()), tokio::task::JoinError>) {
        let id = match ended {
            Ok((id, ())) => id,
            Err(error) => {
                tracing::error!(%error, "a pod's worker broke; its pod is looked after again at the next change");
                error.id()
            }
        };
        if let Some(uid) = self.ids.remove(&id) {
            self.pods.lock().remove(&uid);
        }
    }

    /// What pods that are no longer in the API left behind while this process was away.
    async fn clear_orphans(&self, alive: &HashSet<String>) {
        for sandbox in self.ctx.runtime.sandboxes().await {
            let uid = &sandbox.spec.pod_uid;
            if alive.contains(uid) {
                continue;
            }
            tracing::info!(pod = %format!("{}/{}", sandbox.spec.namespace, sandbox.spec.name), uid, "removing a pod that is not in the API");
            if let Err(error) = self.ctx.runtime.remove_sandbox(uid).await {
                tracing::warn!(uid, %error, "orphaned sandbox not removed; the next start tries again");
            }
            if let Err(error) = self.ctx.network.detach(uid).await {
                tracing::warn!(uid, %error, "orphaned address not freed; the next start tries again");
            }
        }
        let uids: Vec<String> = alive.iter().cloned().collect();
        if let Err(error) = self.ctx.network.retain(&uids).await {
            tracing::warn!(%error, "orphaned addresses not freed; the next start tries again");
        }
        let dirs = self.ctx.dirs.clone();
        let alive = alive.clone();
        let cleared = tokio::task::spawn_blocking(move || {
            for root in [dirs.pods.clone(), dirs.all_volumes_in_memory()] {
                for entry in std::fs::read_dir(root).into_iter().flatten().flatten() {
                    let name = entry.file_name();
                    if let Some(uid) = name.to_str().filter(|uid| !alive.contains(*uid))
                        && let Err(error) = volumes::remove_pod(&dirs, uid)
                    {
                        tracing::warn!(uid, %error, "orphaned pod directory not removed; the next start tries again");
                    }
                }
            }
        });
        if let Err(error) = cleared.await {
            tracing::warn!(%error, "orphaned pod directories not removed; the next start tries again");
        }
    }
}
