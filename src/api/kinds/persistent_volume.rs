//! Persistent volumes: those of the node's own disks. Network volumes and CSI are refused.

use super::errors::Errors;
use super::status::{default_to, keep_status, only_status, put};
use super::{FieldError, Strategy, metadata};
use crate::object::access::{list, map, present, text};
use crate::object::names;
use crate::object::quantity::Quantity;
use crate::object::storage::VOLUME_FINALIZER;
use serde_json::{Value, json};

pub const ACCESS_MODES: [&str; 4] = [
    "ReadOnlyMany",
    "ReadWriteMany",
    "ReadWriteOnce",
    "ReadWriteOncePod",
];
pub const UNSUPPORTED: &str = "not supported by this version of Coracle";
/// Fields of the spec that are no volume source.
const PLAIN: [&str; 9] = [
    "accessModes",
    "capacity",
    "claimRef",
    "mountOptions",
    "nodeAffinity",
    "persistentVolumeReclaimPolicy",
    "storageClassName",
    "volumeAttributesClassName",
    "volumeMode",
];

pub struct PersistentVolume;

impl Strategy for PersistentVolume {
    fn default(&self, object: &mut Value) {
        super::check::quantities_to_text(object);
        if let Some(spec) = object.get_mut("spec").filter(|spec| spec.is_object()) {
            default_to(spec, "persistentVolumeReclaimPolicy", "Retain");
            default_to(spec, "volumeMode", "Filesystem");
            if present(spec, "/hostPath") {
                default_to(&mut spec["hostPath"], "type", "");
            }
        }
    }

    fn prepare_create(&self, object: &mut Value) {
        put(object, "status", json!({"phase": "Pending"}));
        add_finalizer(object, VOLUME_FINALIZER);
    }

    fn prepare_update(&self, old: &Value, object: &mut Value) {
        keep_status(old, object);
    }

    fn prepare_status_update(&self, old: &Value, object: &mut Value) {
        only_status(old, object);
    }

    fn validate(&self, object: &Value) -> Vec<FieldError> {
        let mut errors = Errors {
            list: metadata::validate(object, names::check_subdomain),
        };
        let spec = &object["spec"];
        access_modes(spec, "spec", &mut errors);
        capacity(spec, &mut errors);
        source(spec, &mut errors);
        let policy = text(spec, "/persistentVolumeReclaimPolicy");
        let policies = ["Delete", "Retain"];
        errors.one_of("spec.persistentVolumeReclaimPolicy", policy, &policies);
        common(spec, "spec", &mut errors);
        if !list(spec, "/mountOptions").is_empty() {
            errors.push(FieldError::forbidden("spec.mountOptions", UNSUPPORTED));
        }
        errors.list
    }

    fn validate_update(&self, old: &Value, object: &Value) -> Vec<FieldError> {
        let mut errors = metadata::validate_update(old, object);
        let (before, after) = (&old["spec"], &object["spec"]);
        if sources(before).ne(sources(after)) {
            let detail = "spec.persistentvolumesource is immutable after creation";
            errors.push(FieldError::forbidden("spec.persistentvolumesource", detail));
        }
        if before["volumeMode"] != after["volumeMode"] {
            let detail = super::errors::IMMUTABLE;
            errors.push(FieldError::invalid(
                "spec.volumeMode",
                &after["volumeMode"],
                detail,
            ));
        }
        let bound_to = &before["nodeAffinity"];
        if !bound_to.is_null() && *bound_to != after["nodeAffinity"] {
            let detail = super::errors::IMMUTABLE;
            let now = &after["nodeAffinity"];
            errors.push(FieldError::invalid("spec.nodeAffinity", now, detail));
        }
        errors
    }
}

pub fn add_finalizer(object: &mut Value, name: &str) {
    let Some(metadata) = object.get_mut("metadata").filter(|m| m.is_object()) else {
        return;
    };
    let mut finalizers = list(metadata, "/finalizers").to_vec();
    if !finalizers.iter().any(|finalizer| finalizer == name) {
        finalizers.push(name.into());
        put(metadata, "finalizers", finalizers.into());
    }
}

pub fn access_modes(spec: &Value, at: &str, errors: &mut Errors) {
    let modes = list(spec, "/accessModes");
    let at = format!("{at}.accessModes");
    if modes.is_empty() {
        errors.push(FieldError::required(
            &at,
            "at least 1 access mode is required",
        ));
    }
    for (index, mode) in modes.iter().enumerate() {
        let mode = mode.as_str().unwrap_or_default();
        errors.one_of(format!("{at}[{index}]"), mode, &ACCESS_MODES);
    }
    if modes.len() > 1 && modes.iter().any(|mode| mode == "ReadWriteOncePod") {
        let detail = "may not use ReadWriteOncePod with other access modes";
        errors.push(FieldError::forbidden(at, detail));
    }
}

/// What claims and volumes have in common.
pub fn common(spec: &Value, at: &str, errors: &mut Errors) {
    let class = text(spec, "/storageClassName");
    if !class.is_empty() {
        errors.rule(
            format!("{at}.storageClassName"),
            class,
            names::check_subdomain,
        );
    }
    match text(spec, "/volumeMode") {
        "Filesystem" => {}
        "Block" => errors.push(FieldError::forbidden(
            format!("{at}.volumeMode"),
            UNSUPPORTED,
        )),
        other => errors.one_of(format!("{at}.volumeMode"), other, &["Block", "Filesystem"]),
    }
    if !text(spec, "/volumeAttributesClassName").is_empty() {
        let field = format!("{at}.volumeAttributesClassName");
        errors.push(FieldError::forbidden(field, UNSUPPORTED));
    }
}

