//! Nobody gives away rights it does not hold: asked at each write of a role or a binding.

use super::kinds::Kind;
use super::rbac::policy::RoleRef;
use super::rbac::rules::{Attributes, Resource};
use super::rbac::{ADMINISTRATORS, GROUP, Rule, built_in, escalation};
use super::status::{ApiError, ApiResult, qualified};
use super::{Api, User};
use crate::object::access::{present, text};
use serde_json::Value;

impl Api {
    /// Refuses an `object` (before the change: `old`) that would give more than `user` has.
    pub(super) fn check_grant(
        &self,
        kind: &Kind,
        user: Option<&User>,
        old: Option<&Value>,
        object: &Value,
    ) -> ApiResult<()> {
        if kind.group != GROUP {
            return Ok(());
        }
        let user = user.ok_or_else(ApiError::unauthorized)?;
        if user.groups.iter().any(|group| group == ADMINISTRATORS) {
            return Ok(());
        }
        let same = |field: &str| old.is_some_and(|old| old[field] == object[field]);
        let role = matches!(kind.kind, "Role" | "ClusterRole");
        // Labels and the like may change, also of what somebody else gave.
        if role && same("rules") && same("aggregationRule")
            || !role && same("roleRef") && same("subjects")
        {
            return Ok(());
        }
        let namespace = text(object, "/metadata/namespace");
        let (verb, on, name) = if role {
            ("escalate", kind.plural, text(object, "/metadata/name"))
        } else if text(object, "/roleRef/kind") == "ClusterRole" {
            ("bind", "clusterroles", text(object, "/roleRef/name"))
        } else {
            ("bind", "roles", text(object, "/roleRef/name"))
        };
        let leave = Attributes {
            verb: verb.to_owned(),
            resource: Some(Resource {
                group: GROUP.to_owned(),
                namespace: namespace.to_owned(),
                resource: on.to_owned(),
                subresource: String::new(),
                name: name.to_owned(),
            }),
            path: String::new(),
        };
        if self.may(user, &leave)?.allowed {
            return Ok(());
        }
        let reference = RoleRef::from_value(object);
        let (held, given) = self.parts.policy.ask(|policy| {
            let held = policy.rules_of(user, namespace).0;
            let given = if role {
                Some(Rule::of_role(object).into_vec())
            } else {
                policy
                    .rules_of_role(&reference, namespace)
                    .map(<[Rule]>::to_vec)
            };
            (held, given)
        })?;
        let about = text(object, "/metadata/name");
        let refuse = |why: String| {
            let what = qualified(kind);
            Err(
                ApiError::forbidden(format!("{what} {about:?} is forbidden: {why}"))
                    .about(kind, about),
            )
        };
        let Some(given) = given else {
            return refuse(format!("{on}.{GROUP} {name:?} not found"));
        };
        if role
            && present(object, "/aggregationRule")
            && !same("aggregationRule")
            && !escalation::uncovered(&held, &built_in::everything()).is_empty()
        {
            return refuse(
                "must have cluster-admin privileges to use an aggregationRule".to_owned(),
            );
        }
        let excess = escalation::uncovered(&held, &given);
        if excess.is_empty() {
            return Ok(());
        }
        let groups: Vec<String> = user
            .groups
            .iter()
            .map(|group| format!("{group:?}"))
            .collect();
        refuse(format!(
            "user {:?} (groups=[{}]) is attempting to grant RBAC permissions not currently held:{}",
            user.name,
            groups.join(" "),
            escalation::describe(&excess)
        ))
    }
}
