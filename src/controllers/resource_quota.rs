//! ResourceQuotas: what a namespace uses, counted anew. Admission adds what comes; what goes is only seen here.
//! <https://kubernetes.io/docs/concepts/policy/resource-quotas/>

use super::action::{Action, Plan, Target};
use super::clock;
use super::runner::Controller;
use super::world::{Change, ContainerView, Diff, Key, PodView, World, key};
use crate::object::amount::Amount;
use crate::object::quota::{self, Amounts};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::ResourceQuota;
use serde_json::{Value, json};
use std::time::Duration;

/// Objects that come and go together are counted together.
const GATHER: Duration = Duration::from_millis(200);
/// Kinds that count by what is in them.
const MEASURED: [(&str, &str); 3] = [
    ("", "persistentvolumeclaims"),
    ("", "pods"),
    ("", "services"),
];

pub struct Quotas;

impl Controller for Quotas {
    fn name(&self) -> &'static str {
        "resourcequota-controller"
    }

    fn keys(&self, world: &World, change: &Change) -> Vec<Key> {
        match change {
            Change::Quota(diff) => diff.key().into_iter().collect(),
            Change::Population(namespace) => in_namespace(world, namespace),
            Change::Pod(diff) => {
                if differs(diff) {
                    of_namespace(world, diff.key())
                } else {
                    Vec::new()
                }
            }
            Change::Service(diff) => of_namespace(world, diff.key()),
            Change::Claim(diff) => of_namespace(world, diff.key()),
            _ => Vec::new(),
        }
    }

    fn gathers(&self, change: &Change) -> Duration {
        match change {
            Change::Quota(_) => Duration::ZERO,
            _ => GATHER,
        }
    }

    fn reconcile(&self, world: &World, key: &Key, now: Timestamp) -> Plan {
        match world.quotas.get(key) {
            Some(quota) if quota.metadata.deletion_timestamp.is_none() => count(world, quota, now),
            _ => Plan::default(),
        }
    }
}

fn in_namespace(world: &World, namespace: &str) -> Vec<Key> {
    let quotas = world.quotas.in_namespace(namespace);
    quotas.map(|quota| key(&quota.metadata)).collect()
}

fn of_namespace(world: &World, object: Option<Key>) -> Vec<Key> {
    object.map_or_else(Vec::new, |(namespace, _)| in_namespace(world, &namespace))
}

/// Whether the pod counts otherwise than before.
fn differs(diff: &Diff<PodView>) -> bool {
    match (&diff.old, &diff.new) {
        (Some(old), Some(new)) => counted(old) != counted(new),
        _ => true,
    }
}

