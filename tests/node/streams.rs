//! `exec`, with and without a terminal.

use crate::common::eventually;
use crate::lifecycle::script_pod;
use crate::namespace;

pub const TESTS: &[(&str, fn())] = &[
    (
        "exec_carries_streams_and_exit_code",
        exec_carries_streams_and_exit_code,
    ),
    ("exec_gives_a_terminal", exec_gives_a_terminal),
    ("a_client_that_dies_hangs_up", a_client_that_dies_hangs_up),
    ("fifty_at_once", fifty_at_once),
    ("copies_both_ways", copies_both_ways),
];

fn exec_carries_streams_and_exit_code() {
    let node = namespace("exec");
    node.kubectl_input(
        &["-n", "exec", "apply", "-f", "-"],
        &script_pod("target", "Always", "sleep 3600"),
    )
    .must();
    node.wait_for("exec", "pod/target", "{.status.phase}", "Running");
    let ran = node.kubectl(&[
        "-n",
        "exec",
        "exec",
        "target",
        "--",
        "sh",
        "-c",
        "echo out; echo err >&2; exit 5",
    ]);
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(5), "out\n"));
    assert!(ran.stderr.starts_with("err\n"), "{}", ran.stderr);
    let echoed = node
        .kubectl_input(
            &["-n", "exec", "exec", "-i", "target", "--", "cat"],
            "through the pod\n",
        )
        .must();
    assert_eq!(echoed.stdout, "through the pod\n");
    node.kubectl(&["-n", "exec", "exec", "target", "--", "no-such-program"])
        .must_fail_with("not found");
    let own = node.coracle(&[
        "-n",
        "exec",
        "exec",
        "target",
        "--",
        "sh",
        "-c",
        "echo ours; exit 4",
    ]);
    assert_eq!((own.code, own.stdout.as_str()), (Some(4), "ours\n"));
    // A megabyte passes whole.
    let long = node
        .kubectl(&[
            "-n",
            "exec",
            "exec",
            "target",
            "--",
            "sh",
            "-c",
            "yes | head -c 1048576",
        ])
        .must();
    assert_eq!(long.stdout.len(), 1_048_576);
}

fn exec_gives_a_terminal() {
    let node = namespace("terminal");
    node.kubectl_input(
        &["-n", "terminal", "apply", "-f", "-"],
        &script_pod("target", "Always", "sleep 3600"),
    )
    .must();
    node.wait_for("terminal", "pod/target", "{.status.phase}", "Running");
    // `script` gives kubectl a terminal of its own, as a person has.
    let command = format!(
        "stty rows 33 cols 111; kubectl --kubeconfig {} -n terminal exec -it target -- sh -c 'test -t 0 && echo a terminal; sleep 1; stty size'",
        node.kubeconfig().display()
    );
    let ran = crate::common::run(std::process::Command::new("script").args([
        "-qec",
        &command,
        "/dev/null",
    ]))
    .must();
    assert!(ran.stdout.contains("a terminal"), "{}", ran.stdout);
    assert!(ran.stdout.contains("33 111"), "{}", ran.stdout);
}

fn target(node: &crate::common::TestNode, namespace: &str) {
    node.kubectl_input(
        &["-n", namespace, "apply", "-f", "-"],
        &script_pod("target", "Always", "sleep 3600"),
    )
    .must();
    node.wait_for(namespace, "pod/target", "{.status.phase}", "Running");
}

fn a_client_that_dies_hangs_up() {
    let node = namespace("hangup");
    target(&node, "hangup");
    let sleepers = || {
        let ps = node
            .kubectl(&["-n", "hangup", "exec", "target", "--", "ps"])
            .stdout;
        ps.matches("sleep 1234").count()
    };
    for arguments in [vec!["target"], vec!["-i", "target"]] {
        let mut client = node
            .kubectl_command()
            .args(["-n", "hangup", "exec"])
            .args(&arguments)
            .args(["--", "sh", "-c", "sleep 1234; true"])
            .stdin(std::process::Stdio::piped())
            .spawn()
            .expect("kubectl");
        assert!(eventually(|| sleepers() > 0), "it did not start");
        client.kill().expect("kubectl runs");
        client.wait().expect("kubectl ends");
        assert!(eventually(|| sleepers() == 0), "it lives on: {arguments:?}");
    }
}

fn fifty_at_once() {
    let node = namespace("fifty");
    target(&node, "fifty");
    std::thread::scope(|scope| {
        let runs: Vec<_> = (0..50)
            .map(|number| {
                let node = &node;
                scope.spawn(move || {
                    let script = format!("cat; exit {number}");
                    let arguments = [
                        "-n", "fifty", "exec", "-i", "target", "--", "sh", "-c", &script,
                    ];
                    node.kubectl_input(&arguments, &format!("number {number}\n"))
                })
            })
            .collect();
        for (number, ran) in runs.into_iter().enumerate() {
            let ran = ran.join().expect("ran");
            assert_eq!(ran.stdout, format!("number {number}\n"), "{}", ran.stderr);
            assert_eq!(ran.code, Some(number as i32), "{}", ran.stderr);
        }
    });
}

fn copies_both_ways() {
    let node = namespace("copy");
    target(&node, "copy");
    let directory = tempfile::tempdir().expect("a directory");
    let tree = directory.path().join("tree");
    std::fs::create_dir_all(tree.join("deep/er")).expect("made");
    std::fs::write(tree.join("deep/er/text"), "some text\n").expect("written");
    // 100 MB that do not compress into nothing.
    let big: Vec<u8> = (0..25_000_000u32)
        .flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes())
        .collect();
    std::fs::write(tree.join("big"), &big).expect("written");
    std::os::unix::fs::symlink("deep/er/text", tree.join("link")).expect("linked");
    let local = tree.to_str().expect("UTF-8");
    for (tool, ours) in [("kubectl", false), ("coracle", true)] {
        let run = |arguments: &[&str]| {
            let arguments = [&["-n", "copy"], arguments].concat();
            if ours {
                node.coracle(&arguments).must()
            } else {
                node.kubectl(&arguments).must()
            }
        };
        let there = format!("/tmp/{tool}");
        let remote = format!("target:{there}");
        run(&["cp", local, &remote]);
        let link = ["-n", "copy", "exec", "target", "--", "cat"];
        let read = node.kubectl(&[&link[..], &[&format!("{there}/link")]].concat());
        assert_eq!(read.must().stdout, "some text\n", "{tool}");
        let back = directory.path().join(tool);
        run(&["cp", &remote, back.to_str().expect("UTF-8")]);
        assert_eq!(
            std::fs::read_to_string(back.join("deep/er/text")).expect("copied"),
            "some text\n"
        );
        assert!(
            std::fs::read(back.join("big")).expect("copied") == big,
            "{tool}"
        );
        run(&["exec", "target", "--", "rm", "-rf", &there]);
    }
}
