//! Where a Service's traffic goes: EndpointSlices, the older Endpoints, and slices made of Endpoints that users write.
//! <https://kubernetes.io/docs/concepts/services-networking/endpoint-slices/>
//!
//! What comes in: Services with a selector, the pods they select, what is written already. What goes out: the slices
//! and Endpoints as they should be. Invariants: an endpoint stays in the slice it is in, so that a pod's change writes
//! one slice; a Service without a selector is left to its user. It never knows about the network that uses them.

mod fit;
mod members;
mod mirror;
mod slices;
mod subsets;
#[cfg(test)]
mod tests;
mod truncate;

pub use mirror::Mirror;
pub use slices::Slices;
pub use subsets::Subsets;

use super::action::Action;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::Value;
use std::collections::BTreeMap;

/// Of a slice: the Service it is for.
pub const SERVICE_NAME: &str = "kubernetes.io/service-name";
/// Of a slice: who writes it.
pub const MANAGED_BY: &str = "endpointslice.kubernetes.io/managed-by";
/// Of a Service without an address of its own.
const HEADLESS: &str = "service.kubernetes.io/headless";

type Labels = BTreeMap<String, String>;

/// A merge patch that makes labels (or annotations) of `have` those of `want`; nothing where they are.
fn differing(have: Option<&Labels>, want: &Labels) -> Option<Value> {
    let none = Labels::new();
    let have = have.unwrap_or(&none);
    let mut patch = serde_json::Map::new();
    for (key, value) in want {
        if have.get(key) != Some(value) {
            patch.insert(key.clone(), value.as_str().into());
        }
    }
    for key in have.keys().filter(|key| !want.contains_key(*key)) {
        patch.insert(key.clone(), Value::Null);
    }
    (!patch.is_empty()).then(|| Value::Object(patch))
}

/// Whether the object is on its way out: nothing is made for it any more.
fn is_ending(meta: &ObjectMeta) -> bool {
    meta.deletion_timestamp.is_some()
}

/// What is written must still be wanted by the one it is written for.
fn confirmed(owner: super::action::Target, mut actions: Vec<Action>) -> Vec<Action> {
    if actions.iter().any(|a| matches!(a, Action::Create { .. })) {
        actions.insert(0, Action::Confirm(owner));
    }
    actions
}
