//! `coracle explain`: the fields of a kind, from the descriptions (OpenAPI v3) that the server has.
//!
//! In: `pods.spec.containers`. Out: kubectl's page. Coracle's own servers describe names, types and what is required,
//! and keep no prose: with every upstream description a node's binary would grow by megabytes.

mod page;
mod schema;

use super::Outcome;
use super::connect::{ClientArgs, get};
use super::discovery::{Discovery, Resource};
use crate::client::read_value;
use anyhow::Context;
use page::Subject;
use schema::Document;
use std::process::ExitCode;

#[derive(Debug, clap::Args)]
pub struct ExplainArgs {
    /// `pods`, `pods.spec.containers`, `deployments.apps`.
    #[arg(value_name = "RESOURCE.FIELD")]
    subject: String,
    /// Fields within fields.
    #[arg(long)]
    recursive: bool,
    /// The version to explain, for example `autoscaling/v1`; default: the preferred one.
    #[arg(long, value_name = "GROUP/VERSION")]
    api_version: Option<String>,
}

pub async fn run(args: ExplainArgs, client: ClientArgs) -> Outcome {
    let session = client.connect()?;
    let discovery = Discovery::load(&session.client).await?;
    let (resource, path) = subject(&discovery, &args.subject, args.api_version.as_deref())?;
    let group_version = if resource.group.is_empty() {
        format!("api/{}", resource.version)
    } else {
        format!("apis/{}/{}", resource.group, resource.version)
    };
    let address = format!("/openapi/v3/{group_version}");
    let answer = get(&session.client, &address, &[], "application/json")
        .await
        .context("couldn't find the OpenAPI description of the resource")?;
    let document = Document(read_value(answer).await?);
    let subject = Subject {
        group: &resource.group,
        version: &resource.version,
        kind: &resource.kind,
        path: &path,
    };
    let text = page::page(&document, &subject, args.recursive).map_err(anyhow::Error::msg)?;
    print!("{text}");
    Ok(ExitCode::SUCCESS)
}

/// The resource and the names of fields in `deployments.apps` or `pods.spec.containers`: as much as names a resource is
/// one.
fn subject(
    discovery: &Discovery,
    typed: &str,
    api_version: Option<&str>,
) -> Result<(Resource, Vec<String>), anyhow::Error> {
    let words: Vec<&str> = typed.split('.').filter(|word| !word.is_empty()).collect();
    let fields = |from: usize| {
        words[from..]
            .iter()
            .map(|word| (*word).to_owned())
            .collect()
    };
    for length in (1..=words.len()).rev() {
        let name = words[..length].join(".");
        if let Some(found) = discovery.find(&name) {
            let resource = match api_version {
                None => found.clone(),
                Some(wanted) => discovery
                    .by_kind(wanted, &found.kind)
                    .with_context(|| {
                        format!("the server has no kind {} in version {wanted}", found.kind)
                    })?
                    .clone(),
            };
            return Ok((resource, fields(length)));
        }
    }
    anyhow::bail!(
        "the server doesn't have a resource type \"{}\"",
        words.first().unwrap_or(&typed)
    )
}
