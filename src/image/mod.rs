//! Images: pulled or imported, verified by digest, unpacked once, stacked as overlayfs root filesystems.
//!
//! In come names from pod specs (kubelet) and from the command line, layers from registries (`registry`) and archives
//! (`import`), and the node's own binary, of which `hello` makes the built-in image.
//!
//! Out go images by id with what running them needs, and per container the directories of one overlay mount, which
//! the runtime mounts; nothing here mounts.
//!
//! Invariants: a layer in `layers/` is whole, verified by both digests and durable, or it is not there. A record is
//! written after its layers and removed before them; names come last and go first. Layers that a running pull or
//! import counts on are pinned and not removed. No layer is ever in memory, and none on disk twice, but for the
//! compressed spool of an archive while it is imported. Credentials are kept in memory only. Never known here: pods,
//! containers, the API.
//!
//! Layout of the directory: `layers/`, `l/` (short links), `images/`, `names.json`, `tmp/`; see `layers` and `records`.

mod archive;
mod compat32;
mod decompress;
mod digest;
mod durable;
mod entry;
mod error;
pub mod formats;
mod hello;
mod import;
mod inventory;
mod layers;
mod manifest;
mod media;
mod platform;
mod records;
mod reference;
mod registry;
mod rootfs;
mod sources;
mod sparse;
mod tree;
mod types;
mod unpack;
mod xattr;
mod zstd;

pub use error::ImageError;
pub use inventory::Stock;
pub use reference::Name;
pub use sources::{ConfigFiles, Credentials, Keyring};
pub use types::{Image, ImageConfig, Progress, RootFs};

use crate::profile::ImageProfile;
use digest::Digest;
use durable::Scratch;
use layers::Layers;
use records::Records;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Semaphore;

/// This node's images. Shared; all methods take `&self`.
#[derive(Debug)]
pub struct Images {
    layers: Arc<Layers>,
    state: Mutex<State>,
    /// Layers being fetched, so that two pulls do not fetch the same one.
    fetching: registry::Fetching,
    /// Layers of all pulls under way: each holds buffers.
    layer_slots: Semaphore,
    layers_parallel: usize,
    /// Longest silence of a registry.
    stall: Duration,
    files: ConfigFiles,
    tokens: Arc<registry::Tokens>,
    /// What the built-in image is made from.
    executable: PathBuf,
}

#[derive(Debug)]
struct State {
    records: Records,
    /// How many running pulls and imports count on a layer.
    pins: BTreeMap<Digest, usize>,
    /// When images were last used, by id.
    uses: inventory::Uses,
}

/// Keeps layers from being swept until dropped.
struct Pin<'a> {
    images: &'a Images,
    diff_ids: Vec<Digest>,
}

impl Images {
    /// Opens `dir`, removes what an interrupted pull or import left behind, and adds the built-in
    /// `coracle.local/hello` made from `executable`. `files` are read at each pull.
    pub fn open(
        dir: &Path,
        profile: &ImageProfile,
        executable: &Path,
        files: ConfigFiles,
    ) -> Result<Arc<Images>, ImageError> {
        let layers = Layers::open(dir)?;
        let mut records = Records::open(dir)?;
        for id in records.retain_whole(|layer| layers.is_whole(layer))? {
            tracing::warn!(image = %id, "image forgotten: a layer of it is missing; pull or import it again");
        }
        let images = Images {
            layers: Arc::new(layers),
            state: Mutex::new(State {
                records,
                pins: BTreeMap::new(),
                uses: inventory::Uses::default(),
            }),
            fetching: registry::Fetching::default(),
            layer_slots: Semaphore::new(profile.layers_parallel.max(1)),
            layers_parallel: profile.layers_parallel.max(1),
            stall: Duration::from_millis(profile.stall_ms),
            files,
            tokens: Arc::default(),
            executable: executable.to_owned(),
        };
        // A mistake in them is told now, not only when the first image is wanted.
        if let Err(error) = images.files.read() {
            tracing::error!(%error, "no image can be pulled");
        }
        hello::ensure(&images, executable)?;
        drop(images.sweep()?);
        Ok(Arc::new(images))
    }

    /// The image a pod spec's `image` means, if it is here. Also takes an image id, `sha256:…`.
    pub fn find(&self, reference: &str) -> Result<Option<Image>, ImageError> {
        let state = self.state();
        if is_id(reference) {
            return Ok(state.records.get(reference));
        }
        let key = Name::parse(reference)?.key();
        let id = state.records.resolve(&key);
        Ok(id.and_then(|id| state.records.get(id)))
    }

    /// All images, by id.
    pub fn list(&self) -> Vec<Image> {
        self.state().records.list()
    }

