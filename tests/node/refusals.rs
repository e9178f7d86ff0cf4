//! Bad input: each gets an error that says what, where and what to do, and nothing is lost by it.

use crate::common::{TestNode, coracle, run};
use crate::shared;

pub const TESTS: &[(&str, fn())] = &[
    ("manifests_that_cannot_be", manifests_that_cannot_be),
    ("bodies_past_the_limits", bodies_past_the_limits),
    (
        "a_port_in_use_and_a_second_node_on_the_data",
        a_port_in_use_and_a_second_node_on_the_data,
    ),
    (
        "a_full_disk_refuses_writes_and_keeps_what_it_has",
        a_full_disk_refuses_writes_and_keeps_what_it_has,
    ),
    ("command_line_mistakes", command_line_mistakes),
];

fn manifests_that_cannot_be() {
    let node = shared();
    let pod = |rest: &str| {
        format!("apiVersion: v1\nkind: Pod\nmetadata: {{name: wrong}}\nspec: {rest}\n")
    };
    for (manifest, said) in [
        (
            "apiVersion: v1\nkind: Pod\nmetadata: {name: x\n".to_owned(),
            "yaml",
        ),
        (
            "apiVersion: v1\nkind: Pood\nmetadata: {name: x}\n".to_owned(),
            "Pood",
        ),
        (
            pod("{containers: [{name: a, image: b, imagee: c}]}"),
            "unknown field \"spec.containers[0].imagee\"",
        ),
        (pod("{containers: 7}"), "containers"),
        (pod("{containers: []}"), "spec.containers: Required value"),
        (
            pod("{containers: [{name: Upper_Case, image: b}]}"),
            "spec.containers[0].name",
        ),
        (
            pod("{containers: [{name: a, image: b, resources: {limits: {memory: 12Quarts}}}]}"),
            "quantit",
        ),
        (
            pod("{containers: [{name: a, image: b, livenessProbe: {tcpSocket: {port: 0}}}]}"),
            "livenessProbe.tcpSocket.port",
        ),
    ] {
        let ran = node.kubectl_input(&["apply", "-f", "-"], &manifest);
        assert!(!ran.ok, "accepted: {manifest}");
        let text = ran.stdout + &ran.stderr;
        assert!(
            text.to_lowercase().contains(&said.to_lowercase()),
            "wanted {said:?} for\n{manifest}\ngot {text}"
        );
    }
    let name = "x".repeat(254);
    node.kubectl(&["create", "configmap", &name])
        .must_fail_with("253");
    let directory = tempfile::tempdir().expect("temporary directory");
    let file = directory.path().join("two.yaml");
    std::fs::write(
        &file,
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: fine}\n---\nkind: [\n",
    )
    .expect("file");
    node.coracle(&["apply", "-f", &file.to_string_lossy()])
        .must_fail_with("two.yaml");
    assert!(!node.kubectl(&["get", "pod", "wrong"]).ok);
}

fn bodies_past_the_limits() {
    let node = shared();
    let large = format!(
        "{{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"metadata\":{{\"name\":\"large\"}},\"data\":{{\"a\":\"{}\"}}}}",
        "x".repeat(4 << 20)
    );
    let refused = node.kubectl_input(&["create", "--validate=false", "-f", "-"], &large);
    assert!(
        !refused.ok
            && (refused.stderr.contains("too large") || refused.stderr.contains("Too long")),
        "{}",
        refused.stderr
    );
    let deep = format!(
        "{{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"metadata\":{{\"name\":\"deep\"}},\"x\":{}1{}}}",
        "[".repeat(5000),
        "]".repeat(5000)
    );
    let refused = node.kubectl_input(&["create", "--validate=false", "-f", "-"], &deep);
    assert!(!refused.ok, "{}", refused.stdout);
    node.kubectl(&["get", "--raw", "/readyz"]).must_say("ok");
}

