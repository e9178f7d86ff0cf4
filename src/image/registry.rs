//! Pulling from a registry (OCI distribution-spec 1.1), streamed from the network into the unpacked layer.

use super::digest::Digest;
use super::import::Counting;
use super::layers::{Expected, Layers};
use super::manifest::{self, Configuration, Descriptor, Manifest};
use super::platform;
use super::reference::Name;
use super::{Credentials, Image, ImageError, Images, Progress};
use futures::{StreamExt, TryStreamExt};
use oci_client::client::{ClientConfig, ClientProtocol};
use oci_client::errors::{OciDistributionError, OciErrorCode};
use oci_client::manifest::OciDescriptor;
use oci_client::secrets::RegistryAuth;
use oci_client::{Client, Reference, RegistryOperation};
use std::collections::BTreeMap;
use std::io::{self, Read};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;
use tokio::sync::mpsc;

/// A registry behind a slow link answers within this.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);

/// Longest silence in the middle of a transfer.
const READ_TIMEOUT: Duration = Duration::from_secs(60);

/// Progress messages under way to the caller; more are dropped, since the next one says more.
const PROGRESS_QUEUE: usize = 64;

/// Deepest nesting of indexes.
const INDEX_DEPTH_MAX: usize = 4;

/// Blobs of a configuration read at most; the bound of all documents.
const CONFIGURATION_BYTES_MAX: u64 = manifest::DOCUMENT_BYTES_MAX as u64;

const ACCEPTED: &[&str] = &[
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.docker.distribution.manifest.v2+json",
];

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

/// A registry as one pull sees it.
struct Remote {
    client: Client,
    name: Name,
    auth: RegistryAuth,
}

/// An image as the registry describes it.
struct Described {
    /// What the name points to: a manifest or an index.
    top: Digest,
    config: Descriptor,
    layers: Vec<Descriptor>,
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
        for digest in image.layers {
            progress(Progress::Present { digest });
        }
        return finish(images, &id, &diff_ids, image.config, &names, progress);
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
        transferred: Some(Digest::parse(&layer.digest, &remote.name.key())?),
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

fn is_digest_error(error: &io::Error) -> bool {
    error
        .get_ref()
        .is_some_and(|inner| inner.is::<oci_client::errors::DigestError>())
}

/// An error with everything below it: reqwest's own text says little.
fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        cause = error.source();
    }
    text
}

impl Remote {
    async fn connect(name: &Name, credentials: Option<&Credentials>) -> Result<Remote, ImageError> {
        // reqwest would panic without one.
        if rustls::crypto::CryptoProvider::get_default().is_none() {
            return Err(ImageError::NoCryptoProvider);
        }
        let config = ClientConfig {
            protocol: if name.is_loopback() {
                ClientProtocol::Http
            } else {
                ClientProtocol::Https
            },
            connect_timeout: Some(CONNECT_TIMEOUT),
            read_timeout: Some(READ_TIMEOUT),
            user_agent: concat!("coracle/", env!("CARGO_PKG_VERSION")),
            ..ClientConfig::default()
        };
        let auth = match credentials {
            Some(Credentials { username, password }) => {
                RegistryAuth::Basic(username.clone(), password.clone())
            }
            None => RegistryAuth::Anonymous,
        };
        let client = Client::try_from(config).map_err(|error| ImageError::Unreachable {
            registry: name.reference().registry().to_owned(),
            why: causes(&error),
        })?;
        let remote = Remote {
            client,
            name: name.clone(),
            auth,
        };
        remote
            .client
            .auth(remote.reference(), &remote.auth, RegistryOperation::Pull)
            .await
            .map_err(|error| remote.explain(&error, &remote.name.key()))?;
        Ok(remote)
    }

    fn reference(&self) -> &Reference {
        self.name.reference()
    }

    fn registry(&self) -> String {
        self.reference().registry().to_owned()
    }

