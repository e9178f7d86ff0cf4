//! The patch that brings an object to what a manifest says: fields of the manifest are set, fields that
//! the last manifest had and this one has not are removed, everything else (defaults, status, what
//! controllers wrote) stays.

use super::merge_keys::{ListMerge, list_merge};
use serde_json::{Map, Value, json};

/// Kinds of Kubernetes itself have strategic merge patch; others take plain merge patches.
pub fn is_built_in(group: &str) -> bool {
    !group.contains('.') || group.ends_with(".k8s.io")
}

/// Nothing to change.
pub fn is_empty(patch: &Value) -> bool {
    patch.as_object().is_none_or(Map::is_empty)
}

/// `strategic`: lists with a merge key are changed item by item; else every list is one value.
pub fn patch(last: Option<&Value>, modified: &Value, current: &Value, strategic: bool) -> Value {
    let empty = Map::new();
    let map = |value: Option<&Value>| value.and_then(Value::as_object).unwrap_or(&empty).clone();
    let patch =
        Differ { strategic }.maps("", &map(last), &map(Some(modified)), &map(Some(current)));
    Value::Object(patch)
}

struct Differ {
    strategic: bool,
}

impl Differ {
    /// The patch for the map named `name`.
    fn maps(
        &self,
        name: &str,
        last: &Map<String, Value>,
        modified: &Map<String, Value>,
        current: &Map<String, Value>,
    ) -> Map<String, Value> {
        let mut patch = Map::new();
        for (field, wanted) in modified {
            let change = self.field(name, field, last.get(field), wanted, current.get(field));
            if let Some(change) = change {
                patch.insert(field.clone(), change);
            }
            if self.strategic && list_merge(name, field) == ListMerge::Set {
                let list = |value: Option<&Value>| {
                    value.and_then(Value::as_array).cloned().unwrap_or_default()
                };
                let surplus = surplus(
                    &list(last.get(field)),
                    &list(Some(wanted)),
                    &list(current.get(field)),
                );
                if !surplus.is_empty() {
                    let directive = format!("$deleteFromPrimitiveList/{field}");
                    patch.insert(directive, Value::Array(surplus));
                }
            }
        }
        for field in last.keys() {
            let removed = !modified.contains_key(field)
                && current.get(field).is_some_and(|value| !value.is_null());
            if removed {
                patch.insert(field.clone(), Value::Null);
            }
        }
        patch
    }

    fn field(
        &self,
        parent: &str,
        field: &str,
        last: Option<&Value>,
        wanted: &Value,
        current: Option<&Value>,
    ) -> Option<Value> {
        let current = current.unwrap_or(&Value::Null);
        if wanted == current {
            return None;
        }
        match (wanted, current) {
            // `field: null` asks for removal; where nothing is, there is nothing to do.
            (Value::Null, _) => Some(Value::Null),
            (Value::Object(wanted), Value::Object(current)) => {
                let empty = Map::new();
                let last = last.and_then(Value::as_object).unwrap_or(&empty);
                let patch = self.maps(field, last, wanted, current);
                (!patch.is_empty()).then_some(Value::Object(patch))
            }
            (Value::Array(wanted), Value::Array(current)) if self.strategic => {
                let last = last
                    .and_then(Value::as_array)
                    .map_or(&[][..], Vec::as_slice);
                match list_merge(parent, field) {
                    ListMerge::Key(key) => self.keyed(field, key, last, wanted, current),
                    ListMerge::Set => missing(wanted, current),
                    ListMerge::Atomic => Some(Value::Array(wanted.clone())),
                }
            }
            // Empty where nothing is: the server drops it, and the next apply would see it missing again.
            (Value::Object(wanted), Value::Null) if wanted.is_empty() => None,
            (Value::Array(wanted), Value::Null) if wanted.is_empty() => None,
            _ => Some(without_nulls(wanted)),
        }
    }

    fn keyed(
        &self,
        field: &str,
        key: &str,
        last: &[Value],
        wanted: &[Value],
        current: &[Value],
    ) -> Option<Value> {
        if !unique(key, wanted) || !unique(key, current) {
            // Items that the key cannot tell apart: the list as a whole.
            let mut replaced = vec![json!({"$patch": "replace"})];
            replaced.extend(wanted.iter().cloned());
            return Some(Value::Array(replaced));
        }
        let find = |list: &[Value], id: &Value| list.iter().find(|item| item[key] == *id).cloned();
        let empty = Map::new();
        let mut patch = Vec::new();
        for item in wanted {
            let Some(there) = find(current, &item[key]) else {
                patch.push(without_nulls(item));
                continue;
            };
            let before = find(last, &item[key]);
            let as_map = |value: &Value| value.as_object().unwrap_or(&empty).clone();
            let mut change = self.maps(
                field,
                &before.as_ref().map(as_map).unwrap_or_default(),
                &as_map(item),
                &as_map(&there),
            );
            if !change.is_empty() {
                change.insert(key.to_owned(), item[key].clone());
                patch.push(Value::Object(change));
            }
        }
        for item in last {
            let id = &item[key];
            if !id.is_null() && find(wanted, id).is_none() && find(current, id).is_some() {
                patch.push(json!({"$patch": "delete", key: id}));
            }
        }
        (!patch.is_empty()).then_some(Value::Array(patch))
    }
}

/// Items a set lacks.
fn missing(wanted: &[Value], current: &[Value]) -> Option<Value> {
    let missing: Vec<Value> = wanted
        .iter()
        .filter(|item| !current.contains(item))
        .cloned()
        .collect();
    (!missing.is_empty()).then_some(Value::Array(missing))
}

/// Items of a set that the last manifest had, this one has not, and the object still has.
fn surplus(last: &[Value], wanted: &[Value], current: &[Value]) -> Vec<Value> {
    last.iter()
        .filter(|item| !wanted.contains(item) && current.contains(item))
        .cloned()
        .collect()
}

fn unique(key: &str, items: &[Value]) -> bool {
    let mut seen: Vec<&Value> = Vec::with_capacity(items.len());
    items.iter().all(|item| {
        let id = &item[key];
        let new = !id.is_null() && !seen.contains(&id);
        seen.push(id);
        new
    })
}

/// A value to be set where nothing is: a null in it means nothing.
fn without_nulls(value: &Value) -> Value {
    match value {
        Value::Object(map) => Value::Object(
            map.iter()
                .filter(|(_, value)| !value.is_null())
                .map(|(key, value)| (key.clone(), without_nulls(value)))
                .collect(),
        ),
        other => other.clone(),
    }
}

#[cfg(test)]
#[path = "three_way_tests.rs"]
mod tests;
