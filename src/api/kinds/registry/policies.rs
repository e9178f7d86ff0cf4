//! What limits, orders and guards others: budgets, quotas, priorities, leases, autoscalers, ingresses and policies of the
//! network; and the other shapes of stored kinds.

use crate::api::kinds::check::check;
use crate::api::kinds::{
    Kind, Subresource, csi, event_view, horizontal_pod_autoscaler as autoscaler, ingress, lease,
    limit_range, network_policy, pod_disruption_budget, priority_class, resource_quota, review,
};
use crate::api::table;
use k8s_openapi::api::autoscaling;
use k8s_openapi::api::coordination::v1 as coordination;
use k8s_openapi::api::core::v1;
use k8s_openapi::api::events::v1 as events;
use k8s_openapi::api::networking::v1 as networking;
use k8s_openapi::api::policy::v1 as policy;
use k8s_openapi::api::scheduling::v1 as scheduling;
use k8s_openapi::api::storage::v1 as storage;

const AUTOSCALERS: [&str; 2] = ["horizontalpodautoscalers", "horizontalpodautoscaler"];

pub static KINDS: &[Kind] = &[
    Kind::new(
        "",
        "Binding",
        ["bindings", "binding"],
        &review::Review,
        check::<v1::Binding>,
    ),
    Kind::new(
        "",
        "LimitRange",
        ["limitranges", "limitrange"],
        &limit_range::LimitRange,
        check::<v1::LimitRange>,
    )
    .short(&["limits"]),
    Kind::new(
        "",
        "ResourceQuota",
        ["resourcequotas", "resourcequota"],
        &resource_quota::ResourceQuota,
        check::<v1::ResourceQuota>,
    )
    .short(&["quota"])
    .parts(&[Subresource::Status])
    .tells_deleted()
    .columns(table::RESOURCE_QUOTA),
    Kind::new(
        "autoscaling",
        "HorizontalPodAutoscaler",
        AUTOSCALERS,
        &autoscaler::HorizontalPodAutoscaler,
        check::<autoscaling::v2::HorizontalPodAutoscaler>,
    )
    .version("v2")
    .short(&["hpa"])
    .in_all()
    .parts(&[Subresource::Status])
    .columns(table::AUTOSCALER),
    Kind::new(
        "autoscaling",
        "HorizontalPodAutoscaler",
        AUTOSCALERS,
        &autoscaler::Version1,
        check::<autoscaling::v1::HorizontalPodAutoscaler>,
    )
    .short(&["hpa"])
    .in_all()
    .parts(&[Subresource::Status])
    .columns(table::AUTOSCALER),
    Kind::new(
        "coordination.k8s.io",
        "Lease",
        ["leases", "lease"],
        &lease::Lease,
        check::<coordination::Lease>,
    )
    .columns(table::LEASE),
    Kind::new(
        "events.k8s.io",
        "Event",
        ["events", "event"],
        &event_view::EventView,
        check::<events::Event>,
    )
    .short(&["ev"])
    // Pointers into the stored shape.
    .selectable(&[
        ("reason", "/reason"),
        ("regarding.kind", "/involvedObject/kind"),
        ("regarding.namespace", "/involvedObject/namespace"),
        ("regarding.name", "/involvedObject/name"),
        ("regarding.uid", "/involvedObject/uid"),
        ("regarding.apiVersion", "/involvedObject/apiVersion"),
        (
            "regarding.resourceVersion",
            "/involvedObject/resourceVersion",
        ),
        ("regarding.fieldPath", "/involvedObject/fieldPath"),
        ("reportingController", "/reportingComponent"),
        ("type", "/type"),
    ])
    .columns(table::EVENT),
    Kind::new(
        "networking.k8s.io",
        "IngressClass",
        ["ingressclasses", "ingressclass"],
        &ingress::IngressClass,
        check::<networking::IngressClass>,
    )
    .cluster_wide()
    .columns(table::INGRESS_CLASS),
    Kind::new(
        "networking.k8s.io",
        "Ingress",
        ["ingresses", "ingress"],
        &ingress::Ingress,
        check::<networking::Ingress>,
    )
    .short(&["ing"])
    .parts(&[Subresource::Status])
    .columns(table::INGRESS),
    Kind::new(
        "networking.k8s.io",
        "NetworkPolicy",
        ["networkpolicies", "networkpolicy"],
        &network_policy::NetworkPolicy,
        check::<networking::NetworkPolicy>,
    )
    .short(&["netpol"])
    .columns(table::NETWORK_POLICY),
    Kind::new(
        "policy",
        "PodDisruptionBudget",
        ["poddisruptionbudgets", "poddisruptionbudget"],
        &pod_disruption_budget::PodDisruptionBudget,
        check::<policy::PodDisruptionBudget>,
    )
    .short(&["pdb"])
    .parts(&[Subresource::Status])
    .columns(table::BUDGET),
    Kind::new(
        "scheduling.k8s.io",
        "PriorityClass",
        ["priorityclasses", "priorityclass"],
        &priority_class::PriorityClass,
        check::<scheduling::PriorityClass>,
    )
    .cluster_wide()
    .short(&["pc"])
    .columns(table::PRIORITY_CLASS),
    Kind::new(
        "storage.k8s.io",
        "CSIDriver",
        ["csidrivers", "csidriver"],
        &csi::Csi,
        check::<storage::CSIDriver>,
    )
    .cluster_wide()
    .tells_deleted(),
    Kind::new(
        "storage.k8s.io",
        "CSINode",
        ["csinodes", "csinode"],
        &csi::Csi,
        check::<storage::CSINode>,
    )
    .cluster_wide()
    .tells_deleted(),
    Kind::new(
        "storage.k8s.io",
        "CSIStorageCapacity",
        ["csistoragecapacities", "csistoragecapacity"],
        &csi::Csi,
        check::<storage::CSIStorageCapacity>,
    ),
    Kind::new(
        "storage.k8s.io",
        "VolumeAttachment",
        ["volumeattachments", "volumeattachment"],
        &csi::Csi,
        check::<storage::VolumeAttachment>,
    )
    .cluster_wide()
    .tells_deleted(),
];
