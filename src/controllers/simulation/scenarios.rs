//! Steps in an order that chance seldom finds.

use super::actors::Fate;
use super::converge::run;
use super::manifests::MANIFESTS;
use super::user::Deed;
use super::{Simulation, Step};
use crate::object::access::list;
use http::Method;
use serde_json::json;

/// The number of a manifest.
fn kind(plural: &str, prefix: &str) -> usize {
    let is = |m: &super::manifests::Manifest| {
        m.plural == plural && m.object("a")["metadata"]["name"] == format!("{prefix}a")
    };
    MANIFESTS.iter().position(is).unwrap()
}

fn create(plural: &str, prefix: &str, name: usize) -> Step {
    Step::User(Deed::Create(kind(plural, prefix), name, 0))
}

/// Then the cluster settles, and all that must hold in the end does.
fn one_after_the_other(scenario: impl AsyncFnOnce(&mut Simulation)) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let mut simulation = Simulation::new().await;
        scenario(&mut simulation).await;
        simulation.settle().await;
        simulation.check().await;
    });
}

#[test]
fn one_of_everything() {
    let steps: Vec<Step> = (0..MANIFESTS.len())
        .flat_map(|kind| [(kind, 0), (kind, 1)])
        // The quota that refuses most would hide what the others do.
        .filter(|(kind, name)| MANIFESTS[*kind].plural != "resourcequotas" || *name == 0)
        .map(|(kind, name)| Step::User(Deed::Create(kind, name, 0)))
        .collect();
    run(&steps);
}

#[test]
fn what_never_had_an_owner_goes() {
    run(&[create("secrets", "", 0), Step::News(3), Step::Decide]);
}

#[test]
fn a_node_that_falls_silent_comes_back() {
    let mut steps = vec![
        create("replicasets", "", 0),
        Step::Advance(5),
        Step::Silence(0, true),
    ];
    for _ in 0..8 {
        steps.extend([Step::Advance(10), Step::Decide, Step::Hear, Step::News(1)]);
    }
    run(&steps);
}

/// Time passes, and everything that is due is done, but no kubelet moves.
async fn pass(simulation: &mut Simulation, rounds: usize) {
    for _ in 0..rounds {
        simulation.step(&Step::Advance(10)).await;
        simulation.hear_all().await;
        for _ in 0..20 {
            simulation.step(&Step::Decide).await;
            simulation.step(&Step::Hear).await;
        }
    }
}

#[test]
fn pods_of_a_node_that_is_gone_go() {
    one_after_the_other(async |simulation| {
        simulation.step(&create("replicasets", "", 0)).await;
        simulation.settle().await;
        for index in 0..3 {
            simulation.step(&Step::User(Deed::DropNode(index))).await;
        }
        pass(simulation, 8).await;
        let bound = simulation.runner.world.pods.iter();
        let bound = bound.filter(|pod| pod.spec.node_name.is_some()).count();
        assert_eq!(bound, 0, "{}", simulation.trail);
    });
}

#[test]
fn pods_of_a_silent_node_are_evicted_and_made_elsewhere() {
    one_after_the_other(async |simulation| {
        simulation.step(&create("replicasets", "", 0)).await;
        simulation.settle().await;
        let on = |simulation: &Simulation, node: &str| {
            let pods = simulation.runner.world.pods.iter();
            let here = pods.filter(|pod| pod.spec.node_name.as_deref() == Some(node));
            here.filter(|pod| pod.is_active()).count()
        };
        let node = ["n1", "n2", "n3"]
            .into_iter()
            .position(|node| on(simulation, node) > 0)
            .unwrap();
        simulation.step(&Step::Advance(5)).await;
        simulation.step(&Step::Silence(node, true)).await;
        // Forty seconds of grace, five minutes that pods tolerate.
        pass(simulation, 45).await;
        assert_eq!(
            on(simulation, super::actors::NODES[node]),
            0,
            "{}",
            simulation.trail
        );
    });
}

#[test]
fn a_clock_that_jumps_brings_no_storm_of_jobs() {
    one_after_the_other(async |simulation| {
        simulation.step(&create("cronjobs", "", 0)).await;
        simulation.step(&create("cronjobs", "", 1)).await;
        let mut most = 0;
        for minutes in [2, 3 * 24 * 60, 1, -8, 1, 500_000, 1] {
            simulation.step(&Step::Jump(minutes)).await;
            pass(simulation, 7).await;
            most = most.max(simulation.runner.world.jobs.iter().count());
        }
        // One of each that has not ended yet; nobody lets any end.
        assert!((1..=2).contains(&most), "{most} {}", simulation.trail);
    });
}

#[test]
fn a_namespace_goes_with_all_that_is_in_it() {
    one_after_the_other(async |simulation| {
        for (kind, manifest) in MANIFESTS.iter().enumerate() {
            for name in 0..2 {
                if manifest.plural != "resourcequotas" {
                    let create = Step::User(Deed::Create(kind, name, 1));
                    simulation.step(&create).await;
                }
            }
        }
        simulation.settle().await;
        simulation.step(&Step::User(Deed::Namespace(false))).await;
        simulation.settle().await;
        simulation.check().await;
        for (group, plural) in [
            ("/api/v1", "pods"),
            ("/api/v1", "persistentvolumeclaims"),
            ("/apis/discovery.k8s.io/v1", "endpointslices"),
            ("/apis/apps/v1", "controllerrevisions"),
        ] {
            let path = super::manifests::collection(group, plural, "side");
            let left = simulation.admin.send_value(Method::GET, &path, None).await;
            assert!(list(&left.unwrap(), "/items").is_empty(), "{plural}");
        }
        let namespaces = &simulation.runner.world.namespaces;
        assert!(namespaces.get(&(String::new(), "side".into())).is_none());
    });
}

