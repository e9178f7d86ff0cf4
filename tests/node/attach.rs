//! `kubectl attach` and `kubectl run -it`.

use crate::common::{PATIENCE, TestNode, eventually};
use crate::namespace;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

pub const TESTS: &[(&str, fn())] = &[
    (
        "several_clients_see_the_output",
        several_clients_see_the_output,
    ),
    (
        "input_ends_with_the_first_client_where_asked",
        input_ends_with_the_first_client_where_asked,
    ),
    (
        "input_stays_open_where_not_asked",
        input_stays_open_where_not_asked,
    ),
    (
        "a_client_that_stops_reading_holds_nothing_up",
        a_client_that_stops_reading_holds_nothing_up,
    ),
    (
        "a_terminal_is_attached_and_resized",
        a_terminal_is_attached_and_resized,
    ),
    ("run_interactively_and_remove", run_interactively_and_remove),
    ("run_with_piped_input", run_with_piped_input),
];

/// A pod with `fields` in its container.
fn pod(node: &TestNode, namespace: &str, name: &str, script: &str, fields: &str) {
    node.kubectl_input(
        &["-n", namespace, "apply", "-f", "-"],
        &format!(
            "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}}}\nspec:\n  restartPolicy: Never\n  terminationGracePeriodSeconds: 0\n  containers:\n  - name: main\n    image: {}\n    command: [sh, -c, {script:?}]\n{fields}",
            crate::busybox::IMAGE
        ),
    )
    .must();
    node.wait_for(
        namespace,
        &format!("pod/{name}"),
        "{.status.phase}",
        "Running",
    );
}

struct Client {
    child: Child,
    lines: mpsc::Receiver<String>,
}

impl Drop for Client {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Client {
    fn start(command: &mut Command) -> Client {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("a client");
        let lines = lines(child.stdout.take().expect("piped"));
        Client { child, lines }
    }

    fn attach(node: &TestNode, namespace: &str, arguments: &[&str]) -> Client {
        let mut command = node.kubectl_command();
        command.args(["-n", namespace, "attach"]).args(arguments);
        Client::start(&mut command)
    }

    fn say(&mut self, text: &str) {
        let input = self.child.stdin.as_mut().expect("piped");
        input
            .write_all(text.as_bytes())
            .expect("the client listens");
        input.flush().expect("the client listens");
    }

    /// Whether a line with `text` in it comes soon.
    fn hears(&self, text: &str) -> bool {
        while let Ok(line) = self.lines.recv_timeout(Duration::from_millis(200)) {
            if line.contains(text) {
                return true;
            }
        }
        false
    }

    /// Waits for a line with `text` in it.
    #[track_caller]
    fn hear(&self, text: &str) {
        let mut heard = Vec::new();
        loop {
            match self.lines.recv_timeout(PATIENCE) {
                Ok(line) if line.contains(text) => return,
                Ok(line) => heard.push(line),
                Err(error) => panic!("no {text:?} ({error}) in {heard:?}"),
            }
        }
    }

