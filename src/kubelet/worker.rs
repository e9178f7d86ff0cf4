//! One task per pod: looks at the present state, decides, acts, reports, and waits for a change.

use super::Context;
use super::act::hooks;
use super::events::Kind;
use super::images::Pulled;
use super::manager::{View, Wanted};
use super::pod::decide::{Action, advance, decide};
use super::pod::ephemeral;
use super::pod::patch::status_patch;
use super::pod::record::ImageState;
use super::pod::resize::granted_to;
use super::pod::state::{PodState, Sandbox, Verdict, Volumes, containers};
use super::pod::status::pod_status;
use super::probes::Probes;
use super::static_pods::mirror::Mirror;
use super::volumes::Live;
use crate::client::{ClientError, DeleteParams, PatchType};
use crate::crash;
use crate::image::Image;
use crate::kubelet::spec::Sources;
use k8s_openapi::api::core::v1::{Container, Pod, PodStatus};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};
use tokio_util::sync::CancellationToken;

/// Rounds of decide and act before the worker looks outside again: more than the longest chain (every container of a
/// pod prepared, started and removed), so it only stops a mistake from spinning.
const ROUNDS_MAX: usize = 512;
/// Wait after an action that failed and has no back-off of its own.
pub const RETRY_MS: i64 = 2_000;
/// Wait before a confirmed deletion is confirmed again.
const DELETE_RETRY_MS: i64 = 10_000;

/// Owns one pod.
pub struct Worker {
    pub(super) ctx: Arc<Context>,
    pub(super) pod: Arc<Pod>,
    pub(super) uid: String,
    pub(super) state: PodState,
    wanted: watch::Receiver<Wanted>,
    view: watch::Sender<View>,
    /// Aborted with the worker. At most one per container.
    pub(super) pulls: JoinSet<(String, Pulled)>,
    /// The image each container's next run uses.
    pub(super) images: BTreeMap<String, Image>,
    pub(super) sources: Sources,
    /// Waits already told in an event, by container: the time each ends.
    pub(super) noted: BTreeMap<String, i64>,
    /// Nothing more is tried before this time.
    pub(super) pause_until_ms: Option<i64>,
    written: Option<PodStatus>,
    pub(super) report_retry_ms: Option<i64>,
    /// Aborted with the worker. At most one per container.
    pub(super) hooks: JoinSet<hooks::Ended>,
    /// The hook that runs, by container.
    pub(super) hook_handles: BTreeMap<String, AbortHandle>,
    /// A static pod's picture in the API.
    pub(super) mirror: Option<Mirror>,
    probes: Probes,
    /// Where the volumes are, and what keeps them up to date.
    pub(super) live: Live,
    /// Requests for disk space seen so far, and whether the newest is still to be met.
    reclaims: u32,
    pub(super) must_reclaim: bool,
}

enum Next {
    Wait(Option<i64>),
    Exit,
}

impl Worker {
    pub fn new(
        ctx: Arc<Context>,
        pod: Arc<Pod>,
        wanted: watch::Receiver<Wanted>,
        view: watch::Sender<View>,
    ) -> Worker {
        let mirror = wanted.borrow().mirror.clone();
        Worker {
            uid: pod.metadata.uid.clone().unwrap_or_default(),
            mirror,
            ctx,
            pod,
            state: PodState::default(),
            wanted,
            view,
            pulls: JoinSet::new(),
            images: BTreeMap::new(),
            sources: Sources::default(),
            noted: BTreeMap::new(),
            pause_until_ms: None,
            written: None,
            report_retry_ms: None,
            hooks: JoinSet::new(),
            hook_handles: BTreeMap::new(),
            probes: Probes::default(),
            live: Live::default(),
            reclaims: 0,
            must_reclaim: false,
        }
    }

