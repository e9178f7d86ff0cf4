//! What users make: one line per kind that a controller acts on, and those that get in each other's way.

use serde_json::{Value, json};

/// Where objects are; in the second one everything may end at once.
pub const NAMESPACES: [&str; 2] = ["sim", "side"];
pub const NAMES: [&str; 2] = ["a", "b"];
/// Of an image that never comes.
pub const STUCK: &str = "i:0";

/// Objects of one kind, and how one of them looks.
pub struct Manifest {
    /// `/apis/apps/v1`
    pub group: &'static str,
    pub plural: &'static str,
    /// Before the name; `-0` stands behind it.
    prefix: &'static str,
    make: fn(&str) -> Value,
}

impl Manifest {
    pub fn object(&self, name: &str) -> Value {
        let mut object = (self.make)(name);
        object["metadata"]["name"] = match self.prefix {
            FIRST => format!("{name}{FIRST}"),
            prefix => format!("{prefix}{name}"),
        }
        .into();
        object
    }

    /// The collection; cluster-wide kinds are in no namespace.
    pub fn path(&self, namespace: &str) -> String {
        collection(self.group, self.plural, namespace)
    }
}

/// How a StatefulSet's first pod is named.
const FIRST: &str = "-0";
const CLUSTER_WIDE: [&str; 2] = ["persistentvolumes", "clusterroles"];

pub fn collection(group: &str, plural: &str, namespace: &str) -> String {
    if CLUSTER_WIDE.contains(&plural) {
        return format!("{group}/{plural}");
    }
    format!("{group}/namespaces/{namespace}/{plural}")
}

const fn of(
    group: &'static str,
    plural: &'static str,
    prefix: &'static str,
    make: fn(&str) -> Value,
) -> Manifest {
    Manifest {
        group,
        plural,
        prefix,
        make,
    }
}

const CORE: &str = "/api/v1";
const APPS: &str = "/apis/apps/v1";
const BATCH: &str = "/apis/batch/v1";
const RBAC: &str = "/apis/rbac.authorization.k8s.io/v1";

pub const MANIFESTS: &[Manifest] = &[
    of(CORE, "configmaps", "", config_map),
    of(CORE, "secrets", "", secret),
    of(APPS, "deployments", "", deployment),
    of(APPS, "deployments", "eph-", with_ephemeral),
    of(APPS, "replicasets", "", replica_set),
    of(APPS, "replicasets", "twin-", twin),
    of(APPS, "replicasets", "all-", of_everything),
    of(CORE, "replicationcontrollers", "", replication_controller),
    of(APPS, "statefulsets", "", stateful_set),
    of(APPS, "daemonsets", "", daemon_set),
    of(BATCH, "jobs", "", job),
    of(BATCH, "cronjobs", "", cron_job),
    of(CORE, "pods", "", pod),
    of(CORE, "pods", FIRST, pod_in_the_way),
    of(CORE, "services", "", service),
    of(CORE, "services", "free-", free_service),
    of(CORE, "endpoints", "free-", free_endpoints),
    of("/apis/policy/v1", "poddisruptionbudgets", "", budget),
    of(
        "/apis/autoscaling/v2",
        "horizontalpodautoscalers",
        "",
        autoscaler,
    ),
    of(CORE, "resourcequotas", "", quota),
    of(CORE, "persistentvolumeclaims", "", claim),
    of(CORE, "persistentvolumes", "", volume),
    of(CORE, "serviceaccounts", "", account),
    of(CORE, "secrets", "token-", token_secret),
    of(RBAC, "clusterroles", "sim-", role),
];

/// What controllers make, and users may take away all the same.
pub const MADE: &[(&str, &str)] = &[
    ("/apis/discovery.k8s.io/v1", "endpointslices"),
    (APPS, "controllerrevisions"),
];

fn deployment(name: &str) -> Value {
    let app = format!("d-{name}");
    json!({"apiVersion": "apps/v1", "kind": "Deployment",
        "spec": {"replicas": 2, "progressDeadlineSeconds": 60, "selector": {"matchLabels": {"app": app}},
            "template": template(&app, "Always")}})
}

/// Each of its pods brings a claim along.
fn with_ephemeral(name: &str) -> Value {
    let mut deployment = deployment(&format!("eph-{name}"));
    deployment["spec"]["template"]["spec"]["volumes"] = json!([{"name": "v", "ephemeral": {"volumeClaimTemplate":
        {"spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Mi"}}}}}}]);
    deployment
}

