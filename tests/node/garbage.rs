//! What becomes of objects whose owner is deleted, as `kubectl delete --cascade` asks.

use crate::common::{TestNode, eventually};
use crate::namespace;
use crate::volumes::apply;

pub const TESTS: &[(&str, fn())] = &[
    (
        "dependents_go_with_their_owner",
        dependents_go_with_their_owner,
    ),
    ("orphans_stay", orphans_stay),
    (
        "an_owner_waits_in_the_foreground",
        an_owner_waits_in_the_foreground,
    ),
];

fn map(name: &str, owner: Option<&str>, finalizer: Option<&str>) -> String {
    let owners = owner.map_or_else(String::new, |uid| {
        format!(
            "  ownerReferences: [{{apiVersion: v1, kind: ConfigMap, name: owner, uid: {uid}, blockOwnerDeletion: true}}]\n"
        )
    });
    let finalizers = finalizer.map_or_else(String::new, |name| format!("  finalizers: [{name}]\n"));
    format!("apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {name}\n{owners}{finalizers}")
}

/// An owner and a dependent.
fn family(node: &TestNode, namespace: &str, finalizer: Option<&str>) {
    apply(node, namespace, &map("owner", None, None));
    let uid = node.value(namespace, "cm/owner", "{.metadata.uid}");
    apply(node, namespace, &map("dependent", Some(&uid), finalizer));
}

fn names(node: &TestNode, namespace: &str) -> String {
    node.kubectl(&["-n", namespace, "get", "cm", "-o", "name"])
        .stdout
}

fn delete(node: &TestNode, namespace: &str, cascade: &str) {
    node.kubectl(&[
        "-n",
        namespace,
        "delete",
        "cm/owner",
        "--wait=false",
        cascade,
    ])
    .must();
}

fn dependents_go_with_their_owner() {
    let node = namespace("gc-background");
    family(&node, "gc-background", None);
    delete(&node, "gc-background", "--cascade=background");
    assert!(eventually(
        || !names(&node, "gc-background").contains("dependent")
    ));
}

fn orphans_stay() {
    let node = namespace("gc-orphan");
    family(&node, "gc-orphan", None);
    delete(&node, "gc-orphan", "--cascade=orphan");
    assert!(eventually(|| !names(&node, "gc-orphan").contains("owner")));
    assert_eq!(
        node.value("gc-orphan", "cm/dependent", "{.metadata.ownerReferences}"),
        ""
    );
}

fn an_owner_waits_in_the_foreground() {
    let node = namespace("gc-foreground");
    family(&node, "gc-foreground", Some("example.com/hold"));
    delete(&node, "gc-foreground", "--cascade=foreground");
    assert!(eventually(|| !node
        .value(
            "gc-foreground",
            "cm/dependent",
            "{.metadata.deletionTimestamp}"
        )
        .is_empty()));
    assert!(names(&node, "gc-foreground").contains("owner"));
    node.kubectl(&[
        "-n",
        "gc-foreground",
        "patch",
        "cm/dependent",
        "--type=merge",
        "-p",
        r#"{"metadata":{"finalizers":null}}"#,
    ])
    .must();
    assert!(eventually(|| {
        let left = names(&node, "gc-foreground");
        !left.contains("owner") && !left.contains("dependent")
    }));
}
