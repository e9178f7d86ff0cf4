//! `kubectl port-forward`.

use crate::common::{PATIENCE, TestNode, eventually};
use crate::lifecycle::script_pod;
use crate::namespace;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;

pub const TESTS: &[(&str, fn())] = &[
    ("many_connections_at_once", many_connections_at_once),
    ("half_open_ends_are_passed_on", half_open_ends_are_passed_on),
    ("what_fails_is_told", what_fails_is_told),
    ("older_clients_come_with_spdy", older_clients_come_with_spdy),
    (
        "nothing_is_left_when_the_client_vanishes",
        nothing_is_left_when_the_client_vanishes,
    ),
    ("our_own_command_forwards_too", our_own_command_forwards_too),
];

struct Forward {
    child: Child,
    port: u16,
    errors: mpsc::Receiver<String>,
}

impl Drop for Forward {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Forward {
    /// Waits until it listens, on a port of its own choice.
    fn start(command: &mut Command) -> Forward {
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("port-forward");
        let mut line = String::new();
        let mut output = BufReader::new(child.stdout.take().expect("piped"));
        output.read_line(&mut line).expect("output");
        let port = line
            .strip_prefix("Forwarding from 127.0.0.1:")
            .and_then(|rest| rest.split(' ').next())
            .and_then(|port| port.parse().ok())
            .unwrap_or_else(|| {
                let mut why = String::new();
                let _ = child.stderr.take().map(|mut e| e.read_to_string(&mut why));
                panic!("{line:?} {why}")
            });
        let errors = child.stderr.take().expect("piped");
        let (told, heard) = mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(errors).lines().map_while(Result::ok) {
                let _ = told.send(line);
            }
        });
        // What it says of each connection is not of interest, but must not stop it.
        std::thread::spawn(move || std::io::copy(&mut output, &mut std::io::sink()));
        Forward {
            child,
            port,
            errors: heard,
        }
    }

    fn kubectl(node: &TestNode, namespace: &str, ports: &str) -> Forward {
        Forward::start(node.kubectl_command().args([
            "-n",
            namespace,
            "port-forward",
            "pod/server",
            ports,
        ]))
    }

    fn connect(&self) -> TcpStream {
        connect(self.port)
    }

    #[track_caller]
    fn hear_error(&self, text: &str) {
        let mut heard = Vec::new();
        loop {
            match self.errors.recv_timeout(PATIENCE) {
                Ok(line) if line.contains(text) => return,
                Ok(line) => heard.push(line),
                Err(error) => panic!("no {text:?} ({error}) in {heard:?}"),
            }
        }
    }
}

