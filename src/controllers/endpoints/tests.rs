//! Services and pods to what is written for them.
#![allow(clippy::unwrap_used)]

use super::{Mirror, Slices, Subsets};
use crate::controllers::action::{Action, Plan};
use crate::controllers::runner::Controller;
use crate::controllers::world::World;
use jiff::Timestamp;
use serde_json::{Value, json};

fn service(change: &Value) -> Value {
    let mut service = json!({"apiVersion": "v1", "kind": "Service",
        "metadata": {"namespace": "a", "name": "s", "uid": "su", "labels": {"team": "x"}},
        "spec": {"selector": {"app": "s"}, "clusterIP": "10.43.0.9",
            "ports": [{"name": "web", "port": 80, "targetPort": "http", "protocol": "TCP"}]}});
    json_patch::merge(&mut service, change);
    service
}

fn pod(name: &str, ip: &str, ready: bool, change: &Value) -> Value {
    let mut pod = json!({"apiVersion": "v1", "kind": "Pod",
        "metadata": {"namespace": "a", "name": name, "uid": name, "labels": {"app": "s"}},
        "spec": {"nodeName": "n", "containers": [{"name": "c", "ports": [{"name": "http", "containerPort": 8080}]}]},
        "status": {"phase": "Running", "podIP": ip,
            "conditions": [{"type": "Ready", "status": if ready { "True" } else { "False" }}]}});
    json_patch::merge(&mut pod, change);
    pod
}

fn plan(controller: &dyn Controller, objects: &[Value]) -> Plan {
    let key = ("a".to_owned(), "s".to_owned());
    controller.reconcile(&World::of(objects), &key, Timestamp::UNIX_EPOCH)
}

/// What a plan writes, and how.
fn writes(plan: &Plan) -> Vec<(&'static str, Value)> {
    let steps = plan.actions.iter().filter_map(|action| match action {
        Action::Create { object, .. } => Some(("create", object.clone())),
        Action::Patch { patch, .. } => Some(("patch", patch.clone())),
        Action::Delete { target, .. } => Some(("delete", target.name.clone().into())),
        _ => None,
    });
    steps.collect()
}

/// The object as the API would hold it.
fn held(written: &Value, kind: &str, name: &str) -> Value {
    let version = if kind == "Endpoints" {
        "v1"
    } else {
        "discovery.k8s.io/v1"
    };
    let mut object = written.clone();
    json_patch::merge(
        &mut object,
        &json!({"apiVersion": version, "kind": kind, "metadata": {"name": name, "uid": name}}),
    );
    object
}

#[test]
fn a_slice_says_how_each_pod_is() {
    let ended = json!({"status": {"phase": "Succeeded"}});
    let ending = json!({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}});
    let named = json!({"spec": {"hostname": "h", "subdomain": "s"}});
    let objects = [
        service(&json!({})),
        pod("ready", "10.42.0.2", true, &named),
        pod("waiting", "10.42.0.3", false, &json!({})),
        pod("ending", "10.42.0.4", true, &ending),
        pod("ended", "10.42.0.5", false, &ended),
        pod("unplaced", "", false, &json!({})),
        pod(
            "stranger",
            "10.42.0.6",
            true,
            &json!({"metadata": {"labels": {"app": "t"}}}),
        ),
    ];
    let first = plan(&Slices, &objects);
    let written = writes(&first);
    let [("create", slice)] = written.as_slice() else {
        panic!("{written:?}");
    };
    assert_eq!(slice["metadata"]["generateName"], "s-");
    assert_eq!(
        slice["metadata"]["labels"],
        json!({"team": "x", "kubernetes.io/service-name": "s",
        "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io"})
    );
    assert_eq!(slice["metadata"]["ownerReferences"][0]["uid"], "su");
    assert_eq!(
        slice["ports"],
        json!([{"name": "web", "port": 8080, "protocol": "TCP"}])
    );
    let shown: Vec<String> = slice["endpoints"]
        .as_array()
        .unwrap()
        .iter()
        .map(|e| {
            let c = &e["conditions"];
            format!(
                "{} {} {} {}",
                e["addresses"][0], c["ready"], c["serving"], c["terminating"]
            )
        })
        .collect();
    assert_eq!(
        shown,
        [
            "\"10.42.0.4\" false true true",
            "\"10.42.0.2\" true true false",
            "\"10.42.0.3\" false false false"
        ]
    );
    assert_eq!(slice["endpoints"][1]["hostname"], "h");
    assert_eq!(slice["endpoints"][1]["targetRef"]["name"], "ready");
    let mut again = objects.to_vec();
    again.push(held(slice, "EndpointSlice", "s-1"));
    assert_eq!(plan(&Slices, &again), Plan::default());
    // A pod that is gone, and one that got ready, are one write to the slice they are in.
    again.remove(3);
    again[2] = pod("waiting", "10.42.0.3", true, &json!({}));
    let next = plan(&Slices, &again);
    let written = writes(&next);
    let [("patch", patch)] = written.as_slice() else {
        panic!("{written:?}");
    };
    assert_eq!(patch["endpoints"].as_array().unwrap().len(), 2);
}

