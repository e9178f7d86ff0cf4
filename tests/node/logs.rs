//! `kubectl logs` and its options.

use crate::common::eventually;
use crate::lifecycle::script_pod;
use crate::namespace;

pub const TESTS: &[(&str, fn())] = &[
    (
        "tail_since_limit_and_timestamps",
        tail_since_limit_and_timestamps,
    ),
    ("following_survives_rotation", following_survives_rotation),
];

fn tail_since_limit_and_timestamps() {
    let node = namespace("logs");
    node.kubectl_input(
        &["-n", "logs", "apply", "-f", "-"],
        &script_pod("counter", "Never", "seq 1 1000"),
    )
    .must();
    node.wait_for("logs", "pod/counter", "{.status.phase}", "Succeeded");
    let logs = |arguments: &[&str]| {
        node.kubectl(&[&["-n", "logs", "logs", "counter"], arguments].concat())
            .must()
            .stdout
    };
    let all: Vec<String> = (1..=1000).map(|number| format!("{number}\n")).collect();
    assert_eq!(logs(&[]), all.concat());
    assert_eq!(logs(&["--tail", "3"]), "998\n999\n1000\n");
    assert_eq!(logs(&["--tail", "0"]), "");
    assert_eq!(logs(&["--limit-bytes", "5"]), "1\n2\n3");
    assert_eq!(logs(&["--since", "1h"]).lines().count(), 1000);
    assert_eq!(logs(&["--since-time", "2100-01-01T00:00:00Z"]), "");
    let stamped = logs(&["--timestamps", "--tail", "1"]);
    let (time, line) = stamped.split_once(' ').expect("a time before the line");
    assert!(time.ends_with('Z') && time.contains('T'), "{stamped}");
    assert_eq!(line, "1000\n");
    assert_eq!(
        node.coracle(&["-n", "logs", "logs", "counter", "--tail", "2"])
            .must()
            .stdout,
        "999\n1000\n"
    );
    node.kubectl(&["-n", "logs", "logs", "counter", "-c", "nobody"])
        .must_fail_with("container nobody is not valid for pod counter");
}

fn following_survives_rotation() {
    let node = namespace("rotation");
    // 40 MB pass any profile's file size more than once.
    let script = "yes 'a line that is repeated until the file is rotated, and then once more' | head -c 40000000; echo; echo the end; sleep 3600";
    node.kubectl_input(
        &["-n", "rotation", "apply", "-f", "-"],
        &script_pod("talker", "Never", script),
    )
    .must();
    node.wait_for("rotation", "pod/talker", "{.status.phase}", "Running");
    let mut follow = node
        .kubectl_command()
        .args(["-n", "rotation", "logs", "-f", "talker", "--tail", "1"])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("kubectl");
    let output = follow.stdout.take().expect("piped");
    let (told, heard) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        for line in std::io::BufRead::lines(std::io::BufReader::new(output)).map_while(Result::ok) {
            if line == "the end" {
                let _ = told.send(());
            }
        }
    });
    assert!(
        heard.recv_timeout(crate::common::PATIENCE).is_ok(),
        "the follower did not reach the end"
    );
    follow.kill().expect("kubectl runs");
    follow.wait().expect("kubectl ends");
    let uid = node.value("rotation", "pod/talker", "{.metadata.uid}");
    let directory = node
        .data_dir()
        .join("pods")
        .join(uid)
        .join("logs")
        .join("main");
    assert!(
        eventually(|| std::fs::read_dir(&directory).is_ok_and(|files| files.count() > 1)),
        "not rotated: {}",
        directory.display()
    );
    node.kubectl(&["-n", "rotation", "delete", "pod", "talker"])
        .must();
}
