//! What is started, and when.

use super::world::{World, pod, run, sandbox};
use crate::kubelet::pod::decide::{decide, is_complete};
use crate::kubelet::pod::phase::Phase;
use crate::kubelet::pod::record::{Blocked, ImageState, Run};
use crate::kubelet::pod::restart::RestartPolicy;
use crate::kubelet::pod::state::{PodState, Volumes};
use crate::kubelet::pod::status::{END_SHOWN_MS, PULL_ERROR_SHOWN_MS};
use crate::runtime::ContainerState;
use serde_json::json;

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
        assert_eq!(world.settle(), Some(world.now_ms + END_SHOWN_MS));
        world.now_ms += END_SHOWN_MS;
        let left_ms = delay_s * 1000 - END_SHOWN_MS;
        assert_eq!(world.settle(), Some(world.now_ms + left_ms));
        assert_eq!(world.told(), "");
        assert_eq!(world.phase(), Phase::Running);
        world.now_ms += left_ms;
        world.settle();
        assert!(world.told().contains("start a."));
    }
    world.now_ms += 601_000;
    world.ends("a", 1);
    assert_eq!(world.settle(), None);
    assert!(world.told().contains("start a."));
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
    assert_eq!(world.settle(), Some(world.now_ms + PULL_ERROR_SHOWN_MS));
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

#[test]
fn one_containers_end_may_restart_them_all() {
    let rules = json!([{"action": "RestartAllContainers", "exitCodes": {"operator": "In", "values": [42]}}]);
    let mut world = World::new(json!({
        "restartPolicy": "Never", "initContainers": [{"name": "i"}],
        "containers": [
            {"name": "a", "lifecycle": {"preStop": {"sleep": {"seconds": 5}}}},
            {"name": "b", "restartPolicy": "Never", "restartPolicyRules": rules}
        ]
    }));
    world.settle();
    world.ends("i", 0);
    world.settle();
    assert_eq!(world.told(), "sandbox, start i.0, start a.0, start b.0");
    world.ends("b", 42);
    // No hook, and two seconds.
    assert_eq!(world.settle(), Some(world.now_ms + 2_000));
    assert_eq!(world.told(), "stop a");
    world.ends("a", 143);
    world.settle();
    assert_eq!(world.told(), "reset, start i.1");
    assert_eq!(world.phase(), Phase::Running);
    world.ends("i", 0);
    world.settle();
    assert_eq!(world.told(), "start a.1, start b.1");
    let last = world.record("a").previous.clone().unwrap();
    assert_eq!(
        (last.exit.code, last.reason.as_str()),
        (137, "RestartingAllContainers")
    );
    // Another code does not.
    world.ends("b", 1);
    world.settle();
    assert_eq!(world.told(), "");
    world.ends("a", 0);
    world.settle();
    assert_eq!(world.told(), "remove sandbox");
    assert_eq!(world.phase(), Phase::Failed);
}