fn replica_set(name: &str) -> Value {
    let app = format!("r-{name}");
    json!({"apiVersion": "apps/v1", "kind": "ReplicaSet",
        "spec": {"replicas": 2, "selector": {"matchLabels": {"app": app}}, "template": template(&app, "Always")}})
}

/// Two of these select the same pods.
fn twin(_: &str) -> Value {
    let mut set = replica_set("twin");
    set["spec"]["template"]["metadata"]["labels"]["other"] = "yes".into();
    set
}

/// It selects every pod there is.
fn of_everything(_: &str) -> Value {
    json!({"apiVersion": "apps/v1", "kind": "ReplicaSet",
        "spec": {"replicas": 1, "selector": {"matchExpressions": [{"key": "app", "operator": "Exists"}]},
            "template": template("all", "Always")}})
}

fn replication_controller(name: &str) -> Value {
    let app = format!("c-{name}");
    json!({"apiVersion": "v1", "kind": "ReplicationController",
        "spec": {"replicas": 2, "selector": {"app": app}, "template": template(&app, "Always")}})
}

/// Of the pods of a Deployment of the same name.
fn service(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Service",
        "spec": {"selector": {"app": format!("d-{name}")}, "ports": [{"port": 80}]}})
}

/// Users say themselves where it leads.
fn free_service(_: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Service", "spec": {"ports": [{"port": 80}]}})
}

fn free_endpoints(name: &str) -> Value {
    let ready = json!([{"ip": "192.0.2.1"}, {"ip": "2001:db8::1"}]);
    let waiting = json!([{"ip": "192.0.2.2"}]);
    let subset = match name {
        "a" => json!({"addresses": ready, "ports": [{"port": 8080}]}),
        _ => {
            json!({"addresses": ready, "notReadyAddresses": waiting, "ports": [{"name": "x", "port": 1}]})
        }
    };
    json!({"apiVersion": "v1", "kind": "Endpoints", "subsets": [subset]})
}

