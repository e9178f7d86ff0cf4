//! Who owns whom, over all kinds: what the garbage collector decides from.
//! <https://kubernetes.io/docs/concepts/architecture/garbage-collection/>
//!
//! Of every object its uid and place are kept; of those that have owners, or whose end waits for others, the metadata
//! that decides.

use super::table::Key;
use crate::client::informer::Event;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Holds an owner until those that block its deletion are gone.
pub const FOREGROUND: &str = "foregroundDeletion";
/// Holds an owner until its dependents have forgotten it.
pub const ORPHAN: &str = "orphan";

/// A kind that can be listed and deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resource {
    pub api_version: String,
    pub group: String,
    pub version: String,
    pub plural: String,
    pub kind: String,
    pub namespaced: bool,
}

/// What is decoded of each object.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Meta {
    pub metadata: MetaFields,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct MetaFields {
    pub namespace: String,
    pub name: String,
    pub uid: String,
    pub resource_version: String,
    pub owner_references: Option<Vec<OwnerReferenceFields>>,
    pub finalizers: Option<Vec<String>>,
    pub deletion_timestamp: Option<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct OwnerReferenceFields {
    pub api_version: String,
    pub kind: String,
    pub name: String,
    pub uid: String,
    pub controller: Option<bool>,
    pub block_owner_deletion: Option<bool>,
}

impl From<&OwnerReferenceFields> for OwnerReference {
    fn from(fields: &OwnerReferenceFields) -> OwnerReference {
        OwnerReference {
            api_version: fields.api_version.clone(),
            kind: fields.kind.clone(),
            name: fields.name.clone(),
            uid: fields.uid.clone(),
            controller: fields.controller,
            block_owner_deletion: fields.block_owner_deletion,
        }
    }
}

impl MetaFields {
    pub fn is_ending(&self) -> bool {
        self.deletion_timestamp.is_some()
    }

    pub fn has_finalizer(&self, name: &str) -> bool {
        self.finalizers.iter().flatten().any(|f| f == name)
    }

    pub fn owners(&self) -> &[OwnerReferenceFields] {
        self.owner_references.as_deref().unwrap_or_default()
    }

    /// It ends when its dependents have.
    pub fn waits_for_dependents(&self) -> bool {
        self.is_ending() && self.has_finalizer(FOREGROUND)
    }

    /// It ends when its dependents have forgotten it.
    pub fn orphans_dependents(&self) -> bool {
        self.is_ending() && self.has_finalizer(ORPHAN)
    }
}

/// An object that has owners, or whose end waits.
#[derive(Debug)]
pub struct Node {
    pub resource: Arc<Resource>,
    pub meta: MetaFields,
}

/// Where any object is.
#[derive(Debug, Clone)]
struct Place {
    resource: Arc<Resource>,
    namespace: Arc<str>,
}

/// As large as the objects there are: about 100 bytes for each, and the metadata of those that have owners.
#[derive(Debug, Default)]
pub struct Graph {
    places: BTreeMap<u128, Place>,
    nodes: BTreeMap<u128, Node>,
    dependents: BTreeMap<u128, BTreeSet<u128>>,
    namespaces: BTreeSet<Arc<str>>,
    /// Kinds not listed yet; `None`: which kinds there are is not known.
    unlisted: Option<BTreeSet<String>>,
    resources: Vec<Arc<Resource>>,
    /// Namespaces in which objects have come or gone since somebody asked.
    moved: BTreeSet<Arc<str>>,
}

/// A uid in 16 bytes. What is not written as RFC 4122 has it is hashed (FNV-1a): nobody but its writer is confused
/// by two that meet, since every deletion names the whole uid.
pub fn short(uid: &str) -> u128 {
    let digits = || uid.bytes().filter(|b| *b != b'-');
    if uid.len() == 36 && digits().count() == 32 && digits().all(|b| b.is_ascii_hexdigit()) {
        let text: String = digits().map(char::from).collect();
        return u128::from_str_radix(&text, 16).unwrap_or_default();
    }
    uid.bytes()
        .fold(0x6c62_272e_07bb_0142_62b8_2175_6295_c58d, |hash, byte| {
            (hash ^ u128::from(byte)).wrapping_mul(0x0100_0000_0000_0000_0000_013b)
        })
}

/// The group of an `apiVersion`; empty for core.
fn group(api_version: &str) -> &str {
    api_version.rsplit_once('/').map_or("", |(group, _)| group)
}

/// How an owner is, as its dependent names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner {
    Solid,
    /// Its own end waits for its dependents.
    Waiting,
    /// There is none of this uid, kind and namespace.
    Absent,
}

impl Graph {
    pub fn is_known(&self) -> bool {
        self.unlisted.as_ref().is_some_and(BTreeSet::is_empty)
    }

    /// Which kinds there are.
    pub fn expect(&mut self, resources: &[Arc<Resource>]) {
        let name = |r: &Arc<Resource>| format!("{}/{}", r.api_version, r.plural);
        self.unlisted = Some(resources.iter().map(name).collect());
        self.resources = resources.to_vec();
    }

    /// The kind that an owner reference names, in the version that is served.
    pub fn resource(&self, api_version: &str, kind: &str) -> Option<&Arc<Resource>> {
        let group = group(api_version);
        let mut resources = self.resources.iter();
        resources.find(|r| r.kind == kind && r.group == group)
    }

    /// Namespaces in which objects have come or gone since the last call; cluster-wide objects are in none.
    pub fn take_moved(&mut self) -> BTreeSet<Arc<str>> {
        let mut moved = std::mem::take(&mut self.moved);
        moved.retain(|namespace| !namespace.is_empty());
        moved
    }

