//! What the server adds to new objects, and what it refuses, by what else there is.
//!
//! What comes in: a new object with its defaults, and who makes it. What goes out: the object completed, or why it may
//! not be made. Invariants: runs before validation, which sees the object as it will be stored. It never knows about
//! HTTP or the store's writing side.

mod limit_range;
mod mirror;
mod newborn;
mod priority;
mod quota;
mod service_account;

use super::kinds::{Kind, Subresource};
use super::status::{ApiError, ApiResult, qualified};
use super::{Api, User, node_limits};
use crate::object::access::text;
use serde_json::Value;

/// Why not, in the words of a refusal.
type Verdict = ApiResult<Result<(), String>>;

impl Api {
    pub(super) fn admit(
        &self,
        kind: &Kind,
        user: Option<&User>,
        object: &mut Value,
    ) -> ApiResult<()> {
        let node = user.and_then(node_limits::node_of);
        let verdict = match (kind.group, kind.plural) {
            ("", "persistentvolumes") => Ok(node_makes_its_own_volumes(node, object)),
            ("", "persistentvolumeclaims") => self.within_limits(kind, object),
            ("", "pods") => self.admit_pod(kind, node, object),
            ("coordination.k8s.io", "leases") => Ok(node_makes_its_own_lease(node, object)),
            ("scheduling.k8s.io", "priorityclasses") => {
                priority::check_default(&self.parts.store, object)
            }
            _ => return Ok(()),
        };
        verdict?.map_err(|why| refusal(kind, object, &why))
    }

    /// The same for a change.
    pub(super) fn admit_change(
        &self,
        kind: &Kind,
        part: Option<Subresource>,
        object: &Value,
    ) -> ApiResult<()> {
        let verdict = match (kind.group, kind.plural, part) {
            ("", "pods", Some(Subresource::Resize)) | ("", "persistentvolumeclaims", None) => {
                self.within_limits(kind, object)
            }
            ("scheduling.k8s.io", "priorityclasses", None) => {
                priority::check_default(&self.parts.store, object)
            }
            _ => return Ok(()),
        };
        verdict?.map_err(|why| refusal(kind, object, &why))
    }

    fn admit_pod(&self, kind: &Kind, node: Option<&str>, pod: &mut Value) -> Verdict {
        if let Some(node) = node
            && let Err(why) = mirror::from_node(pod, node)
        {
            return Ok(Err(why));
        }
        // It shows what a node runs already.
        if mirror::is_mirror(pod) {
            return Ok(mirror::check(pod));
        }
        let mut completed = false;
        for range in limit_range::ranges(&self.parts.store, text(pod, "/metadata/namespace"))? {
            completed |= limit_range::complete(&range, pod);
        }
        if completed {
            // Other defaults follow from what containers ask for.
            kind.strategy.default(pod);
        }
        if let Err(why) = self.within_limits(kind, pod)? {
            return Ok(Err(why));
        }
        if let Err(why) = service_account::admit(&self.parts.store, pod)? {
            return Ok(Err(why));
        }
        priority::admit(&self.parts.store, pod)
    }

    fn within_limits(&self, kind: &Kind, object: &Value) -> Verdict {
        let namespace = text(object, "/metadata/namespace");
        for range in limit_range::ranges(&self.parts.store, namespace)? {
            let errors = if kind.plural == "pods" {
                limit_range::check_pod(&range, object)
            } else {
                limit_range::check_claim(&range, object)
            };
            if !errors.is_empty() {
                return Ok(Err(limit_range::aggregate(errors)));
            }
        }
        Ok(Ok(()))
    }
}

fn refusal(kind: &Kind, object: &Value, why: &str) -> ApiError {
    let name = text(object, "/metadata/name");
    ApiError::forbidden(format!("{} {name:?} is forbidden: {why}", qualified(kind)))
        .about(kind, name)
}

fn node_makes_its_own_volumes(node: Option<&str>, volume: &Value) -> Result<(), String> {
    match node {
        Some(node) if !node_limits::volume_is_on(volume, node) => {
            Err(format!("node {node:?} can only make volumes on itself"))
        }
        _ => Ok(()),
    }
}

fn node_makes_its_own_lease(node: Option<&str>, lease: &Value) -> Result<(), String> {
    match node {
        Some(node) if text(lease, "/metadata/name") != node => Err(format!(
            "node {node:?}: can only access node lease with the same name as the requesting node"
        )),
        _ => Ok(()),
    }
}
