//! What pods use, as the metrics API last said, and what autoscalers have made of it.
//! <https://kubernetes.io/docs/tasks/debug/debug-cluster/resource-metrics-pipeline/>
//!
//! It is asked for only while there are autoscalers. Nothing of this is written anywhere: it is measured anew.

use super::feed::Stream;
use super::{Key, News};
use crate::client::Client;
use crate::object::access::{list, map, text};
use crate::object::quantity::Quantity;
use futures::StreamExt;
use http::Method;
use jiff::{SignedDuration, Timestamp};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

/// Between two questions (upstream's `--horizontal-pod-autoscaler-sync-period`).
const PERIOD: Duration = Duration::from_secs(15);
/// The longest window that recommendations and changes are remembered for: the API allows no longer one.
const REMEMBERED: SignedDuration = SignedDuration::from_hours(1);
/// Of one autoscaler: one each period of that window.
const REMEMBERED_MAX: usize = 240;
const AUTOSCALERS: &str = "/apis/autoscaling/v2/horizontalpodautoscalers";

/// By pod.
pub type Measured = BTreeMap<Key, PodUsage>;

#[derive(Debug, Clone, Default, PartialEq)]
pub struct PodUsage {
    pub at: Timestamp,
    pub window: SignedDuration,
    /// Container, resource, billionths of its unit.
    pub containers: BTreeMap<String, BTreeMap<String, i128>>,
}

/// What an autoscaler asked for, or did, at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Memo {
    pub at: Timestamp,
    pub replicas: i32,
}

/// Stabilization looks at what was recommended before, policies at how fast the number changed. No object has either,
/// so that a new leader begins without them, as upstream's does.
#[derive(Debug, Default, PartialEq)]
pub struct Memory {
    pub recommended: VecDeque<Memo>,
    /// The number of pods added (or, below zero, taken away).
    pub scaled: VecDeque<Memo>,
}

/// Something to remember.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    pub autoscaler: Key,
    pub is_scaled: bool,
    pub memo: Memo,
}

#[derive(Debug, Default)]
pub struct Usage {
    pub measured: Measured,
    /// By autoscaler; those that are gone are forgotten.
    pub memory: BTreeMap<Key, Memory>,
}

impl Usage {
    pub fn remember(&mut self, note: &Note) {
        let memory = self.memory.entry(note.autoscaler.clone()).or_default();
        let memos = if note.is_scaled {
            &mut memory.scaled
        } else {
            &mut memory.recommended
        };
        let old = |memo: &Memo| note.memo.at.duration_since(memo.at) > REMEMBERED;
        while memos.front().is_some_and(old) || memos.len() >= REMEMBERED_MAX {
            memos.pop_front();
        }
        memos.push_back(note.memo);
    }
}

/// At once, then each period.
pub fn stream(client: &Client) -> Stream {
    let first = (client.clone(), None);
    futures::stream::unfold(first, |(client, before)| async move {
        if before.is_some() {
            tokio::time::sleep(PERIOD).await;
        }
        let measured = gather(&client).await;
        Some((News::Usage(measured), (client, Some(()))))
    })
    .boxed()
}

/// What cannot be had is missing; the next question may be answered.
async fn gather(client: &Client) -> Measured {
    let mut measured = Measured::new();
    let Ok(autoscalers) = client.send_value(Method::GET, AUTOSCALERS, None).await else {
        return measured;
    };
    let items = list(&autoscalers, "/items").iter();
    let namespaces: BTreeSet<&str> = items
        .map(|item| text(item, "/metadata/namespace"))
        .collect();
    for namespace in namespaces {
        let path = format!("/apis/metrics.k8s.io/v1beta1/namespaces/{namespace}/pods");
        match client.send_value(Method::GET, &path, None).await {
            Ok(answer) => {
                let pods = list(&answer, "/items").iter();
                measured.extend(pods.filter_map(pod));
            }
            Err(error) => tracing::debug!(namespace, %error, "no metrics of pods"),
        }
    }
    measured
}

fn pod(metrics: &serde_json::Value) -> Option<(Key, PodUsage)> {
    let key = (
        text(metrics, "/metadata/namespace").to_owned(),
        text(metrics, "/metadata/name").to_owned(),
    );
    let containers = list(metrics, "/containers").iter().map(|container| {
        let usage = map(container, "/usage").iter();
        let usage = usage.filter_map(|(name, amount)| {
            let amount = Quantity::parse(amount.as_str()?).ok()?;
            Some((name.clone(), amount.nano))
        });
        (text(container, "/name").to_owned(), usage.collect())
    });
    let usage = PodUsage {
        at: text(metrics, "/timestamp").parse().ok()?,
        window: text(metrics, "/window").parse().unwrap_or_default(),
        containers: containers.collect(),
    };
    Some((key, usage))
}
