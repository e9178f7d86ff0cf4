//! How long each node has been silent, by this process's own reckoning.
//!
//! Times that nodes write are compared for equality only, and silence is counted in time that has passed here: neither
//! a node's wrong clock nor a jump of ours makes a node look dead. A new leader begins at zero, so that every node has
//! its full grace. <https://kubernetes.io/docs/concepts/architecture/leases/#node-heart-beats>

use super::News;
use super::feed::Stream;
use super::pod::PodView;
use super::table::{Key, Table};
use crate::client::{Client, ClientError, object_path};
use futures::StreamExt;
use http::Method;
use k8s_openapi::api::core::v1::Node;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use tokio::time::Instant;

/// Where kubelets renew their leases.
const NAMESPACE: &str = "kube-node-lease";
/// Between two looks at the leases (upstream's `--node-monitor-period`).
const PERIOD: Duration = Duration::from_secs(5);
/// What one look can add to a silence: a process that was stopped, or an API that did not answer, has not listened.
const ELAPSED_MAX: Duration = Duration::from_secs(10);

/// One look at all leases.
#[derive(Debug, Default)]
pub struct Round {
    /// Since the last one.
    pub elapsed: Duration,
    /// Node to the lease's `renewTime`, as written.
    pub leases: BTreeMap<String, String>,
}

/// What tells that a node has been heard of, when it differs from the last time.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Sign {
    uid: Option<String>,
    /// Whether there is a condition `Ready`, which our own verdict does not take away.
    has_posted: bool,
    /// Its `lastHeartbeatTime`, which our own verdict leaves alone.
    posted: Option<jiff::Timestamp>,
}

#[derive(Debug)]
struct Heard {
    sign: Sign,
    lease: Option<String>,
    silent: Duration,
}

/// As many entries as there are nodes, and names of nodes in pods.
#[derive(Debug, Default)]
pub struct Heartbeats {
    heard: BTreeMap<String, Heard>,
    /// Nodes that pods are bound to and that are not there.
    missing: BTreeMap<String, Duration>,
}

fn sign(node: &Node) -> Sign {
    let conditions = node
        .status
        .iter()
        .flat_map(|s| s.conditions.iter().flatten());
    let ready = conditions.into_iter().find(|c| c.type_ == "Ready");
    Sign {
        uid: node.metadata.uid.clone(),
        has_posted: ready.is_some(),
        posted: ready.and_then(|c| Some(c.last_heartbeat_time.as_ref()?.0)),
    }
}

impl Heartbeats {
    /// Names of nodes that are or were silent, or missing.
    pub fn take_in(
        &mut self,
        round: Round,
        nodes: &Table<Node>,
        pods: &Table<PodView>,
    ) -> BTreeSet<String> {
        let elapsed = round.elapsed.min(ELAPSED_MAX);
        let mut leases = round.leases;
        let mut touched = BTreeSet::new();
        let mut heard = BTreeMap::new();
        for node in nodes.iter() {
            let name = node.metadata.name.clone().unwrap_or_default();
            let (old, sign, lease) = (self.heard.remove(&name), sign(node), leases.remove(&name));
            let now = match old {
                Some(old) if old.sign == sign && (lease.is_none() || old.lease == lease) => Heard {
                    silent: old.silent.saturating_add(elapsed),
                    ..old
                },
                old => {
                    if old.as_ref().is_some_and(|old| !old.silent.is_zero()) {
                        touched.insert(name.clone());
                    }
                    Heard {
                        sign,
                        // One that is gone was there.
                        lease: lease.or(old.and_then(|old| old.lease)),
                        silent: Duration::ZERO,
                    }
                }
            };
            if !now.silent.is_zero() {
                touched.insert(name.clone());
            }
            heard.insert(name, now);
        }
        self.heard = heard;
        let mut missing = BTreeMap::new();
        for name in pods.iter().filter_map(|pod| pod.spec.node_name.as_ref()) {
            let key: Key = (String::new(), name.clone());
            if nodes.get(&key).is_none() && !missing.contains_key(name) {
                let before = self.missing.get(name);
                let since = before.map_or(Duration::ZERO, |before| before.saturating_add(elapsed));
                missing.insert(name.clone(), since);
                touched.insert(name.clone());
            }
        }
        self.missing = missing;
        touched
    }

