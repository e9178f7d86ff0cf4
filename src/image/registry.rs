//! Pulling from a registry (OCI distribution-spec 1.1), streamed from the network into the unpacked layer.

use super::digest::Digest;
use super::import::Counting;
use super::layers::{Expected, Layers};
use super::manifest::Descriptor;
use super::platform;
use super::reference::Name;
use super::remote::{Remote, causes, is_digest_error};
use super::{Credentials, Image, ImageError, Images, Progress};
use futures::{StreamExt, TryStreamExt};
use std::collections::BTreeMap;
use std::io::{self, Read};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use tokio::sync::mpsc;

/// Progress messages under way to the caller; more are dropped, since the next one says more.
const PROGRESS_QUEUE: usize = 64;

/// One lock per layer under way.
#[derive(Debug, Default)]
pub(super) struct Fetching {
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
    credentials: Option<&Credentials>,
    progress: &(dyn Fn(Progress) + Send + Sync),
) -> Result<Image, ImageError> {
    let what = name.key();
    progress(Progress::Resolving {
        reference: what.clone(),
    });
    let remote = Remote::connect(name, credentials).await?;
    let described = remote.describe().await?;
    let id = Digest::parse(&described.config.digest, &what)?;
    let mut names: Vec<String> = name.tagged().into_iter().collect();
    names.push(name.by_digest(&described.top));

    // Everything is here: the manifest was all that had to be asked for.
    let present = images.state().records.get(&id.to_string());
    if let Some(image) = present {
        let diff_ids = image
            .layers
            .iter()
            .map(|layer| Digest::parse(layer, &what))
            .collect::<Result<Vec<_>, _>>()?;
        // A removal at the same time may have been faster than the pin; then all is fetched anew.
        let _pin = images.pin(&diff_ids);
        if diff_ids.iter().all(|id| images.layers.is_present(id)) {
            for digest in image.layers {
                progress(Progress::Present { digest });
            }
            return finish(images, &id, &diff_ids, image.config, &names, progress);
        }
    }

    let configuration = remote.configuration(&described.config, &id).await?;
    platform::check(&configuration.platform, &what)?;
    let diff_ids = configuration.diff_ids(described.layers.len(), &what)?;
    let _pin = images.pin(&diff_ids);
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
    remote: &Remote,
    diff_id: &Digest,
    layer: &Descriptor,
    sender: mpsc::Sender<Progress>,
) -> Result<(), ImageError> {
    let lock = images.fetching.lock_of(diff_id);
    let _only_one = lock.lock().await;
    let digest = diff_id.to_string();
    if images.layers.is_present(diff_id) {
        let _ = sender.send(Progress::Present { digest }).await;
        return Ok(());
    }
    let expected = Expected {
        diff_id: diff_id.clone(),
        transferred: Some(Digest::parse(&layer.digest, "layer in the manifest")?),
        transferred_bytes: layer.size,
    };
    let total_bytes = layer.size;
    let stream = remote.blob(layer).await?;
    let reader = tokio_util::io::StreamReader::new(stream);
    // Dropping this future (an abandoned pull) makes the blocking side stop at its next read.
    let abandoned = Arc::new(AtomicBool::new(false));
    let _guard = AbandonOnDrop(Arc::clone(&abandoned));
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
        (Err(ImageError::Malformed { .. }), Some(why)) => Err(ImageError::Unreachable {
            registry: remote.registry(),
            why: format!("the transfer of layer {} broke off: {why}", layer.digest),
        }),
        (Err(error), _) => Err(error),
    }
}

struct AbandonOnDrop(Arc<AtomicBool>);

impl Drop for AbandonOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// The blocking end of a transfer: stops when the pull is abandoned, and remembers why the network failed.
struct Transfer<'a, R> {
    inner: R,
    abandoned: Arc<AtomicBool>,
    failure: &'a mut Option<String>,
}

impl<R: Read> Read for Transfer<'_, R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        // A stream that failed would seem to have ended.
        if self.failure.is_some() {
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        if self.abandoned.load(Ordering::Relaxed) {
            *self.failure = Some("the pull was abandoned".to_owned());
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        match self.inner.read(buf) {
            // The client compares digests too, at the end; ours names both and covers the unpacked form.
            Err(error) if is_digest_error(&error) => Ok(0),
            Err(error) => {
                *self.failure = Some(causes(&error));
                Err(error)
            }
            done => done,
        }
    }
}