    #[track_caller]
    fn wait(mut self) -> (Option<i32>, String) {
        drop(self.child.stdin.take());
        let mut status = None;
        let ended = eventually(|| {
            status = self.child.try_wait().expect("a child");
            status.is_some()
        });
        assert!(ended, "the client does not end");
        let mut errors = String::new();
        let _ = self
            .child
            .stderr
            .take()
            .expect("piped")
            .read_to_string(&mut errors);
        (status.and_then(|s| s.code()), errors)
    }
}

fn lines(output: ChildStdout) -> mpsc::Receiver<String> {
    let (told, heard) = mpsc::channel();
    std::thread::spawn(move || {
        let mut reader = BufReader::new(output);
        let mut line = Vec::new();
        while matches!(reader.read_until(b'\n', &mut line), Ok(1..)) {
            if told
                .send(String::from_utf8_lossy(&line).into_owned())
                .is_err()
            {
                return;
            }
            line.clear();
        }
    });
    heard
}

const TICKER: &str = "n=0; while :; do echo tick $n; echo tock $n >&2; n=$((n+1)); sleep 0.2; done";

fn several_clients_see_the_output() {
    let node = namespace("attach");
    pod(&node, "attach", "ticker", TICKER, "");
    let clients: Vec<Client> = (0..4)
        .map(|_| Client::attach(&node, "attach", &["ticker"]))
        .chain([Client::start(
            crate::common::coracle()
                .env("KUBECONFIG", node.kubeconfig())
                .args(["-n", "attach", "attach", "ticker"]),
        )])
        .collect();
    for client in &clients {
        client.hear("tick");
        client.hear("tick");
    }
    // They leave, and the container and its log go on.
    drop(clients);
    let count = || {
        let log = node.kubectl(&["-n", "attach", "logs", "ticker"]).must();
        (
            log.stdout.matches("tick").count(),
            log.stdout.matches("tock").count(),
        )
    };
    let before = count();
    assert!(before.0 > 0 && before.1 > 0);
    assert!(eventually(|| count() > before), "the log stands still");
    node.wait_for("attach", "pod/ticker", "{.status.phase}", "Running");
    node.kubectl(&["-n", "attach", "delete", "pod", "ticker"])
        .must();
}

const ECHO: &str = "while read line; do echo got $line; done; echo end of input; sleep 3600";

fn input_ends_with_the_first_client_where_asked() {
    let node = namespace("attach-once");
    pod(
        &node,
        "attach-once",
        "echo",
        ECHO,
        "    stdin: true\n    stdinOnce: true\n",
    );
    let watcher = Client::attach(&node, "attach-once", &["echo"]);
    let mut first = Client::attach(&node, "attach-once", &["-i", "echo"]);
    first.say("one\n");
    first.hear("got one");
    first.say("two\n");
    first.hear("got two");
    // The watcher is there before anything happens.
    assert!(eventually(|| {
        first.say("again\n");
        watcher
            .lines
            .recv_timeout(Duration::from_millis(200))
            .is_ok()
    }));
    // It is gone without a word; whoever watches stays.
    drop(first);
    watcher.hear("end of input");
    node.kubectl(&["-n", "attach-once", "delete", "pod", "echo"])
        .must();
    // With the container's end the client is told so.
    let (code, _) = watcher.wait();
    assert_eq!(code, Some(0));
}

fn input_stays_open_where_not_asked() {
    let node = namespace("attach-more");
    pod(&node, "attach-more", "echo", ECHO, "    stdin: true\n");
    for word in ["one", "two", "three"] {
        let mut client = Client::attach(&node, "attach-more", &["-i", "echo"]);
        client.say(&format!("{word}\n"));
        client.hear(&format!("got {word}"));
        // The end of its input is the end of its visit.
        let (code, errors) = client.wait();
        assert_eq!(code, Some(0), "{errors}");
    }
    let log = node.kubectl(&["-n", "attach-more", "logs", "echo"]).must();
    assert_eq!(log.stdout, "got one\ngot two\ngot three\n");
    node.kubectl(&["-n", "attach-more", "delete", "pod", "echo"])
        .must();
}

fn a_client_that_stops_reading_holds_nothing_up() {
    let node = namespace("attach-slow");
    // Far more than all buffers between the container and a client's terminal.
    let script = "while read word && test $word != go; do echo heard $word; done; yes 'a line of some length, so that it soon fills every buffer' | head -c 30000000; echo; echo the end; sleep 3600";
    pod(&node, "attach-slow", "talker", script, "    stdin: true\n");
    let stuck = Client::attach(&node, "attach-slow", &["talker"]);
    let mut good = Client::attach(&node, "attach-slow", &["-i", "talker"]);
    let pid = nix::unistd::Pid::from_raw(stuck.child.id() as i32);
    // Both are there before the talking begins.
    assert!(eventually(|| {
        good.say("hello\n");
        stuck.hears("heard hello")
    }));
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGSTOP).expect("kubectl runs");
    good.say("go\n");
    good.hear("the end");
    let log = node
        .kubectl(&["-n", "attach-slow", "logs", "talker", "--tail", "1"])
        .must();
    assert_eq!(log.stdout, "the end\n");
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGCONT).expect("kubectl runs");
    let (code, errors) = stuck.wait();
    assert_eq!(code, Some(1), "{errors}");
    assert!(errors.contains("took no output for 5 s"), "{errors}");
    node.kubectl(&["-n", "attach-slow", "delete", "pod", "talker"])
        .must();
}

