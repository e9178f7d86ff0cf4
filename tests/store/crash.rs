//! Kill -9 under load, 200 times: every acknowledged write is there afterwards.

use crate::semantics::{open, put, runtime};
use coracle::store::{Expect, Key, TxnOutcome};
use rand::Rng;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};

/// Set to a data directory, it makes this binary the victim: open, write under load until killed.
pub const VICTIM: &str = "CORACLE_CRASH_VICTIM";

const KILLS: usize = 200;
const WRITERS: usize = 8;
const KEYS_PER_WRITER: usize = 8;
/// The victim dies after so many acknowledgements, at most.
const ACKNOWLEDGED_MAX: usize = 120;

/// Writes until killed. Prints `open <revision>`, then the keys it found as `found <key> <revision> <value>`, `ready`, then
/// `ack <key> <revision> <value>` for each write once it is acknowledged.
pub fn victim(dir: &Path) {
    runtime().block_on(async {
        let raft = open(dir).await;
        println!("open {}", raft.store.revision().0);
        for item in raft
            .store
            .list(&coracle::store::ListOptions::default())
            .unwrap()
            .items
        {
            let text = String::from_utf8(item.json.to_vec()).unwrap();
            let value = text.split('"').rev().nth(1).unwrap();
            println!("found {} {} {value}", item.key.0, item.revision.0);
        }
        println!("ready");
        let writers = (0..WRITERS).map(|writer| {
            let (door, store) = (raft.writer.clone(), raft.store.clone());
            tokio::spawn(async move {
                for n in 0.. {
                    let key = format!("w{writer}/k{}", n % KEYS_PER_WRITER);
                    let held = store.get(&Key(key.clone())).unwrap();
                    let expect =
                        held.map_or(Expect::Absent, |held| Expect::Revision(held.revision));
                    let value = format!("{:016x}{}", rand::random::<u64>(), "-".repeat(n % 900));
                    match door.commit(put(&key, &value, expect)).await.unwrap() {
                        TxnOutcome::Committed { revision } => {
                            let line = format!("ack {key} {} {value}\n", revision.0);
                            let mut out = std::io::stdout().lock();
                            out.write_all(line.as_bytes()).unwrap();
                            out.flush().unwrap();
                        }
                        conflict @ TxnOutcome::Conflict { .. } => panic!("{conflict:?}"),
                    }
                }
            })
        });
        futures::future::join_all(writers).await;
    });
}

/// What a victim said about a key: its revision and value.
type Held = BTreeMap<String, (u64, String)>;

/// Starts a victim, reads until `acknowledgements` of them came, kills it, reads what was still in the pipe.
fn round(dir: &Path, acknowledgements: usize) -> (u64, Held, Held, usize) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .env(VICTIM, dir)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let (mut opened, mut found, mut acknowledged, mut count) = (None, Held::new(), Held::new(), 0);
    let mut ready = false;
    let mut killed = false;
    loop {
        if ready && count >= acknowledgements && !killed {
            child.kill().unwrap();
            killed = true;
        }
        let Some(line) = lines.next() else { break };
        let line = line.unwrap();
        let words: Vec<&str> = line.split(' ').collect();
        match words.as_slice() {
            ["open", revision] => opened = Some(revision.parse().unwrap()),
            ["ready"] => ready = true,
            [what @ ("found" | "ack"), key, revision, value] => {
                let held = (revision.parse().unwrap(), (*value).to_owned());
                if *what == "found" {
                    found.insert((*key).to_owned(), held);
                } else {
                    acknowledged.insert((*key).to_owned(), held);
                    count += 1;
                }
            }
            // The last line may be cut by the kill.
            _ => assert!(killed, "unexpected: {line}"),
        }
    }
    child.wait().unwrap();
    (
        opened.expect("the store did not open"),
        found,
        acknowledged,
        count,
    )
}

pub fn kill_200_times() {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let mut random = rand::rng();
    let mut expected = Held::new();
    let (mut newest, mut total, mut lost) = (0, 0, 0);
    // One more round than kills: it checks what the last kill left.
    for kill in 0..=KILLS {
        let acknowledgements = random.random_range(0..ACKNOWLEDGED_MAX);
        let (opened, found, acknowledged, count) = round(dir.path(), acknowledgements);
        assert!(
            opened >= newest,
            "after kill {kill} the store is at {opened}, before it was at {newest}"
        );
        for (key, (revision, value)) in &expected {
            match found.get(key) {
                Some((at, _)) if at > revision => {}
                Some((at, held)) if at == revision && held == value => {}
                other => {
                    lost += 1;
                    eprintln!(
                        "after kill {kill}: {key} was acknowledged at {revision}, found {other:?}"
                    );
                }
            }
        }
        newest = found
            .values()
            .chain(acknowledged.values())
            .map(|(at, _)| *at)
            .max()
            .unwrap_or(0)
            .max(opened);
        expected = found;
        expected.extend(acknowledged);
        if kill < KILLS {
            total += count;
        }
    }
    println!("crash test: {KILLS} kills, {total} acknowledged writes, {lost} lost");
    assert_eq!(lost, 0);
}
