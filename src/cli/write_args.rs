//! Flags of verbs that write objects, and how such a verb says what it did.

use super::connect::{Session, request};
use super::discovery::Resource;
use super::print::document;
use crate::client::{ClientError, PatchType, read_value};
use anyhow::Context;
use axum::body::Body;
use clap::ValueEnum;
use http::{Method, header};
use serde_json::{Value, json};
use std::cell::Cell;

/// kubectl's four flags of every verb that writes.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct WriteArgs {
    /// client: only print what would be sent; server: let the server check it without keeping it.
    #[arg(long, value_name = "HOW", default_value = "none", num_args = 0..=1, require_equals = true, default_missing_value = "client")]
    pub dry_run: DryRun,
    /// yaml, json or name; default: a line that says what was done.
    #[arg(short, long, value_name = "FORMAT")]
    pub output: Option<Format>,
    /// Keep metadata.managedFields in yaml and json.
    #[arg(long)]
    pub show_managed_fields: bool,
    /// Name under which the server records who set which field; default: coracle.
    #[arg(long, value_name = "NAME")]
    pub field_manager: Option<String>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum DryRun {
    #[default]
    None,
    Client,
    Server,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    Yaml,
    Json,
    Name,
}

/// What the server does with unknown fields.
#[derive(Debug, Clone, Copy, Default, ValueEnum)]
pub enum Validate {
    #[default]
    #[value(alias = "true")]
    Strict,
    Warn,
    #[value(alias = "false")]
    Ignore,
}

impl Validate {
    /// As `fieldValidation` has it.
    pub fn parameter(self) -> &'static str {
        match self {
            Validate::Strict => "Strict",
            Validate::Warn => "Warn",
            Validate::Ignore => "Ignore",
        }
    }
}

impl WriteArgs {
    /// Nothing is sent.
    pub fn is_client(&self) -> bool {
        self.dry_run == DryRun::Client
    }

    /// The query of a request that writes.
    pub fn query(&self, validate: Option<Validate>) -> Vec<(&'static str, String)> {
        let manager = self.field_manager.as_deref().unwrap_or("coracle");
        let mut query = vec![("fieldManager", manager.to_owned())];
        if self.dry_run == DryRun::Server {
            query.push(("dryRun", "All".to_owned()));
        }
        query.extend(validate.map(|how| ("fieldValidation", how.parameter().to_owned())));
        query
    }

    /// Creates `object`; what the server made of it.
    pub async fn create(
        &self,
        session: &Session,
        resource: &Resource,
        object: &Value,
        validate: Validate,
    ) -> Result<Value, ClientError> {
        let own = object["metadata"]["namespace"].as_str();
        let namespace = own.unwrap_or(&session.namespace);
        let path = resource.path(Some(namespace), None);
        let query = self.query(Some(validate));
        send(
            session,
            Method::POST,
            &path,
            &query,
            "application/json",
            object,
        )
        .await
    }

    /// Puts `object` in the place of what stands at `path`.
    pub async fn replace(
        &self,
        session: &Session,
        path: &str,
        object: &Value,
    ) -> Result<Value, ClientError> {
        let query = self.query(None);
        send(
            session,
            Method::PUT,
            path,
            &query,
            "application/json",
            object,
        )
        .await
    }

    /// Patches one object, or a subresource of it.
    pub async fn patch(
        &self,
        session: &Session,
        path: &str,
        how: PatchType,
        patch: &Value,
    ) -> Result<Value, ClientError> {
        let query = self.query(None);
        send(
            session,
            Method::PATCH,
            path,
            &query,
            how.content_type(),
            patch,
        )
        .await
    }
}

async fn send(
    session: &Session,
    method: Method,
    path: &str,
    query: &[(&str, String)],
    content_type: &str,
    body: &Value,
) -> Result<Value, ClientError> {
    let headers = [
        (header::CONTENT_TYPE, content_type),
        (header::ACCEPT, "application/json"),
    ];
    let body = Body::from(body.to_string());
    let request = request(method, path, query, &headers, body)?;
    read_value(session.client.request(request).await?).await
}