    /// How long nothing has been heard of the node. A node that was given a status but has no lease has no kubelet that
    /// could fall silent: whoever wrote the status answers for it.
    pub fn silence(&self, node: &Node) -> Duration {
        let name = node.metadata.name.as_deref().unwrap_or_default();
        let heard = self.heard.get(name);
        heard
            .filter(|heard| heard.lease.is_some() || !heard.sign.has_posted)
            .filter(|heard| heard.sign == sign(node))
            .map_or(Duration::ZERO, |heard| heard.silent)
    }

    /// How long the node, which pods are bound to, has not been there.
    pub fn missing(&self, node: &str) -> Duration {
        self.missing.get(node).copied().unwrap_or_default()
    }
}

/// A look at the leases every few seconds; reading costs the disk nothing.
pub fn rounds(client: &Client) -> Stream {
    let client = client.clone();
    let start: Option<Instant> = None;
    futures::stream::unfold((client, start), |(client, mut last)| async move {
        loop {
            if last.is_some() {
                tokio::time::sleep(PERIOD).await;
            }
            let began = Instant::now();
            match leases(&client).await {
                Ok(leases) => {
                    let elapsed = last.map_or(Duration::ZERO, |last| began - last);
                    let round = Round { elapsed, leases };
                    return Some((News::Heartbeats(round), (client, Some(began))));
                }
                Err(error) => {
                    tracing::warn!(%error, "the nodes' leases cannot be read; asking again");
                    // What was not looked at does not count.
                    last = Some(Instant::now());
                }
            }
        }
    })
    .boxed()
}

async fn leases(client: &Client) -> Result<BTreeMap<String, String>, ClientError> {
    let path = object_path(
        "coordination.k8s.io",
        "v1",
        "leases",
        Some(NAMESPACE),
        None,
        None,
    );
    let list = client.send_value(Method::GET, &path, None).await?;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let items = list["items"].as_array().into_iter().flatten();
    Ok(items
        .map(|lease| {
            (
                text(&lease["metadata"]["name"]),
                text(&lease["spec"]["renewTime"]),
            )
        })
        .collect())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::controllers::world::{News, World};
    use serde_json::json;

    fn node(posted: &str, version: u64) -> Value {
        json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n", "uid": "N", "resourceVersion": version.to_string()},
            "status": {"conditions": [{"type": "Ready", "status": "True", "lastHeartbeatTime": posted}]}})
    }

    #[test]
    fn silence_is_counted_here_and_ends_with_any_sign() {
        let mut world = World::of(&[
            node("2026-01-01T00:00:00Z", 1),
            json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"namespace": "a", "name": "p"}, "spec": {"nodeName": "lost"}}),
        ]);
        let silence = |world: &World| {
            let node = world.nodes.get(&(String::new(), "n".into())).unwrap();
            world.heartbeats.silence(node).as_secs()
        };
        let round = |world: &mut World, elapsed: u64, lease: Option<&str>| {
            let leases = lease
                .map(|at| ("n".to_owned(), at.to_owned()))
                .into_iter()
                .collect();
            world.take_in(News::Heartbeats(Round {
                elapsed: Duration::from_secs(elapsed),
                leases,
            }));
        };
        round(&mut world, 5, None);
        round(&mut world, 5, None);
        assert_eq!(silence(&world), 0, "there is no lease");
        // A lease of a clock that is years behind is as good as any.
        for (elapsed, lease, expected) in [
            (5, Some("1970-01-01T00:00:00Z"), 0),
            (5, Some("1970-01-01T00:00:00Z"), 5),
            (5, None, 10),
            (5, Some("1970-01-01T00:00:10Z"), 0),
            (3600, Some("1970-01-01T00:00:10Z"), 10),
        ] {
            round(&mut world, elapsed, lease);
            assert_eq!(silence(&world), expected, "{elapsed} {lease:?}");
        }
        world.learn(&node("2026-01-01T00:05:00Z", 9));
        assert_eq!(silence(&world), 0, "a new status, before the next round");
        round(&mut world, 5, None);
        round(&mut world, 5, None);
        assert_eq!(silence(&world), 5);
        assert_eq!(
            (
                world.heartbeats.missing("lost").as_secs(),
                world.heartbeats.missing("n").as_secs()
            ),
            (45, 0)
        );
    }
}
