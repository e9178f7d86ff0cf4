//! Quotas: what a new or grown object uses is charged in the transaction that writes it.
//! <https://kubernetes.io/docs/concepts/policy/resource-quotas/>
//!
//! `status.used` is the account: two writers that both see the last free place both try to write it, and one fails and
//! looks again. What the account does not have yet, of a new quota or a new limit, is counted first.

use crate::api::encode::encode;
use crate::api::kinds::Kind;
use crate::api::status::{ApiError, ApiResult, qualified};
use crate::api::{Api, prefix, stored_value};
use crate::object::access::text;
use crate::object::quota::{self, Amounts};
use crate::store::{Expect, ListOptions, Op, Stored};
use jiff::Timestamp;
use serde_json::{Value, json};

/// Objects read at a time while they are counted.
const CHUNK_ROWS: usize = 100;

/// Not limited by upstream either: refusing them would hide why something else fails.
const EXEMPT: [(&str, &str); 2] = [("", "events"), ("events.k8s.io", "events")];

/// Kinds of which a change can use more than before.
const GROWING: [&str; 3] = ["pods", "persistentvolumeclaims", "services"];

impl Api {
    /// Whether anything limits objects of this namespace.
    pub(in crate::api) fn has_quotas(&self, kind: &Kind, namespace: &str) -> ApiResult<bool> {
        let options = ListOptions {
            limit: Some(1),
            ..quotas_of(namespace)
        };
        Ok(is_counted(kind) && !self.parts.store.list(&options)?.items.is_empty())
    }

    /// The charges for a new object, to be committed with it.
    pub(in crate::api) fn charge_new(&self, kind: &Kind, object: &Value) -> ApiResult<Vec<Op>> {
        self.charge_quotas(kind, None, object)
    }

    /// The charges for what `object` uses more than `before`.
    pub(in crate::api) fn charge_growth(
        &self,
        kind: &Kind,
        before: &Value,
        object: &Value,
    ) -> ApiResult<Vec<Op>> {
        let can_grow = kind.group.is_empty() && GROWING.contains(&kind.plural);
        if !can_grow || before["spec"] == object["spec"] {
            return Ok(Vec::new());
        }
        self.charge_quotas(kind, Some(before), object)
    }

    fn charge_quotas(
        &self,
        kind: &Kind,
        before: Option<&Value>,
        object: &Value,
    ) -> ApiResult<Vec<Op>> {
        let mut ops = Vec::new();
        if !is_counted(kind) {
            return Ok(ops);
        }
        let namespace = text(object, "/metadata/namespace");
        let now = Timestamp::now().as_second();
        let used_before = before.map(|before| quota::usage(kind.group, kind.plural, before, now));
        let used = quota::usage(kind.group, kind.plural, object, now);
        for stored in self.parts.store.list(&quotas_of(namespace))?.items {
            let limits = stored_value(&stored.json)?;
            if !quota::matches(&limits, kind.group, kind.plural, object) {
                continue;
            }
            let refuse = |why: String| {
                let name = text(object, "/metadata/name");
                let message = format!("{} {name:?} is forbidden: {why}", qualified(kind));
                ApiError::forbidden(message).about(kind, name)
            };
            let hard = quota::amounts(&limits, "/spec/hard");
            if kind.group.is_empty()
                && kind.plural == "pods"
                && let Some(missing) = quota::unsaid(object, hard.keys())
            {
                let of = text(&limits, "/metadata/name");
                return Err(refuse(format!(
                    "failed quota: {of}: must specify {missing}"
                )));
            }
            let growth = growth(&hard, &used, used_before.as_ref());
            if growth.is_empty() {
                continue;
            }
            let account = self.account(&limits, &hard, namespace, now)?;
            let after = charged(&hard, account, &growth).map_err(|why| {
                refuse(format!(
                    "exceeded quota: {}, {why}",
                    text(&limits, "/metadata/name")
                ))
            })?;
            ops.push(written(stored, limits, &after)?);
        }
        Ok(ops)
    }

    /// What is used of everything the quota limits; what its status does not say is counted.
    fn account(
        &self,
        limits: &Value,
        hard: &Amounts,
        namespace: &str,
        now: i64,
    ) -> ApiResult<Amounts> {
        let mut used = quota::amounts(limits, "/status/used");
        used.retain(|name, _| hard.contains_key(name));
        let unknown: Vec<&String> = hard
            .keys()
            .filter(|name| !used.contains_key(*name))
            .collect();
        let mut counted = Amounts::new();
        let stored = |kind: &&Kind| is_counted(kind) && kind.strategy.view().is_none();
        for kind in self.parts.kinds.iter().filter(stored) {
            let tracks = |name: &&&String| quota::tracks(kind.group, kind.plural, name);
            if !unknown.iter().any(|name| tracks(&name)) {
                continue;
            }
            let mut options = ListOptions {
                prefix: prefix(kind, Some(namespace)),
                limit: Some(CHUNK_ROWS),
                ..ListOptions::default()
            };
            loop {
                let page = self.parts.store.list(&options)?;
                for item in &page.items {
                    let object = stored_value(&item.json)?;
                    if !quota::matches(limits, kind.group, kind.plural, &object) {
                        continue;
                    }
                    for (name, amount) in quota::usage(kind.group, kind.plural, &object, now) {
                        let sum = counted.entry(name).or_default();
                        *sum = sum.plus(amount);
                    }
                }
                options.after = page.items.into_iter().last().map(|item| item.key);
                if !page.more {
                    break;
                }
            }
        }
        for name in unknown {
            let amount = counted.get(name).copied().unwrap_or_default();
            used.insert(name.clone(), amount);
        }
        Ok(used)
    }
}