/// Says what was done with one object after the other.
#[derive(Debug)]
pub struct Speaker<'a> {
    args: &'a WriteArgs,
    said: Cell<usize>,
}

impl<'a> Speaker<'a> {
    pub fn new(args: &'a WriteArgs) -> Speaker<'a> {
        Speaker {
            args,
            said: Cell::new(0),
        }
    }

    /// `deployment.apps/web created (dry run)`, or the object itself.
    pub fn say(
        &self,
        resource: &Resource,
        object: &Value,
        done: &str,
    ) -> Result<(), anyhow::Error> {
        print!("{}", self.text(resource, object, done)?);
        Ok(())
    }

    fn text(
        &self,
        resource: &Resource,
        object: &Value,
        done: &str,
    ) -> Result<String, anyhow::Error> {
        let name = object["metadata"]["name"].as_str().unwrap_or_default();
        let before = self.said.replace(self.said.get() + 1);
        let shown = || {
            if self.args.show_managed_fields {
                object.clone()
            } else {
                document::without_managed_fields(object.clone())
            }
        };
        Ok(match self.args.output {
            Some(Format::Name) => format!("{}/{name}\n", resource.label()),
            Some(Format::Json) => document::json(&shown())?,
            Some(Format::Yaml) => {
                let text = document::yaml(&shown())?;
                if before > 0 {
                    format!("---\n{text}")
                } else {
                    text
                }
            }
            None => {
                let how = match self.args.dry_run {
                    DryRun::None => "",
                    DryRun::Client => " (dry run)",
                    DryRun::Server => " (server dry run)",
                };
                format!("{}/{name} {done}{how}\n", resource.label())
            }
        })
    }
}

/// Kinds this command makes by itself: apiVersion, kind, plural, whether they live in namespaces.
const KINDS: &[(&str, &str, &str, bool)] = &[
    ("v1", "ConfigMap", "configmaps", true),
    ("v1", "Namespace", "namespaces", false),
    ("v1", "Pod", "pods", true),
    ("v1", "ResourceQuota", "resourcequotas", true),
    ("v1", "Secret", "secrets", true),
    ("v1", "Service", "services", true),
    ("v1", "ServiceAccount", "serviceaccounts", true),
    ("apps/v1", "Deployment", "deployments", true),
    (
        "autoscaling/v2",
        "HorizontalPodAutoscaler",
        "horizontalpodautoscalers",
        true,
    ),
    ("batch/v1", "CronJob", "cronjobs", true),
    ("batch/v1", "Job", "jobs", true),
    ("networking.k8s.io/v1", "Ingress", "ingresses", true),
    (
        "policy/v1",
        "PodDisruptionBudget",
        "poddisruptionbudgets",
        true,
    ),
    (
        "rbac.authorization.k8s.io/v1",
        "ClusterRole",
        "clusterroles",
        false,
    ),
    (
        "rbac.authorization.k8s.io/v1",
        "ClusterRoleBinding",
        "clusterrolebindings",
        false,
    ),
    ("rbac.authorization.k8s.io/v1", "Role", "roles", true),
    (
        "rbac.authorization.k8s.io/v1",
        "RoleBinding",
        "rolebindings",
        true,
    ),
    (
        "scheduling.k8s.io/v1",
        "PriorityClass",
        "priorityclasses",
        false,
    ),
];

/// The resource of an object this command made, without asking the server.
///
/// # Errors
/// `--overrides` can turn an object into a kind that is not made here.
pub fn resource_of(object: &Value) -> Result<Resource, anyhow::Error> {
    let api_version = object["apiVersion"].as_str().unwrap_or_default();
    let kind = object["kind"].as_str().unwrap_or_default();
    let (_, _, plural, namespaced) = KINDS
        .iter()
        .find(|(version, name, ..)| *version == api_version && *name == kind)
        .with_context(|| format!("no matches for kind {kind:?} in version {api_version:?}"))?;
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    Ok(Resource {
        group: group.to_owned(),
        version: version.to_owned(),
        plural: (*plural).to_owned(),
        singular: kind.to_lowercase(),
        kind: kind.to_owned(),
        namespaced: *namespaced,
        ..Resource::default()
    })
}

/// The head of an object as Kubernetes' own types write it, `creationTimestamp` included.
pub fn head(api_version: &str, kind: &str, name: &str) -> Value {
    json!({"apiVersion": api_version, "kind": kind, "metadata": {"creationTimestamp": null, "name": name}})
}

/// `key=value,key2=value2` as labels; kubectl's words for what is none.
pub fn parse_labels(text: &str) -> Result<Value, anyhow::Error> {
    let mut labels = serde_json::Map::new();
    for pair in text.split(',') {
        let (key, value) = pair
            .split_once('=')
            .filter(|(_, value)| !value.contains('='))
            .with_context(|| format!("unexpected label spec: {pair}"))?;
        anyhow::ensure!(!key.is_empty(), "unexpected empty label key");
        labels.insert(key.to_owned(), json!(value));
    }
    Ok(Value::Object(labels))
}

/// A number where it is one, else a name: Kubernetes' `IntOrString`.
pub fn int_or_string(text: &str) -> Value {
    text.parse::<i32>()
        .map_or(json!(text), |number| json!(number))
}

/// An inline JSON or YAML patch over an object this command made; it cannot change the kind.
pub fn overridden(mut object: Value, patch: &str) -> Result<Value, anyhow::Error> {
    let patch: Value = serde_saphyr::from_str(patch).context("--overrides holds no JSON object")?;
    anyhow::ensure!(patch.is_object(), "--overrides holds no JSON object");
    json_patch::merge(&mut object, &patch);
    Ok(object)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_was_done_is_said_as_kubectl_says_it() {
        let object = head("apps/v1", "Deployment", "web");
        let resource = resource_of(&object).unwrap();
        for (dry_run, output, expected) in [
            (DryRun::None, None, "deployment.apps/web created\n"),
            (
                DryRun::Client,
                None,
                "deployment.apps/web created (dry run)\n",
            ),
            (
                DryRun::Server,
                None,
                "deployment.apps/web created (server dry run)\n",
            ),
            (DryRun::Client, Some(Format::Name), "deployment.apps/web\n"),
        ] {
            let args = WriteArgs {
                dry_run,
                output,
                ..WriteArgs::default()
            };
            let text = Speaker::new(&args)
                .text(&resource, &object, "created")
                .unwrap();
            assert_eq!(text, expected);
        }
    }

    #[test]
    fn later_documents_are_kept_apart() {
        let args = WriteArgs {
            output: Some(Format::Yaml),
            ..WriteArgs::default()
        };
        let object = head("v1", "Pod", "a");
        let resource = resource_of(&object).unwrap();
        let speaker = Speaker::new(&args);
        assert!(
            speaker
                .text(&resource, &object, "")
                .unwrap()
                .starts_with("apiVersion")
        );
        assert!(
            speaker
                .text(&resource, &object, "")
                .unwrap()
                .starts_with("---\n")
        );
    }

    #[test]
    fn labels_and_overrides() {
        assert_eq!(parse_labels("a=b,c=").unwrap(), json!({"a": "b", "c": ""}));
        for wrong in ["a", "=b", "a=b=c", ""] {
            assert!(parse_labels(wrong).is_err(), "{wrong}");
        }
        let object = overridden(
            json!({"spec": {"a": 1, "b": 2}}),
            r#"{"spec": {"a": null}}"#,
        );
        assert_eq!(object.unwrap(), json!({"spec": {"b": 2}}));
        assert!(overridden(json!({}), "[").is_err());
        assert!(resource_of(&json!({"kind": "Boat", "apiVersion": "v1"})).is_err());
    }
}
