//! What the server adds to new objects, and what it refuses, by what else there is.
//!
//! What comes in: a new object with its defaults, and who makes it. What goes out: the object completed, or why it may
//! not be made. Invariants: runs before validation, which sees the object as it will be stored. It never knows about
//! HTTP or the store's writing side.

mod mirror;
mod newborn;
mod service_account;

use super::kinds::Kind;
use super::status::{ApiError, ApiResult};
use super::{Api, User, node_limits};
use serde_json::Value;

impl Api {
    pub(super) fn admit(
        &self,
        kind: &Kind,
        user: Option<&User>,
        object: &mut Value,
    ) -> ApiResult<()> {
        if !kind.group.is_empty() {
            return Ok(());
        }
        let node = user.and_then(node_limits::node_of);
        if kind.plural == "persistentvolumes"
            && let Some(node) = node
            && !node_limits::volume_is_on(object, node)
        {
            return Err(ApiError::forbidden(format!(
                "persistentvolumes is forbidden: node {node:?} can only make volumes on itself"
            )));
        }
        if kind.plural != "pods" {
            return Ok(());
        }
        let name = crate::object::access::text(object, "/metadata/name").to_owned();
        let refuse = |why: String| {
            Err(
                ApiError::forbidden(format!("pods {name:?} is forbidden: {why}"))
                    .about(kind, &name),
            )
        };
        if let Some(node) = node
            && let Err(why) = mirror::from_node(object, node)
        {
            return refuse(why);
        }
        if mirror::is_mirror(object) {
            return match mirror::check(object) {
                Ok(()) => Ok(()),
                Err(why) => refuse(why),
            };
        }
        match service_account::admit(&self.parts.store, object)? {
            Ok(()) => Ok(()),
            Err(why) => refuse(why),
        }
    }
}
