//! Columns and cells of the kinds with a pod template, as upstream's printers.

use super::Column;
use super::columns::{AGE, NAME, column};
use crate::object::access::{integer, list, present, text, truth};
use crate::object::selector::written;
use crate::object::time;
use serde_json::{Value, json};

const fn counted(
    name: &'static str,
    description: &'static str,
    cell: fn(&Value, i64) -> Value,
) -> Column {
    column(name, "integer", 0, description, cell)
}

const CONTAINERS: Column = column(
    "Containers",
    "string",
    1,
    "Names of each container in the template.",
    |object, _| containers(object, "/name"),
);
const IMAGES: Column = column(
    "Images",
    "string",
    1,
    "Images referenced by each container in the template.",
    |object, _| containers(object, "/image"),
);
const SELECTOR: Column = column(
    "Selector",
    "string",
    1,
    "A label query over the pods it counts.",
    |object, _| or_none(written(&object["spec"]["selector"])),
);
const DESIRED: Column = counted("Desired", "Pods that should be.", |object, _| {
    integer(object, "/spec/replicas").into()
});
const CURRENT: Column = counted("Current", "Pods that are.", |object, _| {
    integer(object, "/status/replicas").into()
});
const READY: Column = counted("Ready", "Pods that are ready.", |object, _| {
    integer(object, "/status/readyReplicas").into()
});
/// `1/3`: of the wanted pods these are ready.
const READY_OF_ALL: Column = column(
    "Ready",
    "string",
    0,
    "Pods that are ready, of those that should be.",
    |object, _| {
        let ready = integer(object, "/status/readyReplicas");
        format!("{ready}/{}", integer(object, "/spec/replicas")).into()
    },
);

pub const DEPLOYMENT: &[Column] = &[
    NAME,
    READY_OF_ALL,
    counted("Up-to-date", "Pods of the newest template.", |object, _| {
        integer(object, "/status/updatedReplicas").into()
    }),
    counted("Available", "Pods ready for long enough.", |object, _| {
        integer(object, "/status/availableReplicas").into()
    }),
    AGE,
    CONTAINERS,
    IMAGES,
    SELECTOR,
];

pub const REPLICA_SET: &[Column] = &[
    NAME, DESIRED, CURRENT, READY, AGE, CONTAINERS, IMAGES, SELECTOR,
];

pub const REPLICATION_CONTROLLER: &[Column] = &[
    NAME,
    DESIRED,
    CURRENT,
    READY,
    AGE,
    CONTAINERS,
    IMAGES,
    column(
        "Selector",
        "string",
        1,
        "A label query over the pods it counts.",
        |object, _| or_none(written(&json!({"matchLabels": object["spec"]["selector"]}))),
    ),
];

pub const STATEFUL_SET: &[Column] = &[NAME, READY_OF_ALL, AGE, CONTAINERS, IMAGES];

pub const DAEMON_SET: &[Column] = &[
    NAME,
    counted("Desired", "Nodes that should run one.", |object, _| {
        integer(object, "/status/desiredNumberScheduled").into()
    }),
    counted("Current", "Nodes that run one.", |object, _| {
        integer(object, "/status/currentNumberScheduled").into()
    }),
    counted("Ready", "Nodes whose pod is ready.", |object, _| {
        integer(object, "/status/numberReady").into()
    }),
    counted(
        "Up-to-date",
        "Nodes with a pod of the newest template.",
        |object, _| integer(object, "/status/updatedNumberScheduled").into(),
    ),
    counted(
        "Available",
        "Nodes whose pod is ready for long enough.",
        |object, _| integer(object, "/status/numberAvailable").into(),
    ),
    column(
        "Node Selector",
        "string",
        0,
        "Labels of the nodes it is for.",
        |object, _| {
            let labels = &object["spec"]["template"]["spec"]["nodeSelector"];
            or_none(written(&json!({"matchLabels": labels})))
        },
    ),
    AGE,
    CONTAINERS,
    IMAGES,
    SELECTOR,
];

pub const CONTROLLER_REVISION: &[Column] = &[
    NAME,
    column(
        "Controller",
        "string",
        0,
        "Controller of the object.",
        |object, _| or_none(controller(object)),
    ),
    counted("Revision", "Number of the revision.", |object, _| {
        integer(object, "/revision").into()
    }),
    AGE,
];