    /// Fetches what is missing. `keyring` holds credentials beside the node's own. `progress` is called often and
    /// must be quick.
    ///
    /// Needs rustls' process-wide default provider (`install_default`) and a tokio runtime.
    pub async fn pull(
        &self,
        reference: &str,
        keyring: &Keyring,
        progress: &(dyn Fn(Progress) + Send + Sync),
    ) -> Result<Image, ImageError> {
        let name = Name::parse(reference)?;
        let result = registry::pull(self, &name, keyring, progress).await;
        if let Err(error) = &result
            && !error.is_passing()
        {
            let removed = self.sweep_or_warn();
            // Gigabytes may go: not on a thread that others wait for.
            if let Err(error) = tokio::task::spawn_blocking(move || drop(removed)).await {
                tracing::warn!(%error, "unused layers not removed; the next start tries again");
            }
        }
        result
    }

    /// Reads an OCI or docker archive (tar, also gzip or zstd) from `reader` (streamed; blocking: call from a
    /// blocking thread). All of its images come in, or an error and none of its layers stays.
    pub fn import(
        &self,
        reader: &mut dyn std::io::Read,
        progress: &(dyn Fn(Progress) + Send + Sync),
    ) -> Result<Vec<Image>, ImageError> {
        let spool = archive::Spool::read(&self.layers.tmp(), reader)?;
        let result = import::import(self, &spool, progress);
        if result.is_err() {
            drop(self.sweep_or_warn());
        }
        result
    }

    /// Removes a tag, and the image with its last tag; `in_use` images (by id) are kept with an error.
    pub fn remove(&self, reference: &str, in_use: &dyn Fn(&str) -> bool) -> Result<(), ImageError> {
        let absent = || ImageError::Absent {
            reference: reference.to_owned(),
        };
        let image = self.find(reference)?.ok_or_else(absent)?;
        let name = if is_id(reference) {
            None
        } else {
            Some(Name::parse(reference)?.key())
        };
        let mut state = self.state();
        if let Some(name) = name
            && image.tags.iter().any(|tag| *tag != name)
        {
            return state.records.remove_name(&name);
        }
        if in_use(&image.id) {
            return Err(ImageError::InUse {
                reference: reference.to_owned(),
            });
        }
        state.records.remove_image(&image.id)?;
        drop(state);
        self.sweep().map(drop)
    }

    /// What of an image vanished from the disk: its first layer that is damaged or gone, by diff id. Pulling the image
    /// again brings back just that.
    pub fn damaged_layer(&self, image: &Image) -> Option<String> {
        let whole = |layer: &&String| {
            Digest::parse(layer, "layer").is_ok_and(|layer| self.layers.is_whole(&layer))
        };
        image.layers.iter().find(|layer| !whole(layer)).cloned()
    }

    /// Makes the built-in image again where it was damaged.
    pub fn mend_built_in(&self) -> Result<(), ImageError> {
        hello::ensure(self, &self.executable)
    }

    /// Directories for a container's root filesystem, its writable part under `dir` (created).
    pub fn root_fs(&self, image: &Image, dir: &Path) -> Result<RootFs, ImageError> {
        self.state().uses.used(&image.id, inventory::now_ms());
        rootfs::prepare(&self.layers, image, dir)
    }

    /// A panic elsewhere leaves the records as they were last written: they stay usable.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn pin(&self, diff_ids: &[Digest]) -> Pin<'_> {
        let mut state = self.state();
        for diff_id in diff_ids {
            *state.pins.entry(diff_id.clone()).or_default() += 1;
        }
        Pin {
            images: self,
            diff_ids: diff_ids.to_vec(),
        }
    }

    /// Writes down an image whose layers are all here.
    fn record(
        &self,
        id: &str,
        diff_ids: &[Digest],
        config: ImageConfig,
        names: &[String],
    ) -> Result<Image, ImageError> {
        let mut size_bytes = 0;
        for diff_id in diff_ids {
            size_bytes += self.layers.bytes(diff_id)?;
        }
        self.state()
            .records
            .put(id, diff_ids, size_bytes, config, names)
    }

    /// Takes away layers that no image and no running pull needs; their bytes go when the result is dropped.
    fn sweep(&self) -> Result<Vec<Scratch>, ImageError> {
        let state = self.state();
        let mut keep = state.records.layers();
        keep.extend(state.pins.keys().cloned());
        self.layers.sweep(&keep)
    }

    /// After a failure whose error is the one to tell.
    fn sweep_or_warn(&self) -> Vec<Scratch> {
        self.sweep().unwrap_or_else(|error| {
            tracing::warn!(%error, "unused layers not removed; the next start tries again");
            Vec::new()
        })
    }
}

impl Drop for Pin<'_> {
    fn drop(&mut self) {
        let mut state = self.images.state();
        for diff_id in &self.diff_ids {
            if let Some(count) = state.pins.get_mut(diff_id) {
                *count -= 1;
                if *count == 0 {
                    state.pins.remove(diff_id);
                }
            }
        }
    }
}

/// An image id rather than a name.
fn is_id(reference: &str) -> bool {
    reference
        .strip_prefix("sha256:")
        .and_then(Digest::from_hex)
        .is_some()
}
