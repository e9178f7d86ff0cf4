//! POST on a collection.

use super::encode::{encode, fill};
use super::kinds::Kind;
use super::status::{ApiError, ApiResult};
use super::{
    Api, Call, body, cluster_ip, discovery, form, key, metadata, stored_value, with_warnings,
};
use crate::object::access::text;
use crate::store::{Expect, Key, Op, Revision, Txn, TxnOutcome};
use axum::body::Body;
use bytes::Bytes;
use http::Response;
use jiff::Timestamp;
use serde_json::Value;

/// How often a write that met a change by someone else is tried again before the client is told.
pub(super) const ATTEMPTS_MAX: usize = 8;

impl Api {
    pub(super) async fn create(&self, call: &Call<'_>, body: Bytes) -> ApiResult<Response<Body>> {
        let kind = call.kind;
        let namespace = call.path.namespace.as_deref();
        // Asked before anything is written: a client that cannot read the answer must not find it done.
        let form = call.form()?;
        let object = body::decode(call.headers, &body)?;
        let (mut object, warnings) = call.take_in(object, call.query.field_validation()?)?;
        if kind.namespaced && namespace.is_none() {
            return Err(ApiError::method_not_allowed());
        }
        if !text(&object, "/metadata/resourceVersion").is_empty() {
            return Err(ApiError::bad_request(
                "resourceVersion should not be set on objects to be created",
            ));
        }
        metadata::place(kind, &mut object, namespace, None)?;
        let generated = metadata::generate_name(&mut object);
        metadata::prepare_create(&mut object, Timestamp::now());
        kind.strategy.default(&mut object);
        self.admit(kind, call.user, &mut object)?;
        kind.strategy.prepare_create(&mut object);
        let name = text(&object, "/metadata/name").to_owned();
        let mut errors = kind.strategy.validate(&object);
        errors.extend(kind.strategy.validate_create(&object));
        if !errors.is_empty() {
            return Err(ApiError::invalid(kind, &name, &errors));
        }
        self.check_grant(kind, call.user, None, &object)?;
        let json = self
            .insert(kind, object, generated, call.query.dry_run()?)
            .await?;
        Ok(with_warnings(
            form::object(call.seen_as, form, &call.query, 201, json)?,
            &warnings,
        ))
    }

    /// Writes a new object that has passed all checks; gives back its stored form.
    async fn insert(
        &self,
        kind: &'static Kind,
        mut object: Value,
        generated: bool,
        dry_run: bool,
    ) -> ApiResult<Bytes> {
        for _ in 0..ATTEMPTS_MAX {
            let name = text(&object, "/metadata/name").to_owned();
            let namespace = kind
                .namespaced
                .then(|| text(&object, "/metadata/namespace").to_owned());
            let object_key = key(kind, namespace.as_deref(), &name);
            let mut ops = Vec::new();
            if let Some(namespace) = &namespace {
                ops.push(self.namespace_must_live(kind, &name, namespace)?);
            }
            // An address that was assigned here is chosen anew if it is taken before the commit.
            let mut attempt = object.clone();
            if let Some(claim) = cluster_ip::claim(&self.parts.store, &mut attempt, kind)? {
                ops.push(claim);
            }
            let encoded = encode(&attempt)?;
            if dry_run {
                if self.parts.store.get(&object_key)?.is_some() {
                    return Err(ApiError::already_exists(kind, &name));
                }
                return Ok(fill(&encoded, self.parts.store.revision()));
            }
            ops.push(Op::Put {
                key: object_key.clone(),
                body: encoded.clone(),
                expect: Expect::Absent,
            });
            ops.extend(self.born_with(kind, &name)?);
            match self.parts.writer.commit(Txn { ops }).await? {
                TxnOutcome::Committed { revision } => return Ok(fill(&encoded, revision)),
                TxnOutcome::Conflict { key, .. } if key == object_key => {
                    if !generated {
                        return Err(ApiError::already_exists(kind, &name));
                    }
                    metadata::metadata_mut(&mut object).remove("name");
                    metadata::generate_name(&mut object);
                    // Some defaults are made from the name.
                    kind.strategy.default(&mut object);
                }
                // The namespace changed, or the address was taken: look again.
                TxnOutcome::Conflict { .. } => {}
            }
        }
        Err(ApiError::unavailable(
            "the namespace keeps changing while the object is written; try again",
        ))
    }

    /// A condition that fails the transaction if the namespace goes away meanwhile.
    fn namespace_must_live(&self, kind: &Kind, name: &str, namespace: &str) -> ApiResult<Op> {
        let namespaces = discovery::find(self.parts.kinds, "", "v1", "namespaces")
            .ok_or_else(ApiError::no_resource)?;
        let key: Key = key(namespaces, None, namespace);
        let stored = self
            .parts
            .store
            .get(&key)?
            .ok_or_else(|| ApiError::not_found(namespaces, namespace))?;
        let terminating =
            !text(&stored_value(&stored.json)?, "/metadata/deletionTimestamp").is_empty();
        if terminating {
            return Err(ApiError::forbidden(format!(
                "{} {name:?} is forbidden: unable to create new content in namespace {namespace} because it is being terminated",
                super::status::qualified(kind)
            ))
            .about(kind, name)
            .because("NamespaceTerminating", "metadata.namespace", &format!("namespace {namespace} is being terminated")));
        }
        let revision: Revision = stored.revision;
        Ok(Op::Check {
            key,
            expect: Expect::Revision(revision),
        })
    }
}
