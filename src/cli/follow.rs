//! Following one object until something is known of it.

use super::choose::Place;
use super::connect::{Session, get, items};
use super::get::WatchEvent;
use crate::client::{Lines, read_value};
use serde_json::Value;
use std::time::Duration;

/// Between two watches: a server that ends them at once must not be asked in a loop.
const PAUSE: Duration = Duration::from_millis(100);

/// Shows `judge` the object as it is, or null where there is none, again after every change, until it has an answer.
pub async fn until<T>(
    session: &Session,
    place: &Place,
    mut judge: impl FnMut(&Value) -> Result<Option<T>, anyhow::Error>,
) -> Result<T, anyhow::Error> {
    let path = place.resource.path(Some(&place.namespace), None);
    let selector = format!("metadata.name={}", place.name);
    loop {
        let query = [("fieldSelector", selector.clone())];
        let answer = get(&session.client, &path, &query, "application/json").await?;
        let list = read_value(answer).await?;
        let version = list["metadata"]["resourceVersion"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        let object = items(list).pop().unwrap_or(Value::Null);
        if let Some(answer) = judge(&object)? {
            return Ok(answer);
        }
        let query = [
            ("fieldSelector", selector.clone()),
            ("watch", "true".to_owned()),
            ("resourceVersion", version),
        ];
        let answer = get(&session.client, &path, &query, "application/json").await?;
        let mut lines = Lines::new(answer.into_body());
        while let Some(line) = lines.next().await {
            // History is gone, the server stops, or the line broke off: the next list tells.
            let Ok(event) = line.and_then(|line| WatchEvent::read(&line)) else {
                break;
            };
            let seen = if event.kind == "DELETED" {
                &Value::Null
            } else {
                &event.object
            };
            if let Some(answer) = judge(seen)? {
                return Ok(answer);
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
}
