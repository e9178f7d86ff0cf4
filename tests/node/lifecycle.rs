//! Pods from `apply` to gone: phases, exit codes, restarts, init containers, limits.

use crate::busybox::IMAGE;
use crate::common::eventually;
use crate::namespace;

pub const TESTS: &[(&str, fn())] = &[
    (
        "manifest_of_several_documents_runs",
        manifest_of_several_documents_runs,
    ),
    (
        "exit_codes_and_reasons_reach_the_status",
        exit_codes_and_reasons_reach_the_status,
    ),
    ("init_containers_run_in_order", init_containers_run_in_order),
    (
        "a_failing_container_backs_off",
        a_failing_container_backs_off,
    ),
    ("environment_command_and_user", environment_command_and_user),
    (
        "limits_reach_the_cgroup_and_oom_is_told",
        limits_reach_the_cgroup_and_oom_is_told,
    ),
    (
        "deletion_gives_the_grace_period",
        deletion_gives_the_grace_period,
    ),
    ("configmap_and_secret_volumes", configmap_and_secret_volumes),
    (
        "pods_reach_each_other_and_have_own_addresses",
        pods_reach_each_other_and_have_own_addresses,
    ),
    (
        "unschedulable_pod_is_told_why",
        unschedulable_pod_is_told_why,
    ),
    ("ten_at_once_all_run", ten_at_once_all_run),
];

fn pod(name: &str, spec: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Pod\nmetadata:\n  name: {name}\n  labels: {{app: {name}}}\nspec:\n  terminationGracePeriodSeconds: 1\n{spec}"
    )
}

/// A pod of one busybox container running `script`.
pub fn script_pod(name: &str, restart: &str, script: &str) -> String {
    pod(
        name,
        &format!(
            "  restartPolicy: {restart}\n  containers:\n  - name: main\n    image: {IMAGE}\n    command: [sh, -c, {}]\n",
            serde_json::Value::from(script)
        ),
    )
}

fn manifest_of_several_documents_runs() {
    let node = namespace("documents");
    let manifest = format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: settings}}\ndata: {{colour: green}}\n---\n\
         apiVersion: v1\nkind: Secret\nmetadata: {{name: hidden}}\nstringData: {{word: hush}}\n---\n\
         apiVersion: v1\nkind: Service\nmetadata: {{name: web}}\nspec: {{selector: {{app: web}}, ports: [{{port: 80}}]}}\n---\n{}",
        script_pod("web", "Always", "sleep 3600")
    );
    // kubectl validates on the server (fieldValidation) because /openapi/v3 says it can.
    let applied = node
        .kubectl_input(&["-n", "documents", "apply", "-f", "-"], &manifest)
        .must();
    for line in [
        "configmap/settings created",
        "secret/hidden created",
        "service/web created",
        "pod/web created",
    ] {
        assert!(applied.stdout.contains(line), "{}", applied.stdout);
    }
    node.wait_for("documents", "pod/web", "{.status.phase}", "Running");
    let again = node
        .kubectl_input(&["-n", "documents", "apply", "-f", "-"], &manifest)
        .must();
    assert!(
        again.stdout.contains("pod/web unchanged"),
        "{}",
        again.stdout
    );
    node.kubectl(&["-n", "documents", "get", "pods", "-o", "wide"])
        .must_say("Running")
        .must_say("NODE");
    node.kubectl(&["-n", "documents", "describe", "pod", "web"])
        .must_say("Successfully assigned")
        .must_say("Started");
    node.coracle(&["-n", "documents", "get", "pods", "-o", "wide"])
        .must_say("1/1")
        .must_say(&node.name);
    node.coracle(&["-n", "documents", "describe", "pod", "web"])
        .must_say("Started");
    node.kubectl(&["-n", "documents", "delete", "pod", "web"])
        .must_say("deleted");
    assert!(!node.kubectl(&["-n", "documents", "get", "pod", "web"]).ok);
}