    /// Manifest of the image for this machine.
    async fn describe(&self) -> Result<Described, ImageError> {
        let what = self.name.key();
        let mut reference = self.reference().clone();
        let mut top = None;
        for _ in 0..INDEX_DEPTH_MAX {
            let (bytes, _) = self
                .client
                .pull_manifest_raw(&reference, &self.auth, ACCEPTED)
                .await
                .map_err(|error| self.explain(&error, &reference.whole()))?;
            let digest = Digest::of(&bytes);
            if let Some(wanted) = reference.digest() {
                Digest::parse(wanted, &what)?.expect(&digest, &format!("manifest of {what}"))?;
            }
            let top = top.get_or_insert(digest).clone();
            let manifest = Manifest::parse(&bytes, &format!("manifest of {what}"))?;
            if let Some(config) = manifest.config {
                return Ok(Described {
                    top,
                    config,
                    layers: manifest.layers,
                });
            }
            let entries = manifest.manifests.unwrap_or_default();
            let chosen = platform::choose(&entries, &what)?;
            // The digest is checked before it becomes part of an address.
            let digest = Digest::parse(&chosen.digest, &what)?;
            reference = reference.clone_with_digest(digest.to_string());
        }
        Err(ImageError::Malformed {
            what,
            why: format!("its indexes are nested more than {INDEX_DEPTH_MAX} deep"),
        })
    }

    async fn configuration(
        &self,
        descriptor: &Descriptor,
        id: &Digest,
    ) -> Result<Configuration, ImageError> {
        let what = format!("configuration of {}", self.name.key());
        let mut stream = self.blob(descriptor).await?;
        let mut bytes = Vec::new();
        while let Some(chunk) = stream.next().await {
            match chunk {
                Ok(chunk) => bytes.extend_from_slice(&chunk),
                // Told below, with both digests.
                Err(error) if is_digest_error(&error) => break,
                Err(error) => {
                    return Err(ImageError::Unreachable {
                        registry: self.registry(),
                        why: causes(&error),
                    });
                }
            }
            if bytes.len() as u64 > CONFIGURATION_BYTES_MAX {
                return Err(ImageError::Limit {
                    what: format!("bytes of the {what}"),
                    value: bytes.len() as u64,
                    limit: CONFIGURATION_BYTES_MAX,
                });
            }
        }
        id.expect(&Digest::of(&bytes), &what)?;
        manifest::parse(&bytes, &what)
    }

    async fn blob(
        &self,
        descriptor: &Descriptor,
    ) -> Result<futures::stream::BoxStream<'static, io::Result<bytes::Bytes>>, ImageError> {
        // The digest is checked before it becomes part of an address. Foreign addresses (`urls`) are not followed.
        let digest = Digest::parse(&descriptor.digest, &self.name.key())?;
        let wanted = OciDescriptor {
            digest: digest.to_string(),
            media_type: descriptor.media_type.clone(),
            ..OciDescriptor::default()
        };
        self.client
            .pull_blob_stream(self.reference(), &wanted)
            .await
            .map(|sized| sized.stream)
            .map_err(|error| self.explain(&error, &format!("{}@{digest}", self.name.repository())))
    }

    /// The registry's or the network's error in the user's words.
    fn explain(&self, error: &OciDistributionError, reference: &str) -> ImageError {
        let registry = self.registry();
        let reference = reference.to_owned();
        match error {
            OciDistributionError::AuthenticationFailure(_)
            | OciDistributionError::UnauthorizedError { .. }
            | OciDistributionError::ServerError {
                code: 401 | 403, ..
            } => ImageError::Unauthorized {
                registry,
                reference,
            },
            OciDistributionError::ImageManifestNotFoundError(_)
            | OciDistributionError::ServerError { code: 404, .. } => {
                ImageError::NotFound { reference }
            }
            OciDistributionError::RegistryError { envelope, .. } => {
                let has = |codes: &[OciErrorCode]| {
                    envelope
                        .errors
                        .iter()
                        .any(|error| codes.contains(&error.code))
                };
                if has(&[OciErrorCode::Unauthorized, OciErrorCode::Denied]) {
                    ImageError::Unauthorized {
                        registry,
                        reference,
                    }
                } else if has(&[
                    OciErrorCode::ManifestUnknown,
                    OciErrorCode::NameUnknown,
                    OciErrorCode::NotFound,
                    OciErrorCode::BlobUnknown,
                ]) {
                    ImageError::NotFound { reference }
                } else {
                    ImageError::Registry {
                        registry,
                        why: error.to_string(),
                    }
                }
            }
            OciDistributionError::RequestError(error) => ImageError::Unreachable {
                registry,
                why: causes(error),
            },
            other => ImageError::Registry {
                registry,
                why: causes(other),
            },
        }
    }
}
