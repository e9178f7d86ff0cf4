//! Tables of a pod's life, driven by hand: the state changes as a worker would change it.

#![allow(clippy::unwrap_used)]

use super::decide::{Action, RestartPolicy, advance, decide, is_complete};
use super::phase::{Phase, phase};
use super::state::{Blocked, ImageState, PodState, Run, Sandbox, Volumes};
use crate::runtime::{ContainerState, ContainerStatus, Exit, RunId, SandboxSpec, SandboxStatus};
use k8s_openapi::api::core::v1::Pod;
use serde_json::json;

/// A pod in a world where every action succeeds at once.
pub struct World {
    pub pod: Pod,
    pub state: PodState,
    pub now_ms: i64,
    pub done: Vec<String>,
}

pub fn pod(spec: serde_json::Value) -> Pod {
    serde_json::from_value(json!({
        "metadata": {"name": "p", "namespace": "n", "uid": "u"}, "spec": spec
    }))
    .unwrap()
}

pub fn exit(code: i32, at_ms: i64) -> Exit {
    Exit {
        code,
        signal: (code > 128).then_some(code - 128),
        oom_killed: false,
        started_at_ms: 0,
        finished_at_ms: at_ms,
        message: None,
    }
}

fn run(name: &str, attempt: u32, state: ContainerState) -> ContainerStatus {
    ContainerStatus {
        run: RunId {
            container: name.to_string(),
            attempt,
        },
        id: format!("{name}{attempt}"),
        state,
        user: None,
    }
}

pub fn sandbox(containers: Vec<ContainerStatus>) -> SandboxStatus {
    SandboxStatus {
        spec: SandboxSpec {
            pod_uid: "u".to_string(),
            namespace: String::new(),
            name: String::new(),
            hostname: String::new(),
            host_network: false,
            host_pid: false,
            host_ipc: false,
            cgroup: String::new(),
            resolv_conf: String::new(),
            sysctls: Vec::new(),
            share_process_namespace: false,
            first_user: None,
        },
        pid: 1,
        containers,
    }
}

impl World {
    pub fn new(spec: serde_json::Value) -> World {
        let pod = pod(spec);
        let mut state = PodState::rebuild(&pod, None, None, 0);
        state.started_ms = Some(0);
        World {
            pod,
            state,
            now_ms: 1_000_000,
            done: Vec::new(),
        }
    }

    /// Decides and acts until nothing is left to do now; returns when to wake.
    pub fn settle(&mut self) -> Option<i64> {
        for _ in 0..100 {
            advance(&self.pod, &mut self.state, self.now_ms);
            let decision = decide(&self.pod, &self.state, self.now_ms);
            if decision.actions.is_empty() {
                return decision.wake_ms;
            }
            for action in decision.actions {
                self.act(action);
            }
        }
        panic!("never settles: {:?}", self.done);
    }

    fn act(&mut self, action: Action) {
        let (now_ms, state) = (self.now_ms, &mut self.state);
        let note = match action {
            Action::PrepareVolumes => {
                state.volumes = Volumes::Ready;
                return;
            }
            Action::EnsureImage { container } => {
                state.containers.get_mut(&container).unwrap().image_state = ImageState::Ready;
                return;
            }
            Action::CreateSandbox => {
                state.sandbox = Sandbox::Alive {
                    ip: "10.42.0.2".to_string(),
                };
                "sandbox".to_string()
            }
            Action::StartContainer { container, attempt } => {
                let record = state.containers.get_mut(&container).unwrap();
                if let Some(ended) = record.ended().map(|e| e.exit.finished_at_ms) {
                    record.crash_backoff.next(ended, now_ms);
                }
                let running = ContainerState::Running {
                    pid: 2,
                    started_at_ms: now_ms,
                };
                record.started(&run(&container, attempt, running));
                format!("start {container}.{attempt}")
            }
            Action::Stop { container, attempt } => {
                state.containers.get_mut(&container).unwrap().stop_sent = Some(attempt);
                format!("stop {container}")
            }
            Action::Kill { container, attempt } => {
                state.containers.get_mut(&container).unwrap().kill_sent = Some(attempt);
                format!("kill {container}")
            }
            Action::RemoveContainer { container, attempt } => {
                state.containers.get_mut(&container).unwrap().released = true;
                format!("remove {container}.{attempt}")
            }
            Action::RemoveSandbox => {
                state.sandbox_lost(now_ms);
                "remove sandbox".to_string()
            }
            Action::CleanUp => {
                state.cleaned = true;
                "clean".to_string()
            }
            Action::DeletePod => {
                state.delete_retry_ms = Some(now_ms + 10_000);
                "delete".to_string()
            }
            Action::Exit => {
                // The worker ends here; nothing more may be decided.
                state.delete_retry_ms = Some(i64::MAX);
                self.pod
                    .metadata
                    .deletion_timestamp
                    .get_or_insert(super::status::time(0));
                state.gone = false;
                "exit".to_string()
            }
        };
        self.done.push(note);
    }

