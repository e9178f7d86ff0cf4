//! Container start beside runc, interleaved: from the request until the program has exited and been removed.
#![allow(clippy::unwrap_used)]

use coracle::image::RootFs;
use coracle::runtime::{
    ContainerSpec, Resources, RunId, Runtime, RuntimeConfig, RuntimeEvent, SandboxSpec, Security,
    remove_all,
};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const ROUNDS: u32 = 30;

fn main() {
    if !nix::unistd::geteuid().is_root() {
        eprintln!("NOT MEASURED: starting containers needs root");
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let config = RuntimeConfig {
        state_dir: directory.path().join("state"),
        run_dir: directory.path().join("run"),
        cgroup_root: format!("coracle-bench-{}", std::process::id()),
        executable: PathBuf::from(env!("CARGO_BIN_EXE_coracle")),
    };
    let tokio = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    tokio.block_on(measure(directory.path(), config.clone()));
    remove_all(&config).unwrap();
}

async fn measure(directory: &Path, config: RuntimeConfig) {
    let lower = directory.join("lower");
    fs::create_dir_all(lower.join("bin")).unwrap();
    fs::copy("/bin/busybox", lower.join("bin/busybox")).unwrap();
    let bundle = bundle(directory, &lower);
    let (runtime, mut events) = Runtime::open(config).await.unwrap();
    let sandbox = SandboxSpec {
        pod_uid: "bench".into(),
        namespace: "default".into(),
        name: "bench".into(),
        hostname: "bench".into(),
        host_network: false,
        host_pid: false,
        host_ipc: false,
        cgroup: "podbench".into(),
        resolv_conf: "nameserver 10.43.0.10\n".into(),
        sysctls: Vec::new(),
        share_process_namespace: false,
        first_user: None,
    };
    let pid = runtime.create_sandbox(&sandbox).await.unwrap().pid;
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for attempt in 0..ROUNDS {
        let spec = spec(directory, &lower, attempt);
        let run = RunId {
            container: "true".into(),
            attempt,
        };
        let begin = Instant::now();
        runtime.start_container("bench", &spec).await.unwrap();
        while !matches!(
            events.recv().await.unwrap(),
            RuntimeEvent::ContainerExited { .. }
        ) {}
        runtime.remove_container("bench", &run).await.unwrap();
        ours.push(begin.elapsed());
        let begin = Instant::now();
        let runc = Command::new("runc")
            .args(["run", "--bundle"])
            .arg(&bundle)
            .arg(format!("coracle-bench-{}-{attempt}", std::process::id()))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .status();
        if runc.is_ok_and(|status| status.success()) {
            theirs.push(begin.elapsed());
        }
    }
    let (ours, theirs) = (median(ours), median(theirs));
    println!(
        "start, run `true`, remove; median of {ROUNDS}: coracle {:.1} ms",
        ms(ours)
    );
    if theirs.is_zero() {
        println!("runc: not on this machine, or it does not run here");
    } else {
        println!(
            "runc {:.1} ms; coracle/runc {:.2}",
            ms(theirs),
            ms(ours) / ms(theirs)
        );
    }
    let memory = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap();
    for line in memory
        .lines()
        .filter(|l| l.starts_with("Rss") || l.starts_with("Private_Dirty"))
    {
        println!("idle shim {line}");
    }
    runtime.remove_sandbox("bench").await.unwrap();
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1_000.0
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

/// What `runc spec` writes, with our program.
fn bundle(directory: &Path, lower: &Path) -> PathBuf {
    let bundle = directory.join("bundle");
    fs::create_dir_all(&bundle).unwrap();
    let _ = Command::new("runc")
        .arg("spec")
        .current_dir(&bundle)
        .status();
    if let Ok(text) = fs::read_to_string(bundle.join("config.json")) {
        let mut config: serde_json::Value = serde_json::from_str(&text).unwrap();
        config["root"]["path"] = serde_json::json!(lower);
        config["process"]["terminal"] = serde_json::json!(false);
        config["process"]["args"] = serde_json::json!(["/bin/busybox", "true"]);
        fs::write(bundle.join("config.json"), config.to_string()).unwrap();
    }
    bundle
}

fn spec(directory: &Path, lower: &Path, attempt: u32) -> ContainerSpec {
    let own = directory.join("state").join(attempt.to_string());
    for part in ["upper", "work", "merged"] {
        fs::create_dir_all(own.join(part)).unwrap();
    }
    ContainerSpec {
        name: "true".into(),
        attempt,
        root_fs: RootFs {
            lower: vec![lower.to_owned()],
            upper: own.join("upper"),
            work: own.join("work"),
            merged: own.join("merged"),
        },
        args: vec!["/bin/busybox".into(), "true".into()],
        env: Vec::new(),
        working_dir: PathBuf::new(),
        tty: false,
        stdin: false,
        mounts: Vec::new(),
        resources: Resources {
            cpu_shares: 2,
            ..Resources::default()
        },
        security: Security::default(),
        log_path: own.join("0.log"),
        log_file_bytes_max: 1 << 20,
        log_files_max: 2,
        stdin_once: false,
        processes_of: None,
    }
}
