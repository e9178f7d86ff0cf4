//! What is known about a pod and its surroundings.

use crate::object::access::{list, text};
use crate::object::time;
use serde_json::Value;

/// Everything a judgement may use. Objects are as the API serves them.
#[derive(Debug, Default)]
pub struct Facts {
    pub pod: Value,
    /// Events about the pod, in any order.
    pub events: Vec<Value>,
    /// The node it is bound to; `None`: not bound, or not readable.
    pub node: Option<Lookup>,
    /// All nodes, where the pod is not bound to one.
    pub nodes: Option<Vec<Value>>,
    /// What the pod refers to.
    pub references: Vec<Reference>,
    /// Unix seconds.
    pub now: i64,
}

/// What came of asking for an object.
#[derive(Debug, Clone, PartialEq)]
pub enum Lookup {
    There(Value),
    Missing,
    /// The question itself failed, for example for want of permission.
    Unknown,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    ConfigMap,
    Secret,
    PullSecret,
    Claim,
}

impl Kind {
    /// As commands and messages name it.
    pub fn noun(self) -> &'static str {
        match self {
            Kind::ConfigMap => "configmap",
            Kind::Secret | Kind::PullSecret => "secret",
            Kind::Claim => "pvc",
        }
    }

    pub fn plural(self) -> &'static str {
        match self {
            Kind::ConfigMap => "configmaps",
            Kind::Secret | Kind::PullSecret => "secrets",
            Kind::Claim => "persistentvolumeclaims",
        }
    }
}

/// An object that the pod names.
#[derive(Debug, Clone, PartialEq)]
pub struct Reference {
    pub kind: Kind,
    pub name: String,
    /// The pod can start without it.
    pub optional: bool,
    /// Keys that must be in it.
    pub keys: Vec<String>,
    pub found: Lookup,
    /// Events about it, for claims that are not bound.
    pub events: Vec<Value>,
}

impl Facts {
    pub fn namespace(&self) -> &str {
        match text(&self.pod, "/metadata/namespace") {
            "" => "default",
            namespace => namespace,
        }
    }

    pub fn name(&self) -> &str {
        text(&self.pod, "/metadata/name")
    }

    /// A `coracle` command in the pod's namespace.
    pub fn command(&self, rest: &str) -> String {
        match self.namespace() {
            "default" => format!("coracle {rest}"),
            namespace => format!("coracle -n {namespace} {rest}"),
        }
    }

    /// Unix seconds since the time at `pointer` of the pod.
    pub fn since(&self, pointer: &str) -> Option<i64> {
        time::seconds(text(&self.pod, pointer)).map(|then| self.now.saturating_sub(then))
    }

    /// The pod's condition of a type, or null.
    pub fn condition(&self, kind: &str) -> &Value {
        condition(&self.pod, kind)
    }

    /// The newest event with one of `reasons`, about the container `name` or, where it is empty, about anything.
    pub fn event(&self, reasons: &[&str], name: &str) -> Option<&Value> {
        self.events
            .iter()
            .filter(|event| reasons.contains(&text(event, "/reason")))
            .filter(|event| name.is_empty() || about(event, name))
            .max_by_key(|event| last_seen(event).to_owned())
    }
}

/// Whether the event's field path names this container: `spec.containers{web}`.
fn about(event: &Value, name: &str) -> bool {
    let path = text(event, "/involvedObject/fieldPath");
    path.is_empty() || path.ends_with(&format!("{{{name}}}"))
}

/// When an event happened last.
pub fn last_seen(event: &Value) -> &str {
    [
        "/series/lastObservedTime",
        "/lastTimestamp",
        "/eventTime",
        "/firstTimestamp",
        "/metadata/creationTimestamp",
    ]
    .iter()
    .map(|pointer| text(event, pointer))
    .find(|time| !time.is_empty())
    .unwrap_or("")
}

/// An object's condition of a type, or null.
pub fn condition<'a>(object: &'a Value, kind: &str) -> &'a Value {
    list(object, "/status/conditions")
        .iter()
        .find(|condition| text(condition, "/type") == kind)
        .unwrap_or(&Value::Null)
}
