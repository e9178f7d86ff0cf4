//! What a pod's failure means to its Job (`spec.podFailurePolicy`): the first rule that fits decides.
//! <https://kubernetes.io/docs/concepts/workloads/controllers/job/#pod-failure-policy>

use super::pods;
use super::spec::Spec;
use crate::controllers::world::{ContainerStatusView, PodView, TerminatedView};
use k8s_openapi::api::batch::v1::{
    PodFailurePolicyOnExitCodesRequirement, PodFailurePolicyOnPodConditionsPattern,
};
use k8s_openapi::api::core::v1::PodCondition;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Towards the back-off limit: what no rule fits too.
    Count,
    Ignore,
    FailIndex,
    /// With the condition's message.
    FailJob(String),
}

impl Verdict {
    pub fn counts(&self) -> bool {
        *self != Verdict::Ignore
    }
}

/// The verdict on a failed pod.
pub fn judge(spec: &Spec<'_>, pod: &PodView) -> Verdict {
    let policy = spec.fields.pod_failure_policy.as_ref();
    let rules = policy.map(|p| p.rules.as_slice()).unwrap_or_default();
    for (number, rule) in rules.iter().enumerate() {
        let cause = if let Some(codes) = &rule.on_exit_codes {
            by_exit_code(pod, codes).map(|(status, ended)| {
                let (container, code) = (&status.name, ended.exit_code);
                format!(
                    "Container {container} for pod {} failed with exit code {code}",
                    full_name(pod)
                )
            })
        } else {
            let patterns = rule.on_pod_conditions.as_deref().unwrap_or_default();
            by_condition(pod, patterns)
                .map(|found| format!("Pod {} has condition {}", full_name(pod), found.type_))
        };
        let Some(cause) = cause else {
            continue;
        };
        match rule.action.as_str() {
            "Ignore" => return Verdict::Ignore,
            "Count" => return Verdict::Count,
            "FailIndex" => return Verdict::FailIndex,
            "FailJob" => {
                let message = format!("{cause} matching FailJob rule at index {number}");
                return Verdict::FailJob(message);
            }
            // An action of a later Kubernetes: as if the rule were not there.
            _ => {}
        }
    }
    Verdict::Count
}

fn full_name(pod: &PodView) -> String {
    let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
    format!("{namespace}/{}", pods::name(pod))
}

fn by_exit_code<'a>(
    pod: &'a PodView,
    wanted: &PodFailurePolicyOnExitCodesRequirement,
) -> Option<(&'a ContainerStatusView, &'a TerminatedView)> {
    let status = &pod.status;
    let all = status.container_statuses.iter();
    all.chain(&status.init_container_statuses)
        .filter(|status| {
            let name = wanted.container_name.as_ref();
            name.is_none_or(|name| *name == status.name)
        })
        .filter_map(|status| Some((status, status.state.terminated.as_ref()?)))
        .find(|(_, ended)| {
            let listed = wanted.values.contains(&ended.exit_code);
            let fits = match wanted.operator.as_str() {
                "In" => listed,
                "NotIn" => !listed,
                _ => false,
            };
            ended.exit_code != 0 && fits
        })
}

fn by_condition<'a>(
    pod: &'a PodView,
    patterns: &[PodFailurePolicyOnPodConditionsPattern],
) -> Option<&'a PodCondition> {
    pod.status.conditions.iter().find(|found| {
        patterns.iter().any(|pattern| {
            pattern.type_ == found.type_
                && pattern.status.as_deref().unwrap_or("True") == found.status
        })
    })
}
