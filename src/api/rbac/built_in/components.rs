//! What the cluster's own parts may: nodes, scheduler, controllers.

use super::{GROUP, Grant, READ, REPORT, Role, URLS, WRITE, role};

pub(super) const ROLES: &[Role] = &[
    role(
        "system:node",
        &[
            Grant("create", "authentication.k8s.io", "tokenreviews"),
            Grant(
                "create",
                "authorization.k8s.io",
                "localsubjectaccessreviews subjectaccessreviews",
            ),
            Grant(READ, "core", "services nodes"),
            Grant("create patch update", "core", "nodes"),
            Grant("patch update", "core", "nodes/status"),
            Grant(REPORT, "core events.k8s.io", "events"),
            Grant(READ, "core", "pods"),
            Grant("create delete", "core", "pods"),
            Grant("patch update", "core", "pods/status"),
            Grant("create", "core", "pods/eviction"),
            Grant(READ, "core", "configmaps secrets"),
            Grant(READ, "core", "persistentvolumeclaims persistentvolumes"),
            // A node makes and removes its local volumes.
            Grant(WRITE, "core", "persistentvolumes persistentvolumes/status"),
            Grant("patch update", "core", "persistentvolumeclaims/status"),
            Grant("get", "core", "endpoints"),
            Grant("get", "core", "serviceaccounts"),
            Grant("create", "core", "serviceaccounts/token"),
            Grant(
                "create delete get patch update",
                "coordination.k8s.io",
                "leases",
            ),
            Grant(
                READ,
                "storage.k8s.io",
                "csidrivers storageclasses volumeattachments",
            ),
            Grant(READ, "node.k8s.io", "runtimeclasses"),
        ],
    ),
    role(
        "system:kube-scheduler",
        &[
            Grant(REPORT, "core events.k8s.io", "events"),
            Grant(READ, "core", "namespaces nodes"),
            Grant("delete get list watch", "core", "pods"),
            Grant("create", "core", "bindings pods/binding"),
            Grant("patch update", "core", "pods/status"),
            Grant(READ, "core", "replicationcontrollers services"),
            Grant(READ, "apps", "replicasets statefulsets"),
            Grant(READ, "policy", "poddisruptionbudgets"),
            Grant(
                "get list patch update watch",
                "core",
                "persistentvolumeclaims persistentvolumes",
            ),
            Grant(
                READ,
                "storage.k8s.io",
                "csidrivers csinodes csistoragecapacities storageclasses",
            ),
            Grant(
                "create get list patch update watch",
                "coordination.k8s.io",
                "leases",
            ),
        ],
    ),
    // Upstream gives each controller an account and a role of its own; together these reach as far. The controllers here
    // are one part, which empties namespaces of every kind and writes the rules of aggregated roles.
    role(
        "system:kube-controller-manager",
        &[
            Grant(
                "create delete deletecollection get list patch update watch",
                "*",
                "*",
            ),
            Grant("escalate", GROUP, "clusterroles"),
            Grant("get", URLS, "/api /api/* /apis /apis/*"),
        ],
    ),
];
