//! `authentication.k8s.io/v1`, `authorization.k8s.io/v1` and `rbac.authorization.k8s.io/v1`.
//!
//! What only the server writes (the status of a review) is described as far as clients send it back.

use super::meta::{LabelSelector, LabelSelectorRequirement, ObjectMeta};
use crate::api::protobuf::schema::messages;

messages! {
    AggregationRule { 1 clusterRoleSelectors: [LabelSelector] }
    BoundObjectReference { 1 kind: string, 2 apiVersion: string, 3 name: string, 4 uid: string }
    ClusterRole { 1 metadata: ObjectMeta, 2 rules = [PolicyRule], 3 aggregationRule: AggregationRule }
    FieldSelectorAttributes { 1 rawSelector: string, 2 requirements: [FieldSelectorRequirement] }
    FieldSelectorRequirement { 1 key = string, 2 operator = string, 3 values: [string] }
    LabelSelectorAttributes { 1 rawSelector: string, 2 requirements: [LabelSelectorRequirement] }
    NonResourceAttributes { 1 path: string, 2 verb: string }
    PolicyRule {
        1 verbs = [string], 2 apiGroups: [string], 3 resources: [string], 4 resourceNames: [string],
        5 nonResourceURLs: [string]
    }
    ResourceAttributes {
        1 namespace: string, 2 verb: string, 3 group: string, 4 version: string, 5 resource: string,
        6 subresource: string, 7 name: string, 8 fieldSelector: FieldSelectorAttributes,
        9 labelSelector: LabelSelectorAttributes
    }
    Role { 1 metadata: ObjectMeta, 2 rules = [PolicyRule] }
    RoleBinding { 1 metadata: ObjectMeta, 2 subjects: [Subject], 3 roleRef: RoleRef }
    RoleRef { 1 apiGroup = string, 2 kind = string, 3 name = string }
    SelfSubjectAccessReview { 1 metadata: ObjectMeta, 2 spec: SelfSubjectAccessReviewSpec }
    SelfSubjectAccessReviewSpec {
        1 resourceAttributes: ResourceAttributes, 2 nonResourceAttributes: NonResourceAttributes
    }
    SelfSubjectReview { 1 metadata: ObjectMeta }
    SelfSubjectRulesReview { 1 metadata: ObjectMeta, 2 spec: SelfSubjectRulesReviewSpec }
    SelfSubjectRulesReviewSpec { 1 namespace: string }
    Subject { 1 kind = string, 2 apiGroup: string, 3 name = string, 4 namespace: string }
    SubjectAccessReview { 1 metadata: ObjectMeta, 2 spec: SubjectAccessReviewSpec }
    SubjectAccessReviewSpec {
        1 resourceAttributes: ResourceAttributes, 2 nonResourceAttributes: NonResourceAttributes,
        3 user: string, 4 groups: [string], 5 extra: {Words}, 6 uid: string
    }
    TokenRequest { 1 metadata: ObjectMeta, 2 spec: TokenRequestSpec }
    TokenRequestSpec {
        1 audiences = [string], 3 boundObjectRef: BoundObjectReference, 4 expirationSeconds = int64
    }
    TokenReview { 1 metadata: ObjectMeta, 2 spec: TokenReviewSpec }
    TokenReviewSpec { 1 token: string, 2 audiences: [string] }
}
