//! A container that says more than any disk could hold: memory and disk stay bounded, and the log can be followed.

use crate::busybox::IMAGE;
use crate::common::{TestNode, eventually};
use crate::namespace;
use std::path::Path;

pub const TESTS: &[(&str, fn())] = &[("of_a_container_is_bounded", of_a_container_is_bounded)];

/// What the container says in all, and in lines of [`LINE_BYTES`].
const FLOOD_MIB: u64 = 256;
const LINE_BYTES: usize = 128;
/// Above what the processes have without the flood; a debug build's buffers and allocator included.
const SHIM_GROWTH_KIB: u64 = 1_024;
const NODE_GROWTH_KIB: u64 = 48 * 1024;

fn of_a_container_is_bounded() {
    let node = namespace("flood");
    // `cat` hands the pipe large pieces: the shim is what the speed depends on.
    let line = "f".repeat(LINE_BYTES - 1);
    let script = format!(
        "yes {line} | head -c 4194304 > /lines/all; until test -e /lines/go; do sleep 0.1; done; for i in $(seq {}); do cat /lines/all; done; echo the end; sleep 3600",
        FLOOD_MIB / 4
    );
    let manifest = format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: flood}}\nspec:\n  terminationGracePeriodSeconds: 0\n  volumes: [{{name: lines, emptyDir: {{medium: Memory}}}}]\n  containers:\n  - name: main\n    image: {IMAGE}\n    command: [sh, -c, '{script}']\n    volumeMounts: [{{name: lines, mountPath: /lines}}]\n"
    );
    node.kubectl_input(&["-n", "flood", "apply", "-f", "-"], &manifest)
        .must();
    node.wait_for("flood", "pod/flood", "{.status.phase}", "Running");
    let uid = node.value("flood", "pod/flood", "{.metadata.uid}");
    let logs = node.data_dir().join("pods").join(&uid).join("logs/main");
    let shim = shim_pid(&node, &uid);
    let before = (private_kib(shim), private_kib(node.pid()));

    let mut follow = node
        .kubectl_command()
        .args(["-n", "flood", "logs", "-f", "flood"])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("kubectl");
    let output = follow.stdout.take().expect("piped");
    let follower = std::thread::spawn(move || {
        let mut lines = 0_u64;
        for line in std::io::BufRead::lines(std::io::BufReader::new(output)).map_while(Result::ok) {
            lines += 1;
            if line == "the end" {
                return Some(lines);
            }
        }
        None
    });
    node.kubectl(&["-n", "flood", "exec", "flood", "--", "touch", "/lines/go"])
        .must();
    let started = std::time::Instant::now();
    let (mut shim_kib, mut node_kib) = before;
    let mut disk_bytes = 0;
    let end = || {
        let ran = node.kubectl(&["-n", "flood", "logs", "flood", "--tail", "1"]);
        ran.stdout == "the end\n"
    };
    let came_to_its_end = eventually(|| {
        for _ in 0..10 {
            shim_kib = shim_kib.max(private_kib(shim));
            node_kib = node_kib.max(private_kib(node.pid()));
            disk_bytes = disk_bytes.max(bytes_in(&logs));
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        end()
    });
    assert!(came_to_its_end, "the flood did not end");
    let seconds = started.elapsed().as_secs_f64();
    let lines = follower.join().expect("the follower");
    follow.kill().expect("kubectl runs");
    follow.wait().expect("kubectl ends");
    println!(
        "{FLOOD_MIB} MiB in at most {seconds:.1} s; shim {} -> {shim_kib} KiB, node {} -> {node_kib} KiB, disk {disk_bytes} B, {lines:?} lines followed",
        before.0, before.1
    );
    assert!(lines.is_some(), "the follower did not reach the end");
    assert!(
        shim_kib < before.0 + SHIM_GROWTH_KIB,
        "{before:?} {shim_kib}"
    );
    assert!(
        node_kib < before.1 + NODE_GROWTH_KIB,
        "{before:?} {node_kib}"
    );
    // The profile's five files of 10 MiB, and one that is just being let go.
    assert!(disk_bytes <= 6 * 10_485_760, "{disk_bytes}");
    for (path, expected) in [
        ("{.status.phase}", "Running"),
        ("{.status.containerStatuses[0].restartCount}", "0"),
    ] {
        assert_eq!(node.value("flood", "pod/flood", path), expected);
    }
    node.kubectl(&["-n", "flood", "delete", "pod", "flood"])
        .must();
}

pub fn shim_pid(node: &TestNode, uid: &str) -> u32 {
    let file = node.run_dir().join("pods").join(uid).join("shim.pid");
    let text = std::fs::read_to_string(file).expect("the shim's pid file");
    text.trim().parse().expect("a number")
}

/// Memory of a process that nobody shares.
fn private_kib(pid: u32) -> u64 {
    let rollup = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
    rollup
        .lines()
        .filter(|line| line.starts_with("Private_"))
        .filter_map(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok())
        .sum()
}

fn bytes_in(directory: &Path) -> u64 {
    std::fs::read_dir(directory)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| Some(entry.metadata().ok()?.len()))
        .sum()
}
