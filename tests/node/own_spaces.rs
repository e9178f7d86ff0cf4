//! What a pod shares and what it has to itself: processes, the host's namespaces, users.

use crate::common::eventually;
use crate::namespace;
use crate::security::{exec, pod, running};
use serde_json::json;

pub const TESTS: &[(&str, fn())] = &[
    ("containers_share_processes", containers_share_processes),
    ("host_namespaces", host_namespaces),
    ("users_of_its_own", users_of_its_own),
];

fn containers_share_processes() {
    let node = namespace("shared-processes");
    let space = "shared-processes";
    pod(
        &node,
        space,
        "two",
        json!({"shareProcessNamespace": true}),
        &[
            ("first", json!({"command": ["sleep", "3111"]})),
            // Its child is left to the pod's first process, and dies with the container.
            (
                "second",
                json!({"command": ["sh", "-c", "(sleep 3222 &) ; exec sleep 3333"]}),
            ),
        ],
    );
    running(&node, space, "two");
    let mut seen = String::new();
    let all = eventually(|| {
        seen = exec(&node, space, "two", "first", "ps -o pid,args");
        ["sleep 3111", "sleep 3222", "sleep 3333"]
            .iter()
            .all(|line| seen.contains(line))
    });
    assert!(all, "{seen}");
    assert!(
        exec(
            &node,
            space,
            "two",
            "first",
            "cat /proc/1/comm; ls /proc/1/root/ 2>&1 | wc -w"
        )
        .starts_with("pod-init\n")
    );
    // Signals reach the other container, which is restarted; what it left behind is gone.
    exec(
        &node,
        space,
        "two",
        "first",
        "kill -9 $(ps -o pid,args | busybox awk '/sleep 333[3]/ {print $1}')",
    );
    node.wait_for(
        space,
        "pod/two",
        "{.status.containerStatuses[?(@.name==\"second\")].restartCount}",
        "1",
    );
    let one_each = eventually(|| {
        seen = exec(&node, space, "two", "first", "ps -o pid,args");
        seen.matches("sleep 3222").count() == 1 && seen.matches("sleep 3333").count() == 1
    });
    assert!(one_each, "{seen}");
    // With the shim goes everything, also what only the namespace's first process holds.
    let uid = node.value(space, "pod/two", "{.metadata.uid}");
    let file = node.run_dir().join("pods").join(&uid).join("shim.pid");
    let file = if file.exists() {
        file
    } else {
        node.run_dir().join(&uid).join("shim.pid")
    };
    let shim = std::fs::read_to_string(&file).expect("the shim's pid");
    let children = format!("/proc/{shim}/task/{shim}/children");
    let init = std::fs::read_to_string(children)
        .expect("children")
        .split_whitespace()
        .find(|pid| {
            std::fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|n| n == "pod-init\n")
        })
        .map(str::to_owned)
        .expect("the first process");
    nix::sys::signal::kill(
        nix::unistd::Pid::from_raw(shim.trim().parse().expect("a number")),
        nix::sys::signal::Signal::SIGKILL,
    )
    .expect("kill");
    assert!(eventually(|| !std::path::Path::new(&format!(
        "/proc/{init}"
    ))
    .exists()));
    node.kubectl(&["-n", space, "delete", "pod", "two"]).must();
}

fn host_namespaces() {
    let node = namespace("host-spaces");
    let own = |kind: &str| {
        std::fs::read_link(format!("/proc/self/ns/{kind}"))
            .expect("a namespace")
            .display()
            .to_string()
    };
    let fields = json!({"hostPID": true, "hostIPC": true, "hostNetwork": true});
    pod(
        &node,
        "host-spaces",
        "guest",
        fields,
        &[("main", json!({}))],
    );
    pod(
        &node,
        "host-spaces",
        "own",
        json!({}),
        &[("main", json!({}))],
    );
    for name in ["guest", "own"] {
        running(&node, "host-spaces", name);
        let seen = exec(
            &node,
            "host-spaces",
            name,
            "main",
            "for n in pid ipc net uts; do busybox readlink /proc/self/ns/$n; done",
        );
        for (line, kind) in seen.lines().zip(["pid", "ipc", "net", "uts"]) {
            assert_eq!(line == own(kind), name == "guest", "{name} {kind}: {line}");
        }
    }
}

