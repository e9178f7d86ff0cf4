//! What is known about an object that is no pod, and about what it is made of.

use super::cause::Cause;
use super::facts::{condition, last_seen};
use crate::object::access::text;
use crate::object::time;
use serde_json::Value;

/// Everything a judgement of such an object may use.
#[derive(Debug, Default)]
pub struct Case {
    /// As commands name its kind: `deployment`.
    pub noun: String,
    pub object: Value,
    /// Events about it, in any order.
    pub events: Vec<Value>,
    /// Why one of its pods is not well: its name, and what is wrong with it.
    pub pod: Option<(String, Vec<Cause>)>,
    /// A CronJob's jobs.
    pub jobs: Vec<Value>,
    /// What still stands in a namespace: `pods "web"`, each with its finalizers.
    pub left: Vec<(String, Vec<String>)>,
    /// Pods that use a claim.
    pub users: Vec<String>,
    /// A claim's StorageClass; `None`: not asked for, or not readable. `Some(Null)`: it does not exist.
    pub class: Option<Value>,
    /// Unix seconds.
    pub now: i64,
}

impl Case {
    pub fn name(&self) -> &str {
        text(&self.object, "/metadata/name")
    }

    pub fn condition(&self, kind: &str) -> &Value {
        condition(&self.object, kind)
    }

    /// Whether a condition has a status.
    pub fn is(&self, kind: &str, status: &str) -> bool {
        text(self.condition(kind), "/status") == status
    }

    /// Unix seconds since the time at `pointer`.
    pub fn since(&self, pointer: &str) -> Option<i64> {
        time::seconds(text(&self.object, pointer)).map(|then| self.now.saturating_sub(then))
    }

    /// The newest event with one of `reasons`.
    pub fn event(&self, reasons: &[&str]) -> Option<&Value> {
        self.events
            .iter()
            .filter(|event| reasons.contains(&text(event, "/reason")))
            .max_by_key(|event| last_seen(event).to_owned())
    }

    /// A `coracle` command in the object's namespace.
    pub fn command(&self, rest: &str) -> String {
        match text(&self.object, "/metadata/namespace") {
            "" | "default" => format!("coracle {rest}"),
            namespace => format!("coracle -n {namespace} {rest}"),
        }
    }

    /// `deployment/web in namespace shop`
    pub fn title(&self) -> String {
        let name = format!("{}/{}", self.noun, self.name());
        match text(&self.object, "/metadata/namespace") {
            "" => name,
            namespace => format!("{name} in namespace {namespace}"),
        }
    }

    /// `because` one of its pods: the first cause of that pod, and how to learn more.
    pub fn blame_pod(&self, cause: Cause) -> Cause {
        match &self.pod {
            Some((pod, causes)) => {
                let why = causes.first();
                let cause = match why {
                    Some(why) => why
                        .because
                        .iter()
                        .fold(
                            cause.because(format!("pod {pod}: {}", why.what)),
                            |cause, more| cause.because(more.clone()),
                        )
                        .said(&why.said),
                    None => cause.because(format!("pod {pod} is not ready yet")),
                };
                cause
                    .mend("see what is wrong with the pod; the others are likely alike")
                    .command(self.command(&format!("why pod/{pod}")))
            }
            None => cause.mend("see its events").command(self.command(&format!(
                "describe {} {}",
                self.noun,
                self.name()
            ))),
        }
    }

    /// What stands under a whole answer.
    pub fn headline(&self, causes: &[Cause]) -> String {
        if causes.is_empty() {
            format!("{}: nothing is wrong.", self.title())
        } else if text(&self.object, "/metadata/deletionTimestamp").is_empty() {
            format!("{} is not as it should be.", self.title())
        } else {
            format!("{} is being deleted and has not gone.", self.title())
        }
    }
}
