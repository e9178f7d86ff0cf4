//! `coracle describe`: fetches an object and its events; `describe` words them.

use super::connect::{ClientArgs, Session, get, items};
use super::discovery::Discovery;
use super::resource_args::{self, Resolved};
use super::{Outcome, describe, error};
use crate::client::{ClientError, read_value};
use serde_json::Value;

#[derive(Debug, clap::Args)]
pub struct DescribeArgs {
    /// `pods`, `pod web`, `pod/web node/boat`.
    #[arg(required = true, value_name = "RESOURCE")]
    resources: Vec<String>,
    /// Objects of all namespaces.
    #[arg(short = 'A', long)]
    all_namespaces: bool,
    /// Only objects with these labels.
    #[arg(short = 'l', long, value_name = "SELECTOR")]
    selector: Option<String>,
}

pub async fn run(args: DescribeArgs, client: ClientArgs) -> Outcome {
    let targets = resource_args::parse(&args.resources)?;
    let session = client.connect()?;
    let discovery = Discovery::load(&session.client).await?;
    let mut failed = false;
    let mut first = true;
    for target in resource_args::resolve(&discovery, &targets)? {
        let objects = match objects(&args, &session, &target).await {
            Ok(objects) => objects,
            Err(cause) => {
                error::print(&cause.into());
                failed = true;
                continue;
            }
        };
        for object in objects {
            let events = events(&session, &object).await.unwrap_or_else(|cause| {
                eprintln!("Warning: events cannot be read: {cause}");
                Vec::new()
            });
            if !first {
                print!("\n\n");
            }
            first = false;
            let now = jiff::Timestamp::now().as_second();
            let page = if object["kind"] == "Node" || target.resource.kind == "Node" {
                let pods = pods_of(&session, &object).await.unwrap_or_else(|cause| {
                    eprintln!("Warning: the node's pods cannot be read: {cause}");
                    Vec::new()
                });
                describe::describe_node(&object, &pods, &events, now)
            } else {
                describe::describe(&target.resource.kind, &object, &events, now)
            };
            print!("{page}");
        }
    }
    if first && !failed {
        eprintln!("No resources found in {} namespace.", session.namespace);
    }
    Ok(error::exit_code(failed))
}

async fn objects(
    args: &DescribeArgs,
    session: &Session,
    target: &Resolved,
) -> Result<Vec<Value>, ClientError> {
    let namespace = (!args.all_namespaces).then_some(session.namespace.as_str());
    let path = target.resource.path(namespace, target.name.as_deref());
    let mut query = Vec::new();
    if target.name.is_none() {
        query.extend(args.selector.clone().map(|text| ("labelSelector", text)));
    }
    let answer = read_value(get(&session.client, &path, &query, "application/json").await?).await?;
    if target.name.is_some() {
        return Ok(vec![answer]);
    }
    Ok(items(answer))
}

/// The pods on a node that are not over.
async fn pods_of(session: &Session, node: &Value) -> Result<Vec<Value>, ClientError> {
    let name = node["metadata"]["name"].as_str().unwrap_or_default();
    let selector = format!("spec.nodeName={name},status.phase!=Failed,status.phase!=Succeeded");
    let path = crate::client::object_path("", "v1", "pods", None, None, None);
    let query = [("fieldSelector", selector)];
    Ok(items(
        read_value(get(&session.client, &path, &query, "application/json").await?).await?,
    ))
}

/// The events about an object, oldest first.
async fn events(session: &Session, object: &Value) -> Result<Vec<Value>, ClientError> {
    let metadata = &object["metadata"];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut selector = format!("involvedObject.name={}", text(&metadata["name"]));
    // Events of nodes carry the node's name as uid in Kubernetes' own components.
    if object["kind"] != "Node" && metadata["uid"].is_string() {
        selector.push_str(",involvedObject.uid=");
        selector.push_str(&text(&metadata["uid"]));
    }
    let namespace = metadata["namespace"].as_str().unwrap_or("default");
    let path = crate::client::object_path("", "v1", "events", Some(namespace), None, None);
    let query = [("fieldSelector", selector)];
    let answer = read_value(get(&session.client, &path, &query, "application/json").await?).await?;
    let mut events = items(answer);
    events.sort_by_key(|event| text(&event["lastTimestamp"]));
    Ok(events)
}
