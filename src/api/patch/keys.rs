//! How lists merge, by the path of their field: upstream's `patchStrategy` and `patchMergeKey` tags in one table.

/// How a field's patch meets what is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strategy {
    /// The list is replaced as a whole.
    Atomic,
    /// A list of objects, told apart by this key.
    ByKey(&'static str),
    /// A list of strings that is a set.
    Set,
}

/// Kind (`*`: any), end of the field's path without list indices, strategy. The first match counts.
const RULES: &[(&str, &str, Strategy)] = &[
    ("*", "metadata.ownerReferences", Strategy::ByKey("uid")),
    ("*", "metadata.finalizers", Strategy::Set),
    ("Service", "spec.ports", Strategy::ByKey("port")),
    ("ServiceAccount", "secrets", Strategy::ByKey("name")),
    ("ServiceAccount", "imagePullSecrets", Strategy::Atomic),
    ("Node", "spec.podCIDRs", Strategy::Set),
    ("Node", "status.addresses", Strategy::ByKey("type")),
    ("*", "containers.ports", Strategy::ByKey("containerPort")),
    (
        "*",
        "initContainers.ports",
        Strategy::ByKey("containerPort"),
    ),
    (
        "*",
        "ephemeralContainers.ports",
        Strategy::ByKey("containerPort"),
    ),
    ("*", "containers.env", Strategy::ByKey("name")),
    ("*", "initContainers.env", Strategy::ByKey("name")),
    ("*", "ephemeralContainers.env", Strategy::ByKey("name")),
    ("*", "volumeMounts", Strategy::ByKey("mountPath")),
    ("*", "volumeDevices", Strategy::ByKey("devicePath")),
    ("*", "spec.containers", Strategy::ByKey("name")),
    ("*", "spec.initContainers", Strategy::ByKey("name")),
    ("*", "spec.ephemeralContainers", Strategy::ByKey("name")),
    ("*", "spec.volumes", Strategy::ByKey("name")),
    ("*", "spec.imagePullSecrets", Strategy::ByKey("name")),
    ("*", "spec.hostAliases", Strategy::ByKey("ip")),
    (
        "*",
        "spec.topologySpreadConstraints",
        Strategy::ByKey("topologyKey"),
    ),
    ("*", "spec.schedulingGates", Strategy::ByKey("name")),
    ("*", "spec.resourceClaims", Strategy::ByKey("name")),
    ("*", "status.resourceClaimStatuses", Strategy::ByKey("name")),
    ("*", "status.podIPs", Strategy::ByKey("ip")),
    ("*", "status.hostIPs", Strategy::ByKey("ip")),
    ("*", "status.conditions", Strategy::ByKey("type")),
];

/// The strategy of the list at `path` (`spec.containers.env`).
pub fn strategy(kind: &str, path: &str) -> Strategy {
    RULES
        .iter()
        .find(|(of, suffix, _)| (*of == "*" || *of == kind) && ends_with(path, suffix))
        .map_or(Strategy::Atomic, |(_, _, strategy)| *strategy)
}

fn ends_with(path: &str, suffix: &str) -> bool {
    path.strip_suffix(suffix)
        .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strategies() {
        for (kind, path, want) in [
            ("Pod", "spec.containers", Strategy::ByKey("name")),
            (
                "Deployment",
                "spec.template.spec.containers",
                Strategy::ByKey("name"),
            ),
            (
                "Pod",
                "spec.containers.ports",
                Strategy::ByKey("containerPort"),
            ),
            ("Service", "spec.ports", Strategy::ByKey("port")),
            ("Widget", "spec.ports", Strategy::Atomic),
            ("Pod", "spec.tolerations", Strategy::Atomic),
            ("Pod", "spec.containers.args", Strategy::Atomic),
            ("ConfigMap", "metadata.finalizers", Strategy::Set),
            ("Pod", "myspec.containers", Strategy::Atomic),
        ] {
            assert_eq!(strategy(kind, path), want, "{kind} {path}");
        }
    }
}
