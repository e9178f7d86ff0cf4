//! Endpoints into slices: each stays where it is, new ones fill what has room, so that few slices are written.

use super::{Labels, MANAGED_BY, SERVICE_NAME, differing};
use crate::controllers::action::{Action, Target};
use crate::controllers::owners;
use crate::controllers::world::{World, controller};
use k8s_openapi::Resource;
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointPort, EndpointSlice};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Endpoints of the same ports.
#[derive(Debug)]
pub struct Group {
    /// `IPv4` or `IPv6`.
    pub family: &'static str,
    pub ports: Vec<EndpointPort>,
    pub endpoints: Vec<Endpoint>,
}

/// Whose slices, and what they all bear.
pub struct Slot {
    namespace: String,
    name: String,
    owner: OwnerReference,
    labels: Labels,
    pub annotations: Labels,
    /// Endpoints of one slice.
    most: usize,
}

impl Slot {
    pub fn new<T: Resource>(
        meta: &ObjectMeta,
        mut labels: Labels,
        manager: &str,
        most: usize,
    ) -> Slot {
        let name = meta.name.clone().unwrap_or_default();
        labels.insert(SERVICE_NAME.to_owned(), name.clone());
        labels.insert(MANAGED_BY.to_owned(), manager.to_owned());
        Slot {
            namespace: meta.namespace.clone().unwrap_or_default(),
            name,
            owner: owners::reference::<T>(meta),
            labels,
            annotations: Labels::new(),
            most,
        }
    }
}

/// The slices of this manager for this name. Those of an earlier life of the owner are the garbage collector's.
pub fn written(
    world: &World,
    namespace: &str,
    name: &str,
    manager: &str,
    uid: &str,
) -> Vec<Arc<EndpointSlice>> {
    let slices = world.slices.in_namespace(namespace);
    let ours = |slice: &&Arc<EndpointSlice>| {
        let labels = owners::labels(&slice.metadata);
        let is = |label: &str, value: &str| labels.get(label).is_some_and(|v| v == value);
        is(MANAGED_BY, manager)
            && is(SERVICE_NAME, name)
            && slice.metadata.deletion_timestamp.is_none()
            && controller(&slice.metadata).is_none_or(|owner| owner.uid == uid)
    };
    slices.filter(ours).cloned().collect()
}

/// A slice that is there, and what is to be in it.
struct Bin {
    slice: Arc<EndpointSlice>,
    endpoints: Vec<Endpoint>,
}

impl Bin {
    fn is_changed(&self) -> bool {
        self.slice.endpoints.as_deref().unwrap_or_default() != self.endpoints
    }
}

/// Pods are known by their uid, other endpoints by their address.
fn identity(endpoint: &Endpoint) -> (String, String) {
    let uid = endpoint.target_ref.as_ref().and_then(|r| r.uid.clone());
    let address = endpoint.addresses.first().cloned();
    (uid.unwrap_or_default(), address.unwrap_or_default())
}

