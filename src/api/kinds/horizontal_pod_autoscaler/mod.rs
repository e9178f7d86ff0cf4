//! How many replicas a workload should have by what its pods use (autoscaling/v2), and the older form of the same object.
//! <https://kubernetes.io/docs/tasks/run-application/horizontal-pod-autoscale/>
//!
//! For: the registry's strategy of both versions. What comes in and goes out: see `Strategy`. Invariants: v2 is what is
//! stored. Metrics that nobody serves here are accepted, as upstream accepts them: the object's conditions tell.
//! Never knows about the controller.

mod validate;
mod version1;

pub use version1::Version1;

use super::status::{default_to, keep_status, only_status, put};
use super::{FieldError, Strategy, metadata};
use crate::object::access::list;
use serde_json::{Value, json};

pub struct HorizontalPodAutoscaler;

/// Share of its requests a pod should use where nothing is said.
const CPU_PERCENT: i64 = 80;

impl Strategy for HorizontalPodAutoscaler {
    fn default(&self, object: &mut Value) {
        super::check::quantities_to_text(object);
        let Some(spec) = object.get_mut("spec").filter(|spec| spec.is_object()) else {
            return;
        };
        default_to(spec, "minReplicas", 1);
        if list(spec, "/metrics").is_empty() {
            spec["metrics"] = json!([{"type": "Resource", "resource": {
                "name": "cpu", "target": {"type": "Utilization", "averageUtilization": CPU_PERCENT},
            }}]);
        }
        if let Some(behavior) = spec.get_mut("behavior").filter(|b| b.is_object()) {
            let up = json!([
                {"type": "Pods", "value": 4, "periodSeconds": 15},
                {"type": "Percent", "value": 100, "periodSeconds": 15},
            ]);
            let down = json!([{"type": "Percent", "value": 100, "periodSeconds": 15}]);
            for (direction, policies) in [("scaleUp", up), ("scaleDown", down)] {
                default_to(behavior, direction, json!({}));
                let rules = &mut behavior[direction];
                default_to(rules, "selectPolicy", "Max");
                default_to(rules, "policies", policies);
                if direction == "scaleUp" {
                    default_to(rules, "stabilizationWindowSeconds", 0);
                }
            }
        }
    }

    fn prepare_create(&self, object: &mut Value) {
        put(
            object,
            "status",
            json!({"desiredReplicas": 0, "currentMetrics": null}),
        );
    }

    fn prepare_update(&self, old: &Value, object: &mut Value) {
        keep_status(old, object);
    }

    fn prepare_status_update(&self, old: &Value, object: &mut Value) {
        only_status(old, object);
    }

    fn validate(&self, object: &Value) -> Vec<FieldError> {
        validate::validate(object)
    }

    fn validate_update(&self, old: &Value, object: &Value) -> Vec<FieldError> {
        metadata::validate_update(old, object)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_out_is_filled_in() {
        let mut object =
            json!({"spec": {"maxReplicas": 3, "behavior": {"scaleDown": {"selectPolicy": "Min"}}}});
        HorizontalPodAutoscaler.default(&mut object);
        let spec = &object["spec"];
        assert_eq!(spec["minReplicas"], 1);
        assert_eq!(
            spec["metrics"][0]["resource"]["target"]["averageUtilization"],
            80
        );
        assert_eq!(spec["behavior"]["scaleDown"]["selectPolicy"], "Min");
        assert_eq!(spec["behavior"]["scaleUp"]["policies"][0]["value"], 4);
        assert!(
            spec["behavior"]["scaleDown"]
                .get("stabilizationWindowSeconds")
                .is_none()
        );
        let once = object.clone();
        HorizontalPodAutoscaler.default(&mut object);
        assert_eq!(object, once);
    }
}