    pub fn ends(&mut self, container: &str, code: i32) {
        let record = self.state.containers.get_mut(container).unwrap();
        let attempt = record.attempt().unwrap();
        record.observe(&run(
            container,
            attempt,
            ContainerState::Exited(exit(code, self.now_ms)),
        ));
    }

    /// What was done since the last call.
    pub fn told(&mut self) -> String {
        std::mem::take(&mut self.done).join(", ")
    }

    fn delete(&mut self, grace_s: i64) {
        self.pod.metadata.deletion_timestamp = Some(super::status::time(self.now_ms));
        self.pod.metadata.deletion_grace_period_seconds = Some(grace_s);
    }

    pub fn phase(&self) -> Phase {
        phase(&self.pod, &self.state)
    }
}

#[test]
fn init_containers_in_order_then_all_containers() {
    let mut world = World::new(json!({
        "initContainers": [{"name": "i1"}, {"name": "i2"}], "containers": [{"name": "a"}, {"name": "b"}]
    }));
    world.settle();
    assert_eq!(world.told(), "sandbox, start i1.0");
    assert_eq!(world.phase(), Phase::Pending);
    world.ends("i1", 0);
    world.settle();
    assert_eq!(world.told(), "start i2.0");
    world.ends("i2", 1);
    world.settle();
    assert_eq!(world.told(), "remove i2.0, start i2.1");
    world.ends("i2", 0);
    world.settle();
    assert_eq!(world.told(), "start a.0, start b.0");
    assert_eq!(world.phase(), Phase::Running);
}

#[test]
fn a_failed_init_container_ends_a_pod_that_never_restarts() {
    let mut world = World::new(json!({
        "restartPolicy": "Never", "initContainers": [{"name": "i"}], "containers": [{"name": "a"}]
    }));
    world.settle();
    world.ends("i", 2);
    world.settle();
    assert_eq!(world.told(), "sandbox, start i.0, remove sandbox");
    assert_eq!(world.phase(), Phase::Failed);
}

#[test]
fn restart_policies() {
    for (policy, code, restarts, expected) in [
        ("Always", 0, true, Phase::Running),
        ("Always", 1, true, Phase::Running),
        ("OnFailure", 0, false, Phase::Succeeded),
        ("OnFailure", 1, true, Phase::Running),
        ("Never", 0, false, Phase::Succeeded),
        ("Never", 1, false, Phase::Failed),
    ] {
        let mut world = World::new(json!({"restartPolicy": policy, "containers": [{"name": "a"}]}));
        world.settle();
        world.told();
        world.ends("a", code);
        world.settle();
        let done = if restarts {
            "remove a.0, start a.1"
        } else {
            "remove sandbox"
        };
        assert_eq!(world.told(), done, "{policy} {code}");
        assert_eq!(world.phase(), expected, "{policy} {code}");
    }
}

#[test]
fn crash_loops_back_off_and_forget() {
    let mut world = World::new(json!({"containers": [{"name": "a"}]}));
    world.settle();
    world.ends("a", 1);
    world.settle();
    assert_eq!(world.told(), "sandbox, start a.0, remove a.0, start a.1");
    for delay_s in [10, 20, 40, 80, 160, 300, 300] {
        world.ends("a", 1);
        assert_eq!(world.settle(), Some(world.now_ms + delay_s * 1000));
        assert_eq!(world.told(), "");
        assert_eq!(world.phase(), Phase::Running);
        world.now_ms += delay_s * 1000;
        world.settle();
        assert!(world.told().contains("start a."));
    }
    world.now_ms += 601_000;
    world.ends("a", 1);
    assert_eq!(world.settle(), None);
    assert!(world.told().contains("start a."));
}

