//! Never more in a node than fits and never against a rule, whatever comes in which order.
#![allow(clippy::unwrap_used)]

use super::*;
use crate::scheduler::testing::{self, both, labelled, node, pod, required, spread, term, track};
use proptest::prelude::*;
use serde_json::json;

const ZONE: &str = "topology.kubernetes.io/zone";
const HOST: &str = "kubernetes.io/hostname";
const NO_VICTIMS: &str =
    "preemption: 0/1 nodes are available: 1 No preemption victims found for incoming pod.";

fn room(name: &str, memory: u64, pods: u64) -> Node {
    node(
        name,
        &json!({"status": {"allocatable": {"memory": memory.to_string(), "pods": pods.to_string()}}}),
    )
}

fn sized(name: &str, memory: u64, on: Option<&str>) -> Pod {
    pod(
        name,
        &json!({"spec": {"nodeName": on, "containers": [
            {"name": "c", "resources": {"requests": {"memory": memory.to_string()}}}]}}),
    )
}

fn with_priority(name: &str, memory: u64, priority: i32, on: Option<&str>) -> Pod {
    let mut pod = sized(name, memory, on);
    pod.spec.as_mut().unwrap().priority = Some(priority);
    pod
}

fn key(name: &str) -> PodKey {
    ("n".to_owned(), name.to_owned())
}

/// The next decision: `=node`, or the message.
fn decided(cache: &mut Cache) -> String {
    match cache.next().unwrap().1 {
        Decision::Bind(node) => format!("={node}"),
        Decision::Unschedulable { message, .. } => message,
        other => format!("{other:?}"),
    }
}

fn later(cache: &mut Cache, seconds: u64) {
    cache.tick(cache.now + Duration::from_secs(seconds));
}

#[test]
fn a_pod_that_does_not_fit_is_told_once_and_tried_when_room_comes() {
    let mut cache = Cache::default();
    cache.on_pod(Event::Applied(sized("a", 600, None)));
    assert_eq!(decided(&mut cache), "no nodes available to schedule pods");
    assert!(cache.next().is_none());
    later(&mut cache, 1);
    cache.on_node(Event::Applied(room("n", 1000, 10)));
    assert_eq!(decided(&mut cache), "=n");
    cache.on_pod(Event::Applied(sized("b", 600, None)));
    assert_eq!(
        decided(&mut cache),
        format!("0/1 nodes are available: 1 Insufficient memory. {NO_VICTIMS}")
    );
    later(&mut cache, 1);
    cache.on_node(Event::Applied(room("n", 1000, 10)));
    cache.on_pod(Event::Applied(sized("a", 600, None)));
    cache.on_pod(Event::Applied(sized("a", 600, Some("n"))));
    cache.on_node(Event::Applied(room("small", 100, 10)));
    assert!(cache.next().is_none(), "nothing changed that could help");
    cache.on_pod(Event::Deleted(sized("a", 600, Some("n"))));
    assert_eq!(decided(&mut cache), "=n");
}

#[test]
fn a_pod_woken_too_soon_waits_for_its_back_off_and_a_forgotten_one_for_the_flush() {
    let mut cache = Cache::default();
    cache.on_node(Event::Applied(room("n", 100, 10)));
    cache.on_pod(Event::Applied(sized("a", 600, None)));
    decided(&mut cache);
    cache.on_node(Event::Applied(room("n", 1000, 10)));
    assert!(cache.next().is_none());
    later(&mut cache, 1);
    assert_eq!(decided(&mut cache), "=n");
    cache.on_pod(Event::Applied(sized("b", 6000, None)));
    let first = cache.next().unwrap();
    later(&mut cache, 300);
    let (pod, again) = cache.next().unwrap();
    let Decision::Unschedulable { message, .. } = &again else {
        panic!("{again:?}")
    };
    assert_eq!(again, first.1);
    // The API says so already: nothing is written.
    assert_eq!(pod.told.as_ref(), Some(message));
}

#[test]
fn a_failed_binding_gives_the_room_back() {
    let mut cache = Cache::default();
    cache.on_node(Event::Restarted(vec![room("n", 1000, 10)]));
    cache.on_pod(Event::Restarted(vec![
        sized("a", 600, None),
        sized("b", 600, None),
    ]));
    assert_eq!(decided(&mut cache), "=n");
    assert!(decided(&mut cache).contains("Insufficient memory"));
    later(&mut cache, 1);
    cache.forget(&key("a"), "a");
    let (second, decision) = cache.next().unwrap();
    assert_eq!(second.name, "b");
    assert_eq!(decision, Decision::Bind("n".to_owned()));
    assert!(cache.next().is_none(), "a waits after its failure");
    later(&mut cache, 1);
    assert!(decided(&mut cache).contains("Insufficient memory"));
}

#[test]
fn the_emptier_node_wins_and_pods_are_counted() {
    let mut cache = Cache::default();
    cache.on_node(Event::Restarted(vec![
        room("m", 1000, 1),
        room("n", 1000, 1),
    ]));
    cache.on_pod(Event::Applied(sized("old", 500, Some("m"))));
    cache.on_pod(Event::Applied(sized("new", 1, None)));
    assert_eq!(decided(&mut cache), "=n");
    cache.on_pod(Event::Applied(sized("more", 1, None)));
    let said = decided(&mut cache);
    assert!(
        said.starts_with("0/2 nodes are available: 2 Too many pods."),
        "{said}"
    );
}

