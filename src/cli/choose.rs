//! The objects a changing verb is to work on: named, all of a kind, with labels, or from manifests.

use super::apply::{mapping, namespace_of};
use super::connect::{Session, get, items, request};
use super::discovery::{Discovery, Resource};
use super::manifest::FileArgs;
use super::resource_args;
use crate::client::{ClientError, PatchType, object_path, read_value};
use axum::body::Body;
use http::{Method, header};
use serde_json::Value;

/// Page size of lists; kubectl's.
const PAGE_ITEMS: usize = 500;

const JSON: &str = "application/json";

/// Flags that choose objects, beside their names.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct ChooseArgs {
    #[command(flatten)]
    pub files: FileArgs,
    /// Every object of the kind in the namespace.
    #[arg(long)]
    pub all: bool,
    /// Objects with these labels.
    #[arg(short = 'l', long, value_name = "SELECTOR")]
    pub selector: Option<String>,
    /// Objects with these fields.
    #[arg(long, value_name = "SELECTOR")]
    pub field_selector: Option<String>,
    /// With --all or a selector: in all namespaces.
    #[arg(short = 'A', long)]
    pub all_namespaces: bool,
}

impl ChooseArgs {
    /// More than names: a list has to be asked for.
    fn many(&self) -> bool {
        self.all || self.selector.is_some() || self.field_selector.is_some()
    }

    fn query(&self) -> Vec<(&'static str, String)> {
        let mut query = vec![("limit", PAGE_ITEMS.to_string())];
        query.extend(self.selector.clone().map(|text| ("labelSelector", text)));
        query.extend(
            self.field_selector
                .clone()
                .map(|text| ("fieldSelector", text)),
        );
        query
    }
}

/// Where an object is, before anybody has asked for it.
#[derive(Debug, Clone)]
pub struct Place {
    pub resource: Resource,
    pub namespace: String,
    pub name: String,
}

/// An object as the server has it.
#[derive(Debug, Clone)]
pub struct Chosen {
    pub place: Place,
    pub object: Value,
}

impl Place {
    pub fn path(&self, subresource: Option<&str>) -> String {
        let namespace = self
            .resource
            .namespaced
            .then_some(self.namespace.as_str())
            .filter(|namespace| !namespace.is_empty());
        object_path(
            &self.resource.group,
            &self.resource.version,
            &self.resource.plural,
            namespace,
            Some(&self.name),
            subresource,
        )
    }

    /// `pod/web`
    pub fn label(&self) -> String {
        format!("{}/{}", self.resource.label(), self.name)
    }

    pub async fn fetch(
        &self,
        session: &Session,
        subresource: Option<&str>,
    ) -> Result<Value, ClientError> {
        read_value(get(&session.client, &self.path(subresource), &[], JSON).await?).await
    }

    /// PATCH; the object as it is afterwards.
    pub async fn patch(
        &self,
        session: &Session,
        subresource: Option<&str>,
        patch_type: PatchType,
        patch: &Value,
        query: &[(&str, String)],
    ) -> Result<Value, ClientError> {
        let media = patch_type.content_type();
        let path = self.path(subresource);
        send(session, Method::PATCH, &path, query, (media, patch)).await
    }

    /// PUT; the object as it is afterwards.
    pub async fn put(
        &self,
        session: &Session,
        subresource: Option<&str>,
        object: &Value,
        query: &[(&str, String)],
    ) -> Result<Value, ClientError> {
        let path = self.path(subresource);
        send(session, Method::PUT, &path, query, (JSON, object)).await
    }
}

/// A request with a JSON body; the answer.
pub async fn send(
    session: &Session,
    method: Method,
    path: &str,
    query: &[(&str, String)],
    (media, content): (&str, &Value),
) -> Result<Value, ClientError> {
    let headers = [(header::CONTENT_TYPE, media), (header::ACCEPT, JSON)];
    let body = Body::from(content.to_string());
    let request = request(method, path, query, &headers, body)?;
    read_value(session.client.request(request).await?).await
}

/// The places a command line names, without asking for the objects; `None` where a list is needed.
pub fn named(
    session: &Session,
    discovery: &Discovery,
    words: &[String],
) -> Result<Vec<(Resource, Option<Place>)>, anyhow::Error> {
    let targets = resource_args::parse(words)?;
    let resolved = resource_args::resolve(discovery, &targets)?;
    Ok(resolved
        .into_iter()
        .map(|target| {
            let place = target.name.map(|name| Place {
                resource: target.resource.clone(),
                namespace: session.namespace.clone(),
                name,
            });
            (target.resource, place)
        })
        .collect())
}

