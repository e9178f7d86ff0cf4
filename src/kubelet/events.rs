//! Events as kubelet writes them, with repeats counted in memory.
//! <https://kubernetes.io/docs/reference/kubernetes-api/cluster-resources/event-v1/>

use super::pod::status::time;
use crate::client::{Client, PatchType};
use k8s_openapi::api::core::v1::{Event, EventSource, Node, ObjectReference, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use std::collections::{HashMap, VecDeque};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Events waiting to be written. When the API is away longer than this lasts, later ones are dropped: events are
/// best effort upstream too.
const QUEUE_MAX: usize = 256;
/// Different events whose repeats are counted; the oldest is forgotten, and begins again as a new event.
const REMEMBERED_MAX: usize = 512;
/// A repeat is written when its count is a power of two, or when the last write is this long ago.
const REPEAT_WRITE_MS: i64 = 300_000;
/// Longest message the API takes (upstream's limit of an event's message).
const MESSAGE_BYTES_MAX: usize = 1024;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Normal,
    Warning,
}

#[derive(Debug, Clone)]
struct Note {
    about: ObjectReference,
    kind: Kind,
    reason: &'static str,
    message: String,
    at_ms: i64,
}

/// Takes events; never waits. Clones share the queue.
#[derive(Clone)]
pub struct Recorder {
    queue: mpsc::Sender<Note>,
}

impl Recorder {
    /// The recorder, and the future that writes what it takes until `stop`.
    pub fn new(
        client: Client,
        node: String,
        stop: CancellationToken,
    ) -> (Recorder, impl Future<Output = ()> + Send) {
        let (queue, notes) = mpsc::channel(QUEUE_MAX);
        (Recorder { queue }, write_all(client, node, notes, stop))
    }

    /// About a pod, or one of its containers.
    pub fn pod(
        &self,
        pod: &Pod,
        container: Option<(bool, &str)>,
        kind: Kind,
        reason: &'static str,
        message: String,
    ) {
        self.note(reference(pod, container), kind, reason, message);
    }

    /// About this node, whose object need not be at hand (upstream's kubelet names itself in the uid's place as well).
    pub fn node_named(&self, name: &str, kind: Kind, reason: &'static str, message: String) {
        self.note(
            ObjectReference {
                kind: Some("Node".to_string()),
                name: Some(name.to_string()),
                uid: Some(name.to_string()),
                ..ObjectReference::default()
            },
            kind,
            reason,
            message,
        );
    }

    pub fn node(&self, node: &Node, kind: Kind, reason: &'static str, message: String) {
        self.note(
            ObjectReference {
                kind: Some("Node".to_string()),
                name: node.metadata.name.clone(),
                uid: node.metadata.uid.clone(),
                ..ObjectReference::default()
            },
            kind,
            reason,
            message,
        );
    }

    pub fn note(
        &self,
        about: ObjectReference,
        kind: Kind,
        reason: &'static str,
        mut message: String,
    ) {
        if message.len() > MESSAGE_BYTES_MAX {
            let mut end = MESSAGE_BYTES_MAX - 3;
            while !message.is_char_boundary(end) {
                end -= 1;
            }
            message.truncate(end);
            message.push_str("...");
        }
        let note = Note {
            about,
            kind,
            reason,
            message,
            at_ms: super::now_ms(),
        };
        if self.queue.try_send(note).is_err() {
            tracing::debug!(reason, "event dropped: the queue is full");
        }
    }
}

/// A pod, or one of its containers (whether it is an init container, and its name), as events name it.
pub fn reference(pod: &Pod, container: Option<(bool, &str)>) -> ObjectReference {
    let meta = &pod.metadata;
    let field_path = container.map(|(init, name)| {
        let list = if init {
            "initContainers"
        } else if super::pod::ephemeral::list(pod).any(|e| e.name == name) {
            "ephemeralContainers"
        } else {
            "containers"
        };
        format!("spec.{list}{{{name}}}")
    });
    ObjectReference {
        api_version: Some("v1".to_string()),
        kind: Some("Pod".to_string()),
        name: meta.name.clone(),
        namespace: meta.namespace.clone(),
        uid: meta.uid.clone(),
        resource_version: meta.resource_version.clone(),
        field_path,
    }
}

