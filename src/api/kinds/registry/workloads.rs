//! What keeps pods running: the kinds of apps and batch, and their elders in core.

use crate::api::kinds::check::check;
use crate::api::kinds::workload::Workload;
use crate::api::kinds::{Kind, Subresource};
use crate::api::table;
use k8s_openapi::api::apps::v1 as apps;
use k8s_openapi::api::batch::v1 as batch;
use k8s_openapi::api::core::v1;

pub static KINDS: &[Kind] = &[
    Kind::new(
        "apps",
        "ControllerRevision",
        ["controllerrevisions", "controllerrevision"],
        &Workload::Revision,
        check::<apps::ControllerRevision>,
    )
    .columns(table::CONTROLLER_REVISION),
    Kind::new(
        "apps",
        "DaemonSet",
        ["daemonsets", "daemonset"],
        &Workload::DaemonSet,
        check::<apps::DaemonSet>,
    )
    .short(&["ds"])
    .in_all()
    .parts(&[Subresource::Status])
    .columns(table::DAEMON_SET),
    Kind::new(
        "apps",
        "Deployment",
        ["deployments", "deployment"],
        &Workload::Deployment,
        check::<apps::Deployment>,
    )
    .short(&["deploy"])
    .in_all()
    .parts(&[Subresource::Status, Subresource::Scale])
    .columns(table::DEPLOYMENT),
    Kind::new(
        "apps",
        "ReplicaSet",
        ["replicasets", "replicaset"],
        &Workload::ReplicaSet,
        check::<apps::ReplicaSet>,
    )
    .short(&["rs"])
    .in_all()
    .parts(&[Subresource::Status, Subresource::Scale])
    .selectable(&[("status.replicas", "/status/replicas")])
    .columns(table::REPLICA_SET),
    Kind::new(
        "apps",
        "StatefulSet",
        ["statefulsets", "statefulset"],
        &Workload::StatefulSet,
        check::<apps::StatefulSet>,
    )
    .short(&["sts"])
    .in_all()
    .parts(&[Subresource::Status, Subresource::Scale])
    .columns(table::STATEFUL_SET),
    Kind::new(
        "batch",
        "CronJob",
        ["cronjobs", "cronjob"],
        &Workload::CronJob,
        check::<batch::CronJob>,
    )
    .short(&["cj"])
    .in_all()
    .parts(&[Subresource::Status])
    .columns(table::CRON_JOB),
    Kind::new(
        "batch",
        "Job",
        ["jobs", "job"],
        &Workload::Job,
        check::<batch::Job>,
    )
    .in_all()
    .parts(&[Subresource::Status])
    .selectable(&[("status.successful", "/status/succeeded")])
    .columns(table::JOB),
    Kind::new(
        "",
        "PodTemplate",
        ["podtemplates", "podtemplate"],
        &Workload::PodTemplate,
        check::<v1::PodTemplate>,
    )
    .tells_deleted()
    .columns(table::POD_TEMPLATE),
    Kind::new(
        "",
        "ReplicationController",
        ["replicationcontrollers", "replicationcontroller"],
        &Workload::ReplicationController,
        check::<v1::ReplicationController>,
    )
    .short(&["rc"])
    .in_all()
    .parts(&[Subresource::Status, Subresource::Scale])
    .selectable(&[("status.replicas", "/status/replicas")])
    .columns(table::REPLICATION_CONTROLLER),
];
