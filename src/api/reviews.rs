//! Questions that are answered and not stored: who is this, may it do that.
//! <https://kubernetes.io/docs/reference/access-authn-authz/authorization/#checking-api-access>

use super::authorize::extra_of;
use super::kinds::{FieldError, Kind};
use super::rbac::Rule;
use super::rbac::rules::{Attributes, Resource};
use super::status::{ApiError, ApiResult, json_response};
use super::{Api, Call, User, body, metadata, own_audiences, with_warnings};
use crate::object::access::{list, text};
use axum::body::Body;
use bytes::Bytes;
use http::Response;
use jiff::Timestamp;
use serde_json::{Value, json};

impl Api {
    /// POST of a review: the same object comes back with its status.
    pub(super) fn review(&self, call: &Call<'_>, body: Bytes) -> ApiResult<Response<Body>> {
        let kind = call.kind;
        call.form()?;
        let mut review = body::decode(call.headers, &body)?;
        let warnings = body::check(kind, &mut review, call.query.field_validation()?)?;
        metadata::place(kind, &mut review, call.path.namespace.as_deref(), None)?;
        let user = call.user.ok_or_else(ApiError::unauthorized)?;
        let status = match kind.kind {
            "TokenReview" => self.token_review(kind, &review)?,
            "SelfSubjectReview" => json!({"userInfo": user_info(user)}),
            "SelfSubjectAccessReview" => {
                let asked = attributes(kind, &review)?;
                self.access(user, &asked)?
            }
            "SubjectAccessReview" => {
                let asked = attributes(kind, &review)?;
                self.access(&subject(kind, &review)?, &asked)?
            }
            "LocalSubjectAccessReview" => {
                let asked = attributes(kind, &review)?;
                let namespace = call.path.namespace.as_deref().unwrap_or_default();
                if asked.resource.is_none() || asked.namespace() != namespace {
                    let error = FieldError::invalid(
                        "spec.resourceAttributes.namespace",
                        &asked.namespace().into(),
                        "must match metadata.namespace",
                    );
                    return Err(ApiError::invalid(kind, "", &[error]));
                }
                self.access(&subject(kind, &review)?, &asked)?
            }
            "SelfSubjectRulesReview" => self.rules(user, &review)?,
            _ => return Err(ApiError::method_not_allowed()),
        };
        review["status"] = status;
        if review["metadata"] == json!({}) {
            review["metadata"]["creationTimestamp"] = Value::Null;
        }
        Ok(with_warnings(
            json_response(201, review.to_string()),
            &warnings,
        ))
    }

    fn token_review(&self, kind: &Kind, review: &Value) -> ApiResult<Value> {
        let token = text(review, "/spec/token");
        if token.is_empty() {
            let error = FieldError::required("spec.token", "");
            return Err(ApiError::invalid(kind, "", &[error]));
        }
        let mut audiences: Vec<String> = list(review, "/spec/audiences")
            .iter()
            .filter_map(|audience| audience.as_str().map(str::to_owned))
            .collect();
        if audiences.is_empty() {
            audiences = own_audiences();
        }
        let now = Timestamp::now().as_second();
        Ok(match self.parts.tokens.verify(token, &audiences, now) {
            Ok((claims, audiences)) => json!({
                "authenticated": true, "user": user_info(&claims.user()), "audiences": audiences,
            }),
            Err(refusal) => {
                json!({"user": {}, "error": format!("[invalid bearer token, {refusal}]")})
            }
        })
    }

    fn access(&self, user: &User, asked: &Attributes) -> ApiResult<Value> {
        let decision = self.may(user, asked)?;
        let mut status = json!({"allowed": decision.allowed});
        if !decision.reason.is_empty() {
            status["reason"] = decision.reason.into();
        }
        Ok(status)
    }

    fn rules(&self, user: &User, review: &Value) -> ApiResult<Value> {
        let namespace = text(review, "/spec/namespace");
        if namespace.is_empty() {
            return Err(ApiError::bad_request("no namespace on request"));
        }
        let (rules, missing) = self
            .parts
            .policy
            .ask(|policy| policy.rules_of(user, namespace))?;
        let shown = |urls: bool| -> Vec<Value> {
            rules
                .iter()
                .filter(|rule| rule.urls.is_empty() != urls)
                .map(Rule::to_value)
                .collect()
        };
        let mut status = json!({
            "resourceRules": shown(false), "nonResourceRules": shown(true), "incomplete": !missing.is_empty(),
        });
        if !missing.is_empty() {
            status["evaluationError"] = missing.join(", ").into();
        }
        Ok(status)
    }
}

fn user_info(user: &User) -> Value {
    let mut info = json!({"username": user.name, "groups": user.groups});
    if !user.uid.is_empty() {
        info["uid"] = user.uid.clone().into();
    }
    if !user.extra.is_empty() {
        info["extra"] = json!(user.extra);
    }
    info
}

/// What a review asks about: a resource or a path, one of them.
fn attributes(kind: &Kind, review: &Value) -> ApiResult<Attributes> {
    let spec = &review["spec"];
    let refuse = |field: &str, detail: &str| {
        let error = FieldError::invalid(field, &Value::Null, detail);
        Err(ApiError::invalid(kind, "", &[error]))
    };
    let (resource, path) = (&spec["resourceAttributes"], &spec["nonResourceAttributes"]);
    match (resource.is_null(), path.is_null()) {
        (true, true) => refuse(
            "spec.resourceAttributes",
            "exactly one of nonResourceAttributes or resourceAttributes must be specified",
        ),
        (false, false) => refuse(
            "spec.nonResourceAttributes",
            "cannot be specified in combination with resourceAttributes",
        ),
        (true, false) => Ok(Attributes::path(text(path, "/verb"), text(path, "/path"))),
        (false, true) => {
            // Selectors may be told too; no rule of RBAC depends on them.
            let word = |field: &str| text(resource, field).to_owned();
            Ok(Attributes {
                verb: word("/verb"),
                resource: Some(Resource {
                    group: word("/group"),
                    namespace: word("/namespace"),
                    resource: word("/resource"),
                    subresource: word("/subresource"),
                    name: word("/name"),
                }),
                path: String::new(),
            })
        }
    }
}

fn subject(kind: &Kind, review: &Value) -> ApiResult<User> {
    let spec = &review["spec"];
    let user = User {
        name: text(spec, "/user").to_owned(),
        groups: list(spec, "/groups")
            .iter()
            .filter_map(|group| group.as_str().map(str::to_owned))
            .collect(),
        uid: text(spec, "/uid").to_owned(),
        extra: extra_of(spec),
    };
    if user.name.is_empty() && user.groups.is_empty() {
        let error = FieldError::invalid(
            "spec.user",
            &"".into(),
            "at least one of user or group must be specified",
        );
        return Err(ApiError::invalid(kind, "", &[error]));
    }
    Ok(user)
}
