//! Lists and watches of all kinds as one stream of news.

use super::News;
use crate::client::Client;
use crate::client::informer::{Event, Scope, informer};
use futures::StreamExt;
use futures::stream::{BoxStream, SelectAll};
use k8s_openapi::Resource;
use serde::de::DeserializeOwned;

/// Nothing is buffered: a watch is only read while the feed is polled.
pub struct Feed {
    streams: SelectAll<BoxStream<'static, News>>,
}

pub(super) fn stream<K>(
    client: &Client,
    scope: Scope,
    wrap: fn(Event<K>) -> News,
) -> BoxStream<'static, News>
where
    K: Resource + DeserializeOwned + Send + 'static,
{
    informer::<K>(client, scope).map(wrap).boxed()
}

impl Feed {
    pub(super) fn of(streams: Vec<BoxStream<'static, News>>) -> Feed {
        Feed {
            streams: streams.into_iter().collect(),
        }
    }

    /// The next piece of news; waits for it.
    pub async fn next(&mut self) -> Option<News> {
        self.streams.next().await
    }
}
