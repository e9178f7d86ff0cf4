//! Durable writes per second and bytes written per acknowledged write, beside etcd on the same disk.
//!
//! 1,000 keys are overwritten at random with 1 KiB values, by 1 and by 16 writers. Ours is asked in process; etcd through its v3 JSON
//! gateway (`POST /v3/kv/put`, HTTP/1.1 kept alive, one connection per writer), which costs it some time per write that its gRPC
//! door would not. Rounds of both alternate. Bytes are `write_bytes` of `/proc/<pid>/io`: what each process caused to be sent to
//! block devices, a file system's own journal left out.

#![allow(clippy::unwrap_used)]

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use coracle::profile::StoreProfile;
use coracle::raft::Raft;
use coracle::store::{Body, Expect, Key, Op, Txn, TxnOutcome};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use rand::Rng;
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::net::TcpStream;

const KEYS: usize = 1000;
const VALUE_BYTES: usize = 1024;
const ROUNDS: usize = 3;
const ROUND: Duration = Duration::from_secs(2);
const WRITERS: [usize; 2] = [1, 16];

fn main() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(run());
}

/// Writes, seconds and bytes of all rounds of one contender.
#[derive(Debug, Default, Clone, Copy)]
struct Sum {
    writes: u64,
    seconds: f64,
    bytes: u64,
}

impl Sum {
    fn rate(self) -> f64 {
        self.writes as f64 / self.seconds
    }
    fn bytes_per_write(self) -> f64 {
        self.bytes as f64 / self.writes.max(1) as f64
    }
}

async fn run() {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let ours = dir.path().join("coracle");
    let profile = StoreProfile {
        cache_bytes: 8 << 20,
        history_entries: 4096,
        history_bytes: 4 << 20,
        log_entries: 1000,
        flush_ms: 5000,
    };
    let raft = Arc::new(Raft::open(&ours, &profile).await.unwrap());
    let etcd = Etcd::start(&dir.path().join("etcd")).await;
    let mut sums = [[Sum::default(); 2]; 2];
    for _ in 0..ROUNDS {
        for (at, writers) in WRITERS.into_iter().enumerate() {
            measure(&mut sums[at][0], std::process::id(), writers, || {
                Coracle(Arc::clone(&raft))
            })
            .await;
            if let Some(etcd) = &etcd {
                let mut doors = Vec::new();
                for _ in 0..writers {
                    doors.push(etcd.connect().await.unwrap());
                }
                measure(&mut sums[at][1], etcd.child.id(), writers, || {
                    doors.pop().unwrap()
                })
                .await;
            }
        }
    }
    println!("| {VALUE_BYTES} B values, {KEYS} keys | coracle | etcd | ratio |\n|---|---|---|---|");
    for (at, writers) in WRITERS.into_iter().enumerate() {
        let [ours, theirs] = sums[at];
        let row = |what: &str, ours: f64, theirs: f64| {
            if etcd.is_some() {
                println!(
                    "| {what}, writers: {writers} | {ours:.0} | {theirs:.0} | {:.2} |",
                    ours / theirs
                );
            } else {
                println!(
                    "| {what}, writers: {writers} | {ours:.0} | etcd: not on this machine | |"
                );
            }
        };
        row("durable writes/s", ours.rate(), theirs.rate());
        row(
            "bytes written per write",
            ours.bytes_per_write(),
            theirs.bytes_per_write(),
        );
    }
    println!(
        "store on disk: {} KiB",
        raft.size_on_disk().unwrap_or(0) / 1024
    );
    if let Some(raft) = Arc::into_inner(raft) {
        raft.close().await;
    }
}

/// A door that takes one durable write.
trait Door: Send + 'static {
    fn put(&mut self, key: usize, value: &str) -> impl Future<Output = ()> + Send;
}

