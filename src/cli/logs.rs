//! `coracle logs`: what a container printed.

use super::connect::{ClientArgs, Session, get};
use super::{Outcome, resource_args};
use crate::client::{Client, ClientError, object_path};
use crate::object::duration::parse_seconds;
use anyhow::Context;
use http::Method;
use http_body_util::BodyExt;
use serde_json::Value;
use std::process::ExitCode;
use tokio::io::AsyncWriteExt;

#[derive(Debug, clap::Args)]
pub struct LogsArgs {
    /// The pod: `web` or `pod/web`.
    #[arg(value_name = "POD", required_unless_present = "selector")]
    pod: Option<String>,
    /// The container; default: the pod's default container.
    #[arg(value_name = "CONTAINER", conflicts_with = "container")]
    container_position: Option<String>,
    #[arg(short, long, value_name = "NAME")]
    container: Option<String>,
    /// Go on as more is printed.
    #[arg(short, long)]
    follow: bool,
    /// Only so many lines from the end; -1: all. Default: all, and 10 with a selector.
    #[arg(long, value_name = "LINES", allow_negative_numbers = true)]
    tail: Option<i64>,
    /// Only what is younger, for example 5s, 2m or 1h30m.
    #[arg(long, value_name = "DURATION", value_parser = parse_seconds, conflicts_with = "since_time")]
    since: Option<u64>,
    /// Only what is younger than this time (RFC 3339).
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    since_time: Option<String>,
    /// The run before the current one.
    #[arg(short, long)]
    previous: bool,
    /// Put each line's time before it.
    #[arg(long)]
    timestamps: bool,
    /// All containers of the pod, init containers first.
    #[arg(long, conflicts_with_all = ["container", "container_position"])]
    all_containers: bool,
    /// Put pod and container before each line.
    #[arg(long)]
    prefix: bool,
    /// At most so many bytes.
    #[arg(long, value_name = "BYTES")]
    limit_bytes: Option<u64>,
    /// All pods with these labels.
    #[arg(short = 'l', long, value_name = "SELECTOR", conflicts_with = "pod")]
    selector: Option<String>,
    /// Logs followed at once with a selector or all containers.
    #[arg(long, value_name = "COUNT", default_value_t = 5)]
    max_log_requests: usize,
    /// Go on with the others when one log cannot be read.
    #[arg(long)]
    ignore_errors: bool,
}

/// Lines from the end with a selector; kubectl's.
const SELECTED_TAIL: i64 = 10;

fn parse_time(text: &str) -> Result<String, String> {
    text.parse::<jiff::Timestamp>()
        .map(|_| text.to_owned())
        .map_err(|_| format!("{text:?} is no RFC 3339 time such as 2026-01-31T12:00:00Z"))
}

