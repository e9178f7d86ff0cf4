//! POST to `serviceaccounts/{name}/token`: a token for an account, bound to an object or to nothing.
//! <https://kubernetes.io/docs/reference/kubernetes-api/authentication-resources/token-request-v1/>

use super::kinds::{FieldError, Kind, token_request_kind};
use super::status::{ApiError, ApiResult, json_response};
use super::tokens::claims::Object;
use super::tokens::{Claims, jwt};
use super::{
    Api, Call, body, discovery, key, metadata, node_limits, own_audiences, stored_value,
    with_warnings,
};
use crate::object::access::{integer, list, text};
use axum::body::Body;
use bytes::Bytes;
use http::Response;
use jiff::Timestamp;
use serde_json::{Value, json};

const SECONDS_DEFAULT: i64 = 3600;
const SECONDS_MIN: i64 = 600;
const SECONDS_MAX: i64 = 1 << 32;

/// What the volume of every pod asks for. Such a token is good for a year, and marked to be renewed after an hour:
/// programs that read their token once at start go on working (kube-apiserver's `--service-account-extend-token-expiration`).
pub const SECONDS_OF_PODS: i64 = 3607;
const SECONDS_EXTENDED: i64 = 365 * 24 * 3600;

impl Api {
    pub(super) fn request_token(&self, call: &Call<'_>, body: Bytes) -> ApiResult<Response<Body>> {
        let (name, kind) = (call.name()?, token_request_kind());
        let namespace = call.path.namespace.as_deref().unwrap_or_default();
        let mut request = body::decode(call.headers, &body)?;
        let warnings = body::check(kind, &mut request, call.query.field_validation()?)?;
        metadata::place(kind, &mut request, Some(namespace), Some(name))?;
        let account = self.object("serviceaccounts", Some(namespace), name)?;
        if request["spec"]["expirationSeconds"].is_null() {
            request["spec"]["expirationSeconds"] = SECONDS_DEFAULT.into();
        }
        if list(&request, "/spec/audiences").is_empty() {
            request["spec"]["audiences"] = json!(own_audiences());
        }
        let errors = validate(&request);
        if !errors.is_empty() {
            return Err(ApiError::invalid(kind, name, &errors));
        }
        let now = Timestamp::now();
        let mut claims = claims(&request, &own_audiences(), now.as_second());
        namespace.clone_into(&mut claims.namespace);
        claims.account = Object::new(name, text(&account, "/metadata/uid"));
        self.bind_token(&request, &mut claims)?;
        if let Some(node) = call.user.and_then(node_limits::node_of)
            && (claims.pod.is_none() || claims.node.as_ref().is_none_or(|one| one.name != node))
        {
            return Err(ApiError::forbidden(format!(
                "serviceaccounts {name:?} is forbidden: node {node:?} may only have tokens that are bound to its own pods"
            )));
        }
        let seconds = integer(&request, "/spec/expirationSeconds");
        let expires = now
            .checked_add(jiff::SignedDuration::from_secs(seconds))
            .unwrap_or(now);
        request["status"] = json!({
            "token": "", "expirationTimestamp": metadata::timestamp(expires),
        });
        if !call.query.dry_run()? {
            let token = jwt::sign(&self.parts.identity.signing_key, &claims.to_value())
                .map_err(|error| ApiError::internal(error.to_string()))?;
            request["status"]["token"] = token.into();
        }
        metadata::metadata_mut(&mut request)
            .insert("creationTimestamp".into(), metadata::timestamp(now).into());
        Ok(with_warnings(
            json_response(201, request.to_string()),
            &warnings,
        ))
    }

