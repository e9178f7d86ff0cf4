//! Manifests of an ordinary size, and what there is of each kind.

use super::fleet::LABEL;
use futures::StreamExt;
use kube::api::{Api, DynamicObject, PostParams};
use kube::core::{ApiResource, GroupVersionKind};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// The pods of an application of a usual kind: configuration, secret, probes, limits. 3 KiB as a stored Pod.
pub fn template(app: &str, image: &str) -> Value {
    json!({
        "metadata": {"labels": {"app": app, "tier": "backend"}, "annotations": {"prometheus.io/scrape": "true"}},
        "spec": {
            "nodeSelector": {LABEL: "true"},
            "terminationGracePeriodSeconds": 1,
            "containers": [{
                "name": "main", "image": image,
                "ports": [{"name": "http", "containerPort": 8080}],
                "env": [
                    {"name": "LISTEN", "value": "0.0.0.0:8080"},
                    {"name": "POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}],
                "envFrom": [{"configMapRef": {"name": "settings", "optional": true}}],
                "resources": {"requests": {"cpu": "10m", "memory": "16Mi"}, "limits": {"memory": "64Mi"}},
                "readinessProbe": {"httpGet": {"path": "/ready", "port": "http"}},
                "livenessProbe": {"httpGet": {"path": "/live", "port": "http"}},
                "volumeMounts": [{"name": "settings", "mountPath": "/etc/settings"}],
            }],
            "volumes": [{"name": "settings", "configMap": {"name": "settings", "optional": true}}],
        },
    })
}

pub fn deployment(namespace: &str, name: &str, replicas: usize) -> Value {
    workload("Deployment", namespace, name, replicas)
}

pub fn workload(kind: &str, namespace: &str, name: &str, replicas: usize) -> Value {
    let mut object = json!({
        "apiVersion": "apps/v1", "kind": kind,
        "metadata": {"name": name, "namespace": namespace, "labels": {"app": name}},
        "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": name}},
            "template": template(name, "registry.example/app:1")},
    });
    match kind {
        "StatefulSet" => object["spec"]["serviceName"] = name.into(),
        "DaemonSet" => {
            object["spec"]
                .as_object_mut()
                .expect("spec")
                .remove("replicas");
        }
        _ => {}
    }
    object
}

pub fn service(namespace: &str, app: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": app, "namespace": namespace, "labels": {"app": app}},
        "spec": {"selector": {"app": app}, "ports": [{"name": "http", "port": 80, "targetPort": "http"}]},
    })
}

pub fn budget(namespace: &str, app: &str) -> Value {
    json!({
        "apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": app, "namespace": namespace},
        "spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": app}}},
    })
}

pub fn autoscaler(namespace: &str, app: &str, most: usize) -> Value {
    json!({
        "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": app, "namespace": namespace},
        "spec": {"minReplicas": 1, "maxReplicas": most,
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": app},
            "metrics": [{"type": "Resource", "resource": {"name": "cpu",
                "target": {"type": "Utilization", "averageUtilization": 80}}}]},
    })
}

pub fn cron_job(namespace: &str, name: &str) -> Value {
    let mut template = template(name, "registry.example/backup:1");
    template["spec"]["restartPolicy"] = "Never".into();
    json!({
        "apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": name, "namespace": namespace},
        "spec": {"schedule": "* * * * *", "suspend": true, "jobTemplate": {"spec": {"template": template}}},
    })
}

pub fn namespace(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
}

/// A KiB of settings.
pub fn config_map(namespace: &str, name: &str) -> Value {
    let lines: String = (0..16)
        .map(|line| format!("setting.{line:02}.of.{name:.20} = a value of some words and {line}\n"))
        .collect();
    json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": namespace},
        "data": {"app.properties": lines, "level": "info"},
    })
}

/// Half a KiB of key.
pub fn secret(namespace: &str, name: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Secret", "type": "Opaque", "metadata": {"name": name, "namespace": namespace},
        "stringData": {"password": "a long and secret one", "key": "0123456789abcdef".repeat(32)},
    })
}

/// Creates them, some at once; the order is kept for those far apart only.
pub async fn create(client: &kube::Client, objects: impl IntoIterator<Item = Value>) {
    futures::stream::iter(objects)
        .for_each_concurrent(8, |object| async move {
            let parameters = PostParams::default();
            let made: DynamicObject = serde_json::from_value(object).expect("object");
            let api = api_of(client, &made);
            if let Err(error) = api.create(&parameters, &made).await {
                panic!("{:?} is not created: {error}", made.metadata.name);
            }
        })
        .await;
}

