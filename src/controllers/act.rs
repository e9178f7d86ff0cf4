//! Carries a plan's actions out through the client.

use super::action::{Action, ERROR, NAME, Target};
use crate::client::recorder::Recorder;
use crate::client::{Client, ClientError, DeleteParams, PatchType, object_path};
use futures::future::{BoxFuture, FutureExt, join_all};
use http::Method;
use k8s_openapi::api::core::v1::Namespace;
use serde_json::{Value, json};

/// Writes of one batch under way at once: enough for the store to commit them as one group.
const BATCH_MAX: usize = 32;

/// What a write has taught.
#[derive(Debug)]
pub enum Learnt {
    /// The object as it is now.
    Is(Value),
    Gone(Target),
    /// What a plan wanted remembered.
    Noted(super::world::usage::Note),
}

/// How far a plan came.
#[derive(Debug, Default)]
pub struct Outcome {
    /// For the world, before the next decision.
    pub learnt: Vec<Learnt>,
    /// Why it ended early; a changed world is no failure.
    pub failure: Option<ClientError>,
    /// Ended early because the world is not what it was planned for.
    pub outdated: bool,
}

impl Outcome {
    fn ended(&self) -> bool {
        self.outdated || self.failure.is_some()
    }

    /// An object that is not there, or another one by now, is a changed world; so is a namespace that is on its way out,
    /// which takes the plan's object along.
    fn refused(error: ClientError) -> Outcome {
        let outdated =
            error.is_not_found() || error.is_conflict() || error.is_namespace_terminating();
        Outcome {
            learnt: Vec::new(),
            outdated,
            failure: (!outdated).then_some(error),
        }
    }

    fn merge(&mut self, other: Outcome) {
        self.learnt.extend(other.learnt);
        self.outdated |= other.outdated;
        if self.failure.is_none() {
            self.failure = other.failure;
        }
    }
}

/// The actions in order, until one does not succeed.
pub async fn carry_out(client: &Client, recorder: &Recorder, actions: Vec<Action>) -> Outcome {
    let mut outcome = Outcome::default();
    for action in actions {
        outcome.merge(act(client, recorder, action).await);
        if outcome.ended() {
            break;
        }
    }
    outcome
}

fn act<'a>(client: &'a Client, recorder: &'a Recorder, action: Action) -> BoxFuture<'a, Outcome> {
    async move {
        match action {
            Action::Batch(actions) => batch(client, recorder, actions).await,
            Action::Report {
                action,
                done,
                failed,
            } => report(client, recorder, *action, done, failed).await,
            Action::Tell {
                about,
                kind,
                reason,
                message,
            } => {
                recorder.note(about, kind, reason, message);
                Outcome::default()
            }
            Action::Remember(note) => Outcome {
                learnt: vec![Learnt::Noted(note)],
                ..Outcome::default()
            },
            Action::Empty(namespace) => empty(client, &namespace).await,
            Action::Mint {
                account,
                secret,
                resource_version,
                patch,
            } => mint(client, &account, secret, resource_version, patch).await,
            Action::Confirm(target) => confirm(client, &target, true).await,
            Action::ConfirmGone(target) => confirm(client, &target, false).await,
            other => write(client, other).await,
        }
    }
    .boxed()
}

async fn batch(client: &Client, recorder: &Recorder, actions: Vec<Action>) -> Outcome {
    let mut outcome = Outcome::default();
    let mut left = actions.into_iter();
    let mut size = 1;
    loop {
        let round: Vec<_> = left
            .by_ref()
            .take(size)
            .map(|action| act(client, recorder, action))
            .collect();
        if round.is_empty() {
            return outcome;
        }
        for one in join_all(round).await {
            outcome.merge(one);
        }
        if outcome.ended() {
            return outcome;
        }
        size = (size * 2).min(BATCH_MAX);
    }
}

async fn report(
    client: &Client,
    recorder: &Recorder,
    action: Action,
    done: Vec<Action>,
    failed: Vec<Action>,
) -> Outcome {
    let mut outcome = act(client, recorder, action).await;
    let next: Vec<Action> = match &outcome.failure {
        Some(error) => {
            let error = error.to_string();
            let fill = |action| filled(action, ERROR, &error);
            failed.into_iter().map(fill).collect()
        }
        None if outcome.outdated => Vec::new(),
        None => {
            let name = match outcome.learnt.last() {
                Some(Learnt::Is(object)) => object["metadata"]["name"].as_str().unwrap_or_default(),
                Some(Learnt::Gone(target)) => &target.name,
                Some(Learnt::Noted(_)) | None => "",
            };
            let fill = |action| filled(action, NAME, name);
            done.into_iter().map(fill).collect()
        }
    };
    outcome.merge(carry_out(client, recorder, next).await);
    outcome
}

/// The action with `text` in place of `mark`, in the parts that texts are in.
fn filled(mut action: Action, mark: &str, text: &str) -> Action {
    match &mut action {
        Action::Tell { message, .. } => *message = message.replace(mark, text),
        Action::Patch { patch: value, .. } | Action::SetStatus { status: value, .. } => {
            fill(value, mark, text);
        }
        _ => {}
    }
    action
}

