//! The `scale` part of what counts its pods: GET, PUT and PATCH of one number, in the form of `autoscaling/v1`.
//! <https://kubernetes.io/docs/concepts/workloads/controllers/deployment/#scaling-a-deployment>

use super::kinds::{SCALE, scale_of, set_replicas};
use super::status::{ApiError, ApiResult};
use super::update::{check_revision, patch_type, patched};
use super::{Api, Call, body, form, metadata, stored_value, with_warnings};
use crate::store::Stored;
use axum::body::Body;
use bytes::Bytes;
use http::Response;
use serde_json::Value;

impl Api {
    pub(super) fn scale(&self, call: &Call<'_>) -> ApiResult<Response<Body>> {
        let stored = self
            .parts
            .store
            .get(&call.key()?)?
            .ok_or_else(|| ApiError::not_found(call.kind, call.name().unwrap_or_default()))?;
        answer(call, &stored.json, &[])
    }

    pub(super) async fn replace_scale(
        &self,
        call: &Call<'_>,
        body: Bytes,
    ) -> ApiResult<Response<Body>> {
        call.form()?;
        let mut scale = body::decode(call.headers, &body)?;
        let warnings = taken_in(call, &mut scale)?;
        let json = self
            .modify(call, |old, workload| change(call, old, workload, &scale))
            .await?;
        answer(call, &json, &warnings)
    }

    pub(super) async fn patch_scale(
        &self,
        call: &Call<'_>,
        body: Bytes,
    ) -> ApiResult<Response<Body>> {
        call.form()?;
        let patch_type = patch_type(call.headers)?;
        let mut warnings = Vec::new();
        let json = self
            .modify(call, |old, workload| {
                let mut scale = patched(patch_type, SCALE.kind, &scale_of(workload), &body)?;
                warnings = taken_in(call, &mut scale)?;
                change(call, old, workload, &scale)
            })
            .await?;
        answer(call, &json, &warnings)
    }
}

/// Checks that a body is a scale of this workload; gives back the warnings it earns.
fn taken_in(call: &Call<'_>, scale: &mut Value) -> ApiResult<Vec<String>> {
    let warnings = body::check(&SCALE, scale, call.query.field_validation()?)?;
    let namespace = call.path.namespace.as_deref();
    metadata::place(&SCALE, scale, namespace, Some(call.name()?))?;
    Ok(warnings)
}

fn change(call: &Call<'_>, old: &Stored, workload: &mut Value, scale: &Value) -> ApiResult<()> {
    let name = call.name()?;
    check_revision(call.kind, name, scale, old)?;
    set_replicas(call.kind, workload, scale)
        .map_err(|errors| ApiError::invalid(&SCALE, name, &errors))
}

/// The scale of a stored workload, in the form the client asked for.
fn answer(call: &Call<'_>, workload: &[u8], warnings: &[String]) -> ApiResult<Response<Body>> {
    let scale = scale_of(&stored_value(workload)?).to_string();
    let response = form::object(&SCALE, call.form()?, &call.query, 200, scale.into())?;
    Ok(with_warnings(response, warnings))
}
