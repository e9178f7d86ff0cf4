//! The image a container's next run needs.

use super::CONFIG_RETRY_MS;
use crate::image::Keyring;
use crate::kubelet::Context;
use crate::kubelet::events::Kind;
use crate::kubelet::images::{Need, Pulled, keyring, need};
use crate::kubelet::now_ms;
use crate::kubelet::pod::record::ImageState;
use crate::kubelet::worker::Worker;
use k8s_openapi::api::core::v1::{Container, Pod, Secret};

impl Worker {
    pub(in crate::kubelet) fn ensure_image(&mut self, name: &str) {
        let Some((init, container)) = self.container(name) else {
            return;
        };
        let about = Some((init, name));
        let now_ms = now_ms();
        let reference = container.image.clone().unwrap_or_default();
        let need = need(self.ctx.puller.images(), &container);
        let failed = |reason: &'static str, message: String| ImageState::Failed {
            reason,
            message,
            failed_ms: now_ms,
            retry_ms: now_ms + CONFIG_RETRY_MS,
        };
        let (image_state, event) = match need {
            Need::Present(image) => {
                self.images.insert(name.to_string(), *image);
                let message = format!("Container image \"{reference}\" already present on machine");
                (ImageState::Ready, (Kind::Normal, "Pulled", message))
            }
            Need::Pull { lost } => {
                if let Some(lost) = lost {
                    self.event(about, Kind::Warning, "InspectFailed", lost);
                }
                let pull = self.pull(name.to_string(), &container);
                self.pulls.spawn(pull);
                let message = format!("Pulling image \"{reference}\"");
                (ImageState::Pulling, (Kind::Normal, "Pulling", message))
            }
            Need::Invalid(message) => (
                failed("InvalidImageName", message.clone()),
                (Kind::Warning, "InspectFailed", message),
            ),
            Need::Never(message) => (
                failed("ErrImageNeverPull", message.clone()),
                (Kind::Warning, "ErrImageNeverPull", message),
            ),
            Need::Broken(message) => (
                failed("ImageInspectError", message.clone()),
                (Kind::Warning, "InspectFailed", message),
            ),
        };
        let broken = match &image_state {
            ImageState::Failed { reason, .. } => Some(format!("Error: {reason}")),
            _ => None,
        };
        self.event(about, event.0, event.1, event.2);
        if let Some(message) = broken {
            self.event(about, Kind::Warning, "Failed", message);
        }
        if let Some(record) = self.state.containers.get_mut(name) {
            record.image_state = image_state;
            record.spec_image = reference;
        }
    }

    fn pull(
        &self,
        name: String,
        container: &Container,
    ) -> impl Future<Output = (String, Pulled)> + Send + use<> {
        let reference = container.image.clone().unwrap_or_default();
        let ctx = self.ctx.clone();
        let pod = self.pod.clone();
        async move {
            let keyring = keyring_of(&ctx, &pod).await;
            let pulled = ctx.puller.pull(&reference, keyring).await;
            (name, pulled)
        }
    }

    /// A pull's task broke off: every pull still waited for is asked for again (the puller joins those that run).
    pub(in crate::kubelet) fn pulls_broken(&mut self, error: &tokio::task::JoinError) {
        tracing::error!(pod = %self.name(), %error, "a pull broke off; asking again");
        for record in self.state.containers.values_mut() {
            if record.image_state == ImageState::Pulling {
                record.image_state = ImageState::Unknown;
            }
        }
        self.pulls.abort_all();
        self.pulls = tokio::task::JoinSet::new();
        self.pause();
    }

    pub(in crate::kubelet) fn pulled(&mut self, name: &str, pulled: Pulled) {
        let Some((init, container)) = self.container(name) else {
            return;
        };
        let about = Some((init, name));
        let reference = container.image.as_deref().unwrap_or_default();
        let now_ms = now_ms();
        match pulled.result {
            Ok(image) => {
                let message = format!(
                    "Successfully pulled image \"{reference}\" in {} ({} including waiting). Image size: {} bytes.",
                    go_duration(pulled.took),
                    go_duration(pulled.took_with_wait),
                    image.size_bytes
                );
                self.event(about, Kind::Normal, "Pulled", message);
                self.images.insert(name.to_string(), image);
                if let Some(record) = self.state.containers.get_mut(name) {
                    record.image_state = ImageState::Ready;
                }
                self.ctx.node_changed.notify_one();
            }
            Err(cause) => {
                let message = format!("failed to pull and unpack image \"{reference}\": {cause}");
                self.event(
                    about,
                    Kind::Warning,
                    "Failed",
                    format!("Failed to pull image \"{reference}\": {message}"),
                );
                self.event(
                    about,
                    Kind::Warning,
                    "Failed",
                    "Error: ErrImagePull".to_string(),
                );
                if let Some(record) = self.state.containers.get_mut(name) {
                    record.pull_backoff.next(now_ms, now_ms);
                    record.image_state = ImageState::Failed {
                        reason: "ErrImagePull",
                        message,
                        failed_ms: now_ms,
                        retry_ms: record.pull_backoff.wait_until(now_ms).unwrap_or(now_ms),
                    };
                }
            }
        }
    }
}

/// What the pod's `imagePullSecrets` hold. A missing one is told in upstream's words.
pub(super) async fn keyring_of(ctx: &Context, pod: &Pod) -> Keyring {
    let (secrets, mut missing) = pull_secrets(&ctx.client, pod).await;
    let (keyring, unreadable) = keyring(&secrets);
    missing.extend(unreadable);
    if !missing.is_empty() {
        let message = format!(
            "Unable to retrieve some image pull secrets ({}); attempting to pull the image may not succeed.",
            missing.join(", ")
        );
        let reason = "FailedToRetrieveImagePullSecret";
        ctx.recorder.pod(pod, None, Kind::Warning, reason, message);
    }
    keyring
}

/// The pod's `imagePullSecrets` that exist, and the names of those that do not: no error, the pull is tried without.
async fn pull_secrets(client: &crate::client::Client, pod: &Pod) -> (Vec<Secret>, Vec<String>) {
    let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
    let names = pod
        .spec
        .as_ref()
        .and_then(|s| s.image_pull_secrets.as_deref())
        .unwrap_or_default();
    let (mut secrets, mut missing) = (Vec::new(), Vec::new());
    for reference in names {
        match client.get::<Secret>(Some(namespace), &reference.name).await {
            Ok(secret) => secrets.push(secret),
            Err(error) => {
                tracing::debug!(secret = reference.name, %error, "image pull secret not read");
                missing.push(reference.name.clone());
            }
        }
    }
    (secrets, missing)
}

/// A duration as Go prints it, to the millisecond: `850ms`, `1.234s`, `1m2.5s`.
fn go_duration(duration: std::time::Duration) -> String {
    let ms = duration.as_millis();
    if ms < 1000 {
        return format!("{ms}ms");
    }
    let seconds = format!("{}.{:03}", ms / 1000 % 60, ms % 1000);
    let seconds = seconds.trim_end_matches('0').trim_end_matches('.');
    match ms / 60_000 {
        0 => format!("{seconds}s"),
        minutes => format!("{minutes}m{seconds}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn durations_as_go_prints_them() {
        for (ms, expected) in [
            (0, "0ms"),
            (850, "850ms"),
            (1234, "1.234s"),
            (2000, "2s"),
            (62_500, "1m2.5s"),
        ] {
            assert_eq!(go_duration(Duration::from_millis(ms)), expected);
        }
    }
}
