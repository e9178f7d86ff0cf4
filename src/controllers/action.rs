//! What a controller wants done, as data: reconciles decide, `act` does.

use super::world::Key;
use crate::client::recorder;
use k8s_openapi::Resource;
use k8s_openapi::api::core::v1::{Namespace, ObjectReference};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::Value;
use std::borrow::Cow;
use std::time::Duration;

/// An object, by its address in the API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// `apps/v1`
    pub api_version: Cow<'static, str>,
    pub kind: Cow<'static, str>,
    pub group: Cow<'static, str>,
    pub version: Cow<'static, str>,
    pub plural: Cow<'static, str>,
    /// Empty for cluster-wide kinds.
    pub namespace: String,
    pub name: String,
    /// Empty where any object of that name is meant.
    pub uid: String,
}

impl Target {
    pub fn named<T: Resource>(namespace: &str, name: &str) -> Target {
        Target {
            api_version: T::API_VERSION.into(),
            kind: T::KIND.into(),
            group: T::GROUP.into(),
            version: T::VERSION.into(),
            plural: T::URL_PATH_SEGMENT.into(),
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            uid: String::new(),
        }
    }

    /// This very object, not a later one of its name.
    pub fn of<T: Resource>(meta: &ObjectMeta) -> Target {
        let text = |part: &Option<String>| part.clone().unwrap_or_default();
        Target {
            uid: text(&meta.uid),
            ..Target::named::<T>(&text(&meta.namespace), &text(&meta.name))
        }
    }

    pub fn key(&self) -> Key {
        (self.namespace.clone(), self.name.clone())
    }

    /// As events name it.
    pub fn reference(&self) -> ObjectReference {
        let filled = |part: &str| Some(part.to_owned()).filter(|p| !p.is_empty());
        ObjectReference {
            api_version: Some(self.api_version.to_string()),
            kind: Some(self.kind.to_string()),
            namespace: filled(&self.namespace),
            name: filled(&self.name),
            uid: filled(&self.uid),
            ..ObjectReference::default()
        }
    }
}

/// Stands for a name that the API gives.
pub const NAME: &str = "\u{1}name\u{1}";
/// Stands for what the API said when it refused.
pub const ERROR: &str = "\u{1}error\u{1}";

/// One step. Steps of a plan are done in order; one that fails, or finds the world changed, ends the plan, and the
/// news of that change brings the next.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// POST; `target.name` may be empty where the object has a `generateName`. An object of that name that is there
    /// already counts as a change of the world.
    Create { target: Target, object: Value },
    /// A JSON merge patch (RFC 7396) on the object or a part of it, on this version of it only where one is given.
    Patch {
        target: Target,
        /// `status`, `scale`, …
        part: Option<&'static str>,
        resource_version: Option<String>,
        patch: Value,
    },
    /// The whole status, on this version of the object only.
    SetStatus {
        target: Target,
        resource_version: Option<String>,
        status: Value,
    },
    Delete {
        target: Target,
        resource_version: Option<String>,
        /// Seconds; `None`: the object's own.
        grace_period_seconds: Option<i64>,
        /// `Background`, `Foreground` or `Orphan`; `None`: the kind's own.
        propagation: Option<&'static str>,
    },
    /// Asks the API itself whether the object is still there and not being deleted; else the plan ends here.
    Confirm(Target),
    /// As `Confirm`, for an object that must be gone.
    ConfirmGone(Target),
    /// Deletes what is left in a deleted namespace, then lets it go.
    Empty(Box<Namespace>),
    /// Any number at once, begun slowly: 1, then 2, then 4…; the first round with a failure is the last (upstream's
    /// `slowStartBatch`: a quota that refuses one refuses all).
    Batch(Vec<Action>),
    /// `action`, then `done`; where the API refuses it `failed`, and the plan ends as it would have without. In texts of
    /// `done`, `NAME` stands for the object's name, in those of `failed`, `ERROR` for what the API said.
    Report {
        action: Box<Action>,
        done: Vec<Action>,
        failed: Vec<Action>,
    },
    /// For the world's memory; writes nothing.
    Remember(super::world::usage::Note),
    /// An event; never fails.
    Tell {
        about: ObjectReference,
        kind: recorder::Kind,
        reason: &'static str,
        message: String,
    },
}

impl Action {
    /// An event about the object.
    pub fn tell(
        target: &Target,
        kind: recorder::Kind,
        reason: &'static str,
        message: String,
    ) -> Action {
        Action::Tell {
            about: target.reference(),
            kind,
            reason,
            message,
        }
    }
}

/// What one reconcile came to.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Plan {
    pub actions: Vec<Action>,
    /// Look again after this, news or not.
    pub again: Option<Duration>,
}

impl Plan {
    pub fn of(actions: Vec<Action>) -> Plan {
        Plan {
            actions,
            again: None,
        }
    }

    /// The sooner of what was asked for.
    pub fn again_in(&mut self, wait: Duration) {
        self.again = Some(self.again.map_or(wait, |before| before.min(wait)));
    }

    /// The sooner of what was asked for; a time that has passed means now.
    pub fn again_at(&mut self, at: jiff::Timestamp, now: jiff::Timestamp) {
        let wait = Duration::try_from(at.duration_since(now)).unwrap_or_default();
        self.again_in(wait);
    }
}