fn connect(port: u16) -> TcpStream {
    let stream = TcpStream::connect(("127.0.0.1", port)).expect("it listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    stream
}

/// Listens on loopback only: reached from inside the pod's network, or not at all.
fn server(node: &TestNode, namespace: &str, script: &str) {
    node.kubectl_input(
        &["-n", namespace, "apply", "-f", "-"],
        &script_pod("server", "Never", script),
    )
    .must();
    node.wait_for(namespace, "pod/server", "{.status.phase}", "Running");
}

const WEB: &str = "mkdir -p /tmp/www; head -c 3000000 /dev/urandom > /tmp/www/blob; echo hello > /tmp/www/index.html; exec httpd -f -p 127.0.0.1:8080 -h /tmp/www";

/// A server of pages, once it answers: until then connections fail and end the forwarding.
fn web(node: &TestNode, namespace: &str) {
    server(node, namespace, WEB);
    let look = "wget -q -O /dev/null http://127.0.0.1:8080/";
    assert!(eventually(|| node
        .kubectl(&["-n", namespace, "exec", "server", "--", "sh", "-c", look])
        .ok));
}

fn fetch(port: u16, path: &str) -> Vec<u8> {
    let mut stream = connect(port);
    write!(stream, "GET {path} HTTP/1.0\r\n\r\n").expect("a request");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("an answer");
    let at = answer
        .windows(4)
        .position(|window| window == b"\r\n\r\n")
        .unwrap_or_else(|| panic!("{:?}", String::from_utf8_lossy(&answer)));
    answer.split_off(at + 4)
}

fn serves_both_pages(forward: &Forward) {
    assert_eq!(fetch(forward.port, "/"), b"hello\n");
    assert_eq!(fetch(forward.port, "/blob").len(), 3_000_000);
}

fn many_connections_at_once() {
    let node = namespace("forward");
    web(&node, "forward");
    let forward = Forward::kubectl(&node, "forward", ":8080");
    assert_eq!(fetch(forward.port, "/"), b"hello\n");
    std::thread::scope(|scope| {
        let fetches: Vec<_> = (0..30)
            .map(|number| {
                let port = forward.port;
                scope.spawn(move || {
                    if number % 10 == 0 {
                        fetch(port, "/blob").len()
                    } else {
                        fetch(port, "/").len()
                    }
                })
            })
            .collect();
        for (number, fetch) in fetches.into_iter().enumerate() {
            let expected = if number % 10 == 0 { 3_000_000 } else { 6 };
            assert_eq!(fetch.join().expect("fetched"), expected);
        }
    });
    // The forwarding still stands.
    assert_eq!(fetch(forward.port, "/"), b"hello\n");
}

fn half_open_ends_are_passed_on() {
    let node = namespace("forward-half");
    // Answers only when its input has ended.
    server(
        &node,
        "forward-half",
        "exec nc -ll -p 7 -e sh -c 'wc -c; echo bye'",
    );
    let forward = Forward::kubectl(&node, "forward-half", ":7");
    let mut stream = forward.connect();
    stream.write_all(&vec![b'x'; 200_000]).expect("sent");
    stream.shutdown(Shutdown::Write).expect("half closed");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    assert_eq!(answer, "200000\nbye\n");
}

fn what_fails_is_told() {
    let node = namespace("forward-bad");
    server(&node, "forward-bad", "sleep 3600");
    let forward = Forward::kubectl(&node, "forward-bad", ":81");
    let mut answer = Vec::new();
    let _ = forward.connect().read_to_end(&mut answer);
    assert_eq!(answer, b"");
    forward.hear_error("error forwarding port 81 to pod");
    node.kubectl(&["-n", "forward-bad", "port-forward", "pod/nobody", ":81"])
        .must_fail_with("not found");
}

fn older_clients_come_with_spdy() {
    let node = namespace("forward-spdy");
    web(&node, "forward-spdy");
    let forward = Forward::start(
        node.kubectl_command()
            .env("KUBECTL_PORT_FORWARD_WEBSOCKETS", "false")
            .args(["-n", "forward-spdy", "port-forward", "pod/server", ":8080"]),
    );
    serves_both_pages(&forward);
    let spdy = |arguments: &[&str], input: &str| {
        let mut command = node.kubectl_command();
        command
            .env("KUBECTL_REMOTE_COMMAND_WEBSOCKETS", "false")
            .args(["-n", "forward-spdy", "exec"])
            .args(arguments);
        crate::common::run_with_input(&mut command, input)
    };
    let echoed = spdy(
        &[
            "-i",
            "server",
            "--",
            "sh",
            "-c",
            "cat; echo err >&2; exit 6",
        ],
        "through SPDY\n",
    );
    assert_eq!(
        (echoed.code, echoed.stdout.as_str()),
        (Some(6), "through SPDY\n")
    );
    assert!(echoed.stderr.starts_with("err\n"), "{}", echoed.stderr);
    let long = spdy(&["server", "--", "cat", "/tmp/www/blob"], "");
    assert_eq!(long.code, Some(0), "{}", long.stderr);
}

fn sockets(pid: u32) -> usize {
    std::fs::read_dir(format!("/proc/{pid}/fd"))
        .map(|entries| {
            entries
                .flatten()
                .filter(|entry| {
                    std::fs::read_link(entry.path())
                        .is_ok_and(|link| link.to_string_lossy().starts_with("socket:"))
                })
                .count()
        })
        .unwrap_or_default()
}

fn nothing_is_left_when_the_client_vanishes() {
    // Its own node: sockets are counted.
    let mut node = TestNode::start();
    crate::import_busybox(&node);
    server(&node, "default", "exec nc -ll -p 7 -e cat");
    let before = sockets(node.pid());
    let forward = Forward::kubectl(&node, "default", ":7");
    let mut open: Vec<TcpStream> = (0..10).map(|_| forward.connect()).collect();
    for stream in &mut open {
        stream.write_all(b"ping").expect("sent");
        let mut answer = [0; 4];
        stream.read_exact(&mut answer).expect("an answer");
        assert_eq!(&answer, b"ping");
    }
    assert!(sockets(node.pid()) >= before + 10);
    drop(forward);
    assert!(
        eventually(|| sockets(node.pid()) <= before),
        "{} sockets, {before} before",
        sockets(node.pid())
    );
    node.reset().must();
}

fn our_own_command_forwards_too() {
    let node = namespace("forward-own");
    web(&node, "forward-own");
    let forward = Forward::start(
        crate::common::coracle()
            .env("KUBECONFIG", node.kubeconfig())
            .args(["-n", "forward-own", "port-forward", "pod/server", ":8080"]),
    );
    serves_both_pages(&forward);
}
