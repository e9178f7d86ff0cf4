//! What people are given in a namespace: the parts that `view`, `edit` and `admin` are made of.

use super::{GROUP, Grant, READ, Role, WRITE};

pub(super) const ROLES: &[Role] = &[
    Role {
        name: "system:aggregate-to-view",
        part_of: Some("view"),
        grants: &[
            Grant(
                READ,
                "core",
                "bindings configmaps endpoints events limitranges namespaces namespaces/status persistentvolumeclaims persistentvolumeclaims/status pods pods/log pods/status replicationcontrollers replicationcontrollers/scale replicationcontrollers/status resourcequotas resourcequotas/status serviceaccounts services services/status",
            ),
            Grant(READ, "discovery.k8s.io", "endpointslices"),
            // The same objects as core's events.
            Grant(READ, "events.k8s.io", "events"),
            Grant(
                READ,
                "apps",
                "controllerrevisions daemonsets daemonsets/status deployments deployments/scale deployments/status replicasets replicasets/scale replicasets/status statefulsets statefulsets/scale statefulsets/status",
            ),
            Grant(
                READ,
                "autoscaling",
                "horizontalpodautoscalers horizontalpodautoscalers/status",
            ),
            Grant(READ, "batch", "cronjobs cronjobs/status jobs jobs/status"),
            Grant(
                READ,
                "policy",
                "poddisruptionbudgets poddisruptionbudgets/status",
            ),
            Grant(
                READ,
                "networking.k8s.io",
                "ingresses ingresses/status networkpolicies",
            ),
        ],
    },
    Role {
        name: "system:aggregated-metrics-reader",
        part_of: Some("view"),
        grants: &[Grant("get list watch", "metrics.k8s.io", "pods nodes")],
    },
    Role {
        name: "system:aggregate-to-edit",
        part_of: Some("edit"),
        grants: &[
            Grant(
                READ,
                "core",
                "pods/attach pods/exec pods/portforward pods/proxy secrets services/proxy",
            ),
            Grant("impersonate", "core", "serviceaccounts"),
            Grant(
                WRITE,
                "core",
                "configmaps events persistentvolumeclaims pods pods/attach pods/exec pods/portforward pods/proxy replicationcontrollers replicationcontrollers/scale secrets serviceaccounts services services/proxy",
            ),
            Grant("create", "core", "pods/eviction serviceaccounts/token"),
            Grant(
                WRITE,
                "apps",
                "daemonsets deployments deployments/rollback deployments/scale replicasets replicasets/scale statefulsets statefulsets/scale",
            ),
            Grant(WRITE, "autoscaling", "horizontalpodautoscalers"),
            Grant(WRITE, "batch", "cronjobs jobs"),
            Grant(WRITE, "policy", "poddisruptionbudgets"),
            Grant(WRITE, "networking.k8s.io", "ingresses networkpolicies"),
            Grant(
                "create delete deletecollection get list patch update watch",
                "coordination.k8s.io",
                "leases",
            ),
        ],
    },
    Role {
        name: "system:aggregate-to-admin",
        part_of: Some("admin"),
        grants: &[
            Grant(
                "create",
                "authorization.k8s.io",
                "localsubjectaccessreviews",
            ),
            Grant(
                "create delete deletecollection get list patch update watch",
                GROUP,
                "rolebindings roles",
            ),
        ],
    },
];
