//! What a pod's status says in each state.

use super::world::World;
use crate::kubelet::pod::patch::status_patch;
use crate::kubelet::pod::record::{Blocked, ImageState};
use crate::kubelet::pod::status::pod_status;
use k8s_openapi::api::core::v1::{ContainerStatus, PodStatus};
use serde_json::json;

fn status(world: &World) -> PodStatus {
    pod_status(&world.pod, &world.state, "192.168.1.5", world.now_ms)
}

fn container(status: &PodStatus) -> ContainerStatus {
    status.container_statuses.as_ref().unwrap()[0].clone()
}

fn waiting(status: &PodStatus) -> (String, String) {
    let waiting = container(status).state.unwrap().waiting.unwrap();
    (waiting.reason.unwrap(), waiting.message.unwrap_or_default())
}

fn condition(status: &PodStatus, kind: &str) -> (String, String) {
    let condition = status
        .conditions
        .as_ref()
        .unwrap()
        .iter()
        .find(|c| c.type_ == kind)
        .unwrap();
    (
        condition.status.clone(),
        condition.reason.clone().unwrap_or_default(),
    )
}

#[test]
fn an_evicted_pod_has_failed_and_says_what_for() {
    let mut world = one();
    world.state.verdict = Some(crate::kubelet::pod::state::Verdict {
        reason: "Evicted".to_string(),
        message: "The node was low on resource: memory. ".to_string(),
    });
    assert!(
        status(&world)
            .conditions
            .unwrap()
            .iter()
            .all(|c| c.type_ != "DisruptionTarget")
    );
    world.state.disrupted = Some("The node was low on resource: memory. ".to_string());
    let status = status(&world);
    assert_eq!(status.phase.as_deref(), Some("Failed"));
    assert_eq!(status.reason.as_deref(), Some("Evicted"));
    assert_eq!(
        condition(&status, "DisruptionTarget"),
        ("True".to_string(), "TerminationByKubelet".to_string())
    );
}

fn one() -> World {
    World::new(json!({"containers": [{"name": "a", "image": "busybox"}]}))
}

#[test]
fn creating_running_crashing() {
    let mut world = one();
    assert_eq!(waiting(&status(&world)).0, "ContainerCreating");
    assert_eq!(
        condition(&status(&world), "Ready"),
        ("False".into(), "ContainersNotReady".into())
    );
    world.settle();
    let running = status(&world);
    assert_eq!(running.phase.as_deref(), Some("Running"));
    assert_eq!(running.pod_ip.as_deref(), Some("10.42.0.2"));
    assert_eq!(
        container(&running).container_id.as_deref(),
        Some("coracle://a0")
    );
    assert!(container(&running).ready);
    for kind in [
        "PodScheduled",
        "Initialized",
        "ContainersReady",
        "Ready",
        "PodReadyToStartContainers",
    ] {
        assert_eq!(condition(&running, kind).0, "True", "{kind}");
    }
    world.ends("a", 1);
    world.settle();
    assert_eq!(container(&status(&world)).restart_count, 1);
    assert_eq!(
        container(&status(&world))
            .last_state
            .unwrap()
            .terminated
            .unwrap()
            .exit_code,
        1
    );
    world.ends("a", 3);
    world.settle();
    // First how it ended, then what it waits for.
    let ended = container(&status(&world))
        .state
        .unwrap()
        .terminated
        .unwrap();
    assert_eq!(
        (ended.exit_code, ended.reason.as_deref()),
        (3, Some("Error"))
    );
    world.now_ms += crate::kubelet::pod::status::END_SHOWN_MS;
    let crashed = status(&world);
    assert_eq!(
        waiting(&crashed),
        (
            "CrashLoopBackOff".into(),
            "back-off 10s restarting failed container=a pod=p_n(u)".into()
        )
    );
    let last = container(&crashed).last_state.unwrap().terminated.unwrap();
    assert_eq!((last.exit_code, last.reason.as_deref()), (3, Some("Error")));
    assert_eq!(crashed.phase.as_deref(), Some("Running"));
}

