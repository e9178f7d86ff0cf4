//! Owners and dependents in every state, and what becomes of them.
#![allow(clippy::unwrap_used)]

use super::*;
use crate::client::informer::Event;
use crate::controllers::world::graph::{Meta, Resource};
use std::sync::Arc;

/// An object: name (also its uid), owners (a `!` before those that do not block), finalizers, whether it is ending.
type Row<'a> = (&'a str, &'a [&'a str], &'a [&'a str], bool);

fn graph(rows: &[Row]) -> Graph {
    let resource = Arc::new(Resource {
        api_version: "v1".into(),
        group: String::new(),
        version: "v1".into(),
        plural: "configmaps".into(),
        kind: "ConfigMap".into(),
        namespaced: true,
    });
    let mut graph = Graph::default();
    graph.expect(std::slice::from_ref(&resource));
    let objects: Vec<Meta> = rows
        .iter()
        .map(|(name, owners, finalizers, ending)| {
            let owners: Vec<Value> = owners
                .iter()
                .map(|owner| {
                    let name = owner.trim_start_matches('!');
                    json!({"apiVersion": "v1", "kind": "ConfigMap", "name": name, "uid": name,
                        "blockOwnerDeletion": !owner.starts_with('!')})
                })
                .collect();
            serde_json::from_value(
                json!({"metadata": {"namespace": "a", "name": name, "uid": name,
                "resourceVersion": "1", "ownerReferences": owners, "finalizers": finalizers,
                "deletionTimestamp": ending.then_some("2026-01-01T00:00:00Z")}}),
            )
            .unwrap()
        })
        .collect();
    graph.take_in(&resource, Event::Restarted(objects));
    assert!(graph.is_known());
    graph
}

/// What is done for `name`, in short.
fn done(rows: &[Row], name: &str) -> Vec<String> {
    let graph = graph(rows);
    let Some(node) = graph.get(short(name)) else {
        return Vec::new();
    };
    let tell = |action: &Action| match action {
        Action::ConfirmGone(target) => format!("gone? {}", target.name),
        Action::Delete {
            target,
            propagation,
            ..
        } => {
            format!("delete {} {}", target.name, propagation.unwrap_or_default())
        }
        Action::Patch { target, patch, .. } => {
            let owners = patch["metadata"]["ownerReferences"].as_array();
            let owners = owners.map(|o| {
                o.iter()
                    .map(|o| o["name"].as_str().unwrap())
                    .collect::<Vec<_>>()
            });
            format!(
                "{} {}",
                target.name,
                owners.map_or_else(|| patch["metadata"].to_string(), |o| format!("{o:?}"))
            )
        }
        other => format!("{other:?}"),
    };
    actions(&graph, node).iter().map(tell).collect()
}

#[test]
fn what_becomes_of_dependents_and_owners() {
    let foreground: &[&str] = &[FOREGROUND];
    let orphan: &[&str] = &[ORPHAN];
    let cases: &[(&[Row], &str, &[&str])] = &[
        (
            &[("o", &[], &[], false), ("d", &["o"], &[], false)],
            "d",
            &[],
        ),
        (
            &[("d", &["o"], &[], false)],
            "d",
            &["gone? o", "delete d Background"],
        ),
        (&[("d", &["o"], &[], true)], "d", &[]),
        // One owner is left.
        (
            &[("p", &[], &[], false), ("d", &["o", "p"], &[], false)],
            "d",
            &["gone? o", "d [\"p\"]"],
        ),
        // An owner that is ending for another reason is still there.
        (
            &[("o", &[], &["x"], true), ("d", &["o"], &[], false)],
            "d",
            &[],
        ),
        // Foreground: the dependents go first, theirs before them.
        (
            &[("o", &[], foreground, true), ("d", &["o"], &[], false)],
            "o",
            &[],
        ),
        (
            &[("o", &[], foreground, true), ("d", &["o"], &[], false)],
            "d",
            &["delete d Background"],
        ),
        (
            &[
                ("o", &[], foreground, true),
                ("d", &["o"], &[], false),
                ("e", &["d"], &[], false),
            ],
            "d",
            &["delete d Foreground"],
        ),
        (
            &[("o", &[], foreground, true)],
            "o",
            &["o {\"finalizers\":null}"],
        ),
        (
            &[("o", &[], foreground, true), ("d", &["!o"], &[], false)],
            "o",
            &["o {\"finalizers\":null}"],
        ),
        // Orphan: they forget it.
        (
            &[
                ("o", &[], orphan, true),
                ("d", &["o"], &[], false),
                ("e", &["o", "p"], &[], false),
            ],
            "o",
            &[
                "d {\"ownerReferences\":null}",
                "e [\"p\"]",
                "o {\"finalizers\":null}",
            ],
        ),
        // What a dependent itself was to leave behind stays behind.
        (
            &[("d", &["o"], orphan, false)],
            "d",
            &["gone? o", "delete d Orphan"],
        ),
    ];
    for (rows, name, expected) in cases {
        // Dependents stand in no order.
        let mut found = done(rows, name);
        found.sort();
        let mut expected: Vec<&str> = expected.to_vec();
        expected.sort_unstable();
        assert_eq!(found, expected, "{name} of {rows:?}");
    }
}

#[test]
fn an_owner_of_another_namespace_or_kind_is_none() {
    let rows: &[Row] = &[("o", &[], &[], false), ("d", &["o"], &[], false)];
    let graph = graph(rows);
    let node = graph.get(short("d")).unwrap();
    let mut owner = node.meta.owners()[0].clone();
    assert_eq!(graph.owner(node, &owner), Owner::Solid);
    owner.kind = "Secret".into();
    assert_eq!(graph.owner(node, &owner), Owner::Absent);
    assert!(target_of_owner(&graph, node, &owner).is_none());
}
