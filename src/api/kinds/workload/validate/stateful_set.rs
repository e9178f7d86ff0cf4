//! What a StatefulSet has beyond its replicas: order, claims, ordinals.

use super::not_negative;
use crate::api::kinds::amount::{at_most_all, count_or_percent, is_nothing};
use crate::api::kinds::errors::Errors;
use crate::api::kinds::{FieldError, persistent_volume_claim};
use crate::object::access::{list, present, text};
use crate::object::names;
use serde_json::{Value, json};
use std::collections::HashSet;

pub fn validate(spec: &Value, errors: &mut Errors) {
    let policy = text(spec, "/podManagementPolicy");
    if !["OrderedReady", "Parallel"].contains(&policy) {
        let detail = "must be 'OrderedReady' or 'Parallel'";
        let field = "spec.podManagementPolicy";
        errors.push(FieldError::invalid(field, &policy.into(), detail));
    }
    strategy(&spec["updateStrategy"], errors);
    let at = "spec.persistentVolumeClaimRetentionPolicy";
    for field in ["whenDeleted", "whenScaled"] {
        let policy = text(
            spec,
            &format!("/persistentVolumeClaimRetentionPolicy/{field}"),
        );
        errors.one_of(format!("{at}.{field}"), policy, &["Delete", "Retain"]);
    }
    not_negative(&spec["ordinals"], "spec.ordinals.", &["start"], errors);
    // It becomes the subdomain of each pod.
    let service = text(spec, "/serviceName");
    if !service.is_empty() {
        errors.rule("spec.serviceName", service, names::check_label);
    }
    claims(spec, errors);
}

fn strategy(strategy: &Value, errors: &mut Errors) {
    let at = "spec.updateStrategy";
    let update = &strategy["rollingUpdate"];
    match text(strategy, "/type") {
        "OnDelete" => {
            if present(strategy, "/rollingUpdate") {
                let detail = "only allowed for updateStrategy 'RollingUpdate'";
                let field = format!("{at}.rollingUpdate");
                errors.push(FieldError::invalid(field, update, detail));
            }
        }
        "RollingUpdate" => {
            let at = format!("{at}.rollingUpdate");
            not_negative(update, &format!("{at}."), &["partition"], errors);
            let unavailable = &update["maxUnavailable"];
            if !unavailable.is_null() {
                let field = format!("{at}.maxUnavailable");
                count_or_percent(unavailable, &field, errors);
                if is_nothing(unavailable) {
                    errors.push(FieldError::invalid(&field, unavailable, "cannot be 0"));
                }
                at_most_all(unavailable, &field, errors);
            }
        }
        _ => {
            let detail = "must be 'RollingUpdate' or 'OnDelete'";
            errors.push(FieldError::invalid(at, strategy, detail));
        }
    }
}

/// Upstream leaves this to the controller, whose claims are then refused one by one.
fn claims(spec: &Value, errors: &mut Errors) {
    let mut seen = HashSet::new();
    for (index, claim) in list(spec, "/volumeClaimTemplates").iter().enumerate() {
        let at = format!("spec.volumeClaimTemplates[{index}]");
        let name = text(claim, "/metadata/name");
        let field = format!("{at}.metadata.name");
        if name.is_empty() {
            errors.push(FieldError::required(field, ""));
        } else if !seen.insert(name) {
            errors.push(FieldError::duplicate(field, &name.into()));
        } else {
            // A volume of the pod has this name.
            errors.rule(field, name, names::check_label);
        }
        let at = format!("{at}.spec");
        persistent_volume_claim::validate_spec(&claim["spec"], &at, errors);
    }
}

/// The template with the volumes that the claims become; a claim goes before a volume of its name.
pub fn with_claims(spec: &Value) -> Value {
    let mut template = spec["template"].clone();
    let claims = list(spec, "/volumeClaimTemplates");
    if claims.is_empty() || !template["spec"].is_object() {
        return template;
    }
    let mut volumes = list(&template, "/spec/volumes").to_vec();
    for claim in claims {
        let name = text(claim, "/metadata/name");
        let volume = json!({"name": name, "persistentVolumeClaim": {"claimName": name}});
        match volumes.iter_mut().find(|other| other["name"] == name) {
            Some(other) => *other = volume,
            None => volumes.push(volume),
        }
    }
    template["spec"]["volumes"] = volumes.into();
    template
}