#[test]
fn waiting_reasons() {
    let mut world = one();
    let failed_ms = world.now_ms;
    let failed = |reason: &'static str| ImageState::Failed {
        reason,
        message: "why".to_string(),
        failed_ms,
        retry_ms: failed_ms + 10_000,
    };
    for (reason, later_ms, expected) in [
        ("ErrImagePull", 0, ("ErrImagePull", "why")),
        (
            "ErrImagePull",
            5_000,
            (
                "ImagePullBackOff",
                "Back-off pulling image \"busybox\": ErrImagePull: why",
            ),
        ),
        ("InvalidImageName", 5_000, ("InvalidImageName", "why")),
        ("ErrImageNeverPull", 5_000, ("ErrImageNeverPull", "why")),
    ] {
        world.now_ms = failed_ms + later_ms;
        world.state.containers.get_mut("a").unwrap().image_state = failed(reason);
        assert_eq!(
            waiting(&status(&world)),
            (expected.0.into(), expected.1.into())
        );
        assert_eq!(status(&world).phase.as_deref(), Some("Pending"));
    }
    world.state.containers.get_mut("a").unwrap().blocked = Some(Blocked {
        reason: "CreateContainerConfigError",
        message: "secret \"s\" not found".to_string(),
        retry_ms: 0,
    });
    assert_eq!(
        waiting(&status(&world)),
        (
            "CreateContainerConfigError".into(),
            "secret \"s\" not found".into()
        )
    );
}

#[test]
fn a_start_error_is_128() {
    let mut world = World::new(json!({"restartPolicy": "Never", "containers": [{"name": "a"}]}));
    world.settle();
    world.state.containers.get_mut("a").unwrap().start_failed(
        0,
        "exec: \"nope\": not found",
        world.now_ms,
    );
    world.settle();
    let ended = container(&status(&world))
        .state
        .unwrap()
        .terminated
        .unwrap();
    assert_eq!(
        (ended.exit_code, ended.reason.as_deref()),
        (128, Some("StartError"))
    );
    assert_eq!(ended.message.as_deref(), Some("exec: \"nope\": not found"));
    assert_eq!(status(&world).phase.as_deref(), Some("Failed"));
}

#[test]
fn completed_pods_keep_their_address_and_say_why_they_are_not_ready() {
    let mut world = World::new(json!({"restartPolicy": "Never", "containers": [{"name": "a"}]}));
    world.settle();
    world.pod.status = Some(status(&world));
    world.ends("a", 0);
    world.settle();
    let done = status(&world);
    assert_eq!(done.phase.as_deref(), Some("Succeeded"));
    assert_eq!(done.pod_ip.as_deref(), Some("10.42.0.2"));
    assert_eq!(
        condition(&done, "Ready"),
        ("False".into(), "PodCompleted".into())
    );
    assert_eq!(
        condition(&done, "Initialized"),
        ("True".into(), "PodCompleted".into())
    );
    assert_eq!(
        container(&done)
            .state
            .unwrap()
            .terminated
            .unwrap()
            .reason
            .as_deref(),
        Some("Completed")
    );
}

#[test]
fn init_containers_show_and_hold_the_condition() {
    let mut world =
        World::new(json!({"initContainers": [{"name": "i"}], "containers": [{"name": "a"}]}));
    world.settle();
    let before = status(&world);
    assert_eq!(
        condition(&before, "Initialized"),
        ("False".into(), "ContainersNotInitialized".into())
    );
    assert_eq!(waiting(&before).0, "PodInitializing");
    world.ends("i", 0);
    world.settle();
    let after = status(&world);
    assert!(after.init_container_statuses.as_ref().unwrap()[0].ready);
    assert_eq!(condition(&after, "Initialized").0, "True");
}

#[test]
fn times_of_unchanged_conditions_stay() {
    let mut world = one();
    world.settle();
    let first = status(&world);
    world.pod.status = Some(first.clone());
    world.now_ms += 60_000;
    assert_eq!(status(&world), first);
    let foreign = json!({"type": "example.com/x", "status": "True"});
    world
        .pod
        .status
        .as_mut()
        .unwrap()
        .conditions
        .as_mut()
        .unwrap()
        .push(serde_json::from_value(foreign).unwrap());
    assert_eq!(condition(&status(&world), "example.com/x").0, "True");
}

#[test]
fn the_patch_holds_only_changes() {
    let mut world = one();
    world.settle();
    let running = status(&world);
    world.pod.status = Some(running.clone());
    assert_eq!(
        status_patch(&world.pod, &running),
        json!({"metadata": {"uid": "u"}, "status": {}})
    );
    world.state.sandbox_lost(world.now_ms);
    world.state.containers.get_mut("a").unwrap().run = crate::kubelet::pod::record::Run::Never;
    let pending = status(&world);
    let patch = status_patch(&world.pod, &pending);
    assert_eq!(patch["status"]["podIP"], json!(null));
    assert_eq!(patch["status"]["phase"], "Pending");
    assert!(patch["status"].get("hostIP").is_none());
}

