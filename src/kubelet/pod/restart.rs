//! Whether a container that ended runs again.
//! <https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/#restart-policy>

use super::record::{Ended, Record, Run};
use super::state::{PodState, containers};
use k8s_openapi::api::core::v1::{Container, ContainerRestartRule, Pod};

/// `restartPolicy`, of a pod or of a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RestartPolicy {
    Always,
    OnFailure,
    Never,
}

impl RestartPolicy {
    pub fn of(pod: &Pod) -> RestartPolicy {
        RestartPolicy::parse(pod.spec.as_ref().and_then(|s| s.restart_policy.as_deref()))
    }

    fn parse(text: Option<&str>) -> RestartPolicy {
        match text {
            Some("Never") => RestartPolicy::Never,
            Some("OnFailure") => RestartPolicy::OnFailure,
            _ => RestartPolicy::Always,
        }
    }

    fn restarts(self, failed: bool) -> bool {
        match self {
            RestartPolicy::Always => true,
            RestartPolicy::OnFailure => failed,
            RestartPolicy::Never => false,
        }
    }
}

/// Whether `container` runs again after it ended so: the first of its own rules that matches, then its own policy,
/// then the pod's (upstream's `ContainerShouldRestart`). One that was stopped over a probe has failed, whatever its
/// exit code.
pub fn restarts(pod: &Pod, container: &Container, ended: &Ended) -> bool {
    if rule(container, ended.exit.code).is_some() {
        return true;
    }
    let failed = ended.exit.code != 0 || ended.unhealthy;
    policy(pod, container).restarts(failed)
}

fn policy(pod: &Pod, container: &Container) -> RestartPolicy {
    match container.restart_policy.as_deref() {
        Some(own) => RestartPolicy::parse(Some(own)),
        None => RestartPolicy::of(pod),
    }
}

/// Whether any failure is followed by a restart; what the event says of a container that a probe ends.
pub fn may_restart(pod: &Pod, container: &Container) -> bool {
    policy(pod, container) != RestartPolicy::Never
}

/// The first of the container's rules that matches; its action is `Restart` or `RestartAllContainers`.
fn rule(container: &Container, code: i32) -> Option<&ContainerRestartRule> {
    let rules = container.restart_policy_rules.iter().flatten();
    rules.into_iter().find(|rule| matches(rule, code))
}

/// The rule's action that takes the whole pod along.
const ALL: &str = "RestartAllContainers";

/// Whether a container of this sandbox ended in a way that makes all containers run again, from the first init
/// container on.
/// <https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/#restart-all-containers>
pub fn restarts_all(pod: &Pod, state: &PodState) -> bool {
    containers(pod).any(|(_, c)| {
        state
            .record(&c.name)
            .filter(|r| r.here)
            .and_then(Record::ended)
            .and_then(|ended| rule(c, ended.exit.code))
            .is_some_and(|rule| rule.action == ALL)
    })
}

/// Whether any of the pod's rules could do so.
pub fn could_restart_all(pod: &Pod) -> bool {
    containers(pod).any(|(_, c)| {
        let mut rules = c.restart_policy_rules.iter().flatten();
        rules.any(|rule| rule.action == ALL)
    })
}

fn matches(rule: &ContainerRestartRule, code: i32) -> bool {
    let Some(codes) = &rule.exit_codes else {
        return false;
    };
    let listed = codes.values.iter().flatten().any(|value| *value == code);
    match codes.operator.as_str() {
        "In" => listed,
        "NotIn" => !listed,
        _ => false,
    }
}

/// Whether a main container whose newest run is `run` must run (again).
pub fn wants(pod: &Pod, container: &Container, run: &Run) -> bool {
    match run {
        Run::Never => true,
        Run::Running { .. } => false,
        Run::Ended(ended) => restarts(pod, container, ended),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::json;

    #[test]
    fn rules_come_before_policies() {
        let rule = |operator: &str, codes: &[i32]| json!([{"action": "Restart", "exitCodes": {"operator": operator, "values": codes}}]);
        for (of_pod, container, code, expected) in [
            ("Never", json!({}), 1, false),
            ("OnFailure", json!({}), 1, true),
            ("OnFailure", json!({}), 0, false),
            ("Never", json!({"restartPolicy": "Always"}), 0, true),
            ("Always", json!({"restartPolicy": "Never"}), 1, false),
            ("Always", json!({"restartPolicy": "OnFailure"}), 0, false),
            (
                "Always",
                json!({"restartPolicy": "Never", "restartPolicyRules": rule("In", &[42])}),
                42,
                true,
            ),
            (
                "Always",
                json!({"restartPolicy": "Never", "restartPolicyRules": rule("In", &[42])}),
                41,
                false,
            ),
            (
                "Never",
                json!({"restartPolicy": "Never", "restartPolicyRules": rule("NotIn", &[0, 42])}),
                1,
                true,
            ),
        ] {
            let mut container = container;
            container["name"] = "a".into();
            let pod: Pod = serde_json::from_value(
                json!({"spec": {"restartPolicy": of_pod, "containers": [container]}}),
            )
            .unwrap();
            let container = &pod.spec.as_ref().unwrap().containers[0];
            let exit = crate::kubelet::pod::tests::world::exit(code, 0);
            let ended = Ended::from_exit(0, String::new(), exit);
            assert_eq!(
                restarts(&pod, container, &ended),
                expected,
                "{container:?} {code}"
            );
        }
    }
}