pub const JOB: &[Column] = &[
    NAME,
    column("Status", "string", 0, "Status of the job.", |job, _| {
        job_status(job).into()
    }),
    column(
        "Completions",
        "string",
        0,
        "Pods that succeeded, of those that should.",
        |job, _| completions(job).into(),
    ),
    column(
        "Duration",
        "string",
        0,
        "Time required to complete the job.",
        |job, now| duration(job, now).into(),
    ),
    AGE,
    CONTAINERS,
    IMAGES,
    SELECTOR,
];

pub const CRON_JOB: &[Column] = &[
    NAME,
    column("Schedule", "string", 0, "When it runs.", |job, _| {
        text(job, "/spec/schedule").into()
    }),
    column(
        "Timezone",
        "string",
        0,
        "The zone its schedule is in.",
        |job, _| or_none(text(job, "/spec/timeZone").to_owned()),
    ),
    column(
        "Suspend",
        "boolean",
        0,
        "Whether it is suspended.",
        // Upstream prints a pointer's value as Go's %t does.
        |job, _| {
            let suspended = if truth(job, "/spec/suspend") {
                "True"
            } else {
                "False"
            };
            suspended.into()
        },
    ),
    counted("Active", "Jobs that run.", |job, _| {
        list(job, "/status/active").len().into()
    }),
    column(
        "Last Schedule",
        "string",
        0,
        "Time since it last began.",
        |job, now| match text(job, "/status/lastScheduleTime") {
            "" => "<none>".into(),
            last => time::since(last, now).into(),
        },
    ),
    AGE,
    CONTAINERS,
    IMAGES,
    column(
        "Selector",
        "string",
        1,
        "A label query over the pods it counts.",
        |job, _| or_none(written(&job["spec"]["jobTemplate"]["spec"]["selector"])),
    ),
];

pub const POD_TEMPLATE: &[Column] = &[
    NAME,
    column(
        "Containers",
        "string",
        0,
        "Names of each container in the template.",
        |object, _| containers(object, "/name"),
    ),
    column(
        "Images",
        "string",
        0,
        "Images referenced by each container in the template.",
        |object, _| containers(object, "/image"),
    ),
    column(
        "Pod Labels",
        "string",
        0,
        "The labels for the pod template.",
        |object, _| {
            let labels = &object["template"]["metadata"]["labels"];
            or_none(written(&json!({"matchLabels": labels})))
        },
    ),
    AGE,
];

pub const SCALE: &[Column] = &[
    NAME,
    DESIRED,
    counted("Available", "Pods that are.", |scale, _| {
        integer(scale, "/status/replicas").into()
    }),
    AGE,
];

fn or_none(text: String) -> Value {
    if text.is_empty() {
        "<none>".into()
    } else {
        text.into()
    }
}

/// One field of each container, wherever the kind has its template.
fn containers(object: &Value, field: &str) -> Value {
    let template = [
        "/spec/template",
        "/spec/jobTemplate/spec/template",
        "/template",
    ]
    .iter()
    .find_map(|at| object.pointer(at))
    .unwrap_or(&Value::Null);
    let all: Vec<&str> = list(template, "/spec/containers")
        .iter()
        .map(|container| text(container, field))
        .collect();
    all.join(",").into()
}

/// `statefulset.apps/web`
fn controller(object: &Value) -> String {
    let owners = list(object, "/metadata/ownerReferences");
    let Some(owner) = owners.iter().find(|owner| truth(owner, "/controller")) else {
        return String::new();
    };
    let kind = text(owner, "/kind").to_lowercase();
    let name = text(owner, "/name");
    match text(owner, "/apiVersion").split_once('/') {
        Some((group, _)) => format!("{kind}.{group}/{name}"),
        None => format!("{kind}/{name}"),
    }
}

fn job_status(job: &Value) -> &'static str {
    let has = |kind: &str| {
        list(job, "/status/conditions")
            .iter()
            .any(|one| text(one, "/type") == kind && text(one, "/status") == "True")
    };
    if has("Complete") {
        "Complete"
    } else if has("Failed") {
        "Failed"
    } else if present(job, "/metadata/deletionTimestamp") {
        "Terminating"
    } else if has("Suspended") {
        "Suspended"
    } else if has("FailureTarget") {
        "FailureTarget"
    } else if has("SuccessCriteriaMet") {
        "SuccessCriteriaMet"
    } else {
        "Running"
    }
}

