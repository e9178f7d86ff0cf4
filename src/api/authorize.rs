//! Who may do what: what a request wants, asked of RBAC, and the words of a refusal.
//! <https://kubernetes.io/docs/reference/access-authn-authz/authorization/>

use super::rbac::rules::{Attributes, Resource};
use super::request::Target;
use super::status::{ApiError, ApiResult};
use super::{Api, User};
use crate::object::access::map;
use http::{Method, Uri};
use serde_json::json;

/// Who did not say who it is. It may what `system:unauthenticated` is bound to: health and version.
const ANONYMOUS: &str = "system:anonymous";
const UNAUTHENTICATED: &str = "system:unauthenticated";

/// Streams that change something though a WebSocket opens them with GET.
const STREAMS: &[&str] = &["attach", "exec", "portforward"];

impl Api {
    /// Refuses what `user` may not do (`None`: anonymous).
    pub(super) fn authorize(&self, user: Option<&User>, asked: &Attributes) -> ApiResult<()> {
        let anonymous;
        let known = user.is_some();
        let user = if let Some(user) = user {
            user
        } else {
            anonymous = User {
                name: ANONYMOUS.to_owned(),
                groups: vec![UNAUTHENTICATED.to_owned()],
                ..User::default()
            };
            &anonymous
        };
        let decision = self.may(user, asked)?;
        if decision.allowed {
            // A WebSocket's GET needs what the same stream by POST would (upstream since 1.35).
            let streams = asked.verb == "get"
                && asked
                    .resource
                    .as_ref()
                    .is_some_and(|resource| STREAMS.contains(&resource.subresource.as_str()));
            if streams {
                let create = Attributes {
                    verb: "create".to_owned(),
                    ..asked.clone()
                };
                return self.authorize(Some(user), &create);
            }
            return Ok(());
        }
        if !known {
            return Err(ApiError::unauthorized());
        }
        Err(refusal(user, asked, &decision.reason))
    }

    /// The answer to a question, without a request behind it.
    pub(super) fn may(
        &self,
        user: &User,
        asked: &Attributes,
    ) -> ApiResult<super::rbac::policy::Decision> {
        if let Some(node) = super::node_limits::node_of(user) {
            let allowed = super::node_limits::allows(&self.parts.store, node, asked)?;
            if let Some(reason) = allowed.err() {
                return Ok(super::rbac::policy::Decision {
                    allowed: false,
                    reason,
                });
            }
        }
        Ok(self.parts.policy.ask(|policy| policy.decide(user, asked))?)
    }
}

/// 403 in upstream's words.
pub(super) fn refusal(user: &User, asked: &Attributes, reason: &str) -> ApiError {
    let (verb, who) = (&asked.verb, &user.name);
    let why = if reason.is_empty() {
        String::new()
    } else {
        format!(": {reason}")
    };
    let Some(resource) = &asked.resource else {
        let path = &asked.path;
        return ApiError::forbidden(format!(
            "forbidden: User {who:?} cannot {verb} path {path:?}{why}"
        ));
    };
    let scope = if resource.namespace.is_empty() {
        "at the cluster scope".to_owned()
    } else {
        format!("in the namespace {:?}", resource.namespace)
    };
    let (plural, group, name) = (&resource.resource, &resource.group, &resource.name);
    let qualified = if group.is_empty() {
        plural.clone()
    } else {
        format!("{plural}.{group}")
    };
    let which = if name.is_empty() {
        String::new()
    } else {
        format!(" {name:?}")
    };
    let mut error = ApiError::forbidden(format!(
        "{qualified}{which} is forbidden: User {who:?} cannot {verb} resource {:?} in API group {group:?} {scope}{why}",
        resource.combined()
    ));
    error.details = json!({"name": name, "group": group, "kind": plural});
    if let Some(details) = error.details.as_object_mut() {
        details.retain(|_, value| value != "");
    }
    error
}

/// What a request wants.
/// <https://kubernetes.io/docs/reference/access-authn-authz/authorization/#determine-the-request-verb>
pub(super) fn attributes(method: &Method, target: &Target, uri: &Uri) -> Attributes {
    let Target::Resource(path) = target else {
        return Attributes::path(&method.as_str().to_lowercase(), uri.path());
    };
    let mut name = path.name.clone().unwrap_or_default();
    let mut verb = match (method.as_str(), path.name.is_some()) {
        ("GET" | "HEAD", true) => "get",
        ("GET" | "HEAD", false) => "list",
        ("POST", _) => "create",
        ("PUT", _) => "update",
        ("PATCH", _) => "patch",
        ("DELETE", true) => "delete",
        ("DELETE", false) => "deletecollection",
        _ => "",
    };
    if path.name.is_none() {
        for (key, value) in form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes()) {
            match &*key {
                "watch" if verb == "list" && !matches!(&*value, "0" | "false" | "False") => {
                    verb = "watch";
                }
                // A list of one object by its name can be allowed by that name.
                "fieldSelector" if matches!(verb, "list" | "watch" | "deletecollection") => {
                    selected_name(&value)
                        .unwrap_or_default()
                        .clone_into(&mut name);
                }
                _ => {}
            }
        }
    }
    // A namespace's own object stands in itself, so that a Role in it can grant a look at it.
    let namespace = match &path.namespace {
        Some(namespace) => namespace.clone(),
        None if path.group.is_empty() && path.resource == "namespaces" => name.clone(),
        None => String::new(),
    };
    Attributes {
        verb: verb.to_owned(),
        resource: Some(Resource {
            group: path.group.clone(),
            namespace,
            resource: path.resource.clone(),
            subresource: path.subresource.clone().unwrap_or_default(),
            name,
        }),
        path: uri.path().to_owned(),
    }
}

