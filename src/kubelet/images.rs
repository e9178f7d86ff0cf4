//! Images for containers: found, or pulled once however many pods ask for the same one.

use crate::image::{Image, ImageError, Images, Keyring, Progress};
use futures::FutureExt;
use futures::future::{BoxFuture, Shared};
use k8s_openapi::api::core::v1::{Container, Secret};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;

/// Images under this name are made by the node itself; there is no registry to ask, whatever the pull policy.
const BUILT_IN_PREFIX: &str = "coracle.local/";

/// What a pull came to.
#[derive(Debug, Clone)]
pub struct Pulled {
    pub result: Result<Image, String>,
    /// Download alone, and with the time in the queue.
    pub took: Duration,
    pub took_with_wait: Duration,
}

/// The image, and by whose credentials.
type Key = (String, [u8; 32]);

type Pull = Shared<BoxFuture<'static, Pulled>>;

/// Clones share the queue.
#[derive(Clone)]
pub struct Puller {
    images: Arc<Images>,
    slots: Arc<Semaphore>,
    /// Pulls under way. Bounded by the pods that wait for them. The key tells credentials apart, so that those of one
    /// pod never serve another.
    running: Arc<Mutex<HashMap<Key, Pull>>>,
}

impl Puller {
    /// At most `parallel` pulls at the same time.
    pub fn new(images: Arc<Images>, parallel: usize) -> Puller {
        Puller {
            images,
            slots: Arc::new(Semaphore::new(parallel.max(1))),
            running: Arc::default(),
        }
    }

    pub fn images(&self) -> &Arc<Images> {
        &self.images
    }

    /// Pulls `reference`, or joins the pull of it that is under way. A pull goes on for the others when one who
    /// waits for it gives up, and stops when all did.
    pub async fn pull(&self, reference: &str, keyring: Keyring) -> Pulled {
        let key = (reference.to_string(), keyring.fingerprint());
        let pull = {
            let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
            running
                .entry(key.clone())
                .or_insert_with(|| self.start(reference.to_string(), keyring))
                .clone()
        };
        let waiter = Waiter {
            puller: self,
            key,
            pull: Some(pull.clone()),
        };
        let pulled = pull.await;
        drop(waiter);
        pulled
    }

    fn start(&self, reference: String, keyring: Keyring) -> Pull {
        let images = self.images.clone();
        let slots = self.slots.clone();
        async move {
            let asked = Instant::now();
            let _slot = slots.acquire_owned().await;
            let began = Instant::now();
            let ignore = |_: Progress| {};
            let result = images
                .pull(&reference, &keyring, &ignore)
                .await
                .map_err(|e| e.to_string());
            Pulled {
                result,
                took: began.elapsed(),
                took_with_wait: asked.elapsed(),
            }
        }
        .boxed()
        .shared()
    }
}

/// Takes a pull off the list when it is over, or when its last waiter gives up (it stops then, and frees its slot).
struct Waiter<'a> {
    puller: &'a Puller,
    key: Key,
    pull: Option<Pull>,
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        let mut running = self
            .puller
            .running
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let Some(pull) = self.pull.take() else { return };
        let over = pull.peek().is_some();
        // The list's own handle, this one, and the one being awaited (or dropped right after this).
        let last = pull.strong_count().is_none_or(|count| count <= 3);
        if (over || last) && running.get(&self.key).is_some_and(|p| p.ptr_eq(&pull)) {
            running.remove(&self.key);
        }
    }
}

/// What a container's pull policy asks for now.
#[derive(Debug)]
pub enum Need {
    Present(Box<Image>),
    /// `lost` tells what of it was here and vanished from the disk.
    Pull {
        lost: Option<String>,
    },
    /// `InvalidImageName`.
    Invalid(String),
    /// `ErrImageNeverPull`.
    Never(String),
    Broken(String),
}

