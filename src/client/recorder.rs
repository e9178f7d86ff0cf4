//! Events about objects, written in the background, with repeats counted in memory.
//! <https://kubernetes.io/docs/reference/kubernetes-api/cluster-resources/event-v1/>

use super::{Client, ClientError, PatchType};
use k8s_openapi::api::core::v1::{Event, EventSource, ObjectReference};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
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
    component: &'static str,
    about: ObjectReference,
    kind: Kind,
    reason: &'static str,
    message: String,
    at_ms: i64,
}

/// Who tells.
#[derive(Debug, Clone)]
pub struct Source {
    /// `kubelet`, `deployment-controller`, …
    pub component: &'static str,
    /// The node, where events are about what happens on one.
    pub host: Option<String>,
}

/// Takes events; never waits. Clones share the queue.
#[derive(Clone)]
pub struct Recorder {
    queue: mpsc::Sender<Note>,
    component: &'static str,
}

impl Recorder {
    /// A recorder, and the future that writes what it takes until `stop`.
    pub fn new(
        client: Client,
        source: Source,
        stop: CancellationToken,
    ) -> (Recorder, impl Future<Output = ()> + Send) {
        let (queue, notes) = mpsc::channel(QUEUE_MAX);
        let recorder = Recorder {
            queue,
            component: source.component,
        };
        (recorder, write_all(client, source.host, notes, stop))
    }

    /// The same queue, in another component's name.
    pub fn named(&self, component: &'static str) -> Recorder {
        Recorder {
            queue: self.queue.clone(),
            component,
        }
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
            component: self.component,
            about,
            kind,
            reason,
            message,
            at_ms: jiff::Timestamp::now().as_millisecond(),
        };
        if self.queue.try_send(note).is_err() {
            tracing::debug!(reason, "event dropped: the queue is full");
        }
    }
}

/// Milliseconds since the epoch as the API's time, which has whole seconds.
fn time(ms: i64) -> Time {
    Time(jiff::Timestamp::from_second(ms.div_euclid(1000)).unwrap_or(jiff::Timestamp::UNIX_EPOCH))
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
    host: Option<String>,
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
            .run_until_cancelled(write_one(&client, host.as_deref(), &note, write))
            .await;
        if let Some(Err(error)) = result {
            tracing::debug!(reason = note.reason, %error, "event not written");
            counter.forget(&key);
        }
    }
}

async fn write_one(
    client: &Client,
    host: Option<&str>,
    note: &Note,
    write: Write,
) -> Result<(), ClientError> {
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
                    component: Some(note.component.to_string()),
                    host: host.map(str::to_string),
                }),
                reporting_component: Some(note.component.to_string()),
                reporting_instance: Some(host.unwrap_or_default().to_string()),
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
