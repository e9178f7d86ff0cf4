//! One rule of a role, and whether it allows a request: pure.
//! Matching as upstream's `pkg/apis/rbac/v1/evaluation_helpers.go` has it.

use crate::object::access::list;
use serde_json::{Map, Value};

const ALL: &str = "*";

type Words = Box<[Box<str>]>;

/// A `PolicyRule`, immutable and small.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rule {
    pub verbs: Words,
    pub groups: Words,
    /// With a subresource behind a slash: `pods/log`, `*/scale`, `*`.
    pub resources: Words,
    /// None: any.
    pub names: Words,
    pub urls: Words,
}

/// What a request wants.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Attributes {
    pub verb: String,
    /// `None`: a path that is no resource (`/version`); `path` says which.
    pub resource: Option<Resource>,
    pub path: String,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Resource {
    pub group: String,
    /// Empty: at the cluster scope, or in all namespaces.
    pub namespace: String,
    pub resource: String,
    pub subresource: String,
    pub name: String,
}

impl Resource {
    /// `pods`, `pods/log`
    pub fn combined(&self) -> String {
        if self.subresource.is_empty() {
            self.resource.clone()
        } else {
            format!("{}/{}", self.resource, self.subresource)
        }
    }
}

impl Attributes {
    pub fn path(verb: &str, path: &str) -> Attributes {
        Attributes {
            verb: verb.to_owned(),
            resource: None,
            path: path.to_owned(),
        }
    }

    pub fn namespace(&self) -> &str {
        self.resource
            .as_ref()
            .map_or("", |resource| &resource.namespace)
    }
}

impl Rule {
    pub fn from_value(rule: &Value) -> Rule {
        let words = |field: &str| -> Words {
            list(rule, field)
                .iter()
                .filter_map(Value::as_str)
                .map(Into::into)
                .collect()
        };
        Rule {
            verbs: words("/verbs"),
            groups: words("/apiGroups"),
            resources: words("/resources"),
            names: words("/resourceNames"),
            urls: words("/nonResourceURLs"),
        }
    }

    /// The rules of a role.
    pub fn of_role(role: &Value) -> Box<[Rule]> {
        list(role, "/rules").iter().map(Rule::from_value).collect()
    }

    /// As the API writes it, empty lists left out.
    pub fn to_value(&self) -> Value {
        let mut fields = Map::new();
        for (name, words) in [
            ("verbs", &self.verbs),
            ("apiGroups", &self.groups),
            ("resources", &self.resources),
            ("resourceNames", &self.names),
            ("nonResourceURLs", &self.urls),
        ] {
            if !words.is_empty() || name == "verbs" {
                fields.insert(
                    name.to_owned(),
                    words.iter().map(|word| Value::from(&**word)).collect(),
                );
            }
        }
        Value::Object(fields)
    }

    pub fn allows(&self, asked: &Attributes) -> bool {
        if !has(&self.verbs, &asked.verb) {
            return false;
        }
        match &asked.resource {
            Some(resource) => {
                has(&self.groups, &resource.group)
                    && self.has_resource(&resource.resource, &resource.subresource)
                    && self.has_name(&resource.name)
            }
            None => self.urls.iter().any(|url| url_matches(url, &asked.path)),
        }
    }

    pub fn has_resource(&self, resource: &str, subresource: &str) -> bool {
        self.resources.iter().any(|word| {
            if &**word == ALL {
                return true;
            }
            match word.split_once('/') {
                None => subresource.is_empty() && &**word == resource,
                Some((ALL, part)) => !subresource.is_empty() && part == subresource,
                Some((whole, part)) => {
                    !subresource.is_empty() && whole == resource && part == subresource
                }
            }
        })
    }

    /// A rule with names does not allow what has none yet (create, list without a name).
    pub fn has_name(&self, name: &str) -> bool {
        self.names.is_empty() || self.names.iter().any(|word| &**word == name)
    }
}

