//! Lists, history and watches against a model that keeps every state there ever was.
#![allow(clippy::unwrap_used)]

use super::engine::{Batch, Engine, EngineError, Rows};
use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;

/// An engine in memory.
#[derive(Debug, Default)]
pub struct Memory(Mutex<BTreeMap<Vec<u8>, Bytes>>);

impl Engine for Memory {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, EngineError> {
        Ok(self.0.lock().unwrap().get(key).cloned())
    }
    fn range(&self, from: &[u8], to: &[u8]) -> Rows<'_> {
        if from >= to {
            return Box::new(std::iter::empty());
        }
        let map = self.0.lock().unwrap();
        let rows: Vec<_> = map
            .range(from.to_vec()..to.to_vec())
            .map(|(k, v)| Ok((Bytes::copy_from_slice(k), v.clone())))
            .collect();
        Box::new(rows.into_iter())
    }
    fn write(&self, batch: Batch) -> Result<(), EngineError> {
        let mut map = self.0.lock().unwrap();
        for (key, value) in batch.rows {
            match value {
                Some(value) => map.insert(key, Bytes::from(value)),
                None => map.remove(&key),
            };
        }
        Ok(())
    }
    fn flush(&self) -> Result<(), EngineError> {
        Ok(())
    }
    fn size_on_disk(&self) -> Result<u64, EngineError> {
        Ok(0)
    }
}

const KEYS: [&str; 6] = ["a/", "a/1", "a/2", "a/\u{10ffff}", "b/1", "c"];

#[derive(Debug, Clone)]
enum Step {
    /// Puts (true) or deletes these keys in one transaction.
    Change(Vec<(usize, bool)>),
    Flush,
    Compact(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let change = proptest::collection::btree_map(0..KEYS.len(), any::<bool>(), 1..4);
    prop_oneof![
        8 => change.prop_map(|keys| Step::Change(keys.into_iter().collect())),
        1 => Just(Step::Flush),
        1 => (0..30_u64).prop_map(Step::Compact),
    ]
}

type State = BTreeMap<String, (u64, Bytes)>;

fn shown(page: &Page) -> Vec<(String, u64, Bytes)> {
    let item = |s: &Stored| (s.key.0.clone(), s.revision.0, s.json.clone());
    page.items.iter().map(item).collect()
}

proptest! {
    #[test]
    fn every_revision_in_history_is_as_it_was(
        steps in proptest::collection::vec(step(), 1..40),
        entries_max in 0..60_usize,
        prefix in prop_oneof![Just(""), Just("a/"), Just("b"), Just("zz")],
        after in proptest::option::of(0..KEYS.len()),
        limit in proptest::option::of(0..4_usize),
    ) {
        let (applier, _) = Applier::open(Arc::new(Memory::default()), entries_max, 1 << 20).unwrap();
        let store = applier.store();
        let mut states = vec![State::new()];
        for step in &steps {
            match step {
                Step::Flush => applier.flush().unwrap(),
                Step::Compact(revision) => store.compact(Revision(*revision)),
                Step::Change(keys) => {
                    let mut state = states.last().unwrap().clone();
                    let revision = states.len() as u64;
                    let mut ops = Vec::new();
                    for (key, is_put) in keys {
                        let key = KEYS[*key].to_owned();
                        let held = state.get(&key).map(|(revision, _)| Expect::Revision(Revision(*revision)));
                        let expect = held.unwrap_or(Expect::Absent);
                        if *is_put {
                            let body = Body { json: Bytes::from_static(b"<>"), revision_at: 1 };
                            ops.push(Op::Put { key: Key(key.clone()), body, expect });
                            state.insert(key, (revision, Bytes::from(format!("<{revision}>"))));
                        } else if held.is_some() {
                            ops.push(Op::Delete { key: Key(key.clone()), expect });
                            state.remove(&key);
                        }
                    }
                    let changed = !ops.is_empty();
                    let outcome = applier.apply(&[Txn { ops }], b"tag").unwrap().remove(0);
                    if changed {
                        states.push(state);
                    }
                    let revision = Revision(states.len() as u64 - 1);
                    prop_assert_eq!(outcome, TxnOutcome::Committed { revision });
                }
            }
        }
        let floor = store.shared.window().floor().0;
        for (revision, state) in states.iter().enumerate() {
            let at = Some(Revision(revision as u64));
            let after = after.map(|key| Key(KEYS[key].to_owned()));
            let options = ListOptions { prefix: prefix.to_owned(), at, after: after.clone(), limit };
            let listed = store.list(&options);
            if (revision as u64) < floor {
                let compacted = matches!(listed, Err(StoreError::Compacted { .. }));
                prop_assert!(compacted);
                continue;
            }
            let page = listed.unwrap();
            let all: Vec<_> = state
                .iter()
                .filter(|(key, _)| key.starts_with(prefix) && after.as_ref().is_none_or(|after| **key > after.0))
                .map(|(key, (revision, json))| (key.clone(), *revision, json.clone()))
                .collect();
            let cut = limit.filter(|limit| *limit > 0).unwrap_or(usize::MAX).min(all.len());
            prop_assert_eq!(shown(&page), &all[..cut]);
            prop_assert_eq!(page.more, cut < all.len());
            if let Some(remaining) = page.remaining {
                prop_assert_eq!(remaining, (all.len() - cut) as u64);
            }
            // A watch from here leads from this state to the newest.
            let mut replayed = state.clone();
            let mut watch = store.watch("", Revision(revision as u64)).unwrap();
            while let Some(change) = watch.advance().unwrap() {
                let key = change.key.0;
                let before = replayed.get(&key).map(|(_, json)| json.clone());
                prop_assert_eq!(before, change.before);
                match change.after {
                    Some(json) => replayed.insert(key, (change.revision.0, json)),
                    None => replayed.remove(&key),
                };
            }
            prop_assert_eq!(&replayed, states.last().unwrap());
            prop_assert_eq!(watch.progress().0, states.len() as u64 - 1);
        }
    }

    #[test]
    fn rows_survive_the_disk(revision: u64, created: u64, json: Vec<u8>) {
        let row = Row { revision: Revision(revision), created: Revision(created), json: Bytes::from(json) };
        prop_assert_eq!(Row::decode(Bytes::from(row.encode())).unwrap(), row);
    }

    #[test]
    fn damaged_rows_are_refused(bytes: Vec<u8>) {
        let _ = Row::decode(Bytes::from(bytes));
    }
}

#[test]
fn a_watch_that_falls_behind_is_told() {
    let (applier, _) = Applier::open(Arc::new(Memory::default()), 2, 1 << 20).unwrap();
    let mut watch = applier.store().watch("", Revision(0)).unwrap();
    for n in 0..5 {
        let body = Body {
            json: Bytes::new(),
            revision_at: 0,
        };
        let op = Op::Put {
            key: Key(n.to_string()),
            body,
            expect: Expect::Absent,
        };
        applier.apply(&[Txn { ops: vec![op] }], b"").unwrap();
    }
    let told = watch.advance();
    assert!(
        matches!(
            told,
            Err(StoreError::Compacted {
                oldest: Revision(3),
                ..
            })
        ),
        "{told:?}"
    );
}
