//! List, then watch, and begin again when history is gone: what reconcilers build their snapshots from.
//! <https://kubernetes.io/docs/reference/using-api/api-concepts/#efficient-detection-of-changes>

use super::back_off::BackOff;
use super::{Client, ClientError, Lines, ListParams, path, typed};
use futures::stream::BoxStream;
use http::Method;
use k8s_openapi::Resource;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::time::Instant;

/// What became known.
#[derive(Debug, Clone)]
pub enum Event<K> {
    /// The complete state (first event, and after a break in the watch).
    Restarted(Vec<K>),
    Applied(K),
    Deleted(K),
}

/// Which objects of a kind.
#[derive(Debug, Clone, Default)]
pub struct Scope {
    pub namespace: Option<String>,
    pub label_selector: Option<String>,
    pub field_selector: Option<String>,
}

/// Never ends by itself; errors are logged and retried with back-off. Dropping the stream stops it.
/// Nothing is buffered: the server is asked only while the stream is polled.
pub fn informer<K>(client: &Client, scope: Scope) -> BoxStream<'static, Event<K>>
where
    K: Resource + DeserializeOwned + Send + 'static,
{
    let collection = typed::resource_path::<K>(scope.namespace.as_deref(), None, None);
    informer_at(client, collection, scope)
}

/// The same for any collection, of which `K` may be a part of the objects. The path decides the namespace.
pub fn informer_at<K>(
    client: &Client,
    collection: String,
    scope: Scope,
) -> BoxStream<'static, Event<K>>
where
    K: DeserializeOwned + Send + 'static,
{
    let state = Informer {
        client: client.clone(),
        collection,
        scope,
        version: None,
        watch: None,
        back_off: BackOff::default(),
    };
    Box::pin(futures::stream::unfold(state, |mut state| async move {
        let event = state.next().await;
        Some((event, state))
    }))
}

struct Informer {
    client: Client,
    /// The collection's path.
    collection: String,
    scope: Scope,
    /// Where to watch from; `None`: list first.
    version: Option<String>,
    watch: Option<Watch>,
    back_off: BackOff,
}

struct Watch {
    lines: Lines,
    opened: Instant,
    fruitful: bool,
}

/// A line's envelope, without building the object.
#[derive(Deserialize)]
struct Head {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    object: HeadObject,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct HeadObject {
    metadata: HeadMetadata,
    /// Of a `Status`.
    code: Option<u16>,
    message: Option<serde_json::Value>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct HeadMetadata {
    resource_version: Option<String>,
}

#[derive(Deserialize)]
#[serde(bound = "K: DeserializeOwned")]
struct Whole<K> {
    object: K,
}

/// What one line of a watch asks for.
#[derive(Debug)]
enum Line<K> {
    Event {
        event: Event<K>,
        version: Option<String>,
    },
    Bookmark {
        version: Option<String>,
    },
    /// History is gone: list again.
    Expired,
    /// The server could not go on.
    Failed(String),
}

impl Informer {
    async fn next<K: DeserializeOwned>(&mut self) -> Event<K> {
        loop {
            let failure = if self.version.is_none() {
                match self.list().await {
                    Ok(items) => return Event::Restarted(items),
                    Err(error) => error.to_string(),
                }
            } else if self.watch.is_none() {
                match self.open().await {
                    Ok(()) => continue,
                    Err(error) if error.code() == Some(410) => {
                        self.version = None;
                        continue;
                    }
                    Err(error) => error.to_string(),
                }
            } else {
                match self.read_line().await {
                    Ok(Some(event)) => return event,
                    Ok(None) => continue,
                    Err(failure) => failure,
                }
            };
            let pause = self.back_off.next_pause();
            tracing::warn!(
                collection = self.collection,
                pause_ms = pause.as_millis(),
                "informer: {failure}; trying again"
            );
            tokio::time::sleep(pause).await;
        }
    }

