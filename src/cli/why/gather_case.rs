//! Asks the API about an object that is no pod, and about what belongs to it.

use super::case::Case;
use super::gather::{ask, events, gather};
use super::judge;
use crate::cli::choose::Place;
use crate::cli::connect::{Session, items};
use crate::cli::discovery::{Discovery, Resource};
use crate::client::ClientError;
use crate::object::access::{list as list_at, text, truth};
use crate::object::selector::LabelSelector;
use serde_json::Value;

/// Objects of a namespace that are looked at, of each kind: enough to say what is left.
const LEFT_MAX: usize = 50;

pub async fn gather_case(
    session: &Session,
    discovery: &Discovery,
    resource: &Resource,
    name: &str,
) -> Result<Case, anyhow::Error> {
    let place = Place {
        resource: resource.clone(),
        namespace: session.namespace.clone(),
        name: name.to_owned(),
    };
    let object = place.fetch(session, None).await?;
    let namespace = if resource.namespaced {
        session.namespace.as_str()
    } else {
        "default"
    };
    let about = format!(
        "involvedObject.kind={},involvedObject.name={name},involvedObject.uid={}",
        resource.kind,
        text(&object, "/metadata/uid")
    );
    let mut case = Case {
        noun: resource.singular.clone(),
        events: events(&session.client, namespace, &about).await,
        now: jiff::Timestamp::now().as_second(),
        ..Case::default()
    };
    match resource.kind.as_str() {
        "Namespace" => case.left = left(session, discovery, name).await,
        "PersistentVolumeClaim" => {
            case.users = users(session, name).await?;
            case.class = class(session, &object).await;
        }
        "CronJob" => case.jobs = owned(session, "/apis/batch/v1", "jobs", &object).await?,
        _ => case.pod = pod(session, &object).await?,
    }
    case.object = object;
    Ok(case)
}

/// Objects of the session's namespace that `owner` controls.
async fn owned(
    session: &Session,
    group: &str,
    plural: &str,
    owner: &Value,
) -> Result<Vec<Value>, ClientError> {
    let path = format!("{group}/namespaces/{}/{plural}", session.namespace);
    let uid = text(owner, "/metadata/uid");
    let all = items(ask(&session.client, &path, &[]).await?);
    Ok(all
        .into_iter()
        .filter(|object| {
            list_at(object, "/metadata/ownerReferences")
                .iter()
                .any(|owner| truth(owner, "/controller") && text(owner, "/uid") == uid)
        })
        .collect())
}

/// The newest pod that the object's selector means and that is not well, with what is wrong with it.
async fn pod(
    session: &Session,
    object: &Value,
) -> Result<Option<(String, Vec<super::cause::Cause>)>, anyhow::Error> {
    let selector = &object["spec"]["selector"];
    // A ReplicationController's selector is the map of labels itself.
    let selector =
        if selector.get("matchLabels").is_some() || selector.get("matchExpressions").is_some() {
            selector.clone()
        } else {
            serde_json::json!({"matchLabels": selector})
        };
    let Ok(selector) = LabelSelector::from_json(&selector) else {
        return Ok(None);
    };
    if selector.is_empty() {
        return Ok(None);
    }
    let path = format!("/api/v1/namespaces/{}/pods", session.namespace);
    let mut pods: Vec<Value> = items(ask(&session.client, &path, &[]).await?)
        .into_iter()
        .filter(|pod| selector.matches_object(pod))
        .collect();
    pods.sort_by(|a, b| {
        let age = |pod: &Value| text(pod, "/metadata/creationTimestamp").to_owned();
        age(b).cmp(&age(a))
    });
    for pod in pods {
        let ready = list_at(&pod, "/status/conditions").iter().any(|condition| {
            text(condition, "/type") == "Ready" && text(condition, "/status") == "True"
        });
        if ready {
            continue;
        }
        let name = text(&pod, "/metadata/name").to_owned();
        match gather(session, &name).await {
            Ok(facts) => {
                let causes = judge::why(&facts);
                if !causes.is_empty() {
                    return Ok(Some((name, causes)));
                }
            }
            // It went while it was asked about.
            Err(cause) if cause.is_not_found() => {}
            Err(cause) => return Err(cause.into()),
        }
    }
    Ok(None)
}

/// What still stands in a namespace. Kinds that cannot be listed are left out.
async fn left(
    session: &Session,
    discovery: &Discovery,
    namespace: &str,
) -> Vec<(String, Vec<String>)> {
    let mut found = Vec::new();
    for resource in &discovery.resources {
        let listed = resource.verbs.iter().any(|verb| verb == "list");
        let view = resource.group == "events.k8s.io" || resource.plural == "events";
        if !resource.namespaced || !listed || view {
            continue;
        }
        let path = resource.path(Some(namespace), None);
        let query = [("limit", LEFT_MAX.to_string())];
        let Ok(answer) = ask(&session.client, &path, &query).await else {
            continue;
        };
        for object in items(answer) {
            let finalizers: Vec<String> = list_at(&object, "/metadata/finalizers")
                .iter()
                .filter_map(|finalizer| finalizer.as_str().map(str::to_owned))
                .collect();
            let name = text(&object, "/metadata/name");
            let label = format!("{} {name:?}", resource.plural);
            // Two versions of a group show the same objects.
            if !found.iter().any(|(known, _)| *known == label) {
                found.push((label, finalizers));
            }
        }
    }
    found
}

/// The pods that use a claim.
async fn users(session: &Session, claim: &str) -> Result<Vec<String>, ClientError> {
    let path = format!("/api/v1/namespaces/{}/pods", session.namespace);
    let pods = items(ask(&session.client, &path, &[]).await?);
    Ok(pods
        .iter()
        .filter(|pod| {
            list_at(pod, "/spec/volumes")
                .iter()
                .any(|volume| text(volume, "/persistentVolumeClaim/claimName") == claim)
        })
        .map(|pod| text(pod, "/metadata/name").to_owned())
        .collect())
}

async fn class(session: &Session, claim: &Value) -> Option<Value> {
    let name = text(claim, "/spec/storageClassName");
    if name.is_empty() {
        return None;
    }
    let path = crate::client::object_path(
        "storage.k8s.io",
        "v1",
        "storageclasses",
        None,
        Some(name),
        None,
    );
    match ask(&session.client, &path, &[]).await {
        Ok(class) => Some(class),
        Err(cause) if cause.is_not_found() => Some(Value::Null),
        Err(_) => None,
    }
}
