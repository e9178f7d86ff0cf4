//! POST to `pods/{name}/eviction`: a deletion that asks the pod's disruption budget first.
//! <https://kubernetes.io/docs/concepts/scheduling-eviction/api-eviction/>
//!
//! The budget is charged in the transaction that marks the pod as deleted: an eviction that fails costs nothing.

use super::delete::read_options;
use super::kinds::Kind;
use super::status::{ApiError, ApiResult, json_response};
use super::{Api, Call, body, discovery, encode, key, metadata, prefix, stored_value};
use crate::object::access::{integer, list, map, present, text};
use crate::object::selector::LabelSelector;
use crate::store::{Expect, ListOptions, Op, Stored};
use axum::body::Body;
use bytes::Bytes;
use http::Response;
use jiff::Timestamp;
use serde_json::{Value, json};

/// Evictions that the budget's controller has not seen yet (upstream's `MaxDisruptedPodSize`).
const UNSEEN_MAX: usize = 2000;

/// When to come back while the controller looks at a budget.
const PROCESSING_SECONDS: u64 = 10;

const NO_ROOM: &str = "Cannot evict pod as it would violate the pod's disruption budget.";

impl Api {
    pub(super) async fn evict(&self, call: &Call<'_>, body: Bytes) -> ApiResult<Response<Body>> {
        let (kind, name, pod_key) = (call.kind, call.name()?, call.key()?);
        call.form()?;
        let mut eviction = body::decode(call.headers, &body)?;
        let (version, given) = (text(&eviction, "/apiVersion"), text(&eviction, "/kind"));
        if !matches!(version, "" | "policy/v1" | "policy/v1beta1")
            || !matches!(given, "" | "Eviction")
        {
            return Err(ApiError::bad_request(format!(
                "an Eviction of policy/v1 is expected here, not {given} of {version}"
            )));
        }
        let namespace = call.path.namespace.as_deref().unwrap_or_default();
        let of = text(&eviction, "/metadata/namespace");
        if !of.is_empty() && of != namespace {
            return Err(ApiError::bad_request(
                "the namespace of the provided object does not match the namespace sent on the request",
            ));
        }
        if text(&eviction, "/metadata/name") != name {
            return Err(ApiError::bad_request(
                "name in URL does not match name in Eviction object",
            ));
        }
        let (options, dry_run) = read_options(call, eviction["deleteOptions"].take())?;
        let budgets = discovery::find(self.parts.kinds, "policy", "v1", "poddisruptionbudgets")
            .ok_or_else(ApiError::no_resource)?;
        let _turn = self.parts.turns.of(namespace).await;
        let mut charge = |pod: &mut Value| {
            let now = metadata::timestamp(Timestamp::now());
            let mut ops = Vec::new();
            if !needs_no_budget(pod) {
                ops.extend(self.charge(budgets, namespace, name, pod, &now)?);
            }
            mark(pod, &now);
            Ok(ops)
        };
        self.delete_one(kind, &pod_key, name, &options, dry_run, &mut charge)
            .await?;
        Ok(json_response(
            201,
            json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}).to_string(),
        ))
    }

    /// The change of the pod's budget, if it has one that counts this pod.
    fn charge(
        &self,
        budgets: &Kind,
        namespace: &str,
        name: &str,
        pod: &Value,
        now: &str,
    ) -> ApiResult<Option<Op>> {
        let options = ListOptions {
            prefix: prefix(budgets, Some(namespace)),
            ..ListOptions::default()
        };
        let mut found: Option<(Stored, Value)> = None;
        for stored in self.parts.store.list(&options)?.items {
            let budget = stored_value(&stored.json)?;
            if !covers(&budget, pod) {
                continue;
            }
            if found.replace((stored, budget)).is_some() {
                return Err(ApiError::unsupported(
                    "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.",
                ));
            }
        }
        let Some((stored, mut budget)) = found else {
            return Ok(None);
        };
        if is_free(&budget, pod) {
            // Nor may it come to be healthy while this one leaves.
            return Ok(Some(Op::Check {
                key: stored.key,
                expect: Expect::Revision(stored.revision),
            }));
        }
        take_one(budgets, &mut budget, name, now)?;
        let of = text(&budget, "/metadata/name").to_owned();
        Ok(Some(Op::Put {
            key: key(budgets, Some(namespace), &of),
            body: encode::encode(&budget)?,
            expect: Expect::Revision(stored.revision),
        }))
    }
}

