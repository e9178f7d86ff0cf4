//! Columns and cells of budgets, quotas, priorities, leases, autoscalers, ingresses and network policies, as upstream's
//! printers.

use super::Column;
use super::columns::{AGE, NAME, column};
use crate::object::access::{integer, list, map, present, text, truth};
use crate::object::amount::Amount;
use crate::object::selector::written;
use serde_json::Value;

pub const BUDGET: &[Column] = &[
    NAME,
    column(
        "Min Available",
        "string",
        0,
        "Pods that must stay.",
        |budget, _| share(&budget["spec"]["minAvailable"]),
    ),
    column(
        "Max Unavailable",
        "string",
        0,
        "Pods that may be missing.",
        |budget, _| share(&budget["spec"]["maxUnavailable"]),
    ),
    column(
        "Allowed Disruptions",
        "integer",
        0,
        "Pods that may be evicted now.",
        |budget, _| integer(budget, "/status/disruptionsAllowed").into(),
    ),
    AGE,
];

fn share(value: &Value) -> Value {
    match value {
        Value::Null => "N/A".into(),
        Value::String(text) => text.as_str().into(),
        number => number.to_string().into(),
    }
}

pub const LEASE: &[Column] = &[
    NAME,
    column("Holder", "string", 0, "Who holds it.", |lease, _| {
        text(lease, "/spec/holderIdentity").into()
    }),
    AGE,
];

pub const PRIORITY_CLASS: &[Column] = &[
    NAME,
    column(
        "Value",
        "integer",
        0,
        "The priority of its pods.",
        |class, _| integer(class, "/value").into(),
    ),
    column(
        "Global-Default",
        "boolean",
        0,
        "Whether pods without a class have this one.",
        |class, _| truth(class, "/globalDefault").into(),
    ),
    AGE,
    column(
        "PreemptionPolicy",
        "string",
        0,
        "Whether its pods take others' places.",
        |class, _| text(class, "/preemptionPolicy").into(),
    ),
];

pub const NETWORK_POLICY: &[Column] = &[
    NAME,
    column(
        "Pod-Selector",
        "string",
        0,
        "The pods it is for.",
        |policy, _| selector(&policy["spec"]["podSelector"]).into(),
    ),
    AGE,
];

/// `a=b,tier in (x,y)` (upstream's `FormatLabelSelector`).
fn selector(selector: &Value) -> String {
    match written(selector) {
        all if all.is_empty() => "<none>".into(),
        some => some,
    }
}

pub const INGRESS_CLASS: &[Column] = &[
    NAME,
    column("Controller", "string", 0, "Who serves it.", |class, _| {
        text(class, "/spec/controller").into()
    }),
    column(
        "Parameters",
        "string",
        0,
        "What else the controller reads.",
        parameters,
    ),
    AGE,
];

fn parameters(class: &Value, _now: i64) -> Value {
    let parameters = &class["spec"]["parameters"];
    if parameters.is_null() {
        return "<none>".into();
    }
    let (kind, name) = (text(parameters, "/kind"), text(parameters, "/name"));
    match text(parameters, "/apiGroup") {
        "" => format!("{kind}/{name}").into(),
        group => format!("{kind}.{group}/{name}").into(),
    }
}

pub const INGRESS: &[Column] = &[
    NAME,
    column(
        "Class",
        "string",
        0,
        "Who serves it.",
        |ingress, _| match text(ingress, "/spec/ingressClassName") {
            "" => "<none>".into(),
            class => class.into(),
        },
    ),
    column("Hosts", "string", 0, "The names it answers to.", hosts),
    column(
        "Address",
        "string",
        0,
        "Where it is reached.",
        |ingress, _| {
            let points = list(ingress, "/status/loadBalancer/ingress").iter();
            let places: Vec<&str> = points
                .map(|point| match text(point, "/ip") {
                    "" => text(point, "/hostname"),
                    ip => ip,
                })
                .filter(|place| !place.is_empty())
                .collect();
            places.join(",").into()
        },
    ),
    column(
        "Ports",
        "string",
        0,
        "The ports it listens on.",
        |ingress, _| {
            if list(ingress, "/spec/tls").is_empty() {
                "80".into()
            } else {
                "80, 443".into()
            }
        },
    ),
    AGE,
];

fn hosts(ingress: &Value, _now: i64) -> Value {
    const SHOWN: usize = 3;
    let all: Vec<&str> = list(ingress, "/spec/rules")
        .iter()
        .map(|rule| text(rule, "/host"))
        .filter(|host| !host.is_empty())
        .collect();
    match all.len() {
        0 => "*".into(),
        many if many > SHOWN => {
            format!("{} + {} more...", all[..SHOWN].join(","), many - SHOWN).into()
        }
        _ => all.join(",").into(),
    }
}

pub const RESOURCE_QUOTA: &[Column] = &[
    NAME,
    column(
        "Request",
        "string",
        0,
        "Used and allowed: requests and counts.",
        |quota, _| quota_cell(quota, false),
    ),
    column(
        "Limit",
        "string",
        0,
        "Used and allowed: limits.",
        |quota, _| quota_cell(quota, true),
    ),
    AGE,
];

fn quota_cell(quota: &Value, limits: bool) -> Value {
    let used = map(quota, "/status/used");
    let canonical = |value: Option<&Value>| {
        let amount = value.and_then(Value::as_str).and_then(Amount::parse);
        amount.unwrap_or_default().to_string()
    };
    let mut parts: Vec<String> = map(quota, "/status/hard")
        .iter()
        .filter(|(name, _)| name.starts_with("limits.") == limits)
        .map(|(name, hard)| {
            format!(
                "{name}: {}/{}",
                canonical(used.get(name)),
                canonical(Some(hard))
            )
        })
        .collect();
    parts.sort_unstable();
    parts.join(", ").into()
}

