//! Real containers from a busybox root filesystem. They need root; without it they say so and test nothing.
#![allow(clippy::unwrap_used)]

use coracle::image::RootFs;
use coracle::runtime::logs::{LogOptions, read};
use coracle::runtime::{
    ContainerSpec, ContainerState, ExecSpec, Exit, Resources, RunId, Runtime, RuntimeConfig,
    RuntimeError, RuntimeEvent, SandboxSpec, Security, cgroups, remove_all,
};
use futures::StreamExt;
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc::Receiver;

const UID: &str = "0b7e";

struct Node {
    directory: tempfile::TempDir,
    config: RuntimeConfig,
    runtime: Arc<Runtime>,
    events: Receiver<RuntimeEvent>,
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = remove_all(&self.config);
    }
}

fn root() -> bool {
    let root = nix::unistd::geteuid().is_root();
    if !root {
        eprintln!("NOT TESTED: real containers need root; run this test as root");
    }
    root
}

impl Node {
    async fn new() -> Node {
        let directory = tempfile::tempdir().unwrap();
        let lower = directory.path().join("lower");
        fs::create_dir_all(lower.join("bin")).unwrap();
        fs::copy("/bin/busybox", lower.join("bin/busybox")).unwrap();
        for name in [
            "sh", "sleep", "echo", "cat", "stty", "tail", "id", "hostname", "dd", "seq",
        ] {
            std::os::unix::fs::symlink("busybox", lower.join("bin").join(name)).unwrap();
        }
        fs::create_dir_all(lower.join("etc")).unwrap();
        fs::write(
            lower.join("etc/passwd"),
            "root:x:0:0::/root:/bin/sh\nweb:x:33:34::/srv:/bin/sh\n",
        )
        .unwrap();
        let unique = directory
            .path()
            .file_name()
            .unwrap()
            .to_string_lossy()
            .replace('.', "");
        let config = RuntimeConfig {
            state_dir: directory.path().join("state"),
            run_dir: directory.path().join("run"),
            cgroup_root: format!("coracle-test-{unique}"),
            executable: PathBuf::from(env!("CARGO_BIN_EXE_coracle")),
        };
        let (runtime, events) = Runtime::open(config.clone()).await.unwrap();
        let spec = SandboxSpec {
            pod_uid: UID.into(),
            namespace: "default".into(),
            name: "pod".into(),
            hostname: "boat".into(),
            host_network: false,
            host_pid: false,
            host_ipc: false,
            cgroup: format!("burstable/pod{UID}"),
            resolv_conf: "nameserver 10.43.0.10\n".into(),
            sysctls: Vec::new(),
            share_process_namespace: false,
            first_user: None,
        };
        runtime.create_sandbox(&spec).await.unwrap();
        Node {
            directory,
            config,
            runtime,
            events,
        }
    }

    fn spec(&self, name: &str, script: &str) -> ContainerSpec {
        let own = self.directory.path().join("state").join(name);
        for part in ["upper", "work", "merged"] {
            fs::create_dir_all(own.join(part)).unwrap();
        }
        ContainerSpec {
            name: name.into(),
            attempt: 0,
            root_fs: RootFs {
                lower: vec![self.directory.path().join("lower")],
                upper: own.join("upper"),
                work: own.join("work"),
                merged: own.join("merged"),
            },
            args: vec!["sh".into(), "-c".into(), script.into()],
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
            log_path: self.log(name),
            log_file_bytes_max: 1 << 20,
            log_files_max: 5,
            stdin_once: false,
            processes_of: None,
        }
    }

    fn log(&self, name: &str) -> PathBuf {
        self.directory.path().join("logs").join(name).join("0.log")
    }

    async fn exit(&mut self) -> Exit {
        loop {
            if let RuntimeEvent::ContainerExited { exit, .. } = self.events.recv().await.unwrap() {
                return exit;
            }
        }
    }

    async fn text(&self, name: &str, options: LogOptions) -> String {
        let parts: Vec<_> = read(self.log(name), options, std::future::ready(()))
            .collect()
            .await;
        String::from_utf8(
            parts
                .into_iter()
                .flat_map(|p| p.unwrap().to_vec())
                .collect(),
        )
        .unwrap()
    }
}