fn quotas_of(namespace: &str) -> ListOptions {
    ListOptions {
        prefix: format!("resourcequotas/{namespace}/"),
        ..ListOptions::default()
    }
}

fn is_counted(kind: &Kind) -> bool {
    kind.namespaced
        && !kind.is_review()
        && !kind.is_bindings()
        && kind.group != crate::api::kinds::metrics::GROUP
        && !EXEMPT.contains(&(kind.group, kind.plural))
}

/// What is used more than before, of what the quota limits.
fn growth(hard: &Amounts, used: &Amounts, before: Option<&Amounts>) -> Amounts {
    let more = used.iter().filter_map(|(name, amount)| {
        let earlier = before.and_then(|before| before.get(name)).copied();
        let more = amount.minus(earlier.unwrap_or_default());
        (hard.contains_key(name) && !more.is_zero()).then(|| (name.clone(), more))
    });
    more.collect()
}

/// The account after the growth; the error says what has no room, in upstream's words.
fn charged(hard: &Amounts, used: Amounts, growth: &Amounts) -> Result<Amounts, String> {
    let mut after = used.clone();
    let mut exceeded = Vec::new();
    for (name, more) in growth {
        let sum = after.entry(name.clone()).or_default();
        *sum = sum.plus(*more);
        let most = hard.get(name).copied().unwrap_or_default();
        if sum.quantity > most.quantity {
            exceeded.push(name);
        }
    }
    if exceeded.is_empty() {
        return Ok(after);
    }
    let only = |amounts: &Amounts| {
        let chosen = exceeded.iter().map(|name| {
            let amount = amounts.get(*name).copied().unwrap_or_default();
            ((*name).clone(), amount)
        });
        quota::describe(&chosen.collect())
    };
    Err(format!(
        "requested: {}, used: {}, limited: {}",
        only(growth),
        only(&used),
        only(hard)
    ))
}

fn written(stored: Stored, mut limits: Value, used: &Amounts) -> ApiResult<Op> {
    limits["status"] = json!({"hard": limits["spec"]["hard"], "used": quota::to_value(used)});
    Ok(Op::Put {
        body: encode(&limits)?,
        expect: Expect::Revision(stored.revision),
        key: stored.key,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn amounts(value: Value) -> Amounts {
        quota::amounts(&json!({"x": value}), "/x")
    }

    #[test]
    fn accounts() {
        let hard = amounts(json!({"pods": "2", "requests.cpu": "1"}));
        for (used, more, want) in [
            (
                json!({"pods": "1", "requests.cpu": "900m"}),
                json!({"pods": "1", "requests.cpu": "100m"}),
                Ok("pods=2,requests.cpu=1"),
            ),
            (
                json!({"pods": "1", "requests.cpu": "900m"}),
                json!({"pods": "1", "requests.cpu": "200m"}),
                Err(
                    "requested: requests.cpu=200m, used: requests.cpu=900m, limited: requests.cpu=1",
                ),
            ),
            (
                json!({"pods": "2", "requests.cpu": "1"}),
                json!({"pods": "1", "requests.cpu": "1"}),
                Err(
                    "requested: pods=1,requests.cpu=1, used: pods=2,requests.cpu=1, limited: pods=2,requests.cpu=1",
                ),
            ),
            // More is used than there may be by now: what asks for nothing more of it passes.
            (
                json!({"pods": "1", "requests.cpu": "5"}),
                json!({"pods": "1"}),
                Ok("pods=2,requests.cpu=5"),
            ),
        ] {
            let found = charged(&hard, amounts(used), &amounts(more));
            let found = found.map(|after| quota::describe(&after));
            assert_eq!(found, want.map(str::to_owned).map_err(str::to_owned));
        }
        let used = amounts(json!({"pods": "1", "requests.cpu": "300m", "secrets": "1"}));
        let before = amounts(json!({"pods": "1", "requests.cpu": "100m"}));
        assert_eq!(
            quota::describe(&growth(&hard, &used, Some(&before))),
            "requests.cpu=200m"
        );
        assert_eq!(
            quota::describe(&growth(&hard, &used, None)),
            "pods=1,requests.cpu=300m"
        );
        assert!(growth(&hard, &before, Some(&used)).is_empty());
    }
}
