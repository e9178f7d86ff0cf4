//! Tables of what probes' answers come to.

#![allow(clippy::unwrap_used)]

use super::*;
use crate::kubelet::pod::conditions::conditions;
use crate::kubelet::pod::phase::Phase;
use crate::kubelet::pod::record::Run;
use crate::kubelet::pod::tests::world::World;
use serde_json::json;

fn container(probes: serde_json::Value) -> Container {
    let mut value = json!({"name": "a"});
    json_patch::merge(&mut value, &probes);
    serde_json::from_value(value).unwrap()
}

fn health(probes: serde_json::Value) -> Health {
    Health::new(&checks(&container(probes)), Beginning::default(), |_| 0.0)
}

/// Runs until `until_ms`, with an answer for every try: `S+` is a startup check that succeeds, `L?` a liveness check
/// that could not be carried out. Tells each try with its second.
fn play(health: &mut Health, until_ms: i64, answers: &str) -> String {
    let mut answers = answers.split_whitespace();
    let mut told = Vec::new();
    while let Some(at) = health.next_ms().filter(|at| *at <= until_ms) {
        for kind in health.take_due(at) {
            let letter = kind.title().chars().next().unwrap();
            let answer = answers.next().unwrap_or("-+");
            assert!(
                answer.starts_with(letter) || answer.starts_with('-'),
                "{letter} at {at}, not {answer}"
            );
            told.push(format!("{letter}{}", at / 1000));
            let answer = match answer.chars().nth(1) {
                Some('+') => Answer::Healthy,
                Some('-') => Answer::Unhealthy,
                _ => Answer::Unknown,
            };
            health.record(kind, answer, at);
        }
    }
    told.join(" ")
}

#[test]
fn defaults_are_upstreams() {
    let check = Check::of(Kind::Liveness, &Probe::default());
    assert_eq!(
        (
            check.initial_delay_ms,
            check.period_ms,
            check.success_threshold,
            check.failure_threshold
        ),
        (0, 10_000, 1, 3)
    );
}

#[test]
fn readiness_needs_its_first_success_and_falls_at_its_threshold() {
    let mut health = health(json!({"readinessProbe": {"periodSeconds": 2, "failureThreshold": 2}}));
    assert!(health.standing().started && !health.standing().ready);
    assert_eq!(play(&mut health, 0, "R+"), "R0");
    assert!(health.standing().ready);
    assert_eq!(play(&mut health, 2_000, "R-"), "R2");
    assert!(health.standing().ready, "one failure of two");
    play(&mut health, 4_000, "R-");
    assert!(!health.standing().ready);
    play(&mut health, 6_000, "R+");
    assert!(health.standing().ready);
    play(&mut health, 10_000, "R- R?");
    assert!(
        health.standing().ready,
        "a try that could not be carried out does not count"
    );
    play(&mut health, 12_000, "R-");
    assert!(!health.standing().ready, "nor does it break a row");
}

#[test]
fn success_threshold() {
    let mut health = health(json!({"readinessProbe": {"periodSeconds": 1, "successThreshold": 3}}));
    play(&mut health, 1_000, "R+ R+");
    assert!(!health.standing().ready);
    play(&mut health, 2_000, "R+");
    assert!(health.standing().ready);
}

#[test]
fn startup_holds_the_others_back() {
    let mut health = health(json!({
        "startupProbe": {"periodSeconds": 3, "failureThreshold": 5},
        "livenessProbe": {"periodSeconds": 4},
        "readinessProbe": {"periodSeconds": 4, "initialDelaySeconds": 1},
    }));
    assert!(!health.standing().started && !health.standing().ready);
    assert_eq!(
        play(&mut health, 12_000, "S- S- S+ R- L+ R+"),
        "S0 S3 S6 R6 L8 R10 L12"
    );
    assert_eq!(
        health.standing(),
        Standing {
            attempt: 0,
            started: true,
            ready: true,
            failed: None
        }
    );
}

#[test]
fn a_failed_startup_or_liveness_check_is_told_once_and_not_tried_again() {
    let mut slow = health(json!({"startupProbe": {"periodSeconds": 1}, "livenessProbe": {}}));
    assert_eq!(play(&mut slow, 100_000, "S- S- S-"), "S0 S1 S2");
    assert_eq!(slow.standing().failed, Some(Kind::Startup));
    assert!(slow.is_over());
    let mut dead = health(json!({
        "livenessProbe": {"periodSeconds": 1, "failureThreshold": 2},
        "readinessProbe": {"periodSeconds": 100},
    }));
    assert_eq!(
        play(&mut dead, 50_000, "L+ R+ L- L+ L- L-"),
        "L0 R0 L1 L2 L3 L4"
    );
    assert_eq!(dead.standing().failed, Some(Kind::Liveness));
    assert!(dead.standing().ready && !dead.is_over());
}

