//! What revisions, transactions, lists and watches promise.

use bytes::Bytes;
use coracle::profile::StoreProfile;
use coracle::raft::{OpenError, Raft, WriteError};
use coracle::store::{Body, Expect, Key, ListOptions, Op, Revision, StoreError, Txn, TxnOutcome};
use std::path::Path;

pub fn profile() -> StoreProfile {
    StoreProfile {
        cache_bytes: 4 << 20,
        history_entries: 1000,
        history_bytes: 1 << 20,
        log_entries: 200,
        flush_ms: 20,
    }
}

pub fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
}

pub async fn open(dir: &Path) -> Raft {
    Raft::open(dir, &profile()).await.unwrap()
}

pub fn put(key: &str, text: &str, expect: Expect) -> Txn {
    let head = r#"{"metadata":{"resourceVersion":""#;
    let json = format!(r#"{head}"}},"data":"{text}"}}"#);
    Txn {
        ops: vec![Op::Put {
            key: Key(key.to_owned()),
            body: Body {
                json: Bytes::from(json),
                revision_at: head.len() as u32,
            },
            expect,
        }],
    }
}

fn delete(key: &str, revision: Revision) -> Txn {
    Txn {
        ops: vec![Op::Delete {
            key: Key(key.to_owned()),
            expect: Expect::Revision(revision),
        }],
    }
}

pub async fn commit(raft: &Raft, txn: Txn) -> Revision {
    match raft.writer.commit(txn).await.unwrap() {
        TxnOutcome::Committed { revision } => revision,
        conflict @ TxnOutcome::Conflict { .. } => panic!("{conflict:?}"),
    }
}

fn json(revision: Revision, text: &str) -> Bytes {
    Bytes::from(format!(
        r#"{{"metadata":{{"resourceVersion":"{}"}},"data":"{text}"}}"#,
        revision.0
    ))
}

fn prefix(prefix: &str) -> ListOptions {
    ListOptions {
        prefix: prefix.to_owned(),
        ..ListOptions::default()
    }
}

pub fn reopen_keeps_state() {
    let dir = tempfile::tempdir().unwrap();
    runtime().block_on(async {
        let raft = open(dir.path()).await;
        let first = commit(&raft, put("pods/default/a", "1", Expect::Absent)).await;
        let second = commit(&raft, put("pods/default/b", "2", Expect::Absent)).await;
        assert!(first < second);
        let third = commit(&raft, delete("pods/default/a", first)).await;
        raft.close().await;

        let raft = open(dir.path()).await;
        assert_eq!(raft.store.revision(), third);
        assert!(
            raft.store
                .get(&Key("pods/default/a".into()))
                .unwrap()
                .is_none()
        );
        let b = raft
            .store
            .get(&Key("pods/default/b".into()))
            .unwrap()
            .unwrap();
        assert_eq!((b.revision, b.json), (second, json(second, "2")));
        // History does not survive a clean restart; asking for it says so.
        let old = ListOptions {
            at: Some(first),
            ..prefix("pods/")
        };
        assert!(matches!(
            raft.store.list(&old),
            Err(StoreError::Compacted { .. })
        ));
        raft.close().await;
    });
}

pub fn compare_and_swap() {
    let dir = tempfile::tempdir().unwrap();
    runtime().block_on(async {
        let raft = open(dir.path()).await;
        let first = commit(&raft, put("a", "1", Expect::Absent)).await;
        let conflict = TxnOutcome::Conflict {
            key: Key("a".into()),
            current: Some(first),
        };
        let again = raft
            .writer
            .commit(put("a", "2", Expect::Absent))
            .await
            .unwrap();
        assert_eq!(again, conflict);
        // All or nothing: the first operation would hold, the second does not.
        let mut both = put("b", "1", Expect::Absent);
        both.ops
            .extend(put("a", "2", Expect::Revision(Revision(999))).ops);
        assert_eq!(raft.writer.commit(both).await.unwrap(), conflict);
        assert!(raft.store.get(&Key("b".into())).unwrap().is_none());
        assert_eq!(raft.store.revision(), first);
        // Of many writers that expect the same revision, one wins.
        let tries = (0..16).map(|n| {
            let writer = raft.writer.clone();
            async move {
                writer
                    .commit(put("a", &n.to_string(), Expect::Revision(first)))
                    .await
                    .unwrap()
            }
        });
        let outcomes = futures::future::join_all(tries).await;
        let won = outcomes
            .iter()
            .filter(|o| matches!(o, TxnOutcome::Committed { .. }));
        assert_eq!(won.count(), 1);
        raft.close().await;
    });
}

pub fn malformed_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    runtime().block_on(async {
        let raft = open(dir.path()).await;
        let mut outside = put("a", "1", Expect::Absent);
        if let Some(Op::Put { body, .. }) = outside.ops.first_mut() {
            body.revision_at = u32::MAX;
        }
        let refused = raft.writer.commit(outside).await;
        assert!(
            matches!(refused, Err(WriteError::Invalid(_))),
            "{refused:?}"
        );
        let mut twice = put("a", "1", Expect::Absent);
        twice.ops.extend(twice.ops.clone());
        let refused = raft.writer.commit(twice).await;
        assert!(
            matches!(refused, Err(WriteError::Invalid(_))),
            "{refused:?}"
        );
        let long = put("a", &"x".repeat(9 << 20), Expect::Absent);
        let refused = raft.writer.commit(long).await;
        assert!(
            matches!(refused, Err(WriteError::TooLarge { .. })),
            "{refused:?}"
        );
        assert_eq!(raft.store.revision(), Revision(0));
        raft.close().await;
    });
}

