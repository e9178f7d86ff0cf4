//! What keeps pods running: the kinds of apps and batch, and their elders in core.

use crate::api::kinds::check::check;
use crate::api::kinds::workload::Workload;
use crate::api::kinds::{Kind, Subresource};
use k8s_openapi::api::apps::v1 as apps;
use k8s_openapi::api::batch::v1 as batch;
use k8s_openapi::api::core::v1;

pub static KINDS: &[Kind] = &[
    Kind {
        ..Kind::new(
            "apps",
            "ControllerRevision",
            ["controllerrevisions", "controllerrevision"],
            &Workload::Revision,
            check::<apps::ControllerRevision>,
        )
    },
    Kind {
        short_names: &["ds"],
        categories: &["all"],
        subresources: &[Subresource::Status],
        ..Kind::new(
            "apps",
            "DaemonSet",
            ["daemonsets", "daemonset"],
            &Workload::DaemonSet,
            check::<apps::DaemonSet>,
        )
    },
    Kind {
        short_names: &["deploy"],
        categories: &["all"],
        subresources: &[Subresource::Status],
        ..Kind::new(
            "apps",
            "Deployment",
            ["deployments", "deployment"],
            &Workload::Deployment,
            check::<apps::Deployment>,
        )
    },
    Kind {
        short_names: &["rs"],
        categories: &["all"],
        subresources: &[Subresource::Status],
        selectable: &[("status.replicas", "/status/replicas")],
        ..Kind::new(
            "apps",
            "ReplicaSet",
            ["replicasets", "replicaset"],
            &Workload::ReplicaSet,
            check::<apps::ReplicaSet>,
        )
    },
    Kind {
        short_names: &["sts"],
        categories: &["all"],
        subresources: &[Subresource::Status],
        ..Kind::new(
            "apps",
            "StatefulSet",
            ["statefulsets", "statefulset"],
            &Workload::StatefulSet,
            check::<apps::StatefulSet>,
        )
    },
    Kind {
        short_names: &["cj"],
        categories: &["all"],
        subresources: &[Subresource::Status],
        ..Kind::new(
            "batch",
            "CronJob",
            ["cronjobs", "cronjob"],
            &Workload::CronJob,
            check::<batch::CronJob>,
        )
    },
    Kind {
        categories: &["all"],
        subresources: &[Subresource::Status],
        selectable: &[("status.successful", "/status/succeeded")],
        ..Kind::new(
            "batch",
            "Job",
            ["jobs", "job"],
            &Workload::Job,
            check::<batch::Job>,
        )
    },
    Kind {
        ..Kind::new(
            "",
            "PodTemplate",
            ["podtemplates", "podtemplate"],
            &Workload::PodTemplate,
            check::<v1::PodTemplate>,
        )
    },
    Kind {
        short_names: &["rc"],
        categories: &["all"],
        subresources: &[Subresource::Status],
        selectable: &[("status.replicas", "/status/replicas")],
        ..Kind::new(
            "",
            "ReplicationController",
            ["replicationcontrollers", "replicationcontroller"],
            &Workload::ReplicationController,
            check::<v1::ReplicationController>,
        )
    },
];
