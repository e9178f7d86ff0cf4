//! Strategic merge patch: merge patch that knows how lists merge.

use super::PatchError;
use super::directives::{self, DELETE_FROM_PRIMITIVE_LIST, Directive, SET_ELEMENT_ORDER};
use super::keys::{self, strategy};
use super::order::{arrange, same};
use serde_json::{Map, Value};

/// Merges `patch` into `object`. Recursion is bounded by serde_json's own depth limit (128) on both.
pub fn merge(kind: &str, object: Value, patch: Value) -> Result<Value, PatchError> {
    match (object, patch) {
        (Value::Object(object), Value::Object(patch)) => {
            let merged = Merger { kind }.map(object, patch, "")?;
            Ok(Value::Object(merged))
        }
        _ => Err(PatchError::Malformed(
            "error decoding patch: it must be a JSON object".into(),
        )),
    }
}

struct Merger<'a> {
    kind: &'a str,
}

impl Merger<'_> {
    /// Merges the fields of `patch` into `object`, whose own path is `path`.
    fn map(
        &self,
        mut object: Map<String, Value>,
        mut patch: Map<String, Value>,
        path: &str,
    ) -> Result<Map<String, Value>, PatchError> {
        match directives::take(&mut patch)? {
            Directive::Merge => {}
            Directive::Delete => return Ok(Map::new()),
            Directive::Replace => return Ok(stripped(patch)),
        }
        directives::retain_keys(&mut object, &mut patch)?;

        let names: Vec<String> = patch.keys().cloned().collect();
        for name in &names {
            if let Some(field) = name.strip_prefix(DELETE_FROM_PRIMITIVE_LIST) {
                let doomed = directives::take_list(&mut patch, name)?.unwrap_or_default();
                if let Some(Value::Array(items)) = object.get_mut(field) {
                    items.retain(|item| !doomed.contains(item));
                }
            }
        }
        for name in &names {
            if let Some(field) = name.strip_prefix(SET_ELEMENT_ORDER) {
                let order = directives::take_list(&mut patch, name)?.unwrap_or_default();
                let items = directives::take_list(&mut patch, field)?;
                self.ordered_list(&mut object, field, items, &order, path)?;
            }
        }
        for (name, value) in patch {
            let at = join(path, &name);
            match (object.get_mut(&name), value) {
                (_, Value::Null) => {
                    object.shift_remove(&name);
                }
                (Some(Value::Object(old)), Value::Object(new)) => {
                    *old = self.map(std::mem::take(old), new, &at)?;
                }
                (Some(Value::Array(old)), Value::Array(new)) => {
                    *old = self.list(std::mem::take(old), new, &at)?;
                }
                (_, Value::Object(new)) => {
                    object.insert(name, Value::Object(self.map(Map::new(), new, &at)?));
                }
                (_, Value::Array(new)) => {
                    object.insert(name, Value::Array(self.list(Vec::new(), new, &at)?));
                }
                (_, new) => {
                    object.insert(name, new);
                }
            }
        }
        Ok(object)
    }

    /// Merges `items` into the field and brings the result into the order that `$setElementOrder` asks for.
    fn ordered_list(
        &self,
        object: &mut Map<String, Value>,
        field: &str,
        items: Option<Vec<Value>>,
        order: &[Value],
        path: &str,
    ) -> Result<(), PatchError> {
        let at = join(path, field);
        let before = match object.get(field) {
            Some(Value::Array(before)) => before.clone(),
            _ if items.is_none() => return Ok(()),
            _ => Vec::new(),
        };
        let merged = match items {
            Some(items) => self.list(before.clone(), items, &at)?,
            None => before.clone(),
        };
        let arranged = match strategy(self.kind, &at) {
            keys::Strategy::Atomic => merged,
            keys::Strategy::ByKey(key) => arrange(merged, order, &before, Some(key)),
            keys::Strategy::Set => arrange(merged, order, &before, None),
        };
        object.insert(field.into(), Value::Array(arranged));
        Ok(())
    }

    fn list(&self, old: Vec<Value>, new: Vec<Value>, path: &str) -> Result<Vec<Value>, PatchError> {
        match strategy(self.kind, path) {
            keys::Strategy::Atomic => Ok(new.into_iter().filter_map(directives::strip).collect()),
            keys::Strategy::Set => {
                let mut merged = old.clone();
                for item in &new {
                    if !merged.contains(item) {
                        merged.push(item.clone());
                    }
                }
                Ok(arrange(merged, &new, &old, None))
            }
            keys::Strategy::ByKey(key) => self.keyed_list(old, new, key, path),
        }
    }

    fn keyed_list(
        &self,
        old: Vec<Value>,
        new: Vec<Value>,
        key: &str,
        path: &str,
    ) -> Result<Vec<Value>, PatchError> {
        let mut replace = false;
        let mut doomed = Vec::new();
        let mut merges = Vec::new();
        for item in new {
            let Value::Object(mut fields) = item else {
                return Err(PatchError::Malformed(format!(
                    "{path}: the items of this list must be objects"
                )));
            };
            let directive = directives::take(&mut fields)?;
            match directive {
                Directive::Replace => {
                    replace = true;
                    if fields.is_empty() {
                        continue;
                    }
                }
                Directive::Delete | Directive::Merge => {}
            }
            if !fields.contains_key(key) {
                return Err(PatchError::Malformed(format!(
                    "map: {} does not contain declared merge key: {key}",
                    Value::Object(fields)
                )));
            }
            if directive == Directive::Delete {
                doomed.push(Value::Object(fields));
            } else {
                merges.push(Value::Object(fields));
            }
        }
        if replace {
            return Ok(merges.into_iter().filter_map(directives::strip).collect());
        }
        let mut merged: Vec<Value> = old
            .iter()
            .filter(|item| !doomed.iter().any(|gone| same(gone, item, Some(key))))
            .cloned()
            .collect();
        for patch in &merges {
            let fields = patch.as_object().cloned().unwrap_or_default();
            match merged.iter_mut().find(|item| same(item, patch, Some(key))) {
                Some(Value::Object(item)) => {
                    *item = self.map(std::mem::take(item), fields, path)?;
                }
                _ => merged.push(Value::Object(self.map(Map::new(), fields, path)?)),
            }
        }
        Ok(arrange(merged, &merges, &old, Some(key)))
    }
}

