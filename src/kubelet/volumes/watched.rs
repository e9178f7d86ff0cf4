//! Tells pods when an object they show in a volume has changed: one watch per object, however many pods show it,
//! and none for objects that no pod here shows.
//!
//! Only versions are kept. Whoever hears of a new one fetches the object.

use crate::client::Client;
use crate::client::informer::{Event, Scope, informer};
use futures::StreamExt;
use k8s_openapi::Metadata;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::de::DeserializeOwned;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use tokio::sync::watch;
use tokio::task::AbortHandle;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    ConfigMap,
    Secret,
}

/// Kind, namespace, name.
pub type Key = (Kind, String, String);

/// Version of an object; `Some(None)`: it does not exist; `None`: not known yet.
pub type Version = Option<Option<String>>;

/// A watch that ends with its last holder.
pub struct Subscription {
    pub key: Key,
    pub version: watch::Receiver<Version>,
    task: AbortHandle,
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// All watches of this node. Bounded by what its pods mention; entries without holders go with the next question.
pub struct Watched {
    client: Client,
    subscriptions: Mutex<HashMap<Key, Weak<Subscription>>>,
}

impl Watched {
    pub fn new(client: Client) -> Watched {
        Watched {
            client,
            subscriptions: Mutex::default(),
        }
    }

    pub fn subscribe(&self, key: &Key) -> Arc<Subscription> {
        let mut all = self
            .subscriptions
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = all.get(key).and_then(Weak::upgrade) {
            return found;
        }
        all.retain(|_, held| held.strong_count() > 0);
        let (sender, version) = watch::channel(None);
        let scope = Scope {
            namespace: Some(key.1.clone()),
            field_selector: Some(format!("metadata.name={}", key.2)),
            label_selector: None,
        };
        let client = self.client.clone();
        let task = match key.0 {
            Kind::ConfigMap => tokio::spawn(follow::<ConfigMap>(client, scope, sender)),
            Kind::Secret => tokio::spawn(follow::<Secret>(client, scope, sender)),
        };
        let made = Arc::new(Subscription {
            key: key.clone(),
            version,
            task: task.abort_handle(),
        });
        all.insert(key.clone(), Arc::downgrade(&made));
        made
    }
}

async fn follow<K>(client: Client, scope: Scope, sender: watch::Sender<Version>)
where
    K: k8s_openapi::Resource + Metadata<Ty = ObjectMeta> + DeserializeOwned + Send + 'static,
{
    let mut events = informer::<K>(&client, scope);
    while let Some(event) = events.next().await {
        let version = match event {
            Event::Restarted(list) => list.first().and_then(version_of),
            Event::Applied(object) => version_of(&object),
            Event::Deleted(_) => None,
        };
        sender.send_if_modified(|old| {
            let changed = old.as_ref() != Some(&version);
            *old = Some(version);
            changed
        });
    }
}

fn version_of<K: Metadata<Ty = ObjectMeta>>(object: &K) -> Option<String> {
    object.metadata().resource_version.clone()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::controllers::fake_door;
    use serde_json::json;

    #[tokio::test]
    async fn pods_share_a_watch_and_the_last_ends_it() {
        let maps = json!({"items": [{"metadata": {"name": "m", "namespace": "n", "resourceVersion": "7"}}]});
        let lists = [
            ("/api/v1/namespaces/n/configmaps", maps),
            ("/api/v1/namespaces/n/secrets", json!({"items": []})),
        ];
        let (client, _told) = fake_door::client(&lists);
        let watched = Watched::new(client);
        let key = (Kind::ConfigMap, "n".to_string(), "m".to_string());
        let (one, two) = (watched.subscribe(&key), watched.subscribe(&key));
        assert!(Arc::ptr_eq(&one, &two));
        let mut version = one.version.clone();
        let seen = version.wait_for(|version| version.is_some()).await;
        assert_eq!(*seen.unwrap(), Some(Some("7".to_string())));
        let absent = watched.subscribe(&(Kind::Secret, "n".to_string(), "s".to_string()));
        let mut version = absent.version.clone();
        let seen = version.wait_for(|version| version.is_some()).await;
        assert_eq!(*seen.unwrap(), Some(None));
        let mut ended = one.version.clone();
        drop((one, two));
        assert!(
            ended.wait_for(|_| false).await.is_err(),
            "nobody follows any more"
        );
        assert!(!Arc::ptr_eq(&watched.subscribe(&key), &absent));
        assert_eq!(watched.subscriptions.lock().unwrap().len(), 2);
    }
}
