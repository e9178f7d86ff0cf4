//! Leases that are renewed again and again, without a write to disk each time.
//!
//! An update that changes a Lease's `spec.renewTime` and nothing else is kept here and acknowledged at once. GET and LIST
//! show it; whoever watches sees the other changes only. A restart forgets it, which is as if the holder had been late.
//! Compare-and-swap stays right: a renewed Lease has a resourceVersion of its own, and while a stored change of it is
//! under way, no renewal slips in before it.

use super::encode::{encode, fill};
use super::kinds::Kind;
use super::status::ApiResult;
use super::stored_value;
use crate::object::access::text;
use crate::store::{Key, Revision, Store, Stored};
use bytes::Bytes;
use rand::Rng;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Renewed Leases kept: some for each node and for each elected leader. Further ones are stored as any change is.
const RENEWED_MAX: usize = 1024;

/// Marks the resourceVersion of a renewed Lease; below it stand its stored revision and a number. All of it fits a
/// positive `int64`, which some clients read it as.
const SOFT: u64 = 1 << 62;
const NUMBER_BITS: u32 = 30;
const NUMBERS: u64 = 1 << NUMBER_BITS;
/// What revisions may have. Later ones, of a cluster that wrote ten times a second for ten years, are stored as usual.
const BASES: u64 = 1 << (62 - NUMBER_BITS);

fn revision_of(base: Revision, number: u64) -> Revision {
    Revision(SOFT | (base.0 << NUMBER_BITS) | number)
}

/// The stored revision that a client means by `asked`: it may have it from a renewed Lease.
pub(super) fn stored_revision(asked: u64) -> Revision {
    if asked & SOFT == 0 {
        return Revision(asked);
    }
    Revision((asked & (SOFT - 1)) >> NUMBER_BITS)
}

/// A Lease as renewed since it was stored.
struct Renewed {
    /// What it was stored at; with another one in the store, this is history.
    base: Revision,
    /// The last renewal's, or `None` before the first.
    last: Option<(u64, Bytes)>,
    /// Stored changes on their way.
    changing: u32,
}

#[derive(Default)]
struct State {
    leases: BTreeMap<Key, Renewed>,
    /// Of the last renewal of any Lease.
    number: u64,
}

#[derive(Clone)]
pub(super) struct Soft {
    state: Arc<Mutex<State>>,
}

impl Default for Soft {
    /// Numbers begin anywhere, so that a resourceVersion from before a restart does not come to fit again.
    fn default() -> Soft {
        let number = rand::rng().random_range(0..NUMBERS);
        let leases = BTreeMap::new();
        Soft {
            state: Arc::new(Mutex::new(State { leases, number })),
        }
    }
}

/// Keeps renewals of a Lease away while a stored change of it is under way.
#[must_use]
pub(super) struct Held {
    soft: Soft,
    key: Key,
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut state = self.soft.state();
        let Some(lease) = state.leases.get_mut(&self.key) else {
            return;
        };
        lease.changing = lease.changing.saturating_sub(1);
        if lease.changing == 0 && lease.last.is_none() {
            state.leases.remove(&self.key);
        }
    }
}

/// What is true of a write to a Lease.
pub(super) enum Turn {
    /// Not a Lease.
    Free,
    /// To be kept until the write has ended.
    Held { _until_written: Held },
    /// The Lease was renewed since it was read.
    Overtaken,
}

fn is_lease(kind: &Kind) -> bool {
    kind.group == "coordination.k8s.io" && kind.plural == "leases"
}

impl Soft {
    fn state(&self) -> MutexGuard<'_, State> {
        // Each change to the state is one assignment: a panic elsewhere leaves it whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `stored` as it is now: a Lease with its last renewal.
    pub(super) fn shown(&self, kind: &Kind, mut stored: Stored) -> Stored {
        if is_lease(kind)
            && let Some(lease) = self.state().leases.get(&stored.key)
            && lease.base == stored.revision
            && let Some((_, json)) = &lease.last
        {
            stored.json = json.clone();
        }
        stored
    }