fn run(name: &str) -> RunId {
    RunId {
        container: name.into(),
        attempt: 0,
    }
}

#[tokio::test]
async fn needs_root_a_container_runs_logs_and_exits() {
    if !root() {
        return;
    }
    let mut node = Node::new().await;
    let mut spec = node.spec(
        "main",
        "hostname; id -u; cat /etc/resolv.conf; pwd; echo oops >&2; exit 7",
    );
    spec.security.user = "web".into();
    spec.working_dir = "/made/here".into();
    node.runtime.start_container(UID, &spec).await.unwrap();
    let exit = node.exit().await;
    let text = node
        .text(
            "main",
            LogOptions {
                stream: Some("stdout".into()),
                ..LogOptions::default()
            },
        )
        .await;
    assert_eq!(text, "boat\n33\nnameserver 10.43.0.10\n/made/here\n");
    assert_eq!((exit.code, exit.signal, exit.oom_killed), (7, None, false));
    let text = node
        .text(
            "main",
            LogOptions {
                stream: Some("stderr".into()),
                ..LogOptions::default()
            },
        )
        .await;
    assert_eq!(text, "oops\n");
}

#[tokio::test]
async fn needs_root_a_missing_command_is_a_start_error() {
    if !root() {
        return;
    }
    let node = Node::new().await;
    let mut spec = node.spec("main", "");
    spec.args = vec!["foo".into()];
    let error = node.runtime.start_container(UID, &spec).await.unwrap_err();
    assert!(
        matches!(&error, RuntimeError::Start(text) if text.contains("exec: \"foo\": executable file not found in $PATH")),
        "{error}"
    );
    let status = node.runtime.sandbox(UID).await.unwrap();
    assert!(
        matches!(&status.containers[0].state, ContainerState::Exited(exit) if exit.code == 128)
    );
    node.runtime
        .remove_container(UID, &run("main"))
        .await
        .unwrap();
}

#[tokio::test]
async fn needs_root_exec_streams_codes_and_terminal() {
    if !root() {
        return;
    }
    let mut node = Node::new().await;
    node.runtime
        .start_container(UID, &node.spec("main", "exec sleep 1000"))
        .await
        .unwrap();
    let exec = |args: &[&str], tty, stdin| ExecSpec {
        args: args.iter().map(|s| (*s).into()).collect(),
        tty,
        stdin,
    };
    let mut session = node
        .runtime
        .exec(
            UID,
            "main",
            &exec(&["sh", "-c", "cat; echo bad >&2; exit 3"], false, true),
        )
        .await
        .unwrap();
    let mut stdin = session.stdin.take().unwrap();
    stdin.write_all(b"hello").await.unwrap();
    drop(stdin);
    let (mut out, mut err) = (String::new(), String::new());
    session
        .stdout
        .take()
        .unwrap()
        .read_to_string(&mut out)
        .await
        .unwrap();
    session
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut err)
        .await
        .unwrap();
    assert_eq!(
        (out.as_str(), err.as_str(), session.wait().await.unwrap()),
        ("hello", "bad\n", 3)
    );

    let mut session = node
        .runtime
        .exec(
            UID,
            "main",
            &exec(&["sh", "-c", "read x; stty size; exit 4"], true, true),
        )
        .await
        .unwrap();
    session.resize(101, 33).await.unwrap();
    session
        .stdin
        .as_mut()
        .unwrap()
        .write_all(b"go\n")
        .await
        .unwrap();
    let mut out = String::new();
    session
        .stdout
        .take()
        .unwrap()
        .read_to_string(&mut out)
        .await
        .unwrap();
    assert!(out.contains("33 101"), "{out:?}");
    assert_eq!(session.wait().await.unwrap(), 4);

    let error = node
        .runtime
        .exec(UID, "main", &exec(&["nope"], false, false))
        .await
        .unwrap_err();
    assert!(
        error
            .to_string()
            .contains("exec: \"nope\": executable file not found in $PATH"),
        "{error}"
    );

    node.runtime
        .kill_container(UID, &run("main"), 9)
        .await
        .unwrap();
    let exit = node.exit().await;
    assert_eq!((exit.code, exit.signal), (137, Some(9)));
}

