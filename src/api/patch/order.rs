//! The order of a merged list: the patch's own items in its order, the server's others kept where they stood.

use serde_json::Value;

/// Whether two items are the same one: by `key` for objects, by value otherwise.
pub fn same(left: &Value, right: &Value, key: Option<&str>) -> bool {
    match key {
        Some(key) => left.get(key).is_some() && left.get(key) == right.get(key),
        None => left == right,
    }
}

fn position(list: &[Value], item: &Value, key: Option<&str>) -> Option<usize> {
    list.iter().position(|other| same(other, item, key))
}

/// Orders `merged`: items named in `wanted` follow its order; the rest keep theirs from `before` and are woven in
/// as upstream's `normalizeElementOrder` does.
pub fn arrange(
    merged: Vec<Value>,
    wanted: &[Value],
    before: &[Value],
    key: Option<&str>,
) -> Vec<Value> {
    let size = merged.len();
    let (mut named, mut others) = (Vec::new(), Vec::new());
    for item in merged {
        match position(wanted, &item, key) {
            Some(at) => named.push((at, item)),
            None => others.push((position(before, &item, key).unwrap_or(usize::MAX), item)),
        }
    }
    named.sort_by_key(|(at, _)| *at);
    others.sort_by_key(|(at, _)| *at);

    let mut out = Vec::with_capacity(size);
    let mut named = named.into_iter().map(|(_, item)| item).peekable();
    let mut others = others.into_iter().peekable();
    loop {
        let other_first = match (others.peek(), named.peek()) {
            (None, None) => return out,
            (Some(_), None) => true,
            (None, Some(_)) => false,
            (Some((at, _)), Some(item)) => {
                position(before, item, key).is_some_and(|named_at| at < &named_at)
            }
        };
        out.extend(if other_first {
            others.next().map(|(_, item)| item)
        } else {
            named.next()
        });
    }
}
