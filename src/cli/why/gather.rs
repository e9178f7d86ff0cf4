//! Asks the API for the facts. Only the pod must be readable; what else cannot be read is unknown.

use super::facts::{Facts, Kind, Lookup, Reference};
use crate::cli::connect::{Session, get, items};
use crate::cli::logs::fetch_pod;
use crate::client::{Client, ClientError, object_path, read_value};
use crate::object::access::{list, present, text, truth};
use serde_json::Value;

/// Objects a pod refers to that are looked up; a pod with more is not explained by the rest.
const REFERENCES_MAX: usize = 64;

pub async fn gather(session: &Session, name: &str) -> Result<Facts, ClientError> {
    let client = &session.client;
    let namespace = session.namespace.as_str();
    let pod = fetch_pod(client, namespace, name).await?;
    let uid = text(&pod, "/metadata/uid");
    let node = text(&pod, "/spec/nodeName");
    let mut facts = Facts {
        events: events(
            client,
            namespace,
            &format!("involvedObject.name={name},involvedObject.uid={uid}"),
        )
        .await,
        now: jiff::Timestamp::now().as_second(),
        ..Facts::default()
    };
    if node.is_empty() {
        let path = object_path("", "v1", "nodes", None, None, None);
        facts.nodes = ask(client, &path, &[]).await.ok().map(items);
    } else {
        facts.node = Some(
            lookup(
                client,
                &object_path("", "v1", "nodes", None, Some(node), None),
            )
            .await,
        );
    }
    for mut reference in references(&pod) {
        let path = object_path(
            "",
            "v1",
            reference.kind.plural(),
            Some(namespace),
            Some(&reference.name),
            None,
        );
        reference.found = lookup(client, &path).await;
        let unbound = matches!(&reference.found, Lookup::There(claim) if text(claim, "/status/phase") != "Bound");
        if reference.kind == Kind::Claim && unbound {
            let about = format!(
                "involvedObject.kind=PersistentVolumeClaim,involvedObject.name={}",
                reference.name
            );
            reference.events = events(client, namespace, &about).await;
        }
        facts.references.push(reference);
    }
    facts.pod = pod;
    Ok(facts)
}

pub async fn ask(
    client: &Client,
    path: &str,
    query: &[(&str, String)],
) -> Result<Value, ClientError> {
    read_value(get(client, path, query, "application/json").await?).await
}

pub async fn events(client: &Client, namespace: &str, selector: &str) -> Vec<Value> {
    let path = object_path("", "v1", "events", Some(namespace), None, None);
    ask(client, &path, &[("fieldSelector", selector.to_owned())])
        .await
        .map(items)
        .unwrap_or_default()
}

async fn lookup(client: &Client, path: &str) -> Lookup {
    match ask(client, path, &[]).await {
        Ok(object) => Lookup::There(object),
        Err(cause) if cause.is_not_found() => Lookup::Missing,
        Err(_) => Lookup::Unknown,
    }
}

/// Everything the pod names, each once.
pub fn references(pod: &Value) -> Vec<Reference> {
    let mut found: Vec<Reference> = Vec::new();
    let mut add = |kind: Kind, name: &str, optional: bool, keys: Vec<String>| {
        if name.is_empty() {
            return;
        }
        let known = found
            .iter_mut()
            .find(|known| known.kind == kind && known.name == name);
        if let Some(known) = known {
            known.optional &= optional;
            if !optional {
                known.keys.extend(keys);
            }
        } else if found.len() < REFERENCES_MAX {
            found.push(Reference {
                kind,
                name: name.to_owned(),
                optional,
                keys: if optional { Vec::new() } else { keys },
                found: Lookup::Unknown,
                events: Vec::new(),
            });
        }
    };
    let keys = |source: &Value| -> Vec<String> {
        list(source, "/items")
            .iter()
            .map(|item| text(item, "/key").to_owned())
            .collect()
    };
    for secret in list(pod, "/spec/imagePullSecrets") {
        add(Kind::PullSecret, text(secret, "/name"), false, Vec::new());
    }
    for volume in list(pod, "/spec/volumes") {
        add(
            Kind::Claim,
            text(volume, "/persistentVolumeClaim/claimName"),
            false,
            Vec::new(),
        );
        if present(volume, "/ephemeral") {
            let name = format!("{}-{}", text(pod, "/metadata/name"), text(volume, "/name"));
            add(Kind::Claim, &name, false, Vec::new());
        }
        for source in std::iter::once(volume).chain(list(volume, "/projected/sources")) {
            let (map, secret) = (&source["configMap"], &source["secret"]);
            add(
                Kind::ConfigMap,
                text(map, "/name"),
                truth(map, "/optional"),
                keys(map),
            );
            let name = match text(secret, "/secretName") {
                "" => text(secret, "/name"),
                name => name,
            };
            add(Kind::Secret, name, truth(secret, "/optional"), keys(secret));
        }
    }
    for container in ["/spec/initContainers", "/spec/containers"]
        .iter()
        .flat_map(|group| list(pod, group))
    {
        for source in list(container, "/envFrom") {
            for (kind, field) in [
                (Kind::ConfigMap, "configMapRef"),
                (Kind::Secret, "secretRef"),
            ] {
                add(
                    kind,
                    text(&source[field], "/name"),
                    truth(&source[field], "/optional"),
                    Vec::new(),
                );
            }
        }
        for variable in list(container, "/env") {
            for (kind, field) in [
                (Kind::ConfigMap, "configMapKeyRef"),
                (Kind::Secret, "secretKeyRef"),
            ] {
                let source = &variable["valueFrom"][field];
                let key = vec![text(source, "/key").to_owned()];
                add(kind, text(source, "/name"), truth(source, "/optional"), key);
            }
        }
    }
    found
}
