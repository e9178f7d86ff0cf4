//! `create -f`: the objects of manifests, which must not exist yet.

use super::Common;
use crate::cli::connect::ClientArgs;
use crate::cli::discovery::Discovery;
use crate::cli::manifest::{Document, FileArgs};
use crate::cli::write_args::Speaker;
use crate::cli::{Outcome, apply, error};
use crate::object::selector::LabelSelector;
use anyhow::Context;
use serde_json::Value;

pub async fn run(
    files: &FileArgs,
    selector: Option<&str>,
    common: &Common,
    client: &ClientArgs,
) -> Outcome {
    anyhow::ensure!(
        !files.filename.is_empty(),
        "must specify a generator, or -f with a file, a directory or `-` for standard input"
    );
    let documents = chosen(files.read()?, selector)?;
    anyhow::ensure!(!documents.is_empty(), "no objects passed to create");
    let session = client.connect()?;
    let discovery = Discovery::load(&session.client).await?;
    let speaker = Speaker::new(&common.write);
    let mut failed = false;
    for document in documents {
        let creating = async {
            let resource = apply::mapping(&discovery, &document)?;
            let mut object = document.object.clone();
            if resource.namespaced {
                let namespace = apply::namespace_of(&session, &document)?;
                object["metadata"]["namespace"] = Value::String(namespace);
            }
            if common.save_config {
                object = apply::with_last_applied(&object)?;
            }
            if !common.write.is_client() {
                object = common
                    .write
                    .create(&session, resource, &object, common.validate)
                    .await
                    .with_context(|| format!("error when creating \"{}\"", document.source))?;
            }
            speaker.say(resource, &object, "created")
        };
        if let Err(cause) = creating.await {
            error::print(&cause);
            failed = true;
        }
    }
    Ok(error::exit_code(failed))
}

fn chosen(
    documents: Vec<Document>,
    selector: Option<&str>,
) -> Result<Vec<Document>, anyhow::Error> {
    let Some(text) = selector else {
        return Ok(documents);
    };
    let selector = LabelSelector::parse(text).map_err(|cause| anyhow::anyhow!("{cause}"))?;
    Ok(documents
        .into_iter()
        .filter(|document| selector.matches_object(&document.object))
        .collect())
}
