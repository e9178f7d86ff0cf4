//! DELETE on an object or a collection: at once, after a grace period, or after finalizers.
//! <https://kubernetes.io/docs/concepts/overview/working-with-objects/finalizers/>

use super::create::ATTEMPTS_MAX;
use super::kinds::{Kind, is_system_priority_class};
use super::read::{Selectors, collect};
use super::soft::Turn;
use super::status::{ApiError, ApiResult, json_response, success};
use super::update::is_finished;
use super::{
    Api, Call, body, cluster_ip, encode, form, key, metadata, negotiate::Form, prefix, stored_value,
};
use crate::object::access::{list, text};
use crate::store::{Expect, Key, ListOptions, Op, Revision, Stored, Txn, TxnOutcome};
use axum::body::Body;
use bytes::Bytes;
use http::Response;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::DeleteOptions;
use serde_json::{Value, json};

/// Grace periods beyond ten years mean "never"; the bound keeps the arithmetic within timestamps.
const GRACE_SECONDS_MAX: i64 = 10 * 365 * 24 * 3600;

/// Upstream's admission refuses to delete these.
const IMMORTAL_NAMESPACES: &[&str] = &["default", "kube-system", "kube-public"];

/// What became of one object.
pub(super) enum Deleted {
    Gone {
        uid: String,
        /// As it was last.
        json: Bytes,
    },
    /// It stays for its grace period or finalizers; this is how it stands now.
    Going(Bytes),
}

impl Api {
    pub(super) async fn delete(&self, call: &Call<'_>, body: Bytes) -> ApiResult<Response<Body>> {
        let (options, dry_run) = options(call, &body)?;
        let name = call.name()?;
        match self
            .delete_one(
                call.kind,
                &call.key()?,
                name,
                &options,
                dry_run,
                &mut |_| Ok(Vec::new()),
            )
            .await?
        {
            Deleted::Gone { uid, .. } if !call.kind.tells_deleted => Ok(json_response(
                200,
                success(call.kind, name, &uid).to_string(),
            )),
            Deleted::Gone { json, .. } | Deleted::Going(json) => {
                form::object(call.seen_as, Form::Json, &call.query, 200, json)
            }
        }
    }

    pub(super) async fn delete_collection(
        &self,
        call: &Call<'_>,
        body: Bytes,
    ) -> ApiResult<Response<Body>> {
        let (options, dry_run) = options(call, &body)?;
        let prefix = prefix(call.kind, call.path.namespace.as_deref());
        let chosen = ListOptions {
            prefix,
            ..ListOptions::default()
        };
        for item in collect(&self.parts.store, chosen, &Selectors::of(call)?)?.items {
            let object = stored_value(&item.json)?;
            let (namespace, name) = (
                text(&object, "/metadata/namespace"),
                text(&object, "/metadata/name"),
            );
            let key = key(call.kind, call.kind.namespaced.then_some(namespace), name);
            match self
                .delete_one(call.kind, &key, name, &options, dry_run, &mut |_| {
                    Ok(Vec::new())
                })
                .await
            {
                // Another client was faster with this one.
                Err(error) if error.code == 404 => {}
                other => drop(other?),
            }
        }
        Ok(json_response(
            200,
            json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"})
                .to_string(),
        ))
    }