async fn measure<D: Door>(sum: &mut Sum, pid: u32, writers: usize, mut door: impl FnMut() -> D) {
    let writes = Arc::new(AtomicU64::new(0));
    let bytes = written(pid);
    let start = Instant::now();
    let tasks: Vec<_> = (0..writers)
        .map(|writer| {
            let (mut door, writes) = (door(), Arc::clone(&writes));
            tokio::spawn(async move {
                while start.elapsed() < ROUND {
                    // Writers do not share keys, so that none meets a conflict.
                    let key = rand::rng().random_range(0..KEYS / writers) * writers + writer;
                    let mut value =
                        format!("{:032x}", rand::random::<u128>()).repeat(VALUE_BYTES / 32);
                    value.truncate(VALUE_BYTES);
                    door.put(key, &value).await;
                    writes.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    sum.seconds += start.elapsed().as_secs_f64();
    sum.writes += writes.load(Ordering::Relaxed);
    sum.bytes += written(pid) - bytes;
}

fn written(pid: u32) -> u64 {
    let io = std::fs::read_to_string(format!("/proc/{pid}/io")).unwrap();
    let line = io
        .lines()
        .find_map(|line| line.strip_prefix("write_bytes: "));
    line.unwrap().parse().unwrap()
}

struct Coracle(Arc<Raft>);

impl Door for Coracle {
    async fn put(&mut self, key: usize, value: &str) {
        let key = Key(format!("configmaps/default/k{key:04}"));
        let held = self.0.store.get(&key).unwrap();
        let expect = held.map_or(Expect::Absent, |held| Expect::Revision(held.revision));
        let body = Body {
            json: Bytes::copy_from_slice(value.as_bytes()),
            revision_at: 0,
        };
        let ops = vec![Op::Put { key, body, expect }];
        let outcome = self.0.writer.commit(Txn { ops }).await.unwrap();
        assert!(matches!(outcome, TxnOutcome::Committed { .. }));
    }
}

struct Etcd {
    child: Child,
    port: u16,
}

impl Etcd {
    /// `None`: there is no etcd here.
    async fn start(dir: &std::path::Path) -> Option<Etcd> {
        let (client, peer) = (free_port(), free_port());
        let (client_url, peer_url) = (
            format!("http://127.0.0.1:{client}"),
            format!("http://127.0.0.1:{peer}"),
        );
        let started = Command::new("etcd")
            .arg("--data-dir")
            .arg(dir)
            .args([
                "--listen-client-urls",
                &client_url,
                "--advertise-client-urls",
                &client_url,
            ])
            .args([
                "--listen-peer-urls",
                &peer_url,
                "--initial-advertise-peer-urls",
                &peer_url,
            ])
            .args(["--initial-cluster", &format!("default={peer_url}")])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let Ok(child) = started else { return None };
        let etcd = Etcd {
            child,
            port: client,
        };
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            if let Some(mut door) = etcd.connect().await
                && door.try_put("ready", "").await
            {
                return Some(etcd);
            }
            assert!(Instant::now() < deadline, "etcd did not become ready");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn connect(&self) -> Option<EtcdDoor> {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).await.ok()?;
        stream.set_nodelay(true).ok()?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await.ok()?;
        tokio::spawn(connection);
        Some(EtcdDoor(sender))
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

struct EtcdDoor(SendRequest<Full<Bytes>>);

impl EtcdDoor {
    async fn try_put(&mut self, key: &str, value: &str) -> bool {
        let (key, value) = (BASE64_STANDARD.encode(key), BASE64_STANDARD.encode(value));
        let body = format!(r#"{{"key":"{key}","value":"{value}"}}"#);
        let request = http::Request::post("/v3/kv/put")
            .header("host", "127.0.0.1")
            .body(Full::new(Bytes::from(body)))
            .unwrap();
        if self.0.ready().await.is_err() {
            return false;
        }
        let Ok(response) = self.0.send_request(request).await else {
            return false;
        };
        let done = response.status().is_success();
        response.into_body().collect().await.is_ok() && done
    }
}

impl Door for EtcdDoor {
    async fn put(&mut self, key: usize, value: &str) {
        assert!(
            self.try_put(&format!("configmaps/default/k{key:04}"), value)
                .await,
            "etcd refused a write"
        );
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
}
