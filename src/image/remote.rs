//! One registry as a pull sees it: requests, and their errors in the user's words (OCI distribution-spec 1.1).

use super::digest::Digest;
use super::manifest::{self, Configuration, Descriptor, Manifest};
use super::platform;
use super::reference::Name;
use super::{Credentials, ImageError};
use futures::StreamExt;
use oci_client::client::{ClientConfig, ClientProtocol};
use oci_client::errors::{OciDistributionError, OciErrorCode};
use oci_client::manifest::OciDescriptor;
use oci_client::secrets::RegistryAuth;
use oci_client::{Client, Reference, RegistryOperation};
use std::io;
use std::time::Duration;

/// A registry behind a slow link answers within this.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);

/// Longest silence in the middle of a transfer.
const READ_TIMEOUT: Duration = Duration::from_mins(1);

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

/// A registry as one pull sees it.
pub(super) struct Remote {
    client: Client,
    name: Name,
    auth: RegistryAuth,
}

/// An image as the registry describes it.
pub(super) struct Described {
    /// What the name points to: a manifest or an index.
    pub top: Digest,
    pub config: Descriptor,
    pub layers: Vec<Descriptor>,
}

impl Remote {
    /// A client for the registry of `name`, its token fetched where it wants one.
    pub async fn connect(
        name: &Name,
        credentials: Option<&Credentials>,
    ) -> Result<Remote, ImageError> {
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

    /// The registry's host and port.
    pub fn registry(&self) -> String {
        self.reference().registry().to_owned()
    }

    /// Manifest of the image for this machine.
    pub async fn describe(&self) -> Result<Described, ImageError> {
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

    /// The image's configuration, its digest verified.
    pub async fn configuration(
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

    /// A blob's bytes as they come.
    pub async fn blob(
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

/// The client's own complaint about a digest, at the end of a stream.
pub(super) fn is_digest_error(error: &io::Error) -> bool {
    error
        .get_ref()
        .is_some_and(|inner| inner.is::<oci_client::errors::DigestError>())
}

/// An error with everything below it: reqwest's own text says little.
pub(super) fn causes(error: &dyn std::error::Error) -> String {
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
