//! What a pod says about other pods and about topologies, read once.
//! <https://kubernetes.io/docs/concepts/scheduling-eviction/assign-pod-node/#inter-pod-affinity-and-anti-affinity>
//! <https://kubernetes.io/docs/concepts/scheduling-eviction/topology-spread-constraints/>
//!
//! `matchLabelKeys` and `mismatchLabelKeys` stand in the selectors already: the API writes them there when a pod is
//! created, as upstream's does.

use crate::object::selector::LabelSelector;
use k8s_openapi::api::core::v1 as core;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector as Written;
use std::collections::{BTreeMap, BTreeSet};

pub const HOSTNAME: &str = "kubernetes.io/hostname";
pub const ZONE: &str = "topology.kubernetes.io/zone";
pub const REGION: &str = "topology.kubernetes.io/region";

pub type Labels = BTreeMap<String, String>;

/// Which pods are meant.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Matcher {
    pub namespaces: BTreeSet<String>,
    /// Namespaces by their labels, besides those named; an empty selector means all.
    pub namespace_selector: Option<LabelSelector>,
    /// `None` selects nothing.
    pub selector: Option<LabelSelector>,
    /// Only pods of this controller (its uid).
    pub owner: Option<String>,
}

impl Matcher {
    pub fn matches_namespace(&self, name: &str, labels: Option<&Labels>) -> bool {
        self.namespaces.contains(name)
            || self.namespace_selector.as_ref().is_some_and(|selector| {
                selector.is_empty() || labels.is_some_and(|labels| selector.matches(labels))
            })
    }

    pub fn matches_pod(&self, labels: &Labels, owner: Option<&String>) -> bool {
        (self.owner.is_none() || self.owner.as_ref() == owner)
            && self.selector.as_ref().is_some_and(|s| s.matches(labels))
    }
}

/// Pods that are meant, and what "near" is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Term {
    pub matcher: Matcher,
    pub topology_key: String,
}

/// One of `topologySpreadConstraints`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spread {
    pub term: Term,
    pub max_skew: i64,
    pub min_domains: i64,
    /// `DoNotSchedule`.
    pub is_hard: bool,
    /// Only nodes that the pod's own node selector and affinity mean are counted.
    pub honors_affinity: bool,
    /// Nodes with taints that the pod does not tolerate are not counted.
    pub honors_taints: bool,
}

/// Rules about other pods.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PodRules {
    pub near: Vec<Term>,
    pub apart: Vec<Term>,
    /// With weights, negative for "rather apart".
    pub preferred: Vec<(i64, Term)>,
    pub spread: Vec<Spread>,
    /// The spread is nobody's wish but the default for pods of one controller.
    pub is_spread_by_default: bool,
}

impl PodRules {
    pub fn read(pod: &core::Pod) -> PodRules {
        let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
        let mut rules = PodRules::default();
        let Some(spec) = &pod.spec else { return rules };
        let affinity = spec.affinity.as_ref();
        let read = |list: Option<&Vec<core::PodAffinityTerm>>| -> Vec<Term> {
            let terms = list.into_iter().flatten();
            terms.map(|term| read_term(term, namespace)).collect()
        };
        let mut weigh = |list: Option<&Vec<core::WeightedPodAffinityTerm>>, sign: i64| {
            let terms = list.into_iter().flatten();
            rules.preferred.extend(terms.map(|term| {
                let weight = sign * i64::from(term.weight);
                (weight, read_term(&term.pod_affinity_term, namespace))
            }));
        };
        let near = affinity.and_then(|a| a.pod_affinity.as_ref());
        let apart = affinity.and_then(|a| a.pod_anti_affinity.as_ref());
        weigh(
            near.and_then(|a| {
                a.preferred_during_scheduling_ignored_during_execution
                    .as_ref()
            }),
            1,
        );
        weigh(
            apart.and_then(|a| {
                a.preferred_during_scheduling_ignored_during_execution
                    .as_ref()
            }),
            -1,
        );
        rules.near = read(near.and_then(|a| {
            a.required_during_scheduling_ignored_during_execution
                .as_ref()
        }));
        rules.apart = read(apart.and_then(|a| {
            a.required_during_scheduling_ignored_during_execution
                .as_ref()
        }));
        for constraint in spec.topology_spread_constraints.iter().flatten() {
            rules.spread.push(read_spread(constraint, namespace));
        }
        if rules.spread.is_empty()
            && let Some(owner) = default_owner(pod)
        {
            rules.spread = default_spread(namespace, owner);
            rules.is_spread_by_default = true;
        }
        rules
    }
}

/// What cannot be read selects nothing; the API has checked it.
fn read_selector(selector: &Written) -> Option<LabelSelector> {
    let value = serde_json::to_value(selector).ok()?;
    LabelSelector::from_json(&value).ok()
}

fn read_term(term: &core::PodAffinityTerm, namespace: &str) -> Term {
    let mut namespaces: BTreeSet<String> = term.namespaces.iter().flatten().cloned().collect();
    if namespaces.is_empty() && term.namespace_selector.is_none() {
        namespaces.insert(namespace.to_owned());
    }
    Term {
        matcher: Matcher {
            namespaces,
            namespace_selector: term.namespace_selector.as_ref().and_then(read_selector),
            selector: term.label_selector.as_ref().and_then(read_selector),
            owner: None,
        },
        topology_key: term.topology_key.clone(),
    }
}