fn exit_codes_and_reasons_reach_the_status() {
    let node = namespace("exits");
    let state = "{.status.containerStatuses[0].state.terminated.reason}/{.status.containerStatuses[0].state.terminated.exitCode}";
    for (name, script, phase, expected) in [
        ("good", "exit 0", "Succeeded", "Completed/0"),
        ("seven", "exit 7", "Failed", "Error/7"),
        // The first process of a container is immune to its own signals; its child is not. Kubernetes takes `$$` for an
        // escaped `$`, so the shell's process id is written with four.
        (
            "signalled",
            "sh -c 'kill -9 $$$$'; exit $?",
            "Failed",
            "Error/137",
        ),
    ] {
        node.kubectl_input(
            &["-n", "exits", "apply", "-f", "-"],
            &script_pod(name, "Never", script),
        )
        .must();
        node.wait_for("exits", &format!("pod/{name}"), "{.status.phase}", phase);
        node.wait_for("exits", &format!("pod/{name}"), state, expected);
    }
    let missing = pod(
        "missing",
        &format!(
            "  restartPolicy: Never\n  containers: [{{name: main, image: {IMAGE}, command: [no-such-program]}}]\n"
        ),
    );
    node.kubectl_input(&["-n", "exits", "apply", "-f", "-"], &missing)
        .must();
    node.wait_for("exits", "pod/missing", "{.status.phase}", "Failed");
    let message = node.value(
        "exits",
        "pod/missing",
        "{.status.containerStatuses[0].state.terminated.message}",
    );
    assert!(
        message.contains("no-such-program") && message.contains("not found"),
        "{message}"
    );
}

fn init_containers_run_in_order() {
    let node = namespace("inits");
    let manifest = pod(
        "ordered",
        &format!(
            "  restartPolicy: Never\n  volumes: [{{name: shared, emptyDir: {{}}}}]\n  initContainers:\n\
             \x20 - {{name: first, image: {IMAGE}, command: [sh, -c, 'echo first >> /shared/order'], volumeMounts: [{{name: shared, mountPath: /shared}}]}}\n\
             \x20 - {{name: second, image: {IMAGE}, command: [sh, -c, 'echo second >> /shared/order'], volumeMounts: [{{name: shared, mountPath: /shared}}]}}\n\
             \x20 containers:\n\
             \x20 - {{name: one, image: {IMAGE}, command: [sh, -c, 'cat /shared/order'], volumeMounts: [{{name: shared, mountPath: /shared}}]}}\n\
             \x20 - {{name: two, image: {IMAGE}, command: [sh, -c, 'echo side by side'], volumeMounts: [{{name: shared, mountPath: /shared}}]}}\n"
        ),
    );
    node.kubectl_input(&["-n", "inits", "apply", "-f", "-"], &manifest)
        .must();
    node.wait_for("inits", "pod/ordered", "{.status.phase}", "Succeeded");
    let log = node
        .kubectl(&["-n", "inits", "logs", "ordered", "-c", "one"])
        .must();
    assert_eq!(log.stdout, "first\nsecond\n");
    node.kubectl(&["-n", "inits", "logs", "ordered", "-c", "two"])
        .must_say("side by side");
}

fn a_failing_container_backs_off() {
    let node = namespace("backoff");
    node.kubectl_input(
        &["-n", "backoff", "apply", "-f", "-"],
        &script_pod("crash", "Always", "echo once more; exit 3"),
    )
    .must();
    node.wait_for(
        "backoff",
        "pod/crash",
        "{.status.containerStatuses[0].state.waiting.reason}",
        "CrashLoopBackOff",
    );
    node.wait_for(
        "backoff",
        "pod/crash",
        "{.status.containerStatuses[0].lastState.terminated.exitCode}",
        "3",
    );
    node.kubectl(&["-n", "backoff", "get", "pod", "crash"])
        .must_say("CrashLoopBackOff");
    node.kubectl(&["-n", "backoff", "logs", "crash", "--previous"])
        .must_say("once more");
    node.kubectl(&["-n", "backoff", "describe", "pod", "crash"])
        .must_say("Back-off restarting failed container");
    node.kubectl(&["-n", "backoff", "delete", "pod", "crash"])
        .must();
}

