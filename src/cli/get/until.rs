//! Waiting for one object: as it is now, then change by change.

use super::WatchEvent;
use crate::cli::connect::{Session, get, items};
use crate::cli::discovery::Resource;
use crate::client::{Lines, read_value};
use serde_json::Value;
use std::time::Duration;

/// Before the object is asked for again, where the server ends a watch at once.
const PAUSE: Duration = Duration::from_millis(200);

/// Returns the object once `done` says so; `done` sees every change.
///
/// # Errors
/// `done`'s own refusal, the object's end, or no end of it within `limit`.
pub async fn until_some<T>(
    session: &Session,
    resource: &Resource,
    (namespace, name): (&str, &str),
    limit: Option<Duration>,
    mut done: impl FnMut(&Value) -> Result<Option<T>, anyhow::Error>,
) -> Result<T, anyhow::Error> {
    let path = resource.path(Some(namespace), None);
    let fields = ("fieldSelector", format!("metadata.name={name}"));
    let gone = || anyhow::anyhow!("{}/{name} does not exist any more", resource.label());
    let waiting = async {
        loop {
            let query = [fields.clone()];
            let list =
                read_value(get(&session.client, &path, &query, "application/json").await?).await?;
            let version = list["metadata"]["resourceVersion"]
                .as_str()
                .unwrap_or_default()
                .to_owned();
            let object = items(list).into_iter().next().ok_or_else(gone)?;
            if let Some(found) = done(&object)? {
                return Ok(found);
            }
            let query = [
                fields.clone(),
                ("watch", "true".to_owned()),
                ("resourceVersion", version),
            ];
            let response = get(&session.client, &path, &query, "application/json").await?;
            let mut lines = Lines::new(response.into_body());
            while let Some(line) = lines.next().await {
                // History is gone or the server is stopping: the next list tells.
                let Ok(event) = WatchEvent::read(&line?) else {
                    break;
                };
                anyhow::ensure!(event.kind != "DELETED", gone());
                if event.kind != "BOOKMARK"
                    && let Some(found) = done(&event.object)?
                {
                    return Ok(found);
                }
            }
            tokio::time::sleep(PAUSE).await;
        }
    };
    match limit {
        None => waiting.await,
        Some(limit) => tokio::time::timeout(limit, waiting)
            .await
            .map_err(|_| anyhow::anyhow!("timed out waiting for the condition"))?,
    }
}

/// Returns once `done` is true of the object.
pub async fn until(
    session: &Session,
    resource: &Resource,
    namespace: &str,
    name: &str,
    limit: Duration,
    done: impl Fn(&Value) -> bool,
) -> Result<(), anyhow::Error> {
    until_some(
        session,
        resource,
        (namespace, name),
        Some(limit),
        |object| Ok(done(object).then_some(())),
    )
    .await
}