/// How many times anything was written until the cluster settled.
async fn writes(simulation: &mut Simulation) -> u64 {
    let before = simulation.raft.store.revision();
    simulation.settle().await;
    simulation.raft.store.revision().0 - before.0
}

#[test]
fn what_fights_over_pods_writes_little() {
    one_after_the_other(async |simulation| {
        for (plural, prefix) in [("replicasets", "twin-"), ("replicasets", "all-")] {
            simulation.step(&create(plural, prefix, 0)).await;
            simulation.step(&create(plural, prefix, 1)).await;
        }
        let written = writes(simulation).await;
        // Six pods, each written when it is made, placed, running and told of in its set's status.
        assert!(written < 60, "{written} writes\n{}", simulation.trail);
        // A pod that all four would adopt goes to one of them, and one pod of that one goes.
        let stray = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "stray", "labels": {"app": "twin"}},
            "spec": {"containers": [super::manifests::container(1)]}});
        let path = super::manifests::collection("/api/v1", "pods", "sim");
        let content = Some(("application/json", &stray));
        let made = simulation.admin.send_value(Method::POST, &path, content);
        made.await.unwrap();
        let written = writes(simulation).await;
        assert!(written < 25, "{written} writes\n{}", simulation.trail);
    });
}

#[test]
fn an_image_that_never_comes_is_told_of_once() {
    one_after_the_other(async |simulation| {
        for (plural, name) in [
            ("deployments", 0),
            ("statefulsets", 0),
            ("statefulsets", 1),
            ("daemonsets", 0),
            ("daemonsets", 1),
        ] {
            simulation.step(&create(plural, "", name)).await;
        }
        simulation.settle().await;
        for (plural, name) in [
            ("deployments", "a"),
            ("statefulsets", "a"),
            ("statefulsets", "b"),
            ("daemonsets", "a"),
            ("daemonsets", "b"),
        ] {
            let path = super::manifests::collection("/apis/apps/v1", plural, "sim");
            let containers = json!([super::manifests::container(0)]);
            let change = json!({"spec": {"template": {"spec": {"containers": containers}}}});
            let content = Some(("application/merge-patch+json", &change));
            let path = format!("{path}/{name}");
            let changed = simulation.admin.send_value(Method::PATCH, &path, content);
            changed.await.unwrap();
        }
        let written = writes(simulation).await;
        assert!(written < 120, "{written} writes\n{}", simulation.trail);
        let before = simulation.raft.store.revision();
        for _ in 0..60 {
            simulation.step(&Step::Advance(60)).await;
            simulation.step(&Step::Decide).await;
            simulation.step(&Step::Hear).await;
        }
        assert_eq!(
            simulation.raft.store.revision(),
            before,
            "{}",
            simulation.trail
        );
    });
}

#[test]
fn a_quota_that_refuses_all_is_asked_seldom() {
    one_after_the_other(async |simulation| {
        simulation.step(&create("resourcequotas", "", 1)).await;
        simulation.settle().await;
        for (plural, name) in [
            ("deployments", 0),
            ("replicasets", 0),
            ("statefulsets", 1),
            ("daemonsets", 0),
        ] {
            simulation.step(&create(plural, "", name)).await;
        }
        simulation.settle().await;
        let mut plans = 0;
        let before = simulation.raft.store.revision();
        for _ in 0..600 {
            simulation.step(&Step::Advance(1)).await;
            simulation.step(&Step::Decide).await;
            plans += simulation.under_way.len();
            simulation.step(&Step::Hear).await;
        }
        assert_eq!(
            simulation.raft.store.revision(),
            before,
            "{}",
            simulation.trail
        );
        // Each of those that are refused asks twice a minute at most.
        assert!((1..=100).contains(&plans), "{plans}\n{}", simulation.trail);
    });
}

#[test]
fn evicted_pods_stay_within_the_budget() {
    one_after_the_other(async |simulation| {
        simulation.step(&create("deployments", "", 0)).await;
        simulation
            .step(&create("poddisruptionbudgets", "", 0))
            .await;
        simulation.settle().await;
        for index in 0..2 {
            simulation.step(&Step::User(Deed::Evict(index))).await;
        }
        let pods = simulation
            .admin
            .send_value(Method::GET, "/api/v1/namespaces/sim/pods", None)
            .await;
        let ending = |pod: &&serde_json::Value| !pod["metadata"]["deletionTimestamp"].is_null();
        let count = list(&pods.unwrap(), "/items").iter().filter(ending).count();
        assert_eq!(count, 1);
        for index in 0..4 {
            simulation.step(&Step::Kubelet(index, Fate::Well)).await;
        }
    });
}
