//! `coracle top`: what nodes and pods use, as the metrics API (`metrics.k8s.io`) tells.
//! <https://kubernetes.io/docs/reference/kubectl/generated/kubectl_top/>

mod lines;

use super::Outcome;
use super::connect::{ClientArgs, Session, get, items};
use super::logs::pod_name;
use super::print::table::render;
use super::resource_args;
use crate::client::{ClientError, object_path, read_value};
use clap::{Subcommand, ValueEnum};
use lines::{PodStyle, node_lines, pod_lines};
use serde_json::Value;
use std::process::ExitCode;

#[derive(Debug, clap::Args)]
pub struct TopArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// What nodes use, and how much of what they have that is.
    #[command(visible_aliases = ["nodes", "no"])]
    Node(NodeArgs),
    /// What pods use.
    #[command(visible_aliases = ["pods", "po"])]
    Pod(PodArgs),
}

#[derive(Debug, clap::Args)]
struct NodeArgs {
    /// Only this node.
    #[arg(value_name = "NAME", conflicts_with = "selector")]
    name: Option<String>,
    /// Only nodes with these labels.
    #[arg(short = 'l', long, value_name = "SELECTOR")]
    selector: Option<String>,
    /// The largest first.
    #[arg(long, value_name = "cpu|memory")]
    sort_by: Option<SortBy>,
    /// Leave the header line out.
    #[arg(long)]
    no_headers: bool,
    /// Percentages of all a node has, not of what pods may use.
    #[arg(long)]
    show_capacity: bool,
}

#[derive(Debug, clap::Args)]
struct PodArgs {
    /// Only this pod.
    #[arg(value_name = "NAME", conflicts_with_all = ["selector", "all_namespaces", "field_selector"])]
    name: Option<String>,
    /// Pods of all namespaces.
    #[arg(short = 'A', long)]
    all_namespaces: bool,
    /// Only pods with these labels.
    #[arg(short = 'l', long, value_name = "SELECTOR")]
    selector: Option<String>,
    /// Only pods with these fields.
    #[arg(long, value_name = "SELECTOR")]
    field_selector: Option<String>,
    /// A line for every container.
    #[arg(long)]
    containers: bool,
    /// The largest first.
    #[arg(long, value_name = "cpu|memory")]
    sort_by: Option<SortBy>,
    /// Leave the header line out.
    #[arg(long)]
    no_headers: bool,
    /// A last line with the sum of all.
    #[arg(long)]
    sum: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum SortBy {
    Cpu,
    Memory,
}

const GROUP: &str = "metrics.k8s.io";
const VERSION: &str = "v1beta1";

pub async fn run(args: TopArgs, client: ClientArgs) -> Outcome {
    let session = client.connect()?;
    match args.what {
        What::Node(args) => nodes(&args, &session).await,
        What::Pod(args) => pods(&args, &session).await,
    }
}

/// One object or a list of them, as a list.
async fn fetch(
    session: &Session,
    path: &str,
    query: &[(&str, String)],
    named: bool,
) -> Result<Vec<Value>, ClientError> {
    let answer = read_value(get(&session.client, path, query, "application/json").await?).await?;
    Ok(if named { vec![answer] } else { items(answer) })
}

/// A server without the API answers as if the path did not exist.
fn no_metrics(cause: ClientError, named: bool) -> anyhow::Error {
    let whole = matches!(cause.code(), Some(404)) && !named || cause.code() == Some(503);
    if whole {
        anyhow::anyhow!("Metrics API not available")
    } else {
        cause.into()
    }
}

async fn nodes(args: &NodeArgs, session: &Session) -> Outcome {
    let name = match &args.name {
        Some(typed) => match resource_args::parse(std::slice::from_ref(typed))?.pop() {
            Some(target) if target.name.is_some() => target.name,
            _ => Some(typed.clone()),
        },
        None => None,
    };
    let named = name.is_some();
    let mut query = Vec::new();
    query.extend(args.selector.clone().map(|text| ("labelSelector", text)));
    let path = object_path(GROUP, VERSION, "nodes", None, name.as_deref(), None);
    let metrics = fetch(session, &path, &query, named)
        .await
        .map_err(|cause| no_metrics(cause, named))?;
    let path = object_path("", "v1", "nodes", None, name.as_deref(), None);
    let nodes = fetch(session, &path, &query, named).await?;
    if metrics.is_empty() && nodes.is_empty() {
        eprintln!("No resources found");
        return Ok(ExitCode::SUCCESS);
    }
    let whole = if args.show_capacity {
        "/status/capacity"
    } else {
        "/status/allocatable"
    };
    let lines = node_lines(&metrics, &nodes, whole, args.sort_by, !args.no_headers);
    print!("{}", render(&lines, &mut Vec::new()));
    Ok(ExitCode::SUCCESS)
}

async fn pods(args: &PodArgs, session: &Session) -> Outcome {
    let name = args.name.as_deref().map(pod_name).transpose()?;
    let named = name.is_some();
    let namespace = (!args.all_namespaces).then_some(session.namespace.as_str());
    let mut query = Vec::new();
    query.extend(args.selector.clone().map(|text| ("labelSelector", text)));
    query.extend(
        args.field_selector
            .clone()
            .map(|text| ("fieldSelector", text)),
    );
    let path = object_path(GROUP, VERSION, "pods", namespace, name.as_deref(), None);
    let metrics = fetch(session, &path, &query, named)
        .await
        .map_err(|cause| no_metrics(cause, named))?;
    if metrics.is_empty() {
        match namespace {
            Some(namespace) => eprintln!("No resources found in {namespace} namespace."),
            None => eprintln!("No resources found"),
        }
        return Ok(ExitCode::SUCCESS);
    }
    let style = PodStyle {
        namespace: args.all_namespaces,
        containers: args.containers,
        sort_by: args.sort_by,
        headers: !args.no_headers,
        sum: args.sum,
    };
    print!("{}", render(&pod_lines(&metrics, style), &mut Vec::new()));
    Ok(ExitCode::SUCCESS)
}
