//! Volumes before the sandbox, and while the pod runs.

use super::retry_ms;
use crate::image::Image;
use crate::kubelet::events::Kind;
use crate::kubelet::images::{Need, need};
use crate::kubelet::now_ms;
use crate::kubelet::pod::state::Volumes;
use crate::kubelet::spec::volumes::{Found, Plan, holds_files, plan};
use crate::kubelet::volumes::{self, Ownership, Place};
use crate::kubelet::worker::Worker;
use k8s_openapi::api::core::v1::{Container, Pod, Volume};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

/// Volume and message.
type Failure = (String, String);

impl Worker {
    pub(in crate::kubelet) async fn prepare_volumes(&mut self) {
        match self.make_volumes().await {
            Ok(()) => self.state.volumes = Volumes::Ready,
            Err(failure) => {
                let failures = match self.state.volumes {
                    Volumes::Retry { failures, .. } => failures + 1,
                    _ => 0,
                };
                self.state.volumes = Volumes::Retry {
                    at_ms: now_ms() + retry_ms(failures),
                    failures,
                };
                self.tell_failed_mount(&failure);
            }
        }
    }

    fn tell_failed_mount(&self, (volume, message): &Failure) {
        let message = format!("MountVolume.SetUp failed for volume \"{volume}\" : {message}");
        self.event(None, Kind::Warning, "FailedMount", message);
    }

    async fn make_volumes(&mut self) -> Result<(), Failure> {
        let pod = self.pod.clone();
        if list(&pod).is_empty() {
            return Ok(());
        }
        let plans = self.plans(&pod, |_| true).await?;
        let mut images = BTreeMap::new();
        for (name, plan) in &plans {
            if let Plan::Image {
                reference,
                pull_policy,
            } = plan
            {
                let image = self
                    .volume_image(&pod, reference, pull_policy.as_deref())
                    .await
                    .map_err(|message| (name.clone(), message))?;
                images.insert(name.clone(), image);
            }
        }
        let on_disk = self.ctx.dirs.volumes(&self.uid);
        let in_memory = self.ctx.dirs.volumes_in_memory(&self.uid);
        let ownership = Ownership::of(&pod);
        let store = self.ctx.puller.images().clone();
        let made = tokio::task::spawn_blocking(move || {
            let mut places: BTreeMap<String, Place> = BTreeMap::new();
            for (name, plan) in &plans {
                let at = on_disk.join(name);
                let mut place = volumes::make(plan, &at, &in_memory.join(name), &ownership)
                    .map_err(|e| (name.clone(), e.to_string()))?;
                if let Some(image) = images.get(name) {
                    place.layers = store
                        .root_fs(image, &at)
                        .map_err(|e| (name.clone(), e.to_string()))?
                        .lower;
                }
                places.insert(name.clone(), place);
            }
            Ok(places)
        });
        let places = made
            .await
            .unwrap_or_else(|e| Err(("*".to_string(), e.to_string())))?;
        let watched = self.ctx.watched.clone();
        self.live.made(&pod, places, &self.sources, &watched);
        Ok(())
    }

    /// Looks up all that the volumes mention and says how those that are `wanted` come to be.
    async fn plans(
        &mut self,
        pod: &Arc<Pod>,
        wanted: impl Fn(&Volume) -> bool,
    ) -> Result<Vec<(String, Plan)>, Failure> {
        let every = |e: crate::client::ClientError| ("*".to_string(), e.to_string());
        self.load_sources().await.map_err(every)?;
        let client = self.ctx.client.clone();
        let node_name = self.ctx.node_name.clone();
        let claims = volumes::resolve_claims(&client, pod, &node_name)
            .await
            .map_err(every)?;
        let tokens = self
            .live
            .tokens
            .obtain(&client, pod, now_ms())
            .await
            .map_err(|e| {
                let volume = list(pod).iter().find(|v| v.projected.is_some());
                let name = volume.map_or_else(|| "*".to_string(), |v| v.name.clone());
                (name, format!("failed to fetch token: {e}"))
            })?;
        let found = Found {
            sources: &self.sources,
            tokens,
            claims: &claims,
            node: &self.ctx.facts,
        };
        list(pod)
            .iter()
            .filter(|volume| wanted(volume))
            .map(|volume| {
                let plan = plan(pod, volume, &found).map_err(|e| (volume.name.clone(), e.0))?;
                Ok((volume.name.clone(), plan))
            })
            .collect()
    }

