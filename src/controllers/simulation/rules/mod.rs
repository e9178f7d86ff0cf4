//! What must be so in a settled world: what users asked for. Each rule answers with what breaks it.

mod batch;
mod life;
mod policy;
mod services;
mod storage;
mod workloads;

use crate::controllers::world::{PodView, World, controller};
use crate::object::amount::Amount;
use crate::object::quota;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::json;

type Rule = fn(&World) -> Vec<String>;

/// The controllers that are to see to it (by the names of their events), the rule, and how it is looked at.
const RULES: &[(&[&str], &str, Rule)] = &[
    (
        &["replicaset-controller", "replication-controller"],
        "sets have the pods they ask for",
        workloads::sized,
    ),
    (
        &["deployment-controller"],
        "rollouts are through, or said to be stuck",
        workloads::rolled_out,
    ),
    (
        &["statefulset-controller"],
        "stateful sets have their names",
        workloads::named_pods,
    ),
    (
        &["daemonset-controller"],
        "every node has its daemons",
        workloads::daemons,
    ),
    (
        &["job-controller"],
        "jobs end, and their pods are let go",
        batch::ended,
    ),
    (
        &["ttl-after-finished-controller"],
        "jobs go in time",
        batch::expired,
    ),
    (
        &["cronjob-controller"],
        "the history is kept short",
        batch::history,
    ),
    (
        &["endpoint-slice-controller", "endpoint-controller"],
        "slices and endpoints are the ready pods",
        services::served,
    ),
    (
        &["endpoint-slice-mirroring-controller"],
        "endpoints of users are mirrored",
        services::mirrored,
    ),
    (
        &["persistentvolume-controller"],
        "claims and volumes have each other",
        storage::bound,
    ),
    (
        &["ephemeral-volume-controller"],
        "pods have the claims they bring",
        storage::ephemeral,
    ),
    (
        &["controllermanager"],
        "budgets count the healthy pods",
        policy::budgeted,
    ),
    (
        &["resourcequota-controller"],
        "quotas count what there is",
        policy::counted,
    ),
    (
        &["horizontal-pod-autoscaler"],
        "targets are as large as their load",
        policy::scaled,
    ),
    (
        &[
            "service-account-controller",
            "root-ca-certificate-publisher-controller",
        ],
        "namespaces have an account and a certificate",
        life::furnished,
    ),
    (
        &["serviceaccount-token-controller"],
        "token Secrets have a token and an account",
        life::tokens,
    ),
    (
        &["clusterrole-aggregation-controller"],
        "roles are the sum of their parts",
        life::aggregated,
    ),
    (
        &["garbage-collector-controller"],
        "no object outlives its owners",
        life::orphans,
    ),
    (
        &["namespace-controller"],
        "no deletion waits without need",
        life::ending,
    ),
    (
        &["node-controller", "taint-eviction-controller"],
        "nodes that are well evict nobody",
        life::spared,
    ),
    (
        &["pod-garbage-collector"],
        "pods are on nodes that are there",
        life::placed,
    ),
];

/// Every rule that does not hold, and where.
pub fn broken(world: &World) -> Vec<String> {
    let told = |(_, name, rule): &(_, &str, Rule)| -> Vec<String> {
        let broken = rule(world).into_iter();
        broken.map(|what| format!("{name}: {what}")).collect()
    };
    RULES.iter().flat_map(told).collect()
}

fn named(meta: &ObjectMeta) -> String {
    let text = |part: &Option<String>| part.clone().unwrap_or_default();
    format!("{}/{}", text(&meta.namespace), text(&meta.name))
}

/// A quota of the namespace refuses more pods or claims.
fn is_starved(world: &World, namespace: &str) -> bool {
    world.quotas.in_namespace(namespace).any(|one| {
        let one = json!(one.as_ref());
        let (hard, used) = (
            quota::amounts(&one, "/spec/hard"),
            quota::amounts(&one, "/status/used"),
        );
        let is_reached = |name, most: &Amount| {
            let used: Option<&Amount> = used.get(name);
            used.is_some_and(|used| used.quantity >= most.quantity)
        };
        hard.iter().any(|(name, most)| is_reached(name, most))
    })
}

/// The pod's image never comes.
fn is_stuck(pod: &PodView) -> bool {
    let mut containers = pod.spec.containers.iter();
    containers.any(|c| c.image.as_deref() == Some(super::manifests::STUCK))
}

fn is_owned(meta: &ObjectMeta, uid: &str) -> bool {
    controller(meta).is_some_and(|owner| owner.uid == uid)
}

#[test]
fn every_controller_has_a_rule() {
    for one in crate::controllers::all(crate::controllers::Settings::test()) {
        let mut names = RULES.iter().flat_map(|(names, ..)| names.iter());
        assert!(names.any(|name| *name == one.name()), "{}", one.name());
    }
}