/// `command` in a terminal of its own, as a person has; `input` is typed.
fn in_terminal(command: &str) -> Client {
    Client::start(Command::new("script").args(["-qec", command, "/dev/null"]))
}

fn a_terminal_is_attached_and_resized() {
    let node = namespace("attach-tty");
    let script = "test -t 0 && echo a terminal; while read line; do echo got $line; stty size; done; sleep 3600";
    pod(
        &node,
        "attach-tty",
        "shell",
        script,
        "    stdin: true\n    tty: true\n",
    );
    let mut client = in_terminal(&format!(
        "stty rows 33 cols 111; exec kubectl --kubeconfig {} -n attach-tty attach -it shell",
        node.kubeconfig().display()
    ));
    client.say("one\n");
    client.hear("got one");
    // It first sends a size one larger, so that programs draw anew.
    assert!(eventually(|| {
        client.say("again\n");
        client.hears("33 111")
    }));
    drop(client);
    let mut client = in_terminal(&format!(
        "stty rows 44 cols 99; exec {} --kubeconfig {} -n attach-tty attach -it shell",
        env!("CARGO_BIN_EXE_coracle"),
        node.kubeconfig().display()
    ));
    client.say("two\n");
    client.hear("got two");
    assert!(eventually(|| {
        client.say("again\n");
        client.hears("44 99")
    }));
    drop(client);
    // A terminal's log is what it showed.
    let log = node.kubectl(&["-n", "attach-tty", "logs", "shell"]).must();
    assert!(log.stdout.contains("got two\r\n"), "{:?}", log.stdout);
    node.kubectl(&["-n", "attach-tty", "delete", "pod", "shell"])
        .must();
}

fn run_interactively_and_remove() {
    let node = namespace("attach-run");
    let mut client = in_terminal(&format!(
        "kubectl --kubeconfig {} -n attach-run run shell -it --rm --restart=Never --image={} --command -- sh",
        node.kubeconfig().display(),
        crate::busybox::IMAGE
    ));
    node.wait_for("attach-run", "pod/shell", "{.status.phase}", "Running");
    client.say("echo $((40 + 2)) sheep\n");
    client.hear("42 sheep");
    client.say("exit\n");
    client.hear("deleted");
    let (code, errors) = client.wait();
    assert_eq!(code, Some(0), "{errors}");
    assert!(eventually(|| !node
        .kubectl(&["-n", "attach-run", "get", "pod", "shell"])
        .ok));
}

fn run_with_piped_input() {
    let node = namespace("attach-pipe");
    // Half a megabyte through the container and back; the end of input comes along.
    let text: String = (0..50_000).map(|n| format!("line {n}\n")).collect();
    let mut command = node.kubectl_command();
    command.args([
        "-n",
        "attach-pipe",
        "run",
        "cat",
        "-i",
        "--rm",
        "-q",
        "--restart=Never",
        "--image",
        crate::busybox::IMAGE,
        "--command",
        "--",
        "cat",
    ]);
    let ran = crate::common::run_with_input(&mut command, &text).must();
    assert!(
        ran.stdout.starts_with(&text),
        "{} bytes of {}: {} … {}",
        ran.stdout.len(),
        text.len(),
        ran.stdout.get(..80).unwrap_or_default(),
        ran.stderr
    );
}
