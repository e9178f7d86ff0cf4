//! `coracle apply`: client-side apply, as kubectl's default.
//! <https://kubernetes.io/docs/tasks/manage-kubernetes-objects/declarative-config/#how-apply-calculates-differences-and-merges-changes>

mod merge_keys;
mod preview;
pub mod three_way;

use super::connect::{ClientArgs, Session};
use super::discovery::{Discovery, Resource};
use super::manifest::{Document, FileArgs};
use super::print::document;
use super::{Outcome, error};
use crate::client::{ClientError, PatchType};
use anyhow::Context;
use clap::ValueEnum;
use http::Method;
use serde_json::Value;

/// Where kubectl keeps what was applied last; the two can take turns on one object.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// Attempts where the object changes between reading and patching; kubectl's.
const ATTEMPTS_MAX: usize = 5;

#[derive(Debug, clap::Args)]
pub struct ApplyArgs {
    #[command(flatten)]
    files: FileArgs,
    /// What the server does with unknown fields: strict refuses, warn says so, ignore drops them.
    #[arg(long, value_name = "HOW", default_value = "strict", num_args = 0..=1, default_missing_value = "strict")]
    validate: Validate,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Validate {
    #[value(alias = "true")]
    Strict,
    Warn,
    #[value(alias = "false")]
    Ignore,
}

impl Validate {
    fn parameter(self) -> &'static str {
        match self {
            Validate::Strict => "Strict",
            Validate::Warn => "Warn",
            Validate::Ignore => "Ignore",
        }
    }
}

/// What became of one object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Applied {
    Created,
    Configured,
    Unchanged,
}

impl std::fmt::Display for Applied {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Applied::Created => "created",
            Applied::Configured => "configured",
            Applied::Unchanged => "unchanged",
        })
    }
}

pub async fn run(args: ApplyArgs, client: ClientArgs) -> Outcome {
    anyhow::ensure!(
        !args.files.filename.is_empty(),
        "must specify -f with a file, a directory or `-` for standard input"
    );
    let documents = args.files.read()?;
    let session = client.connect()?;
    let discovery = Discovery::load(&session.client).await?;
    let mut failed = false;
    for document in documents {
        match apply_document(&session, &discovery, &document, args.validate).await {
            Ok((resource, name, applied)) => println!("{}/{name} {applied}", resource.label()),
            Err(cause) => {
                error::print(&cause);
                failed = true;
            }
        }
    }
    Ok(error::exit_code(failed))
}

/// The resource of a document, or the error kubectl's users know.
pub fn mapping<'a>(
    discovery: &'a Discovery,
    document: &Document,
) -> Result<&'a Resource, anyhow::Error> {
    discovery
        .by_kind(document.api_version(), document.kind())
        .with_context(|| {
            format!(
                "resource mapping not found for name: \"{}\" from {}: no matches for kind \"{}\" in version \"{}\"; see `apiVersion` and `kind` for a typing error",
                document.name(),
                document.place(),
                document.kind(),
                document.api_version(),
            )
        })
}

/// The namespace of a document: its own, which `-n` must not contradict, else the session's.
pub fn namespace_of(session: &Session, document: &Document) -> Result<String, anyhow::Error> {
    match document.object["metadata"]["namespace"].as_str() {
        None | Some("") => Ok(session.namespace.clone()),
        Some(own) if session.namespace_explicit && own != session.namespace => anyhow::bail!(
            "the namespace from the provided object \"{own}\" does not match the namespace \"{}\". You must pass '--namespace={own}' to perform this operation ({})",
            session.namespace,
            document.place()
        ),
        Some(own) => Ok(own.to_owned()),
    }
}

