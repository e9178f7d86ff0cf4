//! One kind's objects, in the newest version that anybody has told of.
//!
//! Two sources tell: the watch, and the answers to our own writes, which come first. An object's resourceVersion says
//! which is newer, since all kinds share one revision
//! (<https://kubernetes.io/docs/reference/using-api/api-concepts/#resource-versions>).

use crate::client::informer::Event;
use k8s_openapi::Metadata;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Namespace and name; cluster-wide kinds have no namespace.
pub type Key = (String, String);

/// What a table holds.
pub trait Watched: Metadata<Ty = ObjectMeta> + Clone + std::fmt::Debug {}
impl<T: Metadata<Ty = ObjectMeta> + Clone + std::fmt::Debug> Watched for T {}

/// One object before and after a change.
#[derive(Debug)]
pub struct Diff<T> {
    pub old: Option<Arc<T>>,
    pub new: Option<Arc<T>>,
}

/// As large as the objects of the kind that exist, which the store bounds.
#[derive(Debug)]
pub struct Table<T> {
    objects: BTreeMap<Key, Arc<T>>,
    /// By the uid of their controller.
    owned: BTreeMap<String, BTreeSet<Key>>,
    /// What the watch has told, up to this revision.
    seen: u64,
    known: bool,
}

impl<T> Default for Table<T> {
    fn default() -> Table<T> {
        Table {
            objects: BTreeMap::new(),
            owned: BTreeMap::new(),
            seen: 0,
            known: false,
        }
    }
}

pub fn key(meta: &ObjectMeta) -> Key {
    (
        meta.namespace.clone().unwrap_or_default(),
        meta.name.clone().unwrap_or_default(),
    )
}

/// Lists have room left over from when they were read.
fn slim(meta: &mut ObjectMeta) {
    if let Some(owners) = &mut meta.owner_references {
        owners.shrink_to_fit();
    }
    if let Some(finalizers) = &mut meta.finalizers {
        finalizers.shrink_to_fit();
    }
}

/// The object's revision; what has none is older than everything.
fn revision(meta: &ObjectMeta) -> u64 {
    let version = meta.resource_version.as_deref();
    version.and_then(|v| v.parse().ok()).unwrap_or(0)
}

/// The owner that manages the object.
pub fn controller(meta: &ObjectMeta) -> Option<&OwnerReference> {
    let owners = meta.owner_references.iter().flatten();
    owners.into_iter().find(|o| o.controller == Some(true))
}

impl<T: Watched> Table<T> {
    /// Whether all objects have been listed.
    pub fn is_known(&self) -> bool {
        self.known
    }

    pub fn get(&self, key: &Key) -> Option<&Arc<T>> {
        self.objects.get(key)
    }

    pub fn iter(&self) -> impl Iterator<Item = &Arc<T>> {
        self.objects.values()
    }

    /// Objects of one namespace, by name.
    pub fn in_namespace<'a>(&'a self, namespace: &'a str) -> impl Iterator<Item = &'a Arc<T>> {
        let from = (namespace.to_owned(), String::new());
        let range = self.objects.range(from..);
        range
            .take_while(move |(key, _)| key.0 == namespace)
            .map(|(_, object)| object)
    }

    /// Objects whose controller has this uid, by name.
    pub fn owned_by<'a>(&'a self, uid: &str) -> impl Iterator<Item = &'a Arc<T>> {
        let keys = self.owned.get(uid).into_iter().flatten();
        keys.filter_map(|key| self.objects.get(key))
    }

    /// What the watch told.
    pub fn take_in(&mut self, event: Event<T>) -> Vec<Diff<T>> {
        match event {
            Event::Restarted(list) => self.replace(list),
            Event::Applied(object) => {
                self.seen = self.seen.max(revision(object.metadata()));
                self.set(object).into_iter().collect()
            }
            Event::Deleted(object) => {
                let meta = object.metadata();
                self.seen = self.seen.max(revision(meta));
                self.remove(&key(meta), revision(meta))
                    .into_iter()
                    .collect()
            }
        }
    }

    /// What a write was answered with. What the watch has told of already is left: it may be gone again by now.
    pub fn learn(&mut self, object: T) -> Option<Diff<T>> {
        if revision(object.metadata()) > self.seen {
            self.set(object)
        } else {
            None
        }
    }

    /// A write was answered with the object's end.
    pub fn unlearn(&mut self, key: &Key, uid: &str) -> Option<Diff<T>> {
        let held = self.objects.get(key)?;
        let same = held.metadata().uid.as_deref() == Some(uid);
        let at = revision(held.metadata());
        same.then(|| self.remove(key, at)).flatten()
    }

    fn replace(&mut self, list: Vec<T>) -> Vec<Diff<T>> {
        self.known = true;
        let mut gone: BTreeSet<Key> = self.objects.keys().cloned().collect();
        let mut diffs = Vec::new();
        for object in list {
            gone.remove(&key(object.metadata()));
            self.seen = self.seen.max(revision(object.metadata()));
            diffs.extend(self.set(object));
        }
        for key in gone {
            diffs.extend(self.remove(&key, u64::MAX));
        }
        diffs
    }

    fn set(&mut self, mut object: T) -> Option<Diff<T>> {
        slim(object.metadata_mut());
        let key = key(object.metadata());
        let old = self.objects.get(&key).cloned();
        if let Some(old) = &old
            && revision(object.metadata()) <= revision(old.metadata())
        {
            return None;
        }
        if let Some(old) = &old {
            self.disown(&key, old.metadata());
        }
        if let Some(owner) = controller(object.metadata()) {
            let keys = self.owned.entry(owner.uid.clone()).or_default();
            keys.insert(key.clone());
        }
        let new = Arc::new(object);
        self.objects.insert(key, new.clone());
        Some(Diff {
            old,
            new: Some(new),
        })
    }

    /// `at`: the revision that removed it; one of a later life stays.
    fn remove(&mut self, key: &Key, at: u64) -> Option<Diff<T>> {
        if revision(self.objects.get(key)?.metadata()) > at {
            return None;
        }
        let old = self.objects.remove(key)?;
        self.disown(key, old.metadata());
        Some(Diff {
            old: Some(old),
            new: None,
        })
    }

    fn disown(&mut self, key: &Key, meta: &ObjectMeta) {
        let Some(owner) = controller(meta) else {
            return;
        };
        if let Some(keys) = self.owned.get_mut(&owner.uid) {
            keys.remove(key);
            if keys.is_empty() {
                self.owned.remove(&owner.uid);
            }
        }
    }
}

impl<T: Watched> Diff<T> {
    /// The object as it is now, or was last.
    pub fn newest(&self) -> Option<&Arc<T>> {
        self.new.as_ref().or(self.old.as_ref())
    }

    pub fn key(&self) -> Option<Key> {
        self.newest().map(|object| key(object.metadata()))
    }

    /// Those of this kind that manage the object, or did before the change.
    pub fn controllers(&self, kind: &str) -> Vec<Key> {
        let mut keys = Vec::new();
        for object in [&self.old, &self.new].into_iter().flatten() {
            let meta = object.metadata();
            if let Some(owner) = controller(meta).filter(|owner| owner.kind == kind) {
                let key = (
                    meta.namespace.clone().unwrap_or_default(),
                    owner.name.clone(),
                );
                if !keys.contains(&key) {
                    keys.push(key);
                }
            }
        }
        keys
    }
}

#[cfg(test)]
#[path = "table_tests.rs"]
mod tests;
