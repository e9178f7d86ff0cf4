//! Situations and what is said of them.
#![allow(clippy::unwrap_used)]

use super::cause::page;
use super::facts::{Facts, Kind, Lookup};
use super::gather::references;
use super::judge::why;
use serde_json::{Value, json};

const NOW: i64 = 1_000;

/// A pod on node `n` with one container `app`, changed by a merge patch.
fn pod(patch: Value) -> Value {
    let mut pod = json!({
        "metadata": {"name": "web", "namespace": "shop", "uid": "u", "creationTimestamp": "1970-01-01T00:15:00Z"},
        "spec": {"nodeName": "n", "restartPolicy": "Always", "containers": [{"name": "app", "image": "r.io/a/app:1"}]},
        "status": {"phase": "Pending", "conditions": [{"type": "Ready", "status": "False"}]},
    });
    json_patch::merge(&mut pod, &patch);
    pod
}

/// `app` waits.
fn waiting(reason: &str, message: &str) -> Value {
    pod(json!({"status": {"containerStatuses": [
        {"name": "app", "restartCount": 0, "ready": false, "state": {"waiting": {"reason": reason, "message": message}}}]}}))
}

/// `app` is in CrashLoopBackOff after an end.
fn crashed(code: i64, reason: &str) -> Value {
    pod(json!({"status": {"phase": "Running", "containerStatuses": [
        {"name": "app", "restartCount": 4, "ready": false,
         "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 40s"}},
         "lastState": {"terminated": {"exitCode": code, "reason": reason}}}]}}))
}

/// `app` runs and is not ready; `probe` is merged into its spec.
fn unready(container: Value, started: bool) -> Value {
    let mut spec = json!({"name": "app", "image": "i"});
    json_patch::merge(&mut spec, &container);
    pod(
        json!({"spec": {"containers": [spec]}, "status": {"phase": "Running", "containerStatuses": [
        {"name": "app", "restartCount": 0, "ready": false, "started": started, "state": {"running": {"startedAt": "1970-01-01T00:16:00Z"}}}]}}),
    )
}