#[test]
fn delays_and_phases() {
    let probes = json!({
        "livenessProbe": {"periodSeconds": 10, "initialDelaySeconds": 7},
        "readinessProbe": {"periodSeconds": 10, "initialDelaySeconds": 7},
    });
    let list = checks(&container(probes));
    let mut fresh = Health::new(&list, Beginning::default(), |_| 0.5);
    assert_eq!(play(&mut fresh, 20_000, ""), "R7 L15 R17");
    // Ticks lie at 3, 13, 23…: the first not before the delay.
    let mut early = Health::new(&list, Beginning::default(), |_| 0.3);
    assert_eq!(play(&mut early, 20_000, ""), "R7 L13 R17");
    // Found running by a new node process: what was reported stands, and tries are spread.
    let adopted = Beginning {
        attempt: 2,
        age_ms: 100_000,
        reported: Some((true, true)),
    };
    let mut adopted = Health::new(&list, adopted, |_| 0.5);
    assert!(adopted.standing().ready);
    assert_eq!(play(&mut adopted, 106_000, "L+ R-"), "L105 R105");
    assert!(adopted.standing().ready);
}

#[test]
fn an_adopted_run_that_had_started_is_not_asked_again() {
    let list = checks(&container(
        json!({"startupProbe": {}, "readinessProbe": {}}),
    ));
    let from = |reported| Beginning {
        attempt: 0,
        age_ms: 5_000,
        reported,
    };
    let health = Health::new(&list, from(Some((true, false))), |_| 0.0);
    assert!(health.standing().started && !health.standing().ready);
    let health = Health::new(&list, from(Some((false, false))), |_| 0.0);
    assert!(!health.standing().started);
}

#[test]
fn a_try_longer_than_its_period_is_followed_at_once() {
    let mut health = health(json!({"livenessProbe": {"periodSeconds": 2}}));
    assert_eq!(health.take_due(0), [Kind::Liveness]);
    assert_eq!(health.next_ms(), None);
    assert!(!health.is_over());
    health.record(Kind::Liveness, Answer::Healthy, 5_000);
    assert_eq!(health.next_ms(), Some(5_000));
    assert_eq!(health.take_due(5_000), [Kind::Liveness]);
    health.record(Kind::Liveness, Answer::Healthy, 5_100);
    assert_eq!(health.next_ms(), Some(7_000));
}

#[test]
fn while_the_pod_ends_only_readiness_goes_on() {
    let probes = json!({
        "startupProbe": {"periodSeconds": 1}, "livenessProbe": {"periodSeconds": 1},
        "readinessProbe": {"periodSeconds": 1, "failureThreshold": 1},
    });
    let mut health = health(probes);
    play(&mut health, 0, "S-");
    health.pod_ends(500);
    assert!(health.standing().started && !health.standing().ready);
    assert_eq!(play(&mut health, 3_000, "R+ R- R-"), "R0 R1 R2");
    assert!(!health.standing().ready);
    assert_eq!(health.standing().failed, None);
}

#[test]
fn an_answer_that_comes_after_the_end_of_the_pod_restarts_nothing() {
    let mut health = health(json!({"livenessProbe": {"failureThreshold": 1}}));
    health.take_due(0);
    health.pod_ends(1);
    health.record(Kind::Liveness, Answer::Unhealthy, 2);
    assert_eq!(health.standing().failed, None);
    assert!(health.is_over());
}

fn running(attempt: u32) -> Record {
    Record {
        run: Run::Running {
            attempt,
            id: String::new(),
            started_ms: 0,
        },
        ..Record::default()
    }
}

#[test]
fn a_container_counts_by_its_standing_and_only_by_that_of_its_present_run() {
    let both = container(json!({"startupProbe": {}, "readinessProbe": {}}));
    let none = container(json!({}));
    let mut record = running(1);
    assert!(is_started(&none, &record) && is_ready(&none, &record));
    assert!(!is_started(&both, &record) && !is_ready(&both, &record));
    for (attempt, started, ready, expected) in [
        (1, true, true, (true, true)),
        (1, true, false, (true, false)),
        (1, false, false, (false, false)),
        (0, true, true, (false, false)),
    ] {
        record.health = Some(Standing {
            attempt,
            started,
            ready,
            failed: None,
        });
        assert_eq!(
            (is_started(&both, &record), is_ready(&both, &record)),
            expected
        );
    }
    record.run = Run::Never;
    assert!(!is_started(&none, &record) && !is_ready(&none, &record));
}

