//! `kubectl get`'s columns (meta.k8s.io/v1 Table).
//!
//! For: printers on the server, so that every client prints every kind alike.
//! What comes in: a kind's columns and objects as stored. What goes out: a Table as JSON.
//! Pure: the time is an argument. Never knows about storage, watches or HTTP.

mod access;
mod cells;
mod columns;
mod metrics;
mod pod;
mod policies;
mod storage;
mod workloads;

pub use columns::{
    CONFIG_MAP, ENDPOINT_SLICE, ENDPOINTS, EVENT, GENERIC, NAMESPACE, NODE, POD, ROLE,
    ROLE_BINDING, SECRET, SERVICE, SERVICE_ACCOUNT,
};
pub use policies::{
    AUTOSCALER, BUDGET, INGRESS, INGRESS_CLASS, LEASE, NETWORK_POLICY, PRIORITY_CLASS,
    RESOURCE_QUOTA,
};
pub use storage::{PERSISTENT_VOLUME, PERSISTENT_VOLUME_CLAIM, STORAGE_CLASS};

pub use metrics::METRICS;
pub use workloads::{
    CONTROLLER_REVISION, CRON_JOB, DAEMON_SET, DEPLOYMENT, JOB, POD_TEMPLATE, REPLICA_SET,
    REPLICATION_CONTROLLER, SCALE, STATEFUL_SET,
};

use serde_json::{Value, json};

/// One column of a kind.
pub struct Column {
    pub name: &'static str,
    /// `string`, `integer`, `date`
    pub kind: &'static str,
    pub format: &'static str,
    pub description: &'static str,
    /// 0: always shown; 1: with `-o wide`.
    pub priority: i32,
    /// The cell for an object; `now` is Unix seconds.
    pub cell: fn(&Value, i64) -> Value,
}

/// How much of each object a Table carries (`includeObject`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum IncludeObject {
    None,
    #[default]
    Metadata,
    Object,
}

/// A Table of `objects`; `list_metadata` becomes its metadata; `headers` false for later watch events.
pub fn table(
    columns: &[Column],
    objects: &[Value],
    list_metadata: Value,
    include: IncludeObject,
    headers: bool,
    now: i64,
) -> Value {
    let definitions: Vec<Value> = columns
        .iter()
        .filter(|_| headers)
        .map(|column| {
            json!({
                "name": column.name,
                "type": column.kind,
                "format": column.format,
                "description": column.description,
                "priority": column.priority,
            })
        })
        .collect();
    let rows: Vec<Value> = objects
        .iter()
        .map(|object| {
            let cells: Vec<Value> = columns
                .iter()
                .map(|column| (column.cell)(object, now))
                .collect();
            match include {
                IncludeObject::None => json!({"cells": cells}),
                IncludeObject::Object => json!({"cells": cells, "object": object}),
                IncludeObject::Metadata => json!({"cells": cells, "object": {
                    "kind": "PartialObjectMetadata",
                    "apiVersion": "meta.k8s.io/v1",
                    "metadata": object.get("metadata").cloned().unwrap_or_else(|| json!({})),
                }}),
            }
        })
        .collect();
    json!({
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": list_metadata,
        "columnDefinitions": definitions,
        "rows": rows,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn carries_what_was_asked_for() {
        let object = json!({"metadata": {"name": "a", "creationTimestamp": "1970-01-01T00:00:00Z"}, "data": {"k": "v"}});
        let objects = [object.clone()];
        let with = |include, headers| {
            table(
                CONFIG_MAP,
                &objects,
                json!({"resourceVersion": "7"}),
                include,
                headers,
                60,
            )
        };
        let full = with(IncludeObject::Object, true);
        assert_eq!(full["columnDefinitions"][1]["name"], "Data");
        assert_eq!(full["rows"][0]["cells"], json!(["a", 1, "60s"]));
        assert_eq!(full["rows"][0]["object"], object);
        let metadata = with(IncludeObject::Metadata, false);
        assert_eq!(metadata["columnDefinitions"], json!([]));
        assert_eq!(
            metadata["rows"][0]["object"]["kind"],
            "PartialObjectMetadata"
        );
        assert!(metadata["rows"][0]["object"].get("data").is_none());
        assert!(
            with(IncludeObject::None, true)["rows"][0]
                .get("object")
                .is_none()
        );
    }
}