fn environment_command_and_user() {
    let node = namespace("environment");
    let manifest = pod(
        "env",
        &format!(
            "  restartPolicy: Never\n  securityContext: {{runAsUser: 1000, runAsGroup: 1000}}\n  containers:\n  - name: main\n    image: {IMAGE}\n\
             \x20   command: [sh, -c, 'echo $GREETING $FROM_IMAGE $POD; id -u; pwd; hostname']\n    workingDir: /tmp\n    env:\n\
             \x20   - {{name: WHO, value: sailor}}\n    - {{name: GREETING, value: 'ahoy $(WHO)'}}\n\
             \x20   - {{name: POD, valueFrom: {{fieldRef: {{fieldPath: metadata.name}}}}}}\n"
        ),
    );
    node.kubectl_input(&["-n", "environment", "apply", "-f", "-"], &manifest)
        .must();
    node.wait_for("environment", "pod/env", "{.status.phase}", "Succeeded");
    let log = node.kubectl(&["-n", "environment", "logs", "env"]).must();
    assert_eq!(log.stdout, "ahoy sailor yes env\n1000\n/tmp\nenv\n");
}

fn limits_reach_the_cgroup_and_oom_is_told() {
    let node = namespace("limits");
    let manifest = pod(
        "greedy",
        &format!(
            "  restartPolicy: Never\n  containers:\n  - name: main\n    image: {IMAGE}\n    command: [sh, -c, 'dd if=/dev/zero of=/dev/null bs=64M count=1; x=$(yes | head -c 60000000); echo survived']\n\
             \x20   resources: {{limits: {{memory: 24Mi, cpu: 500m}}}}\n"
        ),
    );
    node.kubectl_input(&["-n", "limits", "apply", "-f", "-"], &manifest)
        .must();
    node.wait_for("limits", "pod/greedy", "{.status.phase}", "Failed");
    node.wait_for(
        "limits",
        "pod/greedy",
        "{.status.containerStatuses[0].state.terminated.reason}",
        "OOMKilled",
    );
    assert_eq!(
        node.value("limits", "pod/greedy", "{.status.qosClass}"),
        "Guaranteed"
    );
}

fn deletion_gives_the_grace_period() {
    let node = namespace("grace");
    let manifest = script_pod(
        "graceful",
        "Always",
        "trap 'echo going; exit 0' TERM; echo ready; while true; do sleep 1; done",
    )
    .replace(
        "terminationGracePeriodSeconds: 1",
        "terminationGracePeriodSeconds: 30",
    );
    node.kubectl_input(&["-n", "grace", "apply", "-f", "-"], &manifest)
        .must();
    assert!(eventually(|| node
        .kubectl(&["-n", "grace", "logs", "graceful"])
        .stdout
        .contains("ready")));
    let mut follow = node
        .kubectl_command()
        .args(["-n", "grace", "logs", "-f", "graceful"])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("kubectl");
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(
        follow.stdout.take().expect("piped"),
    ));
    assert_eq!(lines.next().expect("a line").expect("text"), "ready");
    node.kubectl(&["-n", "grace", "delete", "pod", "graceful"])
        .must();
    // The container's own last word shows that it got SIGTERM and time to act on it.
    assert_eq!(lines.next().expect("a line").expect("text"), "going");
    follow.wait().expect("kubectl ends with the log");
}

fn configmap_and_secret_volumes() {
    let node = namespace("volumes");
    let manifest = format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: settings}}\ndata: {{colour: green, shape: round}}\n---\n\
         apiVersion: v1\nkind: Secret\nmetadata: {{name: hidden}}\nstringData: {{word: hush}}\n---\n{}",
        pod(
            "reader",
            &format!(
                "  restartPolicy: Never\n  volumes:\n  - {{name: settings, configMap: {{name: settings}}}}\n  - {{name: hidden, secret: {{secretName: hidden}}}}\n  containers:\n  - name: main\n    image: {IMAGE}\n\
                 \x20   command: [sh, -c, 'cat /settings/colour /hidden/word; echo; echo $COLOUR $shape; touch /settings/x || echo read only']\n\
                 \x20   env: [{{name: COLOUR, valueFrom: {{configMapKeyRef: {{name: settings, key: colour}}}}}}]\n\
                 \x20   envFrom: [{{configMapRef: {{name: settings}}}}]\n\
                 \x20   volumeMounts: [{{name: settings, mountPath: /settings, readOnly: true}}, {{name: hidden, mountPath: /hidden}}]\n"
            )
        )
    );
    node.kubectl_input(&["-n", "volumes", "apply", "-f", "-"], &manifest)
        .must();
    node.wait_for("volumes", "pod/reader", "{.status.phase}", "Succeeded");
    let log = node.kubectl(&["-n", "volumes", "logs", "reader"]).must();
    assert!(
        log.stdout.starts_with("greenhush\ngreen round\n"),
        "{}",
        log.stdout
    );
    assert!(log.stdout.contains("read only"), "{}", log.stdout);
    let absent = pod(
        "absent",
        &format!(
            "  containers: [{{name: main, image: {IMAGE}, env: [{{name: X, valueFrom: {{configMapKeyRef: {{name: nowhere, key: x}}}}}}]}}]\n"
        ),
    );
    node.kubectl_input(&["-n", "volumes", "apply", "-f", "-"], &absent)
        .must();
    node.wait_for(
        "volumes",
        "pod/absent",
        "{.status.containerStatuses[0].state.waiting.reason}",
        "CreateContainerConfigError",
    );
}