async fn apply_document<'a>(
    session: &Session,
    discovery: &'a Discovery,
    document: &Document,
    validate: Validate,
) -> Result<(&'a Resource, String, Applied), anyhow::Error> {
    let resource = mapping(discovery, document)?;
    let name = document.name().to_owned();
    anyhow::ensure!(
        !name.is_empty(),
        "error validating {}: metadata.name is needed to apply an object",
        document.place()
    );
    let mut object = document.object.clone();
    let namespace = namespace_of(session, document)?;
    if resource.namespaced {
        object["metadata"]["namespace"] = Value::String(namespace.clone());
    }
    let target = Target {
        session,
        resource,
        namespace: &namespace,
        name: &name,
        parameter: validate.parameter(),
    };
    let applied = target
        .apply(&object)
        .await
        .with_context(|| format!("{} from {}", name, document.place()))?;
    Ok((resource, name, applied))
}

/// One object on the server.
pub struct Target<'a> {
    pub session: &'a Session,
    pub resource: &'a Resource,
    pub namespace: &'a str,
    pub name: &'a str,
    /// `fieldValidation`.
    pub parameter: &'a str,
}

impl Target<'_> {
    /// Creates or changes it to what `object` says.
    pub async fn apply(&self, object: &Value) -> Result<Applied, anyhow::Error> {
        let modified = with_last_applied(object)?;
        for _ in 1..ATTEMPTS_MAX {
            match self.attempt(&modified).await {
                Err(error) if error.is_conflict() => {}
                result => return Ok(result?),
            }
        }
        Ok(self.attempt(&modified).await?)
    }

    async fn attempt(&self, modified: &Value) -> Result<Applied, ClientError> {
        let client = &self.session.client;
        let path = self.resource.path(Some(self.namespace), Some(self.name));
        let query = format!("fieldValidation={}&fieldManager=coracle", self.parameter);
        let current = match client.send_value(Method::GET, &path, None).await {
            Ok(current) => current,
            Err(error) if error.is_not_found() => {
                let path = self.resource.path(Some(self.namespace), None);
                let content = Some(("application/json", modified));
                client
                    .send_value(Method::POST, &format!("{path}?{query}"), content)
                    .await?;
                return Ok(Applied::Created);
            }
            Err(error) => return Err(error),
        };
        let built_in = three_way::is_built_in(&self.resource.group);
        let last = last_applied(&current);
        let patch = three_way::patch(last.as_ref(), modified, &current, built_in);
        if three_way::is_empty(&patch) {
            return Ok(Applied::Unchanged);
        }
        let patch_type = if built_in {
            PatchType::StrategicMerge
        } else {
            PatchType::Merge
        };
        let content = Some((patch_type.content_type(), &patch));
        let after = client
            .send_value(Method::PATCH, &format!("{path}?{query}"), content)
            .await?;
        let same = after["metadata"]["resourceVersion"] == current["metadata"]["resourceVersion"];
        Ok(if same {
            Applied::Unchanged
        } else {
            Applied::Configured
        })
    }
}

/// `object` with itself in the annotation, byte for byte as kubectl writes it: compact, keys sorted, a new line at
/// the end. The two can then take turns without a change.
pub fn with_last_applied(object: &Value) -> Result<Value, anyhow::Error> {
    let mut bare = object.clone();
    if let Some(annotations) = bare["metadata"]["annotations"].as_object_mut() {
        annotations.remove(LAST_APPLIED);
    }
    let mut recorded = bare.clone();
    // kubectl's record always has the map, empty or not.
    if !recorded["metadata"]["annotations"].is_object() {
        recorded["metadata"]["annotations"] = Value::Object(serde_json::Map::new());
    }
    let text = serde_json::to_string(&document::sorted(&recorded))?;
    // In JSON these stand in strings only; Go's encoder escapes them.
    let mut text = text
        .replace('<', "\\u003c")
        .replace('>', "\\u003e")
        .replace('&', "\\u0026");
    text.push('\n');
    let metadata = bare["metadata"]
        .as_object_mut()
        .context("metadata must be an object")?;
    let annotations = metadata
        .entry("annotations")
        .or_insert_with(|| Value::Object(serde_json::Map::new()));
    if annotations.is_null() {
        *annotations = Value::Object(serde_json::Map::new());
    }
    annotations
        .as_object_mut()
        .context("metadata.annotations must be an object")?
        .insert(LAST_APPLIED.to_owned(), Value::String(text));
    Ok(bare)
}

