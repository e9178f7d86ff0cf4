//! Shims and node processes die, and come back.

use crate::node::{Node, UID, kill_9, root, run};
use coracle::runtime::logs::{LogOptions, read};
use coracle::runtime::{ContainerState, Runtime, RuntimeConfig, RuntimeEvent, cgroups, remove_all};
use futures::StreamExt;
use std::fs;
use std::process::Command;

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
#[ignore = "started by deaths::needs_root_containers_survive_a_killed_node"]
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
        .args([
            "--exact",
            "deaths::a_node_to_be_killed",
            "--ignored",
            "--nocapture",
        ])
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