/// Decides by `imagePullPolicy` (upstream's defaults where it is not set).
/// <https://kubernetes.io/docs/concepts/containers/images/#updating-images>
pub fn need(images: &Images, container: &Container) -> Need {
    let reference = container.image.as_deref().unwrap_or_default();
    let found = match images.find(reference) {
        Ok(found) => found,
        Err(ImageError::Reference { why, .. }) => {
            return Need::Invalid(format!(
                "Failed to apply default image tag \"{reference}\": couldn't parse image name \"{reference}\": {why}"
            ));
        }
        Err(other) => return Need::Broken(other.to_string()),
    };
    let built_in = reference.starts_with(BUILT_IN_PREFIX);
    let (found, lost) = match found.map(|image| (images.damaged_layer(&image), image)) {
        None => (None, None),
        Some((None, image)) => (Some(image), None),
        Some((Some(layer), image)) => {
            let lost = format!(
                "Image \"{reference}\" is damaged: its layer {layer} vanished from this node's disk, in whole or in part; check the disk"
            );
            tracing::warn!(image = reference, layer, "image is damaged on disk");
            // No registry has it.
            let mended = built_in && images.mend_built_in().is_ok();
            (mended.then_some(image), Some(lost))
        }
    };
    match (pull_policy(container), found) {
        ("Never", None) => Need::Never(match lost {
            None => {
                format!("Container image \"{reference}\" is not present with pull policy of Never")
            }
            Some(lost) => lost,
        }),
        ("Always", found) if !built_in || found.is_none() => Need::Pull { lost },
        (_, Some(image)) => Need::Present(Box::new(image)),
        (_, None) => Need::Pull { lost },
    }
}

fn pull_policy(container: &Container) -> &str {
    if let Some(policy) = container.image_pull_policy.as_deref() {
        return policy;
    }
    let image = container.image.as_deref().unwrap_or_default();
    let last = image.rsplit('/').next().unwrap_or_default();
    let tag = last.split_once(':').map(|(_, tag)| tag);
    if image.contains('@') || tag.is_some_and(|t| t != "latest") {
        "IfNotPresent"
    } else {
        "Always"
    }
}

/// The credentials `imagePullSecrets` hold, and the names of those that cannot be read.
/// <https://kubernetes.io/docs/tasks/configure-pod-container/pull-image-private-registry/>
pub fn keyring(secrets: &[Secret]) -> (Keyring, Vec<String>) {
    let mut keyring = Keyring::default();
    let mut unreadable = Vec::new();
    for secret in secrets {
        let value = |key: &str| secret.data.as_ref().and_then(|data| data.get(key));
        let read = match (value(".dockerconfigjson"), value(".dockercfg")) {
            (Some(json), _) => keyring.add_docker_config(&json.0),
            (None, Some(json)) => keyring.add_dockercfg(&json.0),
            // A secret of another type says nothing about registries.
            (None, None) => Ok(()),
        };
        if let Err(error) = read {
            let name = secret.metadata.name.clone().unwrap_or_default();
            tracing::warn!(secret = name, %error, "image pull secret not read in full");
            unreadable.push(name);
        }
    }
    (keyring, unreadable)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use base64::Engine as _;
    use serde_json::json;

    #[test]
    fn policies() {
        for (image, policy) in [
            ("busybox", "Always"),
            ("busybox:1.36", "IfNotPresent"),
            ("busybox:latest", "Always"),
            ("localhost:5000/x", "Always"),
            ("ghcr.io/a/b:v1", "IfNotPresent"),
            ("ghcr.io/a/b@sha256:00", "IfNotPresent"),
        ] {
            let container = Container {
                image: Some(image.to_string()),
                ..Container::default()
            };
            assert_eq!(pull_policy(&container), policy, "{image}");
        }
    }

    #[test]
    fn both_types_of_pull_secrets() {
        let secret = |name: &str, key: &str, value: &str| -> Secret {
            let value = base64::engine::general_purpose::STANDARD.encode(value);
            serde_json::from_value(json!({"metadata": {"name": name}, "data": {key: value}}))
                .unwrap()
        };
        let (keyring, unreadable) = keyring(&[
            secret(
                "new",
                ".dockerconfigjson",
                r#"{"auths": {"r.example": {"auth": "dTpw"}}}"#,
            ),
            secret("old", ".dockercfg", r#"{"s.example": {"auth": "dTpw"}}"#),
            secret("opaque", "password", "x"),
            secret("broken", ".dockerconfigjson", "{"),
        ]);
        for host in ["r.example", "s.example"] {
            assert_eq!(keyring.lookup(host, "a").len(), 1, "{host}");
        }
        assert_eq!(unreadable, ["broken"]);
    }
}
