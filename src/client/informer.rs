//! List, then watch, and begin again when history is gone: what reconcilers build their snapshots from.

use super::Client;
use futures::stream::BoxStream;

#[derive(Debug, Clone)]
pub enum Event<K> {
    /// The complete state (first event, and after a break in the watch).
    Restarted(Vec<K>),
    Applied(K),
    Deleted(K),
}

#[derive(Debug, Clone, Default)]
pub struct Scope {
    pub namespace: Option<String>,
    pub label_selector: Option<String>,
    pub field_selector: Option<String>,
}

/// Never ends by itself; errors are logged and retried with back-off. Dropping the stream stops it.
pub fn informer<K>(_client: &Client, _scope: Scope) -> BoxStream<'static, Event<K>>
where
    K: k8s_openapi::Resource + serde::de::DeserializeOwned + Send + 'static,
{
    todo!()
}
