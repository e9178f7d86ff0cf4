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
    ("many_logs_at_once", many_logs_at_once),
    (
        "long_lines_and_the_run_before",
        long_lines_and_the_run_before,
    ),
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

fn many_logs_at_once() {
    let node = namespace("logs-many");
    let pod = |name: &str| {
        format!(
            "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}, labels: {{app: talk}}}}\nspec:\n  restartPolicy: Never\n  containers:\n  - {{name: one, image: {0}, command: [sh, -c, echo {name} one]}}\n  - {{name: two, image: {0}, command: [sh, -c, echo {name} two]}}\n",
            crate::busybox::IMAGE
        )
    };
    for name in ["left", "right"] {
        node.kubectl_input(&["-n", "logs-many", "apply", "-f", "-"], &pod(name))
            .must();
    }
    for name in ["left", "right"] {
        node.wait_for(
            "logs-many",
            &format!("pod/{name}"),
            "{.status.phase}",
            "Succeeded",
        );
    }
    let sorted = |text: String| {
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    let expected = [
        "[pod/left/one] left one",
        "[pod/left/two] left two",
        "[pod/right/one] right one",
        "[pod/right/two] right two",
    ];
    let arguments = [
        "-n",
        "logs-many",
        "logs",
        "-l",
        "app=talk",
        "--all-containers",
        "--prefix",
        "--ignore-errors",
    ];
    assert_eq!(sorted(node.kubectl(&arguments).must().stdout), expected);
    assert_eq!(sorted(node.coracle(&arguments).must().stdout), expected);
    let follow = [&arguments[..], &["-f", "--max-log-requests", "3"]].concat();
    for ran in [node.kubectl(&follow), node.coracle(&follow)] {
        ran.must_fail_with("maximum allowed concurrency is 3");
    }
    let follow = [
        &arguments[..],
        &["-f", "--insecure-skip-tls-verify-backend"],
    ]
    .concat();
    assert_eq!(sorted(node.kubectl(&follow).must().stdout), expected);
}

fn long_lines_and_the_run_before() {
    let node = namespace("logs-long");
    // 40 KB without a newline, then an end without one; the second run says something else.
    let script = "if test -f /data/again; then echo second run; sleep 3600; fi; touch /data/again; yes | tr -d '\\n' | head -c 40000; echo; echo short; printf 'no newline'; exit 1";
    let script = script.replace(
        "yes | tr -d '\\n' | head -c 40000",
        "head -c 40000 /dev/zero | tr '\\0' y",
    );
    node.kubectl_input(
        &["-n", "logs-long", "apply", "-f", "-"],
        &format!(
            "apiVersion: v1\nkind: Pod\nmetadata: {{name: long}}\nspec:\n  restartPolicy: Always\n  terminationGracePeriodSeconds: 0\n  volumes: [{{name: data, emptyDir: {{}}}}]\n  containers:\n  - name: main\n    image: {}\n    command: [sh, -c, {}]\n    volumeMounts: [{{name: data, mountPath: /data}}]\n",
            crate::busybox::IMAGE,
            serde_json::Value::from(script)
        ),
    )
    .must();
    assert!(eventually(|| node
        .kubectl(&["-n", "logs-long", "logs", "long"])
        .stdout
        == "second run\n"));
    let previous = |arguments: &[&str]| {
        node.kubectl(&[&["-n", "logs-long", "logs", "-p", "long"], arguments].concat())
            .must()
            .stdout
    };
    let long = "y".repeat(40_000);
    assert_eq!(previous(&[]), format!("{long}\nshort\nno newline"));
    assert_eq!(
        previous(&["--tail", "3"]),
        format!("{long}\nshort\nno newline")
    );
    assert_eq!(previous(&["--tail", "1"]), "no newline");
}
