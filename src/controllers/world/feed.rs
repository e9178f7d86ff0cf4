//! Lists and watches of all kinds as one stream of news.

use super::News;
use crate::client::Client;
use crate::client::informer::{Event, Scope, informer};
use futures::StreamExt;
use futures::stream::{BoxStream, SelectAll};
use k8s_openapi::Resource;
use serde::de::DeserializeOwned;

/// The news of one kind.
pub type Stream = BoxStream<'static, News>;

/// Nothing is buffered: a watch is only read while the feed is polled.
pub struct Feed {
    streams: SelectAll<Stream>,
}

pub(super) fn stream<K>(client: &Client, scope: Scope, wrap: fn(Event<K>) -> News) -> Stream
where
    K: Resource + DeserializeOwned + Send + 'static,
{
    informer::<K>(client, scope).map(wrap).boxed()
}

impl Feed {
    /// Of every kind there is a table for.
    pub fn new(client: &Client) -> Feed {
        Feed {
            streams: super::streams(client).into_iter().collect(),
        }
    }

    /// The next piece of news; waits for it.
    pub async fn next(&mut self) -> Option<News> {
        self.streams.next().await
    }
}