#[test]
fn a_refused_pod_is_failed_with_its_reason() {
    let mut world = one();
    world.state.started_ms = None;
    world.state.verdict = Some(crate::kubelet::pod::state::Verdict {
        reason: "OutOfpods".to_string(),
        message: "Pod was rejected".to_string(),
    });
    world.settle();
    assert_eq!(world.told(), "");
    let refused = status(&world);
    assert_eq!(
        (refused.phase.as_deref(), refused.reason.as_deref()),
        (Some("Failed"), Some("OutOfpods"))
    );
    assert!(refused.container_statuses.is_none());
}

#[test]
fn a_failed_start_shows_before_the_back_off() {
    let mut world = one();
    world.settle();
    let now_ms = world.now_ms;
    world
        .record("a")
        .start_failed(0, "exec: \"nope\": not found", now_ms);
    assert_eq!(
        waiting(&status(&world)),
        (
            "RunContainerError".into(),
            "exec: \"nope\": not found".into()
        )
    );
    let last = container(&status(&world))
        .last_state
        .unwrap()
        .terminated
        .unwrap();
    assert_eq!(
        (last.exit_code, last.reason.as_deref()),
        (128, Some("StartError"))
    );
    world.record("a").crash_backoff.next(now_ms, now_ms);
    assert_eq!(waiting(&status(&world)).0, "RunContainerError");
    world.now_ms += crate::kubelet::pod::status::FAILURE_SHOWN_MS;
    assert_eq!(waiting(&status(&world)).0, "CrashLoopBackOff");
}

#[test]
fn a_container_waits_while_its_hook_runs() {
    let mut world = one();
    world.settle();
    world.record("a").post_start = true;
    let during = status(&world);
    assert_eq!(waiting(&during).0, "ContainerCreating");
    assert_eq!(during.phase.as_deref(), Some("Pending"));
    assert_eq!(condition(&during, "Ready").0, "False");
    world.record("a").post_start = false;
    assert_eq!(status(&world).phase.as_deref(), Some("Running"));
}

#[test]
fn messages_share_the_room() {
    let mut world = World::new(json!({"restartPolicy": "Never", "containers": [
        {"name": "a"}, {"name": "b"}, {"name": "c"}, {"name": "d"}]}));
    world.settle();
    for name in ["a", "b", "c", "d"] {
        world.ends(name, 1);
        let record = world.record(name);
        if let crate::kubelet::pod::record::Run::Ended(ended) = &mut record.run {
            ended.message = Some("é".repeat(2048));
        }
    }
    let messages: usize = status(&world)
        .container_statuses
        .unwrap()
        .iter()
        .map(|c| {
            let ended = c.state.as_ref().unwrap().terminated.as_ref().unwrap();
            ended.message.as_ref().unwrap().len()
        })
        .sum();
    assert_eq!(messages, 12 * 1024);
}

#[test]
fn what_is_lost_during_the_end_says_so() {
    let mut world = one();
    world.settle();
    world.delete(30);
    world.settle();
    world.state.observe(None, world.now_ms);
    let ended = container(&status(&world))
        .state
        .unwrap()
        .terminated
        .unwrap();
    assert_eq!(
        (ended.exit_code, ended.reason.as_deref()),
        (137, Some("ContainerStatusUnknown"))
    );
}

#[test]
fn debug_containers_are_started_once() {
    let mut world = one();
    world.settle();
    world.told();
    let debug = json!([{"name": "d", "image": "busybox", "targetContainerName": "a"}]);
    world.pod.spec.as_mut().unwrap().ephemeral_containers =
        Some(serde_json::from_value(debug).unwrap());
    world.settle();
    assert_eq!(world.told(), "start d.0");
    let running = status(&world).ephemeral_container_statuses.unwrap();
    assert!(running[0].state.as_ref().unwrap().running.is_some());
    assert!(!running[0].ready);
    world.ends("d", 1);
    world.settle();
    assert_eq!(world.told(), "");
    let ended = status(&world).ephemeral_container_statuses.unwrap();
    assert!(ended[0].state.as_ref().unwrap().terminated.is_some());
    assert_eq!(condition(&status(&world), "Ready").0, "True");
}

#[test]
fn a_pod_given_up_before_it_ran_says_so() {
    let mut world = one();
    world.state.verdict = Some(crate::kubelet::pod::state::Verdict {
        reason: "DeadlineExceeded".to_string(),
        message: String::new(),
    });
    let ended = container(&status(&world))
        .state
        .unwrap()
        .terminated
        .unwrap();
    assert_eq!(
        (ended.exit_code, ended.reason.as_deref()),
        (137, Some("ContainerStatusUnknown"))
    );
}
