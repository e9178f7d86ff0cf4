//! The table of kinds: adding one is an entry in `registry.rs` and, where needed, a strategy.
//!
//! For: the generic resource handlers. What comes in: objects as JSON, before and after a change. What goes out:
//! the same objects with defaults and server-owned fields in place, and everything wrong with them.
//! Order of a create: `check`, `default`, `prepare_create`, `validate`; of an update: `check`, `default`,
//! `prepare_update`, `validate`, `validate_update`. Pure; never knows about storage, HTTP or users.

mod amount;
mod check;
mod config_map;
mod csi;
mod endpoints;
mod errors;
mod event;
mod event_view;
mod horizontal_pod_autoscaler;
mod ingress;
mod lease;
mod limit_range;
pub mod metadata;
pub mod metrics;
mod namespace;
mod network_policy;
mod node;
mod persistent_volume;
mod persistent_volume_claim;
mod pod;
mod pod_disruption_budget;
mod priority_class;
mod rbac;
mod registry;
mod resource_quota;
mod review;
mod scale;
mod secret;
mod selector;
mod service;
mod service_account;
mod status;
mod storage_class;
pub mod view;
mod workload;

pub use pod::complete_static as complete_static_pod;
pub use pod::field_is_refused as pod_field_is_refused;
pub use priority_class::{SYSTEM_CLASSES, is_system as is_system_priority_class};
pub use registry::all;
pub use review::token_request as token_request_kind;
pub use scale::{KIND as SCALE, of as scale_of, set_replicas};

use serde_json::Value;

/// How one kind behaves where it differs from the generic registry. All functions are pure.
pub trait Strategy: Sync {
    /// Fills what the user left out (Kubernetes' defaulting).
    fn default(&self, _object: &mut Value) {}
    /// Before a create is validated: drops what the server owns (for most kinds `status`), sets initial status.
    fn prepare_create(&self, _object: &mut Value) {}
    /// Before an update through the main resource: restores what only `status` may change, bumps `generation`.
    fn prepare_update(&self, _old: &Value, _object: &mut Value) {}
    /// Before an update through the `status` subresource: everything but `status` comes from `old`.
    fn prepare_status_update(&self, _old: &Value, _object: &mut Value) {}
    /// Before an update through another part than `status`: everything but that part comes from `old`.
    fn prepare_part_update(&self, _part: Subresource, old: &Value, object: &mut Value) {
        *object = old.clone();
    }
    /// Everything wrong with a change through such a part.
    fn validate_part_update(
        &self,
        _part: Subresource,
        _old: &Value,
        _object: &Value,
    ) -> Vec<FieldError> {
        Vec::new()
    }
    /// Everything wrong with the object, with field paths.
    fn validate(&self, _object: &Value) -> Vec<FieldError> {
        Vec::new()
    }
    /// Everything wrong with the object as a new one.
    fn validate_create(&self, _object: &Value) -> Vec<FieldError> {
        Vec::new()
    }
    /// Everything wrong with the change (immutable fields).
    fn validate_update(&self, _old: &Value, _object: &Value) -> Vec<FieldError> {
        Vec::new()
    }
    /// A deletion that asks for no propagation policy leaves the object's dependents behind (kinds older than the
    /// garbage collector).
    fn orphans_by_default(&self) -> bool {
        false
    }
    /// Which stored kind this one is another shape of; `None`: it is stored itself.
    fn view(&self) -> Option<&'static view::View> {
        None
    }
    /// Grace that a deletion without its own gets, seconds; `None`: this kind is deleted at once.
    /// `Some(0)` also overrides a grace the user gave: nothing runs that would need it.
    fn grace_period_seconds(&self, _object: &Value) -> Option<i64> {
        None
    }
}

/// One entry of `details.causes` in a 422 `Status`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldError {
    /// `spec.containers[0].image`
    pub field: String,
    /// `FieldValueRequired`, `FieldValueInvalid`, `FieldValueForbidden`, `FieldValueDuplicate`, `FieldValueNotSupported`, `FieldValueTooLong`
    pub reason: &'static str,
    /// As upstream words it: `Required value`, `Invalid value: "x": must be …`
    pub message: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subresource {
    Status,
    Binding,
    Log,
    Exec,
    Attach,
    PortForward,
    Proxy,
    Finalize,
    Token,
    EphemeralContainers,
    Resize,
    Eviction,
    Scale,
}

/// A resource the API serves.
#[derive(Clone)]
pub struct Kind {
    /// Empty for core.
    pub group: &'static str,
    pub version: &'static str,
    pub kind: &'static str,
    /// `pods`
    pub plural: &'static str,
    pub singular: &'static str,
    pub short_names: &'static [&'static str],
    /// `all` where `kubectl get all` shows it.
    pub categories: &'static [&'static str],
    pub namespaced: bool,
    pub subresources: &'static [Subresource],
    /// Field selectors beyond metadata.name and metadata.namespace: (`spec.nodeName`, JSON pointer).
    pub selectable: &'static [(&'static str, &'static str)],
    pub columns: &'static [super::table::Column],
    /// A finished deletion is answered with the object instead of a `Status`. Which kinds do is what upstream's OpenAPI
    /// says of each deletion; typed clients decode what it promises.
    pub tells_deleted: bool,
    pub strategy: &'static dyn Strategy,
    /// Decodes `object` as the kind's type: reports wrong types (field path, problem) and fields the type does not have.
    pub check: fn(&Value) -> Checked,
}

impl Kind {
    /// A namespaced kind of version v1; what it has beyond that is set with `..`.
    pub const fn new<S: Strategy>(
        group: &'static str,
        kind: &'static str,
        names: [&'static str; 2],
        strategy: &'static S,
        check: fn(&Value) -> Checked,
    ) -> Kind {
        Kind {
            group,
            version: "v1",
            kind,
            plural: names[0],
            singular: names[1],
            short_names: &[],
            categories: &[],
            namespaced: true,
            subresources: &[],
            selectable: &[],
            columns: super::table::GENERIC,
            tells_deleted: false,
            strategy,
            check,
        }
    }

    /// It belongs to the cluster, not to a namespace.
    const fn cluster_wide(mut self) -> Kind {
        self.namespaced = false;
        self
    }

    const fn version(mut self, version: &'static str) -> Kind {
        self.version = version;
        self
    }

    const fn short(mut self, names: &'static [&'static str]) -> Kind {
        self.short_names = names;
        self
    }

    /// `kubectl get all` shows it.
    const fn in_all(mut self) -> Kind {
        self.categories = &["all"];
        self
    }

    const fn parts(mut self, parts: &'static [Subresource]) -> Kind {
        self.subresources = parts;
        self
    }

    const fn selectable(mut self, fields: &'static [(&'static str, &'static str)]) -> Kind {
        self.selectable = fields;
        self
    }

    /// A deletion is answered with the object.
    const fn tells_deleted(mut self) -> Kind {
        self.tells_deleted = true;
        self
    }

    const fn columns(mut self, columns: &'static [super::table::Column]) -> Kind {
        self.columns = columns;
        self
    }
}

/// What strict decoding found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Checked {
    /// The first value of a wrong type: path and problem.
    pub wrong_type: Option<(String, String)>,
    /// Paths of unknown fields (`spec.containers[0].imagee`).
    pub unknown: Vec<String>,
}