/// One for a Deployment's pods, one for all pods, of some of which nobody can say how many there should be.
fn budget(name: &str) -> Value {
    let spec = match name {
        "a" => json!({"maxUnavailable": 1, "selector": {"matchLabels": {"app": "d-a"}}}),
        _ => json!({"maxUnavailable": "50%", "selector": {}}),
    };
    json!({"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "spec": spec})
}

/// Of two names, one is in order and its claims stay, the other parallel and its claims go.
fn stateful_set(name: &str) -> Value {
    let app = format!("s-{name}");
    let (policy, retention) = match name {
        "a" => ("OrderedReady", "Retain"),
        _ => ("Parallel", "Delete"),
    };
    json!({"apiVersion": "apps/v1", "kind": "StatefulSet",
        "spec": {"replicas": 2, "serviceName": name, "podManagementPolicy": policy,
            "persistentVolumeClaimRetentionPolicy": {"whenDeleted": retention, "whenScaled": retention},
            "selector": {"matchLabels": {"app": app}}, "template": template(&app, "Always"),
            "volumeClaimTemplates": [{"metadata": {"name": "v"}, "spec": {"accessModes": ["ReadWriteOnce"],
                "resources": {"requests": {"storage": "1Mi"}}}}]}})
}

/// Of two names, one surges.
fn daemon_set(name: &str) -> Value {
    let app = format!("n-{name}");
    let surge = i64::from(name != "a");
    json!({"apiVersion": "apps/v1", "kind": "DaemonSet",
        "spec": {"updateStrategy": {"rollingUpdate": {"maxSurge": surge, "maxUnavailable": 1 - surge}},
            "selector": {"matchLabels": {"app": app}}, "template": template(&app, "Always")}})
}

/// Of two names, one goes some time after its end, the other has indexes.
fn job(name: &str) -> Value {
    let template = template("j", "Never");
    let spec = match name {
        "a" => {
            json!({"completions": 3, "parallelism": 2, "backoffLimit": 2, "ttlSecondsAfterFinished": 30})
        }
        _ => {
            json!({"completions": 2, "parallelism": 2, "completionMode": "Indexed", "backoffLimitPerIndex": 1})
        }
    };
    let mut job = json!({"apiVersion": "batch/v1", "kind": "Job", "spec": spec});
    job["spec"]["template"] = template;
    job
}

fn cron_job(name: &str) -> Value {
    let policy = match name {
        "a" => "Forbid",
        _ => "Replace",
    };
    json!({"apiVersion": "batch/v1", "kind": "CronJob",
        "spec": {"schedule": "* * * * *", "concurrencyPolicy": policy, "successfulJobsHistoryLimit": 2,
            "jobTemplate": {"spec": {"template": template("k", "Never")}}}})
}

/// One uses a claim, the other is as if a ReplicaSet had made it.
fn pod(name: &str) -> Value {
    let mut pod = template(if name == "a" { "p" } else { "r-b" }, "Always");
    pod["apiVersion"] = "v1".into();
    pod["kind"] = "Pod".into();
    if name == "a" {
        pod["spec"]["volumes"] =
            json!([{"name": "v", "persistentVolumeClaim": {"claimName": "a"}}]);
    }
    pod
}

/// It has, or would have, the name of a StatefulSet's first pod: one will be adopted, the other is in the way.
fn pod_in_the_way(name: &str) -> Value {
    let mut pod = template(if name == "a" { "s-a" } else { "other" }, "Always");
    pod["apiVersion"] = "v1".into();
    pod["kind"] = "Pod".into();
    pod
}

/// For a Deployment, or for a StatefulSet.
fn autoscaler(name: &str) -> Value {
    let kind = if name == "a" {
        "Deployment"
    } else {
        "StatefulSet"
    };
    json!({"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler",
        "spec": {"scaleTargetRef": {"apiVersion": "apps/v1", "kind": kind, "name": name},
            "minReplicas": 1, "maxReplicas": 4, "behavior": {"scaleDown": {"stabilizationWindowSeconds": 30}},
            "metrics": [{"type": "Resource", "resource": {"name": "cpu",
                "target": {"type": "Utilization", "averageUtilization": 50}}}]}})
}

/// One that is never reached, and one that refuses most.
fn quota(name: &str) -> Value {
    let hard = match name {
        "a" => {
            json!({"pods": "200", "services": "20", "requests.cpu": "100", "count/configmaps": "9"})
        }
        _ => json!({"pods": "5", "persistentvolumeclaims": "2"}),
    };
    json!({"apiVersion": "v1", "kind": "ResourceQuota", "spec": {"hard": hard}})
}

/// Of the default class, which waits for a pod, or of none, which takes a volume that is there.
fn claim(name: &str) -> Value {
    let mut claim = json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim",
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Mi"}}}});
    if name != "a" {
        claim["spec"]["storageClassName"] = "".into();
    }
    claim
}

fn volume(name: &str) -> Value {
    let policy = if name == "a" { "Retain" } else { "Delete" };
    json!({"apiVersion": "v1", "kind": "PersistentVolume",
        "spec": {"accessModes": ["ReadWriteOnce"], "capacity": {"storage": "2Mi"}, "storageClassName": "",
            "persistentVolumeReclaimPolicy": policy, "hostPath": {"path": "/tmp/x"}}})
}

/// One is the sum of those like the other.
fn role(name: &str) -> Value {
    match name {
        "a" => json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
            "aggregationRule": {"clusterRoleSelectors": [{"matchLabels": {"sim": "yes"}}]}, "rules": []}),
        _ => json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
            "metadata": {"labels": {"sim": "yes"}},
            "rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}]}),
    }
}

fn config_map(_: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "data": {"a": "b"}})
}

/// It has an owner that never was.
fn secret(_: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"ownerReferences": [
        {"apiVersion": "v1", "kind": "ConfigMap", "name": "a", "uid": "00000000-0000-4000-8000-000000000000"}]}})
}

fn account(_: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ServiceAccount"})
}

/// For the account of its name, if there is one.
fn token_secret(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/service-account-token",
        "metadata": {"annotations": {"kubernetes.io/service-account.name": name}}})
}

/// A template of pods with the label `app: name`; most owners select their own only.
fn template(name: &str, restart: &str) -> Value {
    json!({"metadata": {"labels": {"app": name}},
        "spec": {"restartPolicy": restart, "containers": [container(1)]}})
}

/// With an image of this version.
pub fn container(version: u8) -> Value {
    json!({"name": "c", "image": format!("i:{version}"), "resources": {"requests": {"cpu": "100m"}}})
}
