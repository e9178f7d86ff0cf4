//! PUT and PATCH, on an object or on its status.

use super::body::OBJECT_BYTES_MAX;
use super::create::ATTEMPTS_MAX;
use super::encode::{encode, fill};
use super::kinds::{Kind, Subresource};
use super::query::FieldValidation;
use super::soft::Turn;
use super::status::{ApiError, ApiResult};
use super::{Api, Call, body, cluster_ip, form, metadata, patch, stored_value, with_warnings};
use crate::object::access::{list, text};
use crate::store::{Expect, Key, Op, Stored, Txn, TxnOutcome};
use axum::body::Body;
use bytes::Bytes;
use http::{HeaderMap, Response};
use serde_json::Value;

/// What a try to write came to.
enum Tried {
    Written(Bytes),
    /// Someone else was first; the object must be read again.
    Overtaken,
}

impl Api {
    pub(super) async fn replace(
        &self,
        call: &Call<'_>,
        part: Option<Subresource>,
        body: Bytes,
    ) -> ApiResult<Response<Body>> {
        let (kind, form) = (call.kind, call.form()?);
        let object = body::decode(call.headers, &body)?;
        let (mut object, warnings) = call.take_in(object, call.query.field_validation()?)?;
        let (name, key) = (call.name()?, call.key()?);
        metadata::place(
            kind,
            &mut object,
            call.path.namespace.as_deref(),
            Some(name),
        )?;
        for _ in 0..ATTEMPTS_MAX {
            let old = self.present(kind, &key, name)?;
            // Without a resourceVersion the client means: whatever is there.
            check_revision(kind, name, &object, &old)?;
            match self.write(call, &key, &old, object.clone(), part).await? {
                Tried::Written(json) => {
                    return Ok(with_warnings(
                        form::object(call.seen_as, form, &call.query, 200, json)?,
                        &warnings,
                    ));
                }
                Tried::Overtaken => {}
            }
        }
        Err(ApiError::modified(kind, name))
    }

    pub(super) async fn patch(
        &self,
        call: &Call<'_>,
        part: Option<Subresource>,
        body: Bytes,
    ) -> ApiResult<Response<Body>> {
        let (kind, form) = (call.kind, call.form()?);
        let (name, key) = (call.name()?, call.key()?);
        let patch_type = patch_type(call.headers)?;
        let validation = call.query.field_validation()?;
        for _ in 0..ATTEMPTS_MAX {
            let old = self.present(kind, &key, name)?;
            let mut before = stored_value(&old.json)?;
            if let Some(view) = call.seen_as.strategy.view() {
                before = (view.from_stored)(before);
            }
            let object = patched(patch_type, kind.kind, &before, &body)?;
            let (mut object, warnings) = check_patched(call, &before, object, validation)?;
            metadata::place(
                kind,
                &mut object,
                call.path.namespace.as_deref(),
                Some(name),
            )?;
            check_revision(kind, name, &object, &old)?;
            match self.write(call, &key, &old, object, part).await? {
                Tried::Written(json) => {
                    return Ok(with_warnings(
                        form::object(call.seen_as, form, &call.query, 200, json)?,
                        &warnings,
                    ));
                }
                Tried::Overtaken => {}
            }
        }
        Err(ApiError::modified(kind, name))
    }

    /// The object as clients see it now.
    pub(super) fn present(&self, kind: &Kind, key: &Key, name: &str) -> ApiResult<Stored> {
        let stored = self.parts.store.get(key)?;
        let stored = stored.ok_or_else(|| ApiError::not_found(kind, name))?;
        Ok(self.parts.soft.shown(kind, stored))
    }

    async fn write(
        &self,
        call: &Call<'_>,
        key: &Key,
        old: &Stored,
        object: Value,
        part: Option<Subresource>,
    ) -> ApiResult<Tried> {
        let kind = call.kind;
        let before = stored_value(&old.json)?;
        let object = prepared(kind, &before, object, part)?;
        self.admit_change(kind, part, &object)?;
        self.check_grant(kind, call.user, Some(&before), &object)?;
        self.commit(kind, key, old, &before, object, call.query.dry_run()?)
            .await
    }

