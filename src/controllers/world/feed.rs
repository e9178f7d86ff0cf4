//! Lists and watches of all kinds as one stream of news.

use super::News;
use super::graph::{Meta, Resource};
use crate::client::informer::{Event, Scope, informer, informer_at};
use crate::client::{Client, object_path};
use crate::controllers::discovery;
use futures::StreamExt;
use futures::stream::{BoxStream, SelectAll};
use serde::de::DeserializeOwned;
use std::sync::Arc;
use std::time::Duration;

/// Between two questions for the kinds there are, when the API does not answer.
const DISCOVERY_PAUSE: Duration = Duration::from_secs(1);

/// The news of one kind.
pub type Stream = BoxStream<'static, News>;

/// Nothing is buffered: a watch is only read while the feed is polled.
pub struct Feed {
    streams: SelectAll<Stream>,
}

pub(super) fn stream<K>(client: &Client, scope: Scope, wrap: fn(Event<K>) -> News) -> Stream
where
    K: k8s_openapi::Resource + DeserializeOwned + Send + 'static,
{
    informer::<K>(client, scope).map(wrap).boxed()
}

/// The metadata of all objects of all kinds that can be listed and deleted.
pub(super) fn relations(client: &Client) -> Stream {
    let client = client.clone();
    let first = async move {
        let resources = discover(&client).await;
        let kinds = News::Kinds(resources.clone());
        let streams = resources.into_iter().map(|resource| {
            let collection = object_path(
                &resource.group,
                &resource.version,
                &resource.plural,
                None,
                None,
                None,
            );
            informer_at::<Meta>(&client, collection, Scope::default())
                .map(move |event| News::Meta(resource.clone(), event))
                .boxed()
        });
        let all: SelectAll<Stream> = streams.collect();
        futures::stream::once(async { kinds }).chain(all)
    };
    futures::stream::once(first).flatten().boxed()
}

/// Until the API answers.
async fn discover(client: &Client) -> Vec<Arc<Resource>> {
    loop {
        match discovery::deletable(client).await {
            Ok(resources) => return resources.into_iter().map(Arc::new).collect(),
            Err(error) => {
                tracing::warn!(%error, "which kinds there are is not known yet; asking again");
                tokio::time::sleep(DISCOVERY_PAUSE).await;
            }
        }
    }
}

impl Feed {
    /// Of every kind there is a table for, and what is asked for again and again.
    pub fn new(client: &Client) -> Feed {
        let asked = [
            super::usage::stream(client),
            super::heartbeats::rounds(client),
        ];
        Feed {
            streams: super::streams(client).into_iter().chain(asked).collect(),
        }
    }

    /// The next piece of news; waits for it.
    pub async fn next(&mut self) -> Option<News> {
        self.streams.next().await
    }
}