    /// What the token is to live and die with.
    fn bind_token(&self, request: &Value, claims: &mut Claims) -> ApiResult<()> {
        let bound = &request["spec"]["boundObjectRef"];
        if bound.is_null() {
            return Ok(());
        }
        let name = text(bound, "/name");
        let namespace = Some(claims.namespace.as_str());
        let (version, kind) = (text(bound, "/apiVersion"), text(bound, "/kind"));
        let (plural, found) = match (version, kind) {
            ("v1" | "", "Pod") => ("pods", self.object("pods", namespace, name)?),
            ("v1" | "", "Secret") => ("secrets", self.object("secrets", namespace, name)?),
            ("v1" | "", "Node") => ("nodes", self.object("nodes", None, name)?),
            _ => {
                return Err(ApiError::bad_request(format!(
                    "cannot bind token to object of type {version}, Kind={kind}"
                )));
            }
        };
        let uid = text(&found, "/metadata/uid");
        let asked = text(bound, "/uid");
        if !asked.is_empty() && asked != uid {
            let of = discovery::find(self.parts.kinds, "", "v1", plural)
                .ok_or_else(ApiError::no_resource)?;
            return Err(ApiError::conflict(
                of,
                name,
                &format!(
                    "the UID in the bound object reference ({asked}) does not match the UID in record. The object might have been deleted and then recreated"
                ),
            ));
        }
        let object = Object::new(name, uid);
        match kind {
            "Pod" => {
                let account = text(&found, "/spec/serviceAccountName");
                if account != claims.account.name {
                    return Err(ApiError::bad_request(format!(
                        "cannot bind token for serviceaccount {:?} to pod running with different serviceaccount name.",
                        claims.account.name
                    )));
                }
                let node = text(&found, "/spec/nodeName");
                if !node.is_empty() {
                    let uid = self
                        .object("nodes", None, node)
                        .map(|node| text(&node, "/metadata/uid").to_owned())
                        .unwrap_or_default();
                    claims.node = Some(Object::new(node, &uid));
                }
                claims.pod = Some(object);
            }
            "Secret" => claims.secret = Some(object),
            _ => claims.node = Some(object),
        }
        Ok(())
    }

    /// A core object, or 404.
    fn object(&self, plural: &str, namespace: Option<&str>, name: &str) -> ApiResult<Value> {
        let kind: &'static Kind = discovery::find(self.parts.kinds, "", "v1", plural)
            .ok_or_else(ApiError::no_resource)?;
        let stored = self
            .parts
            .store
            .get(&key(kind, namespace, name))?
            .ok_or_else(|| ApiError::not_found(kind, name))?;
        stored_value(&stored.json)
    }
}

fn validate(request: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let seconds = &request["spec"]["expirationSeconds"];
    let number = seconds.as_i64().unwrap_or_default();
    let field = "spec.expirationSeconds";
    if number < SECONDS_MIN {
        let detail = "may not specify a duration less than 10 minutes";
        errors.push(FieldError::invalid(field, seconds, detail));
    } else if number > SECONDS_MAX {
        let detail = "may not specify a duration larger than 2^32 seconds";
        errors.push(FieldError::invalid(field, seconds, detail));
    }
    let bound = &request["spec"]["boundObjectRef"];
    if !bound.is_null() && text(bound, "/name").is_empty() {
        errors.push(FieldError::required("spec.boundObjectRef.name", ""));
    }
    errors
}

/// Times and audiences of a new token.
fn claims(request: &Value, own_audiences: &[String], now: i64) -> Claims {
    let seconds = integer(request, "/spec/expirationSeconds");
    let audiences: Vec<String> = list(request, "/spec/audiences")
        .iter()
        .filter_map(|audience| audience.as_str().map(str::to_owned))
        .collect();
    let of_a_pod = seconds == SECONDS_OF_PODS
        && text(request, "/spec/boundObjectRef/kind") == "Pod"
        && audiences == own_audiences;
    Claims {
        expires_at: now + if of_a_pod { SECONDS_EXTENDED } else { seconds },
        warn_after: of_a_pod.then_some(now + seconds),
        audiences,
        issued_at: now,
        not_before: now,
        id: uuid::Uuid::new_v4().to_string(),
        ..Claims::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_bounds_and_pods_tokens_last() {
        let own = vec!["api".to_owned()];
        let request = |seconds: i64, bound: Value, audience: &str| json!({"spec": {"expirationSeconds": seconds, "boundObjectRef": bound, "audiences": [audience]}});
        let pod = json!({"kind": "Pod", "name": "p"});
        for (seconds, bound, audience, lasts) in [
            (3600, Value::Null, "api", 3600),
            (3607, Value::Null, "api", 3607),
            (3607, pod.clone(), "vault", 3607),
            (3607, pod.clone(), "api", SECONDS_EXTENDED),
            (3608, pod.clone(), "api", 3608),
        ] {
            let claims = claims(&request(seconds, bound, audience), &own, 10);
            assert_eq!(claims.expires_at, 10 + lasts);
            assert_eq!(claims.warn_after.is_some(), lasts == SECONDS_EXTENDED);
        }
        for (seconds, fits) in [
            (599, false),
            (600, true),
            (1 << 32, true),
            ((1 << 32) + 1, false),
        ] {
            assert_eq!(
                validate(&request(seconds, Value::Null, "api")).is_empty(),
                fits
            );
        }
        assert_eq!(
            validate(&request(600, json!({"kind": "Pod"}), "api"))[0].field,
            "spec.boundObjectRef.name"
        );
    }
}