#[test]
fn deletion_stops_then_kills_then_confirms() {
    let mut world = World::new(json!({"containers": [{"name": "a"}, {"name": "b"}]}));
    world.settle();
    world.told();
    world.delete(30);
    assert_eq!(world.settle(), Some(world.now_ms + 30_000));
    assert_eq!(world.told(), "stop a, stop b");
    world.ends("a", 143);
    world.settle();
    assert_eq!(world.told(), "");
    // A second deletion shortens the grace.
    world.delete(5);
    let deadline = world.now_ms + 5_000;
    assert_eq!(world.settle(), Some(deadline));
    world.now_ms = deadline;
    world.settle();
    assert_eq!(world.told(), "kill b");
    world.ends("b", 137);
    world.settle();
    assert_eq!(world.told(), "remove sandbox, clean, delete");
    assert_eq!(world.phase(), Phase::Failed);
    world.state.gone = true;
    world.settle();
    assert_eq!(world.told(), "exit");
}

#[test]
fn deletion_during_init_and_of_a_pod_that_never_ran() {
    let mut world =
        World::new(json!({"initContainers": [{"name": "i"}], "containers": [{"name": "a"}]}));
    world.settle();
    world.told();
    world.delete(0);
    world.settle();
    assert_eq!(world.told(), "kill i");
    world.ends("i", 137);
    world.settle();
    assert_eq!(world.told(), "remove sandbox, clean, delete");
    let mut world = World::new(json!({"containers": [{"name": "a"}]}));
    world.delete(30);
    world.settle();
    assert_eq!(world.told(), "clean, delete");
}

#[test]
fn a_pod_removed_by_force_is_stopped_and_cleaned() {
    let mut world =
        World::new(json!({"terminationGracePeriodSeconds": 30, "containers": [{"name": "a"}]}));
    world.settle();
    world.told();
    world.pod.metadata.deletion_grace_period_seconds = Some(0);
    world.state.gone = true;
    assert_eq!(world.settle(), Some(world.now_ms + 2_000));
    assert_eq!(world.told(), "stop a");
    world.ends("a", 0);
    world.settle();
    assert_eq!(world.told(), "remove sandbox, clean, exit");
}

#[test]
fn a_dead_sandbox_is_replaced_by_policy() {
    for (policy, done, expected) in [
        ("Always", "sandbox, start i.1, start a.1", Phase::Running),
        ("OnFailure", "sandbox, start i.1, start a.1", Phase::Running),
        ("Never", "", Phase::Failed),
    ] {
        let mut world = World::new(json!({
            "restartPolicy": policy, "initContainers": [{"name": "i"}], "containers": [{"name": "a"}]
        }));
        world.settle();
        world.ends("i", 0);
        world.settle();
        world.told();
        world.state.observe(None, world.now_ms);
        world.settle();
        if policy != "Never" {
            world.ends("i", 0);
            world.settle();
        }
        assert_eq!(world.told(), done, "{policy}");
        assert_eq!(world.phase(), expected, "{policy}");
        let ended = world.state.containers["a"]
            .previous
            .clone()
            .or(world.state.containers["a"].ended().cloned());
        assert_eq!(ended.unwrap().exit.code, 255, "{policy}");
    }
}

#[test]
fn sidecars_start_before_and_stop_after() {
    let mut world = World::new(json!({
        "restartPolicy": "Never",
        "initContainers": [{"name": "s", "restartPolicy": "Always"}, {"name": "i"}], "containers": [{"name": "a"}]
    }));
    world.settle();
    assert_eq!(world.told(), "sandbox, start s.0, start i.0");
    world.ends("i", 0);
    world.settle();
    assert_eq!(world.told(), "start a.0");
    world.ends("s", 1);
    world.settle();
    assert_eq!(world.told(), "remove s.0, start s.1");
    world.ends("a", 0);
    world.settle();
    assert_eq!(world.told(), "stop s");
    world.ends("s", 143);
    world.settle();
    assert_eq!(world.told(), "remove sandbox");
    assert_eq!(world.phase(), Phase::Succeeded);
}

#[test]
fn waits_hold_the_start_back() {
    let mut world = World::new(json!({"containers": [{"name": "a"}]}));
    world.state.volumes = Volumes::Retry {
        at_ms: world.now_ms + 500,
        failures: 0,
    };
    assert_eq!(world.settle(), Some(world.now_ms + 500));
    world.now_ms += 500;
    world.state.containers.get_mut("a").unwrap().image_state = ImageState::Failed {
        reason: "ErrImagePull",
        message: "no".to_string(),
        failed_ms: world.now_ms,
        retry_ms: world.now_ms + 10_000,
    };
    assert_eq!(
        world.settle(),
        Some(world.now_ms + super::status::PULL_ERROR_SHOWN_MS)
    );
    world.now_ms += 10_000;
    world.state.containers.get_mut("a").unwrap().blocked = Some(Blocked {
        reason: "CreateContainerConfigError",
        message: "configmap \"x\" not found".to_string(),
        retry_ms: world.now_ms + 10_000,
    });
    assert_eq!(world.settle(), Some(world.now_ms + 10_000));
    world.now_ms += 10_000;
    world.settle();
    assert_eq!(world.told(), "sandbox, start a.0");
}