    /// The image of a volume, pulled where its policy asks for that.
    async fn volume_image(
        &self,
        pod: &Pod,
        reference: &str,
        pull_policy: Option<&str>,
    ) -> Result<Image, String> {
        let as_container = Container {
            image: Some(reference.to_string()),
            image_pull_policy: pull_policy.map(str::to_string),
            ..Container::default()
        };
        match need(self.ctx.puller.images(), &as_container) {
            Need::Present(image) => Ok(*image),
            Need::Invalid(message) | Need::Never(message) | Need::Broken(message) => Err(message),
            Need::Pull { .. } => {
                let keyring = super::image::keyring_of(&self.ctx, pod).await;
                let pulled = self.ctx.puller.pull(reference, keyring).await;
                pulled
                    .result
                    .map_err(|e| format!("failed to pull and unpack image \"{reference}\": {e}"))
            }
        }
    }

    /// Brings files up to date when that is due. Returns when to come back.
    pub(in crate::kubelet) async fn tend_volumes(&mut self) -> Option<i64> {
        let over = self.state.termination.is_some()
            || self.state.verdict.is_some()
            || self.state.volumes != Volumes::Ready;
        if over {
            return None;
        }
        let now_ms = now_ms();
        if self.live.is_stale(&self.pod, now_ms) {
            self.refresh_files().await;
        }
        self.live.wake_ms()
    }

    async fn refresh_files(&mut self) {
        let pod = self.pod.clone();
        let result = match self.plans(&pod, holds_files).await {
            Ok(plans) => self.write_files(plans, &pod).await,
            Err(failure) => Err(failure),
        };
        match result {
            Ok(()) => self.live.files_written(&pod, &self.sources),
            Err(failure) => {
                self.live.retry_ms = Some(now_ms() + volumes::REFRESH_RETRY_MS);
                // What is there stays; a failure that goes on is told once.
                if self.live.told.as_ref() != Some(&failure.1) {
                    self.tell_failed_mount(&failure);
                    self.live.told = Some(failure.1);
                }
            }
        }
    }

    async fn write_files(&self, plans: Vec<(String, Plan)>, pod: &Pod) -> Result<(), Failure> {
        let unused = PathBuf::new();
        let in_memory = self.ctx.dirs.volumes_in_memory(&self.uid);
        let ownership = Ownership::of(pod);
        let written = tokio::task::spawn_blocking(move || {
            plans.iter().try_for_each(|(name, plan)| {
                volumes::make(plan, &unused, &in_memory.join(name), &ownership)
                    .map(drop)
                    .map_err(|e| (name.clone(), e.to_string()))
            })
        });
        written
            .await
            .unwrap_or_else(|e| Err(("*".to_string(), e.to_string())))
    }

    /// A pod that is over gives its volumes back before it is deleted, as upstream's volume manager does.
    pub(in crate::kubelet) async fn free_volumes(&mut self) {
        let dirs = self.ctx.dirs.clone();
        let uid = self.uid.clone();
        let freed = tokio::task::spawn_blocking(move || volumes::remove_volumes(&dirs, &uid)).await;
        match freed {
            Ok(Ok(())) => {
                self.live.clear();
                self.state.volumes = Volumes::Absent;
                self.state.volumes_freed = true;
            }
            Ok(Err(error)) => {
                tracing::warn!(pod = %self.name(), %error, "volumes of a pod that is over not removed; trying again");
                self.pause();
            }
            Err(error) => {
                tracing::warn!(pod = %self.name(), %error, "volumes of a pod that is over not removed; trying again");
                self.pause();
            }
        }
    }
}

fn list(pod: &Pod) -> &[Volume] {
    pod.spec
        .as_ref()
        .and_then(|s| s.volumes.as_deref())
        .unwrap_or_default()
}