fn selected_name(selector: &str) -> Option<&str> {
    selector.split(',').find_map(|term| {
        let (field, value) = term.split_once('=')?;
        (field.trim() == "metadata.name").then(|| value.trim_start_matches('=').trim())
    })
}

/// The extra claims of a user in a review, as the API writes them.
pub(super) fn extra_of(
    spec: &serde_json::Value,
) -> std::collections::BTreeMap<String, Vec<String>> {
    map(spec, "/extra")
        .iter()
        .map(|(key, values)| {
            let values = values.as_array().into_iter().flatten();
            let values = values.filter_map(|value| value.as_str().map(str::to_owned));
            (key.clone(), values.collect())
        })
        .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn of(method: &str, uri: &str) -> Attributes {
        let uri: Uri = uri.parse().unwrap();
        attributes(&method.parse().unwrap(), &Target::parse(uri.path()), &uri)
    }

    #[test]
    fn requests_want_what_upstream_says() {
        for (method, uri, verb, namespace, resource, name) in [
            ("GET", "/api/v1/pods", "list", "", "pods", ""),
            ("GET", "/api/v1/pods?watch=true", "watch", "", "pods", ""),
            ("GET", "/api/v1/pods?watch=0", "list", "", "pods", ""),
            (
                "GET",
                "/api/v1/namespaces/a/pods/web",
                "get",
                "a",
                "pods",
                "web",
            ),
            (
                "GET",
                "/api/v1/namespaces/a/pods/web?watch=1",
                "get",
                "a",
                "pods",
                "web",
            ),
            (
                "GET",
                "/api/v1/namespaces/a/pods/web/log",
                "get",
                "a",
                "pods/log",
                "web",
            ),
            (
                "POST",
                "/api/v1/namespaces/a/pods",
                "create",
                "a",
                "pods",
                "",
            ),
            (
                "PUT",
                "/apis/apps/v1/namespaces/a/deployments/d",
                "update",
                "a",
                "deployments",
                "d",
            ),
            (
                "PATCH",
                "/api/v1/nodes/n/status",
                "patch",
                "",
                "nodes/status",
                "n",
            ),
            (
                "DELETE",
                "/api/v1/namespaces/a/pods",
                "deletecollection",
                "a",
                "pods",
                "",
            ),
            (
                "DELETE",
                "/api/v1/namespaces/a",
                "delete",
                "a",
                "namespaces",
                "a",
            ),
            ("GET", "/api/v1/namespaces", "list", "", "namespaces", ""),
            (
                "GET",
                "/api/v1/namespaces/a/configmaps?fieldSelector=metadata.name%3Dx&watch=true",
                "watch",
                "a",
                "configmaps",
                "x",
            ),
        ] {
            let asked = of(method, uri);
            let found = asked.resource.unwrap();
            assert_eq!(
                (
                    &*asked.verb,
                    &*found.namespace,
                    &*found.combined(),
                    &*found.name
                ),
                (verb, namespace, resource, name),
                "{method} {uri}"
            );
        }
        let asked = of("POST", "/version");
        assert_eq!((&*asked.verb, &*asked.path), ("post", "/version"));
        assert!(asked.resource.is_none());
    }

    #[test]
    fn refusals_are_worded_as_upstream_words_them() {
        let user = User {
            name: "jo".into(),
            ..User::default()
        };
        let said = |method: &str, uri: &str| refusal(&user, &of(method, uri), "").message;
        assert_eq!(
            said("GET", "/api/v1/namespaces/a/pods"),
            "pods is forbidden: User \"jo\" cannot list resource \"pods\" in API group \"\" in the namespace \"a\""
        );
        assert_eq!(
            said("GET", "/apis/apps/v1/namespaces/a/deployments/d/status"),
            "deployments.apps \"d\" is forbidden: User \"jo\" cannot get resource \"deployments/status\" in API group \"apps\" in the namespace \"a\""
        );
        assert_eq!(
            said("GET", "/api/v1/nodes"),
            "nodes is forbidden: User \"jo\" cannot list resource \"nodes\" in API group \"\" at the cluster scope"
        );
        assert_eq!(
            said("GET", "/metrics"),
            "forbidden: User \"jo\" cannot get path \"/metrics\""
        );
    }
}
