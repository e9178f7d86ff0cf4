//! Containers that end, or are not well.

use super::*;

pub fn situations() -> Vec<Situation> {
    let http = json!({"readinessProbe": {"httpGet": {"port": 8080, "path": "/ok", "scheme": "HTTP"}, "periodSeconds": 5, "timeoutSeconds": 1}});
    let mut oom = crashed(137, "OOMKilled");
    oom["spec"]["containers"][0]["resources"] = json!({"limits": {"memory": "64Mi"}});
    let gate = {
        let mut pod = healthy();
        pod["spec"]["readinessGates"] = json!([{"conditionType": "example.com/balanced"}]);
        pod["status"]["conditions"] = json!([{"type": "Ready", "status": "False"}]);
        pod
    };
    vec![
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
    ]
}
