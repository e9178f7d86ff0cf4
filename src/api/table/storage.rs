//! Columns and cells of persistent volumes, their claims and classes, as upstream's printers.

use super::Column;
use super::columns::{AGE, NAME, column};
use crate::object::access::{list, map, present, text, truth};
use crate::object::storage::DEFAULT_CLASS;
use serde_json::Value;

const UNSET: &str = "<unset>";

pub const PERSISTENT_VOLUME: &[Column] = &[
    NAME,
    column(
        "Capacity",
        "string",
        0,
        "How much the volume holds.",
        |v, _| text(v, "/spec/capacity/storage").into(),
    ),
    column(
        "Access Modes",
        "string",
        0,
        "How it can be mounted.",
        |v, _| access_modes(v, "/spec/accessModes"),
    ),
    column(
        "Reclaim Policy",
        "string",
        0,
        "What happens to it when its claim is gone.",
        |v, _| text(v, "/spec/persistentVolumeReclaimPolicy").into(),
    ),
    column(
        "Status",
        "string",
        0,
        "Whether it is available, bound or released.",
        volume_status,
    ),
    column("Claim", "string", 0, "The claim it is bound to.", claim),
    column(
        "StorageClass",
        "string",
        0,
        "The class it belongs to.",
        class,
    ),
    column(
        "VolumeAttributesClass",
        "string",
        0,
        "The attributes it was given.",
        |v, _| unset(text(v, "/spec/volumeAttributesClassName")),
    ),
    column("Reason", "string", 0, "Why it failed.", |v, _| {
        text(v, "/status/reason").into()
    }),
    AGE,
    column(
        "VolumeMode",
        "string",
        1,
        "Filesystem or block device.",
        mode,
    ),
];

pub const PERSISTENT_VOLUME_CLAIM: &[Column] = &[
    NAME,
    column("Status", "string", 0, "Whether it is bound.", |claim, _| {
        if present(claim, "/metadata/deletionTimestamp") {
            "Terminating".into()
        } else {
            text(claim, "/status/phase").into()
        }
    }),
    column(
        "Volume",
        "string",
        0,
        "The volume it is bound to.",
        |claim, _| text(claim, "/spec/volumeName").into(),
    ),
    column(
        "Capacity",
        "string",
        0,
        "How much the volume holds.",
        |claim, _| if_bound(claim, text(claim, "/status/capacity/storage").into()),
    ),
    column(
        "Access Modes",
        "string",
        0,
        "How it can be mounted.",
        |claim, _| if_bound(claim, access_modes(claim, "/status/accessModes")),
    ),
    column("StorageClass", "string", 0, "The class it asks for.", class),
    column(
        "VolumeAttributesClass",
        "string",
        0,
        "The attributes it asks for.",
        |claim, _| unset(text(claim, "/spec/volumeAttributesClassName")),
    ),
    AGE,
    column(
        "VolumeMode",
        "string",
        1,
        "Filesystem or block device.",
        mode,
    ),
];

pub const STORAGE_CLASS: &[Column] = &[
    Column {
        cell: class_name,
        ..NAME
    },
    column(
        "Provisioner",
        "string",
        0,
        "Who makes volumes of the class.",
        |class, _| text(class, "/provisioner").into(),
    ),
    column(
        "ReclaimPolicy",
        "string",
        0,
        "What happens to its volumes when their claims are gone.",
        |class, _| text(class, "/reclaimPolicy").into(),
    ),
    column(
        "VolumeBindingMode",
        "string",
        0,
        "When volumes are bound and made.",
        |class, _| text(class, "/volumeBindingMode").into(),
    ),
    column(
        "AllowVolumeExpansion",
        "string",
        0,
        "Whether its volumes can grow.",
        |class, _| truth(class, "/allowVolumeExpansion").into(),
    ),
    AGE,
];

fn unset(value: &str) -> Value {
    Value::from(if value.is_empty() { UNSET } else { value })
}

fn if_bound(claim: &Value, cell: Value) -> Value {
    if text(claim, "/spec/volumeName").is_empty() {
        "".into()
    } else {
        cell
    }
}

/// `RWO,ROX`, in upstream's order.
fn access_modes(object: &Value, pointer: &str) -> Value {
    let given = list(object, pointer);
    let short: Vec<&str> = [
        ("ReadWriteOnce", "RWO"),
        ("ReadOnlyMany", "ROX"),
        ("ReadWriteMany", "RWX"),
        ("ReadWriteOncePod", "RWOP"),
    ]
    .iter()
    .filter(|(mode, _)| given.iter().any(|given| given == mode))
    .map(|(_, short)| *short)
    .collect();
    short.join(",").into()
}

fn volume_status(volume: &Value, _now: i64) -> Value {
    if present(volume, "/metadata/deletionTimestamp") {
        "Terminating".into()
    } else {
        text(volume, "/status/phase").into()
    }
}

fn claim(volume: &Value, _now: i64) -> Value {
    match (
        text(volume, "/spec/claimRef/namespace"),
        text(volume, "/spec/claimRef/name"),
    ) {
        (_, "") => "".into(),
        (namespace, name) => format!("{namespace}/{name}").into(),
    }
}

fn class(object: &Value, _now: i64) -> Value {
    text(object, "/spec/storageClassName").into()
}

fn mode(object: &Value, _now: i64) -> Value {
    unset(text(object, "/spec/volumeMode"))
}

fn class_name(class: &Value, _now: i64) -> Value {
    let name = text(class, "/metadata/name");
    let default = map(class, "/metadata/annotations").get(DEFAULT_CLASS);
    if default.is_some_and(|value| value == "true") {
        format!("{name} (default)").into()
    } else {
        name.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn rows() {
        let row = |columns: &[Column], object: &Value| -> Value {
            columns
                .iter()
                .map(|column| (column.cell)(object, 100))
                .collect()
        };
        let metadata = json!({"name": "x", "creationTimestamp": "1970-01-01T00:01:30Z",
            "annotations": {DEFAULT_CLASS: "true"}});
        let volume = json!({"metadata": metadata, "spec": {"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteMany", "ReadWriteOnce"],
            "persistentVolumeReclaimPolicy": "Retain", "claimRef": {"namespace": "n", "name": "c"}, "storageClassName": "s", "volumeMode": "Filesystem"},
            "status": {"phase": "Bound"}});
        assert_eq!(
            row(PERSISTENT_VOLUME, &volume),
            json!([
                "x",
                "1Gi",
                "RWO,RWX",
                "Retain",
                "Bound",
                "n/c",
                "s",
                "<unset>",
                "",
                "10s",
                "Filesystem"
            ])
        );
        let claim = json!({"metadata": metadata, "spec": {"volumeMode": "Filesystem"}, "status": {"phase": "Pending", "capacity": {"storage": "1Gi"}}});
        assert_eq!(
            row(PERSISTENT_VOLUME_CLAIM, &claim),
            json!([
                "x",
                "Pending",
                "",
                "",
                "",
                "",
                "<unset>",
                "10s",
                "Filesystem"
            ])
        );
        let class = json!({"metadata": metadata, "provisioner": "p", "reclaimPolicy": "Delete", "volumeBindingMode": "Immediate"});
        assert_eq!(
            row(STORAGE_CLASS, &class),
            json!(["x (default)", "p", "Delete", "Immediate", false, "10s"])
        );
    }
}