fn a_port_in_use_and_a_second_node_on_the_data() {
    let node = shared();
    let second = run(&mut node.up_command());
    assert!(!second.ok);
    let said = &second.stderr;
    assert!(
        said.contains("another") && said.contains(&*node.data_dir().to_string_lossy()),
        "{said}"
    );
    let mut other = TestNode::prepare();
    other.port = node.port;
    let refused = run(&mut other.up_command());
    assert!(!refused.ok);
    assert!(
        refused.stderr.contains(&format!("127.0.0.1:{}", node.port))
            && refused.stderr.contains("in use"),
        "{}",
        refused.stderr
    );
    node.kubectl(&["get", "--raw", "/readyz"]).must_say("ok");
}

/// A file system of its own, unmounted whatever the test comes to.
struct Mounted(std::path::PathBuf);

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg(&self.0).status();
        let _ = std::fs::remove_dir_all(self.0.parent().expect("a directory below the node's"));
    }
}

/// The node goes first, then its disk.
struct OnSmallDisk {
    node: TestNode,
    _disk: Mounted,
}

fn a_full_disk_refuses_writes_and_keeps_what_it_has() {
    let node = TestNode::prepare();
    let data = node.data_dir();
    std::fs::create_dir_all(&data).expect("directory");
    // Room for the built-in image (this build's binary) and a little more.
    let binary = std::fs::metadata(env!("CARGO_BIN_EXE_coracle"))
        .expect("the binary")
        .len();
    let size = format!("size={}", binary + (96 << 20));
    run(std::process::Command::new("mount")
        .args(["-t", "tmpfs", "-o", &size, "none"])
        .arg(&data))
    .must();
    let mut place = OnSmallDisk {
        node,
        _disk: Mounted(data.clone()),
    };
    let node = &mut place.node;
    node.up();
    node.kubectl(&["create", "configmap", "before", "--from-literal=kept=yes"])
        .must();
    let filler = data.join("filler");
    let _ = std::fs::write(&filler, vec![7; 72 << 20]);
    let value = format!("--from-literal=x={}", "y".repeat(100_000));
    let mut refused = None;
    for number in 0..2000 {
        let ran = node.kubectl(&["create", "configmap", &format!("filling-{number}"), &value]);
        if !ran.ok {
            refused = Some(ran);
            break;
        }
    }
    let refused = refused.expect("a small disk does not take 200 MB");
    assert!(refused.stderr.contains("space"), "{}", refused.stderr);
    assert_eq!(
        node.value("default", "configmap/before", "{.data.kept}"),
        "yes"
    );
    std::fs::remove_file(&filler).expect("filler");
    node.kill_hard();
    node.up();
    assert_eq!(
        node.value("default", "configmap/before", "{.data.kept}"),
        "yes"
    );
    node.kubectl(&["create", "configmap", "after", "--from-literal=x=y"])
        .must();
}

fn command_line_mistakes() {
    run(coracle().args(["gett", "pods"])).must_fail_with("gett");
    run(coracle().args(["up", "--pod-cidr", "10.1.2.3.4/99"])).must_fail_with("10.1.2.3.4/99");
    run(coracle().args(["up", "--profile", "toaster"])).must_fail_with("toaster");
    let nobody = run(coracle().env("HOME", "/nonexistent").args([
        "--kubeconfig",
        "/no/such/config",
        "get",
        "pods",
    ]));
    nobody.must_fail_with("/no/such/config");
    let node = shared();
    node.coracle(&["get", "pood"]).must_fail_with("pood");
    node.coracle(&["get", "pod", "nobody"])
        .must_fail_with("pods \"nobody\" not found");
    node.coracle(&["apply", "-f", "/no/such/file.yaml"])
        .must_fail_with("/no/such/file.yaml");
    run(std::process::Command::new("setpriv").args([
        "--reuid=65534",
        "--clear-groups",
        env!("CARGO_BIN_EXE_coracle"),
        "up",
        "--data-dir",
        "/tmp/never-made",
    ]))
    .must_fail_with("root");
}
