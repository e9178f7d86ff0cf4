//! What waits, what is assumed, and what brings a pod back.
#![allow(clippy::unwrap_used)]

use super::*;
use crate::scheduler::testing::{self, labelled, node, pod, required, spread, term, track};
use k8s_openapi::api::core::v1::Pod;
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
    let constraints = [
        spread("web", ZONE, &json!({})),
        spread("web", HOST, &json!({})),
    ];
    let change = json!({"spec": {"topologySpreadConstraints": constraints}});
    let tracked = track(&mut cluster, pod("p", &change));
    assert_eq!(cluster.counts.sizes(), [2, 2, 0, 1]);
    cluster.counts.release(&tracked.footing);
    assert_eq!(cluster.counts.sizes(), [0; 4]);
}
