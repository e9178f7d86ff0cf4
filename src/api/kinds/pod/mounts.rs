//! Validation of a container's volume mounts, as upstream's `ValidateVolumeMounts`.

use super::volumes::no_climbing;
use crate::api::kinds::FieldError;
use crate::api::kinds::errors::Errors;
use crate::object::access::{list, present, text, truth};
use serde_json::Value;
use std::collections::HashSet;

const PROPAGATIONS: [&str; 3] = ["Bidirectional", "HostToContainer", "None"];
const RECURSIONS: [&str; 3] = ["Disabled", "Enabled", "IfPossible"];
const BIND_OPTIONS: [&str; 3] = ["nodev", "noexec", "nosuid"];

pub fn validate(container: &Value, at: &str, volumes: &HashSet<&str>, errors: &mut Errors) {
    let privileged = truth(container, "/securityContext/privileged");
    let mut seen = HashSet::new();
    for (index, mount) in list(container, "/volumeMounts").iter().enumerate() {
        let at = format!("{at}.volumeMounts[{index}]");
        let (name, path) = (text(mount, "/name"), text(mount, "/mountPath"));
        if name.is_empty() {
            errors.push(FieldError::required(format!("{at}.name"), ""));
        } else if !volumes.contains(name) {
            errors.push(FieldError::not_found(format!("{at}.name"), &name.into()));
        }
        if path.is_empty() {
            errors.push(FieldError::required(format!("{at}.mountPath"), ""));
        } else if !seen.insert(path) {
            let detail = "must be unique";
            let field = format!("{at}.mountPath");
            errors.push(FieldError::invalid(field, &path.into(), detail));
        }
        sub_paths(mount, &at, errors);
        propagation(mount, &at, privileged, errors);
        recursion(mount, &at, errors);
        for (number, option) in list(mount, "/bindMountOptions").iter().enumerate() {
            let field = format!("{at}.bindMountOptions[{number}]");
            errors.one_of(field, option.as_str().unwrap_or_default(), &BIND_OPTIONS);
        }
    }
}

fn sub_paths(mount: &Value, at: &str, errors: &mut Errors) {
    for field in ["subPath", "subPathExpr"] {
        let path = text(mount, &format!("/{field}"));
        let field = format!("{at}.{field}");
        if path.starts_with('/') {
            let detail = "must be a relative path";
            errors.push(FieldError::invalid(&field, &path.into(), detail));
        }
        no_climbing(field, path, errors);
    }
    let expression = text(mount, "/subPathExpr");
    if !expression.is_empty() && !text(mount, "/subPath").is_empty() {
        let field = format!("{at}.subPathExpr");
        let detail = "subPathExpr and subPath are mutually exclusive";
        errors.push(FieldError::invalid(field, &expression.into(), detail));
    }
}

fn propagation(mount: &Value, at: &str, privileged: bool, errors: &mut Errors) {
    if !present(mount, "/mountPropagation") {
        return;
    }
    let field = format!("{at}.mountPropagation");
    let wanted = text(mount, "/mountPropagation");
    errors.one_of(field.clone(), wanted, &PROPAGATIONS);
    if wanted == "Bidirectional" && !privileged {
        let detail = "Bidirectional mount propagation is available only to privileged containers";
        errors.push(FieldError::forbidden(field, detail));
    }
}

fn recursion(mount: &Value, at: &str, errors: &mut Errors) {
    if !present(mount, "/recursiveReadOnly") {
        return;
    }
    let field = format!("{at}.recursiveReadOnly");
    let wanted = text(mount, "/recursiveReadOnly");
    errors.one_of(field.clone(), wanted, &RECURSIONS);
    if !matches!(wanted, "Enabled" | "IfPossible") {
        return;
    }
    if !truth(mount, "/readOnly") {
        let detail = "may only be specified when readOnly is true";
        errors.push(FieldError::forbidden(field.clone(), detail));
    }
    if !matches!(text(mount, "/mountPropagation"), "" | "None") {
        let detail = "may only be specified when mountPropagation is None or not specified";
        errors.push(FieldError::forbidden(field, detail));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn fields() {
        for (mount, want) in [
            (json!({}), ""),
            (json!({"subPath": "a/b"}), ""),
            (json!({"subPath": "/a"}), "subPath"),
            (json!({"subPath": "a/../b"}), "subPath"),
            (json!({"subPathExpr": "$(A)/.."}), "subPathExpr"),
            (json!({"subPath": "a", "subPathExpr": "b"}), "subPathExpr"),
            (json!({"mountPropagation": "None"}), ""),
            (json!({"mountPropagation": "HostToContainer"}), ""),
            (json!({"mountPropagation": "Up"}), "mountPropagation"),
            (
                json!({"mountPropagation": "Bidirectional"}),
                "mountPropagation",
            ),
            (json!({"recursiveReadOnly": "Enabled"}), "recursiveReadOnly"),
            (
                json!({"readOnly": true, "recursiveReadOnly": "IfPossible"}),
                "",
            ),
            (
                json!({"readOnly": true, "recursiveReadOnly": "Maybe"}),
                "recursiveReadOnly",
            ),
            (
                json!({"readOnly": true, "recursiveReadOnly": "Enabled", "mountPropagation": "HostToContainer"}),
                "recursiveReadOnly",
            ),
            (
                json!({"bindMountOptions": ["noexec", "suid"]}),
                "bindMountOptions[1]",
            ),
            (json!({"name": "w"}), "name"),
        ] {
            let mut whole = json!({"name": "v", "mountPath": "/a"});
            json_patch::merge(&mut whole, &mount);
            let mut errors = Errors::default();
            let container = json!({"volumeMounts": [whole]});
            validate(&container, "c", &HashSet::from(["v"]), &mut errors);
            let found: Vec<&str> = errors
                .list
                .iter()
                .map(|e| e.field.trim_start_matches("c.volumeMounts[0]."))
                .collect();
            assert_eq!(found.join(" "), want, "{mount}");
        }
        let mut errors = Errors::default();
        let privileged = json!({"securityContext": {"privileged": true},
            "volumeMounts": [{"name": "v", "mountPath": "/a", "mountPropagation": "Bidirectional"}]});
        validate(&privileged, "c", &HashSet::from(["v"]), &mut errors);
        assert_eq!(errors.list, []);
    }
}
