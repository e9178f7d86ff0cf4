//! Lists at one revision, without holding writes off: what the engine shows now, with everything later undone.

use super::rows::{self, Row};
use super::{Key, ListOptions, Page, Revision, Shared, StoreError, Stored};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::PoisonError;

/// Rows taken from the engine at a time.
const CHUNK_ROWS: usize = 512;
/// How often a list of the present starts again because history ran past it, before it holds writes off instead.
const ATTEMPTS_MAX: usize = 3;
/// Up to so many rows beyond a page are counted for `remaining`; beyond, counting would cost more than it tells.
const REMAINING_MAX: usize = 4096;

pub(super) fn list(shared: &Shared, options: &ListOptions) -> Result<Page, StoreError> {
    if let Some(at) = options.at {
        return page(shared, options, at);
    }
    for _ in 0..ATTEMPTS_MAX {
        let now = shared.window().revision();
        match page(shared, options, now) {
            Err(StoreError::Compacted { .. }) => {}
            done => return done,
        }
    }
    let _still = shared
        .applying
        .lock()
        .unwrap_or_else(PoisonError::into_inner);
    let now = shared.window().revision();
    page(shared, options, now)
}

fn page(shared: &Shared, options: &ListOptions, at: Revision) -> Result<Page, StoreError> {
    let limit = options.limit.filter(|limit| *limit > 0);
    let wanted = limit.map_or(usize::MAX, |limit| limit.saturating_add(1));
    let after = options.after.as_ref().map(|key| key.0.as_str());
    let mut rows = rows_at(shared, at, &options.prefix, after, wanted)?;
    let more = limit.is_some_and(|limit| rows.len() > limit);
    if let Some(limit) = limit {
        rows.truncate(limit);
    }
    let remaining = match rows.last() {
        Some((last, _)) if more => remaining(shared, &options.prefix, last, at)?,
        _ => Some(0),
    };
    let items = rows
        .into_iter()
        .map(|(key, row)| Stored {
            key: Key(key),
            revision: row.revision,
            json: row.json,
        })
        .collect();
    Ok(Page {
        items,
        revision: at,
        more,
        remaining,
    })
}

/// Counts the keys after `last`; `None` where that is not cheap or history moved on.
fn remaining(
    shared: &Shared,
    prefix: &str,
    last: &str,
    at: Revision,
) -> Result<Option<u64>, StoreError> {
    let dirty = dirty_after(shared, prefix, Some(last));
    let mut from = rows::object_key(last);
    from.push(0);
    let to = rows::objects_end(prefix);
    let mut keys = BTreeSet::new();
    for row in shared.engine.range(&from, &to).take(REMAINING_MAX + 1) {
        keys.insert(rows::key_of_object(&row?.0)?.0);
    }
    if keys.len() > REMAINING_MAX {
        return Ok(None);
    }
    for (key, row) in dirty {
        match row {
            Some(_) => keys.insert(key),
            None => keys.remove(&key),
        };
    }
    let unchanged = shared.window().revision() == at;
    Ok(unchanged.then_some(keys.len() as u64))
}

/// What waits to be written, after `after` and with `prefix`.
fn dirty_after(shared: &Shared, prefix: &str, after: Option<&str>) -> Vec<(String, Option<Row>)> {
    let dirty = shared.dirty();
    let from = match after {
        Some(after) if after >= prefix => Bound::Excluded(after),
        _ => Bound::Included(prefix),
    };
    dirty
        .rows
        .range::<str, _>((from, Bound::Unbounded))
        .take_while(|(key, _)| key.starts_with(prefix))
        .map(|(key, row)| (key.clone(), row.clone()))
        .collect()
}

/// At most `wanted` rows after `after` with `prefix`, as they were at `at`.
///
/// What waits to be written is read first, then the engine (rows go from one to the other); together they may be a mixture of any moments from `at` on. Then, for every key changed after `at`,
/// the oldest such change says what the key held at `at`: putting that back gives one revision, whatever was read.
pub(super) fn rows_at(
    shared: &Shared,
    at: Revision,
    prefix: &str,
    after: Option<&str>,
    wanted: usize,
) -> Result<Vec<(String, Row)>, StoreError> {
    shared.window().check(at)?;
    let to = rows::objects_end(prefix);
    let mut lower = after.map(str::to_owned);
    let mut out = Vec::new();
    loop {
        let from = match lower.as_deref() {
            // The first key after this one; a token from before the prefix starts at the prefix.
            Some(after) if after >= prefix => {
                let mut from = rows::object_key(after);
                from.push(0);
                from
            }
            _ => rows::object_key(prefix),
        };
        let dirty = dirty_after(shared, prefix, lower.as_deref());
        let mut chunk = BTreeMap::new();
        let mut read = 0;
        for row in shared.engine.range(&from, &to).take(CHUNK_ROWS) {
            let (key, value) = row?;
            read += 1;
            chunk.insert(rows::key_of_object(&key)?.0, Row::decode(value)?);
        }
        let exhausted = read < CHUNK_ROWS;
        // What was read covers the keys in (lower, upper]; without `upper`, all the rest.
        let upper = (!exhausted)
            .then(|| chunk.last_key_value().map(|(key, _)| key.clone()))
            .flatten();
        for (key, row) in dirty {
            if upper.as_deref().is_some_and(|upper| key.as_str() > upper) {
                break;
            }
            match row {
                Some(row) => chunk.insert(key, row),
                None => chunk.remove(&key),
            };
        }
        let undo = shared.window().undo(at, prefix, |key| {
            lower.as_deref().is_none_or(|lower| key > lower)
                && upper.as_deref().is_none_or(|upper| key <= upper)
        })?;
        for (key, before) in undo {
            match before {
                Some(row) => chunk.insert(key, row),
                None => chunk.remove(&key),
            };
        }
        out.extend(chunk);
        if out.len() >= wanted {
            out.truncate(wanted);
            return Ok(out);
        }
        match upper {
            Some(upper) => lower = Some(upper),
            None => return Ok(out),
        }
    }
}