    /// Marks an object as deleted or takes it away. `also` says what changes in the same moment: in the object, and
    /// elsewhere; it is asked anew for every try, and after the client's preconditions.
    pub(super) async fn delete_one(
        &self,
        kind: &'static Kind,
        key: &Key,
        name: &str,
        options: &DeleteOptions,
        dry_run: bool,
        also: &mut (dyn FnMut(&mut Value) -> ApiResult<Vec<Op>> + Send),
    ) -> ApiResult<Deleted> {
        for _ in 0..ATTEMPTS_MAX {
            let old = self.present(kind, key, name)?;
            let before = stored_value(&old.json)?;
            if is_core(kind, "namespaces") && IMMORTAL_NAMESPACES.contains(&name) {
                return Err(ApiError::forbidden(format!(
                    "namespaces {name:?} is forbidden: this namespace may not be deleted"
                ))
                .about(kind, name));
            }
            if kind.group == "scheduling.k8s.io" && is_system_priority_class(name) {
                return Err(ApiError::forbidden(format!(
                    "priorityclasses.scheduling.k8s.io {name:?} is forbidden: this is a system priority class and cannot be deleted"
                ))
                .about(kind, name));
            }
            check_preconditions(kind, name, options, &before)?;
            let mut object = before.clone();
            let mut ops = also(&mut object)?;
            set_propagation(kind, options, &mut object);
            mark(
                kind,
                &mut object,
                options.grace_period_seconds,
                Timestamp::now(),
            );
            let uid = text(&object, "/metadata/uid").to_owned();
            let finished = is_finished(&object);
            if dry_run {
                return Ok(if finished {
                    Deleted::Gone {
                        uid,
                        json: old.json,
                    }
                } else {
                    Deleted::Going(old.json)
                });
            }
            if finished {
                if self.remove(kind, key, &old, &object, ops).await?.is_some() {
                    return Ok(Deleted::Gone {
                        uid,
                        json: old.json,
                    });
                }
                continue;
            }
            if object == before {
                return Ok(Deleted::Going(old.json));
            }
            let encoded = encode::encode(&object)?;
            ops.push(Op::Put {
                key: key.clone(),
                body: encoded.clone(),
                expect: Expect::Revision(old.revision),
            });
            let turn = self.parts.soft.hold(kind, &old)?;
            if matches!(turn, Turn::Overtaken) {
                continue;
            }
            if let TxnOutcome::Committed { revision } =
                self.parts.writer.commit(Txn { ops }).await?
            {
                return Ok(Deleted::Going(encode::fill(&encoded, revision)));
            }
        }
        Err(ApiError::modified(kind, name))
    }

    /// Takes an object out of the store, with what it had claimed, beside `ops`. `None`: it changed meanwhile.
    pub(super) async fn remove(
        &self,
        kind: &'static Kind,
        key: &Key,
        old: &Stored,
        object: &Value,
        mut ops: Vec<Op>,
    ) -> ApiResult<Option<Revision>> {
        ops.push(Op::Delete {
            key: key.clone(),
            expect: Expect::Revision(old.revision),
        });
        ops.extend(cluster_ip::release(&self.parts.store, object, kind)?);
        let turn = self.parts.soft.hold(kind, old)?;
        if matches!(turn, Turn::Overtaken) {
            return Ok(None);
        }
        Ok(match self.parts.writer.commit(Txn { ops }).await? {
            TxnOutcome::Committed { revision } => Some(revision),
            TxnOutcome::Conflict { .. } => None,
        })
    }
}

fn options(call: &Call<'_>, body: &[u8]) -> ApiResult<(DeleteOptions, bool)> {
    let given = if body.is_empty() {
        Value::Null
    } else {
        body::decode(call.headers, body)?
    };
    read_options(call, given)
}

/// Options as given, or from the query as older clients send them; and whether all of it is only a trial.
pub(super) fn read_options(call: &Call<'_>, given: Value) -> ApiResult<(DeleteOptions, bool)> {
    let mut options = DeleteOptions::default();
    if !given.is_null() {
        options = serde_json::from_value(given).map_err(|error| {
            ApiError::bad_request(format!("DeleteOptions cannot be read: {error}"))
        })?;
    }
    if let Some(seconds) = call.query.number::<i64>("gracePeriodSeconds")? {
        options.grace_period_seconds = Some(seconds);
    }
    if let Some(policy) = call.query.text("propagationPolicy") {
        options.propagation_policy = Some(policy.to_owned());
    }
    let dry_run = match options.dry_run.as_deref() {
        None | Some([]) => call.query.dry_run()?,
        Some(given) if given.iter().all(|one| one == "All") => true,
        Some(given) => {
            return Err(ApiError::unprocessable(format!(
                "DeleteOptions.dryRun: Unsupported value: {given:?}: supported values: \"All\""
            )));
        }
    };
    if options.ignore_store_read_error_with_cluster_breaking_potential == Some(true) {
        return Err(ApiError::bad_request(
            "ignoreStoreReadErrorWithClusterBreakingPotential is not supported: leave it out",
        ));
    }
    if options
        .grace_period_seconds
        .is_some_and(|seconds| !(0..=GRACE_SECONDS_MAX).contains(&seconds))
    {
        return Err(ApiError::unprocessable(format!(
            "DeleteOptions.gracePeriodSeconds: must be between 0 and {GRACE_SECONDS_MAX}"
        )));
    }
    let policies = ["Background", "Foreground", "Orphan"];
    match (&options.propagation_policy, options.orphan_dependents) {
        (Some(_), Some(_)) => Err(ApiError::unprocessable(
            "DeleteOptions.propagationPolicy: Invalid value: orphanDependents and deletionPropagation cannot be both set",
        )),
        (Some(policy), None) if !policies.contains(&policy.as_str()) => {
            Err(ApiError::unprocessable(format!(
                "DeleteOptions.propagationPolicy: Unsupported value: {policy:?}: supported values: \"Foreground\", \"Background\", \"Orphan\", \"nil\""
            )))
        }
        _ => Ok((options, dry_run)),
    }
}