fn stripped(patch: Map<String, Value>) -> Map<String, Value> {
    match directives::strip(Value::Object(patch)) {
        Some(Value::Object(fields)) => fields,
        _ => Map::new(),
    }
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() {
        name.into()
    } else {
        format!("{path}.{name}")
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn containers(list: Value) -> Value {
        json!({"spec": {"containers": list}})
    }

    #[test]
    fn merges() {
        let two = || containers(json!([{"name": "a", "image": "1"}, {"name": "b", "image": "2"}]));
        for (object, patch, want) in [
            (
                two(),
                containers(json!([{"name": "b", "image": "3"}])),
                containers(json!([{"name": "a", "image": "1"}, {"name": "b", "image": "3"}])),
            ),
            (
                two(),
                containers(json!([{"name": "c"}])),
                containers(
                    json!([{"name": "c"}, {"name": "a", "image": "1"}, {"name": "b", "image": "2"}]),
                ),
            ),
            (
                two(),
                json!({"spec": {"$setElementOrder/containers": [{"name": "a"}, {"name": "b"}, {"name": "c"}], "containers": [{"name": "c"}]}}),
                containers(
                    json!([{"name": "a", "image": "1"}, {"name": "b", "image": "2"}, {"name": "c"}]),
                ),
            ),
            (
                two(),
                json!({"spec": {"$setElementOrder/containers": [{"name": "b"}, {"name": "a"}]}}),
                containers(json!([{"name": "b", "image": "2"}, {"name": "a", "image": "1"}])),
            ),
            (
                two(),
                containers(json!([{"name": "a", "$patch": "delete"}])),
                containers(json!([{"name": "b", "image": "2"}])),
            ),
            (
                two(),
                containers(json!([{"$patch": "replace"}, {"name": "c"}])),
                containers(json!([{"name": "c"}])),
            ),
            (
                two(),
                containers(json!([{"name": "a", "image": null}])),
                containers(json!([{"name": "a"}, {"name": "b", "image": "2"}])),
            ),
            (
                two(),
                json!({"spec": {"containers": null}}),
                json!({"spec": {}}),
            ),
            (
                two(),
                json!({"spec": {"$patch": "replace", "x": {"y": null}}}),
                json!({"spec": {"x": {}}}),
            ),
            (
                two(),
                json!({"spec": {"$patch": "delete"}}),
                json!({"spec": {}}),
            ),
            (
                containers(
                    json!([{"name": "a", "env": [{"name": "X", "value": "1"}], "ports": [{"containerPort": 80}], "args": ["x"]}]),
                ),
                containers(
                    json!([{"name": "a", "env": [{"name": "X", "value": "2"}], "ports": [{"containerPort": 80, "name": "web"}], "args": ["y"]}]),
                ),
                containers(
                    json!([{"name": "a", "env": [{"name": "X", "value": "2"}], "ports": [{"containerPort": 80, "name": "web"}], "args": ["y"]}]),
                ),
            ),
            (
                json!({"metadata": {"finalizers": ["a", "b"]}}),
                json!({"metadata": {"$deleteFromPrimitiveList/finalizers": ["a"], "finalizers": ["c"], "$setElementOrder/finalizers": ["b", "c"]}}),
                json!({"metadata": {"finalizers": ["b", "c"]}}),
            ),
            (
                json!({"spec": {"volumes": [{"name": "v", "emptyDir": {}}]}}),
                json!({"spec": {"volumes": [{"name": "v", "$retainKeys": ["name", "hostPath"], "hostPath": {"path": "/x"}}]}}),
                json!({"spec": {"volumes": [{"name": "v", "hostPath": {"path": "/x"}}]}}),
            ),
            (
                json!({"status": {"conditions": [{"type": "Ready", "status": "False"}]}}),
                json!({"status": {"$setElementOrder/conditions": [{"type": "Ready"}], "conditions": [{"type": "Ready", "status": "True"}]}}),
                json!({"status": {"conditions": [{"type": "Ready", "status": "True"}]}}),
            ),
            (
                json!({}),
                json!({"a": {"b": {"c": null}, "$retainKeys": ["b"]}}),
                json!({"a": {"b": {}}}),
            ),
            (
                json!({"a": 1}),
                json!({"a": {"b": 2}}),
                json!({"a": {"b": 2}}),
            ),
            (
                json!({"a": {"b": 2}}),
                json!({"a": [1, null]}),
                json!({"a": [1]}),
            ),
        ] {
            assert_eq!(merge("Pod", object, patch.clone()), Ok(want), "{patch}");
        }
    }

    #[test]
    fn refuses() {
        for patch in [
            containers(json!([{"image": "x"}])),
            containers(json!(["x"])),
            containers(json!([{"name": "a", "$patch": "grow"}])),
            json!({"spec": {"$setElementOrder/containers": 1}}),
            json!({"spec": {"$retainKeys": ["a"], "b": 1}}),
        ] {
            let merged = merge("Pod", containers(json!([{"name": "a"}])), patch.clone());
            assert!(matches!(merged, Err(PatchError::Malformed(_))), "{patch}");
        }
    }

    fn json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<i8>().prop_map(Value::from),
            "[a-c]".prop_map(Value::from)
        ];
        leaf.prop_recursive(4, 32, 4, |inner| {
            let key = prop_oneof![
                Just("spec"),
                Just("containers"),
                Just("name"),
                Just("finalizers"),
                Just("metadata"),
                Just("$patch"),
                Just("$retainKeys"),
                Just("$setElementOrder/containers"),
                Just("$deleteFromPrimitiveList/finalizers"),
            ];
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                proptest::collection::vec((key, inner), 0..4).prop_map(|fields| Value::Object(
                    fields.into_iter().map(|(k, v)| (k.to_owned(), v)).collect()
                )),
            ]
        })
    }

    proptest! {
        #[test]
        fn never_panics(object in json(), patch in json()) {
            let _ = merge("Pod", json!({"spec": object}), json!({"spec": patch}));
        }

        #[test]
        fn applying_twice_is_applying_once(names in proptest::collection::vec("[a-e]", 0..5), more in proptest::collection::btree_set("[a-h]", 0..5)) {
            let names: std::collections::BTreeSet<String> = names.into_iter().collect();
            let list = |names: Vec<&String>| names.iter().map(|name| json!({"name": name})).collect::<Vec<_>>();
            let object = containers(list(names.iter().collect()).into());
            let patch = containers(list(more.iter().collect()).into());
            let once = merge("Pod", object, patch.clone()).unwrap();
            let twice = merge("Pod", once.clone(), patch).unwrap();
            prop_assert_eq!(&once, &twice);
            prop_assert_eq!(once["spec"]["containers"].as_array().unwrap().len(), names.union(&more).count());
        }
    }
}
