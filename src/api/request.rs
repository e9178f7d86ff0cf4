//! What a request asks for, read from its path: pure.
//! <https://kubernetes.io/docs/reference/using-api/api-concepts/#resource-uris>

use percent_encoding::percent_decode_str;

/// A path names one of these.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// `/healthz`, `/livez`, `/readyz`
    Health,
    Version,
    /// `/metrics`
    Metrics,
    /// `/api`
    CoreVersions,
    /// `/apis`
    Groups,
    /// `/apis/{group}`
    Group(String),
    /// `/api/v1`, `/apis/{group}/{version}`
    Resources {
        group: String,
        version: String,
    },
    OpenApiV2,
    OpenApiIndex,
    /// `/openapi/v3/{api/v1 | apis/group/version}`
    OpenApi(String),
    /// `/.well-known/openid-configuration`
    OpenIdConfiguration,
    /// `/openid/v1/jwks`
    OpenIdKeys,
    Resource(ResourcePath),
    Unknown,
}

/// A collection, an object in it, or a part of that.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ResourcePath {
    pub group: String,
    pub version: String,
    pub namespace: Option<String>,
    /// Plural: `pods`.
    pub resource: String,
    pub name: Option<String>,
    pub subresource: Option<String>,
    /// What follows the subresource (`nodes/{name}/proxy/{rest}`), with its slashes.
    pub rest: String,
}

/// Parts of a namespace's own path, where `namespaces/{name}/x` is not a collection inside it.
const NAMESPACE_SUBRESOURCES: &[&str] = &["status", "finalize"];

impl Target {
    pub fn parse(path: &str) -> Target {
        let mut parts = Vec::new();
        for part in path.split('/').filter(|part| !part.is_empty()) {
            match percent_decode_str(part).decode_utf8() {
                Ok(part) => parts.push(part.into_owned()),
                Err(_) => return Target::Unknown,
            }
        }
        let words: Vec<&str> = parts.iter().map(String::as_str).collect();
        match words.as_slice() {
            ["healthz" | "livez" | "readyz", ..] => Target::Health,
            ["version"] => Target::Version,
            ["metrics"] => Target::Metrics,
            ["api"] => Target::CoreVersions,
            ["apis"] => Target::Groups,
            ["apis", group] => Target::Group((*group).to_owned()),
            [".well-known", "openid-configuration"] => Target::OpenIdConfiguration,
            ["openid", "v1", "jwks"] => Target::OpenIdKeys,
            ["openapi", "v2"] => Target::OpenApiV2,
            ["openapi", "v3"] => Target::OpenApiIndex,
            ["openapi", "v3", rest @ ..] => Target::OpenApi(rest.join("/")),
            ["api", version] => Target::Resources {
                group: String::new(),
                version: (*version).to_owned(),
            },
            ["apis", group, version] => Target::Resources {
                group: (*group).to_owned(),
                version: (*version).to_owned(),
            },
            ["api", version, rest @ ..] => resource("", version, rest),
            ["apis", group, version, rest @ ..] => resource(group, version, rest),
            _ => Target::Unknown,
        }
    }
}

fn resource(group: &str, version: &str, words: &[&str]) -> Target {
    let (namespace, words) = match words {
        ["namespaces", namespace, rest @ ..]
            if rest
                .first()
                .is_some_and(|first| !NAMESPACE_SUBRESOURCES.contains(first)) =>
        {
            (Some((*namespace).to_owned()), rest)
        }
        other => (None, other),
    };
    let Some((resource, rest)) = words.split_first() else {
        return Target::Unknown;
    };
    let mut rest = rest.iter();
    Target::Resource(ResourcePath {
        group: group.to_owned(),
        version: version.to_owned(),
        namespace,
        resource: (*resource).to_owned(),
        name: rest.next().map(|name| (*name).to_owned()),
        subresource: rest.next().map(|part| (*part).to_owned()),
        rest: rest.copied().collect::<Vec<_>>().join("/"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(
        namespace: Option<&str>,
        resource: &str,
        name: Option<&str>,
        part: Option<&str>,
        rest: &str,
    ) -> Target {
        Target::Resource(ResourcePath {
            group: String::new(),
            version: "v1".into(),
            namespace: namespace.map(Into::into),
            resource: resource.into(),
            name: name.map(Into::into),
            subresource: part.map(Into::into),
            rest: rest.into(),
        })
    }

    #[test]
    fn paths_name_what_upstream_says() {
        for (text, expected) in [
            ("/readyz", Target::Health),
            ("/livez/ping", Target::Health),
            ("/version", Target::Version),
            ("/api", Target::CoreVersions),
            ("/apis/", Target::Groups),
            ("/apis/apps", Target::Group("apps".into())),
            (
                "/api/v1",
                Target::Resources {
                    group: String::new(),
                    version: "v1".into(),
                },
            ),
            ("/openapi/v3", Target::OpenApiIndex),
            (
                "/openapi/v3/apis/apps/v1",
                Target::OpenApi("apis/apps/v1".into()),
            ),
            ("/api/v1/pods", path(None, "pods", None, None, "")),
            (
                "/api/v1/namespaces",
                path(None, "namespaces", None, None, ""),
            ),
            (
                "/api/v1/namespaces/a",
                path(None, "namespaces", Some("a"), None, ""),
            ),
            (
                "/api/v1/namespaces/a/finalize",
                path(None, "namespaces", Some("a"), Some("finalize"), ""),
            ),
            (
                "/api/v1/namespaces/a/pods",
                path(Some("a"), "pods", None, None, ""),
            ),
            (
                "/api/v1/namespaces/a/pods/b/log",
                path(Some("a"), "pods", Some("b"), Some("log"), ""),
            ),
            (
                "/api/v1/nodes/n/proxy/images/pull",
                path(None, "nodes", Some("n"), Some("proxy"), "images/pull"),
            ),
            (
                "/api/v1/namespaces/a/events/x%3Ay",
                path(Some("a"), "events", Some("x:y"), None, ""),
            ),
            ("/", Target::Unknown),
            ("/nothing", Target::Unknown),
            ("/api/v1/%FF", Target::Unknown),
        ] {
            assert_eq!(Target::parse(text), expected, "{text}");
        }
    }
}
