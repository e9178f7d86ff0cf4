//! Every kind the API serves: what pods and their surroundings are made of here, who may do what in `access`.

mod access;
mod policies;
mod workloads;

use super::check::check;
use super::{
    Kind, Subresource, config_map, event, metrics, namespace, node, persistent_volume,
    persistent_volume_claim, pod, secret, service, service_account, storage_class,
};
use crate::api::table;
use k8s_openapi::api::core::v1;
use k8s_openapi::api::storage;
use std::sync::LazyLock;

static KINDS: &[Kind] = &[
    Kind::new(
        "",
        "ConfigMap",
        ["configmaps", "configmap"],
        &config_map::ConfigMap,
        check::<v1::ConfigMap>,
    )
    .short(&["cm"])
    .columns(table::CONFIG_MAP),
    Kind::new(
        "",
        "Event",
        ["events", "event"],
        &event::Event,
        check::<v1::Event>,
    )
    .short(&["ev"])
    .selectable(&[
        ("involvedObject.kind", "/involvedObject/kind"),
        ("involvedObject.namespace", "/involvedObject/namespace"),
        ("involvedObject.name", "/involvedObject/name"),
        ("involvedObject.uid", "/involvedObject/uid"),
        ("involvedObject.apiVersion", "/involvedObject/apiVersion"),
        (
            "involvedObject.resourceVersion",
            "/involvedObject/resourceVersion",
        ),
        ("involvedObject.fieldPath", "/involvedObject/fieldPath"),
        ("reason", "/reason"),
        ("reportingComponent", "/reportingComponent"),
        ("source", "/source/component"),
        ("type", "/type"),
    ])
    .columns(table::EVENT),
    Kind::new(
        "",
        "Namespace",
        ["namespaces", "namespace"],
        &namespace::Namespace,
        check::<v1::Namespace>,
    )
    .cluster_wide()
    .short(&["ns"])
    .parts(&[Subresource::Status, Subresource::Finalize])
    .selectable(&[("status.phase", "/status/phase")])
    .columns(table::NAMESPACE),
    Kind::new(
        "",
        "Node",
        ["nodes", "node"],
        &node::Node,
        check::<v1::Node>,
    )
    .cluster_wide()
    .short(&["no"])
    .parts(&[Subresource::Status, Subresource::Proxy])
    .selectable(&[("spec.unschedulable", "/spec/unschedulable")])
    .columns(table::NODE),
    Kind::new(
        "",
        "PersistentVolume",
        ["persistentvolumes", "persistentvolume"],
        &persistent_volume::PersistentVolume,
        check::<v1::PersistentVolume>,
    )
    .cluster_wide()
    .short(&["pv"])
    .parts(&[Subresource::Status])
    .tells_deleted()
    .columns(table::PERSISTENT_VOLUME),
    Kind::new(
        "",
        "PersistentVolumeClaim",
        ["persistentvolumeclaims", "persistentvolumeclaim"],
        &persistent_volume_claim::PersistentVolumeClaim,
        check::<v1::PersistentVolumeClaim>,
    )
    .short(&["pvc"])
    .parts(&[Subresource::Status])
    .tells_deleted()
    .columns(table::PERSISTENT_VOLUME_CLAIM),
    Kind::new("", "Pod", ["pods", "pod"], &pod::Pod, check::<v1::Pod>)
        .short(&["po"])
        .in_all()
        .parts(&[
            Subresource::Status,
            Subresource::Binding,
            Subresource::Log,
            Subresource::Exec,
            Subresource::Attach,
            Subresource::PortForward,
            Subresource::EphemeralContainers,
            Subresource::Resize,
            Subresource::Eviction,
        ])
        .selectable(&[
            ("spec.nodeName", "/spec/nodeName"),
            ("spec.restartPolicy", "/spec/restartPolicy"),
            ("spec.schedulerName", "/spec/schedulerName"),
            ("spec.serviceAccountName", "/spec/serviceAccountName"),
            ("spec.hostNetwork", "/spec/hostNetwork"),
            ("status.phase", "/status/phase"),
            ("status.podIP", "/status/podIP"),
            ("status.nominatedNodeName", "/status/nominatedNodeName"),
        ])
        .tells_deleted()
        .columns(table::POD),
    Kind::new(
        "",
        "Secret",
        ["secrets", "secret"],
        &secret::Secret,
        check::<v1::Secret>,
    )
    .selectable(&[("type", "/type")])
    .columns(table::SECRET),
    Kind::new(
        "",
        "ServiceAccount",
        ["serviceaccounts", "serviceaccount"],
        &service_account::ServiceAccount,
        check::<v1::ServiceAccount>,
    )
    .short(&["sa"])
    .parts(&[Subresource::Token])
    .tells_deleted()
    .columns(table::SERVICE_ACCOUNT),
    Kind::new(
        "",
        "Service",
        ["services", "service"],
        &service::Service,
        check::<v1::Service>,
    )
    .short(&["svc"])
    .in_all()
    .parts(&[Subresource::Status])
    .selectable(&[
        ("spec.clusterIP", "/spec/clusterIP"),
        ("spec.type", "/spec/type"),
    ])
    .tells_deleted()
    .columns(table::SERVICE),
    Kind::new(
        "storage.k8s.io",
        "StorageClass",
        ["storageclasses", "storageclass"],
        &storage_class::StorageClass,
        check::<storage::v1::StorageClass>,
    )
    .cluster_wide()
    .short(&["sc"])
    .tells_deleted()
    .columns(table::STORAGE_CLASS),
    metrics::NODE_METRICS,
    metrics::POD_METRICS,
];