pub const AUTOSCALER: &[Column] = &[
    NAME,
    column("Reference", "string", 0, "What it scales.", |hpa, _| {
        let target = &hpa["spec"]["scaleTargetRef"];
        format!("{}/{}", text(target, "/kind"), text(target, "/name")).into()
    }),
    column(
        "Targets",
        "string",
        0,
        "What is used and aimed at.",
        targets,
    ),
    column("MinPods", "string", 0, "Fewest pods.", |hpa, _| {
        if present(hpa, "/spec/minReplicas") {
            integer(hpa, "/spec/minReplicas").to_string().into()
        } else {
            "<unset>".into()
        }
    }),
    column("MaxPods", "integer", 0, "Most pods.", |hpa, _| {
        integer(hpa, "/spec/maxReplicas").into()
    }),
    column("Replicas", "integer", 0, "Pods there are.", |hpa, _| {
        integer(hpa, "/status/currentReplicas").into()
    }),
    AGE,
];

fn targets(hpa: &Value, _now: i64) -> Value {
    const SHOWN: usize = 2;
    let current = list(hpa, "/status/currentMetrics");
    let all: Vec<String> = list(hpa, "/spec/metrics")
        .iter()
        .enumerate()
        .map(|(index, metric)| target(metric, current.get(index).unwrap_or(&Value::Null)))
        .collect();
    match all.len() {
        0 => "<none>".into(),
        many if many > SHOWN => {
            format!("{} + {} more...", all[..SHOWN].join(", "), many - SHOWN).into()
        }
        _ => all.join(", ").into(),
    }
}

/// `cpu: 7%/80%` (upstream's `formatHPAMetrics`).
fn target(metric: &Value, status: &Value) -> String {
    let field = match text(metric, "/type") {
        "Resource" => "resource",
        "ContainerResource" => "containerResource",
        "Pods" => "pods",
        "Object" => "object",
        "External" => "external",
        _ => return "<unknown type>".into(),
    };
    let (goal, now) = (&metric[field]["target"], &status[field]["current"]);
    let shown = |name: &str, value: &Value| match value {
        Value::Null => "<unknown>".to_owned(),
        Value::String(text) => text.clone(),
        number if name == "averageUtilization" => format!("{number}%"),
        number => number.to_string(),
    };
    let name = ["averageValue", "averageUtilization", "value"]
        .into_iter()
        .find(|name| !goal[*name].is_null())
        .unwrap_or("averageUtilization");
    let aim = if goal[name].is_null() {
        "<auto>".to_owned()
    } else {
        shown(name, &goal[name])
    };
    let pair = format!("{}/{aim}", shown(name, &now[name]));
    match field {
        "resource" | "containerResource" => format!("{}: {pair}", text(&metric[field], "/name")),
        "object" | "external" if name == "averageValue" => format!("{pair} (avg)"),
        _ => pair,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn rows() {
        let row = |columns: &[Column], mut object: Value| -> Value {
            object["metadata"] = json!({"name": "x", "creationTimestamp": "1970-01-01T00:01:30Z"});
            columns
                .iter()
                .map(|column| (column.cell)(&object, 100))
                .collect()
        };
        assert_eq!(
            row(
                BUDGET,
                json!({"spec": {"minAvailable": "50%"}, "status": {"disruptionsAllowed": 2}})
            ),
            json!(["x", "50%", "N/A", 2, "10s"])
        );
        assert_eq!(
            row(LEASE, json!({"spec": {"holderIdentity": "n"}})),
            json!(["x", "n", "10s"])
        );
        assert_eq!(
            row(
                PRIORITY_CLASS,
                json!({"value": 7, "preemptionPolicy": "Never"})
            ),
            json!(["x", 7, false, "10s", "Never"])
        );
        assert_eq!(
            row(
                NETWORK_POLICY,
                json!({"spec": {"podSelector": {"matchLabels": {"b": "1"}, "matchExpressions": [{"key": "a", "operator": "In", "values": ["y", "x"]}]}}})
            ),
            json!(["x", "a in (x,y),b=1", "10s"])
        );
        assert_eq!(
            row(
                INGRESS,
                json!({"spec": {"ingressClassName": "c", "tls": [{}], "rules": [{"host": "a"}, {"host": "b"}, {"host": "c"}, {"host": "d"}]},
                "status": {"loadBalancer": {"ingress": [{"ip": "10.0.0.1"}]}}})
            ),
            json!(["x", "c", "a,b,c + 1 more...", "10.0.0.1", "80, 443", "10s"])
        );
        assert_eq!(
            row(
                INGRESS_CLASS,
                json!({"spec": {"controller": "a.b/c", "parameters": {"apiGroup": "g", "kind": "K", "name": "n"}}})
            ),
            json!(["x", "a.b/c", "K.g/n", "10s"])
        );
        assert_eq!(
            row(
                RESOURCE_QUOTA,
                json!({"status": {"hard": {"pods": "3", "limits.cpu": "2000m", "cpu": "1"}, "used": {"pods": "1"}}})
            ),
            json!(["x", "cpu: 0/1, pods: 1/3", "limits.cpu: 0/2", "10s"])
        );
        assert_eq!(
            row(
                AUTOSCALER,
                json!({"spec": {"scaleTargetRef": {"kind": "Deployment", "name": "web"}, "minReplicas": 1, "maxReplicas": 5,
                "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": {"averageUtilization": 80}}}]},
                "status": {"currentReplicas": 2, "currentMetrics": [{"resource": {"current": {"averageUtilization": 7}}}]}})
            ),
            json!(["x", "Deployment/web", "cpu: 7%/80%", "1", 5, 2, "10s"])
        );
    }
}