/// A size above zero.
pub fn size(value: &Value, field: String, errors: &mut Errors) {
    match Quantity::parse(value.as_str().unwrap_or_default()) {
        Err(problem) => errors.push(FieldError::invalid(field, value, problem)),
        Ok(size) if size.nano <= 0 => {
            errors.push(FieldError::invalid(
                field,
                value,
                "must be greater than zero",
            ));
        }
        Ok(_) => {}
    }
}

fn capacity(spec: &Value, errors: &mut Errors) {
    let capacity = map(spec, "/capacity");
    if capacity.is_empty() {
        errors.push(FieldError::required("spec.capacity", ""));
    }
    for (name, amount) in capacity {
        if name == "storage" {
            size(amount, format!("spec.capacity[{name}]"), errors);
        } else {
            errors.push(FieldError::not_supported(
                "spec.capacity",
                name,
                &["storage"],
            ));
        }
    }
}

fn sources(spec: &Value) -> impl Iterator<Item = (&String, &Value)> {
    spec.as_object()
        .into_iter()
        .flatten()
        .filter(|(key, value)| !PLAIN.contains(&key.as_str()) && !value.is_null())
}

fn source(spec: &Value, errors: &mut Errors) {
    let affinity = list(spec, "/nodeAffinity/required/nodeSelectorTerms");
    if present(spec, "/nodeAffinity") && affinity.is_empty() {
        let field = "spec.nodeAffinity.required.nodeSelectorTerms";
        let detail = "must have at least one node selector term";
        errors.push(FieldError::required(field, detail));
    }
    let mut count = 0;
    for (kind, value) in sources(spec) {
        count += 1;
        let at = format!("spec.{kind}");
        if count > 1 {
            let detail = "may not specify more than 1 volume type";
            errors.push(FieldError::forbidden(at, detail));
            continue;
        }
        if kind != "hostPath" && kind != "local" {
            errors.push(FieldError::forbidden(at, UNSUPPORTED));
            continue;
        }
        let path = text(value, "/path");
        if path.is_empty() {
            errors.push(FieldError::required(format!("{at}.path"), ""));
        } else if path.split('/').any(|part| part == "..") {
            let detail = "must not contain '..'";
            errors.push(FieldError::invalid(
                format!("{at}.path"),
                &path.into(),
                detail,
            ));
        }
        if kind == "hostPath" {
            let known = super::pod::HOST_PATH_TYPES;
            errors.one_of(format!("{at}.type"), text(value, "/type"), &known);
        } else {
            if affinity.is_empty() {
                let detail = "Local volume requires node affinity";
                errors.push(FieldError::required("spec.nodeAffinity", detail));
            }
            if !text(value, "/fsType").is_empty() {
                errors.push(FieldError::forbidden(format!("{at}.fsType"), UNSUPPORTED));
            }
        }
    }
    if count == 0 {
        errors.push(FieldError::required("spec", "must specify a volume type"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields() {
        for (change, want) in [
            (json!({}), ""),
            (json!({"accessModes": []}), "spec.accessModes"),
            (
                json!({"accessModes": ["ReadWriteOncePod", "ReadWriteOnce"]}),
                "spec.accessModes",
            ),
            (json!({"accessModes": ["Write"]}), "spec.accessModes[0]"),
            (
                json!({"capacity": {"storage": "0"}}),
                "spec.capacity[storage]",
            ),
            (
                json!({"capacity": {"storage": "1Gi", "speed": "1"}}),
                "spec.capacity",
            ),
            (json!({"hostPath": null}), "spec"),
            (
                json!({"hostPath": {"path": "/a/../b"}}),
                "spec.hostPath.path",
            ),
            (
                json!({"hostPath": null, "nfs": {"server": "a", "path": "/"}}),
                "spec.nfs",
            ),
            (
                json!({"hostPath": null, "local": {"path": "/a"}}),
                "spec.nodeAffinity",
            ),
            (
                json!({"persistentVolumeReclaimPolicy": "Recycle"}),
                "spec.persistentVolumeReclaimPolicy",
            ),
            (json!({"volumeMode": "Block"}), "spec.volumeMode"),
            (json!({"mountOptions": ["ro"]}), "spec.mountOptions"),
        ] {
            let mut object = json!({"metadata": {"name": "a"}, "spec": {"accessModes": ["ReadWriteOnce"],
                "capacity": {"storage": "1Gi"}, "hostPath": {"path": "/a"}}});
            json_patch::merge(&mut object["spec"], &change);
            PersistentVolume.default(&mut object);
            PersistentVolume.prepare_create(&mut object);
            let found: Vec<String> = PersistentVolume
                .validate(&object)
                .into_iter()
                .map(|e| e.field)
                .collect();
            assert_eq!(found.join(" "), want, "{change}");
        }
    }

    #[test]
    fn a_source_stays() {
        let at =
            |path: &str| json!({"metadata": {"name": "a"}, "spec": {"hostPath": {"path": path}}});
        assert_eq!(PersistentVolume.validate_update(&at("/a"), &at("/a")), []);
        let changed = PersistentVolume.validate_update(&at("/a"), &at("/b"));
        assert_eq!(changed[0].field, "spec.persistentvolumesource");
    }
}
