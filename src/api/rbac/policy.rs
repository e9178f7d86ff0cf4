//! All roles and bindings, and what they say to a question: pure.

use super::rules::{Attributes, Rule};
use super::{ADMINISTRATORS, GROUP};
use crate::api::User;
use crate::object::access::{list, text};
use serde_json::Value;
use std::collections::{BTreeMap, HashMap};

/// Where roles and bindings stand in the store.
pub const CLUSTER_ROLES: &str = "clusterroles.rbac.authorization.k8s.io/";
pub const CLUSTER_ROLE_BINDINGS: &str = "clusterrolebindings.rbac.authorization.k8s.io/";
pub const ROLES: &str = "roles.rbac.authorization.k8s.io/";
pub const ROLE_BINDINGS: &str = "rolebindings.rbac.authorization.k8s.io/";

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    User(Box<str>),
    Group(Box<str>),
    /// By its user name.
    Account(Box<str>),
}

/// The role a binding refers to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoleRef {
    /// `ClusterRole`, else `Role`.
    pub cluster: bool,
    pub name: Box<str>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binding {
    pub subjects: Box<[Subject]>,
    pub role: RoleRef,
}

/// An answer, and the words for it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Decision {
    pub allowed: bool,
    pub reason: String,
}

/// Namespace and name.
type Place = (Box<str>, Box<str>);

/// Everything RBAC knows, by name; what is in a namespace, by namespace and name.
#[derive(Debug, Default)]
pub struct Policy {
    cluster_roles: HashMap<Box<str>, Box<[Rule]>>,
    cluster_bindings: BTreeMap<Box<str>, Binding>,
    roles: HashMap<Place, Box<[Rule]>>,
    bindings: HashMap<Box<str>, BTreeMap<Box<str>, Binding>>,
}

impl Subject {
    fn from_value(subject: &Value, namespace: &str) -> Option<Subject> {
        let (group, name) = (text(subject, "/apiGroup"), text(subject, "/name"));
        match text(subject, "/kind") {
            "User" if group == GROUP => Some(Subject::User(name.into())),
            "Group" if group == GROUP => Some(Subject::Group(name.into())),
            "ServiceAccount" if group.is_empty() => {
                let place = match text(subject, "/namespace") {
                    "" => namespace,
                    place => place,
                };
                let user = crate::api::tokens::claims::user_name(place, name);
                (!place.is_empty()).then(|| Subject::Account(user.into()))
            }
            _ => None,
        }
    }

    fn is(&self, user: &User) -> bool {
        match self {
            Subject::User(name) | Subject::Account(name) => **name == *user.name,
            Subject::Group(name) => user.groups.iter().any(|group| **name == **group),
        }
    }

    /// As upstream names it in an answer.
    fn describe(&self) -> String {
        match self {
            Subject::User(name) => format!("User {name:?}"),
            Subject::Group(name) => format!("Group {name:?}"),
            Subject::Account(name) => {
                let mut parts = name.rsplit(':');
                let (name, namespace) = (
                    parts.next().unwrap_or_default(),
                    parts.next().unwrap_or_default(),
                );
                format!("ServiceAccount \"{name}/{namespace}\"")
            }
        }
    }
}

impl RoleRef {
    pub fn from_value(binding: &Value) -> RoleRef {
        RoleRef {
            cluster: text(binding, "/roleRef/kind") == "ClusterRole",
            name: text(binding, "/roleRef/name").into(),
        }
    }

    fn describe(&self) -> String {
        let kind = if self.cluster { "ClusterRole" } else { "Role" };
        format!("{kind} {:?}", self.name)
    }
}

impl Policy {
    /// Takes in the object under `key` as it now is; `None`: it is gone. Keys of other kinds change nothing.
    pub fn put(&mut self, key: &str, object: Option<&Value>) {
        if let Some(name) = key.strip_prefix(CLUSTER_ROLES) {
            match object {
                Some(role) => self.cluster_roles.insert(name.into(), Rule::of_role(role)),
                None => self.cluster_roles.remove(name),
            };
        } else if let Some(name) = key.strip_prefix(CLUSTER_ROLE_BINDINGS) {
            match object {
                Some(object) => self
                    .cluster_bindings
                    .insert(name.into(), binding(object, "")),
                None => self.cluster_bindings.remove(name),
            };
        } else if let Some((namespace, name)) = split(key, ROLES) {
            let place = (namespace.into(), name.into());
            match object {
                Some(role) => self.roles.insert(place, Rule::of_role(role)),
                None => self.roles.remove(&place),
            };
        } else if let Some((namespace, name)) = split(key, ROLE_BINDINGS) {
            let inside = self.bindings.entry(namespace.into()).or_default();
            match object {
                Some(object) => inside.insert(name.into(), binding(object, namespace)),
                None => inside.remove(name),
            };
            if inside.is_empty() {
                self.bindings.remove(namespace);
            }
        }
    }