/// Finalizers that hold an object until the garbage collector has seen to its dependents.
/// <https://kubernetes.io/docs/concepts/architecture/garbage-collection/#cascading-deletion>
const FOREGROUND: &str = "foregroundDeletion";
const ORPHAN: &str = "orphan";

/// Gives the object the finalizer that its deletion asks for, and takes the others away. Where nothing is asked for,
/// what the object itself says stands, and otherwise its kind's custom.
fn set_propagation(kind: &Kind, options: &DeleteOptions, object: &mut Value) {
    let asked = match (
        options.propagation_policy.as_deref(),
        options.orphan_dependents,
    ) {
        (Some(policy), _) => Some(policy),
        (None, Some(true)) => Some("Orphan"),
        (None, Some(false)) => Some("Background"),
        (None, None) => None,
    };
    let held: Vec<String> = list(object, "/metadata/finalizers")
        .iter()
        .filter_map(|finalizer| finalizer.as_str().map(str::to_owned))
        .collect();
    let has = |name: &str| held.iter().any(|finalizer| finalizer == name);
    let wanted = match asked {
        Some("Foreground") => Some(FOREGROUND),
        Some("Orphan") => Some(ORPHAN),
        Some(_) => None,
        None if has(ORPHAN) => Some(ORPHAN),
        None if has(FOREGROUND) => Some(FOREGROUND),
        None => kind.strategy.orphans_by_default().then_some(ORPHAN),
    };
    let mut finalizers = held.clone();
    finalizers.retain(|finalizer| {
        let ours = finalizer == FOREGROUND || finalizer == ORPHAN;
        !ours || wanted == Some(finalizer.as_str())
    });
    if let Some(wanted) = wanted
        && !finalizers.iter().any(|finalizer| finalizer == wanted)
    {
        finalizers.push(wanted.to_owned());
    }
    if finalizers != held {
        metadata::metadata_mut(object).insert("finalizers".into(), finalizers.into());
    }
}

fn check_preconditions(
    kind: &Kind,
    name: &str,
    options: &DeleteOptions,
    object: &Value,
) -> ApiResult<()> {
    let Some(preconditions) = &options.preconditions else {
        return Ok(());
    };
    let refuse = |what: &str, asked: &str, found: &str| {
        let why = format!(
            "Precondition failed: {what} in precondition: {asked}, {what} in object meta: {found}"
        );
        Err(ApiError::conflict(kind, name, &why))
    };
    let (uid, revision) = (
        text(object, "/metadata/uid"),
        text(object, "/metadata/resourceVersion"),
    );
    match (&preconditions.uid, &preconditions.resource_version) {
        (Some(asked), _) if asked != uid => refuse("UID", asked, uid),
        (_, Some(asked)) if asked != revision => refuse("ResourceVersion", asked, revision),
        _ => Ok(()),
    }
}

