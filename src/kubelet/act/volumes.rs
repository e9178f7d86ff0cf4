//! Volumes before the sandbox.

use super::retry_ms;
use crate::kubelet::events::Kind;
use crate::kubelet::now_ms;
use crate::kubelet::pod::state::Volumes;
use crate::kubelet::spec::volumes::{Plan, plan};
use crate::kubelet::volumes;
use crate::kubelet::worker::Worker;
use k8s_openapi::api::core::v1::Volume;
use std::collections::BTreeMap;
use std::path::PathBuf;

impl Worker {
    pub(in crate::kubelet) async fn prepare_volumes(&mut self) {
        match self.make_volumes().await {
            Ok(()) => self.state.volumes = Volumes::Ready,
            Err((volume, message)) => {
                let failures = match self.state.volumes {
                    Volumes::Retry { failures, .. } => failures + 1,
                    _ => 0,
                };
                self.state.volumes = Volumes::Retry {
                    at_ms: now_ms() + retry_ms(failures),
                    failures,
                };
                let message =
                    format!("MountVolume.SetUp failed for volume \"{volume}\" : {message}");
                self.event(None, Kind::Warning, "FailedMount", message);
            }
        }
    }

    /// The error names the volume.
    async fn make_volumes(&mut self) -> Result<(), (String, String)> {
        let pod = self.pod.clone();
        let list: &[Volume] = pod
            .spec
            .as_ref()
            .and_then(|s| s.volumes.as_deref())
            .unwrap_or_default();
        if list.is_empty() {
            return Ok(());
        }
        self.load_sources()
            .await
            .map_err(|e| ("*".to_string(), e.to_string()))?;
        let fs_group = pod
            .spec
            .as_ref()
            .and_then(|s| s.security_context.as_ref())
            .and_then(|c| c.fs_group)
            .and_then(|g| u32::try_from(g).ok());
        let mut plans: Vec<(String, Plan)> = Vec::new();
        for volume in list {
            let plan = plan(&pod, volume, &self.sources, &self.ctx.facts)
                .map_err(|e| (volume.name.clone(), e.to_string()))?;
            plans.push((volume.name.clone(), plan));
        }
        let on_disk = self.ctx.dirs.volumes(&self.uid);
        let in_memory = self.ctx.dirs.volumes_in_memory(&self.uid);
        let made = tokio::task::spawn_blocking(move || {
            for (name, plan) in &plans {
                volumes::make(plan, &on_disk.join(name), &in_memory.join(name), fs_group)
                    .map_err(|e| (name.clone(), e.to_string()))?;
            }
            Ok(())
        });
        made.await
            .unwrap_or_else(|e| Err(("*".to_string(), e.to_string())))
    }

    pub(super) fn volume_paths(&self) -> BTreeMap<String, PathBuf> {
        let volumes = self
            .pod
            .spec
            .as_ref()
            .and_then(|s| s.volumes.as_deref())
            .unwrap_or_default();
        volumes
            .iter()
            .map(|volume| {
                let path = if let Some(host) = &volume.host_path {
                    PathBuf::from(&host.path)
                } else if volume.empty_dir.is_some() {
                    self.ctx.dirs.volumes(&self.uid).join(&volume.name)
                } else {
                    self.ctx
                        .dirs
                        .volumes_in_memory(&self.uid)
                        .join(&volume.name)
                };
                (volume.name.clone(), path)
            })
            .collect()
    }
}