#[tokio::test]
async fn needs_root_memory_over_the_limit_is_an_oom_kill() {
    if !root() {
        return;
    }
    let mut node = Node::new().await;
    let mut spec = node.spec("main", "exec tail -c 200000000 /dev/zero");
    spec.args = ["dd", "if=/dev/zero", "of=/dev/null", "bs=200M", "count=1"]
        .map(String::from)
        .to_vec();
    spec.resources.memory_limit_bytes = Some(16 << 20);
    node.runtime.start_container(UID, &spec).await.unwrap();
    let exit = node.exit().await;
    assert!(exit.oom_killed, "{exit:?}");
    assert_eq!(exit.code, 137);
}

#[tokio::test]
async fn needs_root_a_new_runtime_adopts_and_removal_leaves_nothing() {
    if !root() {
        return;
    }
    let mut node = Node::new().await;
    node.runtime
        .start_container(
            UID,
            &node.spec(
                "main",
                "trap 'exit 5' TERM; echo ready; while true; do sleep 0.05; done",
            ),
        )
        .await
        .unwrap();
    // A first process without a handler would ignore SIGTERM: wait until it has one.
    let follow = LogOptions {
        follow: true,
        ..LogOptions::default()
    };
    let first = Box::pin(read(node.log("main"), follow, std::future::pending()))
        .next()
        .await;
    assert_eq!(first.unwrap().unwrap(), "ready\n");
    let before = node.runtime.sandbox(UID).await.unwrap();
    node.runtime = {
        let (again, events) = Runtime::open(node.config.clone()).await.unwrap();
        node.events = events;
        again
    };
    let after = node.runtime.sandboxes().await;
    assert_eq!(after.len(), 1);
    assert_eq!(after[0].pid, before.pid);
    assert_eq!(after[0].containers, before.containers);
    node.runtime
        .kill_container(UID, &run("main"), 15)
        .await
        .unwrap();
    assert_eq!(node.exit().await.code, 5);
    let rollup = fs::read_to_string(format!("/proc/{}/smaps_rollup", before.pid)).unwrap();
    eprintln!(
        "idle shim: {}",
        rollup
            .lines()
            .filter(|l| l.starts_with("Private_Dirty") || l.starts_with("Rss"))
            .collect::<Vec<_>>()
            .join(", ")
    );
    node.runtime
        .remove_container(UID, &run("main"))
        .await
        .unwrap();
    node.runtime.remove_sandbox(UID).await.unwrap();
    assert!(node.runtime.sandboxes().await.is_empty());
    assert!(!node.config.run_dir.join(UID).exists());
    for directory in cgroups::layout()
        .unwrap()
        .directories(&node.config.cgroup_root)
    {
        assert!(!directory.exists(), "{}", directory.display());
    }
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(!mounts.contains(node.directory.path().to_str().unwrap()));
}

#[tokio::test]
async fn needs_root_a_dead_shim_is_reported_and_cleaned() {
    if !root() {
        return;
    }
    let mut node = Node::new().await;
    let status = node
        .runtime
        .start_container(UID, &node.spec("main", "exec sleep 1000"))
        .await
        .unwrap();
    let ContainerState::Running { pid, .. } = status.state else {
        panic!("{status:?}")
    };
    let shim = node.runtime.sandbox(UID).await.unwrap().pid;
    Command::new("kill")
        .arg("-9")
        .arg(shim.to_string())
        .status()
        .unwrap();
    assert!(
        matches!(node.events.recv().await, Some(RuntimeEvent::SandboxDied { pod_uid }) if pod_uid == UID)
    );
    let (again, _events) = Runtime::open(node.config.clone()).await.unwrap();
    assert!(again.sandboxes().await.is_empty());
    let state = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    assert!(state.is_empty() || state.contains(") Z "), "{state}");
}

