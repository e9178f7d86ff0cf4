//! Whatever comes in which order: nothing over-committed, no rule broken, the same decision twice, and counts that are
//! what they would be if counted anew.
#![allow(clippy::unwrap_used)]

use super::*;
use crate::scheduler::resources::Resources;
use crate::scheduler::testing::{self, both, node, pod, required, spread, term};
use k8s_openapi::api::core::v1::Pod;
use proptest::prelude::*;
use serde_json::json;

const ZONE: &str = "topology.kubernetes.io/zone";
const HOST: &str = "kubernetes.io/hostname";

fn key(name: &str) -> PodKey {
    ("n".to_owned(), name.to_owned())
}

/// What can happen to a cluster of a few nodes and pods.
#[derive(Debug, Clone)]
enum Step {
    Pod(u8, u8, u8),
    Gone(u8),
    Ending(u8),
    BindingFails(u8),
    Seen(u8),
    Node(u8, u8),
    NodeGone(u8),
    Namespace(u8),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..10u8, 0..7u8, 0..3u8).prop_map(|(n, kind, app)| Step::Pod(n, kind, app)),
        2 => (0..10u8).prop_map(Step::Gone),
        1 => (0..10u8).prop_map(Step::Ending),
        1 => (0..10u8).prop_map(Step::BindingFails),
        2 => (0..10u8).prop_map(Step::Seen),
        2 => (0..5u8, 0..4u8).prop_map(|(n, zone)| Step::Node(n, zone)),
        1 => (0..5u8).prop_map(Step::NodeGone),
        1 => (0..2u8).prop_map(Step::Namespace),
    ]
}

fn some_node(number: u8, zone: u8) -> Node {
    // The fourth zone is none: a node without the label.
    let labels = if zone == 3 {
        json!({})
    } else {
        json!({ZONE: format!("z{zone}")})
    };
    node(
        &format!("n{number}"),
        &json!({"metadata": {"labels": labels}, "status": {"allocatable": {"memory": "1000", "pods": "4"}}}),
    )
}

fn some_pod(number: u8, kind: u8, app: u8) -> Pod {
    let app = format!("app{app}");
    let mut everywhere = term(&app, HOST);
    everywhere["namespaceSelector"] = json!({"matchLabels": {"team": "a"}});
    let rules = match kind {
        0 => json!({}),
        1 => required("podAntiAffinity", &[term(&app, HOST)]),
        2 => required("podAntiAffinity", &[everywhere]),
        3 => required("podAffinity", &[term(&app, ZONE)]),
        4 => json!({"spec": {"topologySpreadConstraints": [spread(&app, ZONE, &json!({}))]}}),
        5 => json!({"spec": {"topologySpreadConstraints": [
            spread(&app, ZONE, &json!({})), spread(&app, HOST, &json!({"whenUnsatisfiable": "ScheduleAnyway"}))]}}),
        _ => testing::preferred("podAntiAffinity", 10, &term(&app, ZONE)),
    };
    let base = json!({"metadata": {"labels": {"app": app}}, "spec": {"containers": [
        {"name": "c", "resources": {"requests": {"memory": "200"}}}]}});
    pod(&number.to_string(), &both(&base, &rules))
}

/// Counted anew: whether the rules of the pod and of those that are there allow the node.
fn is_allowed(cache: &Cache, tracked: &Tracked, node: &str) -> bool {
    let nodes: Vec<_> = cache
        .cluster
        .nodes()
        .map(|(_, _, info)| info.clone())
        .collect();
    let label = |node: &str, key: &str| {
        let info = nodes.iter().find(|info| info.name == node)?;
        info.labels.get(key).cloned()
    };
    let placed: Vec<&Arc<Tracked>> = cache.pods.values().filter(|t| t.pod.is_placed()).collect();
    let counts = &cache.cluster.counts;
    let near =
        |a: &str, b: &str, key: &str| label(a, key).is_some() && label(a, key) == label(b, key);
    let on = |t: &Tracked| t.pod.node.clone().unwrap();
    let pod = &tracked.pod;
    let apart = |asking: &PodInfo, meant: &PodInfo, other: &str| {
        asking
            .rules
            .apart
            .iter()
            .any(|t| counts.means(&t.matcher, meant) && near(node, other, &t.topology_key))
    };
    if placed
        .iter()
        .any(|t| apart(pod, &t.pod, &on(t)) || apart(&t.pod, pod, &on(t)))
    {
        return false;
    }
    for term in &pod.rules.near {
        let meant: Vec<_> = placed
            .iter()
            .filter(|t| {
                counts.means(&term.matcher, &t.pod) && label(&on(t), &term.topology_key).is_some()
            })
            .collect();
        let own = counts.means(&term.matcher, pod);
        let first = meant.is_empty() && own && label(node, &term.topology_key).is_some();
        if !first && !meant.iter().any(|t| near(node, &on(t), &term.topology_key)) {
            return false;
        }
    }
    for limit in pod.rules.spread.iter().filter(|s| s.is_hard) {
        let key = &limit.term.topology_key;
        let Some(domain) = label(node, key) else {
            return false;
        };
        let mut domains: BTreeMap<String, i64> = BTreeMap::new();
        for info in &nodes {
            if let Some(value) = info.labels.get(key) {
                domains.entry(value.clone()).or_default();
            }
        }
        for t in &placed {
            if counts.means(&limit.term.matcher, &t.pod)
                && !t.pod.terminating
                && let Some(value) = label(&on(t), key)
            {
                *domains.entry(value).or_default() += 1;
            }
        }
        let own = i64::from(counts.means(&limit.term.matcher, pod));
        if domains[&domain] + own - domains.values().min().unwrap() > limit.max_skew {
            return false;
        }
    }
    true
}