    pub fn decide(&self, user: &User, asked: &Attributes) -> Decision {
        if user.groups.iter().any(|group| group == ADMINISTRATORS) {
            return Decision {
                allowed: true,
                reason: String::new(),
            };
        }
        let mut missing = Vec::new();
        let found = self.visit(user, asked.namespace(), |grant| {
            let Some(rules) = grant.rules else {
                missing.push(grant.missing());
                return false;
            };
            rules.iter().any(|rule| rule.allows(asked))
        });
        match found {
            Some(reason) => Decision {
                allowed: true,
                reason,
            },
            None if missing.is_empty() => Decision::default(),
            None => Decision {
                allowed: false,
                reason: match missing.as_slice() {
                    [one] => format!("RBAC: {one}"),
                    many => format!("RBAC: [{}]", many.join(", ")),
                },
            },
        }
    }

    /// Every rule that is `user`'s in `namespace` (empty: at the cluster scope), and whether a role was missing.
    pub fn rules_of(&self, user: &User, namespace: &str) -> (Vec<Rule>, Vec<String>) {
        let (mut all, mut missing) = (Vec::new(), Vec::new());
        if user.groups.iter().any(|group| group == ADMINISTRATORS) {
            all.extend(super::built_in::everything());
        }
        self.visit(user, namespace, |grant| {
            match grant.rules {
                Some(rules) => all.extend(rules.iter().cloned()),
                None => missing.push(grant.missing()),
            }
            false
        });
        (all, missing)
    }

    /// The rules of the role a binding in `namespace` refers to; `None`: there is no such role.
    pub fn rules_of_role(&self, role: &RoleRef, namespace: &str) -> Option<&[Rule]> {
        if role.cluster {
            return self.cluster_roles.get(&role.name).map(|rules| &**rules);
        }
        let place = (namespace.into(), role.name.clone());
        self.roles.get(&place).map(|rules| &**rules)
    }

    /// Shows every grant to `user` until one is taken; that one's words.
    fn visit(
        &self,
        user: &User,
        namespace: &str,
        mut take: impl FnMut(&Grant<'_>) -> bool,
    ) -> Option<String> {
        let wide = self
            .cluster_bindings
            .iter()
            .map(|(name, binding)| ("", name, binding));
        let near = self
            .bindings
            .get(namespace)
            .into_iter()
            .flatten()
            .map(|(name, binding)| (namespace, name, binding));
        for (place, name, binding) in wide.chain(near) {
            let Some(subject) = binding.subjects.iter().find(|subject| subject.is(user)) else {
                continue;
            };
            let grant = Grant {
                rules: self.rules_of_role(&binding.role, place),
                role: &binding.role,
            };
            if take(&grant) {
                let what = if place.is_empty() {
                    format!("ClusterRoleBinding {name:?}")
                } else {
                    format!("RoleBinding \"{name}/{place}\"")
                };
                return Some(format!(
                    "RBAC: allowed by {what} of {} to {}",
                    binding.role.describe(),
                    subject.describe()
                ));
            }
        }
        None
    }
}

struct Grant<'a> {
    rules: Option<&'a [Rule]>,
    role: &'a RoleRef,
}

impl Grant<'_> {
    fn missing(&self) -> String {
        let kind = if self.role.cluster {
            "clusterrole"
        } else {
            "role"
        };
        format!("{kind}.{GROUP} {:?} not found", self.role.name)
    }
}

fn binding(object: &Value, namespace: &str) -> Binding {
    Binding {
        subjects: list(object, "/subjects")
            .iter()
            .filter_map(|subject| Subject::from_value(subject, namespace))
            .collect(),
        role: RoleRef::from_value(object),
    }
}

fn split<'a>(key: &'a str, prefix: &str) -> Option<(&'a str, &'a str)> {
    key.strip_prefix(prefix)?.split_once('/')
}