    /// Runs the pod until it is off the node, or until `stop`, which leaves its containers running.
    pub async fn run(mut self, refused: Option<Verdict>, stop: CancellationToken) {
        if stop
            .run_until_cancelled(self.begin(refused))
            .await
            .is_none()
        {
            return;
        }
        loop {
            let Some(next) = stop.run_until_cancelled(self.turn()).await else {
                return;
            };
            let Next::Wait(wake_ms) = next else { return };
            let sleep = wake_ms
                .map(|at| Duration::from_millis((at - super::now_ms()).max(0).unsigned_abs()));
            tokio::select! {
                () = stop.cancelled() => return,
                changed = self.wanted.changed() => {
                    if changed.is_err() {
                        return;
                    }
                }
                Some(pulled) = self.pulls.join_next(), if !self.pulls.is_empty() => {
                    match pulled {
                        Ok((container, pulled)) => self.pulled(&container, pulled),
                        Err(error) => self.pulls_broken(&error),
                    }
                }
                Some(ended) = self.hooks.join_next(), if !self.hooks.is_empty() => self.hooked(ended),
                () = self.probes.changed() => {}
                // What a volume shows has changed; the turn looks at it.
                () = self.live.changed() => {}
                () = tokio::time::sleep(sleep.unwrap_or(Duration::MAX)), if sleep.is_some() => {}
            }
        }
    }

    async fn begin(&mut self, refused: Option<Verdict>) {
        let sandbox = self.ctx.runtime.sandbox(&self.uid).await;
        let ip = match &sandbox {
            Some(sandbox) => self.adopt_address(sandbox).await,
            None => None,
        };
        let now_ms = super::now_ms();
        self.state = PodState::rebuild(&self.pod, sandbox.as_ref(), ip.as_deref(), now_ms);
        // Where they are and what they show is this process's own knowledge: what is there is found, not made again.
        if self.pod.spec.as_ref().is_some_and(|s| s.volumes.is_some()) {
            self.state.volumes = Volumes::Absent;
        }
        if sandbox.is_some() {
            self.settle_cgroup().await;
        }
        self.collect_last_words();
        if refused.is_some() {
            self.state.verdict = refused;
        } else if self.state.started_ms.is_none() {
            self.state.started_ms = Some(now_ms);
        }
    }

    /// One turn: take in what is new, act until nothing is to be done now, report.
    async fn turn(&mut self) -> Next {
        let mut wake_ms = None;
        for _ in 0..ROUNDS_MAX {
            self.refresh();
            self.observe().await;
            self.reclaim().await;
            let now_ms = super::now_ms();
            let refused = self.state.verdict.is_some();
            advance(&self.pod, &mut self.state, now_ms);
            if let Some(verdict) = self.state.verdict.as_ref().filter(|_| !refused) {
                let message = verdict.message.clone();
                self.event(None, Kind::Normal, "DeadlineExceeded", message);
            }
            if let Some(until) = self.pause_until_ms {
                if until > now_ms {
                    wake_ms = Some(until);
                    break;
                }
                self.pause_until_ms = None;
            }
            let decision = decide(&self.pod, &self.state, now_ms);
            wake_ms = decision.wake_ms;
            if decision.actions.is_empty() {
                break;
            }
            for action in decision.actions {
                if action == Action::Exit {
                    Box::pin(self.remove_mirror()).await;
                    return Next::Exit;
                }
                self.act(action).await;
                if self.pause_until_ms.is_some() || self.wanted.has_changed().unwrap_or(true) {
                    break;
                }
            }
        }
        let volumes_ms = self.tend_volumes().await;
        let resize_ms = Box::pin(self.resize()).await;
        self.note_waits();
        self.publish();
        self.report().await;
        let wakes = [wake_ms, self.report_retry_ms, volumes_ms, resize_ms];
        Next::Wait(wakes.into_iter().flatten().min())
    }

    /// The newest pod object; ours may be newer than the watch's after a write.
    fn refresh(&mut self) {
        let mut newer = None;
        let wanted = self.wanted.borrow_and_update();
        if wanted.mirror.is_some() {
            // A file's pod does not change: another content is another pod.
            self.mirror.clone_from(&wanted.mirror);
        } else if version(&wanted.pod) > version(&self.pod) {
            newer = Some(wanted.pod.clone());
        }
        self.state.gone |= wanted.gone;
        let (eviction, reclaims) = (wanted.eviction.clone(), wanted.reclaims);
        drop(wanted);
        if let Some(pod) = newer {
            self.take_pod(pod);
        }
        self.take_eviction(eviction);
        self.must_reclaim |= std::mem::replace(&mut self.reclaims, reclaims) != reclaims;
    }