/// Not a test by itself: the node process that the next test kills.
#[tokio::test]
#[ignore = "started by needs_root_containers_survive_a_killed_node"]
async fn a_node_to_be_killed() {
    let Ok(lines) = std::env::var("CORACLE_TEST_NODE") else {
        return;
    };
    let mut lines = lines.lines();
    let mut next = || lines.next().unwrap().to_owned();
    let config = RuntimeConfig {
        state_dir: next().into(),
        run_dir: next().into(),
        cgroup_root: next(),
        executable: env!("CARGO_BIN_EXE_coracle").into(),
    };
    let (runtime, _events) = Runtime::open(config).await.unwrap();
    let mut spec = runtime.sandbox(UID).await.unwrap().spec;
    spec.pod_uid = "second".into();
    spec.cgroup = "podsecond".into();
    runtime.create_sandbox(&spec).await.unwrap();
    println!("open");
    std::future::pending::<()>().await;
}

#[tokio::test]
async fn needs_root_containers_survive_a_killed_node() {
    if !root() {
        return;
    }
    let node = Node::new().await;
    node.runtime
        .start_container(UID, &node.spec("main", "exec sleep 1000"))
        .await
        .unwrap();
    let before = node.runtime.sandbox(UID).await.unwrap();
    let config = &node.config;
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "a_node_to_be_killed", "--ignored", "--nocapture"])
        .env(
            "CORACLE_TEST_NODE",
            format!(
                "{}\n{}\n{}",
                config.state_dir.display(),
                config.run_dir.display(),
                config.cgroup_root
            ),
        )
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let output = std::io::BufReader::new(child.stdout.take().unwrap());
    let opened = std::io::BufRead::lines(output).any(|line| line.unwrap().contains("open"));
    assert!(opened);
    child.kill().unwrap();
    child.wait().unwrap();
    let (again, _events) = Runtime::open(config.clone()).await.unwrap();
    assert_eq!(again.sandboxes().await.len(), 2);
    let after = again.sandbox(UID).await.unwrap();
    assert_eq!(after.containers, before.containers);
    again.remove_sandbox("second").await.unwrap();
}

impl Node {
    /// Directories of the run's cgroup, or of the whole root where there is no run.
    fn cgroups(&self, id: &str) -> Vec<PathBuf> {
        let root = &self.config.cgroup_root;
        let cgroup = if id.is_empty() {
            root.clone()
        } else {
            format!("{root}/burstable/pod{UID}/{id}")
        };
        cgroups::layout().unwrap().directories(&cgroup)
    }

    /// Processes that were started as this pod's shim, its helpers included.
    fn shims(&self) -> Vec<i32> {
        let directory = self.config.run_dir.join(UID);
        let wanted = format!("\0shim\0{}\0", directory.display());
        fs::read_dir("/proc")
            .unwrap()
            .flatten()
            .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
            .filter(|pid| {
                fs::read_to_string(format!("/proc/{pid}/cmdline"))
                    .is_ok_and(|line| line.contains(&wanted))
            })
            .collect()
    }

    /// Nothing of the pod is left: no helper, no cgroup.
    async fn is_clean(&self) {
        while !self.shims().is_empty() {
            tokio::task::yield_now().await;
        }
        for directory in self.cgroups("") {
            assert!(!directory.exists(), "{}", directory.display());
        }
    }
}

fn kill_9(pid: i32) {
    nix::sys::signal::kill(
        nix::unistd::Pid::from_raw(pid),
        nix::sys::signal::Signal::SIGKILL,
    )
    .unwrap();
}

#[tokio::test]
async fn needs_root_limits_reach_the_kernel_as_far_as_it_lets_them() {
    if !root() {
        return;
    }
    let node = Node::new().await;
    let mut spec = node.spec("main", "exec sleep 1000");
    spec.resources = Resources {
        cpu_shares: 512,
        cpu_quota_us: Some(50_000),
        cpu_period_us: 100_000,
        memory_limit_bytes: Some(24 << 20),
        pids_max: Some(99),
        // A guaranteed pod's; root without CAP_SYS_RESOURCE may not go below its own.
        oom_score_adj: -997,
    };
    let status = node.runtime.start_container(UID, &spec).await.unwrap();
    let value = |name: &str| {
        node.cgroups(&status.id)
            .iter()
            .find_map(|directory| fs::read_to_string(directory.join(name)).ok())
            .map(|text| text.trim().to_owned())
    };
    if cgroups::layout().unwrap() == cgroups::Layout::Unified {
        assert_eq!(value("cpu.max").unwrap(), "50000 100000");
        assert_eq!(value("memory.max").unwrap(), "25165824");
    } else {
        assert_eq!(value("cpu.cfs_quota_us").unwrap(), "50000");
        assert_eq!(value("cpu.shares").unwrap(), "512");
        assert_eq!(value("memory.limit_in_bytes").unwrap(), "25165824");
    }
    assert_eq!(value("pids.max").unwrap(), "99");
    let ContainerState::Running { pid, .. } = status.state else {
        panic!("{status:?}")
    };
    let score = fs::read_to_string(format!("/proc/{pid}/oom_score_adj")).unwrap();
    let ours = fs::read_to_string("/proc/self/oom_score_adj").unwrap();
    assert!(score == "-997\n" || score == ours, "{score}");
}