#[test]
fn slices_hold_a_hundred_and_go_when_they_are_empty() {
    let mut objects = vec![service(&json!({"spec": {"clusterIP": "None"}}))];
    for index in 0..150 {
        let ip = format!("10.42.1.{index}");
        objects.push(pod(&format!("p{index}"), &ip, true, &json!({})));
    }
    let first = plan(&Slices, &objects);
    let made = writes(&first);
    let sizes: Vec<usize> = made
        .iter()
        .map(|(_, slice)| slice["endpoints"].as_array().unwrap().len())
        .collect();
    assert_eq!(sizes, [100, 50]);
    assert_eq!(
        made[0].1["metadata"]["labels"]["service.kubernetes.io/headless"],
        ""
    );
    let mut bare = vec![objects[0].clone()];
    for (index, (_, slice)) in made.iter().enumerate() {
        bare.push(held(slice, "EndpointSlice", &format!("s-{index}")));
    }
    let last = plan(&Slices, &bare);
    let left = writes(&last);
    assert_eq!(left.len(), 3, "{left:?}");
    assert_eq!(left[0].1["endpoints"], json!([]));
    assert_eq!([left[1].0, left[2].0], ["delete", "delete"]);
}

#[test]
fn what_has_no_selector_is_its_users() {
    for change in [
        json!({"spec": {"selector": null}}),
        json!({"spec": {"type": "ExternalName"}}),
        json!({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}}),
    ] {
        let objects = [service(&change), pod("p", "10.42.0.2", true, &json!({}))];
        assert_eq!(plan(&Slices, &objects), Plan::default(), "{change}");
        assert_eq!(plan(&Subsets, &objects), Plan::default(), "{change}");
    }
}

#[test]
fn endpoints_pack_ports_of_like_addresses() {
    let ports = json!({"spec": {"ports": [
        {"name": "web", "port": 80, "targetPort": "http", "protocol": "TCP"},
        {"name": "raw", "port": 81, "targetPort": 81, "protocol": "TCP"}]}});
    let other = json!({"spec": {"containers": [{"name": "c", "ports": [{"name": "http", "containerPort": 9090}]}]}});
    let mut objects = vec![
        service(&ports),
        pod("p", "10.42.0.10", true, &json!({})),
        pod("q", "10.42.0.9", false, &other),
    ];
    let first = plan(&Subsets, &objects);
    let written = writes(&first);
    let [("create", made)] = written.as_slice() else {
        panic!("{written:?}");
    };
    let shown: Vec<(i64, usize, usize)> = made["subsets"]
        .as_array()
        .unwrap()
        .iter()
        .map(|s| {
            let count = |field: &str| s[field].as_array().map_or(0, Vec::len);
            let port = s["ports"][0]["port"].as_i64().unwrap();
            (port, count("addresses"), count("notReadyAddresses"))
        })
        .collect();
    assert_eq!(shown, [(81, 1, 1), (8080, 1, 0), (9090, 0, 1)]);
    objects.push(held(made, "Endpoints", "s"));
    assert_eq!(plan(&Subsets, &objects), Plan::default());
    objects.drain(1..3);
    let emptied = plan(&Subsets, &objects);
    assert_eq!(writes(&emptied)[0].1["subsets"], Value::Null);
    // They go with their Service.
    let gone = plan(&Subsets, &objects[1..]);
    assert_eq!(writes(&gone), [("delete", json!("s"))]);
}

#[test]
fn endpoints_of_users_are_mirrored() {
    let own = json!({"apiVersion": "v1", "kind": "Endpoints",
        "metadata": {"namespace": "a", "name": "s", "uid": "e", "labels": {"l": "m"}},
        "subsets": [{"addresses": [{"ip": "192.0.2.1"}, {"ip": "2001:db8::1"}],
            "notReadyAddresses": [{"ip": "192.0.2.2"}], "ports": [{"port": 53, "protocol": "UDP"}]}]});
    let free = service(&json!({"spec": {"selector": null}}));
    let made = plan(&Mirror, &[free.clone(), own.clone()]);
    let slices = writes(&made);
    let shown: Vec<(&Value, usize)> = slices
        .iter()
        .map(|(_, s)| (&s["addressType"], s["endpoints"].as_array().unwrap().len()))
        .collect();
    assert_eq!(shown, [(&json!("IPv4"), 2), (&json!("IPv6"), 1)]);
    assert_eq!(
        slices[0].1["metadata"]["ownerReferences"][0]["kind"],
        "Endpoints"
    );
    let slice = held(&slices[0].1, "EndpointSlice", "s-1");
    let six = held(&slices[1].1, "EndpointSlice", "s-2");
    let settled = [free.clone(), own.clone(), slice.clone(), six];
    assert_eq!(plan(&Mirror, &settled), Plan::default());
    // A selector, a missing Service or the label end it.
    let mut skipped = own.clone();
    skipped["metadata"]["labels"]["endpointslice.kubernetes.io/skip-mirror"] = "true".into();
    for objects in [
        vec![service(&json!({})), own.clone(), slice.clone()],
        vec![own, slice.clone()],
        vec![free, skipped, slice],
    ] {
        assert_eq!(writes(&plan(&Mirror, &objects)), [("delete", json!("s-1"))]);
    }
}