/// What is to be written so that the slices hold the groups.
pub fn fit(world: &World, slot: &Slot, groups: Vec<Group>) -> Vec<Action> {
    let manager = slot.labels.get(MANAGED_BY).map_or("", String::as_str);
    let mut there = written(world, &slot.namespace, &slot.name, manager, &slot.owner.uid);
    let mut kept: Vec<Bin> = Vec::new();
    let mut new: Vec<(&'static str, Vec<EndpointPort>, Vec<Endpoint>)> = Vec::new();
    for group in groups {
        let same = |slice: &Arc<EndpointSlice>| {
            slice.address_type == group.family
                && slice.ports.as_deref().unwrap_or_default() == group.ports
        };
        let (own, others) = there.into_iter().partition(same);
        there = others;
        let (bins, left) = fill(own, group.endpoints, slot.most);
        kept.extend(bins);
        for part in left.chunks(slot.most) {
            new.push((group.family, group.ports.clone(), part.to_vec()));
        }
    }
    // Emptied ones go, and those of ports that nobody has any more.
    let (mut kept, emptied): (Vec<_>, Vec<_>) =
        kept.into_iter().partition(|bin| !bin.endpoints.is_empty());
    there.extend(emptied.into_iter().map(|bin| bin.slice));
    if kept.is_empty() && new.is_empty() {
        // One without endpoints tells that there are none.
        let bare = |slice: &Arc<EndpointSlice>| {
            slice.address_type == "IPv4" && slice.ports.as_deref().unwrap_or_default().is_empty()
        };
        match there.iter().position(bare) {
            Some(index) => kept.push(Bin {
                slice: there.remove(index),
                endpoints: Vec::new(),
            }),
            None => new.push(("IPv4", Vec::new(), Vec::new())),
        }
    }
    let creations = new.into_iter().map(|made| create(slot, made));
    let changes = kept.iter().filter_map(|bin| change(slot, bin));
    let deletions = there.iter().map(|slice| delete(slice));
    // In upstream's order: an endpoint is rather twice there than nowhere.
    creations.chain(changes).chain(deletions).collect()
}

fn fill(
    slices: Vec<Arc<EndpointSlice>>,
    endpoints: Vec<Endpoint>,
    most: usize,
) -> (Vec<Bin>, Vec<Endpoint>) {
    let mut wanted: BTreeMap<_, _> = endpoints.into_iter().map(|e| (identity(&e), e)).collect();
    let mut bins: Vec<Bin> = Vec::new();
    for slice in slices {
        let was = slice.endpoints.iter().flatten();
        let endpoints = was.filter_map(|e| wanted.remove(&identity(e))).collect();
        bins.push(Bin { slice, endpoints });
    }
    // Those that are written anyhow first, then the fullest.
    let mut order: Vec<usize> = (0..bins.len()).collect();
    order.sort_by_key(|&index| {
        bins.get(index)
            .map(|bin| (!bin.is_changed(), usize::MAX - bin.endpoints.len()))
    });
    for index in order {
        if let Some(bin) = bins.get_mut(index) {
            while bin.endpoints.len() < most
                && let Some((_, endpoint)) = wanted.pop_first()
            {
                bin.endpoints.push(endpoint);
            }
        }
    }
    (bins, wanted.into_values().collect())
}

fn create(
    slot: &Slot,
    (family, ports, endpoints): (&'static str, Vec<EndpointPort>, Vec<Endpoint>),
) -> Action {
    let slice = EndpointSlice {
        address_type: family.to_owned(),
        endpoints: Some(endpoints),
        ports: Some(ports),
        metadata: ObjectMeta {
            generate_name: Some(format!("{}-", slot.name)),
            namespace: Some(slot.namespace.clone()),
            labels: Some(slot.labels.clone()),
            annotations: Some(slot.annotations.clone()).filter(|a| !a.is_empty()),
            owner_references: Some(vec![slot.owner.clone()]),
            ..ObjectMeta::default()
        },
    };
    Action::Create {
        target: Target::named::<EndpointSlice>(&slot.namespace, ""),
        object: json!(slice),
    }
}

fn change(slot: &Slot, bin: &Bin) -> Option<Action> {
    let meta = &bin.slice.metadata;
    let mut patch = json!({});
    if bin.is_changed() {
        patch["endpoints"] = json!(bin.endpoints);
    }
    if let Some(labels) = differing(meta.labels.as_ref(), &slot.labels) {
        patch["metadata"]["labels"] = labels;
    }
    if let Some(annotations) = differing(meta.annotations.as_ref(), &slot.annotations) {
        patch["metadata"]["annotations"] = annotations;
    }
    if controller(meta).is_none() {
        let mut owners = meta.owner_references.clone().unwrap_or_default();
        owners.retain(|owner| owner.uid != slot.owner.uid);
        owners.push(slot.owner.clone());
        patch["metadata"]["ownerReferences"] = json!(owners);
    }
    (patch != Value::Object(serde_json::Map::new())).then(|| Action::Patch {
        target: Target::of::<EndpointSlice>(meta),
        part: None,
        resource_version: meta.resource_version.clone(),
        patch,
    })
}

pub fn delete(slice: &EndpointSlice) -> Action {
    Action::Delete {
        target: Target::of::<EndpointSlice>(&slice.metadata),
        resource_version: None,
        grace_period_seconds: None,
        propagation: None,
    }
}
