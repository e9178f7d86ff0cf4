//! What a container may do: system calls, users and groups, capabilities, kernel settings, other processes.

use crate::busybox::IMAGE;
use crate::common::{TestNode, eventually};
use crate::namespace;
use serde_json::{Value, json};

pub const TESTS: &[(&str, fn())] = &[
    ("system_calls_are_filtered", system_calls_are_filtered),
    (
        "a_profile_that_is_not_there_is_told",
        a_profile_that_is_not_there_is_told,
    ),
    (
        "users_groups_and_their_report",
        users_groups_and_their_report,
    ),
    (
        "capabilities_devices_and_paths",
        capabilities_devices_and_paths,
    ),
    ("sysctls_safe_and_unsafe", sysctls_safe_and_unsafe),
    (
        "apparmor_is_refused_where_it_is_not",
        apparmor_is_refused_where_it_is_not,
    ),
    ("containers_share_processes", containers_share_processes),
    ("host_namespaces", host_namespaces),
    ("users_of_its_own", users_of_its_own),
];

/// Applies a pod of busybox containers; each is changed as given.
fn pod(node: &TestNode, space: &str, name: &str, spec: Value, containers: &[(&str, Value)]) {
    let containers: Vec<Value> = containers
        .iter()
        .map(|(name, change)| {
            let mut container = json!({"name": name, "image": IMAGE, "command": ["sleep", "3600"]});
            json_patch::merge(&mut container, change);
            container
        })
        .collect();
    let mut whole = json!({"terminationGracePeriodSeconds": 0, "containers": containers});
    json_patch::merge(&mut whole, &spec);
    let manifest =
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": whole});
    node.kubectl_input(&["-n", space, "apply", "-f", "-"], &manifest.to_string())
        .must();
}

fn running(node: &TestNode, space: &str, name: &str) {
    node.wait_for(space, &format!("pod/{name}"), "{.status.phase}", "Running");
}

fn exec(node: &TestNode, space: &str, name: &str, container: &str, script: &str) -> String {
    let ran = node.kubectl(&[
        "-n", space, "exec", name, "-c", container, "--", "sh", "-c", script,
    ]);
    ran.must().stdout
}

const LOOK: &str = "busybox grep Seccomp: /proc/self/status; busybox unshare -U true 2>/dev/null && echo unshared || echo kept; \
    mkdir /tmp/$$ 2>/dev/null && echo made || echo no-mkdir; id -u";