fn pods_reach_each_other_and_have_own_addresses() {
    let node = namespace("reach");
    let server = "mkdir -p /tmp/www; echo a page from the pod > /tmp/www/index.html; httpd -f -p 8080 -h /tmp/www";
    node.kubectl_input(
        &["-n", "reach", "apply", "-f", "-"],
        &script_pod("server", "Always", server),
    )
    .must();
    node.wait_for("reach", "pod/server", "{.status.phase}", "Running");
    let address = node.value("reach", "pod/server", "{.status.podIP}");
    let client = format!("until wget -q -O - http://{address}:8080/; do sleep 0.1; done");
    node.kubectl_input(
        &["-n", "reach", "apply", "-f", "-"],
        &script_pod("client", "Never", &client),
    )
    .must();
    node.wait_for("reach", "pod/client", "{.status.phase}", "Succeeded");
    node.kubectl(&["-n", "reach", "logs", "client"])
        .must_say("a page from the pod");
    assert_ne!(
        node.value("reach", "pod/client", "{.status.podIP}"),
        address
    );
}

fn unschedulable_pod_is_told_why() {
    let node = namespace("unschedulable");
    let manifest = pod(
        "huge",
        &format!(
            "  containers: [{{name: main, image: {IMAGE}, resources: {{requests: {{memory: 900Ti}}}}}}]\n"
        ),
    );
    node.kubectl_input(&["-n", "unschedulable", "apply", "-f", "-"], &manifest)
        .must();
    let reason = "{.status.conditions[?(@.type==\"PodScheduled\")].reason}";
    node.wait_for("unschedulable", "pod/huge", reason, "Unschedulable");
    let message = node.value(
        "unschedulable",
        "pod/huge",
        "{.status.conditions[?(@.type==\"PodScheduled\")].message}",
    );
    assert!(
        message.contains("0/1 nodes are available") && message.contains("Insufficient memory"),
        "{message}"
    );
    let elsewhere = pod(
        "elsewhere",
        &format!(
            "  nodeSelector: {{planet: mars}}\n  containers: [{{name: main, image: {IMAGE}}}]\n"
        ),
    );
    node.kubectl_input(&["-n", "unschedulable", "apply", "-f", "-"], &elsewhere)
        .must();
    node.wait_for("unschedulable", "pod/elsewhere", reason, "Unschedulable");
    // The event that helps: the node gets the label.
    node.kubectl(&["label", "node", &node.name, "planet=mars"])
        .must();
    node.wait_for(
        "unschedulable",
        "pod/elsewhere",
        "{.status.phase}",
        "Running",
    );
}

fn ten_at_once_all_run() {
    let node = namespace("many");
    let manifest: Vec<String> = (0..10)
        .map(|number| script_pod(&format!("many-{number}"), "Always", "sleep 3600"))
        .collect();
    node.kubectl_input(&["-n", "many", "apply", "-f", "-"], &manifest.join("---\n"))
        .must();
    for number in 0..10 {
        node.wait_for(
            "many",
            &format!("pod/many-{number}"),
            "{.status.phase}",
            "Running",
        );
    }
    node.kubectl(&["delete", "namespace", "many"]).must();
    assert!(!node.kubectl(&["get", "namespace", "many"]).ok);
}