    /// How many objects of each group and plural a namespace has.
    pub fn counts(&self, namespace: &str) -> BTreeMap<(&str, &str), usize> {
        let mut counts = BTreeMap::new();
        let places = self.places.values();
        for place in places.filter(|place| *place.namespace == *namespace) {
            let resource = &place.resource;
            let kind = (resource.group.as_str(), resource.plural.as_str());
            *counts.entry(kind).or_default() += 1;
        }
        counts
    }

    pub fn get(&self, uid: u128) -> Option<&Node> {
        self.nodes.get(&uid)
    }

    /// All that have owners, or whose end waits.
    #[cfg(test)]
    pub fn iter(&self) -> impl Iterator<Item = &Node> {
        self.nodes.values()
    }

    pub fn dependents(&self, uid: u128) -> impl Iterator<Item = &Node> {
        let uids = self.dependents.get(&uid).into_iter().flatten();
        uids.filter_map(|uid| self.nodes.get(uid))
    }

    /// How the owner that `node` names is.
    pub fn owner(&self, node: &Node, reference: &OwnerReferenceFields) -> Owner {
        let uid = short(&reference.uid);
        let Some(place) = self.places.get(&uid) else {
            return Owner::Absent;
        };
        // Owners stand in the same namespace, or in none.
        let reachable = !place.resource.namespaced || *place.namespace == *node.meta.namespace;
        if !reachable
            || place.resource.kind != reference.kind
            || place.resource.group != group(&reference.api_version)
        {
            return Owner::Absent;
        }
        match self.nodes.get(&uid) {
            Some(owner) if owner.meta.waits_for_dependents() => Owner::Waiting,
            _ => Owner::Solid,
        }
    }

    /// Takes in news of one kind; answers with the uids to look at.
    pub fn take_in(&mut self, resource: &Arc<Resource>, event: Event<Meta>) -> BTreeSet<u128> {
        let mut touched = BTreeSet::new();
        match event {
            Event::Restarted(list) => {
                if let Some(unlisted) = &mut self.unlisted {
                    unlisted.remove(&format!("{}/{}", resource.api_version, resource.plural));
                }
                let held = self
                    .places
                    .iter()
                    .filter(|(_, p)| Arc::ptr_eq(&p.resource, resource));
                let mut gone: BTreeSet<u128> = held.map(|(uid, _)| *uid).collect();
                for object in list {
                    gone.remove(&short(&object.metadata.uid));
                    self.set(resource, object.metadata, &mut touched);
                }
                for uid in gone {
                    self.remove(uid, &mut touched);
                }
            }
            Event::Applied(object) => self.set(resource, object.metadata, &mut touched),
            Event::Deleted(object) => self.remove(short(&object.metadata.uid), &mut touched),
        }
        touched
    }

    fn set(
        &mut self,
        resource: &Arc<Resource>,
        mut meta: MetaFields,
        touched: &mut BTreeSet<u128>,
    ) {
        // A list that was read has room left over.
        if let Some(owners) = &mut meta.owner_references {
            owners.shrink_to_fit();
        }
        let uid = short(&meta.uid);
        let namespace = self.intern(&meta.namespace);
        let place = Place {
            resource: resource.clone(),
            namespace: namespace.clone(),
        };
        if self.places.insert(uid, place).is_none() {
            self.moved.insert(namespace);
        }
        let waits = meta.waits_for_dependents() || meta.orphans_dependents();
        let before = self.nodes.remove(&uid);
        if let Some(before) = &before {
            self.unlink(uid, &before.meta);
        }
        if waits {
            touched.insert(uid);
            touched.extend(self.dependents.get(&uid).into_iter().flatten());
        }
        if meta.owners().is_empty() && !waits {
            return;
        }
        for owner in meta.owners() {
            self.dependents
                .entry(short(&owner.uid))
                .or_default()
                .insert(uid);
        }
        let same_owners = before
            .as_ref()
            .is_some_and(|b| b.meta.owner_references == meta.owner_references);
        if !same_owners {
            touched.insert(uid);
        }
        let resource = resource.clone();
        self.nodes.insert(uid, Node { resource, meta });
    }

    /// Many objects share few namespaces.
    fn intern(&mut self, namespace: &str) -> Arc<str> {
        if let Some(known) = self.namespaces.get(namespace) {
            return known.clone();
        }
        let new: Arc<str> = namespace.into();
        self.namespaces.insert(new.clone());
        new
    }

    fn remove(&mut self, uid: u128, touched: &mut BTreeSet<u128>) {
        if let Some(place) = self.places.remove(&uid) {
            self.moved.insert(place.namespace);
        }
        if let Some(node) = self.nodes.remove(&uid) {
            self.unlink(uid, &node.meta);
            // Owners that wait for it may go now.
            touched.extend(node.meta.owners().iter().map(|owner| short(&owner.uid)));
        }
        touched.extend(self.dependents.get(&uid).into_iter().flatten());
    }

    fn unlink(&mut self, uid: u128, meta: &MetaFields) {
        for owner in meta.owners() {
            let owner = short(&owner.uid);
            if let Some(dependents) = self.dependents.get_mut(&owner) {
                dependents.remove(&uid);
                if dependents.is_empty() {
                    self.dependents.remove(&owner);
                }
            }
        }
    }
}

/// A uid as a controller's key.
pub fn graph_key(uid: u128) -> Key {
    (String::new(), format!("{uid:032x}"))
}

/// The way back.
pub fn uid_of(key: &Key) -> Option<u128> {
    u128::from_str_radix(&key.1, 16).ok()
}