#[tokio::test]
async fn needs_root_a_failed_start_tells_its_whole_cause() {
    if !root() {
        return;
    }
    let node = Node::new().await;
    let mut spec = node.spec("main", "exec sleep 1000");
    spec.mounts.push(coracle::runtime::Mount {
        source: "/nowhere/to/be/found".into(),
        target: "/data".into(),
        ..Default::default()
    });
    let error = node.runtime.start_container(UID, &spec).await.unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains("/nowhere/to/be/found") && text.contains("No such file or directory"),
        "{text}"
    );
    node.runtime.remove_sandbox(UID).await.unwrap();
    node.is_clean().await;
}

#[tokio::test]
async fn needs_root_a_follower_reaches_the_end_of_a_fast_long_log() {
    if !root() {
        return;
    }
    let node = Node::new().await;
    let script = "seq 1 2000000; echo the end; exec sleep 1000";
    node.runtime
        .start_container(UID, &node.spec("main", script))
        .await
        .unwrap();
    let options = LogOptions {
        follow: true,
        tail_lines: Some(1),
        ..LogOptions::default()
    };
    let mut log = Box::pin(read(node.log("main"), options, std::future::pending()));
    let mut last = Vec::new();
    while !last.ends_with(b"\nthe end\n") {
        let part = log.next().await.unwrap().unwrap();
        last.extend_from_slice(&part);
        last.drain(..last.len().saturating_sub(100));
    }
    let files = fs::read_dir(node.log("main").parent().unwrap()).unwrap();
    assert_eq!(files.count(), 5);
}

#[tokio::test]
async fn needs_root_a_pod_is_removed_while_its_container_starts() {
    if !root() {
        return;
    }
    let node = Node::new().await;
    let sandbox = node.runtime.sandbox(UID).await.unwrap().spec;
    for _ in 0..5 {
        let spec = node.spec("main", "exec sleep 1000");
        let (started, removed) = tokio::join!(
            node.runtime.start_container(UID, &spec),
            node.runtime.remove_sandbox(UID)
        );
        removed.unwrap();
        let error = started.unwrap_err().to_string();
        assert!(error.contains("being removed"), "{error}");
        node.is_clean().await;
        node.runtime.create_sandbox(&sandbox).await.unwrap();
    }
}

#[tokio::test]
async fn needs_root_everything_goes_though_node_and_shims_were_killed() {
    if !root() {
        return;
    }
    let mut node = Node::new().await;
    // The one that runs left its session and has a child; the other is being started.
    let spec = node.spec("main", "sleep 1000 & echo up; exec sleep 1000");
    let status = node.runtime.start_container(UID, &spec).await.unwrap();
    let ContainerState::Running { pid, .. } = status.state else {
        panic!("{status:?}")
    };
    let shim = node.runtime.sandbox(UID).await.unwrap().pid;
    let second = node.spec("second", "exec sleep 1000");
    let runtime = node.runtime.clone();
    let starting = tokio::spawn(async move { runtime.start_container(UID, &second).await });
    while node.shims().len() < 2 && !starting.is_finished() {
        tokio::task::yield_now().await;
    }
    kill_9(shim);
    let _ = starting.await.unwrap();
    assert!(matches!(
        node.events.recv().await,
        Some(RuntimeEvent::SandboxDied { .. })
    ));
    let state = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    assert!(!state.contains(") Z "), "{state}");
    remove_all(&node.config).unwrap();
    let state = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    assert!(state.is_empty() || state.contains(") Z "), "{state}");
    assert!(!node.config.run_dir.exists());
    node.is_clean().await;
}