/// Everything a decision could read of the counts about one pod, by name instead of number.
fn readable(cluster: &Cluster, tracked: &Tracked) -> Vec<String> {
    let (counts, footing) = (&cluster.counts, &tracked.footing);
    let mut lines = Vec::new();
    let mut nodes: Vec<_> = cluster
        .nodes()
        .map(|(n, _, info)| (info.name.clone(), n))
        .collect();
    nodes.sort();
    let lists = [
        &footing.near,
        &footing.apart,
        &footing.preferred,
        &footing.spread,
    ];
    for counter in lists.into_iter().flatten() {
        let (tally, topology) = counts.counted(*counter).unwrap();
        let own = counts.counts_itself(footing, *counter);
        let per_node: Vec<_> = nodes
            .iter()
            .map(|(name, n)| (name, tally.on(*n), tally.within(topology.of(*n))))
            .collect();
        lines.push(format!(
            "{} {own} {} {per_node:?}",
            topology.key, tally.total
        ));
    }
    let mut held: Vec<String> = counts
        .held_by(footing)
        .map(|(wish, tally, topology)| {
            let per_node: Vec<_> = nodes
                .iter()
                .map(|(_, n)| tally.within(topology.of(*n)))
                .collect();
            format!("{wish:?} {} {per_node:?}", topology.key)
        })
        .collect();
    held.sort();
    lines.extend(held);
    lines
}

/// The same nodes and pods, counted from nothing.
fn rebuilt(cache: &Cache) -> (Cluster, Vec<Arc<Tracked>>) {
    let mut cluster = Cluster::default();
    for name in &cache.namespaces {
        cluster.counts.set_namespace(name, Some(team()));
    }
    for (_, _, info) in cache.cluster.nodes() {
        cluster.set_node(Arc::new(info.clone()));
    }
    let mut all = Vec::new();
    for tracked in cache.pods.values() {
        let footing = cluster.counts.acquire(&tracked.pod);
        let again = Arc::new(Tracked {
            pod: Arc::clone(&tracked.pod),
            footing,
        });
        if let Some(node) = &again.pod.node {
            cluster.place(&again, node);
        }
        all.push(again);
    }
    (cluster, all)
}

fn team() -> BTreeMap<String, String> {
    [("team".to_owned(), "a".to_owned())].into()
}