    /// Puts `object` in the place of `old`, or takes it away where the change lets it go.
    async fn commit(
        &self,
        kind: &'static Kind,
        key: &Key,
        old: &Stored,
        before: &Value,
        mut object: Value,
        dry_run: bool,
    ) -> ApiResult<Tried> {
        if same_but_revision(before, &object) {
            return Ok(Tried::Written(old.json.clone()));
        }
        if !dry_run && is_finished(&object) {
            let encoded = encode(&object)?;
            let removed = self.remove(kind, key, old, before, Vec::new()).await?;
            return Ok(removed.map_or(Tried::Overtaken, |revision| {
                Tried::Written(fill(&encoded, revision))
            }));
        }
        if !dry_run
            && let Some(json) =
                self.parts
                    .soft
                    .renew(kind, &self.parts.store, old, before, &object)?
        {
            return Ok(Tried::Written(json));
        }
        let mut ops = cluster_ip::follow(&self.parts.store, before, &mut object, kind)?;
        ops.extend(self.charge_growth(kind, before, &object)?);
        let encoded = encode(&object)?;
        if dry_run {
            return Ok(Tried::Written(fill(&encoded, old.revision)));
        }
        ops.push(Op::Put {
            key: key.clone(),
            body: encoded.clone(),
            expect: Expect::Revision(old.revision),
        });
        let turn = self.parts.soft.hold(kind, old)?;
        if matches!(turn, Turn::Overtaken) {
            return Ok(Tried::Overtaken);
        }
        Ok(match self.parts.writer.commit(Txn { ops }).await? {
            TxnOutcome::Committed { revision } => Tried::Written(fill(&encoded, revision)),
            TxnOutcome::Conflict { .. } => Tried::Overtaken,
        })
    }

    /// Reads, changes and writes one object by the server's own rules, until no one else is in the way.
    pub(super) async fn modify(
        &self,
        call: &Call<'_>,
        mut change: impl FnMut(&Stored, &mut Value) -> ApiResult<()>,
    ) -> ApiResult<Bytes> {
        let (kind, name, key) = (call.kind, call.name()?, call.key()?);
        let dry_run = call.query.dry_run()?;
        for _ in 0..ATTEMPTS_MAX {
            let old = self.present(kind, &key, name)?;
            let before = stored_value(&old.json)?;
            let mut object = before.clone();
            change(&old, &mut object)?;
            if let Tried::Written(json) = self
                .commit(kind, &key, &old, &before, object, dry_run)
                .await?
            {
                return Ok(json);
            }
        }
        Err(ApiError::modified(kind, name))
    }
}

/// The type of a patch; refuses those that are not known here, whether or not there is something to patch.
pub(super) fn patch_type(headers: &HeaderMap) -> ApiResult<&str> {
    match body::media_type(headers) {
        "application/apply-patch+yaml" => Err(ApiError::unsupported_media_type(
            "server-side apply is not supported yet: use client-side apply (kubectl apply without --server-side)",
        )),
        known if patch::CONTENT_TYPES.contains(&known) => Ok(known),
        other => Err(ApiError::unsupported_media_type(format!(
            "the body of the request was in an unknown format - accepted media types include: {} (got {other:?})",
            patch::CONTENT_TYPES.join(", ")
        ))),
    }
}

/// What a patch makes of `before`, which has the form of `kind`.
pub(super) fn patched(
    patch_type: &str,
    kind: &str,
    before: &Value,
    body: &[u8],
) -> ApiResult<Value> {
    let object = patch::apply(patch_type, kind, before, body).map_err(|error| match error {
        patch::PatchError::Malformed(why) => ApiError::bad_request(why),
        patch::PatchError::NotApplicable(why) => ApiError::unprocessable(why),
    })?;
    if !object.is_object() {
        return Err(ApiError::unprocessable(
            "the patched object is not an object",
        ));
    }
    Ok(object)
}

