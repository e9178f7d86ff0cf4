//! What of scheduling is refused, and what may change.
#![allow(clippy::unwrap_used)]

use super::*;
use crate::api::kinds::Strategy;
use crate::api::kinds::pod::Pod;

fn pod(spec: &Value) -> Value {
    let mut pod = json!({"metadata": {"name": "a", "namespace": "n", "labels": {"app": "web", "hash": "1"},
        "creationTimestamp": "2026-01-01T00:00:00Z"},
        "spec": {"containers": [{"name": "a", "image": "b"}]}});
    json_patch::merge(&mut pod["spec"], spec);
    Pod.default(&mut pod);
    pod
}

fn fields(errors: &[FieldError]) -> String {
    let fields: Vec<String> = errors
        .iter()
        .map(|e| e.field.trim_start_matches("spec.").to_owned())
        .collect();
    fields.join(" ")
}

fn refused(spec: &Value) -> String {
    let mut pod = pod(spec);
    Pod.prepare_create(&mut pod);
    fields(&Pod.validate(&pod))
}

#[test]
fn node_affinity_is_checked() {
    const TERM: &str =
        "affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms";
    let required = |term: Value| json!({"affinity": {"nodeAffinity": {REQUIRED: {"nodeSelectorTerms": [term]}}}});
    let expression = |key: &str, operator: &str, values: Value| {
        required(
            json!({"matchExpressions": [{"key": key, "operator": operator, "values": values}]}),
        )
    };
    let field = |key: &str, operator: &str, values: Value| {
        required(json!({"matchFields": [{"key": key, "operator": operator, "values": values}]}))
    };
    for (spec, want) in [
        (expression("a", "In", json!(["b"])), ""),
        (expression("a", "Gt", json!(["5"])), ""),
        (expression("a", "Exists", json!([])), ""),
        (field("metadata.name", "In", json!(["n"])), ""),
        (required(json!({})), ""),
        (
            expression("a", "In", json!([])),
            "TERM[0].matchExpressions[0].values",
        ),
        (
            expression("a", "Exists", json!(["b"])),
            "TERM[0].matchExpressions[0].values",
        ),
        (
            expression("a", "Lt", json!(["1", "2"])),
            "TERM[0].matchExpressions[0].values",
        ),
        (
            expression("a", "Like", json!([])),
            "TERM[0].matchExpressions[0].operator",
        ),
        (
            expression("a b", "Exists", json!([])),
            "TERM[0].matchExpressions[0].key",
        ),
        (
            field("metadata.name", "In", json!(["a", "b"])),
            "TERM[0].matchFields[0].values",
        ),
        (
            field("metadata.name", "Exists", json!([])),
            "TERM[0].matchFields[0].operator",
        ),
        (
            field("metadata.uid", "In", json!(["a"])),
            "TERM[0].matchFields[0].key",
        ),
        (
            field("metadata.name", "In", json!(["A_"])),
            "TERM[0].matchFields[0].values[0]",
        ),
        (
            json!({"affinity": {"nodeAffinity": {REQUIRED: {"nodeSelectorTerms": []}}}}),
            "TERM",
        ),
        (
            json!({"affinity": {"nodeAffinity": {PREFERRED: [{"weight": 0, "preference": {}}]}}}),
            "affinity.nodeAffinity.preferredDuringSchedulingIgnoredDuringExecution[0].weight",
        ),
    ] {
        assert_eq!(refused(&spec), want.replace("TERM", TERM), "{spec}");
    }
}

#[test]
fn pod_affinity_is_checked() {
    let with = |change: Value| {
        let mut term =
            json!({"topologyKey": "zone", "labelSelector": {"matchLabels": {"app": "web"}}});
        json_patch::merge(&mut term, &change);
        json!({"affinity": {"podAntiAffinity": {REQUIRED: [term]}}})
    };
    for (spec, want) in [
        (with(json!({})), ""),
        (with(json!({"topologyKey": ""})), "topologyKey"),
        (with(json!({"topologyKey": "a b"})), "topologyKey"),
        (with(json!({"namespaces": ["A"]})), "namespace"),
        (
            with(
                json!({"labelSelector": {"matchExpressions": [{"key": "a", "operator": "Like"}]}}),
            ),
            "labelSelector",
        ),
        (
            with(json!({"namespaceSelector": {"matchLabels": {"a b": "c"}}})),
            "namespaceSelector",
        ),
        (with(json!({"matchLabelKeys": ["hash"]})), ""),
        (with(json!({"matchLabelKeys": ["absent"]})), ""),
        (
            with(json!({"matchLabelKeys": ["app"]})),
            "matchLabelKeys[0]",
        ),
        (with(json!({"mismatchLabelKeys": ["app"]})), ""),
        (
            with(json!({"matchLabelKeys": ["hash"], "mismatchLabelKeys": ["hash"]})),
            "matchLabelKeys[0] matchLabelKeys[0]",
        ),
        (
            with(json!({"labelSelector": null, "matchLabelKeys": ["hash"]})),
            "matchLabelKeys",
        ),
    ] {
        let found = refused(&spec);
        let at = format!("affinity.podAntiAffinity.{REQUIRED}[0].");
        assert_eq!(found.replace(&at, ""), want, "{spec}");
    }
    let heavy = json!({"affinity": {"podAffinity": {PREFERRED: [{"weight": 101, "podAffinityTerm": {"topologyKey": "a"}}]}}});
    assert_eq!(
        refused(&heavy),
        "affinity.podAffinity.preferredDuringSchedulingIgnoredDuringExecution[0].weight"
    );
}