fn happen(cache: &mut Cache, step: &Step, kinds: &mut BTreeMap<u8, (u8, u8)>) {
    let known = |cache: &Cache, n: u8| cache.pods.get(&key(&n.to_string())).cloned();
    match step {
        Step::Pod(n, kind, app) => {
            // A pod's rules never change while it lives.
            if known(cache, *n).is_none() {
                kinds.insert(*n, (*kind, *app));
                cache.on_pod(Event::Applied(some_pod(*n, *kind, *app)));
            }
        }
        Step::Gone(n) => {
            if let Some((kind, app)) = kinds.get(n) {
                cache.on_pod(Event::Deleted(some_pod(*n, *kind, *app)));
            }
        }
        Step::Ending(n) | Step::Seen(n) => {
            let bound = known(cache, *n).and_then(|t| t.pod.node.clone());
            if let (Some(node), Some((kind, app))) = (bound, kinds.get(n)) {
                let mut pod = some_pod(*n, *kind, *app);
                pod.spec.as_mut().unwrap().node_name = Some(node);
                if matches!(step, Step::Ending(_)) {
                    let at = serde_json::from_value(json!("2026-01-01T00:00:00Z")).unwrap();
                    pod.metadata.deletion_timestamp = at;
                }
                cache.on_pod(Event::Applied(pod));
            }
        }
        Step::BindingFails(n) => cache.forget(&key(&n.to_string()), &n.to_string()),
        Step::Node(n, zone) => cache.on_node(Event::Applied(some_node(*n, *zone))),
        Step::NodeGone(n) => cache.on_node(Event::Deleted(some_node(*n, 0))),
        Step::Namespace(there) => {
            let namespace: Namespace =
                serde_json::from_value(json!({"metadata": {"name": "n", "labels": {"team": "a"}}}))
                    .unwrap();
            cache.on_namespace(if *there == 1 {
                Event::Applied(namespace)
            } else {
                Event::Deleted(namespace)
            });
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn rules_hold_and_counts_are_what_they_would_be_if_counted_anew(
        steps in proptest::collection::vec(step(), 1..60),
    ) {
        let (mut cache, mut twin) = (Cache::default(), Cache::default());
        let (mut kinds, mut same) = (BTreeMap::new(), BTreeMap::new());
        for (at, step) in steps.iter().enumerate() {
            let now = Duration::from_secs(at as u64 * 20);
            for (cache, kinds) in [(&mut cache, &mut kinds), (&mut twin, &mut same)] {
                cache.tick(now);
                happen(cache, step, kinds);
            }
            loop {
                let before: Vec<_> = cache.pods.values().cloned().collect();
                // The rules are checked against what was before the decision.
                let mut asked = None;
                let decision = {
                    let next = cache.next();
                    if let Some((pod, _)) = &next {
                        asked = before.iter().find(|t| t.pod.uid == pod.uid).cloned();
                    }
                    next
                };
                prop_assert_eq!(decision.clone(), twin.next(), "the same decision twice");
                let Some((pod, decision)) = decision else { break };
                let Decision::Bind(node) = decision else { continue };
                let asked = asked.unwrap();
                let placed = cache.pods.remove(&pod.key()).unwrap();
                prop_assert!(is_allowed(&cache, &asked, &node), "{:?} on {}", pod, node);
                cache.pods.insert(pod.key(), placed);
            }
            for (_, state, info) in cache.cluster.nodes() {
                let mut sum = Resources::default();
                for tracked in cache.pods.values().filter(|t| t.pod.node.as_ref() == Some(&info.name)) {
                    sum.add(&tracked.pod.requests);
                }
                prop_assert_eq!(&sum, &state.used);
                prop_assert!(sum.pods <= info.allocatable.pods && sum.memory <= info.allocatable.memory);
            }
            let (fresh, again) = rebuilt(&cache);
            for (tracked, again) in cache.pods.values().zip(&again) {
                prop_assert_eq!(readable(&cache.cluster, tracked), readable(&fresh, again));
            }
            prop_assert_eq!(cache.cluster.counts.sizes(), fresh.counts.sizes(), "nothing is left behind");
        }
    }

    #[test]
    fn room_is_only_taken_from_lower_priority_and_never_twice(
        sizes in proptest::collection::vec((1..900u64, 0..4i32), 1..30),
    ) {
        let mut cache = Cache::default();
        let rooms = [("m", 1000, 5), ("n", 2500, 20)];
        let room = |(name, memory, pods): (&str, u32, u32)| node(
            name,
            &json!({"status": {"allocatable": {"memory": memory.to_string(), "pods": pods.to_string()}}}),
        );
        cache.on_node(Event::Restarted(rooms.map(room).into()));
        let sized = |name: &str, (size, priority): (u64, i32), on: Option<&String>| pod(
            name,
            &json!({"spec": {"nodeName": on, "priority": priority, "containers": [
                {"name": "c", "resources": {"requests": {"memory": size.to_string()}}}]}}),
        );
        for (i, size) in sizes.iter().enumerate() {
            cache.on_pod(Event::Applied(sized(&i.to_string(), *size, None)));
            while let Some((asked, decision)) = cache.next() {
                if let Decision::Preempt { victims, .. } = decision {
                    prop_assert!(!victims.is_empty());
                    for victim in victims {
                        prop_assert!(victim.priority < asked.priority);
                        let size = sizes[victim.name.parse::<usize>().unwrap()];
                        cache.on_pod(Event::Deleted(sized(&victim.name, size, victim.node.as_ref())));
                    }
                    cache.preempted(&asked.key());
                    // The room that was made is taken by whom it was made for.
                    let next = cache.next();
                    let bound = matches!(&next, Some((pod, Decision::Bind(_))) if pod.uid == asked.uid);
                    prop_assert!(bound, "{:?}", next);
                }
                for (_, state, info) in cache.cluster.nodes() {
                    prop_assert!(state.used.fit(&info.allocatable, &Resources::default()));
                }
            }
        }
        prop_assert!(cache.doomed.is_empty() && cache.nominated.is_empty() && cache.nominating.is_empty());
    }
}
