//! Pulling from a registry (OCI distribution-spec 1.1), streamed from the network into the unpacked layer.
//!
//! In come a name and the credentials a pod brings; `sources` says which endpoints may have the image. Out goes the
//! recorded image. A present image costs one HEAD request. At most `layers_parallel` layers of all pulls together are
//! under way; each holds some hundred KiB of buffers and, for zstd, its share of the window budget (`decompress`).

mod blob;
mod challenge;
mod login;
mod range;
mod remote;
mod retry;
mod session;
mod tls;
mod tokens;

pub use tokens::Tokens;

use super::digest::Digest;
use super::durable::free_bytes;
use super::import::Counting;
use super::layers::{Expected, Layers};
use super::manifest::Descriptor;
use super::reference::Name;
use super::sources::{Keyring, endpoints};
use super::{Image, ImageError, Images, Progress, media, platform};
use futures::{StreamExt, TryStreamExt};
use remote::Remote;
use std::collections::BTreeMap;
use std::io::{self, Read};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Progress messages under way to the caller; more are dropped, since the next one says more.
const PROGRESS_QUEUE: usize = 64;

/// One lock per layer under way.
#[derive(Debug, Default)]
pub struct Fetching {
    layers: Mutex<BTreeMap<Digest, Weak<tokio::sync::Mutex<()>>>>,
}

impl Fetching {
    fn lock_of(&self, diff_id: &Digest) -> Arc<tokio::sync::Mutex<()>> {
        let mut layers = self.layers.lock().unwrap_or_else(PoisonError::into_inner);
        layers.retain(|_, lock| lock.strong_count() > 0);
        if let Some(lock) = layers.get(diff_id).and_then(Weak::upgrade) {
            return lock;
        }
        let lock = Arc::default();
        layers.insert(diff_id.clone(), Arc::downgrade(&lock));
        lock
    }
}

/// Fetches what is missing of `name` and records it.
pub(super) async fn pull(
    images: &Images,
    name: &Name,
    keyring: &Keyring,
    progress: &(dyn Fn(Progress) + Send + Sync),
) -> Result<Image, ImageError> {
    let what = name.key();
    progress(Progress::Resolving {
        reference: what.clone(),
    });
    let sources = images.files.read()?;
    let endpoints =
        endpoints(name, &sources.registries, keyring, &sources.keyring).map_err(|why| {
            ImageError::Sources {
                path: images.files.registries.first().cloned().unwrap_or_default(),
                why,
            }
        })?;
    sources.refuse_helpers(&endpoints)?;
    drop(sources);
    let remote = Arc::new(Remote::new(name, endpoints, &images.tokens, images.stall)?);
    let mut names: Vec<String> = name.tagged().into_iter().collect();

    // A name that is known here probably still points to the same: one small question tells.
    if images.find(&what)?.is_some()
        && let Some(top) = remote.resolve().await?
        && let Some(image) = images.find(&name.by_digest(&top))?
    {
        let diff_ids = digests(&image.layers, &what)?;
        let _pin = images.pin(&diff_ids);
        if diff_ids.iter().all(|id| images.layers.is_whole(id)) {
            tell_present(&image, progress);
            let id = Digest::parse(&image.id, &what)?;
            return finish(images, &id, &diff_ids, image.config, &names, progress);
        }
    }

    let described = remote.describe().await?;
    let id = Digest::parse(&described.config.digest, &what)?;
    names.push(name.by_digest(&described.top));
    let present = images.state().records.get(&id.to_string());
    if let Some(image) = present {
        let diff_ids = digests(&image.layers, &what)?;
        // A removal at the same time may have been faster than the pin; then all is fetched anew.
        let _pin = images.pin(&diff_ids);
        if diff_ids.iter().all(|id| images.layers.is_whole(id)) {
            tell_present(&image, progress);
            return finish(images, &id, &diff_ids, image.config, &names, progress);
        }
    }

    media::check_configuration(&described.config.media_type, &what)?;
    for layer in &described.layers {
        media::check_layer(&layer.media_type, &what)?;
        // Without it there is no telling how large a layer may become, nor whether a transfer is over.
        if layer.size == 0 {
            return Err(ImageError::Malformed {
                what: format!("manifest of {what}"),
                why: format!("its layer {} has no size", layer.digest),
            });
        }
    }
    let configuration = remote.configuration(&described.config, &id).await?;
    platform::check(&configuration.platform, &what)?;
    let diff_ids = configuration.diff_ids(described.layers.len(), &what)?;
    let _pin = images.pin(&diff_ids);
    check_room(images, &what, &diff_ids, &described.layers)?;
    let (sender, mut told) = mpsc::channel(PROGRESS_QUEUE);
    // Not started before they are polled, `layers_parallel` at a time.
    let fetches: Vec<_> = diff_ids
        .iter()
        .zip(&described.layers)
        .map(|(diff_id, layer)| fetch_layer(images, &remote, diff_id, layer, sender.clone()))
        .collect();
    drop(sender);
    let fetch = futures::stream::iter(fetches)
        .buffer_unordered(images.layers_parallel)
        .try_collect::<Vec<()>>();
    let tell = async {
        while let Some(message) = told.recv().await {
            progress(message);
        }
    };
    // `tell` ends when the last sender is gone, which is when `fetch` has ended.
    let (fetched, ()) = futures::join!(fetch, tell);
    fetched?;
    finish(
        images,
        &id,
        &diff_ids,
        configuration.run(),
        &names,
        progress,
    )
}

