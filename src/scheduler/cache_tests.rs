//! Never more in a node than fits, whatever comes in which order.
#![allow(clippy::unwrap_used)]

use super::*;
use proptest::prelude::*;
use serde_json::json;

fn node(name: &str, memory: u64, pods: u64) -> Node {
    serde_json::from_value(json!({
        "metadata": {"name": name},
        "status": {"allocatable": {"cpu": "4", "memory": memory.to_string(), "pods": pods.to_string()}}
    }))
    .unwrap()
}

fn pod(name: &str, memory: u64, bound: Option<&str>) -> Pod {
    serde_json::from_value(json!({
        "metadata": {"name": name, "namespace": "default", "uid": format!("uid-{name}")},
        "spec": {"nodeName": bound, "containers": [
            {"name": "c", "resources": {"requests": {"memory": memory.to_string()}}}
        ]}
    }))
    .unwrap()
}

fn key(name: &str) -> PodKey {
    ("default".to_owned(), name.to_owned())
}

#[test]
fn a_pod_that_does_not_fit_is_told_once_and_tried_when_room_comes() {
    let mut cache = Cache::default();
    cache.on_pod(Event::Applied(pod("a", 600, None)));
    let (_, decision) = cache.next().unwrap();
    let none = "no nodes available to schedule pods".to_owned();
    assert_eq!(decision, Decision::Unschedulable(none));
    assert!(cache.next().is_none());
    cache.on_node(Event::Applied(node("n", 1000, 10)));
    assert_eq!(cache.next().unwrap().1, Decision::Bind("n".to_owned()));
    cache.on_pod(Event::Applied(pod("b", 600, None)));
    let expected = "0/1 nodes are available: 1 Insufficient memory.".to_owned();
    assert_eq!(cache.next().unwrap().1, Decision::Unschedulable(expected));
    cache.on_node(Event::Applied(node("n", 1000, 10)));
    cache.on_pod(Event::Applied(pod("a", 600, None)));
    cache.on_pod(Event::Applied(pod("a", 600, Some("n"))));
    assert!(cache.next().is_none(), "nothing changed that could help");
    cache.on_pod(Event::Deleted(pod("a", 600, Some("n"))));
    assert_eq!(cache.next().unwrap().1, Decision::Bind("n".to_owned()));
}

#[test]
fn a_failed_binding_gives_the_room_back() {
    let mut cache = Cache::default();
    cache.on_node(Event::Restarted(vec![node("n", 1000, 10)]));
    cache.on_pod(Event::Restarted(vec![
        pod("a", 600, None),
        pod("b", 600, None),
    ]));
    assert_eq!(cache.next().unwrap().1, Decision::Bind("n".to_owned()));
    assert!(matches!(
        cache.next().unwrap().1,
        Decision::Unschedulable(_)
    ));
    cache.forget(&key("a"), "uid-a");
    let (second, decision) = cache.next().unwrap();
    assert_eq!(
        (second.name.as_str(), decision),
        ("b", Decision::Bind("n".to_owned()))
    );
    cache.retry(&key("a"));
    assert!(matches!(
        cache.next().unwrap().1,
        Decision::Unschedulable(_)
    ));
}

#[test]
fn the_emptier_node_wins_and_pods_are_counted() {
    let mut cache = Cache::default();
    cache.on_node(Event::Restarted(vec![
        node("m", 1000, 1),
        node("n", 1000, 1),
    ]));
    cache.on_pod(Event::Applied(pod("old", 500, Some("m"))));
    cache.on_pod(Event::Applied(pod("new", 1, None)));
    assert_eq!(cache.next().unwrap().1, Decision::Bind("n".to_owned()));
    cache.on_pod(Event::Applied(pod("more", 1, None)));
    let expected = "0/2 nodes are available: 2 Too many pods.".to_owned();
    assert_eq!(cache.next().unwrap().1, Decision::Unschedulable(expected));
}

proptest! {
    #[test]
    fn never_over_commits(steps in proptest::collection::vec((0..5u8, 0..12u8, 1..700u64), 1..80)) {
        let mut cache = Cache::default();
        cache.on_node(Event::Restarted(vec![node("m", 1000, 5), node("n", 1500, 4)]));
        for (what, which, memory) in steps {
            let name = which.to_string();
            match what {
                0 | 1 => cache.on_pod(Event::Applied(pod(&name, memory, None))),
                2 => cache.on_pod(Event::Deleted(pod(&name, memory, None))),
                3 => cache.forget(&key(&name), &format!("uid-{name}")),
                _ => {
                    let bound = cache.pods.get(&key(&name)).cloned();
                    if let Some(PodInfo { node: Some(node), requests, .. }) = bound {
                        let memory = u64::try_from(requests.get("memory")).unwrap();
                        cache.on_pod(Event::Applied(pod(&name, memory, Some(&node))));
                    }
                }
            }
            // An assumed pod keeps what was counted when it was decided: its spec is immutable upstream, so only
            // pods still waiting may change here.
            while cache.next().is_some() {}
            for state in cache.nodes.values() {
                let info = state.info.as_ref().unwrap();
                let name = Some(&info.name);
                let sum = |what: &str| cache.pods.values().filter(|p| p.node.as_ref() == name)
                    .map(|p| p.requests.get(what)).sum::<i128>();
                for what in ["memory", "pods"] {
                    prop_assert_eq!(sum(what), state.used.get(what));
                }
                prop_assert!(sum("pods") <= info.allocatable.get("pods"));
            }
        }
    }

    #[test]
    fn a_decision_always_fits(sizes in proptest::collection::vec(1..900u64, 1..30)) {
        let mut cache = Cache::default();
        cache.on_node(Event::Restarted(vec![node("m", 1000, 5), node("n", 2500, 20)]));
        for (i, size) in sizes.iter().enumerate() {
            cache.on_pod(Event::Applied(pod(&i.to_string(), *size, None)));
        }
        while cache.next().is_some() {}
        for state in cache.nodes.values() {
            let has = &state.info.as_ref().unwrap().allocatable;
            for (name, used) in &state.used.0 {
                prop_assert!(*used <= has.get(name));
            }
        }
    }
}