#[test]
fn the_active_deadline_ends_a_pod() {
    let mut world =
        World::new(json!({"activeDeadlineSeconds": 1100, "containers": [{"name": "a"}]}));
    assert_eq!(world.settle(), Some(1_100_000));
    world.told();
    world.now_ms = 1_100_000;
    world.settle();
    assert_eq!(world.told(), "stop a");
    world.ends("a", 143);
    world.settle();
    assert_eq!(world.told(), "remove sandbox");
    assert_eq!(
        world.state.verdict.as_ref().unwrap().reason,
        "DeadlineExceeded"
    );
    assert_eq!(world.phase(), Phase::Failed);
}

#[test]
fn a_running_container_is_adopted() {
    let mut pod = pod(json!({"containers": [{"name": "a"}]}));
    let reported = json!({"phase": "Running", "startTime": "2025-01-01T00:00:00Z", "containerStatuses": [{
        "name": "a", "image": "i", "imageID": "x", "ready": true, "restartCount": 3, "containerID": "coracle://a3",
        "state": {"running": {"startedAt": "2025-01-01T00:00:00Z"}},
        "lastState": {"terminated": {"exitCode": 7, "reason": "Error"}}}]});
    pod.status = Some(serde_json::from_value(reported).unwrap());
    let running = run(
        "a",
        3,
        ContainerState::Running {
            pid: 9,
            started_at_ms: 77,
        },
    );
    let state = PodState::rebuild(&pod, Some(&sandbox(vec![running])), Some("10.42.0.2"), 5);
    assert_eq!(state.containers["a"].attempt(), Some(3));
    assert!(state.containers["a"].is_running());
    assert_eq!(
        state.containers["a"].previous.as_ref().unwrap().exit.code,
        7
    );
    let decision = decide(&pod, &state, 5);
    assert!(decision.actions.is_empty(), "{decision:?}");

    // After a reboot nothing of it is left: it comes back with one restart more, or stays down with Never.
    for (policy, complete) in [("Always", false), ("Never", true)] {
        pod.spec.as_mut().unwrap().restart_policy = Some(policy.to_string());
        let state = PodState::rebuild(&pod, None, None, 5);
        assert_eq!(state.containers["a"].next_attempt, 4);
        assert!(matches!(&state.containers["a"].run, Run::Ended(e) if e.exit.code == 255));
        assert_eq!(is_complete(&pod, &state), complete);
    }
    assert_eq!(RestartPolicy::of(&pod), RestartPolicy::Never);

    // A restart this process had not reported yet counts too.
    let newer = run(
        "a",
        4,
        ContainerState::Running {
            pid: 9,
            started_at_ms: 99,
        },
    );
    let state = PodState::rebuild(&pod, Some(&sandbox(vec![newer])), Some("10.42.0.2"), 5);
    assert_eq!(state.containers["a"].attempt(), Some(4));
}

mod properties {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Whatever containers do, a deleted pod comes to its end and nothing is started after the deletion.
        #[test]
        fn deletion_always_ends(
            policy in prop::sample::select(vec!["Always", "OnFailure", "Never"]),
            steps in prop::collection::vec((0_usize..3, 0_i32..3, 0_i64..400_000), 0..30),
        ) {
            let mut world = World::new(json!({
                "restartPolicy": policy, "initContainers": [{"name": "i"}], "containers": [{"name": "a"}, {"name": "b"}]
            }));
            world.settle();
            for (which, code, pause_ms) in steps {
                let name = ["i", "a", "b"][which];
                world.now_ms += pause_ms;
                if world.state.containers[name].is_running() {
                    world.ends(name, code);
                }
                world.settle();
            }
            world.told();
            world.delete(30);
            world.settle();
            world.now_ms += 30_000;
            world.settle();
            for name in ["i", "a", "b"] {
                if world.state.containers[name].is_running() {
                    world.ends(name, 137);
                }
            }
            world.settle();
            let told = world.told();
            prop_assert!(told.contains("clean, delete"), "{}", told);
            prop_assert!(!told.contains("start"), "{}", told);
        }
    }
}