/// A pod that never ran, has ended, or is on its way out already: nobody misses it.
fn needs_no_budget(pod: &Value) -> bool {
    matches!(
        text(pod, "/status/phase"),
        "Succeeded" | "Failed" | "Pending"
    ) || present(pod, "/metadata/deletionTimestamp")
}

/// An empty selector covers every pod, a missing one none.
fn covers(budget: &Value, pod: &Value) -> bool {
    let selector = &budget["spec"]["selector"];
    !selector.is_null()
        && LabelSelector::from_json(selector).is_ok_and(|selector| selector.matches_object(pod))
}

/// A pod that is not ready does not count among the healthy: it may go where enough of those are there.
fn is_free(budget: &Value, pod: &Value) -> bool {
    let ready = list(pod, "/status/conditions")
        .iter()
        .any(|condition| condition["type"] == "Ready" && condition["status"] == "True");
    if ready {
        return false;
    }
    let desired = integer(budget, "/status/desiredHealthy");
    text(budget, "/spec/unhealthyPodEvictionPolicy") == "AlwaysAllow"
        || (desired > 0 && integer(budget, "/status/currentHealthy") >= desired)
}

/// Takes one disruption from the budget, or says why there is none (upstream's `checkAndDecrement`).
fn take_one(kind: &Kind, budget: &mut Value, pod: &str, now: &str) -> ApiResult<()> {
    let name = text(budget, "/metadata/name").to_owned();
    let cause = |message: String| {
        let mut error = ApiError::too_many_requests(NO_ROOM);
        error.details = json!({"causes": [{"reason": "DisruptionBudget", "message": message}]});
        error
    };
    let forbidden = |why: &str| {
        let message = format!("poddisruptionbudget.policy {name:?} is forbidden: {why}");
        Err(ApiError::forbidden(message).about(kind, &name))
    };
    if integer(budget, "/status/observedGeneration") < integer(budget, "/metadata/generation") {
        let mut error = cause(format!(
            "The disruption budget {name} is still being processed by the server."
        ));
        error.details["retryAfterSeconds"] = PROCESSING_SECONDS.into();
        return Err(error);
    }
    let allowed = integer(budget, "/status/disruptionsAllowed");
    if allowed < 0 {
        return forbidden("pdb disruptions allowed is negative");
    }
    if map(budget, "/status/disruptedPods").len() > UNSEEN_MAX {
        return forbidden(
            "DisruptedPods map too big - too many evictions not confirmed by PDB controller",
        );
    }
    if allowed == 0 {
        let failed = list(budget, "/status/conditions").iter().find(|condition| {
            condition["type"] == "DisruptionAllowed"
                && condition["status"] == "False"
                && condition["reason"] == "SyncFailed"
        });
        return Err(cause(match failed {
            Some(condition) => format!(
                "The disruption budget {name} does not allow evicting pods currently because it failed sync: {}",
                text(condition, "/message")
            ),
            None => format!(
                "The disruption budget {name} needs {} healthy pods and has {} currently",
                integer(budget, "/status/desiredHealthy"),
                integer(budget, "/status/currentHealthy")
            ),
        }));
    }
    let observed = integer(budget, "/status/observedGeneration");
    let status = &mut budget["status"];
    status["disruptionsAllowed"] = (allowed - 1).into();
    if !status["disruptedPods"].is_object() {
        status["disruptedPods"] = json!({});
    }
    // The controller does not count a pod that is about to go.
    status["disruptedPods"][pod] = now.into();
    if allowed == 1 {
        set_condition(
            status,
            json!({
                "type": "DisruptionAllowed", "status": "False", "reason": "InsufficientPods",
                "message": "", "observedGeneration": observed, "lastTransitionTime": now,
            }),
        );
    }
    Ok(())
}

/// Says in the pod why it goes, as controllers want to know.
fn mark(pod: &mut Value, now: &str) {
    if present(pod, "/metadata/deletionTimestamp") {
        return;
    }
    set_condition(
        &mut pod["status"],
        json!({
            "type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI",
            "message": "Eviction API: evicting", "lastTransitionTime": now,
        }),
    );
}