fn read_spread(constraint: &core::TopologySpreadConstraint, namespace: &str) -> Spread {
    Spread {
        term: Term {
            matcher: Matcher {
                namespaces: [namespace.to_owned()].into(),
                selector: constraint.label_selector.as_ref().and_then(read_selector),
                ..Matcher::default()
            },
            topology_key: constraint.topology_key.clone(),
        },
        max_skew: i64::from(constraint.max_skew),
        min_domains: i64::from(constraint.min_domains.unwrap_or(1)),
        is_hard: constraint.when_unsatisfiable == "DoNotSchedule",
        honors_affinity: constraint.node_affinity_policy.as_deref() != Some("Ignore"),
        honors_taints: constraint.node_taints_policy.as_deref() == Some("Honor"),
    }
}

/// The controller whose pods are spread where nothing is said: upstream's `DefaultSelector` for these three kinds.
fn default_owner(pod: &core::Pod) -> Option<&str> {
    let owners = pod.metadata.owner_references.iter().flatten();
    let mut controllers = owners.filter(|owner| owner.controller == Some(true));
    controllers
        .find(|owner| {
            matches!(
                owner.kind.as_str(),
                "ReplicaSet" | "StatefulSet" | "ReplicationController"
            )
        })
        .map(|owner| owner.uid.as_str())
}

/// <https://kubernetes.io/docs/concepts/scheduling-eviction/topology-spread-constraints/#internal-default-constraints>
///
/// Upstream selects by the controller's selector; all of a controller's pods, and only those, bear its uid.
fn default_spread(namespace: &str, owner: &str) -> Vec<Spread> {
    let one = |key: &str, max_skew: i64| Spread {
        term: Term {
            matcher: Matcher {
                namespaces: [namespace.to_owned()].into(),
                namespace_selector: None,
                selector: Some(LabelSelector::default()),
                owner: Some(owner.to_owned()),
            },
            topology_key: key.to_owned(),
        },
        max_skew,
        min_domains: 1,
        is_hard: false,
        honors_affinity: true,
        honors_taints: false,
    };
    vec![one(HOSTNAME, 3), one(ZONE, 5)]
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::{Value, json};

    fn rules(pod: Value) -> PodRules {
        PodRules::read(&serde_json::from_value(pod).unwrap())
    }

    fn term(change: &Value) -> Term {
        let mut term =
            json!({"topologyKey": "zone", "labelSelector": {"matchLabels": {"app": "web"}}});
        json_patch::merge(&mut term, change);
        let affinity =
            json!({"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}});
        let pod = json!({"metadata": {"namespace": "own"}, "spec": {"containers": [], "affinity": affinity}});
        rules(pod).near.remove(0)
    }

    #[test]
    fn namespaces_are_the_own_the_named_or_the_selected() {
        let labels: Labels = [("team".to_owned(), "a".to_owned())].into();
        for (change, own, named, labelled) in [
            (json!({}), true, false, false),
            (json!({"namespaces": ["named"]}), false, true, false),
            (json!({"namespaceSelector": {}}), true, true, true),
            (
                json!({"namespaceSelector": {"matchLabels": {"team": "a"}}}),
                false,
                false,
                true,
            ),
            (
                json!({"namespaces": ["named"], "namespaceSelector": {"matchLabels": {"team": "a"}}}),
                false,
                true,
                true,
            ),
        ] {
            let matcher = term(&change).matcher;
            assert_eq!(matcher.matches_namespace("own", None), own, "{change}");
            assert_eq!(matcher.matches_namespace("named", None), named, "{change}");
            let found = matcher.matches_namespace("labelled", Some(&labels));
            assert_eq!(found, labelled, "{change}");
        }
    }

    #[test]
    fn no_selector_selects_nothing_and_an_empty_one_everything() {
        let labels: Labels = [("app".to_owned(), "db".to_owned())].into();
        for (change, want) in [
            (json!({}), false),
            (json!({"labelSelector": null}), false),
            (json!({"labelSelector": {"matchLabels": null}}), true),
        ] {
            assert_eq!(
                term(&change).matcher.matches_pod(&labels, None),
                want,
                "{change}"
            );
        }
    }

    #[test]
    fn pods_of_a_controller_are_spread_by_default() {
        let pod = |kind: &str, spread: Value| {
            rules(json!({
                "metadata": {"namespace": "n", "ownerReferences": [
                    {"apiVersion": "apps/v1", "kind": kind, "name": "w", "uid": "u", "controller": true}]},
                "spec": {"containers": [], "topologySpreadConstraints": spread}
            }))
        };
        let by_default = pod("ReplicaSet", json!([]));
        assert!(by_default.is_spread_by_default && by_default.spread.len() == 2);
        assert!(pod("Job", json!([])).spread.is_empty());
        let own = pod(
            "ReplicaSet",
            json!([{"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule"}]),
        );
        assert!(!own.is_spread_by_default && own.spread.len() == 1 && own.spread[0].is_hard);
    }
}
