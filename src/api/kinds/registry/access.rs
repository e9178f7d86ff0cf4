//! Who may do what, and where services lead: roles, bindings, reviews, endpoints.

use crate::api::kinds::check::check;
use crate::api::kinds::{Kind, endpoints, rbac, review};
use crate::api::table;
use k8s_openapi::api::authentication::v1 as authentication;
use k8s_openapi::api::authorization::v1 as authorization;
use k8s_openapi::api::core::v1;
use k8s_openapi::api::discovery::v1 as discovery;
use k8s_openapi::api::rbac::v1 as roles;

pub static KINDS: &[Kind] = &[
    Kind::new(
        "",
        "Endpoints",
        ["endpoints", "endpoints"],
        &endpoints::Endpoints,
        check::<v1::Endpoints>,
    )
    .short(&["ep"])
    .columns(table::ENDPOINTS),
    Kind::new(
        "authentication.k8s.io",
        "SelfSubjectReview",
        ["selfsubjectreviews", "selfsubjectreview"],
        &review::Review,
        check::<authentication::SelfSubjectReview>,
    )
    .cluster_wide(),
    Kind::new(
        "authentication.k8s.io",
        "TokenReview",
        ["tokenreviews", "tokenreview"],
        &review::Review,
        check::<authentication::TokenReview>,
    )
    .cluster_wide(),
    Kind::new(
        "authorization.k8s.io",
        "LocalSubjectAccessReview",
        ["localsubjectaccessreviews", "localsubjectaccessreview"],
        &review::Review,
        check::<authorization::LocalSubjectAccessReview>,
    ),
    Kind::new(
        "authorization.k8s.io",
        "SelfSubjectAccessReview",
        ["selfsubjectaccessreviews", "selfsubjectaccessreview"],
        &review::Review,
        check::<authorization::SelfSubjectAccessReview>,
    )
    .cluster_wide(),
    Kind::new(
        "authorization.k8s.io",
        "SelfSubjectRulesReview",
        ["selfsubjectrulesreviews", "selfsubjectrulesreview"],
        &review::Review,
        check::<authorization::SelfSubjectRulesReview>,
    )
    .cluster_wide(),
    Kind::new(
        "authorization.k8s.io",
        "SubjectAccessReview",
        ["subjectaccessreviews", "subjectaccessreview"],
        &review::Review,
        check::<authorization::SubjectAccessReview>,
    )
    .cluster_wide(),
    Kind::new(
        "discovery.k8s.io",
        "EndpointSlice",
        ["endpointslices", "endpointslice"],
        &endpoints::EndpointSlice,
        check::<discovery::EndpointSlice>,
    )
    .columns(table::ENDPOINT_SLICE),
    Kind::new(
        "rbac.authorization.k8s.io",
        "ClusterRoleBinding",
        ["clusterrolebindings", "clusterrolebinding"],
        &rbac::Binding { cluster: true },
        check::<roles::ClusterRoleBinding>,
    )
    .cluster_wide()
    .columns(table::ROLE_BINDING),
    Kind::new(
        "rbac.authorization.k8s.io",
        "ClusterRole",
        ["clusterroles", "clusterrole"],
        &rbac::Role { cluster: true },
        check::<roles::ClusterRole>,
    )
    .cluster_wide()
    .columns(table::ROLE),
    Kind::new(
        "rbac.authorization.k8s.io",
        "RoleBinding",
        ["rolebindings", "rolebinding"],
        &rbac::Binding { cluster: false },
        check::<roles::RoleBinding>,
    )
    .columns(table::ROLE_BINDING),
    Kind::new(
        "rbac.authorization.k8s.io",
        "Role",
        ["roles", "role"],
        &rbac::Role { cluster: false },
        check::<roles::Role>,
    )
    .columns(table::ROLE),
];
