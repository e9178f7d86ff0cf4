//! Roles and bindings, in a namespace or for the whole cluster.
//! Rules and words: upstream's `pkg/apis/rbac/validation`.

use super::errors::Errors;
use super::status::put;
use super::{FieldError, Strategy, metadata};
use crate::api::rbac::GROUP;
use crate::object::access::{list, present, text};
use crate::object::names;
use crate::object::selector::LabelSelector;
use serde_json::Value;

/// `Role` and `ClusterRole`.
pub struct Role {
    pub cluster: bool,
}

/// `RoleBinding` and `ClusterRoleBinding`.
pub struct Binding {
    pub cluster: bool,
}

impl Strategy for Role {
    fn validate(&self, object: &Value) -> Vec<FieldError> {
        let mut errors = Errors {
            list: metadata::validate(object, names::check_path_segment),
        };
        for (index, rule) in list(object, "/rules").iter().enumerate() {
            validate_rule(rule, &format!("rules[{index}]"), self.cluster, &mut errors);
        }
        if present(object, "/aggregationRule") {
            let field = "aggregationRule.clusterRoleSelectors";
            let selectors = list(object, "/aggregationRule/clusterRoleSelectors");
            if selectors.is_empty() {
                let detail =
                    "at least one clusterRoleSelector required if aggregationRule is non-nil";
                errors.push(FieldError::required(field, detail));
            }
            for (index, selector) in selectors.iter().enumerate() {
                if let Err(problem) = LabelSelector::from_json(selector) {
                    let at = format!("{field}[{index}]");
                    errors.push(FieldError::invalid(at, selector, problem));
                }
            }
        }
        errors.list
    }

    fn validate_update(&self, old: &Value, object: &Value) -> Vec<FieldError> {
        metadata::validate_update(old, object)
    }
}

fn validate_rule(rule: &Value, at: &str, cluster: bool, errors: &mut Errors) {
    let empty = |field: &str| list(rule, field).is_empty();
    if empty("/verbs") {
        let detail = "verbs must contain at least one value";
        errors.push(FieldError::required(format!("{at}.verbs"), detail));
    }
    if !empty("/nonResourceURLs") {
        let urls = &rule["nonResourceURLs"];
        let field = format!("{at}.nonResourceURLs");
        if !cluster {
            let detail = "namespaced rules cannot apply to non-resource URLs";
            errors.push(FieldError::invalid(field.clone(), urls, detail));
        }
        if !(empty("/apiGroups") && empty("/resources") && empty("/resourceNames")) {
            let detail = "rules cannot apply to both regular resources and non-resource URLs";
            errors.push(FieldError::invalid(field, urls, detail));
        }
        return;
    }
    if empty("/apiGroups") {
        let detail = "resource rules must supply at least one api group";
        errors.push(FieldError::required(format!("{at}.apiGroups"), detail));
    }
    if empty("/resources") {
        let detail = "resource rules must supply at least one resource";
        errors.push(FieldError::required(format!("{at}.resources"), detail));
    }
}

impl Strategy for Binding {
    fn default(&self, object: &mut Value) {
        if let Some(role) = object.get_mut("roleRef").filter(|role| role.is_object())
            && text(role, "/apiGroup").is_empty()
        {
            put(role, "apiGroup", GROUP.into());
        }
        let subjects = object.get_mut("subjects").and_then(Value::as_array_mut);
        for subject in subjects.into_iter().flatten() {
            if text(subject, "/apiGroup").is_empty()
                && matches!(text(subject, "/kind"), "User" | "Group")
            {
                put(subject, "apiGroup", GROUP.into());
            }
        }
    }

    fn validate(&self, object: &Value) -> Vec<FieldError> {
        let mut errors = Errors {
            list: metadata::validate(object, names::check_path_segment),
        };
        errors.one_of(
            "roleRef.apiGroup",
            text(object, "/roleRef/apiGroup"),
            &[GROUP],
        );
        let kinds: &[&str] = if self.cluster {
            &["ClusterRole"]
        } else {
            &["ClusterRole", "Role"]
        };
        errors.one_of("roleRef.kind", text(object, "/roleRef/kind"), kinds);
        match text(object, "/roleRef/name") {
            "" => errors.push(FieldError::required("roleRef.name", "")),
            name => errors.rule("roleRef.name", name, names::check_path_segment),
        }
        for (index, subject) in list(object, "/subjects").iter().enumerate() {
            let at = format!("subjects[{index}]");
            validate_subject(subject, &at, self.cluster, &mut errors);
        }
        errors.list
    }