/// The object as it would be stored: what the client may change from `object`, everything else from `before`.
fn prepared(
    kind: &Kind,
    before: &Value,
    mut object: Value,
    part: Option<Subresource>,
) -> ApiResult<Value> {
    let (name, strategy) = (text(before, "/metadata/name"), kind.strategy);
    strategy.default(&mut object);
    match part {
        None => strategy.prepare_update(before, &mut object),
        Some(Subresource::Status) => strategy.prepare_status_update(before, &mut object),
        Some(part) => strategy.prepare_part_update(part, before, &mut object),
    }
    metadata::prepare_update(before, &mut object);
    let mut errors = Vec::new();
    if part != Some(Subresource::Status) {
        errors.extend(strategy.validate(&object));
        errors.extend(match part {
            Some(part) => strategy.validate_part_update(part, before, &object),
            None => strategy.validate_update(before, &object),
        });
        errors.extend(metadata::added_finalizers(before, &object));
    }
    if errors.is_empty() {
        Ok(object)
    } else {
        Err(ApiError::invalid(kind, name, &errors))
    }
}

/// The client's precondition: the revision and uid it names, if it names them.
pub(super) fn check_revision(
    kind: &Kind,
    name: &str,
    object: &Value,
    old: &Stored,
) -> ApiResult<()> {
    let (asked, uid) = (
        text(object, "/metadata/resourceVersion"),
        text(object, "/metadata/uid"),
    );
    if asked.is_empty() && uid.is_empty() {
        return Ok(());
    }
    let old = stored_value(&old.json)?;
    if !asked.is_empty() && asked != text(&old, "/metadata/resourceVersion") {
        return Err(ApiError::modified(kind, name));
    }
    if !uid.is_empty() && uid != text(&old, "/metadata/uid") {
        return Err(ApiError::conflict(
            kind,
            name,
            &format!(
                "Precondition failed: UID in precondition: {uid}, which is not the UID in object meta"
            ),
        ));
    }
    Ok(())
}

/// Checks types and names; a field that was unknown before the patch already is not held against it.
fn check_patched(
    call: &Call<'_>,
    before: &Value,
    object: Value,
    validation: FieldValidation,
) -> ApiResult<(Value, Vec<String>)> {
    let kind = call.seen_as;
    if object.to_string().len() > OBJECT_BYTES_MAX {
        return Err(ApiError::too_large("the patched object", OBJECT_BYTES_MAX));
    }
    if validation == FieldValidation::Strict {
        let known = (kind.check)(before).unknown;
        let fresh: Vec<String> = (kind.check)(&object)
            .unknown
            .into_iter()
            .filter(|path| !known.contains(path))
            .map(|path| format!("unknown field {path:?}"))
            .collect();
        if !fresh.is_empty() {
            return Err(ApiError::bad_request(format!(
                "strict decoding error: {}",
                fresh.join(", ")
            )));
        }
    }
    let softer = if validation == FieldValidation::Strict {
        FieldValidation::Ignore
    } else {
        validation
    };
    call.take_in(object, softer)
}

fn same_but_revision(before: &Value, object: &Value) -> bool {
    let (Some(one), Some(other)) = (before.as_object(), object.as_object()) else {
        return false;
    };
    let rest = |fields: &serde_json::Map<String, Value>| {
        fields.keys().filter(|name| *name != "metadata").count()
    };
    let metadata = |fields: &serde_json::Map<String, Value>| {
        let mut metadata = fields.get("metadata").cloned().unwrap_or_default();
        if let Some(metadata) = metadata.as_object_mut() {
            metadata.remove("resourceVersion");
        }
        metadata
    };
    rest(one) == rest(other)
        && one
            .iter()
            .filter(|(name, _)| *name != "metadata")
            .all(|(name, value)| other.get(name) == Some(value))
        && metadata(one) == metadata(other)
}

/// A deleted object whose last finalizer is gone, and whose grace is over, goes too.
pub(super) fn is_finished(object: &Value) -> bool {
    let metadata = &object["metadata"];
    metadata["deletionTimestamp"].is_string()
        && list(object, "/metadata/finalizers").is_empty()
        && metadata["deletionGracePeriodSeconds"].as_i64().unwrap_or(0) == 0
        && object["spec"]["finalizers"]
            .as_array()
            .is_none_or(Vec::is_empty)
}
