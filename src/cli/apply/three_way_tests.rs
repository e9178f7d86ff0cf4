use super::*;

#[test]
fn patches_are_what_changed() {
    let container = |image: &str| json!({"name": "a", "image": image});
    // (what, last, modified, current, patch)
    let cases = [
        (
            "defaults of the server stay",
            json!({"spec": {"a": 1}}),
            json!({"spec": {"a": 1}}),
            json!({"spec": {"a": 1, "default": true}, "status": {"x": 1}}),
            json!({}),
        ),
        (
            "a changed field is set",
            json!({"spec": {"a": 1}}),
            json!({"spec": {"a": 2}}),
            json!({"spec": {"a": 1, "b": 1}}),
            json!({"spec": {"a": 2}}),
        ),
        (
            "a field gone from the manifest is removed",
            json!({"data": {"a": "1", "b": "2"}}),
            json!({"data": {"a": "1"}}),
            json!({"data": {"a": "1", "b": "2", "c": "3"}}),
            json!({"data": {"b": null}}),
        ),
        (
            "a field gone from both is left alone",
            json!({"data": {"b": "2"}}),
            json!({"data": {}}),
            json!({"data": {}}),
            json!({}),
        ),
        (
            "null asks for removal once",
            json!({}),
            json!({"spec": {"a": null, "b": null}}),
            json!({"spec": {"a": 1}}),
            json!({"spec": {"a": null}}),
        ),
        (
            "nulls in new values mean nothing",
            json!({}),
            json!({"spec": {"a": {"b": null, "c": 1}}}),
            json!({"spec": {}}),
            json!({"spec": {"a": {"c": 1}}}),
        ),
        (
            "containers merge by name",
            json!({"spec": {"containers": [container("x"), {"name": "old"}]}}),
            json!({"spec": {"containers": [container("y"), {"name": "new", "image": "n"}]}}),
            json!({"spec": {"containers": [{"name": "a", "image": "x", "imagePullPolicy": "Always"}, {"name": "old"}, {"name": "injected"}]}}),
            json!({"spec": {"containers": [{"name": "a", "image": "y"}, {"name": "new", "image": "n"}, {"$patch": "delete", "name": "old"}]}}),
        ),
        (
            "a container's fields are removed too",
            json!({"spec": {"containers": [{"name": "a", "env": [{"name": "E", "value": "1"}], "tty": true}]}}),
            json!({"spec": {"containers": [{"name": "a", "env": []}]}}),
            json!({"spec": {"containers": [{"name": "a", "env": [{"name": "E", "value": "1"}], "tty": true}]}}),
            json!({"spec": {"containers": [{"env": [{"$patch": "delete", "name": "E"}], "tty": null, "name": "a"}]}}),
        ),
        (
            "a service's ports merge by port",
            json!({}),
            json!({"spec": {"ports": [{"port": 80, "targetPort": 8080}]}}),
            json!({"spec": {"ports": [{"port": 80, "protocol": "TCP", "targetPort": 80}]}}),
            json!({"spec": {"ports": [{"targetPort": 8080, "port": 80}]}}),
        ),
        (
            "ports that share their key are replaced together",
            json!({}),
            json!({"spec": {"ports": [{"port": 53, "protocol": "UDP"}, {"port": 53, "protocol": "TCP"}]}}),
            json!({"spec": {"ports": [{"port": 53, "protocol": "UDP"}]}}),
            json!({"spec": {"ports": [{"$patch": "replace"}, {"port": 53, "protocol": "UDP"}, {"port": 53, "protocol": "TCP"}]}}),
        ),
        (
            "commands are one value",
            json!({"spec": {"containers": [{"name": "a", "command": ["x", "y"]}]}}),
            json!({"spec": {"containers": [{"name": "a", "command": ["x"]}]}}),
            json!({"spec": {"containers": [{"name": "a", "command": ["x", "y"]}]}}),
            json!({"spec": {"containers": [{"command": ["x"], "name": "a"}]}}),
        ),
        (
            "finalizers are a set",
            json!({"metadata": {"finalizers": ["a", "b"]}}),
            json!({"metadata": {"finalizers": ["b", "c"]}}),
            json!({"metadata": {"finalizers": ["a", "b", "controller"]}}),
            json!({"metadata": {"finalizers": ["c"], "$deleteFromPrimitiveList/finalizers": ["a"]}}),
        ),
        (
            "a type that changed is set whole",
            json!({"spec": {"a": [1]}}),
            json!({"spec": {"a": {"b": 1}}}),
            json!({"spec": {"a": [1]}}),
            json!({"spec": {"a": {"b": 1}}}),
        ),
    ];
    for (what, last, modified, current, expected) in cases {
        assert_eq!(
            patch(Some(&last), &modified, &current, true),
            expected,
            "{what}"
        );
    }
}

#[test]
fn without_strategic_merge_lists_are_values() {
    let modified = json!({"spec": {"containers": [{"name": "a"}]}});
    let current = json!({"spec": {"containers": [{"name": "a", "x": 1}]}});
    assert_eq!(patch(None, &modified, &current, false), modified);
    assert!(is_empty(&patch(None, &current, &current, false)));
    assert!(is_built_in("") && is_built_in("apps") && is_built_in("events.k8s.io"));
    assert!(!is_built_in("boats.example.com"));
}

mod applied {
    //! A merge patch made here, applied by RFC 7386's rules, gives what the manifest says.
    use super::*;
    use proptest::prelude::*;

    fn tree() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            any::<u8>().prop_map(Value::from),
            "[a-c]{0,2}".prop_map(Value::from)
        ];
        let inner = leaf.prop_recursive(3, 24, 4, |inner| {
            prop::collection::btree_map("[a-d]", inner, 1..4)
                .prop_map(|map| Value::Object(map.into_iter().collect()))
        });
        prop::collection::btree_map("[a-d]", inner, 0..4)
            .prop_map(|map| Value::Object(map.into_iter().collect()))
    }

    fn covers(object: &Value, wanted: &Value) -> bool {
        match (object, wanted) {
            (Value::Object(object), Value::Object(wanted)) => wanted
                .iter()
                .all(|(key, value)| object.get(key).is_some_and(|have| covers(have, value))),
            (object, wanted) => object == wanted,
        }
    }

    proptest! {
        #[test]
        fn the_object_covers_the_manifest(last in tree(), modified in tree(), current in tree()) {
            let change = patch(Some(&last), &modified, &current, false);
            let mut object = current.clone();
            json_patch::merge(&mut object, &change);
            prop_assert!(covers(&object, &modified), "{change} on {current} gives {object}");
            prop_assert!(is_empty(&patch(Some(&modified), &modified, &object, false)));
        }
    }
}