fn has(words: &[Box<str>], wanted: &str) -> bool {
    words.iter().any(|word| &**word == ALL || &**word == wanted)
}

/// `*`, a path, or the beginning of one before `*`.
pub fn url_matches(url: &str, path: &str) -> bool {
    url == ALL
        || url == path
        || url
            .strip_suffix('*')
            .is_some_and(|beginning| path.starts_with(beginning))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn rules_allow_what_upstream_says() {
        let asked = |verb: &str, group: &str, resource: &str, name: &str| {
            let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
            Attributes {
                verb: verb.into(),
                resource: Some(Resource {
                    group: group.into(),
                    namespace: "ns".into(),
                    resource: resource.into(),
                    subresource: subresource.into(),
                    name: name.into(),
                }),
                path: String::new(),
            }
        };
        let rule = |verbs: &[&str], groups: &[&str], resources: &[&str], names: &[&str]| {
            Rule::from_value(
                &json!({"verbs": verbs, "apiGroups": groups, "resources": resources, "resourceNames": names}),
            )
        };
        let pods = rule(&["get", "list"], &[""], &["pods"], &[]);
        let logs = rule(&["get"], &[""], &["pods/log"], &[]);
        let scales = rule(&["*"], &["apps"], &["*/scale"], &[]);
        let all = rule(&["*"], &["*"], &["*"], &[]);
        let one = rule(&["get", "update"], &[""], &["configmaps"], &["a", "b"]);
        for (rule, verb, group, resource, name, expected) in [
            (&pods, "get", "", "pods", "web", true),
            (&pods, "list", "", "pods", "", true),
            (&pods, "delete", "", "pods", "web", false),
            (&pods, "get", "apps", "pods", "web", false),
            (&pods, "get", "", "pods/log", "web", false),
            (&pods, "get", "", "podsx", "web", false),
            (&logs, "get", "", "pods/log", "web", true),
            (&logs, "get", "", "pods", "web", false),
            (&scales, "patch", "apps", "deployments/scale", "d", true),
            (&scales, "patch", "apps", "deployments", "d", false),
            (&scales, "patch", "", "deployments/scale", "d", false),
            (&all, "patch", "x", "y/z", "", true),
            (&one, "get", "", "configmaps", "a", true),
            (&one, "get", "", "configmaps", "c", false),
            (&one, "get", "", "configmaps", "", false),
        ] {
            assert_eq!(
                rule.allows(&asked(verb, group, resource, name)),
                expected,
                "{rule:?} {verb} {group} {resource} {name}"
            );
        }
        assert!(!all.allows(&Attributes::path("get", "/version")));
        assert!(!pods.allows(&Attributes::default()));
    }

    #[test]
    fn paths_match_whole_or_by_their_beginning() {
        for (url, path, expected) in [
            ("/version", "/version", true),
            ("/version", "/version/", false),
            ("/apis/*", "/apis/apps", true),
            ("/apis/*", "/apis", false),
            ("/api*", "/apis", true),
            ("*", "/x", true),
            ("/*", "/x", true),
            ("", "/x", false),
        ] {
            assert_eq!(url_matches(url, path), expected, "{url} {path}");
        }
        let rule = Rule::from_value(&json!({"verbs": ["get"], "nonResourceURLs": ["/healthz"]}));
        assert!(rule.allows(&Attributes::path("get", "/healthz")));
        assert!(!rule.allows(&Attributes::path("post", "/healthz")));
    }

    #[test]
    fn rules_of_any_shape_read_as_something_harmless() {
        for value in [
            json!(null),
            json!([1]),
            json!({"verbs": "*"}),
            json!({"verbs": [1]}),
        ] {
            assert_eq!(Rule::from_value(&value), Rule::default());
        }
        let value = json!({"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]});
        assert_eq!(Rule::from_value(&value).to_value(), value);
    }
}
