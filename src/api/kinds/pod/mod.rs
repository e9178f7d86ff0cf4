//! Pods.
//!
//! For: the registry's strategy of the kind that matters most. What comes in and goes out: see `Strategy`.
//! A field this version does not act on is refused (`unsupported.rs`), never accepted and ignored.

mod containers;
mod defaults;
mod ephemeral;
mod files;
mod lifecycle;
mod mounts;
mod probes;
mod quality;
mod resize;
mod resources;
mod scheduling;
mod security;
mod unsupported;
mod update;
mod validate;
mod volumes;

pub use containers::check_port_name;
pub use volumes::HOST_PATH_TYPES;

use super::status::{keep_status, only_status, put};
use super::{FieldError, Strategy, Subresource, metadata};
use crate::object::access::{integer, list, present, text};
use serde_json::{Value, json};

/// Seconds a pod has to stop where it does not say.
const GRACE_PERIOD_SECONDS: i64 = 30;

/// Whether a pod with something at `path` (`spec.volumes[].projected`) is refused by this version.
pub fn field_is_refused(path: &str) -> bool {
    unsupported::is_listed(path)
}

/// Fills in what a pod template's author left out.
pub fn complete_template(template: &mut Value) {
    if let Some(spec) = template.get_mut("spec").filter(|spec| spec.is_object()) {
        defaults::complete_spec(spec);
    }
}

/// Everything wrong with the pod that `template` at `at` (`spec.template`) stands for.
pub fn validate_template(template: &Value, at: &str) -> Vec<FieldError> {
    let mut pod = json!({"metadata": template["metadata"], "spec": template["spec"]});
    if !pod["metadata"].is_object() {
        pod["metadata"] = json!({});
    }
    // The pod gets its name from the controller.
    pod["metadata"]["name"] = "template".into();
    let mut errors = Pod.validate(&pod);
    errors.extend(Pod.validate_create(&pod));
    for error in &mut errors {
        error.field = format!("{at}.{}", error.field);
    }
    errors
}

pub struct Pod;

impl Strategy for Pod {
    fn default(&self, object: &mut Value) {
        super::check::quantities_to_text(object);
        defaults::apply(object);
    }

    fn prepare_create(&self, object: &mut Value) {
        let class = quality::class(object);
        put(
            object,
            "status",
            json!({"phase": "Pending", "qosClass": class}),
        );
        scheduling::settle_label_keys(object);
        let created = text(object, "/metadata/creationTimestamp").to_owned();
        if let Some(condition) = scheduling::gated_condition(object, &created) {
            put(&mut object["status"], "conditions", json!([condition]));
        }
        if let Some(metadata) = object.get_mut("metadata") {
            put(metadata, "generation", 1.into());
        }
    }

    fn prepare_update(&self, old: &Value, object: &mut Value) {
        keep_status(old, object);
        let changed = i64::from(old["spec"] != object["spec"]);
        let generation = integer(old, "/metadata/generation").saturating_add(changed);
        if let Some(metadata) = object.get_mut("metadata") {
            put(metadata, "generation", generation.into());
        }
    }

    fn prepare_status_update(&self, old: &Value, object: &mut Value) {
        only_status(old, object);
        // The class follows from the spec; a writer that leaves it out does not clear it.
        let class = old["status"]["qosClass"].clone();
        if let Some(status) = object.get_mut("status").filter(|_| !class.is_null()) {
            put(status, "qosClass", class);
        }
    }

    fn prepare_part_update(&self, part: Subresource, old: &Value, object: &mut Value) {
        match part {
            Subresource::EphemeralContainers => ephemeral::only_containers(old, object),
            Subresource::Resize => resize::only_resources(old, object),
            _ => *object = old.clone(),
        }
        self.prepare_update(old, object);
    }

    fn validate_part_update(
        &self,
        part: Subresource,
        old: &Value,
        object: &Value,
    ) -> Vec<FieldError> {
        match part {
            Subresource::Resize => resize::validate(old, object),
            _ => ephemeral::validate_update(old, object),
        }
    }

    fn validate(&self, object: &Value) -> Vec<FieldError> {
        let mut errors = unsupported::find(object);
        errors.extend(validate::validate(object));
        errors
    }

    fn validate_create(&self, object: &Value) -> Vec<FieldError> {
        let given = !list(object, "/spec/ephemeralContainers").is_empty();
        let error = || FieldError::forbidden("spec.ephemeralContainers", "cannot be set on create");
        given.then(error).into_iter().collect()
    }

