//! Lists that strategic merge patch merges by a key or as a set, by the field's name.
//! Source: `x-kubernetes-patch-merge-key` and `x-kubernetes-patch-strategy` in Kubernetes' OpenAPI.

/// How a list field is changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListMerge {
    /// Items are objects, told apart by this field.
    Key(&'static str),
    /// Items are plain values, each at most once.
    Set,
    /// The list is one value.
    Atomic,
}

/// The rule for `field` inside the map named `parent`.
pub fn list_merge(parent: &str, field: &str) -> ListMerge {
    match (parent, field) {
        // A Service's ports and a container's ports have different keys.
        ("spec", "ports") => ListMerge::Key("port"),
        (_, "ports") => ListMerge::Key("containerPort"),
        // `secrets` of a ServiceAccount stand at the top, beside metadata.
        ("", "secrets")
        | (
            _,
            "containers"
            | "initContainers"
            | "ephemeralContainers"
            | "env"
            | "volumes"
            | "imagePullSecrets"
            | "resourceClaims",
        ) => ListMerge::Key("name"),
        (_, "volumeMounts") => ListMerge::Key("mountPath"),
        (_, "volumeDevices") => ListMerge::Key("devicePath"),
        (_, "hostAliases") => ListMerge::Key("ip"),
        (_, "topologySpreadConstraints") => ListMerge::Key("topologyKey"),
        ("metadata", "ownerReferences") => ListMerge::Key("uid"),
        ("metadata", "finalizers") => ListMerge::Set,
        ("status", "conditions" | "addresses") => ListMerge::Key("type"),
        _ => ListMerge::Atomic,
    }
}
