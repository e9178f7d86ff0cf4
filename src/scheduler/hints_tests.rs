//! Which news wakes whom.
#![allow(clippy::unwrap_used)]

use super::*;
use crate::scheduler::testing::*;
use serde_json::{Value, json};

fn info(change: &Value) -> NodeInfo {
    NodeInfo::read(node("n", change))
}

#[test]
fn nodes_help_those_they_could_take() {
    let cluster = Cluster::default();
    let plain = PodInfo::read(pod("p", &json!({})));
    let picky = PodInfo::read(pod("p", &json!({"spec": {"nodeSelector": {"a": "b"}}})));
    let labelled = json!({"metadata": {"labels": {"a": "b"}}});
    let tainted = json!({"spec": {"taints": [{"key": "k", "effect": "NoSchedule"}]}});
    let cordoned = json!({"spec": {"unschedulable": true}});
    let larger = json!({"status": {"allocatable": {"cpu": "8"}}});
    let none = json!({});
    for (pod, failed, before, now, want) in [
        (&plain, Plugins::ROOM, None, &none, true),
        (&plain, Plugins::ROOM, Some(&none), &larger, true),
        (&plain, Plugins::ROOM, Some(&none), &labelled, false),
        (&plain, Plugins::ROOM, None, &tainted, false),
        (&plain, Plugins::TAINTS, Some(&tainted), &none, true),
        (&plain, Plugins::TAINTS, Some(&none), &tainted, false),
        (&plain, Plugins::CORDON, Some(&cordoned), &none, true),
        // The taint that goes with a cordon goes a moment later: it is that which lets the pod come.
        (
            &plain,
            Plugins::CORDON,
            Some(&both(&cordoned, &tainted)),
            &tainted,
            false,
        ),
        (&plain, Plugins::CORDON, Some(&tainted), &none, true),
        (&picky, Plugins::NODE_AFFINITY, Some(&none), &labelled, true),
        (&picky, Plugins::NODE_AFFINITY, None, &none, false),
        (&plain, Plugins::SPREAD, Some(&none), &labelled, true),
    ] {
        let (before, now) = (before.map(info), info(now));
        let news = News::Node {
            before: before.as_ref(),
            now: &now,
        };
        assert_eq!(
            helps(pod, failed, &news, &cluster),
            want,
            "{failed:?} {now:?}"
        );
    }
    let gone = |failed| helps(&plain, failed, &News::NodeGone, &cluster);
    assert!(gone(Plugins::SPREAD) && !gone(Plugins::ROOM));
}

#[test]
fn pods_help_those_they_were_in_the_way_of() {
    let full = json!({"status": {"allocatable": {"cpu": "1"}}});
    let asks = |name: &str, cpu: &str, on: Option<&str>| {
        pod(
            name,
            &json!({"spec": {"nodeName": on, "containers": [{"name": "c", "resources": {"requests": {"cpu": cpu}}}]}}),
        )
    };
    let cluster = cluster(
        vec![node("n", &full)],
        vec![asks("there", "600m", Some("n"))],
    );
    let left = PodInfo::read(asks("left", "300m", Some("n")));
    for (cpu, want) in [("400m", true), ("500m", false)] {
        let waiting = PodInfo::read(asks("p", cpu, None));
        let found = helps(&waiting, Plugins::ROOM, &News::Left(&left), &cluster);
        assert_eq!(found, want, "{cpu}");
        assert!(!helps(
            &waiting,
            Plugins::TAINTS,
            &News::Left(&left),
            &cluster
        ));
    }
}

#[test]
fn affinity_waits_for_friends_and_anti_affinity_for_their_leaving() {
    let cluster = Cluster::default();
    let zone = "zone";
    let near = PodInfo::read(pod("p", &required("podAffinity", &[term("web", zone)])));
    let apart = PodInfo::read(pod("p", &required("podAntiAffinity", &[term("web", zone)])));
    let spread = json!({"spec": {"topologySpreadConstraints": [spread("web", zone, &json!({}))]}});
    let spread = PodInfo::read(pod("p", &spread));
    let web = PodInfo::read(labelled("w", "web", Some("n")));
    let db = PodInfo::read(labelled("d", "db", Some("n")));
    let inter = Plugins::INTER_POD;
    for (pod, failed, news, want) in [
        (&near, inter, News::Placed(&web), true),
        (&near, inter, News::Placed(&db), false),
        (&apart, inter, News::Placed(&web), false),
        (&apart, inter, News::Left(&web), true),
        (&apart, inter, News::Left(&db), false),
        // The pod that left kept this one away.
        (&web, inter, News::Left(&apart), true),
        (&db, inter, News::Left(&apart), false),
        (&spread, Plugins::SPREAD, News::Placed(&web), true),
        (&spread, Plugins::SPREAD, News::Left(&web), true),
        (&spread, Plugins::SPREAD, News::Left(&db), false),
        (&near, inter, News::Namespace, true),
        (&near, Plugins::ROOM, News::Namespace, false),
        (&near, Plugins::VOLUMES, News::Storage, true),
    ] {
        assert_eq!(helps(pod, failed, &news, &cluster), want, "{news:?}");
    }
    let relabelled = News::Changed {
        before: &db,
        now: &web,
    };
    assert!(helps(&near, inter, &relabelled, &cluster));
}