fn digests(layers: &[String], what: &str) -> Result<Vec<Digest>, ImageError> {
    layers
        .iter()
        .map(|layer| Digest::parse(layer, what))
        .collect()
}

fn tell_present(image: &Image, progress: &(dyn Fn(Progress) + Send + Sync)) {
    for digest in image.layers.iter().cloned() {
        progress(Progress::Present { digest });
    }
}

/// What is missing must fit the disk even compressed: told before a slow link has worked for nothing.
fn check_room(
    images: &Images,
    what: &str,
    diff_ids: &[Digest],
    layers: &[Descriptor],
) -> Result<(), ImageError> {
    let missing = diff_ids
        .iter()
        .zip(layers)
        .filter(|(diff_id, _)| !images.layers.is_whole(diff_id));
    let needed_bytes = missing.fold(0_u64, |sum, (_, layer)| sum.saturating_add(layer.size));
    let path = images.layers.dir();
    let free_bytes = free_bytes(path)?;
    if needed_bytes <= free_bytes {
        return Ok(());
    }
    Err(ImageError::NoRoom {
        what: what.to_owned(),
        needed_bytes,
        free_bytes,
        path: path.to_owned(),
    })
}

fn finish(
    images: &Images,
    id: &Digest,
    diff_ids: &[Digest],
    config: super::ImageConfig,
    names: &[String],
    progress: &(dyn Fn(Progress) + Send + Sync),
) -> Result<Image, ImageError> {
    let image = images.record(&id.to_string(), diff_ids, config, names)?;
    progress(Progress::Done {
        image: Box::new(image.clone()),
    });
    Ok(image)
}

async fn fetch_layer(
    images: &Images,
    remote: &Arc<Remote>,
    diff_id: &Digest,
    layer: &Descriptor,
    sender: mpsc::Sender<Progress>,
) -> Result<(), ImageError> {
    let lock = images.fetching.lock_of(diff_id);
    let _only_one = lock.lock().await;
    // Never closed.
    let _slot = images.layer_slots.acquire().await.ok();
    let digest = diff_id.to_string();
    if images.layers.is_whole(diff_id) {
        let _ = sender.send(Progress::Present { digest }).await;
        return Ok(());
    }
    let blob = Digest::parse(&layer.digest, "layer in the manifest")?;
    let expected = Expected {
        diff_id: diff_id.clone(),
        transferred: Some(blob.clone()),
        transferred_bytes: layer.size,
    };
    let total_bytes = layer.size;
    // Dropping this future (an abandoned pull) ends the stream, and with it the blocking side.
    let abandoned = CancellationToken::new();
    let _guard = abandoned.clone().drop_guard();
    let stream = blob::stream(Arc::clone(remote), &blob, layer.size)
        .take_until(abandoned.clone().cancelled_owned())
        .boxed();
    let reader = tokio_util::io::StreamReader::new(stream);
    let layers: Arc<Layers> = Arc::clone(&images.layers);
    let done = sender.clone();
    let message = move |done_bytes| Progress::Layer {
        digest: digest.clone(),
        done_bytes,
        total_bytes,
    };
    let unpacking = tokio::task::spawn_blocking(move || {
        let mut failure = None;
        let reader = Transfer {
            inner: tokio_util::io::SyncIoBridge::new(reader),
            abandoned,
            failure: &mut failure,
        };
        let tell = |done_bytes| {
            let _ = sender.try_send(message(done_bytes));
        };
        let result = layers.add(&expected, Counting::new(reader, &tell));
        (result, failure, message(total_bytes))
    });
    let (result, failed, last) = unpacking
        .await
        .map_err(|error| ImageError::Stopped(error.to_string()))?;
    match (result, failed) {
        (Ok(()), _) => {
            let _ = done.send(last).await;
            Ok(())
        }
        // The disk and the digests speak for themselves; else a failed transfer explains what followed from it.
        (Err(ImageError::Malformed { .. }), Some(failure)) => Err(failure),
        (Err(error), _) => Err(error),
    }
}

/// The blocking end of a transfer: stops when the pull is abandoned, and remembers why the network failed.
struct Transfer<'a, R> {
    inner: R,
    abandoned: CancellationToken,
    failure: &'a mut Option<ImageError>,
}

impl<R: Read> Read for Transfer<'_, R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        // A stream that failed would seem to have ended.
        if self.failure.is_some() {
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        let read = self.inner.read(buf);
        if self.abandoned.is_cancelled() {
            *self.failure = Some(ImageError::Stopped("the pull was abandoned".to_owned()));
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        match read {
            Err(error) => {
                *self.failure = Some(remote::unwrap(error, "the layer's transfer"));
                Err(io::ErrorKind::ConnectionAborted.into())
            }
            done => done,
        }
    }
}