/// What was applied last time; an annotation that is not JSON counts as none.
fn last_applied(current: &Value) -> Option<Value> {
    let text = current["metadata"]["annotations"][LAST_APPLIED].as_str()?;
    serde_json::from_str(text).ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::cli::fake_server::FakeServer;
    use serde_json::json;

    #[test]
    fn the_annotation_holds_the_object_without_itself() {
        let object = json!({"kind": "Pod", "metadata": {"name": "a", "annotations": {LAST_APPLIED: "old", "b": "c"}}});
        let annotated = with_last_applied(&object).unwrap();
        assert_eq!(
            last_applied(&annotated),
            Some(json!({"kind": "Pod", "metadata": {"name": "a", "annotations": {"b": "c"}}}))
        );
        let text =
            with_last_applied(&json!({"kind": "A", "apiVersion": "v1", "metadata": {"name": "<"}}))
                .unwrap();
        assert_eq!(
            text["metadata"]["annotations"][LAST_APPLIED],
            "{\"apiVersion\":\"v1\",\"kind\":\"A\",\"metadata\":{\"annotations\":{},\"name\":\"\\u003c\"}}\n"
        );
        // Applying what carries its own record changes nothing.
        assert_eq!(with_last_applied(&annotated).unwrap(), annotated);
        assert!(with_last_applied(&json!({"metadata": {"annotations": "x"}})).is_err());
    }

    #[tokio::test]
    async fn objects_are_created_then_left_alone_then_changed() {
        let server = FakeServer::default();
        let session = server.session();
        let discovery = Discovery::load(&session.client).await.unwrap();
        let steps = [
            ("data: {a: '1', b: '2'}", Applied::Created),
            ("data: {a: '1', b: '2'}", Applied::Unchanged),
            ("data: {a: '1'}", Applied::Configured),
        ];
        for (data, expected) in steps {
            let text = format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: c}}\n{data}");
            let document = &crate::cli::manifest::parse("f", &text).unwrap()[0];
            let (resource, name, applied) =
                apply_document(&session, &discovery, document, Validate::Strict)
                    .await
                    .unwrap();
            assert_eq!(
                (resource.label().as_str(), name.as_str()),
                ("configmap", "c")
            );
            assert_eq!(applied, expected);
        }
        let changes = server.changes.lock().unwrap();
        let (method, uri, patch) = &changes[1];
        assert_eq!((changes.len(), method), (2, &Method::PATCH));
        assert_eq!(
            uri,
            "/api/v1/namespaces/default/configmaps/c?fieldValidation=Strict&fieldManager=coracle"
        );
        assert_eq!(patch["data"], json!({"b": null}));
    }

    #[tokio::test]
    async fn mistakes_name_their_place() {
        let server = FakeServer::default();
        let mut session = server.session();
        let discovery = Discovery::load(&session.client).await.unwrap();
        session.namespace_explicit = true;
        for (text, expected) in [
            (
                "apiVersion: v1\nkind: Boat\nmetadata: {name: x}",
                "no matches for kind \"Boat\" in version \"v1\"",
            ),
            (
                "apiVersion: v1\nkind: Pod\nmetadata: {}",
                "metadata.name is needed",
            ),
            (
                "apiVersion: v1\nkind: Pod\nmetadata: {name: x, namespace: other}",
                "does not match the namespace \"default\"",
            ),
        ] {
            let document = &crate::cli::manifest::parse("f.yaml", text).unwrap()[0];
            let error = apply_document(&session, &discovery, document, Validate::Strict)
                .await
                .unwrap_err()
                .to_string();
            assert!(
                error.contains(expected) && error.contains("(document 1, line 1)"),
                "{error}"
            );
        }
    }
}
