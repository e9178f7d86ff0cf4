//! The pods a Job makes.

use super::moves::NewPod;
use super::pods::{FINALIZER, INDEX, INDEX_FAILURES, INDEX_IGNORED};
use super::spec::Spec;
use crate::client::recorder::Kind;
use crate::controllers::action::{Action, ERROR, NAME, Target};
use crate::controllers::owners;
use crate::controllers::world::PodView;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{
    Container, EnvVar, EnvVarSource, ObjectFieldSelector, PodTemplateSpec,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::json;

const INDEX_VARIABLE: &str = "JOB_COMPLETION_INDEX";
/// Upstream cuts the beginning of a generated name here, so that the name stays a label.
const BASE_BYTES_MAX: usize = 58;

/// Makes the pod, and tells of it.
pub fn create(spec: &Spec<'_>, pod: &NewPod) -> Action {
    let job = &spec.job.metadata;
    let namespace = job.namespace.clone().unwrap_or_default();
    let job_name = job.name.clone().unwrap_or_default();
    let mut template = spec.fields.template.clone();
    let mut base = format!("{job_name}-");
    if let Some(index) = pod.index {
        base = indexed(&mut template, &job_name, index);
    }
    let own = template.metadata.take().unwrap_or_default();
    let mut annotations = own.annotations.unwrap_or_default();
    let mut labels = own.labels.unwrap_or_default();
    let mut finalizers = own.finalizers.unwrap_or_default();
    if !finalizers.iter().any(|f| f == FINALIZER) {
        finalizers.push(FINALIZER.to_owned());
    }
    if let Some(index) = pod.index {
        annotations.insert(INDEX.to_owned(), index.to_string());
        labels.insert(INDEX.to_owned(), index.to_string());
    }
    if let Some((counted, ignored)) = pod.failures {
        annotations.insert(INDEX_FAILURES.to_owned(), counted.to_string());
        if ignored > 0 {
            annotations.insert(INDEX_IGNORED.to_owned(), ignored.to_string());
        }
    }
    let metadata = ObjectMeta {
        generate_name: Some(base),
        namespace: Some(namespace.clone()),
        labels: Some(labels).filter(|l| !l.is_empty()),
        annotations: Some(annotations).filter(|a| !a.is_empty()),
        finalizers: Some(finalizers),
        owner_references: Some(vec![owners::reference::<Job>(job)]),
        ..ObjectMeta::default()
    };
    let about = Target::of::<Job>(job);
    let create = Action::Create {
        target: Target::named::<PodView>(&namespace, ""),
        object: json!({"metadata": metadata, "spec": template.spec}),
    };
    let (done, failed) = (
        format!("Created pod: {NAME}"),
        format!("Error creating: {ERROR}"),
    );
    Action::Report {
        action: Box::new(create),
        done: vec![Action::tell(&about, Kind::Normal, "SuccessfulCreate", done)],
        failed: vec![Action::tell(&about, Kind::Warning, "FailedCreate", failed)],
    }
}

/// Tells the pod its index; returns the beginning of its name.
fn indexed(template: &mut PodTemplateSpec, job_name: &str, index: i32) -> String {
    let spec = template.spec.get_or_insert_default();
    spec.hostname = Some(format!("{job_name}-{index}"));
    let init = spec.init_containers.iter_mut().flatten();
    for container in init.chain(&mut spec.containers) {
        tell_index(container);
    }
    let end = format!("-{index}-");
    let mut cut = job_name.len().min(BASE_BYTES_MAX.saturating_sub(end.len()));
    while !job_name.is_char_boundary(cut) {
        cut -= 1;
    }
    format!("{}{end}", &job_name[..cut])
}

fn tell_index(container: &mut Container) {
    let variables = container.env.get_or_insert_default();
    if variables.iter().any(|v| v.name == INDEX_VARIABLE) {
        return;
    }
    variables.push(EnvVar {
        name: INDEX_VARIABLE.to_owned(),
        value_from: Some(EnvVarSource {
            field_ref: Some(ObjectFieldSelector {
                field_path: format!("metadata.labels['{INDEX}']"),
                ..ObjectFieldSelector::default()
            }),
            ..EnvVarSource::default()
        }),
        ..EnvVar::default()
    });
}