pub fn gone_after_compaction() {
    let dir = tempfile::tempdir().unwrap();
    runtime().block_on(async {
        let raft = open(dir.path()).await;
        let first = commit(&raft, put("a", "1", Expect::Absent)).await;
        let second = commit(&raft, put("a", "2", Expect::Revision(first))).await;
        let old = ListOptions {
            at: Some(first),
            ..prefix("")
        };
        assert_eq!(
            raft.store.list(&old).unwrap().items[0].json,
            json(first, "1")
        );
        raft.store.compact(first);
        assert!(matches!(
            raft.store.list(&old),
            Err(StoreError::Compacted { .. })
        ));
        assert!(matches!(
            raft.store.watch("", first),
            Err(StoreError::Compacted { .. })
        ));
        assert!(matches!(
            raft.store.watch("", Revision(second.0 + 1)),
            Err(StoreError::Future { .. })
        ));
        raft.store.compact(second);
        assert!(
            raft.store.watch("", second).is_ok(),
            "nothing is missing after the newest revision"
        );
        raft.close().await;
    });
}

pub fn watch_in_order() {
    let dir = tempfile::tempdir().unwrap();
    runtime().block_on(async {
        let raft = open(dir.path()).await;
        let start = commit(&raft, put("pods/0", "0", Expect::Absent)).await;
        let mut watch = raft.store.watch("pods/", start).unwrap();
        let writers = (1..=50).map(|n| commit_owned(&raft, n));
        let all = futures::future::join_all(writers);
        let seen = async {
            let mut seen = Vec::new();
            while seen.len() < 50 {
                seen.push(watch.next().await.unwrap().unwrap());
            }
            seen
        };
        let (_, seen) = tokio::join!(all, seen);
        assert!(seen.windows(2).all(|two| two[0].revision < two[1].revision));
        assert!(seen.iter().all(|c| c.before.is_none() && c.after.is_some()));
        let gone = commit(&raft, delete("pods/0", start)).await;
        let change = watch.next().await.unwrap().unwrap();
        assert_eq!((change.revision, change.after), (gone, None));
        assert_eq!(change.before, Some(json(start, "0")));
        assert_eq!(watch.progress(), gone);
        raft.close().await;
        assert!(
            watch.next().await.unwrap().is_none(),
            "a closed store ends its watches"
        );
    });
}

async fn commit_owned(raft: &Raft, n: usize) -> Revision {
    let other = put(&format!("secrets/{n}"), "x", Expect::Absent);
    commit(raft, other).await;
    commit(raft, put(&format!("pods/{n}"), "x", Expect::Absent)).await
}

/// Two objects always change together; every page of every list must show them alike.
pub fn list_is_one_revision() {
    let dir = tempfile::tempdir().unwrap();
    runtime().block_on(async {
        let raft = open(dir.path()).await;
        let mut fill = Txn::default();
        for n in 0..700 {
            fill.ops
                .extend(put(&format!("m/{n:03}"), "x", Expect::Absent).ops);
        }
        for key in ["m/", "m/zzz"] {
            fill.ops.extend(put(key, "0", Expect::Absent).ops);
        }
        let mut last = commit(&raft, fill).await;
        let store = raft.store.clone();
        let stop = tokio_util::sync::CancellationToken::new();
        let stopped = stop.clone();
        let reader = tokio::task::spawn_blocking(move || {
            let mut lists = 0;
            while !stopped.is_cancelled() {
                let page = store.list(&prefix("m/")).unwrap();
                assert_eq!(page.items.len(), 702);
                let (first, last) = (&page.items[0], &page.items[701]);
                assert_eq!(first.revision, last.revision, "a list mixed two revisions");
                assert!(first.revision <= page.revision);
                lists += 1;
            }
            lists
        });
        for n in 1..=100 {
            let mut both = put("m/", &n.to_string(), Expect::Revision(last));
            both.ops
                .extend(put("m/zzz", &n.to_string(), Expect::Revision(last)).ops);
            last = commit(&raft, both).await;
        }
        stop.cancel();
        assert!(reader.await.unwrap() > 0);
        let page = ListOptions {
            limit: Some(2),
            after: Some(Key("m/001".into())),
            ..prefix("m/")
        };
        let page = raft.store.list(&page).unwrap();
        let keys: Vec<_> = page.items.iter().map(|item| item.key.0.as_str()).collect();
        assert_eq!(
            (keys, page.more, page.remaining),
            (vec!["m/002", "m/003"], true, Some(697))
        );
        raft.close().await;
    });
}

