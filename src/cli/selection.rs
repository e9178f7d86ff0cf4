//! The objects a verb works on: by name, by selector, all of a kind, or those of files, as they are on the server.

use super::apply::{mapping, namespace_of};
use super::connect::{Session, get, items};
use super::discovery::{Discovery, Resource};
use super::manifest::FileArgs;
use super::{error, resource_args};
use crate::client::{ClientError, read_value};
use http::Method;
use serde_json::{Value, json};
use std::process::ExitCode;

/// One object on the server.
#[derive(Debug)]
pub struct Chosen {
    pub resource: Resource,
    pub namespace: String,
    pub name: String,
    pub object: Value,
}

impl Chosen {
    /// Its path.
    pub fn path(&self) -> String {
        self.resource.path(Some(&self.namespace), Some(&self.name))
    }
    /// `deployment.apps/web`
    pub fn label(&self) -> String {
        format!("{}/{}", self.resource.label(), self.name)
    }
}

/// What the command line says.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// `deployment web`, `deploy/web`.
    pub resources: &'a [String],
    pub files: &'a FileArgs,
    pub selector: Option<&'a str>,
    /// Without a name: everything of the kind.
    pub all: bool,
}

/// What was found, and whether something was not, which has been printed.
#[derive(Debug, Default)]
pub struct Selection {
    pub chosen: Vec<Chosen>,
    pub failed: bool,
}

impl Selection {
    /// Notes an error about one object; the others are still worked on.
    pub fn fail(&mut self, cause: &anyhow::Error) {
        error::print(cause);
        self.failed = true;
    }

    pub fn exit_code(&self) -> ExitCode {
        error::exit_code(self.failed)
    }
}

impl Wanted<'_> {
    pub async fn find(
        &self,
        session: &Session,
        discovery: &Discovery,
    ) -> Result<Selection, anyhow::Error> {
        let mut selection = Selection::default();
        if !self.files.filename.is_empty() {
            anyhow::ensure!(
                self.resources.is_empty(),
                "when paths, URLs, or stdin is provided as input, you may not specify resource arguments as well"
            );
            for document in self.files.read()? {
                let found = async {
                    let resource = mapping(discovery, &document)?;
                    let namespace = namespace_of(session, &document)?;
                    fetch(session, resource, namespace, document.name()).await
                };
                match found.await {
                    Ok(chosen) => selection.chosen.push(chosen),
                    Err(cause) => selection.fail(&cause),
                }
            }
            return Ok(selection);
        }
        let targets = resource_args::parse(self.resources)?;
        let named = targets.iter().any(|target| target.name.is_some());
        anyhow::ensure!(
            !(named && self.selector.is_some()),
            "name cannot be provided when a selector is specified"
        );
        anyhow::ensure!(
            named || self.all || self.selector.is_some(),
            "resource(s) were provided, but no name was specified"
        );
        for target in resource_args::resolve(discovery, &targets)? {
            let found = match &target.name {
                Some(name) => fetch(session, &target.resource, session.namespace.clone(), name)
                    .await
                    .map(|chosen| vec![chosen]),
                None => self
                    .list(session, &target.resource)
                    .await
                    .map_err(Into::into),
            };
            match found {
                Ok(chosen) => selection.chosen.extend(chosen),
                Err(cause) => selection.fail(&cause),
            }
        }
        Ok(selection)
    }

    async fn list(
        &self,
        session: &Session,
        resource: &Resource,
    ) -> Result<Vec<Chosen>, ClientError> {
        let path = resource.path(Some(&session.namespace), None);
        let query: Vec<_> = self
            .selector
            .map(|text| ("labelSelector", text.to_owned()))
            .into_iter()
            .collect();
        let list = get(&session.client, &path, &query, "application/json").await?;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        Ok(items(read_value(list).await?)
            .into_iter()
            .map(|object| Chosen {
                namespace: text(&object["metadata"]["namespace"]),
                name: text(&object["metadata"]["name"]),
                object: typed(resource, object),
                resource: resource.clone(),
            })
            .collect())
    }
}

async fn fetch(
    session: &Session,
    resource: &Resource,
    namespace: String,
    name: &str,
) -> Result<Chosen, anyhow::Error> {
    let path = resource.path(Some(&namespace), Some(name));
    let object = session.client.send_value(Method::GET, &path, None).await?;
    Ok(Chosen {
        resource: resource.clone(),
        namespace,
        name: name.to_owned(),
        object,
    })
}

/// Items of a list come without apiVersion and kind.
fn typed(resource: &Resource, mut object: Value) -> Value {
    if let Value::Object(map) = &mut object {
        map.entry("apiVersion")
            .or_insert_with(|| json!(resource.api_version()));
        map.entry("kind").or_insert_with(|| json!(resource.kind));
    }
    object
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::cli::fake_server::FakeServer;

    #[tokio::test]
    async fn objects_are_found_and_what_is_missing_is_told() {
        let server = FakeServer::default();
        for name in ["a", "b"] {
            let path = format!("/api/v1/namespaces/default/pods/{name}");
            let pod = json!({"metadata": {"name": name, "namespace": "default"}});
            server.objects.lock().unwrap().insert(path, pod);
        }
        let session = server.session();
        let discovery = Discovery::load(&session.client).await.unwrap();
        let files = FileArgs::default();
        let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        for (text, all, expected) in [
            ("pod/a", false, Some((1, false))),
            ("pod a c b", false, Some((2, true))),
            ("pods", true, Some((2, false))),
            ("pods", false, None),
            ("boats", true, None),
        ] {
            let resources = words(text);
            let wanted = Wanted {
                resources: &resources,
                files: &files,
                selector: None,
                all,
            };
            let found = wanted.find(&session, &discovery).await.ok();
            let found = found.map(|found| (found.chosen.len(), found.failed));
            assert_eq!(found, expected, "{text}");
        }
    }
}