#[cfg(test)]
mod tests {
    use super::super::rules::Resource;
    use super::*;
    use serde_json::json;

    fn user(name: &str, groups: &[&str]) -> User {
        User {
            name: name.into(),
            groups: groups.iter().map(|&group| group.into()).collect(),
            ..User::default()
        }
    }

    fn asked(verb: &str, namespace: &str, resource: &str) -> Attributes {
        Attributes {
            verb: verb.into(),
            resource: Some(Resource {
                namespace: namespace.into(),
                resource: resource.into(),
                ..Resource::default()
            }),
            path: String::new(),
        }
    }

    fn policy() -> Policy {
        let mut policy = Policy::default();
        let reader =
            json!({"rules": [{"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}]});
        policy.put(&format!("{CLUSTER_ROLES}reader"), Some(&reader));
        policy.put(&format!("{ROLES}a/local"), Some(&reader));
        let role = |kind: &str, name: &str| json!({"apiGroup": GROUP, "kind": kind, "name": name});
        let account = json!([{"kind": "ServiceAccount", "name": "sa", "namespace": "a"}]);
        policy.put(
            &format!("{ROLE_BINDINGS}a/one"),
            Some(&json!({"subjects": account, "roleRef": role("Role", "local")})),
        );
        policy.put(
            &format!("{ROLE_BINDINGS}b/two"),
            Some(&json!({"subjects": account, "roleRef": role("ClusterRole", "reader")})),
        );
        policy.put(
            &format!("{CLUSTER_ROLE_BINDINGS}three"),
            Some(&json!({"subjects": [{"kind": "Group", "name": "crew", "apiGroup": GROUP}], "roleRef": role("ClusterRole", "reader")})),
        );
        policy
    }

    #[test]
    fn bindings_reach_as_far_as_they_say() {
        let policy = policy();
        let sa = user("system:serviceaccount:a:sa", &["system:serviceaccounts"]);
        let crew = user("jo", &["crew"]);
        let root = user("root", &[ADMINISTRATORS]);
        for (who, verb, namespace, allowed) in [
            (&sa, "get", "a", true),
            (&sa, "get", "b", true),
            (&sa, "get", "c", false),
            (&sa, "get", "", false),
            (&sa, "list", "a", false),
            (&crew, "get", "c", true),
            (&crew, "get", "", true),
            (&crew, "delete", "c", false),
            (&root, "delete", "c", true),
        ] {
            let decision = policy.decide(who, &asked(verb, namespace, "pods"));
            assert_eq!(decision.allowed, allowed, "{who:?} {verb} {namespace}");
        }
        assert_eq!(
            policy.decide(&sa, &asked("get", "a", "pods")).reason,
            "RBAC: allowed by RoleBinding \"one/a\" of Role \"local\" to ServiceAccount \"sa/a\""
        );
        assert_eq!(policy.rules_of(&sa, "b").0.len(), 1);
    }

    #[test]
    fn what_is_deleted_grants_nothing_more() {
        let mut policy = policy();
        let crew = user("jo", &["crew"]);
        policy.put(&format!("{CLUSTER_ROLES}reader"), None);
        let decision = policy.decide(&crew, &asked("get", "c", "pods"));
        assert_eq!(
            (decision.allowed, decision.reason.as_str()),
            (
                false,
                "RBAC: clusterrole.rbac.authorization.k8s.io \"reader\" not found"
            )
        );
        policy.put(&format!("{CLUSTER_ROLE_BINDINGS}three"), None);
        assert_eq!(
            policy.decide(&crew, &asked("get", "c", "pods")),
            Decision::default()
        );
        policy.put(&format!("{ROLE_BINDINGS}a/one"), None);
        policy.put(&format!("{ROLE_BINDINGS}b/two"), None);
        assert!(policy.bindings.is_empty());
    }

    #[test]
    fn subjects_of_the_wrong_group_are_nobody() {
        for subject in [
            json!({"kind": "User", "name": "jo"}),
            json!({"kind": "ServiceAccount", "name": "sa"}),
            json!({"kind": "ServiceAccount", "name": "sa", "namespace": "a", "apiGroup": "x"}),
            json!({"kind": "Robot", "name": "r", "apiGroup": GROUP}),
            json!(7),
        ] {
            assert_eq!(Subject::from_value(&subject, ""), None, "{subject}");
        }
    }
}