#[test]
fn gates_and_other_schedulers_keep_a_pod_out() {
    let mut cache = Cache::default();
    cache.on_node(Event::Restarted(vec![room("n", 1000, 10)]));
    let gated = pod(
        "p",
        &json!({"spec": {"schedulingGates": [{"name": "wait"}]}}),
    );
    cache.on_pod(Event::Applied(gated));
    let foreign = pod("q", &json!({"spec": {"schedulerName": "mine"}}));
    cache.on_pod(Event::Applied(foreign));
    assert!(cache.next().is_none());
    cache.on_pod(Event::Applied(pod("p", &json!({}))));
    assert_eq!(decided(&mut cache), "=n");
}

#[test]
fn a_pod_of_higher_priority_displaces_and_its_room_is_kept() {
    let mut cache = Cache::default();
    cache.on_node(Event::Restarted(vec![room("n", 1000, 10)]));
    cache.on_pod(Event::Applied(with_priority("low", 600, 0, Some("n"))));
    cache.on_pod(Event::Applied(with_priority("high", 600, 10, None)));
    let (_, decision) = cache.next().unwrap();
    let Decision::Preempt {
        node,
        victims,
        message,
        ..
    } = decision
    else {
        panic!("{decision:?}")
    };
    assert_eq!((node.as_str(), victims.len()), ("n", 1));
    assert_eq!(message, "0/1 nodes are available: 1 Insufficient memory.");
    // Its writes are done; the victim takes its time to end.
    cache.preempted(&key("high"));
    assert!(matches!(cache.next().unwrap().1, Decision::Wait(_)));
    assert!(cache.next().is_none());
    // The watch lags behind: the nomination and the deletion stay known.
    cache.on_pod(Event::Applied(with_priority("low", 600, 0, Some("n"))));
    // A third pod cannot have the room that becomes free, a small one can have what is left over.
    cache.on_pod(Event::Deleted(with_priority("low", 600, 0, Some("n"))));
    cache.on_pod(Event::Applied(with_priority("thief", 600, 9, None)));
    cache.on_pod(Event::Applied(with_priority("small", 300, 0, None)));
    assert_eq!(decided(&mut cache), "=n", "the nominated pod comes first");
    assert!(decided(&mut cache).contains("1 Insufficient memory"));
    assert_eq!(decided(&mut cache), "=n");
}

#[test]
fn room_that_is_being_made_is_not_given_away() {
    let mut cache = Cache::default();
    cache.on_node(Event::Restarted(vec![room("n", 1000, 10)]));
    let mut waiting = with_priority("high", 600, 10, None);
    waiting.status = serde_json::from_value(json!({"nominatedNodeName": "n"})).unwrap();
    waiting.spec.as_mut().unwrap().scheduling_gates = None;
    cache.on_pod(Event::Applied(waiting));
    // It is next, but somebody else of the same priority asks in the same moment.
    cache.queue.take();
    cache.on_pod(Event::Applied(with_priority("equal", 600, 10, None)));
    assert!(decided(&mut cache).contains("1 Insufficient memory"));
    cache.on_pod(Event::Applied(with_priority("higher", 600, 11, None)));
    assert_eq!(decided(&mut cache), "=n");
}

#[test]
fn a_failed_preemption_promises_nothing() {
    let mut cache = Cache::default();
    cache.on_node(Event::Restarted(vec![room("n", 1000, 10)]));
    cache.on_pod(Event::Applied(with_priority("low", 600, 0, Some("n"))));
    cache.on_pod(Event::Applied(with_priority("high", 600, 10, None)));
    assert!(matches!(cache.next().unwrap().1, Decision::Preempt { .. }));
    cache.not_preempted(&key("high"));
    assert!(cache.next().is_none());
    assert!(!cache.pods[&key("low")].pod.terminating);
    later(&mut cache, 1);
    assert!(matches!(cache.next().unwrap().1, Decision::Preempt { .. }));
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
                let mut sum = crate::scheduler::resources::Resources::default();
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
    fn a_decision_always_fits(sizes in proptest::collection::vec((1..900u64, 0..3i32), 1..30)) {
        let mut cache = Cache::default();
        cache.on_node(Event::Restarted(vec![room("m", 1000, 5), room("n", 2500, 20)]));
        for (i, (size, priority)) in sizes.iter().enumerate() {
            cache.on_pod(Event::Applied(with_priority(&i.to_string(), *size, *priority, None)));
        }
        while cache.next().is_some() {}
        for (_, state, info) in cache.cluster.nodes() {
            let nothing = crate::scheduler::resources::Resources::default();
            prop_assert!(state.used.fit(&info.allocatable, &nothing));
        }
    }
}

#[test]
fn a_namespace_that_is_labelled_wakes_those_who_meant_it() {
    let mut cache = Cache::default();
    cache.on_node(Event::Restarted(vec![room("n", 1000, 10)]));
    let mut friend = labelled("friend", "web", Some("n"));
    friend.metadata.namespace = Some("other".into());
    cache.on_pod(Event::Applied(friend));
    let mut near = term("web", HOST);
    near["namespaceSelector"] = json!({"matchLabels": {"team": "a"}});
    cache.on_pod(Event::Applied(pod("p", &required("podAffinity", &[near]))));
    assert!(decided(&mut cache).contains("didn't match pod affinity rules"));
    later(&mut cache, 1);
    let namespace = json!({"metadata": {"name": "other", "labels": {"team": "a"}}});
    cache.on_namespace(Event::Applied(serde_json::from_value(namespace).unwrap()));
    assert_eq!(decided(&mut cache), "=n");
}

#[test]
fn what_tracking_makes_is_released() {
    let mut cluster = testing::cluster(vec![node("n", &json!({}))], vec![]);
    let tracked = track(&mut cluster, some_pod(1, 5, 1));
    assert_eq!(cluster.counts.sizes(), [2, 2, 0, 1]);
    cluster.counts.release(&tracked.footing);
    assert_eq!(cluster.counts.sizes(), [0; 4]);
}