/// What makes two events the same.
type Key = (String, String, &'static str, String);

/// How often an event came, and what of that the API knows.
#[derive(Debug, Clone)]
struct Seen {
    name: String,
    count: i32,
    written_ms: i64,
}

/// Counts repeats. Pure.
#[derive(Default)]
struct Counter {
    seen: HashMap<Key, Seen>,
    order: VecDeque<Key>,
}

#[derive(Debug, PartialEq, Eq)]
enum Write {
    Create { name: String },
    Count { name: String, count: i32 },
    Nothing,
}

impl Counter {
    fn count(&mut self, key: Key, name: impl FnOnce() -> String, now_ms: i64) -> Write {
        if let Some(seen) = self.seen.get_mut(&key) {
            seen.count = seen.count.saturating_add(1);
            if seen.count.count_ones() == 1 || now_ms - seen.written_ms >= REPEAT_WRITE_MS {
                seen.written_ms = now_ms;
                return Write::Count {
                    name: seen.name.clone(),
                    count: seen.count,
                };
            }
            return Write::Nothing;
        }
        if self.order.len() >= REMEMBERED_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.seen.remove(&oldest);
        }
        let name = name();
        self.order.push_back(key.clone());
        self.seen.insert(
            key,
            Seen {
                name: name.clone(),
                count: 1,
                written_ms: now_ms,
            },
        );
        Write::Create { name }
    }

    fn forget(&mut self, key: &Key) {
        self.seen.remove(key);
        self.order.retain(|k| k != key);
    }
}

async fn write_all(
    client: Client,
    node: String,
    mut notes: mpsc::Receiver<Note>,
    stop: CancellationToken,
) {
    let mut counter = Counter::default();
    while let Some(Some(note)) = stop.run_until_cancelled(notes.recv()).await {
        let key: Key = (
            note.about.uid.clone().unwrap_or_default(),
            note.about.field_path.clone().unwrap_or_default(),
            note.reason,
            note.message.clone(),
        );
        let object = note.about.name.clone().unwrap_or_default();
        // Upstream: the object's name and a time in hexadecimal; the random bits here make it unique as well.
        let name = || format!("{object}.{:016x}", rand::random::<u64>());
        let write = counter.count(key.clone(), name, note.at_ms);
        let result = stop
            .run_until_cancelled(write_one(&client, &node, &note, write))
            .await;
        if let Some(Err(error)) = result {
            tracing::debug!(reason = note.reason, %error, "event not written");
            counter.forget(&key);
        }
    }
}

async fn write_one(
    client: &Client,
    node: &str,
    note: &Note,
    write: Write,
) -> Result<(), crate::client::ClientError> {
    let namespace = note
        .about
        .namespace
        .clone()
        .unwrap_or_else(|| "default".to_string());
    match write {
        Write::Nothing => Ok(()),
        Write::Count { name, count } => {
            let patch = serde_json::json!({"count": count, "lastTimestamp": time(note.at_ms)});
            client
                .patch::<Event>(Some(&namespace), &name, None, PatchType::Merge, &patch)
                .await
                .map(|_| ())
        }
        Write::Create { name } => {
            let event = Event {
                metadata: ObjectMeta {
                    name: Some(name),
                    namespace: Some(namespace.clone()),
                    ..ObjectMeta::default()
                },
                involved_object: note.about.clone(),
                reason: Some(note.reason.to_string()),
                message: Some(note.message.clone()),
                type_: Some(format!("{:?}", note.kind)),
                first_timestamp: Some(time(note.at_ms)),
                last_timestamp: Some(time(note.at_ms)),
                count: Some(1),
                source: Some(EventSource {
                    component: Some("kubelet".to_string()),
                    host: Some(node.to_string()),
                }),
                reporting_component: Some("kubelet".to_string()),
                reporting_instance: Some(node.to_string()),
                ..Event::default()
            };
            client.create(Some(&namespace), &event).await.map(|_| ())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(message: &str) -> Key {
        (
            "u".to_string(),
            String::new(),
            "BackOff",
            message.to_string(),
        )
    }

    #[test]
    fn repeats_are_written_at_powers_of_two_or_after_five_minutes() {
        let mut counter = Counter::default();
        let written: Vec<i32> = (1..=20)
            .filter_map(|i| match counter.count(key("m"), || "n".to_string(), i) {
                Write::Create { .. } => Some(1),
                Write::Count { count, .. } => Some(count),
                Write::Nothing => None,
            })
            .collect();
        assert_eq!(written, [1, 2, 4, 8, 16]);
        let late = counter.count(key("m"), || "n".to_string(), 16 + REPEAT_WRITE_MS);
        assert!(matches!(late, Write::Count { count: 21, .. }));
    }

    #[test]
    fn memory_is_bounded() {
        let mut counter = Counter::default();
        for i in 0..2 * REMEMBERED_MAX {
            counter.count(key(&i.to_string()), || "n".to_string(), 0);
        }
        assert_eq!(counter.seen.len(), REMEMBERED_MAX);
        assert_eq!(counter.order.len(), REMEMBERED_MAX);
    }
}
