//! The log's files after crashes, and snapshots from one store into another.
#![allow(clippy::unwrap_used)]

use super::log::encode;
use super::machine::Progress;
use super::segments::Segments;
use super::transfer::{self, Transfer};
use crate::store::{Applier, Body, Expect, Key, ListOptions, Op, Revision, SledEngine, Store, Txn};
use bytes::Bytes;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncSeekExt, AsyncWriteExt};

fn records(range: std::ops::Range<u64>) -> Vec<(u64, Vec<u8>)> {
    range.map(|index| (index, vec![index as u8; 100])).collect()
}

fn payloads(range: std::ops::Range<u64>) -> Vec<Vec<u8>> {
    records(range)
        .into_iter()
        .map(|(_, payload)| payload)
        .collect()
}

#[test]
fn an_unfinished_append_is_cut_off() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = Segments::open(dir.path()).unwrap();
    log.append(&records(5..8)).unwrap();
    log.append(&records(8..10)).unwrap();
    let path = std::fs::read_dir(dir.path())
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    let whole = std::fs::read(&path).unwrap();
    let record = whole.len() / 5;
    for length in (0..=whole.len()).rev().step_by(7) {
        std::fs::write(&path, &whole[..length]).unwrap();
        let mut log = Segments::open(dir.path()).unwrap();
        let end = 5 + (length / record) as u64;
        assert_eq!(log.last(), (end > 5).then(|| end - 1));
        assert_eq!(log.read(0, u64::MAX).unwrap(), payloads(5..end));
        // It goes on from there.
        log.append(&records(end..end + 1)).unwrap();
        assert_eq!(Segments::open(dir.path()).unwrap().last(), Some(end));
    }
}

#[test]
fn both_ends_can_be_removed() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = Segments::open(dir.path()).unwrap();
    log.append(&records(0..20)).unwrap();
    log.truncate(12).unwrap();
    assert_eq!(log.last(), Some(11));
    log.append(&records(12..15)).unwrap();
    assert_eq!(log.read(10, 14).unwrap(), payloads(10..14));
    log.purge(13).unwrap();
    assert_eq!(log.read(14, 20).unwrap(), payloads(14..15));
    log.purge(14).unwrap();
    assert_eq!((log.last(), log.read(0, 20).unwrap()), (None, vec![]));
    log.append(&records(15..16)).unwrap();
    assert_eq!(Segments::open(dir.path()).unwrap().last(), Some(15));
    // After an installed snapshot the log goes on further ahead.
    log.append(&records(100..101)).unwrap();
    assert_eq!(log.read(0, 200).unwrap(), payloads(100..101));
}

fn applier(dir: &Path) -> Applier {
    let engine = SledEngine::open(dir, 1 << 20).unwrap();
    Applier::open(Arc::new(engine), 10_000, 1 << 20).unwrap().0
}

fn put(applier: &Applier, key: &str) {
    let held = applier.store().get(&Key(key.to_owned())).unwrap();
    let expect = held.map_or(Expect::Absent, |held| Expect::Revision(held.revision));
    let body = Body {
        json: Bytes::from_static(b"<>"),
        revision_at: 1,
    };
    let ops = vec![Op::Put {
        key: Key(key.to_owned()),
        body,
        expect,
    }];
    applier.apply(&[Txn { ops }], b"").unwrap();
}

fn all(store: &Store, at: Option<Revision>) -> Vec<crate::store::Stored> {
    let options = ListOptions {
        at,
        ..ListOptions::default()
    };
    store.list(&options).unwrap().items
}

#[tokio::test]
async fn a_snapshot_carries_one_revision() {
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let source = applier(&from.path().join("db"));
    for n in 0..300 {
        put(&source, &format!("k{n}"));
    }
    let revision = source.store().revision();
    let tag = encode(&Progress::default()).unwrap();
    let mut outgoing = Transfer::outgoing(source.store(), tag);
    let mut stream = vec![0; 1000];
    outgoing.read_exact(&mut stream).await.unwrap();
    // Writes go on while it is read, and a chunk that got lost is read again.
    for n in 200..400 {
        put(&source, &format!("k{n}"));
    }
    outgoing.seek(std::io::SeekFrom::Start(500)).await.unwrap();
    stream.truncate(500);
    outgoing.read_to_end(&mut stream).await.unwrap();

    let target = applier(&to.path().join("db"));
    put(&target, "not in the snapshot");
    // A stream that was cut short costs nothing of what is there.
    std::fs::write(to.path().join("cut"), &stream[..stream.len() - 40]).unwrap();
    transfer::install(&target, to.path(), &to.path().join("cut")).unwrap_err();
    assert_eq!(all(&target.store(), None).len(), 1);

    let mut incoming = Transfer::incoming(to.path()).await.unwrap();
    incoming.write_all(&stream).await.unwrap();
    incoming.shutdown().await.unwrap();
    let path = incoming.finish(to.path()).await.unwrap();
    assert_eq!(transfer::pending(to.path()).unwrap(), Some(path.clone()));
    let progress = transfer::install(&target, to.path(), &path).unwrap();
    assert_eq!(progress, Progress::default());
    assert_eq!(target.store().revision(), revision);
    assert_eq!(
        all(&target.store(), None),
        all(&source.store(), Some(revision))
    );
    assert!(File::open(path).is_err(), "what was taken over is removed");
}