pub fn second_opener_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    runtime().block_on(async {
        let raft = open(dir.path()).await;
        let second = Raft::open(dir.path(), &profile()).await;
        assert!(
            matches!(second, Err(OpenError::Locked { .. })),
            "{second:?}"
        );
        raft.close().await;
        open(dir.path()).await.close().await;
    });
}

/// Bytes this process caused to be written to block devices.
fn written() -> u64 {
    let io = std::fs::read_to_string("/proc/self/io").unwrap();
    let line = io
        .lines()
        .find_map(|line| line.strip_prefix("write_bytes: "));
    line.unwrap().parse().unwrap()
}

/// After the last flush in place, three seconds pass without a byte; the only thing to wait for is that nothing happens.
pub fn idle_writes_nothing() {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    runtime().block_on(async {
        let raft = open(dir.path()).await;
        for n in 0..20 {
            commit(&raft, put(&format!("a/{n}"), "x", Expect::Absent)).await;
        }
        let mut quiet = Vec::new();
        for _ in 0..2 {
            let before = written();
            tokio::time::sleep(std::time::Duration::from_secs(3)).await;
            quiet.push(written() - before);
        }
        assert_eq!(quiet[1], 0, "{quiet:?}");
        raft.close().await;
    });
}

/// Far more entries than the log keeps: it is purged behind the state, and the state is complete.
pub fn purged_log_reopens() {
    let dir = tempfile::tempdir().unwrap();
    runtime().block_on(async {
        let raft = open(dir.path()).await;
        let mut last = Revision(0);
        for n in 0..900 {
            last = commit(&raft, put(&format!("a/{n:03}"), "x", Expect::Absent)).await;
        }
        raft.close().await;
        for _ in 0..3 {
            let raft = open(dir.path()).await;
            assert_eq!(raft.store.revision(), last);
            assert_eq!(raft.store.list(&prefix("a/")).unwrap().items.len(), 900);
            raft.close().await;
        }
    });
}

pub fn closed_refuses_writes() {
    let dir = tempfile::tempdir().unwrap();
    runtime().block_on(async {
        let raft = open(dir.path()).await;
        let writer = raft.writer.clone();
        raft.close().await;
        let refused = writer.commit(put("a", "1", Expect::Absent)).await;
        assert!(matches!(refused, Err(WriteError::Closed)), "{refused:?}");
    });
}

/// Objects far larger than a page of the engine.
pub fn large_objects_reopen() {
    let dir = tempfile::tempdir().unwrap();
    runtime().block_on(async {
        let raft = open(dir.path()).await;
        let text = "x".repeat(700_000);
        for n in 0..12 {
            commit(&raft, put(&format!("a/{n:02}"), &text, Expect::Absent)).await;
        }
        raft.close().await;
        let raft = open(dir.path()).await;
        let items = raft.store.list(&prefix("a/")).unwrap().items;
        assert_eq!(items.len(), 12);
        assert!(
            items
                .iter()
                .all(|item| item.json == json(item.revision, &text))
        );
        raft.close().await;
    });
}

/// On a file system that fills up, writes are turned away, reads go on, and writes are taken again once there is space.
pub fn full_disk_as_root() {
    use nix::mount::{MntFlags, MsFlags, mount, umount2};
    let dir = tempfile::tempdir().unwrap();
    let size = Some("size=32m");
    if let Err(e) = mount(
        Some("tmpfs"),
        dir.path(),
        Some("tmpfs"),
        MsFlags::empty(),
        size,
    ) {
        println!("full_disk_as_root was NOT run: mounting a tmpfs needs root ({e})");
        return;
    }
    let checked = std::panic::catch_unwind(|| runtime().block_on(full_disk(dir.path())));
    umount2(dir.path(), MntFlags::MNT_DETACH).unwrap();
    checked.unwrap();
}

async fn full_disk(dir: &Path) {
    let raft = open(&dir.join("store")).await;
    let first = commit(&raft, put("a", "1", Expect::Absent)).await;
    std::fs::write(dir.join("ballast"), vec![1; 20 << 20]).unwrap();
    let refused = raft.writer.commit(put("b", "1", Expect::Absent)).await;
    assert!(matches!(refused, Err(WriteError::Disk(_))), "{refused:?}");
    assert_eq!(
        raft.store.get(&Key("a".into())).unwrap().unwrap().revision,
        first
    );
    std::fs::remove_file(dir.join("ballast")).unwrap();
    commit(&raft, put("b", "1", Expect::Absent)).await;
    raft.close().await;
}