/// Marks an object as deleted. A second deletion may shorten the grace period, never lengthen it.
fn mark(kind: &Kind, object: &mut Value, asked: Option<i64>, now: Timestamp) {
    let grace = grace(kind, object, asked);
    let deadline = now
        .checked_add(SignedDuration::from_secs(grace))
        .unwrap_or(now);
    let earlier: Option<Timestamp> = text(object, "/metadata/deletionTimestamp").parse().ok();
    let mut shortened = true;
    if let Some(earlier) = earlier {
        // Nothing is asked for, or nothing sooner: it goes on as it is.
        shortened = asked.is_some() && deadline < earlier || grace == 0;
    }
    let metadata = metadata::metadata_mut(object);
    if earlier.is_none() || shortened {
        metadata.insert(
            "deletionTimestamp".into(),
            metadata::timestamp(deadline).into(),
        );
        metadata.insert("deletionGracePeriodSeconds".into(), grace.into());
        if earlier.is_none()
            && let Some(generation) = metadata.get("generation").and_then(Value::as_i64)
        {
            metadata.insert("generation".into(), (generation + 1).into());
        }
    }
    if is_core(kind, "namespaces") {
        object["status"]["phase"] = "Terminating".into();
    }
}

fn is_core(kind: &Kind, plural: &str) -> bool {
    kind.group.is_empty() && kind.plural == plural
}

/// Seconds until the object may go. A pod that no node has, or that has ended, needs no time.
fn grace(kind: &Kind, object: &Value, asked: Option<i64>) -> i64 {
    let Some(own) = kind.strategy.grace_period_seconds(object) else {
        return 0;
    };
    let unbound = text(object, "/spec/nodeName").is_empty();
    let ended = matches!(text(object, "/status/phase"), "Succeeded" | "Failed");
    if unbound || ended {
        0
    } else {
        asked.unwrap_or(own).max(0)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::api::kinds;

    fn pods() -> &'static Kind {
        kinds::all()
            .iter()
            .find(|kind| kind.plural == "pods")
            .unwrap()
    }

    #[test]
    fn a_second_deletion_only_shortens() {
        let now: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let mut pod = json!({"metadata": {"name": "a"}, "spec": {"nodeName": "n", "terminationGracePeriodSeconds": 30}});
        mark(pods(), &mut pod, None, now);
        assert_eq!(pod["metadata"]["deletionTimestamp"], "2026-01-01T00:00:30Z");
        assert!(!is_finished(&pod));
        let marked = pod.clone();
        for asked in [None, Some(60)] {
            mark(pods(), &mut pod, asked, now);
            assert_eq!(pod, marked, "{asked:?}");
        }
        mark(pods(), &mut pod, Some(5), now);
        assert_eq!(pod["metadata"]["deletionGracePeriodSeconds"], 5);
        mark(pods(), &mut pod, Some(0), now);
        assert!(is_finished(&pod));
        pod["metadata"]["finalizers"] = json!(["example.com/wait"]);
        assert!(!is_finished(&pod));
    }

    #[test]
    fn finalizers_follow_the_propagation_policy() {
        for (asked, held, expected) in [
            (
                json!({"propagationPolicy": "Foreground"}),
                json!(["x"]),
                json!(["x", FOREGROUND]),
            ),
            (
                json!({"propagationPolicy": "Orphan"}),
                json!([FOREGROUND]),
                json!([ORPHAN]),
            ),
            (
                json!({"propagationPolicy": "Background"}),
                json!([ORPHAN, "x"]),
                json!(["x"]),
            ),
            (
                json!({"orphanDependents": true}),
                json!(null),
                json!([ORPHAN]),
            ),
            (
                json!({"orphanDependents": false}),
                json!([ORPHAN]),
                json!([]),
            ),
            (json!({}), json!([FOREGROUND]), json!([FOREGROUND])),
            (json!({}), json!(null), json!(null)),
        ] {
            let options: DeleteOptions = serde_json::from_value(asked.clone()).unwrap();
            let mut object = json!({"metadata": {"finalizers": held}});
            set_propagation(pods(), &options, &mut object);
            assert_eq!(object["metadata"]["finalizers"], expected, "{asked}");
        }
    }

    #[test]
    fn pods_without_a_node_or_work_need_no_grace() {
        for (pod, expected) in [
            (json!({"spec": {"terminationGracePeriodSeconds": 30}}), 0),
            (
                json!({"spec": {"nodeName": "n", "terminationGracePeriodSeconds": 30}, "status": {"phase": "Failed"}}),
                0,
            ),
            (
                json!({"spec": {"nodeName": "n", "terminationGracePeriodSeconds": 30}, "status": {"phase": "Running"}}),
                30,
            ),
        ] {
            assert_eq!(grace(pods(), &pod, None), expected, "{pod}");
        }
    }
}