fn system_calls_are_filtered() {
    let node = namespace("seccomp");
    let profiles = node.data_dir().join("seccomp");
    std::fs::create_dir_all(&profiles).expect("directory");
    let profile = json!({"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_AARCH64"],
        "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 13}]});
    std::fs::write(profiles.join("no-mkdir.json"), profile.to_string()).expect("profile");
    let localhost = json!({"type": "Localhost", "localhostProfile": "no-mkdir.json"});
    let script = format!("{LOOK}; sleep 3600");
    let run = |context: Value| json!({"command": ["sh", "-c", script], "securityContext": context});
    pod(
        &node,
        "seccomp",
        "all",
        json!({}),
        &[
            ("default", run(json!({}))),
            (
                "plain",
                run(json!({"runAsUser": 1000, "allowPrivilegeEscalation": false})),
            ),
            ("user", run(json!({"runAsUser": 1000}))),
            (
                "open",
                run(json!({"seccompProfile": {"type": "Unconfined"}})),
            ),
            ("own", run(json!({"seccompProfile": localhost}))),
            ("strong", run(json!({"privileged": true}))),
        ],
    );
    running(&node, "seccomp", "all");
    for (container, want) in [
        ("default", "Seccomp:\t2\nkept\nmade\n0\n"),
        ("plain", "Seccomp:\t2\nkept\nmade\n1000\n"),
        ("user", "Seccomp:\t2\nkept\nmade\n1000\n"),
        ("open", "Seccomp:\t0\nunshared\nmade\n0\n"),
        ("own", "Seccomp:\t2\nunshared\nno-mkdir\n0\n"),
        ("strong", "Seccomp:\t0\nunshared\nmade\n0\n"),
    ] {
        let mut seen = String::new();
        assert!(
            eventually(|| {
                seen = node
                    .kubectl(&["-n", "seccomp", "logs", "all", "-c", container])
                    .stdout;
                seen == want
            }),
            "{container}: {seen:?}"
        );
        assert_eq!(
            exec(&node, "seccomp", "all", container, LOOK),
            want,
            "exec in {container}"
        );
    }
}

fn a_profile_that_is_not_there_is_told() {
    let node = namespace("seccomp-missing");
    let profile = json!({"securityContext": {"seccompProfile": {"type": "Localhost", "localhostProfile": "never.json"}}});
    pod(
        &node,
        "seccomp-missing",
        "lost",
        profile,
        &[("main", json!({}))],
    );
    let waiting = "{.status.containerStatuses[0].state.waiting";
    node.wait_for(
        "seccomp-missing",
        "pod/lost",
        &format!("{waiting}.reason}}"),
        "CreateContainerError",
    );
    let message = node.value(
        "seccomp-missing",
        "pod/lost",
        &format!("{waiting}.message}}"),
    );
    assert!(
        message.contains("cannot load seccomp profile") && message.contains("never.json"),
        "{message}"
    );
}

fn users_groups_and_their_report() {
    let node = namespace("users");
    let context = json!({"runAsUser": 1000, "runAsGroup": 2000, "supplementalGroups": [4000]});
    pod(
        &node,
        "users",
        "merge",
        json!({"securityContext": context}),
        &[
            ("main", json!({})),
            ("root", json!({"securityContext": {"runAsUser": 0}})),
        ],
    );
    let mut strict = context.clone();
    strict["supplementalGroupsPolicy"] = "Strict".into();
    pod(
        &node,
        "users",
        "strict",
        json!({"securityContext": strict}),
        &[("main", json!({}))],
    );
    pod(
        &node,
        "users",
        "careful",
        json!({"securityContext": {"runAsNonRoot": true}}),
        &[("main", json!({}))],
    );
    for (name, groups, reported) in [
        ("merge", "2000 3000 4000\n", "[2000,3000,4000]"),
        ("strict", "2000 4000\n", "[2000,4000]"),
    ] {
        running(&node, "users", name);
        let seen = exec(&node, "users", name, "main", "id -u; id -g; id -G");
        assert_eq!(seen, format!("1000\n2000\n{groups}"), "{name}");
        let user = "{.status.containerStatuses[0].user.linux";
        let value = |path: &str| node.value("users", &format!("pod/{name}"), path);
        assert_eq!(value(&format!("{user}.uid}} {user}.gid}}")), "1000 2000");
        assert_eq!(value(&format!("{user}.supplementalGroups}}")), reported);
    }
    assert_eq!(
        exec(&node, "users", "merge", "root", "id -G"),
        "2000 4000\n"
    );
    node.wait_for(
        "users",
        "pod/careful",
        "{.status.containerStatuses[0].state.waiting.reason}",
        "CreateContainerConfigError",
    );
    let message = node.value(
        "users",
        "pod/careful",
        "{.status.containerStatuses[0].state.waiting.message}",
    );
    assert!(
        message.starts_with(
            "container has runAsNonRoot and image will run as root (pod: \"careful_users("
        ),
        "{message}"
    );
}

fn capabilities_devices_and_paths() {
    let node = namespace("powers");
    let context = |context: Value| json!({"securityContext": context});
    pod(
        &node,
        "powers",
        "all",
        json!({}),
        &[
            ("plain", json!({})),
            ("none", context(json!({"capabilities": {"drop": ["ALL"]}}))),
            (
                "one",
                context(json!({"capabilities": {"drop": ["ALL"], "add": ["NET_ADMIN"]}})),
            ),
            ("fixed", context(json!({"readOnlyRootFilesystem": true}))),
            ("strong", context(json!({"privileged": true}))),
            (
                "humble",
                context(json!({"allowPrivilegeEscalation": false})),
            ),
        ],
    );
    running(&node, "powers", "all");
    let of = |container: &str, script: &str| exec(&node, "powers", "all", container, script);
    let sets = "busybox grep -E 'Cap(Inh|Prm|Eff|Bnd|Amb)' /proc/1/status | busybox cut -f2";
    let all = |set: &str| format!("0000000000000000\n{set}\n{set}\n{set}\n0000000000000000\n");
    assert_eq!(of("plain", sets), all("00000000a80425fb"));
    assert_eq!(of("none", sets), all("0000000000000000"));
    assert_eq!(of("one", sets), all("0000000000001000"));
    // An exec gets no more.
    assert_eq!(
        of(
            "one",
            "busybox grep CapEff /proc/self/status | busybox cut -f2"
        ),
        "0000000000001000\n"
    );
    let write = "touch /x 2>&1 && echo written";
    assert!(of("fixed", &format!("{write} || true")).contains("Read-only file system"));
    assert_eq!(of("plain", write), "written\n");
    let look = "busybox grep NoNewPrivs /proc/1/status | busybox cut -f2";
    assert_eq!(
        (of("plain", look), of("humble", look)),
        ("0\n".to_owned(), "1\n".to_owned())
    );
    let kernel = "(echo 1 > /proc/sys/vm/drop_caches) 2>/dev/null && echo open || echo shut; \
        busybox wc -c < /proc/keys 2>/dev/null || echo none; ls /dev | wc -l";
    let plain = of("plain", kernel);
    assert!(
        plain.starts_with("shut\n0\n") || plain.starts_with("shut\nnone\n"),
        "{plain}"
    );
    let count = |text: &str| {
        text.lines()
            .last()
            .and_then(|n| n.parse::<u32>().ok())
            .unwrap_or(0)
    };
    let strong = of("strong", kernel);
    assert!(strong.starts_with("open\n"), "{strong}");
    assert!(count(&strong) > count(&plain), "{plain}{strong}");
    // A device that is not among the default ones is closed, whoever makes its node.
    let device =
        "busybox mknod /tmp/mem c 1 1 && dd if=/tmp/mem of=/dev/null bs=1 count=1 2>&1 || true";
    let seen = of("plain", device);
    assert!(
        seen.contains("not permitted") || seen.contains("denied"),
        "{seen}"
    );
}

fn sysctls_safe_and_unsafe() {
    let node = namespace("sysctls");
    let with = |list: Value| json!({"securityContext": {"sysctls": list}});
    pod(
        &node,
        "sysctls",
        "safe",
        with(
            json!([{"name": "net.ipv4.ip_local_port_range", "value": "2000 2010"}, {"name": "kernel/shm_rmid_forced", "value": "1"}]),
        ),
        &[("main", json!({"securityContext": {"runAsUser": 1000}}))],
    );
    pod(
        &node,
        "sysctls",
        "unsafe",
        with(json!([{"name": "net.core.somaxconn", "value": "100"}])),
        &[("main", json!({}))],
    );
    running(&node, "sysctls", "safe");
    let seen = exec(
        &node,
        "sysctls",
        "safe",
        "main",
        "cat /proc/sys/net/ipv4/ip_local_port_range /proc/sys/kernel/shm_rmid_forced /proc/sys/net/ipv4/ip_unprivileged_port_start",
    );
    assert_eq!(seen, "2000\t2010\n1\n0\n");
    node.wait_for(
        "sysctls",
        "pod/unsafe",
        "{.status.reason}",
        "SysctlForbidden",
    );
    assert_eq!(
        node.value(
            "sysctls",
            "pod/unsafe",
            "{.status.phase}: {.status.message}"
        ),
        "Failed: Pod was rejected: forbidden sysctl: \"net.core.somaxconn\" not allowlisted"
    );
}

fn apparmor_is_refused_where_it_is_not() {
    if std::fs::read_to_string("/sys/module/apparmor/parameters/enabled")
        .is_ok_and(|text| text.starts_with('Y'))
    {
        eprintln!("this kernel has AppArmor: nothing to refuse");
        return;
    }
    let node = namespace("apparmor");
    let asks = |kind: &str| json!({"securityContext": {"appArmorProfile": {"type": kind}}});
    pod(
        &node,
        "apparmor",
        "asks",
        asks("RuntimeDefault"),
        &[("main", json!({}))],
    );
    pod(
        &node,
        "apparmor",
        "waives",
        asks("Unconfined"),
        &[("main", json!({}))],
    );
    node.wait_for("apparmor", "pod/asks", "{.status.reason}", "AppArmor");
    assert_eq!(
        node.value("apparmor", "pod/asks", "{.status.message}"),
        "Pod was rejected: Cannot enforce AppArmor: AppArmor is not enabled on the host"
    );
    running(&node, "apparmor", "waives");
}

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