    /// Acknowledges a change of `old` (as shown) to `object`, if it is a renewal only and nobody was faster.
    pub(super) fn renew(
        &self,
        kind: &Kind,
        store: &Store,
        old: &Stored,
        before: &Value,
        object: &Value,
    ) -> ApiResult<Option<Bytes>> {
        if !is_lease(kind) || !is_renewal(before, object) || old.revision.0 >= BASES {
            return Ok(None);
        }
        let encoded = encode(object)?;
        let mut state = self.state();
        if state.leases.len() >= RENEWED_MAX && !state.leases.contains_key(&old.key) {
            forget_history(&mut state, store)?;
            if state.leases.len() >= RENEWED_MAX {
                return Ok(None);
            }
        }
        if store.get(&old.key)?.map(|now| now.revision) != Some(old.revision) {
            return Ok(None);
        }
        let number = (state.number + 1) % NUMBERS;
        let fresh = || Renewed {
            base: old.revision,
            last: None,
            changing: 0,
        };
        let lease = state.leases.entry(old.key.clone()).or_insert_with(fresh);
        if lease.changing > 0 {
            return Ok(None);
        }
        if lease.base != old.revision {
            *lease = fresh();
        }
        if !lease.is_shown_as(old, before) {
            return Ok(None);
        }
        let json = fill(&encoded, revision_of(old.revision, number));
        lease.last = Some((number, json.clone()));
        state.number = number;
        Ok(Some(json))
    }

    /// Before a stored change of what was read as `old`.
    pub(super) fn hold(&self, kind: &Kind, old: &Stored) -> ApiResult<Turn> {
        if !is_lease(kind) {
            return Ok(Turn::Free);
        }
        let shown = stored_value(&old.json)?;
        let mut state = self.state();
        let fresh = || Renewed {
            base: old.revision,
            last: None,
            changing: 0,
        };
        let lease = state.leases.entry(old.key.clone()).or_insert_with(fresh);
        if lease.base < old.revision {
            lease.base = old.revision;
            lease.last = None;
        }
        if !lease.is_shown_as(old, &shown) {
            return Ok(Turn::Overtaken);
        }
        lease.changing += 1;
        Ok(Turn::Held {
            _until_written: Held {
                soft: self.clone(),
                key: old.key.clone(),
            },
        })
    }
}

impl Renewed {
    /// Whether a reader of now would see this resourceVersion.
    fn is_shown_as(&self, old: &Stored, shown: &Value) -> bool {
        let now = match &self.last {
            Some((number, _)) => revision_of(self.base, *number),
            None => self.base,
        };
        self.base == old.revision && text(shown, "/metadata/resourceVersion") == now.0.to_string()
    }
}

/// Drops what was changed or deleted in the store since.
fn forget_history(state: &mut State, store: &Store) -> ApiResult<()> {
    let mut gone = Vec::new();
    for (key, lease) in &state.leases {
        let now = store.get(key)?.map(|stored| stored.revision);
        if now != Some(lease.base) && lease.changing == 0 {
            gone.push(key.clone());
        }
    }
    for key in gone {
        state.leases.remove(&key);
    }
    Ok(())
}

/// Whether the two differ in `spec.renewTime` and nothing else a client can set.
fn is_renewal(before: &Value, object: &Value) -> bool {
    let rest = |object: &Value| {
        let mut rest = object.clone();
        for (at, field) in [("/spec", "renewTime"), ("/metadata", "resourceVersion")] {
            if let Some(fields) = rest.pointer_mut(at).and_then(Value::as_object_mut) {
                fields.remove(field);
            }
        }
        rest
    };
    let renewed = |object: &Value| !text(object, "/spec/renewTime").is_empty();
    renewed(before) && renewed(object) && rest(before) == rest(object)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_a_renewal_is() {
        let lease = |holder: &str, time: &str| {
            json!({"metadata": {"name": "n", "resourceVersion": time.len().to_string()},
                "spec": {"holderIdentity": holder, "renewTime": time}})
        };
        for (object, want) in [
            (lease("a", "2026-01-01T00:00:10.000000Z"), true),
            (lease("a", "x"), true),
            (lease("b", "2026-01-01T00:00:10.000000Z"), false),
            (lease("a", ""), false),
            (json!({"spec": 3}), false),
        ] {
            let before = lease("a", "2026-01-01T00:00:00.000000Z");
            assert_eq!(is_renewal(&before, &object), want, "{object}");
        }
    }

    #[test]
    fn revisions_lead_back() {
        for (base, number) in [(0, 0), (5, 1), (BASES - 1, NUMBERS - 1)] {
            let shown = revision_of(Revision(base), number);
            assert!(i64::try_from(shown.0).is_ok());
            assert_eq!(stored_revision(shown.0), Revision(base));
        }
        assert_eq!(stored_revision(7), Revision(7));
    }
}