#[test]
fn stopping_gives_the_probes_grace_or_the_pods_and_then_kills() {
    let pod = |spec| Pod {
        spec: serde_json::from_value(spec).unwrap(),
        ..Pod::default()
    };
    let own = container(
        json!({"livenessProbe": {"terminationGracePeriodSeconds": 5}, "startupProbe": {}}),
    );
    for (spec, kind, grace_ms) in [
        (json!({"containers": []}), Kind::Liveness, 5_000),
        (json!({"containers": []}), Kind::Startup, 30_000),
        (
            json!({"containers": [], "terminationGracePeriodSeconds": 0}),
            Kind::Startup,
            2_000,
        ),
    ] {
        assert_eq!(
            unhealthy(&pod(spec), &own, 0, kind, 1_000).deadline_ms,
            1_000 + grace_ms
        );
    }
}

#[test]
fn events_say_whether_a_restart_follows() {
    let of = |kind| Unhealthy {
        attempt: 0,
        kind,
        deadline_ms: 0,
    };
    assert_eq!(
        killing_message("web", &of(Kind::Liveness), true),
        "Container web failed liveness probe, will be restarted"
    );
    assert_eq!(
        killing_message("web", &of(Kind::Startup), false),
        "Container web failed startup probe"
    );
}

fn standing_of(world: &mut World, container: &str, started: bool, failed: Option<Kind>) {
    let record = world.state.containers.get_mut(container).unwrap();
    record.health = Some(Standing {
        attempt: record.attempt().unwrap(),
        started,
        ready: started,
        failed,
    });
}

#[test]
fn a_sidecar_counts_as_begun_once_its_startup_probe_says_so() {
    let mut world = World::new(json!({
        "initContainers": [
            {"name": "s", "restartPolicy": "Always", "startupProbe": {}, "readinessProbe": {}},
            {"name": "i"},
        ],
        "containers": [{"name": "a"}],
    }));
    world.settle();
    assert_eq!(world.told(), "sandbox, start s.0");
    assert_eq!(world.phase(), Phase::Pending);
    standing_of(&mut world, "s", true, None);
    world.settle();
    assert_eq!(world.told(), "start i.0");
    world.ends("i", 0);
    world.settle();
    assert_eq!(world.told(), "start a.0");
    // Not ready, it keeps the whole pod from being so.
    world
        .state
        .containers
        .get_mut("s")
        .unwrap()
        .health
        .as_mut()
        .unwrap()
        .ready = false;
    let now = crate::kubelet::pod::status::time(0);
    let list = conditions(&world.pod, &world.state, world.phase(), &now);
    let ready = list.iter().find(|c| c.type_ == "ContainersReady").unwrap();
    assert_eq!(
        ready.message.as_deref(),
        Some("containers with unready status: [s]")
    );
}

#[test]
fn a_failed_check_stops_the_container_and_its_policy_restarts_it() {
    for (policy, code, expected) in [
        ("Always", 137, "start a.1"),
        // A clean exit after the stop signal is still a failure.
        ("OnFailure", 0, "start a.1"),
        ("Never", 137, "remove sandbox"),
    ] {
        let mut world = World::new(json!({
            "restartPolicy": policy, "terminationGracePeriodSeconds": 5,
            "containers": [{"name": "a", "livenessProbe": {}}],
        }));
        world.settle();
        world.told();
        let at_ms = world.now_ms;
        let failed = unhealthy(
            &world.pod,
            &world.pod.spec.as_ref().unwrap().containers[0],
            0,
            Kind::Liveness,
            at_ms,
        );
        world.state.containers.get_mut("a").unwrap().unhealthy = Some(failed);
        assert_eq!(world.settle(), Some(at_ms + 5_000));
        assert_eq!(world.told(), "stop a");
        world.now_ms = at_ms + 5_000;
        world.settle();
        assert_eq!(world.told(), "kill a");
        world.ends("a", code);
        world.settle();
        let told = world.told();
        assert!(told.ends_with(expected), "{policy}: {told}");
        assert!(failed.attempt == 0 && world.settle().is_none());
    }
}