/// What quotas look at, in the object's form.
fn counted(pod: &PodView) -> Value {
    let containers = |list: &[ContainerView]| -> Vec<Value> {
        let one = |c: &ContainerView| {
            json!({"restartPolicy": c.restart_policy,
                "resources": {"requests": c.resources.requests, "limits": c.resources.limits}})
        };
        list.iter().map(one).collect()
    };
    let spec = &pod.spec;
    let elsewhere = json!({"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [{"namespaces": [""]}]}});
    json!({
        "metadata": {"deletionTimestamp": pod.metadata.deletion_timestamp,
            "deletionGracePeriodSeconds": pod.metadata.deletion_grace_period_seconds},
        "spec": {
            "activeDeadlineSeconds": spec.active_deadline_seconds, "priorityClassName": spec.priority_class_name,
            "overhead": spec.overhead,
            "resources": {"requests": spec.resources.requests, "limits": spec.resources.limits},
            "containers": containers(&spec.containers), "initContainers": containers(&spec.init_containers),
            "affinity": spec.affinity.looks_elsewhere.then_some(elsewhere),
        },
        "status": {"phase": pod.phase(), "qosClass": pod.status.qos_class},
    })
}

fn count(world: &World, quota: &ResourceQuota, now: Timestamp) -> Plan {
    let mut plan = Plan::default();
    let as_value = json!(quota);
    let hard = quota::amounts(&as_value, "/spec/hard");
    let mut used: Amounts = hard
        .keys()
        .map(|name| (name.clone(), Amount::default()))
        .collect();
    let namespace = quota.metadata.namespace.as_deref().unwrap_or_default();
    let mut add = |plural: &str, object: &Value| {
        if !quota::matches(&as_value, "", plural, object) {
            return;
        }
        for (name, amount) in quota::usage("", plural, object, now.as_second()) {
            if let Some(sum) = used.get_mut(&name) {
                *sum = sum.plus(amount);
            }
        }
    };
    for pod in world.pods.in_namespace(namespace) {
        add("pods", &counted(pod));
        // One whose node does not end it in time stops counting.
        let deleted = pod.metadata.deletion_timestamp.as_ref();
        if let (Some(at), Some(grace)) = (deleted, pod.metadata.deletion_grace_period_seconds) {
            let over = clock::after(at.0, grace.saturating_add(1));
            if over > now {
                clock::look_at(&mut plan, over, now);
            }
        }
    }
    for claim in world.claims.in_namespace(namespace) {
        add("persistentvolumeclaims", &json!(claim.as_ref()));
    }
    for service in world.services.in_namespace(namespace) {
        add("services", &json!(service.as_ref()));
    }
    for ((group, plural), number) in world.graph.counts(namespace) {
        if MEASURED.contains(&(group, plural))
            || !quota::matches(&as_value, group, plural, &Value::Null)
        {
            continue;
        }
        for name in quota::usage(group, plural, &Value::Null, now.as_second()).into_keys() {
            if let Some(sum) = used.get_mut(&name) {
                *sum = Amount::count(number);
            }
        }
    }
    let same = |pointer: &str, is: &Amounts| {
        let was = quota::amounts(&as_value, pointer);
        let numbers = |amounts: &Amounts| -> Vec<(String, i128)> {
            let one = |(name, amount): (&String, &Amount)| (name.clone(), amount.quantity.nano);
            amounts.iter().map(one).collect()
        };
        numbers(&was) == numbers(is)
    };
    if same("/status/hard", &hard) && same("/status/used", &used) {
        return plan;
    }
    plan.actions.push(Action::SetStatus {
        target: Target::of::<ResourceQuota>(&quota.metadata),
        resource_version: quota.metadata.resource_version.clone(),
        status: json!({"hard": as_value["spec"]["hard"], "used": quota::to_value(&used)}),
    });
    plan
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_a_namespace_uses() {
        let quota = |status: &Value| {
            json!({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"namespace": "a", "name": "q"},
                "spec": {"hard": {"pods": "4", "requests.cpu": "1", "limits.memory": "1Gi", "services": "2"}}, "status": status})
        };
        let pod = |name: &str, phase: &str| {
            json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"namespace": "a", "name": name}, "status": {"phase": phase},
                "spec": {"containers": [{"name": "c", "resources": {"requests": {"cpu": "100m"}, "limits": {"memory": "64Mi"}}}]}})
        };
        let service = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"namespace": "a", "name": "s"}});
        let now = Timestamp::UNIX_EPOCH;
        let key = ("a".to_owned(), "q".to_owned());
        let mut objects = vec![
            quota(&json!({})),
            pod("one", "Running"),
            pod("two", "Pending"),
            pod("over", "Failed"),
            service,
        ];
        let plan = Quotas.reconcile(&World::of(&objects), &key, now);
        let [Action::SetStatus { status, .. }] = plan.actions.as_slice() else {
            panic!("{plan:?}");
        };
        assert_eq!(
            status["used"],
            json!({"pods": "2", "requests.cpu": "200m", "limits.memory": "128Mi", "services": "1"})
        );
        assert_eq!(status["hard"]["pods"], "4");
        objects[0] = quota(status);
        assert_eq!(
            Quotas.reconcile(&World::of(&objects), &key, now),
            Plan::default()
        );
    }
}
