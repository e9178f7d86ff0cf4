//! What everybody and what looks on may: discovery, health, questions about oneself; and the administrator, who may all.

use super::{Grant, Role, URLS, role};

pub(super) const ROLES: &[Role] = &[
    role(
        "cluster-admin",
        &[Grant("*", "*", "*"), Grant("*", URLS, "*")],
    ),
    role(
        "system:discovery",
        &[Grant(
            "get",
            URLS,
            "/api /api/* /apis /apis/* /healthz /livez /openapi /openapi/* /readyz /version /version/",
        )],
    ),
    role(
        "system:public-info-viewer",
        &[Grant(
            "get",
            URLS,
            "/healthz /livez /readyz /version /version/",
        )],
    ),
    role(
        "system:monitoring",
        &[Grant(
            "get",
            URLS,
            "/healthz /healthz/* /livez /livez/* /metrics /metrics/slis /readyz /readyz/*",
        )],
    ),
    role(
        "system:basic-user",
        &[
            Grant(
                "create",
                "authorization.k8s.io",
                "selfsubjectaccessreviews selfsubjectrulesreviews",
            ),
            Grant("create", "authentication.k8s.io", "selfsubjectreviews"),
        ],
    ),
    role(
        "system:auth-delegator",
        &[
            Grant("create", "authentication.k8s.io", "tokenreviews"),
            Grant("create", "authorization.k8s.io", "subjectaccessreviews"),
        ],
    ),
    role(
        "system:service-account-issuer-discovery",
        &[Grant(
            "get",
            URLS,
            "/.well-known/openid-configuration /.well-known/openid-configuration/ /openid/v1/jwks /openid/v1/jwks/",
        )],
    ),
    role(
        "system:kubelet-api-admin",
        &[
            Grant("get list watch proxy", "core", "nodes"),
            Grant(
                "*",
                "core",
                "nodes/configz nodes/healthz nodes/log nodes/metrics nodes/pods nodes/proxy nodes/stats",
            ),
        ],
    ),
];