fn completions(job: &Value) -> String {
    let done = integer(job, "/status/succeeded");
    if present(job, "/spec/completions") {
        return format!("{done}/{}", integer(job, "/spec/completions"));
    }
    match integer(job, "/spec/parallelism") {
        many if many > 1 => format!("{done}/1 of {many}"),
        _ => format!("{done}/1"),
    }
}

fn duration(job: &Value, now: i64) -> String {
    let Some(began) = time::seconds(text(job, "/status/startTime")) else {
        return String::new();
    };
    let ended = time::seconds(text(job, "/status/completionTime")).unwrap_or(now);
    time::human(ended.saturating_sub(began))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(columns: &[Column], object: &Value) -> Value {
        columns
            .iter()
            .map(|column| (column.cell)(object, 100))
            .collect()
    }

    #[test]
    fn rows() {
        let metadata = json!({"name": "x", "creationTimestamp": "1970-01-01T00:01:30Z"});
        let template = json!({"metadata": {"labels": {"b": "2", "a": "1"}}, "spec": {"nodeSelector": {"disk": "ssd"},
            "containers": [{"name": "c", "image": "i"}, {"name": "d", "image": "j"}]}});
        let selector = json!({"matchLabels": {"b": "2", "a": "1"}, "matchExpressions": [{"key": "k", "operator": "In", "values": ["y", "x"]}]});
        let replicas = json!({"replicas": 3, "selector": selector, "template": template});
        let wide = ["c,d", "i,j", "a=1,b=2,k in (x,y)"];
        for (columns, spec, status, want) in [
            (
                DEPLOYMENT,
                replicas.clone(),
                json!({"readyReplicas": 1, "updatedReplicas": 2, "availableReplicas": 1}),
                json!(["x", "1/3", 2, 1, "10s", wide[0], wide[1], wide[2]]),
            ),
            (
                REPLICA_SET,
                replicas.clone(),
                json!({"replicas": 2}),
                json!(["x", 3, 2, 0, "10s", wide[0], wide[1], wide[2]]),
            ),
            (
                STATEFUL_SET,
                replicas.clone(),
                json!({}),
                json!(["x", "0/3", "10s", wide[0], wide[1]]),
            ),
            (
                DAEMON_SET,
                replicas.clone(),
                json!({"desiredNumberScheduled": 1}),
                json!([
                    "x", 1, 0, 0, 0, 0, "disk=ssd", "10s", wide[0], wide[1], wide[2]
                ]),
            ),
            (
                REPLICATION_CONTROLLER,
                json!({"replicas": 1, "selector": {"b": "2", "a": "1"}, "template": template}),
                json!({}),
                json!(["x", 1, 0, 0, "10s", wide[0], wide[1], "a=1,b=2"]),
            ),
            (
                JOB,
                json!({"parallelism": 2, "template": template}),
                json!({"startTime": "1970-01-01T00:01:35Z", "conditions": [{"type": "Suspended", "status": "True"}]}),
                json!([
                    "x",
                    "Suspended",
                    "0/1 of 2",
                    "5s",
                    "10s",
                    wide[0],
                    wide[1],
                    "<none>"
                ]),
            ),
            (
                CRON_JOB,
                json!({"schedule": "@daily", "suspend": true, "jobTemplate": {"spec": {"template": template}}}),
                json!({"active": [{}]}),
                json!([
                    "x", "@daily", "<none>", "True", 1, "<none>", "10s", wide[0], wide[1], "<none>"
                ]),
            ),
            (
                SCALE,
                json!({"replicas": 2}),
                json!({"replicas": 1}),
                json!(["x", 2, 1, "10s"]),
            ),
        ] {
            let object = json!({"metadata": metadata, "spec": spec, "status": status});
            assert_eq!(row(columns, &object), want);
        }
        let held = json!({"metadata": {"name": "x", "creationTimestamp": "1970-01-01T00:01:30Z", "ownerReferences": [
            {"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "web", "controller": true}]}, "revision": 4});
        assert_eq!(
            row(CONTROLLER_REVISION, &held),
            json!(["x", "statefulset.apps/web", 4, "10s"])
        );
        let template = json!({"metadata": metadata, "template": template});
        assert_eq!(
            row(POD_TEMPLATE, &template),
            json!(["x", "c,d", "i,j", "a=1,b=2", "10s"])
        );
    }
}
