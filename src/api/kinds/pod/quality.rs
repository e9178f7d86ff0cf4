//! Quality of service: who is evicted first.
//! <https://kubernetes.io/docs/concepts/workloads/pods/pod-qos/>

use crate::object::access::{list, map};
use crate::object::quantity::Quantity;
use serde_json::Value;

/// `Guaranteed`, `Burstable` or `BestEffort`, from the requests and limits after defaulting; the pod's own, where it
/// has any, decide alone.
pub fn class(pod: &Value) -> &'static str {
    let (mut any, mut guaranteed) = (false, true);
    let mut judge = |resources: &Value| {
        for resource in ["cpu", "memory"] {
            let amount = |group: &str| {
                map(resources, &format!("/{group}"))
                    .get(resource)
                    .and_then(Value::as_str)
                    .and_then(|text| Quantity::parse(text).ok())
                    .filter(|quantity| quantity.nano > 0)
            };
            let (request, limit) = (amount("requests"), amount("limits"));
            any |= request.is_some() || limit.is_some();
            guaranteed &= limit.is_some() && (request.is_none() || request == limit);
        }
    };
    let own = &pod["spec"]["resources"];
    if map(own, "/limits").is_empty() && map(own, "/requests").is_empty() {
        let containers = list(pod, "/spec/initContainers").iter();
        let all = containers.chain(list(pod, "/spec/containers"));
        all.for_each(|container| judge(&container["resources"]));
    } else {
        judge(own);
    }
    match (any, guaranteed) {
        (false, _) => "BestEffort",
        (true, true) => "Guaranteed",
        (true, false) => "Burstable",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn classes() {
        for (resources, want) in [
            (json!({}), "BestEffort"),
            (json!({"requests": {"cpu": "0"}}), "BestEffort"),
            (
                json!({"requests": {"ephemeral-storage": "1Gi"}}),
                "BestEffort",
            ),
            (json!({"requests": {"cpu": "1"}}), "Burstable"),
            (json!({"limits": {"cpu": "1"}}), "Burstable"),
            (
                json!({"limits": {"cpu": "1", "memory": "1Gi"}}),
                "Guaranteed",
            ),
            (
                json!({"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "1000m", "memory": "1024Mi"}}),
                "Guaranteed",
            ),
            (
                json!({"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "500m", "memory": "1Gi"}}),
                "Burstable",
            ),
        ] {
            let pod = json!({"spec": {"containers": [{"resources": resources}]}});
            assert_eq!(class(&pod), want, "{pod}");
        }
    }
}
