//! Containers run, log, are limited and come to their end.

use crate::node::{Node, UID, root, run};
use coracle::runtime::logs::{LogOptions, read};
use coracle::runtime::{ContainerState, ExecSpec, Resources, RuntimeError, cgroups};
use futures::StreamExt;
use std::fs;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

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
        huge_pages: Vec::new(),
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
