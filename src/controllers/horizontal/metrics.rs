//! Every metric of an autoscaler, and the largest number that any of them asks for.

use super::calculate::{self, Answer, Goal, Question};
use super::target::Scale;
use crate::controllers::world::{PodView, World};
use crate::object::quantity::Quantity;
use jiff::Timestamp;
use k8s_openapi::api::autoscaling::v2::{
    ContainerResourceMetricStatus, HPAScalingRules, HorizontalPodAutoscalerSpec, MetricSpec,
    MetricStatus, MetricTarget, MetricValueStatus, ResourceMetricStatus,
};
use k8s_openapi::apimachinery::pkg::api::resource;
use std::sync::Arc;

/// Upstream's `--horizontal-pod-autoscaler-tolerance`.
const TOLERANCE: f64 = 0.1;
const NANO: f64 = 1e9;

#[derive(Debug, Default)]
pub struct Found {
    /// And the metric that asks for them; `None`: nothing can be said.
    pub replicas: Option<(i32, String)>,
    pub statuses: Vec<MetricStatus>,
    /// Reason and message of ScalingActive.
    pub condition: (String, String),
    /// Of the metrics that cannot be had.
    pub error: Option<String>,
}

pub fn replicas(
    world: &World,
    namespace: &str,
    spec: &HorizontalPodAutoscalerSpec,
    scale: &Scale,
    now: Timestamp,
) -> Found {
    let pods = world.pods.in_namespace(namespace);
    let pods: Vec<Arc<PodView>> = pods
        .filter(|pod| scale.selector.matches(pod.labels()))
        .cloned()
        .collect();
    let mut found = Found::default();
    let mut invalid: Vec<(String, String)> = Vec::new();
    let metrics = spec.metrics.as_deref().unwrap_or_default();
    for metric in metrics {
        match one(world, &pods, spec, metric, scale.replicas, now) {
            Ok((replicas, name, status)) => {
                found.statuses.push(status);
                if found
                    .replicas
                    .as_ref()
                    .is_none_or(|(most, _)| replicas > *most)
                {
                    found.replicas = Some((replicas, name));
                }
            }
            Err(why) => invalid.push(why),
        }
    }
    // One that cannot be had might ask for more: nothing shrinks without it.
    let shrinks = found
        .replicas
        .as_ref()
        .is_some_and(|(n, _)| *n < scale.replicas);
    if let Some((reason, first)) = invalid.first() {
        let (count, all) = (invalid.len(), metrics.len());
        let error =
            format!("invalid metrics ({count} invalid out of {all}), first error is: {first}");
        found.error = Some(error);
        if shrinks || found.replicas.is_none() {
            let message = format!("the HPA was unable to compute the replica count: {first}");
            found.condition = (reason.clone(), message);
            found.replicas = None;
            return found;
        }
    }
    let name = found.replicas.as_ref().map_or("", |(_, name)| name);
    let message = format!("the HPA was able to successfully calculate a replica count from {name}");
    found.condition = ("ValidMetricFound".to_owned(), message);
    found
}

type Valid = (i32, String, MetricStatus);

fn one(
    world: &World,
    pods: &[Arc<PodView>],
    spec: &HorizontalPodAutoscalerSpec,
    metric: &MetricSpec,
    current: i32,
    now: Timestamp,
) -> Result<Valid, (String, String)> {
    let failed = |why: String| (format!("FailedGet{}Metric", metric.type_), why);
    let (resource, container, target) = match (&metric.resource, &metric.container_resource) {
        (Some(source), _) => (&source.name, None, &source.target),
        (_, Some(source)) => (
            &source.name,
            Some(source.container.as_str()),
            &source.target,
        ),
        _ => {
            let why =
                "no API of this cluster serves such metrics: use Resource or ContainerResource";
            return Err(failed(why.to_owned()));
        }
    };
    let behavior = spec.behavior.as_ref();
    let tolerance = |rules: Option<&HPAScalingRules>| {
        let own = rules.and_then(|r| r.tolerance.as_ref());
        own.and_then(|t| Quantity::parse(&t.0).ok())
            .map_or(TOLERANCE, share)
    };
    let question = Question {
        resource,
        container,
        goal: goal(target).map_err(failed)?,
        tolerances: (
            tolerance(behavior.and_then(|b| b.scale_down.as_ref())),
            tolerance(behavior.and_then(|b| b.scale_up.as_ref())),
        ),
        current,
        now,
    };
    let answer = calculate::replicas(world, pods, &question).map_err(|why| {
        let kind = question.goal_name();
        failed(format!("failed to get {resource} {kind}: {why}"))
    })?;
    let name = match container {
        Some(container) => format!(
            "{resource} container resource {} of {container}",
            question.goal_name()
        ),
        None => format!("{resource} resource {}", question.goal_name()),
    };
    Ok((answer.replicas, name, status(metric, &answer)))
}

#[allow(clippy::cast_precision_loss)]
fn share(quantity: Quantity) -> f64 {
    quantity.nano as f64 / NANO
}

fn goal(target: &MetricTarget) -> Result<Goal, String> {
    if let Some(percent) = target.average_utilization {
        return Ok(Goal::Utilization(percent));
    }
    let value = target.average_value.as_ref();
    let value = value.and_then(|v| Quantity::parse(&v.0).ok());
    let value = value.ok_or("invalid resource metric source: neither an average utilization nor an average value was set")?;
    Ok(Goal::Average(value.nano))
}

impl Question<'_> {
    /// As conditions and events name it.
    fn goal_name(&self) -> &'static str {
        match self.goal {
            Goal::Utilization(_) => "utilization (percentage of request)",
            Goal::Average(_) => "usage",
        }
    }
}

fn status(metric: &MetricSpec, answer: &Answer) -> MetricStatus {
    // Whole thousandths, as upstream shows them.
    const MILLI: i128 = 1_000_000;
    let nano = answer.average - answer.average.rem_euclid(MILLI);
    let current = MetricValueStatus {
        average_utilization: answer.utilization,
        average_value: Some(resource::Quantity(Quantity { nano }.to_string())),
        value: None,
    };
    let resource = metric.resource.as_ref().map(|source| ResourceMetricStatus {
        name: source.name.clone(),
        current: current.clone(),
    });
    let container = metric.container_resource.as_ref();
    MetricStatus {
        type_: metric.type_.clone(),
        resource,
        container_resource: container.map(|source| ContainerResourceMetricStatus {
            name: source.name.clone(),
            container: source.container.clone(),
            current,
        }),
        ..MetricStatus::default()
    }
}