fn unplaced(message: &str) -> Value {
    pod(
        json!({"spec": {"nodeName": null, "nodeSelector": {"disk": "fast"}},
        "status": {"conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}]}}),
    )
}

fn over(reason: &str, message: &str) -> Value {
    pod(json!({"status": {"phase": "Failed", "reason": reason, "message": message}}))
}

fn healthy() -> Value {
    pod(
        json!({"status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}], "containerStatuses": [
        {"name": "app", "restartCount": 0, "ready": true, "started": true, "state": {"running": {"startedAt": "1970-01-01T00:16:00Z"}}}]}}),
    )
}

fn event(reason: &str, message: &str) -> Value {
    json!({"reason": reason, "message": message, "lastTimestamp": "1970-01-01T00:16:30Z",
           "involvedObject": {"fieldPath": "spec.containers{app}"}})
}

fn facts(pod: Value) -> Facts {
    Facts {
        references: references(&pod),
        node: Some(Lookup::There(
            json!({"metadata": {"name": "n"}, "status": {"conditions": [{"type": "Ready", "status": "True"}]}}),
        )),
        nodes: Some(vec![json!({
            "metadata": {"name": "n"}, "spec": {"taints": [{"key": "gpu", "effect": "NoSchedule"}]},
            "status": {"allocatable": {"cpu": "2", "memory": "1Gi"}}
        })]),
        pod,
        events: Vec::new(),
        now: NOW,
    }
}

fn with_events(pod: Value, events: &[(&str, &str)]) -> Facts {
    Facts {
        events: events
            .iter()
            .map(|(reason, message)| event(reason, message))
            .collect(),
        ..facts(pod)
    }
}

fn found(pod: Value, kind: Kind, found: &Lookup) -> Facts {
    let mut facts = facts(pod);
    for reference in facts
        .references
        .iter_mut()
        .filter(|reference| reference.kind == kind)
    {
        reference.found = found.clone();
    }
    facts
}

/// Every situation: its name, the facts, and words that the answer must have.
fn situations() -> Vec<(&'static str, Facts, &'static [&'static str])> {
    let env = |field: &str| {
        let mut pod = waiting("CreateContainerConfigError", "x");
        pod["spec"]["containers"][0]["env"] =
            json!([{"name": "A", "valueFrom": {field: {"name": "settings", "key": "colour"}}}]);
        pod
    };
    let volume = |volume: Value| {
        let mut pod = waiting("ContainerCreating", "");
        pod["spec"]["volumes"] = json!([volume]);
        pod
    };
    let claim = || volume(json!({"name": "v", "persistentVolumeClaim": {"claimName": "data"}}));
    let http = json!({"readinessProbe": {"httpGet": {"port": 8080, "path": "/ok", "scheme": "HTTP"}, "periodSeconds": 5, "timeoutSeconds": 1}});
    let going = |deleted: &str, more: Value| {
        let mut pod = healthy();
        pod["metadata"]["deletionTimestamp"] = json!(deleted);
        pod["metadata"]["deletionGracePeriodSeconds"] = json!(30);
        json_patch::merge(&mut pod, &more);
        pod
    };
    let mut big = unplaced("0/1 nodes are available: 1 Insufficient cpu.");
    big["spec"]["containers"][0]["resources"] = json!({"requests": {"cpu": "8"}});
    let mut oom = crashed(137, "OOMKilled");
    oom["spec"]["containers"][0]["resources"] = json!({"limits": {"memory": "64Mi"}});
    let mut init = pod(
        json!({"spec": {"initContainers": [{"name": "setup", "image": "i"}]}, "status": {
        "initContainerStatuses": [{"name": "setup", "restartCount": 2, "state": {"waiting": {"reason": "CrashLoopBackOff"}},
            "lastState": {"terminated": {"exitCode": 3, "reason": "Error"}}}],
        "containerStatuses": [{"name": "app", "state": {"waiting": {"reason": "PodInitializing"}}}]}}),
    );
    init["status"]["phase"] = json!("Pending");
    let mut secret = waiting("ErrImagePull", "r.io refuses to give it: unauthorized");
    secret["spec"]["imagePullSecrets"] = json!([{"name": "login"}]);
    let gate = {
        let mut pod = healthy();
        pod["spec"]["readinessGates"] = json!([{"conditionType": "example.com/balanced"}]);
        pod["status"]["conditions"] = json!([{"type": "Ready", "status": "False"}]);
        pod
    };
    let sick = |status: &str| {
        let mut facts = facts(healthy());
        facts.node = Some(Lookup::There(json!({"status": {"conditions": [
            {"type": "Ready", "status": status, "reason": "KubeletNotReady", "message": "no network", "lastHeartbeatTime": "then"}]}})));
        facts
    };
    vec![
        (
            "absent image",
            facts(waiting(
                "ImagePullBackOff",
                "Back-off pulling image: r.io/a/app:1 not found: manifest unknown to the registry",
            )),
            &[
                "has no a/app with the tag or digest 1",
                "kubectl -n shop set image pod/web app=<image>",
            ],
        ),
        (
            "absent image by event",
            with_events(
                waiting("ImagePullBackOff", "Back-off pulling image"),
                &[(
                    "Failed",
                    "Failed to pull image \"r.io/a/app:1\": manifest unknown",
                )],
            ),
            &["with the tag or digest 1"],
        ),
        (
            "credentials lack",
            facts(waiting("ErrImagePull", "unauthorized")),
            &["names no image pull secret", "docker-registry"],
        ),
        (
            "credentials missing",
            found(secret.clone(), Kind::PullSecret, &Lookup::Missing),
            &[
                "image pull secret \"login\" does not exist",
                "docker-registry login",
            ],
        ),
        (
            "credentials wrong",
            found(secret, Kind::PullSecret, &Lookup::There(json!({}))),
            &["does not accept the credentials", "login"],
        ),
        (
            "no network",
            facts(waiting(
                "ImagePullBackOff",
                "registry r.io cannot be reached: dns error",
            )),
            &["cannot reach registry r.io", "coracle image import"],
        ),
        (
            "wrong platform",
            facts(waiting(
                "ErrImagePull",
                "r.io/a/app:1 is not made for this machine (linux/arm64); it offers: linux/amd64",
            )),
            &["not built for this node's processor"],
        ),
        (
            "no room for the image",
            facts(waiting("ErrImagePull", "no space left on the disk of /var")),
            &["no room", "coracle image rm"],
        ),
        (
            "never pulled",
            facts(waiting("ErrImageNeverPull", "")),
            &["imagePullPolicy: Never", "coracle image pull r.io/a/app:1"],
        ),
        (
            "invalid name",
            facts(waiting("InvalidImageName", "couldn't parse")),
            &["names an image that cannot be one"],
        ),
        (
            "pull under way",
            with_events(
                waiting("ContainerCreating", ""),
                &[("Pulling", "Pulling image")],
            ),
            &["is being pulled, for 10s so far"],
        ),
        (
            "exit 0",
            facts(crashed(0, "Completed")),
            &["comes to its end by itself", "restartPolicy: OnFailure"],
        ),
        (
            "exit 1",
            facts(crashed(1, "Error")),
            &[
                "4 restarts so far",
                "ended with code 1",
                "coracle -n shop logs web --previous",
            ],
        ),
        (
            "exit 126",
            facts(crashed(126, "Error")),
            &["may not be executed", "chmod +x"],
        ),
        (
            "exit 127",
            facts(crashed(127, "Error")),
            &["was not found (exit code 127)"],
        ),
        (
            "out of memory",
            facts(oom),
            &[
                "more memory than its limit of 64Mi",
                "raise resources.limits.memory",
            ],
        ),
        (
            "killed",
            facts(crashed(137, "Error")),
            &["SIGKILL", "dmesg"],
        ),
        (
            "crash",
            facts(crashed(139, "Error")),
            &["memory fault (SIGSEGV"],
        ),
        ("told to stop", facts(crashed(143, "Error")), &["SIGTERM"]),
        (
            "system call",
            facts(crashed(159, "Error")),
            &["seccomp profile forbids"],
        ),
        (
            "liveness",
            with_events(
                crashed(137, "Error"),
                &[
                    (
                        "Killing",
                        "Container app failed liveness probe, will be restarted",
                    ),
                    ("Unhealthy", "Liveness probe failed: timeout"),
                ],
            ),
            &[
                "its liveness probe failed (Liveness probe failed: timeout)",
                "startupProbe",
            ],
        ),
        (
            "startup probe kills",
            with_events(
                crashed(143, "Error"),
                &[(
                    "Killing",
                    "Container app failed startup probe, will be restarted",
                )],
            ),
            &["its startup probe failed"],
        ),
        (
            "start error",
            facts(crashed(128, "StartError")),
            &["ended with exit code 128 (StartError)"],
        ),
        (
            "wrong program",
            facts(waiting("RunContainerError", "exec /x: exec format error")),
            &["another processor"],
        ),
        (
            "no such program",
            facts(waiting(
                "RunContainerError",
                "exec: \"nope\": executable file not found in $PATH",
            )),
            &["not in the image"],
        ),
        (
            "readiness",
            with_events(
                unready(http, true),
                &[(
                    "Unhealthy",
                    "Readiness probe failed: HTTP probe failed with statuscode: 503",
                )],
            ),
            &[
                "readiness probe fails",
                "asks GET http://:8080/ok every 5 s",
                "statuscode: 503",
                "wget -qO- http://127.0.0.1:8080/ok",
            ],
        ),
        (
            "startup probe",
            facts(unready(
                json!({"startupProbe": {"exec": {"command": ["test", "-f", "/up"]}, "periodSeconds": 2, "failureThreshold": 30}}),
                false,
            )),
            &[
                "has not passed its startup probe yet",
                "about 60s are allowed",
                "runs `test -f /up`",
            ],
        ),
        (
            "readiness gate",
            facts(gate),
            &[
                "readiness gate \"example.com/balanced\": nobody has set it",
                "--subresource=status",
            ],
        ),
        (
            "postStart",
            with_events(
                waiting("PostStartHookError", "m"),
                &[("FailedPostStartHook", "hook said no")],
            ),
            &["postStart hook of container \"app\" fails", "hook said no"],
        ),
        (
            "no config map",
            found(env("configMapKeyRef"), Kind::ConfigMap, &Lookup::Missing),
            &[
                "configmap \"settings\" does not exist in namespace shop",
                "kubectl -n shop create configmap settings",
            ],
        ),
        (
            "no secret",
            found(env("secretKeyRef"), Kind::Secret, &Lookup::Missing),
            &[
                "secret \"settings\" does not exist",
                "create secret generic settings",
            ],
        ),
        (
            "no key",
            found(
                env("configMapKeyRef"),
                Kind::ConfigMap,
                &Lookup::There(json!({"data": {"color": "red"}})),
            ),
            &["has no key \"colour\"", "it has color"],
        ),
        (
            "root forbidden",
            facts(waiting(
                "CreateContainerConfigError",
                "container has runAsNonRoot and image will run as root",
            )),
            &["runAsUser"],
        ),
        (
            "volume of no config map",
            found(
                volume(json!({"name": "v", "configMap": {"name": "files"}})),
                Kind::ConfigMap,
                &Lookup::Missing,
            ),
            &["(FailedMount): configmap \"files\" does not exist"],
        ),
        (
            "volume of no secret",
            found(
                volume(json!({"name": "v", "projected": {"sources": [{"secret": {"name": "s"}}]}})),
                Kind::Secret,
                &Lookup::Missing,
            ),
            &["secret \"s\" does not exist"],
        ),
        (
            "host path",
            with_events(
                volume(json!({"name": "v", "hostPath": {"path": "/x", "type": "Directory"}})),
                &[(
                    "FailedMount",
                    "MountVolume.SetUp failed: hostPath type check failed: /x is not a directory",
                )],
            ),
            &["not what hostPath.type asks for", "DirectoryOrCreate"],
        ),
        (
            "no claim",
            found(claim(), Kind::Claim, &Lookup::Missing),
            &["claim \"data\" (PersistentVolumeClaim) does not exist"],
        ),
        (
            "unbound claim",
            found(
                claim(),
                Kind::Claim,
                &Lookup::There(
                    json!({"spec": {"storageClassName": "slow"}, "status": {"phase": "Pending"}}),
                ),
            ),
            &[
                "not bound to a volume yet",
                "storage class \"slow\"",
                "describe pvc data",
            ],
        ),
        (
            "lost claim",
            found(
                claim(),
                Kind::Claim,
                &Lookup::There(json!({"spec": {"volumeName": "pv1"}, "status": {"phase": "Lost"}})),
            ),
            &["has lost its volume pv1"],
        ),
        (
            "sandbox",
            with_events(
                waiting("ContainerCreating", ""),
                &[("FailedCreatePodSandBox", "no veth")],
            ),
            &["namespaces and network", "coracle doctor"],
        ),
        (
            "too large",
            facts(big),
            &["it asks for 8000m of cpu, more than any node has at all (2000m)"],
        ),
        (
            "taken",
            facts(unplaced("0/1 nodes are available: 1 Insufficient memory.")),
            &["not enough is free", "coracle describe nodes"],
        ),
        (
            "selector",
            facts(unplaced(
                "0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector.",
            )),
            &["disk=fast", "kubectl label node n disk=fast"],
        ),
        (
            "taint",
            facts(unplaced(
                "0/1 nodes are available: 1 node(s) had untolerated taint {gpu: }.",
            )),
            &[
                "node n has the taint gpu:NoSchedule",
                "kubectl taint node n gpu:NoSchedule-",
            ],
        ),
        (
            "cordoned",
            facts(unplaced(
                "0/1 nodes are available: 1 node(s) were unschedulable.",
            )),
            &["kubectl uncordon"],
        ),
        (
            "no node",
            Facts {
                nodes: Some(Vec::new()),
                ..facts(unplaced("no nodes available to schedule pods"))
            },
            &["the cluster has no node", "sudo coracle up"],
        ),
        (
            "foreign scheduler",
            facts(pod(
                json!({"spec": {"nodeName": null, "schedulerName": "mine"}}),
            )),
            &["scheduler named \"mine\""],
        ),
        (
            "evicted for memory",
            facts(over(
                "Evicted",
                "The node was low on resource: memory. Threshold quantity: 100Mi",
            )),
            &[
                "the node was short of memory",
                "a failed pod never starts again",
            ],
        ),
        (
            "evicted by itself",
            facts(over(
                "Evicted",
                "Usage of EmptyDir volume \"v\" exceeds the limit \"1Mi\".",
            )),
            &[
                "it wrote more to its disk than its own limit (emptyDir.sizeLimit or limits.ephemeral-storage)",
            ],
        ),
        (
            "node affinity",
            facts(over("NodeAffinity", "Pod was rejected")),
            &["labels do not match"],
        ),
        (
            "out of cpu",
            facts(over(
                "OutOfcpu",
                "Node didn't have enough resource: cpu, requested: 4000, used: 1, capacity: 2000",
            )),
            &["not enough cpu is free there (OutOfcpu)", "requested: 4000"],
        ),
        (
            "sysctl",
            facts(over(
                "SysctlForbidden",
                "forbidden sysctl: \"kernel.x\" not allowlisted",
            )),
            &["not on the list of safe ones"],
        ),
        (
            "deadline",
            facts(pod(
                json!({"spec": {"activeDeadlineSeconds": 5}, "status": {"phase": "Failed", "reason": "DeadlineExceeded"}}),
            )),
            &["longer than its activeDeadlineSeconds of 5 s"],
        ),
        (
            "failed",
            facts(pod(
                json!({"spec": {"restartPolicy": "Never"}, "status": {"phase": "Failed", "containerStatuses": [{"name": "app", "state": {"terminated": {"exitCode": 2, "reason": "Error"}}}]}}),
            )),
            &[
                "ended with exit code 2 (Error) and does not start again",
                "delete pod web",
            ],
        ),
        (
            "init container",
            facts(init),
            &[
                "init container \"setup\" ends again and again",
                "start after its init containers",
                "ended with code 3",
                "-c setup --previous",
            ],
        ),
        (
            "stopping",
            facts(going("1970-01-01T00:16:50Z", json!({}))),
            &["ends in 10s", "delete pod web --now"],
        ),
        (
            "finalizers",
            facts(going(
                "1970-01-01T00:10:00Z",
                json!({"metadata": {"finalizers": ["example.com/keep"]}}),
            )),
            &[
                "held back by its finalizers: example.com/keep",
                "finalizers\":null",
            ],
        ),
        (
            "unkillable",
            facts(going("1970-01-01T00:10:00Z", json!({}))),
            &["still runs", "stuck in the kernel"],
        ),
        (
            "deleted on a lost node",
            Facts {
                node: Some(Lookup::Missing),
                ..facts(going("1970-01-01T00:10:00Z", json!({})))
            },
            &["does not exist any more", "--grace-period=0 --force"],
        ),
        (
            "node not ready",
            sick("False"),
            &["its node n is not ready (KubeletNotReady)", "no network"],
        ),
        (
            "node silent",
            sick("Unknown"),
            &["has not been heard of since then"],
        ),
        (
            "node gone",
            Facts {
                node: Some(Lookup::Missing),
                ..facts(healthy())
            },
            &["its node n does not exist"],
        ),
        (
            "just bound",
            facts(pod(json!({}))),
            &["node n has not begun with it yet"],
        ),
    ]
}

#[test]
fn situations_are_explained() {
    let situations = situations();
    assert!(situations.len() >= 25);
    for (name, facts, words) in situations {
        let causes = why(&facts);
        assert!(!causes.is_empty(), "{name}: nothing found");
        let text = page(&facts, &causes);
        for word in words {
            // A sentence begins with a capital that the cause itself has not.
            let (first, rest) = word.split_at(1);
            let begins = first.to_uppercase() + rest;
            assert!(
                text.contains(word) || text.contains(&begins),
                "{name}: {word:?} is not in\n{text}"
            );
        }
        assert!(
            causes.iter().all(|cause| !cause.mend.is_empty()),
            "{name}: no way to mend it\n{text}"
        );
        assert!(!text.contains(".."), "{name}\n{text}");
    }
}

#[test]
fn the_most_immediate_cause_is_first() {
    let mut facts = with_events(crashed(1, "Error"), &[("FailedMount", "long ago")]);
    let causes = why(&facts);
    assert_eq!(causes.len(), 1, "{causes:?}");
    facts.node = Some(Lookup::Missing);
    assert!(why(&facts)[0].what.contains("does not exist"));
}

#[test]
fn healthy_pods_have_nothing_wrong() {
    let mut restarted = healthy();
    restarted["status"]["containerStatuses"][0]["restartCount"] = json!(3);
    restarted["status"]["containerStatuses"][0]["lastState"] =
        json!({"terminated": {"exitCode": 1, "reason": "Error"}});
    for (pod, words) in [
        (healthy(), "is Running and Ready: nothing is wrong."),
        (
            pod(json!({"status": {"phase": "Succeeded"}})),
            "has finished, as it should: nothing is wrong.",
        ),
        (
            restarted,
            "has restarted 3 times; the run before ended with exit code 1 (Error).",
        ),
    ] {
        // Old events do not make it sick.
        let facts = with_events(
            pod,
            &[
                ("Unhealthy", "Readiness probe failed"),
                ("Failed", "Failed to pull image"),
            ],
        );
        let causes = why(&facts);
        assert!(causes.is_empty(), "{causes:?}");
        let text = page(&facts, &causes);
        assert!(text.contains(words), "{text}");
    }
}

#[test]
fn nothing_breaks_it() {
    for pod in [
        json!(null),
        json!({}),
        json!({"metadata": 1, "spec": [], "status": "x"}),
        json!({"metadata": {"deletionTimestamp": "never"}, "spec": {"containers": [1, null], "volumes": {}}, "status": {"containerStatuses": [{"state": 5}], "conditions": 7}}),
        json!({"spec": {"nodeName": "n", "containers": [{"name": "a", "readinessProbe": {}}]}, "status": {"phase": "Running", "containerStatuses": [{"name": "a", "state": {"running": {}}}]}}),
    ] {
        let facts = with_events(pod, &[("Killing", ""), ("Unhealthy", "")]);
        let causes = why(&facts);
        assert!(!causes.is_empty());
        assert!(!page(&facts, &causes).is_empty());
    }
}

#[test]
fn a_pod_refers_to_each_object_once() {
    let pod = json!({"metadata": {"name": "p"}, "spec": {
        "imagePullSecrets": [{"name": "s"}],
        "volumes": [{"name": "a", "configMap": {"name": "m", "optional": true, "items": [{"key": "x"}]}},
                    {"name": "b", "ephemeral": {}}, {"name": "c", "secret": {"secretName": "s"}}],
        "containers": [{"env": [{"valueFrom": {"configMapKeyRef": {"name": "m", "key": "k"}}}]}],
    }});
    let found: Vec<(Kind, String, bool, Vec<String>)> = references(&pod)
        .into_iter()
        .map(|reference| {
            (
                reference.kind,
                reference.name,
                reference.optional,
                reference.keys,
            )
        })
        .collect();
    let text = str::to_owned;
    assert_eq!(
        found,
        [
            (Kind::PullSecret, text("s"), false, vec![]),
            (Kind::ConfigMap, text("m"), false, vec![text("k")]),
            (Kind::Claim, text("p-b"), false, vec![]),
            (Kind::Secret, text("s"), false, vec![]),
        ]
    );
}