pub fn api_of(client: &kube::Client, object: &DynamicObject) -> Api<DynamicObject> {
    let types = object.types.as_ref().expect("kind");
    let kind = GroupVersionKind::try_from(types).expect("kind");
    let resource = ApiResource::from_gvk(&kind);
    match object.metadata.namespace.as_deref() {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, &resource),
        None => Api::all_with(client.clone(), &resource),
    }
}

/// Every kind there is anything of on such a cluster.
const COLLECTIONS: [&str; 24] = [
    "/api/v1/configmaps",
    "/api/v1/endpoints",
    "/api/v1/events",
    "/api/v1/namespaces",
    "/api/v1/nodes",
    "/api/v1/pods",
    "/api/v1/secrets",
    "/api/v1/serviceaccounts",
    "/api/v1/services",
    "/apis/apps/v1/controllerrevisions",
    "/apis/apps/v1/daemonsets",
    "/apis/apps/v1/deployments",
    "/apis/apps/v1/replicasets",
    "/apis/apps/v1/statefulsets",
    "/apis/autoscaling/v2/horizontalpodautoscalers",
    "/apis/batch/v1/cronjobs",
    "/apis/coordination.k8s.io/v1/leases",
    "/apis/discovery.k8s.io/v1/endpointslices",
    "/apis/policy/v1/poddisruptionbudgets",
    "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
    "/apis/rbac.authorization.k8s.io/v1/clusterroles",
    "/apis/rbac.authorization.k8s.io/v1/roles",
    "/apis/scheduling.k8s.io/v1/priorityclasses",
    "/apis/storage.k8s.io/v1/storageclasses",
];

/// What is stored.
pub struct Stored {
    /// Path to resourceVersion. Renewals of Leases are left out: they are not stored.
    pub versions: BTreeMap<String, String>,
    pub revision: u64,
    /// Bytes of all objects as JSON.
    pub bytes: usize,
}

pub async fn stored(client: &kube::Client) -> Stored {
    let mut stored = Stored {
        versions: BTreeMap::new(),
        revision: 0,
        bytes: 0,
    };
    for collection in COLLECTIONS {
        let mut next = String::new();
        loop {
            let uri = format!("{collection}?limit=500&continue={next}");
            let request = http::Request::get(uri).body(Vec::new()).expect("request");
            let list: Value = client.request(request).await.expect(collection);
            let metadata = &list["metadata"];
            let revision = metadata["resourceVersion"].as_str().unwrap_or_default();
            stored.revision = stored.revision.max(revision.parse().expect("revision"));
            for item in list["items"].as_array().expect("items") {
                let meta = &item["metadata"];
                let text = |name: &str| meta[name].as_str().unwrap_or_default();
                let key = format!("{collection}/{}/{}", text("namespace"), text("name"));
                let version = if collection.ends_with("leases") {
                    ""
                } else {
                    text("resourceVersion")
                };
                stored.versions.insert(key, version.to_owned());
                stored.bytes += item.to_string().len();
            }
            metadata["continue"]
                .as_str()
                .unwrap_or_default()
                .clone_into(&mut next);
            if next.is_empty() {
                break;
            }
        }
    }
    stored
}

impl Stored {
    pub fn count(&self) -> usize {
        self.versions.len()
    }

    /// How many of each collection.
    pub fn by_kind(&self) -> String {
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for key in self.versions.keys() {
            let kind = key.trim_start_matches('/').split('/').rev().nth(2);
            *counts.entry(kind.unwrap_or_default()).or_default() += 1;
        }
        let counts: Vec<String> = counts
            .iter()
            .map(|(kind, n)| format!("{n} {kind}"))
            .collect();
        counts.join(", ")
    }

    /// What came, changed or went since `before`.
    pub fn changes<'a>(&'a self, before: &'a Stored) -> Vec<&'a str> {
        let now = self.versions.iter();
        let changed = now.filter(|(key, version)| before.versions.get(*key) != Some(version));
        let gone = before
            .versions
            .keys()
            .filter(|key| !self.versions.contains_key(*key));
        changed
            .map(|(key, _)| key.as_str())
            .chain(gone.map(String::as_str))
            .collect()
    }
}
