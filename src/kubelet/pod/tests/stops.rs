//! Deletion, deadlines, hooks and everything else that ends containers.

use super::world::World;
use crate::kubelet::pod::phase::Phase;
use crate::kubelet::pod::record::Stop;
use serde_json::json;

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
    // Even then there are two seconds.
    world.delete(0);
    assert_eq!(world.settle(), Some(world.now_ms + 2_000));
    assert_eq!(world.told(), "stop i");
    world.now_ms += 2_000;
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
fn the_active_deadline_ends_a_pod() {
    let mut world =
        World::new(json!({"activeDeadlineSeconds": 1100, "containers": [{"name": "a"}]}));
    assert_eq!(world.settle(), Some(1_100_000));
    world.told();
    world.now_ms = 1_100_000;
    world.settle();
    assert_eq!(world.told(), "stop a");
    // Not over before nothing runs any more.
    assert_eq!(world.phase(), Phase::Running);
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
fn pre_stop_hooks_count_within_the_grace() {
    let hook = json!({"preStop": {"exec": {"command": ["x"]}}});
    let mut world =
        World::new(json!({"containers": [{"name": "a", "lifecycle": hook}, {"name": "b"}]}));
    world.settle();
    world.told();
    world.delete(30);
    let deadline = world.now_ms + 30_000;
    assert_eq!(world.settle(), Some(deadline));
    assert_eq!(world.told(), "hook a, stop b");
    world.now_ms += 10_000;
    world.record("a").stop = Stop::Due;
    assert_eq!(world.settle(), Some(deadline));
    assert_eq!(world.told(), "stop a");
    world.now_ms = deadline;
    world.settle();
    assert_eq!(world.told(), "kill a, kill b");

    // One that hangs is given up at the end of the grace; two seconds are left for the signal.
    let mut world = World::new(json!({"containers": [{"name": "a", "lifecycle": hook}]}));
    world.settle();
    world.told();
    world.delete(5);
    world.settle();
    assert_eq!(world.told(), "hook a");
    world.now_ms += 5_000;
    assert_eq!(world.settle(), Some(world.now_ms + 2_000));
    assert_eq!(world.told(), "stop a");
    world.now_ms += 2_000;
    world.settle();
    assert_eq!(world.told(), "kill a");
}

#[test]
fn one_container_ends_while_the_others_go_on() {
    let mut world = World::new(json!({
        "restartPolicy": "Never", "containers": [{"name": "a", "image": "one"}, {"name": "b", "image": "one"}]
    }));
    world.settle();
    world.told();
    let now_ms = world.now_ms;
    world.record("a").end("why".to_string(), 30, now_ms);
    assert_eq!(world.settle(), Some(now_ms + 30_000));
    assert_eq!(world.told(), "stop a");
    world.ends("a", 143);
    world.settle();
    assert_eq!(world.told(), "");
    assert!(world.state.containers["b"].is_running());

    // A changed image is run whatever the policy says.
    world.pod.spec.as_mut().unwrap().containers[1].image = Some("two".to_string());
    world.settle();
    assert_eq!(world.told(), "stop b");
    assert_eq!(
        world.record("b").ending.as_ref().unwrap().message,
        "Container b definition changed, will be restarted"
    );
    world.ends("b", 143);
    world.settle();
    assert_eq!(world.told(), "remove b.0, start b.1");
}

mod properties {
    use super::{Phase, Stop, World};
    use proptest::prelude::*;
    use serde_json::json;

    const NAMES: [&str; 5] = ["s", "i", "a", "b", "t"];

    proptest! {
        /// Whatever containers do, and whatever is asked of them, a deleted pod comes to its end and nothing is started
        /// after the deletion. Nobody who ends must wait for a sidecar, and no hook holds anyone up.
        #[test]
        fn deletion_always_ends(
            policy in prop::sample::select(vec!["Always", "OnFailure", "Never"]),
            steps in prop::collection::vec((0_usize..5, 0_i32..5, 0_i64..400_000), 0..30),
        ) {
            let hook = json!({"preStop": {"exec": {"command": ["x"]}}});
            let mut world = World::new(json!({
                "restartPolicy": policy,
                "initContainers": [
                    {"name": "s", "restartPolicy": "Always", "lifecycle": hook}, {"name": "i"}, {"name": "t", "restartPolicy": "Always"}
                ],
                "containers": [{"name": "a", "restartPolicy": "OnFailure"}, {"name": "b", "lifecycle": hook}]
            }));
            world.settle();
            for (which, code, pause_ms) in steps {
                let name = NAMES[which];
                world.now_ms += pause_ms;
                let now_ms = world.now_ms;
                if world.state.containers[name].is_running() {
                    match code {
                        3 => world.record(name).end("why".to_string(), 5, now_ms),
                        4 => world.record(name).post_start = true,
                        code => world.ends(name, code),
                    }
                }
                world.settle();
            }
            world.told();
            world.delete(30);
            // As long as the sidecars, one after the other, take.
            for _ in 0..3 {
                world.settle();
                world.now_ms += 30_000;
                world.settle();
                world.now_ms += 2_000;
                world.settle();
                for name in NAMES {
                    if world.state.containers[name].is_running() {
                        prop_assert_eq!(world.state.containers[name].stop, Stop::Killed, "{}", name);
                        world.ends(name, 137);
                    }
                }
            }
            world.settle();
            let told = world.told();
            prop_assert!(told.contains("clean, delete"), "{}", told);
            prop_assert!(!told.contains("start"), "{}", told);
            prop_assert!(matches!(world.phase(), Phase::Succeeded | Phase::Failed | Phase::Pending));
        }
    }
}
