//! One image's registry and mirrors as a pull sees them (OCI distribution-spec 1.1).

use super::blob;
use super::session::{Ask, Session, read_small};
use super::tokens::Tokens;
use crate::image::digest::Digest;
use crate::image::manifest::{self, Configuration, Descriptor, Manifest};
use crate::image::reference::Name;
use crate::image::sources::Endpoint;
use crate::image::{ImageError, media, platform};
use futures::StreamExt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// Deepest nesting of indexes.
const INDEX_DEPTH_MAX: usize = 4;

/// Endpoints of one image during one pull.
pub struct Remote {
    name: Name,
    sessions: Vec<Session>,
    /// The one that had the manifest.
    active: AtomicUsize,
    stall: Duration,
}

/// An image as a registry describes it.
pub struct Described {
    /// What the name points to: a manifest or an index.
    pub top: Digest,
    pub config: Descriptor,
    pub layers: Vec<Descriptor>,
}

impl Remote {
    pub fn new(
        name: &Name,
        endpoints: Vec<Endpoint>,
        tokens: &Arc<Tokens>,
        stall: Duration,
    ) -> Result<Remote, ImageError> {
        let sessions = endpoints
            .into_iter()
            .map(|endpoint| Session::new(endpoint, name.registry(), Arc::clone(tokens), stall))
            .collect::<Result<Vec<_>, _>>()?;
        Ok(Remote {
            name: name.clone(),
            sessions,
            active: AtomicUsize::new(0),
            stall,
        })
    }

    pub fn registry(&self) -> String {
        let session = self.sessions.get(self.active());
        session.map_or_else(String::new, |session| session.endpoint.host.clone())
    }

    pub fn sessions(&self) -> &[Session] {
        &self.sessions
    }

    pub fn active(&self) -> usize {
        self.active.load(Ordering::Relaxed)
    }

    pub fn stall(&self) -> Duration {
        self.stall
    }

    /// What the name points to now, by the registry's word alone; `None` where it must be read to know.
    pub async fn resolve(&self) -> Result<Option<Digest>, ImageError> {
        let wanted = self.name.wanted();
        for (at, session) in self.sessions.iter().enumerate() {
            match session.ask(Ask::Resolve { wanted: &wanted }).await {
                Ok(response) => {
                    self.active.store(at, Ordering::Relaxed);
                    let header = response.headers().get("docker-content-digest");
                    return Ok(
                        header.and_then(|value| Digest::parse(value.to_str().ok()?, "header").ok())
                    );
                }
                // Asking for the manifest itself tells the error.
                Err(error) => tracing::debug!(%error, "not resolved"),
            }
        }
        Ok(None)
    }

    /// Manifest of the image for this machine, from the first endpoint that has it.
    pub async fn describe(&self) -> Result<Described, ImageError> {
        let mut result = Err(ImageError::Stopped("no endpoint to ask".to_owned()));
        for (at, session) in self.sessions.iter().enumerate() {
            result = self.describe_at(session).await;
            match &result {
                Ok(_) => {
                    self.active.store(at, Ordering::Relaxed);
                    break;
                }
                Err(error) if at + 1 < self.sessions.len() => {
                    tracing::warn!(%error, image = self.name.key(), "a mirror does not give the image; the next is asked");
                }
                Err(_) => {}
            }
        }
        result
    }

    async fn describe_at(&self, session: &Session) -> Result<Described, ImageError> {
        let what = self.name.key();
        let mut wanted = self.name.wanted();
        let mut promised = self.name.digest().cloned();
        let mut top = None;
        for _ in 0..INDEX_DEPTH_MAX {
            let response = session.ask(Ask::Manifest { wanted: &wanted }).await?;
            let header = response.headers().get(http::header::CONTENT_TYPE);
            let media_type = header
                .and_then(|value| value.to_str().ok())
                .unwrap_or("")
                .to_owned();
            let bytes = read_small(response, manifest::DOCUMENT_BYTES_MAX, self.stall)
                .await
                .map_err(|why| ImageError::Unreachable {
                    registry: session.endpoint.host.clone(),
                    why: format!("the manifest of {what} did not arrive: {why}"),
                })?;
            let digest = Digest::of(&bytes);
            if let Some(promised) = &promised {
                promised.expect(&digest, &format!("manifest of {what}"))?;
            }
            let top = top.get_or_insert(digest).clone();
            let what_manifest = format!("manifest of {what}");
            // A web page where a registry should be is told as what it is.
            if !media_type.starts_with("text/plain")
                && !media_type.starts_with("application/octet-stream")
            {
                media::check_manifest(&media_type, &what_manifest)?;
            }
            let manifest = Manifest::parse(&bytes, &what_manifest)?;
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
            wanted = digest.to_string();
            promised = Some(digest);
        }
        Err(ImageError::Malformed {
            what,
            why: format!("its indexes are nested more than {INDEX_DEPTH_MAX} deep"),
        })
    }

    /// The image's configuration, its digest verified.
    pub async fn configuration(
        self: &Arc<Self>,
        descriptor: &Descriptor,
        id: &Digest,
    ) -> Result<Configuration, ImageError> {
        let what = format!("configuration of {}", self.name.key());
        let mut stream = std::pin::pin!(blob::stream(Arc::clone(self), id, descriptor.size));
        let mut bytes = Vec::new();
        while let Some(chunk) = stream.next().await {
            bytes.extend_from_slice(&chunk.map_err(|error| unwrap(error, &what))?);
            if bytes.len() > manifest::DOCUMENT_BYTES_MAX {
                return Err(ImageError::Limit {
                    what: format!("bytes of the {what}"),
                    value: bytes.len() as u64,
                    limit: manifest::DOCUMENT_BYTES_MAX as u64,
                });
            }
        }
        id.expect(&Digest::of(&bytes), &what)?;
        manifest::parse(&bytes, &what)
    }
}

/// The image error that a stream's I/O error carries.
pub fn unwrap(error: io::Error, what: &str) -> ImageError {
    let text = error.to_string();
    error
        .into_inner()
        .and_then(|inner| inner.downcast::<ImageError>().ok())
        .map_or_else(
            || ImageError::Malformed {
                what: what.to_owned(),
                why: text,
            },
            |inner| *inner,
        )
}