fn users_of_its_own() {
    let node = namespace("own-users");
    let space = "own-users";
    let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "word"}, "stringData": {"key": "hush"}});
    node.kubectl_input(&["-n", space, "apply", "-f", "-"], &secret.to_string())
        .must();
    let mounts = json!([{"name": "word", "mountPath": "/word"}, {"name": "data", "mountPath": "/deep/data"}]);
    let volumes = json!([{"name": "word", "secret": {"secretName": "word", "defaultMode": 256}}, {"name": "data", "emptyDir": {}}]);
    let fields = json!({"hostUsers": false, "volumes": volumes});
    pod(
        &node,
        space,
        "own",
        fields,
        &[
            (
                "root",
                json!({"volumeMounts": mounts, "command": ["sleep", "4711"], "workingDir": "/made/here"}),
            ),
            (
                "user",
                json!({"volumeMounts": mounts, "securityContext": {"runAsUser": 1000}}),
            ),
            (
                "admin",
                json!({"securityContext": {"capabilities": {"add": ["NET_ADMIN", "SYS_ADMIN"]}, "procMount": "Unmasked"}}),
            ),
        ],
    );
    pod(
        &node,
        space,
        "second",
        json!({"hostUsers": false, "shareProcessNamespace": true}),
        &[("root", json!({}))],
    );
    running(&node, space, "own");
    running(&node, space, "second");
    let of = |pod: &str, container: &str, script: &str| exec(&node, space, pod, container, script);
    let first = |pod: &str| -> u32 {
        let map = of(pod, "root", "cat /proc/self/uid_map");
        let words: Vec<&str> = map.split_whitespace().collect();
        assert_eq!((words[0], words[2]), ("0", "65536"), "{map}");
        words[1].parse().expect("a number")
    };
    let (own, second) = (first("own"), first("second"));
    assert!(
        own >= 65536 && second >= 65536 && own != second,
        "{own} {second}"
    );
    let seen = of(
        "own",
        "root",
        "id -u; cat /word/key; echo; busybox stat -c '%u %g %a' / /etc/passwd /word/..data/key /made/here /etc/hosts /dev; \
         touch /fresh /etc/fresh /dev/fresh /deep/data/of-root && busybox chown 1000:1000 /fresh && busybox stat -c %u /fresh; echo out > /dev/stdout",
    );
    assert_eq!(
        seen,
        "0\nhush\n0 0 755\n0 0 644\n0 0 400\n0 0 755\n0 0 644\n0 0 755\n1000\nout\n"
    );
    let seen = of(
        "own",
        "user",
        "id -u; touch /deep/data/of-user; busybox stat -c '%n %u' /deep/data/*; cat /word/key 2>/dev/null || echo closed",
    );
    assert_eq!(
        seen,
        "1000\n/deep/data/of-root 0\n/deep/data/of-user 1000\nclosed\n"
    );
    // On the host it is nobody.
    let process = std::fs::read_dir("/proc")
        .expect("/proc")
        .flatten()
        .find(|entry| {
            std::fs::read(entry.path().join("cmdline")).is_ok_and(|c| c == b"sleep\x004711\x00")
        })
        .expect("the container's process");
    let status = std::fs::read_to_string(process.path().join("status")).expect("its status");
    assert!(
        status.contains(&format!("Uid:\t{own}\t{own}\t{own}\t{own}\n")),
        "{status}"
    );
    // Its network and name are its own to change, where its capabilities say so; the host's are not.
    let change = "ip link set lo down && hostname harbour && hostname; (echo 1 > /proc/sys/vm/drop_caches) 2>/dev/null || echo shut";
    assert_eq!(of("own", "admin", change), "harbour\nshut\n");
    // A container that starts again finds its own users.
    let pid = process
        .file_name()
        .to_string_lossy()
        .parse()
        .expect("a pid");
    let _ = nix::sys::signal::kill(
        nix::unistd::Pid::from_raw(pid),
        nix::sys::signal::Signal::SIGKILL,
    );
    node.wait_for(
        space,
        "pod/own",
        "{.status.containerStatuses[?(@.name==\"root\")].restartCount}",
        "1",
    );
    node.wait_for(
        space,
        "pod/own",
        "{.status.containerStatuses[?(@.name==\"root\")].ready}",
        "true",
    );
    assert_eq!(first("own"), own);
    node.kubectl(&[
        "-n",
        space,
        "delete",
        "pod",
        "own",
        "second",
        "--timeout=60s",
    ])
    .must();
}
