//! Kinds that hold a pod template, and the revisions that remember one.
//!
//! For: the registry's strategies of apps, batch, ReplicationController and PodTemplate. What comes in and goes out: see
//! `Strategy`. Invariants: a template passes the pod's own validation, so what no pod may use is refused at once.
//! Never knows about controllers or which pods there are.

mod defaults;
mod validate;

use super::status::{keep_status, only_status, put};
use super::{FieldError, Strategy, metadata, pod};
use crate::object::access::integer;
use serde_json::{Value, json};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Workload {
    Revision,
    DaemonSet,
    Deployment,
    ReplicaSet,
    StatefulSet,
    CronJob,
    Job,
    PodTemplate,
    ReplicationController,
}

impl Workload {
    /// Where the kind has its pod template: JSON pointer and field path.
    fn template(self) -> Option<(&'static str, &'static str)> {
        match self {
            Workload::Revision => None,
            Workload::PodTemplate => Some(("/template", "template")),
            Workload::CronJob => Some((
                "/spec/jobTemplate/spec/template",
                "spec.jobTemplate.spec.template",
            )),
            _ => Some(("/spec/template", "spec.template")),
        }
    }

    fn has_status(self) -> bool {
        !matches!(self, Workload::Revision | Workload::PodTemplate)
    }

    /// The status before a controller has looked: what the kind's status always has, as typed clients expect it.
    fn first_status(self) -> Value {
        match self {
            Workload::ReplicaSet | Workload::ReplicationController => json!({"replicas": 0}),
            Workload::StatefulSet => json!({"replicas": 0, "availableReplicas": 0}),
            Workload::DaemonSet => json!({
                "currentNumberScheduled": 0, "desiredNumberScheduled": 0, "numberMisscheduled": 0, "numberReady": 0,
            }),
            _ => json!({}),
        }
    }
}

impl Strategy for Workload {
    fn default(&self, object: &mut Value) {
        super::check::quantities_to_text(object);
        defaults::ensure_template(*self, object);
        if let Some(template) = self.template().and_then(|(at, _)| object.pointer_mut(at)) {
            pod::complete_template(template);
        }
        defaults::apply(*self, object);
    }

    fn prepare_create(&self, object: &mut Value) {
        if !self.has_status() {
            return;
        }
        put(object, "status", self.first_status());
        if let Some(metadata) = object.get_mut("metadata") {
            put(metadata, "generation", 1.into());
        }
        if *self == Workload::Job {
            defaults::generate_selector(object);
        }
    }

    fn prepare_update(&self, old: &Value, object: &mut Value) {
        if !self.has_status() {
            return;
        }
        keep_status(old, object);
        let changed = i64::from(old["spec"] != object["spec"]);
        let generation = integer(old, "/metadata/generation").saturating_add(changed);
        if let Some(metadata) = object.get_mut("metadata") {
            put(metadata, "generation", generation.into());
        }
    }

    fn prepare_status_update(&self, old: &Value, object: &mut Value) {
        only_status(old, object);
    }

    fn validate(&self, object: &Value) -> Vec<FieldError> {
        let mut errors = validate::validate(*self, object);
        if let Some((pointer, path)) = self.template() {
            let template = match object.pointer(pointer) {
                _ if *self == Workload::StatefulSet => Some(validate::with_claims(&object["spec"])),
                found => found.filter(|template| !template.is_null()).cloned(),
            };
            match template {
                Some(template) => errors.extend(pod::validate_template(&template, path)),
                None => errors.push(FieldError::required(path, "")),
            }
        }
        errors
    }

    fn validate_create(&self, object: &Value) -> Vec<FieldError> {
        validate::create(*self, object)
    }

    fn validate_update(&self, old: &Value, object: &Value) -> Vec<FieldError> {
        let mut errors = metadata::validate_update(old, object);
        errors.extend(validate::update(*self, old, object));
        errors
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use k8s_openapi::api::apps::v1::{DaemonSetStatus, ReplicaSetStatus, StatefulSetStatus};

    #[test]
    fn a_new_object_has_what_its_status_always_has() {
        let first = |kind: Workload| {
            let mut object =
                json!({"metadata": {"name": "a"}, "spec": {}, "status": {"replicas": 7}});
            kind.prepare_create(&mut object);
            object["status"].take()
        };
        let set = serde_json::to_value(ReplicaSetStatus::default()).unwrap();
        assert_eq!(first(Workload::ReplicaSet), set);
        assert_eq!(first(Workload::ReplicationController), set);
        let daemons = serde_json::to_value(DaemonSetStatus::default()).unwrap();
        assert_eq!(first(Workload::DaemonSet), daemons);
        let mut stateful = serde_json::to_value(StatefulSetStatus::default()).unwrap();
        // Upstream's Go always writes it, though its schema does not require it.
        stateful["availableReplicas"] = 0.into();
        assert_eq!(first(Workload::StatefulSet), stateful);
        assert_eq!(first(Workload::Deployment), json!({}));
    }
}
