//! Init containers that stay.

use super::world::World;
use crate::kubelet::pod::phase::Phase;
use serde_json::json;

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
    assert_eq!(world.phase(), Phase::Running);
    world.ends("s", 143);
    world.settle();
    assert_eq!(world.told(), "remove sandbox");
    assert_eq!(world.phase(), Phase::Succeeded);
}

#[test]
fn what_follows_waits_until_a_sidecars_hook_is_over() {
    let mut world = World::new(json!({
        "initContainers": [{"name": "s", "restartPolicy": "Always", "lifecycle": {"postStart": {}}}],
        "containers": [{"name": "a"}]
    }));
    world.settle();
    assert_eq!(world.told(), "sandbox, start s.0");
    assert_eq!(world.phase(), Phase::Pending);
    world.record("s").post_start = false;
    world.settle();
    assert_eq!(world.told(), "start a.0");
    assert_eq!(world.phase(), Phase::Running);
}

#[test]
fn sidecars_stop_last_and_in_reverse_order_of_their_start() {
    let mut world = World::new(json!({
        "initContainers": [{"name": "z", "restartPolicy": "Always"}, {"name": "b", "restartPolicy": "Always"}],
        "containers": [{"name": "m"}]
    }));
    world.settle();
    assert_eq!(world.told(), "sandbox, start z.0, start b.0, start m.0");
    world.delete(30);
    world.settle();
    assert_eq!(world.told(), "stop m");
    world.ends("m", 0);
    world.settle();
    assert_eq!(world.told(), "stop b");
    world.ends("b", 0);
    world.settle();
    assert_eq!(world.told(), "stop z");
    world.now_ms += 30_000;
    world.settle();
    assert_eq!(world.told(), "kill z");
}

#[test]
fn a_sidecar_that_ends_first_is_not_started_again_during_the_end() {
    let mut world = World::new(json!({
        "initContainers": [{"name": "s", "restartPolicy": "Always"}], "containers": [{"name": "m"}]
    }));
    world.settle();
    world.told();
    world.delete(30);
    world.settle();
    world.ends("s", 1);
    world.settle();
    assert_eq!(world.told(), "stop m");
    world.ends("m", 0);
    world.settle();
    assert_eq!(world.told(), "remove sandbox, clean, delete");
}
