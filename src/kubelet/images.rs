//! Images for containers: found, or pulled once however many pods ask for the same one.

use crate::image::{Credentials, Image, ImageError, Images, Progress};
use base64::Engine as _;
use futures::FutureExt;
use futures::future::{BoxFuture, Shared};
use k8s_openapi::api::core::v1::{Container, Secret};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;

/// Pulls at the same time: one slow registry must not hold up another, and more would only share a slow link.
const PULLS_PARALLEL: usize = 2;

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

type Pull = Shared<BoxFuture<'static, Pulled>>;

/// Clones share the queue.
#[derive(Clone)]
pub struct Puller {
    images: Arc<Images>,
    slots: Arc<Semaphore>,
    /// Pulls under way. Bounded by the pods that wait for them. The key carries the user, so that one pod's
    /// credentials never serve another.
    running: Arc<Mutex<HashMap<(String, String), Pull>>>,
}

impl Puller {
    pub fn new(images: Arc<Images>) -> Puller {
        Puller {
            images,
            slots: Arc::new(Semaphore::new(PULLS_PARALLEL)),
            running: Arc::default(),
        }
    }

    pub fn images(&self) -> &Arc<Images> {
        &self.images
    }

    /// Pulls `reference`, or joins the pull of it that is under way. A pull goes on for the others when one who
    /// waits for it gives up, and stops when all did.
    pub async fn pull(&self, reference: &str, credentials: Vec<Credentials>) -> Pulled {
        let who = credentials
            .iter()
            .map(|c| format!("{}\0{}", c.username, c.password))
            .collect::<Vec<_>>()
            .join("\0");
        let key = (reference.to_string(), who);
        let pull = {
            let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
            running
                .entry(key.clone())
                .or_insert_with(|| self.start(reference.to_string(), credentials))
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

    fn start(&self, reference: String, credentials: Vec<Credentials>) -> Pull {
        let images = self.images.clone();
        let slots = self.slots.clone();
        async move {
            let asked = Instant::now();
            let _slot = slots.acquire_owned().await;
            let began = Instant::now();
            let ignore = |_: Progress| {};
            let mut result = Err(String::new());
            // Every set of credentials for the registry is tried, then none at all, as upstream's keyring does.
            for credentials in credentials.iter().map(Some).chain([None]) {
                result = images
                    .pull(&reference, credentials, &ignore)
                    .await
                    .map_err(|e| e.to_string());
                if result.is_ok() {
                    break;
                }
            }
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
    key: (String, String),
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
    Pull,
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
    match (pull_policy(container), found) {
        ("Never", None) => Need::Never(format!(
            "Container image \"{reference}\" is not present with pull policy of Never"
        )),
        ("Always", found) if !built_in || found.is_none() => Need::Pull,
        (_, Some(image)) => Need::Present(Box::new(image)),
        (_, None) => Need::Pull,
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

/// The registry a reference names, in the form credentials are kept by: `docker.io` for Docker Hub.
fn registry(reference: &str) -> &str {
    match reference.split_once('/') {
        Some((host, _)) if host.contains(['.', ':']) || host == "localhost" => host,
        _ => "docker.io",
    }
}

/// The credentials `imagePullSecrets` hold for the registry of `reference`.
/// <https://kubernetes.io/docs/tasks/configure-pod-container/pull-image-private-registry/>
pub fn credentials(secrets: &[Secret], reference: &str) -> Vec<Credentials> {
    let wanted = registry(reference);
    let mut found = Vec::new();
    for data in secrets.iter().filter_map(|s| s.data.as_ref()) {
        let auths = if let Some(json) = data.get(".dockerconfigjson") {
            serde_json::from_slice::<serde_json::Value>(&json.0)
                .ok()
                .and_then(|v| v.get("auths").cloned())
        } else if let Some(json) = data.get(".dockercfg") {
            serde_json::from_slice(&json.0).ok()
        } else {
            None
        };
        let Some(serde_json::Value::Object(auths)) = auths else {
            continue;
        };
        for (server, auth) in &auths {
            if matches_registry(server, wanted, reference)
                && let Some(credentials) = parse_auth(auth)
            {
                found.push(credentials);
            }
        }
    }
    found
}

/// Servers are written as `https://index.docker.io/v1/`, `registry.example:5000` or `registry.example/team`.
fn matches_registry(server: &str, wanted: &str, reference: &str) -> bool {
    let bare = server
        .strip_prefix("https://")
        .or(server.strip_prefix("http://"))
        .unwrap_or(server);
    let bare = bare.trim_end_matches('/');
    let (host, path) = bare.split_once('/').unwrap_or((bare, ""));
    let host = match host {
        "index.docker.io" | "registry-1.docker.io" => "docker.io",
        other => other,
    };
    let path = if matches!(path, "v1" | "v2") {
        ""
    } else {
        path
    };
    host == wanted && (path.is_empty() || reference.starts_with(&format!("{wanted}/{path}")))
}

fn parse_auth(auth: &serde_json::Value) -> Option<Credentials> {
    let text = |key: &str| {
        auth.get(key)
            .and_then(|v| v.as_str())
            .filter(|s| !s.is_empty())
    };
    if let (Some(username), Some(password)) = (text("username"), text("password")) {
        return Some(Credentials {
            username: username.to_string(),
            password: password.to_string(),
        });
    }
    let bytes = base64::engine::general_purpose::STANDARD
        .decode(text("auth")?)
        .ok()?;
    let pair = String::from_utf8(bytes).ok()?;
    let (username, password) = pair.split_once(':')?;
    Some(Credentials {
        username: username.to_string(),
        password: password.to_string(),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::json;

    #[test]
    fn registries_and_policies() {
        for (image, host, policy) in [
            ("busybox", "docker.io", "Always"),
            ("busybox:1.36", "docker.io", "IfNotPresent"),
            ("busybox:latest", "docker.io", "Always"),
            ("library/busybox", "docker.io", "Always"),
            ("localhost:5000/x", "localhost:5000", "Always"),
            ("ghcr.io/a/b:v1", "ghcr.io", "IfNotPresent"),
            ("ghcr.io/a/b@sha256:00", "ghcr.io", "IfNotPresent"),
        ] {
            let container = Container {
                image: Some(image.to_string()),
                ..Container::default()
            };
            assert_eq!(
                (registry(image), pull_policy(&container)),
                (host, policy),
                "{image}"
            );
        }
    }

    #[test]
    fn docker_config_json() {
        let config = json!({"auths": {
            "https://index.docker.io/v1/": {"auth": "dTpw"},
            "r.example:5000": {"username": "a", "password": "b"},
            "r.example:5000/team": {"auth": "dDpx"},
            "broken.example": {"auth": "%%%"}
        }});
        let secret: Secret = serde_json::from_value(json!({
            "data": {".dockerconfigjson": base64::engine::general_purpose::STANDARD.encode(config.to_string())}
        }))
        .unwrap();
        let found = |reference: &str| -> Vec<String> {
            credentials(std::slice::from_ref(&secret), reference)
                .into_iter()
                .map(|c| format!("{}:{}", c.username, c.password))
                .collect()
        };
        assert_eq!(found("busybox"), ["u:p"]);
        assert_eq!(found("r.example:5000/x"), ["a:b"]);
        assert_eq!(found("r.example:5000/team/x"), ["a:b", "t:q"]);
        assert!(found("broken.example/x").is_empty());
        assert!(found("other.example/x").is_empty());
    }
}