pub async fn run(args: LogsArgs, client: ClientArgs) -> Outcome {
    let session = client.connect()?;
    let sources = sources(&args, &session).await?;
    if args.follow && sources.len() > args.max_log_requests {
        anyhow::bail!(
            "you are attempting to follow {} log streams, but maximum allowed concurrency is {}, use --max-log-requests to increase the limit",
            sources.len(),
            args.max_log_requests
        );
    }
    let streams = sources.iter().map(|(pod, container)| {
        let (args, session) = (&args, &session);
        async move {
            let copied = copy(args, session, pod, container).await;
            match copied {
                Err(error) if args.ignore_errors => {
                    eprintln!("error: {error:#}");
                    Ok(())
                }
                other => other,
            }
        }
    });
    if args.follow {
        futures::future::try_join_all(streams).await?;
    } else {
        for stream in streams {
            stream.await?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Pods and containers whose logs are meant.
async fn sources(
    args: &LogsArgs,
    session: &Session,
) -> Result<Vec<(String, String)>, anyhow::Error> {
    let chosen = args.container.clone().or(args.container_position.clone());
    let pods = match (&args.selector, &args.pod) {
        (Some(selector), _) => selected(session, selector).await?,
        (None, Some(typed)) => {
            let name = pod_name(typed)?;
            if let Some(container) = chosen {
                return Ok(vec![(name, container)]);
            }
            vec![fetch_pod(&session.client, &session.namespace, &name).await?]
        }
        (None, None) => Vec::new(),
    };
    let mut sources = Vec::new();
    for pod in &pods {
        let name = pod["metadata"]["name"].as_str().unwrap_or_default();
        let containers = match &chosen {
            Some(container) => vec![container.clone()],
            None if args.all_containers => all_containers(pod),
            None => vec![default_container(pod, false)?],
        };
        sources.extend(containers.into_iter().map(|c| (name.to_owned(), c)));
    }
    if sources.is_empty() {
        eprintln!("No resources found in {} namespace.", session.namespace);
    }
    Ok(sources)
}

async fn selected(session: &Session, selector: &str) -> Result<Vec<Value>, anyhow::Error> {
    let path = object_path("", "v1", "pods", Some(&session.namespace), None, None);
    let query = form_urlencoded::Serializer::new(String::new())
        .append_pair("labelSelector", selector)
        .finish();
    let path = format!("{path}?{query}");
    let list = session.client.send_value(Method::GET, &path, None).await?;
    Ok(super::connect::items(list))
}

/// `web` or `pod/web`.
pub fn pod_name(typed: &str) -> Result<String, anyhow::Error> {
    if !typed.contains('/') {
        anyhow::ensure!(!typed.is_empty(), "the pod's name may not be empty");
        return Ok(typed.to_owned());
    }
    let targets = resource_args::parse(&[typed.to_owned()])?;
    let target = targets.into_iter().next().context("a pod is needed")?;
    anyhow::ensure!(
        matches!(target.resource.as_str(), "pod" | "pods" | "po"),
        "cannot take the logs or run commands of {typed:?}: name a pod"
    );
    target.name.context("the pod's name is needed")
}

pub async fn fetch_pod(client: &Client, namespace: &str, name: &str) -> Result<Value, ClientError> {
    let path = object_path("", "v1", "pods", Some(namespace), Some(name), None);
    client.send_value(Method::GET, &path, None).await
}

fn all_containers(pod: &Value) -> Vec<String> {
    ["initContainers", "containers"]
        .iter()
        .flat_map(|list| pod["spec"][list].as_array().into_iter().flatten())
        .filter_map(|container| container["name"].as_str().map(str::to_owned))
        .collect()
}

/// The container the pod's annotation names, else the first; says so where there was a choice.
pub fn default_container(pod: &Value, quiet: bool) -> Result<String, anyhow::Error> {
    let annotated = pod["metadata"]["annotations"]["kubectl.kubernetes.io/default-container"]
        .as_str()
        .map(str::to_owned);
    let all = all_containers(pod);
    let first = pod["spec"]["containers"][0]["name"]
        .as_str()
        .context("the pod has no containers")?;
    let chosen = annotated
        .filter(|name| all.contains(name))
        .unwrap_or_else(|| first.to_owned());
    if all.len() > 1 && !quiet {
        eprintln!(
            "Defaulted container \"{chosen}\" out of: {}",
            all.join(", ")
        );
    }
    Ok(chosen)
}

async fn copy(
    args: &LogsArgs,
    session: &Session,
    name: &str,
    container: &str,
) -> Result<(), anyhow::Error> {
    let namespace = Some(session.namespace.as_str());
    let path = object_path("", "v1", "pods", namespace, Some(name), Some("log"));
    let response = get(&session.client, &path, &query(args, container), "*/*").await?;
    let mut output = tokio::io::stdout();
    if args.prefix {
        let mut lines = crate::client::Lines::new(response.into_body());
        while let Some(line) = lines.next().await {
            let mut text = format!("[pod/{name}/{container}] ").into_bytes();
            text.extend_from_slice(&line?);
            text.push(b'\n');
            output.write_all(&text).await?;
            output.flush().await?;
        }
        return Ok(());
    }
    let mut body = response.into_body();
    while let Some(frame) = body.frame().await {
        let frame =
            frame.map_err(|cause| ClientError::Decode(format!("the log broke off: {cause}")))?;
        if let Ok(data) = frame.into_data() {
            output.write_all(&data).await?;
            output.flush().await?;
        }
    }
    Ok(())
}

fn query(args: &LogsArgs, container: &str) -> Vec<(&'static str, String)> {
    let mut query = vec![("container", container.to_owned())];
    let mut flag = |name, set: bool| {
        if set {
            query.push((name, "true".to_owned()));
        }
    };
    flag("follow", args.follow);
    flag("previous", args.previous);
    flag("timestamps", args.timestamps);
    let tail = args.tail.unwrap_or(match args.selector {
        Some(_) => SELECTED_TAIL,
        None => -1,
    });
    if tail >= 0 {
        query.push(("tailLines", tail.to_string()));
    }
    query.extend(
        args.since
            .map(|seconds| ("sinceSeconds", seconds.to_string())),
    );
    query.extend(args.since_time.clone().map(|time| ("sinceTime", time)));
    query.extend(
        args.limit_bytes
            .map(|bytes| ("limitBytes", bytes.to_string())),
    );
    query
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn containers_are_chosen_as_kubectl_does() {
        let pod = json!({"spec": {"initContainers": [{"name": "i"}], "containers": [{"name": "a"}, {"name": "b"}]}});
        assert_eq!(default_container(&pod, true).ok().as_deref(), Some("a"));
        assert_eq!(all_containers(&pod), ["i", "a", "b"]);
        let mut annotated = pod.clone();
        annotated["metadata"]["annotations"]["kubectl.kubernetes.io/default-container"] =
            json!("b");
        assert_eq!(
            default_container(&annotated, true).ok().as_deref(),
            Some("b")
        );
        assert!(default_container(&json!({}), true).is_err());
        assert_eq!(pod_name("pod/web").ok().as_deref(), Some("web"));
        assert!(pod_name("svc/web").is_err());
    }
}