    fn validate_update(&self, old: &Value, object: &Value) -> Vec<FieldError> {
        let mut errors = metadata::validate_update(old, object);
        errors.extend(update::validate(old, object));
        errors
    }

    fn grace_period_seconds(&self, object: &Value) -> Option<i64> {
        let ended = matches!(text(object, "/status/phase"), "Failed" | "Succeeded");
        if ended || text(object, "/spec/nodeName").is_empty() {
            return Some(0);
        }
        if present(object, "/spec/terminationGracePeriodSeconds") {
            return Some(integer(object, "/spec/terminationGracePeriodSeconds").max(1));
        }
        Some(GRACE_PERIOD_SECONDS)
    }
}

/// Marks a mirror pod, which the node's static pod stands behind: it gets no service account.
const MIRROR: &str = "kubernetes.io/config.mirror";

/// A static pod from a file with its defaults, as its mirror will have them; the error says what is wrong with it.
pub fn complete_static(mut pod: Value) -> Result<Value, String> {
    let checked = super::check::check::<k8s_openapi::api::core::v1::Pod>(&pod);
    if let Some((field, problem)) = checked.wrong_type {
        return Err(format!("{field}: {problem}"));
    }
    if let Some(field) = checked.unknown.first() {
        return Err(format!("unknown field {field:?}"));
    }
    let mark = |pod: &mut Value, value: Value| {
        if let Some(metadata) = pod.get_mut("metadata") {
            super::status::default_to(metadata, "annotations", json!({}));
            if let Some(annotations) = metadata.get_mut("annotations") {
                put(annotations, MIRROR, value);
            }
        }
    };
    mark(&mut pod, "static".into());
    Pod.default(&mut pod);
    let mut errors = Pod.validate(&pod);
    errors.extend(Pod.validate_create(&pod));
    mark(&mut pod, Value::Null);
    if errors.is_empty() {
        return Ok(pod);
    }
    let list: Vec<String> = errors
        .iter()
        .map(|error| format!("{}: {}", error.field, error.message))
        .collect();
    Err(list.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn static_pods_have_no_account() {
        let pod = |spec: Value| json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}, "spec": spec});
        let good = complete_static(pod(
            json!({"nodeName": "n", "containers": [{"name": "a", "image": "b"}]}),
        ));
        let good = good.unwrap_or_default();
        assert_eq!(good["spec"]["restartPolicy"], "Always");
        assert_eq!(good["spec"].get("serviceAccountName"), None);
        assert_eq!(good["metadata"]["annotations"], json!({}));
        for (spec, said) in [
            (
                json!({"containers": [{"name": "a"}]}),
                "spec.containers[0].image",
            ),
            (json!({"containers": [], "x": 1}), "unknown field"),
            (json!({"containers": "a"}), "spec.containers"),
        ] {
            let error = complete_static(pod(spec)).err().unwrap_or_default();
            assert!(error.contains(said), "{error}");
        }
    }

    #[test]
    fn life_of_a_pod() {
        let mut pod = json!({"metadata": {"name": "a"}, "spec": {"containers": [{"name": "a", "image": "busybox", "resources": {"limits": {"cpu": 1}}}]}});
        Pod.default(&mut pod);
        Pod.prepare_create(&mut pod);
        assert_eq!(Pod.validate(&pod), []);
        assert_eq!(
            pod["status"],
            json!({"phase": "Pending", "qosClass": "Burstable"})
        );
        assert_eq!(Pod.grace_period_seconds(&pod), Some(0));
        pod["spec"]["nodeName"] = "n".into();
        assert_eq!(Pod.grace_period_seconds(&pod), Some(30));
        let mut update = pod.clone();
        update["spec"]["containers"][0]["image"] = "busybox:2".into();
        Pod.prepare_update(&pod, &mut update);
        assert_eq!(update["metadata"]["generation"], 2);
        let mut status = json!({"spec": {}, "metadata": {"resourceVersion": "5"}, "status": {"phase": "Running"}});
        Pod.prepare_status_update(&pod, &mut status);
        assert_eq!(status["spec"], pod["spec"]);
        assert_eq!(
            status["status"],
            json!({"phase": "Running", "qosClass": "Burstable"})
        );
        assert_eq!(status["metadata"]["resourceVersion"], "5");
    }
}
