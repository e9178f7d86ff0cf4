//! The messages of the kinds that the API serves, one entry each, with Kubernetes' field numbers.
//! Source: `generated.proto` (numbers, types) and `types.go` (JSON names, pointers) of `k8s.io/api/core/v1` and
//! `k8s.io/apimachinery/pkg/apis/meta/v1`. Numbers are never reused upstream, so the newest release reads every older one.

#![allow(
    non_upper_case_globals,
    reason = "a message keeps the name it has upstream"
)]

mod access;
mod core;
mod discovery;
mod meta;
mod pod;
mod policies;
mod storage;
mod volume;
mod workloads;

pub use meta::TypeMeta;

use super::schema::Message;

/// The message of a kind. A kind that the API comes to serve is added here.
pub fn kind(api_version: &str, kind: &str) -> Option<&'static Message> {
    Some(match (api_version, kind) {
        // Every group has it.
        (_, "DeleteOptions") => &meta::DeleteOptions,
        ("v1", "Binding") => &core::Binding,
        ("v1", "ConfigMap") => &core::ConfigMap,
        ("v1", "Endpoints") => &discovery::Endpoints,
        ("v1", "Event") => &core::Event,
        ("v1", "LimitRange") => &policies::LimitRange,
        ("v1", "Namespace") => &core::Namespace,
        ("v1", "Node") => &core::Node,
        ("v1", "PersistentVolume") => &storage::PersistentVolume,
        ("v1", "PersistentVolumeClaim") => &storage::PersistentVolumeClaim,
        ("v1", "Pod") => &pod::Pod,
        ("v1", "PodTemplate") => &workloads::PodTemplate,
        ("v1", "ReplicationController") => &workloads::ReplicationController,
        ("v1", "ResourceQuota") => &policies::ResourceQuota,
        ("v1", "Secret") => &core::Secret,
        ("v1", "Service") => &core::Service,
        ("v1", "ServiceAccount") => &core::ServiceAccount,
        ("apps/v1", "DaemonSet") => &workloads::DaemonSet,
        ("apps/v1", "Deployment") => &workloads::Deployment,
        ("apps/v1", "ReplicaSet") => &workloads::ReplicaSet,
        ("apps/v1", "StatefulSet") => &workloads::StatefulSet,
        ("authentication.k8s.io/v1", "SelfSubjectReview") => &access::SelfSubjectReview,
        ("authentication.k8s.io/v1", "TokenRequest") => &access::TokenRequest,
        ("authentication.k8s.io/v1", "TokenReview") => &access::TokenReview,
        ("authorization.k8s.io/v1", "LocalSubjectAccessReview" | "SubjectAccessReview") => {
            &access::SubjectAccessReview
        }
        ("authorization.k8s.io/v1", "SelfSubjectAccessReview") => &access::SelfSubjectAccessReview,
        ("authorization.k8s.io/v1", "SelfSubjectRulesReview") => &access::SelfSubjectRulesReview,
        ("autoscaling/v1", "HorizontalPodAutoscaler") => &policies::HorizontalPodAutoscalerV1,
        ("autoscaling/v1", "Scale") => &workloads::Scale,
        ("autoscaling/v2", "HorizontalPodAutoscaler") => &policies::HorizontalPodAutoscaler,
        ("batch/v1", "CronJob") => &workloads::CronJob,
        ("batch/v1", "Job") => &workloads::Job,
        ("coordination.k8s.io/v1", "Lease") => &policies::Lease,
        ("discovery.k8s.io/v1", "EndpointSlice") => &discovery::EndpointSlice,
        ("events.k8s.io/v1", "Event") => &policies::Event,
        ("networking.k8s.io/v1", "Ingress") => &policies::Ingress,
        ("networking.k8s.io/v1", "IngressClass") => &policies::IngressClass,
        ("networking.k8s.io/v1", "NetworkPolicy") => &policies::NetworkPolicy,
        ("policy/v1", "Eviction") => &policies::Eviction,
        ("policy/v1", "PodDisruptionBudget") => &policies::PodDisruptionBudget,
        ("rbac.authorization.k8s.io/v1", "ClusterRole") => &access::ClusterRole,
        ("rbac.authorization.k8s.io/v1", "Role") => &access::Role,
        ("rbac.authorization.k8s.io/v1", "ClusterRoleBinding" | "RoleBinding") => {
            &access::RoleBinding
        }
        ("scheduling.k8s.io/v1", "PriorityClass") => &policies::PriorityClass,
        ("storage.k8s.io/v1", "StorageClass") => &storage::StorageClass,
        _ => return None,
    })
}
