//! What a container may do: system calls, users and groups, capabilities, kernel settings.

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
];

/// Applies a pod of busybox containers; each is changed as given.
pub fn pod(node: &TestNode, space: &str, name: &str, spec: Value, containers: &[(&str, Value)]) {
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

pub fn running(node: &TestNode, space: &str, name: &str) {
    node.wait_for(space, &format!("pod/{name}"), "{.status.phase}", "Running");
}

pub fn exec(node: &TestNode, space: &str, name: &str, container: &str, script: &str) -> String {
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