/// A condition keeps its time for as long as its status is the same.
fn set_condition(status: &mut Value, mut condition: Value) {
    if !status["conditions"].is_array() {
        status["conditions"] = json!([]);
    }
    let Some(conditions) = status["conditions"].as_array_mut() else {
        return;
    };
    let kind = condition["type"].clone();
    match conditions.iter_mut().find(|one| one["type"] == kind) {
        Some(old) => {
            if old["status"] == condition["status"] && old["lastTransitionTime"].is_string() {
                condition["lastTransitionTime"] = old["lastTransitionTime"].clone();
            }
            *old = condition;
        }
        None => conditions.push(condition),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::api::kinds;

    fn budgets() -> &'static Kind {
        let mut all = kinds::all().iter();
        all.find(|kind| kind.plural == "poddisruptionbudgets")
            .unwrap()
    }

    #[test]
    fn what_a_budget_allows() {
        for (status, code, said) in [
            (json!({"disruptionsAllowed": 2}), 0, ""),
            (
                json!({"disruptionsAllowed": 0, "desiredHealthy": 3, "currentHealthy": 3}),
                429,
                "needs 3 healthy pods and has 3 currently",
            ),
            (
                json!({"disruptionsAllowed": 2, "observedGeneration": 1}),
                429,
                "still being processed",
            ),
            (
                json!({"disruptionsAllowed": 0, "conditions": [{"type": "DisruptionAllowed", "status": "False", "reason": "SyncFailed", "message": "why"}]}),
                429,
                "failed sync: why",
            ),
            (json!({"disruptionsAllowed": -1}), 403, "negative"),
        ] {
            let mut full = json!({"observedGeneration": 2});
            for (field, value) in status.as_object().unwrap() {
                full[field] = value.clone();
            }
            let mut budget = json!({"metadata": {"name": "b", "generation": 2}, "status": full});
            let error = take_one(budgets(), &mut budget, "web", "now").err();
            assert_eq!(
                error.as_ref().map_or(0, |error| error.code),
                code,
                "{status}"
            );
            let shown = error.map_or(String::new(), |error| error.to_value().to_string());
            assert!(shown.contains(said), "{shown}");
        }
        let mut budget = json!({"metadata": {"name": "b"}, "status": {"disruptionsAllowed": 1}});
        take_one(budgets(), &mut budget, "web", "now").unwrap();
        assert_eq!(budget["status"]["disruptionsAllowed"], 0);
        assert_eq!(budget["status"]["disruptedPods"], json!({"web": "now"}));
        assert_eq!(
            budget["status"]["conditions"][0]["reason"],
            "InsufficientPods"
        );
    }

    #[test]
    fn who_is_free_to_go() {
        let ready = json!({"status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}});
        let unready = json!({"status": {"phase": "Running"}});
        for (spec, status, pod, want) in [
            (
                json!({}),
                json!({"desiredHealthy": 1, "currentHealthy": 1}),
                &unready,
                true,
            ),
            (
                json!({}),
                json!({"desiredHealthy": 2, "currentHealthy": 1}),
                &unready,
                false,
            ),
            (json!({}), json!({}), &unready, false),
            (
                json!({"unhealthyPodEvictionPolicy": "AlwaysAllow"}),
                json!({}),
                &unready,
                true,
            ),
            (
                json!({"unhealthyPodEvictionPolicy": "AlwaysAllow"}),
                json!({"desiredHealthy": 1, "currentHealthy": 1}),
                &ready,
                false,
            ),
        ] {
            let budget = json!({"spec": spec, "status": status});
            assert_eq!(is_free(&budget, pod), want, "{budget}");
        }
        assert!(!needs_no_budget(&ready));
        assert!(needs_no_budget(&json!({"status": {"phase": "Pending"}})));
        assert!(needs_no_budget(
            &json!({"metadata": {"deletionTimestamp": "x"}})
        ));
        let labelled = json!({"metadata": {"labels": {"app": "a"}}});
        for (selector, want) in [
            (json!({}), true),
            (Value::Null, false),
            (json!({"matchLabels": {"app": "a"}}), true),
            (json!({"matchLabels": {"app": "b"}}), false),
        ] {
            let budget = json!({"spec": {"selector": selector}});
            assert_eq!(covers(&budget, &labelled), want, "{budget}");
        }
    }
}
