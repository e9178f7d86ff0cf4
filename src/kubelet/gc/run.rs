//! The collector at work.

use super::directories::orphans;
use super::images::{Usage, bytes_to_free};
use crate::image::Images;
use crate::kubelet::counters::Counters;
use crate::kubelet::dirs::Dirs;
use crate::kubelet::events::{Kind, Recorder};
use crate::kubelet::eviction::ImageGc;
use crate::kubelet::manager::Pods;
use crate::kubelet::pod::state::containers;
use crate::kubelet::stats::filesystem;
use crate::kubelet::{now_ms, volumes};
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Mutex, Notify};
use tokio_util::sync::CancellationToken;

/// Between two rounds (upstream's image garbage collection period).
const ROUND: Duration = Duration::from_mins(5);
/// Until the pods of this node are known.
const LISTED_WAIT: Duration = Duration::from_millis(500);
/// Images this program makes itself and starts over with.
const BUILT_IN: &str = "coracle.local/";

/// Removes what nobody uses. Shared with the eviction manager.
pub struct Collector {
    pub images: Arc<Images>,
    pub pods: Arc<Pods>,
    pub dirs: Dirs,
    pub settings: ImageGc,
    pub counters: Arc<Counters>,
    pub recorder: Recorder,
    pub node_name: String,
    /// The node's list of images changed.
    pub node_changed: Arc<Notify>,
    pub images_dir: PathBuf,
    /// Held during a round.
    pub state: Mutex<State>,
}

/// What is remembered between rounds.
#[derive(Debug, Default)]
pub struct State {
    usage: Usage,
    suspects: BTreeSet<String>,
}

impl Collector {
    /// Rounds until `stop`.
    pub async fn run(&self, stop: CancellationToken) {
        while !self.pods.is_listed() {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(LISTED_WAIT) => {}
            }
        }
        loop {
            if stop.run_until_cancelled(self.round()).await.is_none() {
                return;
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(ROUND) => {}
            }
        }
    }

    async fn round(&self) {
        let disk = filesystem(&self.images_dir).unwrap_or_default();
        let wanted = bytes_to_free(
            disk.capacity_bytes,
            disk.available_bytes,
            self.settings.high_percent,
            self.settings.low_percent,
        );
        let mut state = self.state.lock().await;
        let freed = self.remove_images(&mut state, wanted).await;
        if freed < wanted {
            self.recorder.node_named(
                &self.node_name,
                Kind::Warning,
                "FreeDiskSpaceFailed",
                format!(
                    "Failed to garbage collect required amount of images. Attempted to free {wanted} bytes, but only found {freed} bytes eligible to free."
                ),
            );
        }
        self.remove_directories(&mut state).await;
    }

    /// Every unused image, whatever the thresholds say.
    pub async fn remove_unused(&self) {
        let mut state = self.state.lock().await;
        self.remove_images(&mut state, u64::MAX).await;
    }

    /// Frees at least `wanted` bytes where there are as many to free; returns what was freed.
    async fn remove_images(&self, state: &mut State, wanted: u64) -> u64 {
        let present = self.images.list();
        let in_use = self.in_use();
        let pinned: BTreeSet<String> = present
            .iter()
            .filter(|image| image.tags.iter().any(|tag| tag.starts_with(BUILT_IN)))
            .map(|image| image.id.clone())
            .collect();
        let now_ms = now_ms();
        let ids = present.iter().map(|image| image.id.as_str());
        state.usage.update(ids, &in_use, now_ms);
        if wanted == 0 {
            return 0;
        }
        let age_min_ms = self.settings.age_min_ms;
        let mut freed: u64 = 0;
        for id in state.usage.removable(&in_use, &pinned, age_min_ms, now_ms) {
            if freed >= wanted {
                break;
            }
            let size = present
                .iter()
                .find(|image| image.id == id)
                .map_or(0, |image| image.size_bytes);
            let (images, pods_use, id_removed) = (self.images.clone(), self.in_use(), id.clone());
            // A pod may have named it meanwhile: use is looked at again, under the store's own lock.
            let removing = tokio::task::spawn_blocking(move || {
                images.remove(&id_removed, &|id| pods_use.contains(id))
            });
            match removing.await {
                Ok(Ok(())) => {
                    tracing::info!(image = id, size, "unused image removed");
                    freed = freed.saturating_add(size);
                    self.counters.image_removed();
                    self.node_changed.notify_one();
                }
                Ok(Err(error)) => tracing::warn!(image = id, %error, "unused image not removed"),
                Err(error) => tracing::warn!(image = id, %error, "unused image not removed"),
            }
        }
        freed
    }

    /// Images that pods here name, by id. Pods that are over still name what their status shows, but need it no more.
    fn in_use(&self) -> BTreeSet<String> {
        let views = self.pods.views();
        views
            .iter()
            .filter(|view| !view.over)
            .flat_map(|view| containers(&view.pod).filter_map(|(_, c)| c.image.as_deref()))
            .filter_map(|reference| self.images.find(reference).ok().flatten())
            .map(|image| image.id)
            .collect()
    }

    async fn remove_directories(&self, state: &mut State) {
        let roots = [self.dirs.pods.clone(), self.dirs.all_volumes_in_memory()];
        let present: BTreeSet<String> = roots
            .iter()
            .flat_map(|root| std::fs::read_dir(root).into_iter().flatten().flatten())
            .filter_map(|entry| entry.file_name().into_string().ok())
            .collect();
        for uid in orphans(present, &self.pods.uids(), &mut state.suspects) {
            let (dirs, orphan) = (self.dirs.clone(), uid.clone());
            let removing = tokio::task::spawn_blocking(move || volumes::remove_pod(&dirs, &orphan));
            match removing.await {
                Ok(Ok(())) => tracing::info!(uid, "directory of a pod that is gone removed"),
                Ok(Err(error)) => {
                    tracing::warn!(uid, %error, "directory of a pod that is gone not removed");
                }
                Err(error) => {
                    tracing::warn!(uid, %error, "directory of a pod that is gone not removed");
                }
            }
        }
    }
}
