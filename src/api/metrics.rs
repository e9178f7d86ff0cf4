//! NodeMetrics and PodMetrics (`metrics.k8s.io/v1beta1`), what metrics-server serves elsewhere: `kubectl top`.
//! <https://kubernetes.io/docs/tasks/debug/debug-cluster/resource-metrics-pipeline/>
//!
//! In come requests and, from each node concerned, its `/stats/summary`; out go objects that exist for this answer only.
//! A node that does not answer is left out, as metrics-server does.

use super::kinds::Kind;
use super::negotiate::Form;
use super::read::{Selectors, collect};
use super::status::{ApiError, ApiResult, json_response};
use super::{Api, Call, discovery, form, metadata, prefix, stored_value};
use crate::object::access::text;
use crate::store::{ListOptions, Stored};
use axum::body::Body;
use bytes::Bytes;
use futures::StreamExt;
use http::{Request, Response};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// The part of a summary that is needed; nodes have no other than a short one to give for it.
const SUMMARY: &str = "/stats/summary?only_cpu_and_memory=true";
/// A summary of 110 pods with four containers each is about 200 KiB.
const SUMMARY_BYTES_MAX: usize = 8 << 20;
/// Nodes asked at once.
const NODES_AT_ONCE: usize = 8;
/// A node takes a second for its first sample; one that takes this long is not there.
const NODE_PATIENCE: Duration = Duration::from_secs(10);

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Summary {
    /// The time the rates are the mean of; our nodes tell.
    window: String,
    node: NodeSummary,
    pods: Vec<PodSummary>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct NodeSummary {
    cpu: Cpu,
    memory: Memory,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct PodSummary {
    pod_ref: PodRef,
    containers: Vec<ContainerSummary>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct PodRef {
    uid: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ContainerSummary {
    name: String,
    cpu: Cpu,
    memory: Memory,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Cpu {
    usage_nano_cores: Option<u64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Memory {
    time: String,
    working_set_bytes: Option<u64>,
}

/// `None` before there are two samples, as metrics-server has it.
fn usage(cpu: &Cpu, memory: &Memory) -> Option<Value> {
    Some(json!({
        "cpu": format!("{}n", cpu.usage_nano_cores?),
        "memory": format!("{}Ki", memory.working_set_bytes? / 1024),
    }))
}

impl Api {
    /// GET of one or all.
    pub(super) async fn metrics(&self, call: &Call<'_>) -> ApiResult<Response<Body>> {
        let form = call.form()?;
        let core = discovery::find(self.parts.kinds, "", "v1", call.kind.plural)
            .ok_or_else(ApiError::no_resource)?;
        let objects = self.measured(call, core)?;
        let now = metadata::timestamp(jiff::Timestamp::now());
        let on_nodes = call.kind.namespaced;
        let nodes: BTreeSet<String> = objects
            .iter()
            .map(|object| {
                let at = if on_nodes {
                    "/spec/nodeName"
                } else {
                    "/metadata/name"
                };
                text(object, at).to_owned()
            })
            .filter(|node| !node.is_empty())
            .collect();
        let summaries = self.summaries(nodes).await;
        let items: Vec<Value> = objects
            .iter()
            .filter_map(|object| {
                if on_nodes {
                    pod_metrics(object, &summaries, &now)
                } else {
                    node_metrics(object, &summaries, &now)
                }
            })
            .collect();
        if let Some(name) = &call.path.name {
            let item = items.first().ok_or_else(|| {
                // It may exist and use nothing yet.
                ApiError::not_found(call.kind, name)
            })?;
            return form::object(call.kind, form, &call.query, 200, item.to_string().into());
        }
        Ok(match form {
            Form::Json | Form::Discovery => {
                let items = items.iter().map(|item| Bytes::from(item.to_string()));
                form::list(call.kind, json!({}), items.collect())?
            }
            Form::Table => {
                let include = form::include_object(&call.query)?;
                json_response(
                    200,
                    form::table(call.kind, &items, json!({}), include, true).to_string(),
                )
            }
            Form::Metadata => {
                let items: Vec<Value> = items.iter().map(form::partial).collect();
                json_response(
                    200,
                    json!({
                        "kind": "PartialObjectMetadataList", "apiVersion": "meta.k8s.io/v1",
                        "metadata": {}, "items": items,
                    })
                    .to_string(),
                )
            }
        })
    }

    /// Name, labels and place of the nodes or pods asked for: the rest of them is let go at once.
    fn measured(&self, call: &Call<'_>, core: &'static Kind) -> ApiResult<Vec<Value>> {
        let small = |stored: Stored| -> ApiResult<Value> {
            let object = stored_value(&stored.json)?;
            let meta = &object["metadata"];
            Ok(json!({
                "metadata": {"name": meta["name"], "namespace": meta["namespace"], "uid": meta["uid"], "labels": meta["labels"]},
                "spec": {"nodeName": object["spec"]["nodeName"]},
            }))
        };
        let namespace = call.path.namespace.as_deref();
        if let Some(name) = &call.path.name {
            let stored = self.parts.store.get(&super::key(core, namespace, name))?;
            let stored = stored.ok_or_else(|| ApiError::not_found(call.kind, name))?;
            return Ok(vec![small(stored)?]);
        }
        let selectors = Selectors::of(call)?;
        let options = ListOptions {
            prefix: prefix(core, namespace),
            at: None,
            after: None,
            limit: None,
        };
        let page = collect(&self.parts.store, options, &selectors)?;
        page.items.into_iter().map(small).collect()
    }

    /// By node.
    async fn summaries(&self, nodes: BTreeSet<String>) -> BTreeMap<String, Summary> {
        futures::stream::iter(nodes)
            .map(|node| async move {
                let asked = tokio::time::timeout(NODE_PATIENCE, self.summary(&node)).await;
                match asked.unwrap_or_else(|_| Err("no answer in time".to_owned())) {
                    Ok(summary) => Some((node, summary)),
                    Err(why) => {
                        tracing::debug!(node, "no metrics: {why}");
                        None
                    }
                }
            })
            .buffer_unordered(NODES_AT_ONCE)
            .filter_map(|found| async move { found })
            .collect()
            .await
    }

    async fn summary(&self, node: &str) -> Result<Summary, String> {
        let request = Request::get(SUMMARY)
            .body(Body::empty())
            .map_err(|error| error.to_string())?;
        let response = self.parts.nodes.call(node, request).await;
        if !response.status().is_success() {
            return Err(response.status().to_string());
        }
        let body = axum::body::to_bytes(response.into_body(), SUMMARY_BYTES_MAX)
            .await
            .map_err(|error| error.to_string())?;
        serde_json::from_slice(&body).map_err(|error| error.to_string())
    }
}

/// `metadata` of an answer: when it was made, whose it is.
fn head(object: &Value, now: &str) -> Map<String, Value> {
    let mut head = Map::new();
    for field in ["name", "namespace", "labels"] {
        if !object["metadata"][field].is_null() {
            head.insert(field.to_owned(), object["metadata"][field].clone());
        }
    }
    head.insert("creationTimestamp".to_owned(), now.into());
    head
}

fn window(summary: &Summary) -> &str {
    match summary.window.as_str() {
        "" => "0s",
        window => window,
    }
}

fn node_metrics(node: &Value, summaries: &BTreeMap<String, Summary>, now: &str) -> Option<Value> {
    let summary = summaries.get(text(node, "/metadata/name"))?;
    Some(json!({
        "kind": "NodeMetrics", "apiVersion": "metrics.k8s.io/v1beta1",
        "metadata": head(node, now),
        "timestamp": summary.node.memory.time,
        "window": window(summary),
        "usage": usage(&summary.node.cpu, &summary.node.memory)?,
    }))
}

fn pod_metrics(pod: &Value, summaries: &BTreeMap<String, Summary>, now: &str) -> Option<Value> {
    let summary = summaries.get(text(pod, "/spec/nodeName"))?;
    let uid = text(pod, "/metadata/uid");
    let own = summary.pods.iter().find(|one| one.pod_ref.uid == uid)?;
    let containers: Vec<Value> = own
        .containers
        .iter()
        .filter_map(|container| {
            let usage = usage(&container.cpu, &container.memory)?;
            Some(json!({"name": container.name, "usage": usage}))
        })
        .collect();
    if containers.is_empty() {
        return None;
    }
    Some(json!({
        "kind": "PodMetrics", "apiVersion": "metrics.k8s.io/v1beta1",
        "metadata": head(pod, now),
        "timestamp": summary.node.memory.time,
        "window": window(summary),
        "containers": containers,
    }))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn summaries_become_metrics_and_what_has_no_rate_is_left_out() {
        let summary: Summary = serde_json::from_value(json!({
        "window": "1.5s",
        "node": {"cpu": {"usageNanoCores": 7}, "memory": {"time": "t", "workingSetBytes": 4096}},
        "pods": [
            {"podRef": {"uid": "u"}, "containers": [
                {"name": "c", "cpu": {"usageNanoCores": 3}, "memory": {"workingSetBytes": 2048}},
                {"name": "young", "cpu": {}, "memory": {"workingSetBytes": 1}}]},
            {"podRef": {"uid": "v"}, "containers": []}
        ]}))
        .unwrap();
        let summaries = BTreeMap::from([("n".to_owned(), summary)]);
        let node = json!({"metadata": {"name": "n", "labels": {"a": "b"}}});
        let made = node_metrics(&node, &summaries, "now").unwrap();
        assert_eq!(made["usage"], json!({"cpu": "7n", "memory": "4Ki"}));
        assert_eq!(
            (&made["timestamp"], &made["window"]),
            (&json!("t"), &json!("1.5s"))
        );
        assert_eq!(made["metadata"]["labels"]["a"], "b");
        let pod =
            |uid: &str| json!({"metadata": {"name": "p", "uid": uid}, "spec": {"nodeName": "n"}});
        let made = pod_metrics(&pod("u"), &summaries, "now").unwrap();
        assert_eq!(
            made["containers"],
            json!([{"name": "c", "usage": {"cpu": "3n", "memory": "2Ki"}}])
        );
        assert!(pod_metrics(&pod("v"), &summaries, "now").is_none());
        assert!(pod_metrics(&pod("w"), &summaries, "now").is_none());
    }
}
