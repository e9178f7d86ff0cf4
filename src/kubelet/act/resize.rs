//! Changing what a running pod may use.

use crate::kubelet::cgroups::{container, widest};
use crate::kubelet::events::Kind;
use crate::kubelet::now_ms;
use crate::kubelet::pod::decide::{grace_s, is_complete};
use crate::kubelet::pod::resize::{Hindrance, granted, judge, replace, replaced, wants_restart};
use crate::kubelet::worker::Worker;
use k8s_openapi::api::core::v1::Pod;
use std::sync::Arc;

/// Between tries of a change that cannot be made now. Only such pods look: nothing tells of room that comes free.
const RETRY_MS: i64 = 5_000;

impl Worker {
    /// Another version of the pod's object.
    pub(in crate::kubelet) fn take_pod(&mut self, pod: Arc<Pod>) {
        replace(&self.pod, &pod, &mut self.state);
        self.pod = pod;
    }

    /// Grants what the spec asks and makes it real, as far as that can be done now. Returns when to try again.
    pub(in crate::kubelet) async fn resize(&mut self) -> Option<i64> {
        let over = self.state.termination.is_some()
            || self.state.verdict.is_some()
            || is_complete(&self.pod, &self.state);
        if over || (self.state.granted.is_empty() && self.state.real.is_empty()) {
            self.state.hindrance = None;
            return None;
        }
        let before = self.state.hindrance.take();
        let result = match self.grant().await {
            Ok(()) => self.make_real().await.map_err(Hindrance::Error),
            Err(hindrance) => Err(hindrance),
        };
        if let Err(hindrance) = result {
            if before.as_ref() != Some(&hindrance) {
                let (kind, reason, message) = match &hindrance {
                    Hindrance::Infeasible(m) => (Kind::Warning, "ResizeInfeasible", m),
                    Hindrance::Deferred(m) => (Kind::Warning, "ResizeDeferred", m),
                    Hindrance::Error(m) => (Kind::Warning, "ResizeError", m),
                };
                self.event(None, kind, reason, message.clone());
            }
            self.state.hindrance = Some(hindrance);
            return Some(now_ms() + RETRY_MS);
        }
        if self.state.real.is_empty() {
            let message = "Pod resize completed".to_string();
            self.event(None, Kind::Normal, "ResizeCompleted", message);
            return None;
        }
        // Containers end now; their next runs have it.
        self.stops_now().then(now_ms)
    }

    /// A stop was asked for and has not begun.
    fn stops_now(&self) -> bool {
        use crate::kubelet::pod::record::Stop;
        let waits = |name: &String| {
            let record = self.state.record(name);
            record.is_some_and(|r| r.ending.is_some() && r.stop == Stop::None)
        };
        self.state.real.keys().any(waits)
    }

    async fn grant(&mut self) -> Result<(), Hindrance> {
        if self.state.granted.is_empty() {
            return Ok(());
        }
        let ctx = self.ctx.clone();
        // Nobody else takes the room between the look and the taking.
        let _room = ctx.room.lock().await;
        let views = ctx.pods.views();
        let others = views
            .iter()
            .filter(|view| !view.over && view.pod.metadata.uid.as_deref() != Some(&self.uid))
            .map(|view| &view.requests);
        judge(&self.pod, &self.state, others, &ctx.facts)?;
        for (name, had) in std::mem::take(&mut self.state.granted) {
            let runs = self.state.record(&name).is_some_and(|r| r.is_running());
            if runs {
                self.state.real.entry(name).or_insert(had);
            }
        }
        self.publish();
        Ok(())
    }

    /// The pod's cgroup grows first and shrinks last: none of its containers may have more than it.
    async fn make_real(&mut self) -> Result<(), String> {
        let (ctx, pod) = (self.ctx.clone(), self.pod.clone());
        let state = &mut self.state;
        let running: Vec<String> = state
            .containers
            .iter()
            .filter(|(_, r)| r.is_running())
            .map(|(n, _)| n.clone())
            .collect();
        state.real.retain(|name, _| running.contains(name));
        let new = ctx.cgroups.limits_of(&pod);
        let old = ctx.cgroups.limits_of(&replaced(&pod, &self.state.real));
        let settled = ctx.cgroups.settle_as(&pod, widest(&new, &old)).await;
        settled.map_err(|e| e.to_string())?;
        for (name, had) in self.state.real.clone() {
            let Some(container) = container(&pod, &name) else {
                self.state.real.remove(&name);
                continue;
            };
            let Some(record) = self.state.containers.get_mut(&name) else {
                continue;
            };
            if wants_restart(container, &had) {
                let message = format!("Container {name} resize requires restart");
                record.renew = true;
                record.end(message, grace_s(&pod), now_ms());
                continue;
            }
            let id = record.id().to_owned();
            let changed = ctx.cgroups.change(&pod, container, &id).await;
            changed.map_err(|e| e.to_string())?;
            self.state.real.remove(&name);
        }
        if self.state.real.is_empty() {
            let settled = ctx.cgroups.settle(&pod).await;
            settled.map_err(|e| e.to_string())?;
        }
        Ok(())
    }

    /// A run of `name` began with all it was granted.
    pub(in crate::kubelet) async fn has_what_it_was_granted(&mut self, name: &str) {
        if self.state.real.remove(name).is_some() && self.state.real.is_empty() {
            self.settle_cgroup().await;
        }
    }

    /// Limits of the pod's cgroup, and of those above it.
    pub(in crate::kubelet) async fn settle_cgroup(&self) {
        let pod = granted(&self.pod, &self.state).into_owned();
        if let Err(error) = self.ctx.cgroups.settle(&pod).await {
            tracing::warn!(pod = %self.name(), %error, "limits of the pod's cgroup not set; its containers keep theirs");
        }
    }
}