    fn validate_update(&self, old: &Value, object: &Value) -> Vec<FieldError> {
        let mut errors = metadata::validate_update(old, object);
        if old["roleRef"] != object["roleRef"] {
            let (role, detail) = (&object["roleRef"], "cannot change roleRef");
            errors.push(FieldError::invalid("roleRef", role, detail));
        }
        errors
    }
}

/// An account without a namespace is of the binding's own, where it has one. Upstream's `ValidateRoleBindingSubject`.
fn validate_subject(subject: &Value, at: &str, cluster: bool, errors: &mut Errors) {
    let (kind, name) = (text(subject, "/kind"), text(subject, "/name"));
    let group = text(subject, "/apiGroup");
    if name.is_empty() {
        errors.push(FieldError::required(format!("{at}.name"), ""));
    }
    match kind {
        "ServiceAccount" => {
            if !name.is_empty() {
                errors.rule(format!("{at}.name"), name, names::check_subdomain);
            }
            errors.one_of(format!("{at}.apiGroup"), group, &[""]);
            if cluster && text(subject, "/namespace").is_empty() {
                errors.push(FieldError::required(format!("{at}.namespace"), ""));
            }
        }
        "User" | "Group" => errors.one_of(format!("{at}.apiGroup"), group, &[GROUP]),
        _ => errors.one_of(
            format!("{at}.kind"),
            kind,
            &["Group", "ServiceAccount", "User"],
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn fields(strategy: &dyn Strategy, mut object: Value) -> Vec<String> {
        json_patch::merge(&mut object, &json!({"metadata": {"name": "system:a"}}));
        strategy.default(&mut object);
        let errors = strategy.validate(&object);
        errors.into_iter().map(|error| error.field).collect()
    }

    #[test]
    fn roles() {
        let (role, wide) = (Role { cluster: false }, Role { cluster: true });
        let urls = json!({"rules": [{"verbs": ["get"], "nonResourceURLs": ["/x"]}]});
        assert_eq!(fields(&wide, urls.clone()), [""; 0]);
        assert_eq!(fields(&role, urls), ["rules[0].nonResourceURLs"]);
        for (rule, field) in [
            (
                json!({"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}),
                "",
            ),
            (
                json!({"apiGroups": [""], "resources": ["pods"]}),
                "rules[0].verbs",
            ),
            (
                json!({"verbs": ["get"], "resources": ["pods"]}),
                "rules[0].apiGroups",
            ),
            (
                json!({"verbs": ["get"], "apiGroups": [""]}),
                "rules[0].resources",
            ),
        ] {
            let found = fields(&role, json!({"rules": [rule]}));
            assert_eq!(found.join(" "), field, "{rule}");
        }
        assert_eq!(fields(&role, json!({"rules": null})), [""; 0]);
        assert_eq!(
            fields(&wide, json!({"aggregationRule": {}})),
            ["aggregationRule.clusterRoleSelectors"]
        );
    }

    #[test]
    fn bindings() {
        let (near, wide) = (Binding { cluster: false }, Binding { cluster: true });
        let to = |kind: &str, subject: Value| json!({"roleRef": {"kind": kind, "name": "r"}, "subjects": [subject]});
        let jo = json!({"kind": "User", "name": "jo"});
        assert_eq!(fields(&near, to("Role", jo.clone())), [""; 0]);
        assert_eq!(fields(&wide, to("Role", jo.clone())), ["roleRef.kind"]);
        assert_eq!(
            fields(&near, json!({"subjects": [jo]})),
            ["roleRef.apiGroup", "roleRef.kind", "roleRef.name"]
        );
        for (subject, field) in [
            (
                json!({"kind": "ServiceAccount", "name": "a", "namespace": "b"}),
                "",
            ),
            (json!({"kind": "ServiceAccount", "name": "a"}), ""),
            (
                json!({"kind": "ServiceAccount", "name": "A", "namespace": "b"}),
                "subjects[0].name",
            ),
            (json!({"kind": "User"}), "subjects[0].name"),
            (json!({"kind": "Robot", "name": "a"}), "subjects[0].kind"),
            (
                json!({"kind": "Group", "name": "a", "apiGroup": "x"}),
                "subjects[0].apiGroup",
            ),
        ] {
            let found = fields(&near, to("Role", subject.clone()));
            assert_eq!(found.join(" "), field, "{subject}");
        }
        let nowhere = to(
            "ClusterRole",
            json!({"kind": "ServiceAccount", "name": "a"}),
        );
        assert_eq!(fields(&wide, nowhere), ["subjects[0].namespace"]);
        let old = to("Role", json!({}));
        let errors = near.validate_update(&old, &to("ClusterRole", json!({})));
        assert_eq!(errors[0].field, "roleRef");
    }
}
