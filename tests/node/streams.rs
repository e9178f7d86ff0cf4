//! `exec`, with and without a terminal.

use crate::lifecycle::script_pod;
use crate::namespace;

pub const TESTS: &[(&str, fn())] = &[
    (
        "exec_carries_streams_and_exit_code",
        exec_carries_streams_and_exit_code,
    ),
    ("exec_gives_a_terminal", exec_gives_a_terminal),
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