#[test]
fn spread_is_checked() {
    let with = |change: Value| {
        let mut constraint =
            json!({"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule"});
        json_patch::merge(&mut constraint, &change);
        json!({"topologySpreadConstraints": [constraint]})
    };
    for (spec, want) in [
        (with(json!({})), ""),
        (
            with(json!({"minDomains": 2, "nodeTaintsPolicy": "Honor"})),
            "",
        ),
        (with(json!({"maxSkew": 0})), "maxSkew"),
        (with(json!({"topologyKey": ""})), "topologyKey"),
        (
            with(json!({"whenUnsatisfiable": "Maybe"})),
            "whenUnsatisfiable",
        ),
        (with(json!({"minDomains": 0})), "minDomains"),
        (
            with(json!({"minDomains": 1, "whenUnsatisfiable": "ScheduleAnyway"})),
            "minDomains",
        ),
        (
            with(json!({"nodeAffinityPolicy": "Some"})),
            "nodeAffinityPolicy",
        ),
        (with(json!({"matchLabelKeys": ["hash"]})), "matchLabelKeys"),
    ] {
        let found = refused(&spec);
        assert_eq!(
            found.replace("topologySpreadConstraints[0].", ""),
            want,
            "{spec}"
        );
    }
    let one = with(json!({}))["topologySpreadConstraints"][0].clone();
    let twice = json!({"topologySpreadConstraints": [one, one]});
    assert_eq!(
        refused(&twice),
        "topologySpreadConstraints[1].{topologyKey, whenUnsatisfiable}"
    );
}

#[test]
fn gates_and_ports_are_checked() {
    let gates = |names: &[&str]| {
        let gates: Vec<Value> = names.iter().map(|name| json!({"name": name})).collect();
        json!({"schedulingGates": gates})
    };
    assert_eq!(refused(&gates(&["example.com/a", "b"])), "");
    assert_eq!(refused(&gates(&["a", "a"])), "schedulingGates[1]");
    assert_eq!(refused(&gates(&["a b"])), "schedulingGates[0]");
    let mut bound = gates(&["a"]);
    bound["nodeName"] = "n".into();
    assert_eq!(refused(&bound), "nodeName");
    let port =
        |number: i64| json!({"containerPort": number, "hostPort": number, "protocol": "TCP"});
    let two = json!({"hostNetwork": true, "containers": [
        {"name": "a", "image": "b", "ports": [port(80)]}, {"name": "c", "image": "b", "ports": [port(80), port(81)]}]});
    assert_eq!(refused(&two), "containers[1].ports[0].hostPort");
}

#[test]
fn label_keys_become_requirements_and_gates_a_condition() {
    let term = json!({"topologyKey": "zone", "labelSelector": {"matchLabels": {"app": "web"}},
        "matchLabelKeys": ["hash", "absent"], "mismatchLabelKeys": ["app"]});
    let mut made = pod(&json!({
        "affinity": {"podAffinity": {PREFERRED: [{"weight": 1, "podAffinityTerm": term}]}},
        "schedulingGates": [{"name": "a"}],
    }));
    Pod.prepare_create(&mut made);
    let settled = &made["spec"]["affinity"]["podAffinity"][PREFERRED][0]["podAffinityTerm"];
    assert_eq!(
        settled["labelSelector"]["matchExpressions"],
        json!([{"key": "hash", "operator": "In", "values": ["1"]}, {"key": "app", "operator": "NotIn", "values": ["web"]}])
    );
    assert_eq!(made["status"]["conditions"][0]["reason"], "SchedulingGated");
}

#[test]
fn gates_only_go_and_the_gated_may_be_narrowed() {
    let node_terms =
        |terms: Value| json!({"nodeAffinity": {REQUIRED: {"nodeSelectorTerms": terms}}});
    let one = json!({"matchExpressions": [{"key": "a", "operator": "Exists"}]});
    let more = json!({"matchExpressions": [{"key": "a", "operator": "Exists"}, {"key": "b", "operator": "Exists"}]});
    let gated = json!({"schedulingGates": [{"name": "a"}, {"name": "b"}], "nodeSelector": {"x": "y"},
        "affinity": node_terms(json!([one]))});
    let bare = json!({"schedulingGates": [{"name": "a"}]});
    for (spec, change, want) in [
        (&gated, json!({"schedulingGates": [{"name": "b"}]}), ""),
        (&gated, json!({"schedulingGates": null}), ""),
        (
            &gated,
            json!({"schedulingGates": [{"name": "a"}, {"name": "c"}]}),
            "schedulingGates",
        ),
        (&gated, json!({"nodeSelector": {"more": "z"}}), ""),
        (&gated, json!({"nodeSelector": {"x": "z"}}), "nodeSelector"),
        (&gated, json!({"affinity": node_terms(json!([more]))}), ""),
        (
            &gated,
            json!({"affinity": node_terms(json!([{}]))}),
            "affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[0]",
        ),
        (
            &gated,
            json!({"affinity": node_terms(json!([one, one]))}),
            "affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms",
        ),
        (&bare, json!({"affinity": node_terms(json!([one]))}), ""),
        (
            &bare,
            json!({"affinity": {"podAffinity": {REQUIRED: [{"topologyKey": "z"}]}}}),
            "spec",
        ),
        (
            &json!({}),
            json!({"schedulingGates": [{"name": "a"}]}),
            "schedulingGates",
        ),
        (&json!({}), json!({"nodeSelector": {"a": "b"}}), "spec"),
        (
            &json!({}),
            json!({"affinity": node_terms(json!([one]))}),
            "spec",
        ),
    ] {
        let old = pod(spec);
        let mut new = old.clone();
        json_patch::merge(&mut new["spec"], &change);
        let found = fields(&super::super::update::validate(&old, &new));
        assert_eq!(found, want, "{change}");
    }
}
