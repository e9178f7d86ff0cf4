//! An autoscaler's status: conditions, and when it is worth writing.

use crate::controllers::action::{Action, Target};
use crate::controllers::clock;
use crate::object::quantity::Quantity;
use jiff::Timestamp;
use k8s_openapi::api::autoscaling::v2::{
    HorizontalPodAutoscaler, HorizontalPodAutoscalerCondition as Condition,
    HorizontalPodAutoscalerStatus, MetricStatus, MetricValueStatus,
};
use serde_json::json;

/// Figures flicker with every measurement; what is nearer than this to what is written stays (nothing periodic may
/// write to flash): hundredths of the value, or points of utilization.
const FLICKER_PERCENT: i128 = 5;

pub struct Status<'a> {
    autoscaler: &'a HorizontalPodAutoscaler,
    was: HorizontalPodAutoscalerStatus,
    pub is: HorizontalPodAutoscalerStatus,
    now: Timestamp,
}

impl<'a> Status<'a> {
    pub fn new(autoscaler: &'a HorizontalPodAutoscaler, now: Timestamp) -> Status<'a> {
        let was = autoscaler.status.clone().unwrap_or_default();
        let mut is = was.clone();
        is.observed_generation = autoscaler.metadata.generation;
        Status {
            autoscaler,
            was,
            is,
            now,
        }
    }

    pub fn condition(&mut self, kind: &str, status: &str, reason: &str, message: &str) {
        let was = self.was.conditions.iter().flatten();
        let since = was
            .filter(|c| c.type_ == kind && c.status == status)
            .find_map(|c| c.last_transition_time.clone());
        let condition = Condition {
            type_: kind.to_owned(),
            status: status.to_owned(),
            reason: Some(reason.to_owned()),
            message: Some(message.to_owned()),
            last_transition_time: Some(since.unwrap_or_else(|| clock::time(self.now))),
            observed_generation: None,
        };
        let conditions = self.is.conditions.get_or_insert_default();
        match conditions.iter_mut().find(|c| c.type_ == kind) {
            Some(old) => *old = condition,
            None => conditions.push(condition),
        }
    }

    /// Whether the conditions say something that is not written yet.
    pub fn is_news(&self) -> bool {
        self.is.conditions != self.was.conditions
    }

    pub fn write(&self) -> Option<Action> {
        let mut is = self.is.clone();
        if alike(
            self.was.current_metrics.as_deref().unwrap_or_default(),
            is.current_metrics.as_deref().unwrap_or_default(),
        ) {
            is.current_metrics.clone_from(&self.was.current_metrics);
        }
        (is != self.was).then(|| Action::SetStatus {
            target: Target::of::<HorizontalPodAutoscaler>(&self.autoscaler.metadata),
            resource_version: self.autoscaler.metadata.resource_version.clone(),
            status: json!(is),
        })
    }
}

fn alike(was: &[MetricStatus], is: &[MetricStatus]) -> bool {
    was.len() == is.len() && was.iter().zip(is).all(|(a, b)| metric_alike(a, b))
}

fn metric_alike(was: &MetricStatus, is: &MetricStatus) -> bool {
    match (
        (&was.resource, &is.resource),
        (&was.container_resource, &is.container_resource),
    ) {
        ((Some(a), Some(b)), _) => a.name == b.name && value_alike(&a.current, &b.current),
        (_, (Some(a), Some(b))) => {
            a.name == b.name && a.container == b.container && value_alike(&a.current, &b.current)
        }
        _ => was == is,
    }
}

fn value_alike(was: &MetricValueStatus, is: &MetricValueStatus) -> bool {
    match (was.average_utilization, is.average_utilization) {
        (Some(a), Some(b)) => i128::from(a.abs_diff(b)) < FLICKER_PERCENT,
        (None, None) => {
            let nano = |v: &MetricValueStatus| {
                let text = v.average_value.as_ref()?;
                Quantity::parse(&text.0).ok().map(|q| q.nano)
            };
            match (nano(was), nano(is)) {
                (Some(a), Some(b)) => {
                    (a - b).abs().saturating_mul(100) < a.abs().saturating_mul(FLICKER_PERCENT)
                        || a == b
                }
                (a, b) => a == b,
            }
        }
        _ => false,
    }
}