    async fn observe(&mut self) {
        let sandbox = self.ctx.runtime.sandbox(&self.uid).await;
        if sandbox.is_none()
            && matches!(self.state.sandbox, Sandbox::Alive { .. })
            && let Err(error) = self.ctx.runtime.remove_sandbox(&self.uid).await
        {
            // What a dead shim's containers still do is no longer the pod's.
            tracing::warn!(pod = %self.name(), %error, "what a dead shim left is not removed; trying again");
            self.pause();
            return;
        }
        if self.state.observe(sandbox.as_ref(), super::now_ms()) {
            self.collect_last_words();
            self.give_up_idle_hooks();
        }
        let ends = self.state.termination.is_some()
            || self.state.verdict.is_some()
            || self.pod.metadata.deletion_timestamp.is_some()
            || super::pod::decide::is_complete(&self.pod, &self.state);
        let now_ms = super::now_ms();
        self.probes
            .sync(&self.ctx, &self.pod, &mut self.state, ends, now_ms);
    }

    async fn act(&mut self, action: Action) {
        tracing::debug!(pod = %self.name(), ?action, "acting");
        let name = if crash::armed() {
            action.name()
        } else {
            String::new()
        };
        if matches!(
            action,
            Action::RemoveContainer { .. } | Action::ResetContainers | Action::RemoveSandbox
        ) {
            // The shim is the only other one who knows how the runs ended: the API learns it before the shim forgets.
            self.report().await;
        }
        crash::point(|| format!("before {name}"));
        match action {
            Action::PrepareVolumes => self.prepare_volumes().await,
            Action::CreateSandbox => self.create_sandbox().await,
            Action::EnsureImage { container } => self.ensure_image(&container),
            Action::StartContainer { container, attempt } => {
                self.start_container(&container, attempt).await;
            }
            Action::BeginStop {
                container,
                attempt,
                hook,
            } => self.begin_stop(&container, attempt, hook),
            Action::Stop { container, attempt } => self.signal(&container, attempt, false).await,
            Action::Kill { container, attempt } => self.signal(&container, attempt, true).await,
            Action::RemoveContainer { container, attempt } => {
                self.remove_container(&container, attempt).await;
            }
            Action::ResetContainers => self.reset_containers().await,
            Action::RemoveSandbox => self.remove_sandbox().await,
            Action::FreeVolumes => self.free_volumes().await,
            Action::CleanUp => self.clean_up().await,
            Action::DeletePod => self.confirm_deletion().await,
            Action::Exit => {}
        }
        crash::point(|| format!("after {name}"));
    }

    /// Writes the pod's status where it differs from what the API has.
    pub(super) async fn report(&mut self) {
        // Room is known here to be free before the API hears that the pod ended: whoever the scheduler then puts in its
        // place must be admitted.
        self.publish();
        let now_ms = super::now_ms();
        if self.state.gone || self.report_retry_ms.is_some_and(|at| at > now_ms) {
            return;
        }
        self.report_retry_ms = None;
        if self.mirror.is_some() {
            // On the heap: few pods are static, and every worker would carry its room.
            return Box::pin(self.report_to_mirror(now_ms)).await;
        }
        let desired = pod_status(&self.pod, &self.state, &self.ctx.facts.ip, now_ms);
        if self.pod.status.as_ref() == Some(&desired) || self.written.as_ref() == Some(&desired) {
            return;
        }
        let patch = status_patch(&self.pod, &desired);
        let (namespace, name) = (self.namespace().to_string(), self.pod_name().to_string());
        let result = self
            .ctx
            .client
            .patch::<Pod>(
                Some(&namespace),
                &name,
                Some("status"),
                PatchType::StrategicMerge,
                &patch,
            )
            .await;
        match result {
            Ok(pod) => {
                if version(&pod) > version(&self.pod) {
                    self.take_pod(Arc::new(pod));
                }
                self.written = Some(desired);
                self.publish();
            }
            // The watch will say so.
            Err(ClientError::Status { code: 404, .. }) => {}
            Err(error) => {
                tracing::warn!(pod = %self.name(), %error, "status not written; trying again");
                self.report_retry_ms = Some(now_ms + RETRY_MS);
            }
        }
    }

