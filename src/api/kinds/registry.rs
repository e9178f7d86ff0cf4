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
    Kind {
        group: "",
        version: "v1",
        kind: "ConfigMap",
        plural: "configmaps",
        singular: "configmap",
        short_names: &["cm"],
        categories: &[],
        namespaced: true,
        subresources: &[],
        selectable: &[],
        columns: table::CONFIG_MAP,
        strategy: &config_map::ConfigMap,
        check: check::<v1::ConfigMap>,
    },
    Kind {
        group: "",
        version: "v1",
        kind: "Event",
        plural: "events",
        singular: "event",
        short_names: &["ev"],
        categories: &[],
        namespaced: true,
        subresources: &[],
        selectable: &[
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
        ],
        columns: table::EVENT,
        strategy: &event::Event,
        check: check::<v1::Event>,
    },
    Kind {
        group: "",
        version: "v1",
        kind: "Namespace",
        plural: "namespaces",
        singular: "namespace",
        short_names: &["ns"],
        categories: &[],
        namespaced: false,
        subresources: &[Subresource::Status, Subresource::Finalize],
        selectable: &[("status.phase", "/status/phase")],
        columns: table::NAMESPACE,
        strategy: &namespace::Namespace,
        check: check::<v1::Namespace>,
    },
    Kind {
        group: "",
        version: "v1",
        kind: "Node",
        plural: "nodes",
        singular: "node",
        short_names: &["no"],
        categories: &[],
        namespaced: false,
        subresources: &[Subresource::Status, Subresource::Proxy],
        selectable: &[("spec.unschedulable", "/spec/unschedulable")],
        columns: table::NODE,
        strategy: &node::Node,
        check: check::<v1::Node>,
    },
    Kind {
        group: "",
        version: "v1",
        kind: "PersistentVolume",
        plural: "persistentvolumes",
        singular: "persistentvolume",
        short_names: &["pv"],
        categories: &[],
        namespaced: false,
        subresources: &[Subresource::Status],
        selectable: &[],
        columns: table::PERSISTENT_VOLUME,
        strategy: &persistent_volume::PersistentVolume,
        check: check::<v1::PersistentVolume>,
    },
    Kind {
        group: "",
        version: "v1",
        kind: "PersistentVolumeClaim",
        plural: "persistentvolumeclaims",
        singular: "persistentvolumeclaim",
        short_names: &["pvc"],
        categories: &[],
        namespaced: true,
        subresources: &[Subresource::Status],
        selectable: &[],
        columns: table::PERSISTENT_VOLUME_CLAIM,
        strategy: &persistent_volume_claim::PersistentVolumeClaim,
        check: check::<v1::PersistentVolumeClaim>,
    },
    Kind {
        group: "",
        version: "v1",
        kind: "Pod",
        plural: "pods",
        singular: "pod",
        short_names: &["po"],
        categories: &["all"],
        namespaced: true,
        subresources: &[
            Subresource::Status,
            Subresource::Binding,
            Subresource::Log,
            Subresource::Exec,
            Subresource::Attach,
            Subresource::PortForward,
            Subresource::EphemeralContainers,
            Subresource::Resize,
            Subresource::Eviction,
        ],
        selectable: &[
            ("spec.nodeName", "/spec/nodeName"),
            ("spec.restartPolicy", "/spec/restartPolicy"),
            ("spec.schedulerName", "/spec/schedulerName"),
            ("spec.serviceAccountName", "/spec/serviceAccountName"),
            ("spec.hostNetwork", "/spec/hostNetwork"),
            ("status.phase", "/status/phase"),
            ("status.podIP", "/status/podIP"),
            ("status.nominatedNodeName", "/status/nominatedNodeName"),
        ],
        columns: table::POD,
        strategy: &pod::Pod,
        check: check::<v1::Pod>,
    },
    Kind {
        group: "",
        version: "v1",
        kind: "Secret",
        plural: "secrets",
        singular: "secret",
        short_names: &[],
        categories: &[],
        namespaced: true,
        subresources: &[],
        selectable: &[("type", "/type")],
        columns: table::SECRET,
        strategy: &secret::Secret,
        check: check::<v1::Secret>,
    },
    Kind {
        group: "",
        version: "v1",
        kind: "ServiceAccount",
        plural: "serviceaccounts",
        singular: "serviceaccount",
        short_names: &["sa"],
        categories: &[],
        namespaced: true,
        subresources: &[Subresource::Token],
        selectable: &[],
        columns: table::SERVICE_ACCOUNT,
        strategy: &service_account::ServiceAccount,
        check: check::<v1::ServiceAccount>,
    },
    Kind {
        group: "",
        version: "v1",
        kind: "Service",
        plural: "services",
        singular: "service",
        short_names: &["svc"],
        categories: &["all"],
        namespaced: true,
        subresources: &[Subresource::Status],
        selectable: &[
            ("spec.clusterIP", "/spec/clusterIP"),
            ("spec.type", "/spec/type"),
        ],
        columns: table::SERVICE,
        strategy: &service::Service,
        check: check::<v1::Service>,
    },
    Kind {
        group: "storage.k8s.io",
        version: "v1",
        kind: "StorageClass",
        plural: "storageclasses",
        singular: "storageclass",
        short_names: &["sc"],
        categories: &[],
        namespaced: false,
        subresources: &[],
        selectable: &[],
        columns: table::STORAGE_CLASS,
        strategy: &storage_class::StorageClass,
        check: check::<storage::v1::StorageClass>,
    },
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