/// The places manifests name, each with its object as the manifest has it.
pub fn from_files(
    session: &Session,
    discovery: &Discovery,
    files: &FileArgs,
) -> Result<Vec<Chosen>, anyhow::Error> {
    files
        .read()?
        .into_iter()
        .map(|document| {
            let resource = mapping(discovery, &document)?.clone();
            let namespace = namespace_of(session, &document)?;
            let name = document.name().to_owned();
            let mut object = document.object;
            if resource.namespaced {
                object["metadata"]["namespace"] = Value::String(namespace.clone());
            }
            Ok(Chosen {
                place: Place {
                    resource,
                    namespace,
                    name,
                },
                object,
            })
        })
        .collect()
}

/// All objects that words and flags mean, as the server has them. A name that does not exist is an error.
pub async fn choose(
    session: &Session,
    discovery: &Discovery,
    words: &[String],
    args: &ChooseArgs,
) -> Result<Vec<Chosen>, anyhow::Error> {
    let mut chosen = Vec::new();
    if !args.files.filename.is_empty() {
        anyhow::ensure!(
            words.is_empty() && !args.many(),
            "with -f, names, --all and selectors cannot be given"
        );
        for Chosen { place, .. } in from_files(session, discovery, &args.files)? {
            let object = place.fetch(session, None).await?;
            chosen.push(Chosen { place, object });
        }
        return Ok(chosen);
    }
    for (resource, place) in named(session, discovery, words)? {
        match place {
            Some(_) if args.many() => anyhow::bail!(
                "name cannot be provided when a selector is specified: leave out the name, or --all and the selectors"
            ),
            Some(place) => {
                let object = place.fetch(session, None).await?;
                chosen.push(Chosen { place, object });
            }
            None if args.many() => chosen.extend(list(session, &resource, args).await?),
            None => anyhow::bail!(
                "resource(s) were provided, but no name was specified: name them, or use --all or -l"
            ),
        }
    }
    Ok(chosen)
}

/// Every object of a resource that the flags leave.
pub async fn list(
    session: &Session,
    resource: &Resource,
    args: &ChooseArgs,
) -> Result<Vec<Chosen>, ClientError> {
    let namespace = (!args.all_namespaces).then_some(session.namespace.as_str());
    let path = resource.path(namespace, None);
    let mut found = Vec::new();
    let mut token: Option<String> = None;
    loop {
        let mut query = args.query();
        query.extend(token.take().map(|token| ("continue", token)));
        let answer = read_value(get(&session.client, &path, &query, JSON).await?).await?;
        token = answer["metadata"]["continue"]
            .as_str()
            .filter(|token| !token.is_empty())
            .map(str::to_owned);
        found.extend(items(answer).into_iter().map(|item| listed(resource, item)));
        if token.is_none() {
            return Ok(found);
        }
    }
}

/// Items of a list come without apiVersion and kind.
fn listed(resource: &Resource, mut object: Value) -> Chosen {
    if let Value::Object(map) = &mut object {
        map.entry("apiVersion")
            .or_insert_with(|| resource.api_version().into());
        map.entry("kind")
            .or_insert_with(|| resource.kind.clone().into());
    }
    let text = |field: &str| {
        object["metadata"][field]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    };
    Chosen {
        place: Place {
            resource: resource.clone(),
            namespace: text("namespace"),
            name: text("name"),
        },
        object,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::cli::fake_server::FakeServer;
    use serde_json::json;

    #[tokio::test]
    async fn names_and_kinds_lead_to_objects() {
        let server = FakeServer::default();
        let session = server.session();
        for name in ["a", "b"] {
            let pod = json!({"metadata": {"name": name, "namespace": "default"}});
            let path = format!("/api/v1/namespaces/default/pods/{name}");
            server.objects.lock().unwrap().insert(path, pod);
        }
        let discovery = Discovery::load(&session.client).await.unwrap();
        let all = ChooseArgs {
            all: true,
            ..ChooseArgs::default()
        };
        let none = ChooseArgs::default();
        for (line, args, expected) in [
            ("pod a", &none, Some("pod/a")),
            ("pod/a pod/b", &none, Some("pod/a pod/b")),
            ("pods", &all, Some("pod/a pod/b")),
            ("pods", &none, None),
            ("pod a", &all, None),
            ("pod nobody", &none, None),
            ("boats", &all, None),
        ] {
            let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
            let found = choose(&session, &discovery, &words, args).await.ok();
            let labels = found.map(|found| {
                let labels: Vec<String> = found.iter().map(|chosen| chosen.place.label()).collect();
                labels.join(" ")
            });
            assert_eq!(labels.as_deref(), expected, "{line}");
        }
    }
}