/// As deep as a status.
fn fill(value: &mut Value, mark: &str, text: &str) {
    match value {
        Value::String(string) => *string = string.replace(mark, text),
        Value::Array(items) => items.iter_mut().for_each(|item| fill(item, mark, text)),
        Value::Object(fields) => fields.values_mut().for_each(|item| fill(item, mark, text)),
        _ => {}
    }
}

async fn empty(client: &Client, namespace: &Namespace) -> Outcome {
    match super::namespace::empty(client, namespace, jiff::Timestamp::now()).await {
        Ok(emptied) => Outcome {
            learnt: emptied.written.into_iter().map(Learnt::Is).collect(),
            outdated: !emptied.done,
            failure: None,
        },
        Err(error) => Outcome::refused(error),
    }
}

/// The secret's other fields are written with the token.
async fn mint(
    client: &Client,
    account: &str,
    secret: Target,
    version: Option<String>,
    mut patch: Value,
) -> Outcome {
    if let Err(error) = super::token_secret::mint(client, account, &secret, &mut patch).await {
        return Outcome::refused(error);
    }
    let patch = Action::Patch {
        target: secret,
        part: None,
        resource_version: version,
        patch,
    };
    write(client, patch).await
}

/// Whether the object's presence is as the plan supposes.
async fn confirm(client: &Client, target: &Target, present: bool) -> Outcome {
    let found = match client
        .send_value(Method::GET, &path(target, None), None)
        .await
    {
        Ok(object) => {
            let same = target.uid.is_empty() || object["metadata"]["uid"] == target.uid.as_str();
            // An object that is ending is as good as gone for those who would add to it, and still there for others.
            same && (!present || object["metadata"]["deletionTimestamp"].is_null())
        }
        Err(error) if error.is_not_found() => false,
        Err(error) => {
            return Outcome {
                failure: Some(error),
                ..Outcome::default()
            };
        }
    };
    Outcome {
        outdated: found != present,
        ..Outcome::default()
    }
}

fn path(target: &Target, part: Option<&str>) -> String {
    let filled = |part: &'_ str| (!part.is_empty()).then(|| part.to_owned());
    let (namespace, name) = (filled(&target.namespace), filled(&target.name));
    object_path(
        &target.group,
        &target.version,
        &target.plural,
        namespace.as_deref(),
        name.as_deref(),
        part,
    )
}

async fn write(client: &Client, action: Action) -> Outcome {
    let json = "application/json";
    let (target, result) = match action {
        Action::Create { target, mut object } => {
            object["apiVersion"] = target.api_version.as_ref().into();
            object["kind"] = target.kind.as_ref().into();
            let collection = Target {
                name: String::new(),
                ..target.clone()
            };
            let path = path(&collection, None);
            let result = client.send_value(Method::POST, &path, Some((json, &object)));
            (target, result.await)
        }
        Action::Patch {
            target,
            part,
            resource_version,
            mut patch,
        } => {
            if let Some(version) = resource_version {
                patch["metadata"]["resourceVersion"] = version.into();
            }
            if !target.uid.is_empty() {
                patch["metadata"]["uid"] = target.uid.as_str().into();
            }
            let content = Some((PatchType::Merge.content_type(), &patch));
            let path = path(&target, part);
            let result = client.send_value(Method::PATCH, &path, content).await;
            (target, result)
        }
        Action::SetStatus {
            target,
            resource_version,
            status,
        } => {
            let object = json!({
                "apiVersion": target.api_version, "kind": target.kind, "status": status,
                "metadata": {"name": target.name, "namespace": target.namespace, "uid": target.uid,
                    "resourceVersion": resource_version},
            });
            let path = path(&target, Some("status"));
            let result = client.send_value(Method::PUT, &path, Some((json, &object)));
            (target, result.await)
        }
        Action::Delete {
            target,
            resource_version,
            grace_period_seconds,
            propagation,
        } => {
            let params = DeleteParams {
                grace_period_seconds,
                precondition_uid: Some(target.uid.clone()).filter(|uid| !uid.is_empty()),
                precondition_resource_version: resource_version,
            };
            let mut options = params.to_value();
            if let Some(policy) = propagation {
                options["propagationPolicy"] = policy.into();
            }
            let path = path(&target, None);
            let result = client.send_value(Method::DELETE, &path, Some((json, &options)));
            (target, result.await)
        }
        // These are no writes of their own.
        Action::Batch(_)
        | Action::Report { .. }
        | Action::Empty(_)
        | Action::Remember(_)
        | Action::Mint { .. }
        | Action::Tell { .. }
        | Action::Confirm(_)
        | Action::ConfirmGone(_) => return Outcome::default(),
    };
    match result {
        // Only a deletion is answered with a Status.
        Ok(answer) if answer["kind"] == "Status" => Outcome {
            learnt: vec![Learnt::Gone(target)],
            ..Outcome::default()
        },
        Ok(object) => Outcome {
            learnt: vec![Learnt::Is(object)],
            ..Outcome::default()
        },
        Err(error) => Outcome::refused(error),
    }
}
