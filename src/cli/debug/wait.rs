//! Until a container runs: as the API tells, change by change.

use crate::cli::connect::{Session, get};
use crate::cli::get::WatchEvent;
use crate::client::{Lines, object_path, read_value};
use crate::object::access::{integer, list, present, text};
use http_body_util::BodyExt;
use serde_json::Value;
use std::time::Duration;
use tokio::io::AsyncWriteExt;

/// An image may have to be fetched first over a slow line.
pub const PATIENCE_SECONDS: u64 = 600;
/// How long a container that is gone may still stand as running in the API.
const ENDING: Duration = Duration::from_secs(5);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    Running,
    /// With this exit code.
    Ended(i64),
}

/// The container's state; `Err`: why it will not run without help; `None`: not yet.
pub fn state(pod: &Value, container: &str) -> Option<Result<State, String>> {
    let status = [
        "/status/ephemeralContainerStatuses",
        "/status/containerStatuses",
        "/status/initContainerStatuses",
    ]
    .iter()
    .flat_map(|group| list(pod, group))
    .find(|status| text(status, "/name") == container);
    if let Some(status) = status {
        if present(status, "/state/running") {
            return Some(Ok(State::Running));
        }
        if present(status, "/state/terminated") {
            return Some(Ok(State::Ended(integer(
                status,
                "/state/terminated/exitCode",
            ))));
        }
        let reason = text(status, "/state/waiting/reason");
        let hopeless = [
            "ErrImageNeverPull",
            "InvalidImageName",
            "CreateContainerConfigError",
            "ImagePullBackOff",
            "RunContainerError",
        ];
        if hopeless.contains(&reason) {
            return Some(Err(format!(
                "{reason}: {}",
                text(status, "/state/waiting/message")
            )));
        }
    }
    let phase = text(pod, "/status/phase");
    matches!(phase, "Failed" | "Succeeded").then(|| {
        Err(
            format!("the pod is over: {phase} {}", text(pod, "/status/message"))
                .trim_end()
                .to_owned(),
        )
    })
}

pub async fn until_started(
    session: &Session,
    pod: &str,
    container: &str,
) -> Result<State, anyhow::Error> {
    let patience = Duration::from_secs(PATIENCE_SECONDS);
    tokio::time::timeout(patience, watch(session, pod, container))
        .await
        .unwrap_or_else(|_| {
            anyhow::bail!("container {container} does not run after {PATIENCE_SECONDS} s; `coracle why pod/{pod}` may tell why")
        })
}

/// The exit code of a container that could not be attached to, if it ends within `ENDING`.
pub async fn until_ended(session: &Session, pod: &str, container: &str) -> Option<i64> {
    let looking = async {
        loop {
            match watch(session, pod, container).await {
                Ok(State::Ended(code)) => return Some(code),
                Ok(State::Running) => tokio::time::sleep(Duration::from_millis(200)).await,
                Err(_) => return None,
            }
        }
    };
    tokio::time::timeout(ENDING, looking).await.ok().flatten()
}

async fn watch(session: &Session, pod: &str, container: &str) -> Result<State, anyhow::Error> {
    let path = object_path("", "v1", "pods", Some(&session.namespace), None, None);
    let mut version = String::new();
    loop {
        let mut query = vec![("fieldSelector", format!("metadata.name={pod}"))];
        if version.is_empty() {
            let answer =
                read_value(get(&session.client, &path, &query, "application/json").await?).await?;
            text(&answer, "/metadata/resourceVersion").clone_into(&mut version);
            if let Some(state) = list(&answer, "/items")
                .first()
                .and_then(|pod| state(pod, container))
            {
                return state.map_err(|why| hopeless(pod, container, &why));
            }
        }
        query.push(("watch", "true".to_owned()));
        query.push(("resourceVersion", version.clone()));
        let response = get(&session.client, &path, &query, "application/json").await?;
        let mut lines = Lines::new(response.into_body());
        while let Some(line) = lines.next().await {
            let event = WatchEvent::read(&line?)?;
            anyhow::ensure!(event.kind != "DELETED", "pod {pod} was deleted");
            if let Some(state) = state(&event.object, container) {
                return state.map_err(|why| hopeless(pod, container, &why));
            }
        }
        // The server ended the watch: look anew.
        version.clear();
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

fn hopeless(pod: &str, container: &str, why: &str) -> anyhow::Error {
    anyhow::anyhow!(
        "container {container} of pod {pod} cannot run: {why}; `coracle why pod/{pod}` may tell more"
    )
}

/// What the container has printed and prints until it ends.
pub async fn print_log(session: &Session, pod: &str, container: &str) -> Result<(), anyhow::Error> {
    let path = object_path(
        "",
        "v1",
        "pods",
        Some(&session.namespace),
        Some(pod),
        Some("log"),
    );
    let query = [
        ("container", container.to_owned()),
        ("follow", "true".to_owned()),
    ];
    let mut body = get(&session.client, &path, &query, "*/*")
        .await?
        .into_body();
    let mut output = tokio::io::stdout();
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame?.into_data() {
            output.write_all(&data).await?;
        }
    }
    output.flush().await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn states() {
        let pod = |state: Value| json!({"status": {"phase": "Running", "ephemeralContainerStatuses": [{"name": "d", "state": state}]}});
        for (pod, expected) in [
            (pod(json!({"running": {}})), Some(Ok(State::Running))),
            (
                pod(json!({"terminated": {"exitCode": 3}})),
                Some(Ok(State::Ended(3))),
            ),
            (
                pod(json!({"waiting": {"reason": "ContainerCreating"}})),
                None,
            ),
            (
                pod(json!({"waiting": {"reason": "ErrImagePull", "message": "once more"}})),
                None,
            ),
            (
                pod(json!({"waiting": {"reason": "ErrImageNeverPull", "message": "m"}})),
                Some(Err("ErrImageNeverPull: m".to_owned())),
            ),
            (
                json!({"status": {"phase": "Failed"}}),
                Some(Err("the pod is over: Failed".to_owned())),
            ),
            (json!({}), None),
        ] {
            assert_eq!(state(&pod, "d"), expected, "{pod}");
        }
    }
}