    /// Final status first, so that watchers see how the pod ended; then the object goes, if it is still this pod.
    async fn confirm_deletion(&mut self) {
        self.report().await;
        let params = DeleteParams {
            grace_period_seconds: Some(0),
            precondition_uid: Some(self.uid.clone()),
            precondition_resource_version: None,
        };
        let (namespace, name) = (self.namespace().to_string(), self.pod_name().to_string());
        let result = self
            .ctx
            .client
            .delete::<Pod>(Some(&namespace), &name, &params)
            .await;
        let wait_ms = match result {
            Ok(())
            | Err(ClientError::Status {
                code: 404 | 409, ..
            }) => DELETE_RETRY_MS,
            Err(error) => {
                tracing::warn!(pod = %self.name(), %error, "deletion not confirmed; trying again");
                RETRY_MS
            }
        };
        self.state.delete_retry_ms = Some(super::now_ms() + wait_ms);
    }

    pub(super) fn publish(&self) {
        let view = View::of(&self.pod, &self.state);
        self.view.send_if_modified(|old| {
            let changed = *old != view;
            *old = view;
            changed
        });
    }

    /// Tells once of every wait that begins.
    fn note_waits(&mut self) {
        let now_ms = super::now_ms();
        let pod = self.pod.clone();
        let all = containers(&pod)
            .map(|(init, c)| (init, c.clone()))
            .chain(ephemeral::list(&pod).map(|e| (false, ephemeral::as_container(e))));
        for (init, container) in all {
            let Some(record) = self.state.record(&container.name) else {
                continue;
            };
            let about = Some((init, container.name.as_str()));
            let image = container.image.as_deref().unwrap_or_default();
            if self.state.termination.is_some() {
                continue;
            }
            if let Some(until) = super::pod::decide::crash_wait(record, now_ms) {
                if super::pod::decide::is_complete(&pod, &self.state) || record.is_running() {
                    continue;
                }
                if self.noted.insert(container.name.clone(), until) != Some(until) {
                    let message = format!(
                        "Back-off restarting failed container {} in pod {}_{}({})",
                        container.name,
                        self.pod_name(),
                        self.namespace(),
                        self.uid
                    );
                    self.ctx
                        .recorder
                        .pod(&pod, about, Kind::Warning, "BackOff", message);
                }
            } else if let ImageState::Failed {
                reason: "ErrImagePull",
                failed_ms,
                retry_ms,
                ..
            } = &record.image_state
                && now_ms >= failed_ms + super::pod::status::PULL_ERROR_SHOWN_MS
                && self.noted.insert(container.name.clone(), *retry_ms) != Some(*retry_ms)
            {
                let message = format!("Back-off pulling image \"{image}\"");
                self.ctx
                    .recorder
                    .pod(&pod, about, Kind::Normal, "BackOff", message);
                let message = "Error: ImagePullBackOff".to_string();
                self.ctx
                    .recorder
                    .pod(&pod, about, Kind::Warning, "Failed", message);
            }
        }
    }

    /// The container of that name, and whether it is an init container.
    pub(super) fn container(&self, name: &str) -> Option<(bool, Container)> {
        containers(&self.pod)
            .find(|(_, c)| c.name == name)
            .map(|(init, c)| {
                let mut container = c.clone();
                container.resources = Some(granted_to(&self.state, c));
                (init, container)
            })
            .or_else(|| ephemeral::find(&self.pod, name).map(|c| (false, c)))
    }

    pub(super) fn pause(&mut self) {
        self.pause_until_ms = Some(super::now_ms() + RETRY_MS);
    }

    pub(super) fn event(
        &self,
        container: Option<(bool, &str)>,
        kind: Kind,
        reason: &'static str,
        message: String,
    ) {
        self.ctx
            .recorder
            .pod(&self.pod, container, kind, reason, message);
    }

    pub(super) fn namespace(&self) -> &str {
        self.pod.metadata.namespace.as_deref().unwrap_or_default()
    }

    pub(super) fn pod_name(&self) -> &str {
        self.pod.metadata.name.as_deref().unwrap_or_default()
    }

    pub(super) fn name(&self) -> String {
        format!("{}/{}", self.namespace(), self.pod_name())
    }
}

fn version(pod: &Pod) -> u64 {
    pod.metadata
        .resource_version
        .as_deref()
        .and_then(|v| v.parse().ok())
        .unwrap_or(0)
}