    async fn list<K: DeserializeOwned>(&mut self) -> Result<Vec<K>, ClientError> {
        let params = ListParams {
            label_selector: self.scope.label_selector.clone(),
            field_selector: self.scope.field_selector.clone(),
            limit: None,
        };
        let (items, version) = self.client.list_at::<K>(&self.collection, &params).await?;
        self.watch = None;
        self.version = Some(version);
        Ok(items)
    }

    async fn open(&mut self) -> Result<(), ClientError> {
        let mut pairs = vec![
            ("watch", "1".to_owned()),
            ("allowWatchBookmarks", "true".to_owned()),
            ("resourceVersion", self.version.clone().unwrap_or_default()),
        ];
        if let Some(selector) = &self.scope.label_selector {
            pairs.push(("labelSelector", selector.clone()));
        }
        if let Some(selector) = &self.scope.field_selector {
            pairs.push(("fieldSelector", selector.clone()));
        }
        let uri = path::with_query(self.collection.clone(), &pairs);
        let request = typed::build(Method::GET, &uri, None)?;
        let response = self.client.request(request).await?;
        self.watch = Some(Watch {
            lines: Lines::new(response.into_body()),
            opened: Instant::now(),
            fruitful: false,
        });
        Ok(())
    }

    /// One line of the open watch: an event, nothing to tell, or a failure that asks for a pause.
    async fn read_line<K: DeserializeOwned>(&mut self) -> Result<Option<Event<K>>, String> {
        let Some(watch) = &mut self.watch else {
            return Ok(None);
        };
        match watch.lines.next().await {
            None => {
                // Watches end after some minutes by design; one that ends at once and empty is a fault.
                const SHORT_MS: u128 = 1000;
                let short = watch.opened.elapsed().as_millis() < SHORT_MS && !watch.fruitful;
                self.watch = None;
                if short {
                    return Err("the watch ended at once".to_owned());
                }
                Ok(None)
            }
            Some(Err(error)) => {
                self.watch = None;
                Err(error.to_string())
            }
            Some(Ok(line)) => {
                watch.fruitful = true;
                match read::<K>(&line) {
                    Line::Event { event, version } => {
                        self.advance(version);
                        Ok(Some(event))
                    }
                    Line::Bookmark { version } => {
                        self.advance(version);
                        Ok(None)
                    }
                    Line::Expired => {
                        self.version = None;
                        self.watch = None;
                        Ok(None)
                    }
                    Line::Failed(why) => {
                        // What was missed is unknown: the next list is complete again.
                        self.version = None;
                        self.watch = None;
                        Err(why)
                    }
                }
            }
        }
    }

    fn advance(&mut self, version: Option<String>) {
        self.back_off.reset();
        if version.is_some() {
            self.version = version;
        }
    }
}

fn read<K: DeserializeOwned>(line: &[u8]) -> Line<K> {
    let head: Head = match serde_json::from_slice(line) {
        Ok(head) => head,
        Err(cause) => return Line::Failed(format!("a watch event cannot be read: {cause}")),
    };
    let version = head.object.metadata.resource_version;
    let decode = || serde_json::from_slice::<Whole<K>>(line).map(|whole| whole.object);
    let event = match head.kind.as_str() {
        "ADDED" | "MODIFIED" => decode().map(Event::Applied),
        "DELETED" => decode().map(Event::Deleted),
        "BOOKMARK" => return Line::Bookmark { version },
        "ERROR" if head.object.code == Some(410) => return Line::Expired,
        "ERROR" => {
            let message = head.object.message.unwrap_or_default();
            return Line::Failed(format!("the watch ended with an error: {message}"));
        }
        other => return Line::Failed(format!("unknown watch event type {other:?}")),
    };
    match event {
        Ok(event) => Line::Event { event, version },
        Err(cause) => Line::Failed(format!("an object in a watch cannot be read: {cause}")),
    }
}

#[cfg(test)]
#[path = "informer_tests.rs"]
mod tests;