/// Every kind, in discovery order.
pub fn all() -> &'static [Kind] {
    static ALL: LazyLock<Vec<Kind>> =
        LazyLock::new(|| [KINDS, access::KINDS, policies::KINDS, workloads::KINDS].concat());
    &ALL
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn no_object_breaks_a_strategy() {
        let odd = [
            json!(null),
            json!(1),
            json!("x"),
            json!([1]),
            json!({"a": 1}),
        ];
        let mut objects = vec![json!({})];
        for value in &odd {
            for field in [
                "metadata",
                "spec",
                "status",
                "data",
                "stringData",
                "involvedObject",
            ] {
                objects.push(json!({"metadata": {"name": "a", "labels": value}, field: value}));
            }
            for field in [
                "containers",
                "volumes",
                "ports",
                "tolerations",
                "finalizers",
                "taints",
                "selector",
                "dnsConfig",
                "limits",
                "hard",
                "scopes",
                "scopeSelector",
                "rules",
                "tls",
                "ingress",
                "egress",
                "metrics",
                "behavior",
            ] {
                objects.push(json!({"spec": {field: value}}));
                objects.push(json!({"spec": {field: [value]}}));
            }
            for field in [
                "ports",
                "env",
                "envFrom",
                "resources",
                "volumeMounts",
                "securityContext",
                "image",
            ] {
                objects.push(json!({"spec": {"containers": [{field: value}]}}));
                objects.push(json!({"spec": {"containers": [{field: [value]}]}}));
            }
            objects.push(json!({"spec": {"containers": [{"resources": {"limits": value, "requests": value}}]}}));
            objects.push(json!({"spec": {"volumes": [{"configMap": value, "hostPath": value}]}}));
        }
        for kind in all() {
            for object in &objects {
                let strategy = kind.strategy;
                let mut changed = object.clone();
                let _ = (kind.check)(object);
                strategy.default(&mut changed);
                strategy.prepare_create(&mut changed);
                strategy.prepare_update(object, &mut changed);
                strategy.prepare_status_update(object, &mut changed);
                let _ = strategy.validate(&changed);
                let _ = strategy.validate_update(object, &changed);
                if let Some(view) = strategy.view() {
                    let _ = (view.to_stored)(object.clone());
                    let _ = (view.from_stored)(object.clone());
                }
                let _ = strategy.grace_period_seconds(&changed);
                let _: Value = kind
                    .columns
                    .iter()
                    .map(|column| (column.cell)(object, 0))
                    .collect();
            }
        }
    }

    #[test]
    fn names_are_unique() {
        let mut seen = std::collections::HashSet::new();
        for kind in all() {
            let names = [kind.plural, kind.singular];
            for name in names.iter().chain(kind.short_names) {
                // Endpoints are their own singular, and some kinds have none.
                let again = name.is_empty() || kind.plural == kind.singular;
                assert!(
                    seen.insert((kind.group, kind.version, *name)) || again,
                    "{name}"
                );
            }
        }
    }
}
