//! Who may do what.
//!
//! Until RBAC objects are served there are three kinds of users: administrators (`system:masters`), the parts of this
//! node, and everybody else, who may only ask for health and version. Nothing is open that RBAC would close.

use super::User;
use super::request::Target;
use super::status::{ApiError, ApiResult};

/// The parts of a node that act through the API, by user name.
const PARTS: &[&str] = &["system:kube-scheduler", "system:kube-controller-manager"];
const NODE_PREFIX: &str = "system:node:";
const ADMINISTRATORS: &str = "system:masters";

/// `verb` and `what` are for the message only.
pub fn authorize(user: Option<&User>, target: &Target, verb: &str, path: &str) -> ApiResult<()> {
    if matches!(target, Target::Health | Target::Version) {
        return Ok(());
    }
    let Some(user) = user else {
        return Err(ApiError::unauthorized());
    };
    let trusted = user.groups.iter().any(|group| group == ADMINISTRATORS)
        || PARTS.contains(&user.name.as_str())
        || user.name.starts_with(NODE_PREFIX);
    if trusted {
        return Ok(());
    }
    let name = &user.name;
    Err(ApiError::forbidden(match target {
        Target::Resource(resource) => {
            let scope = match &resource.namespace {
                Some(namespace) => format!("in the namespace {namespace:?}"),
                None => "at the cluster scope".to_owned(),
            };
            let (plural, group) = (&resource.resource, &resource.group);
            format!(
                "{plural} is forbidden: User {name:?} cannot {verb} resource {plural:?} in API group {group:?} {scope}"
            )
        }
        _ => format!("forbidden: User {name:?} cannot {verb} path {path:?}"),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_administrators_and_parts_pass() {
        let user = |name: &str, groups: &[&str]| User {
            name: name.into(),
            groups: groups.iter().map(|&group| group.into()).collect(),
        };
        let secrets = Target::parse("/api/v1/secrets");
        let ask = |user: Option<&User>, target: &Target| {
            authorize(user, target, "list", "/x").map_err(|error| error.code)
        };
        assert_eq!(ask(None, &secrets), Err(401));
        assert_eq!(ask(None, &Target::Health), Ok(()));
        assert_eq!(ask(None, &Target::Version), Ok(()));
        assert_eq!(ask(None, &Target::Groups), Err(401));
        assert_eq!(
            ask(Some(&user("eve", &["system:authenticated"])), &secrets),
            Err(403)
        );
        assert_eq!(
            ask(Some(&user("root", &["system:masters"])), &secrets),
            Ok(())
        );
        assert_eq!(
            ask(Some(&user("system:node:a", &["system:nodes"])), &secrets),
            Ok(())
        );
    }
}
