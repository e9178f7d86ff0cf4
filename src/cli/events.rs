//! `coracle events`: what happened, the oldest first.
//! <https://kubernetes.io/docs/reference/kubectl/generated/kubectl_events/>

use super::Outcome;
use super::connect::{ClientArgs, Session, get, items};
use super::discovery::Discovery;
use super::get::WatchEvent;
use super::print::document;
use super::print::table::render;
use super::resource_args::{self, Resolved};
use crate::client::{Lines, object_path, read_value};
use crate::object::access::{integer, text};
use crate::object::time;
use clap::ValueEnum;
use serde_json::{Value, json};
use std::io::Write;
use std::process::ExitCode;

#[derive(Debug, clap::Args)]
pub struct EventsArgs {
    /// Events of all namespaces.
    #[arg(short = 'A', long)]
    all_namespaces: bool,
    /// Only events about this object: `pod/web`.
    #[arg(long = "for", value_name = "KIND/NAME")]
    about: Option<String>,
    /// Only events of these types: Normal, Warning.
    #[arg(long, value_name = "TYPES", value_delimiter = ',', ignore_case = true)]
    types: Vec<EventType>,
    /// Go on with events as they happen.
    #[arg(short, long)]
    watch: bool,
    /// json or yaml; default: a table.
    #[arg(short, long, value_name = "FORMAT")]
    output: Option<Format>,
    /// Leave the header line out.
    #[arg(long)]
    no_headers: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum EventType {
    #[value(name = "Normal")]
    Normal,
    #[value(name = "Warning")]
    Warning,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Json,
    Yaml,
}

/// Page size; kubectl's.
const PAGE_ITEMS: usize = 500;

pub async fn run(args: EventsArgs, client: ClientArgs) -> Outcome {
    let session = client.connect()?;
    let about = match &args.about {
        Some(typed) => Some(find(&session, typed).await?),
        None => None,
    };
    let namespace = match &about {
        // Events about objects without a namespace are in `default`.
        Some(target) if !target.resource.namespaced && !session.namespace_explicit => "default",
        _ => session.namespace.as_str(),
    };
    let namespace = (!args.all_namespaces).then_some(namespace);
    let path = object_path("", "v1", "events", namespace, None, None);
    let query: Vec<(&str, String)> = about
        .iter()
        .map(|target| ("fieldSelector", selector(target)))
        .collect();
    let (mut events, version) = list(&session, &path, &query).await?;
    events.retain(|event| args.wants(event));
    events.sort_by_key(last_seen);
    let mut shown = Shown {
        args: &args,
        widths: Vec::new(),
        headed: args.no_headers,
    };
    if events.is_empty() && !args.watch {
        match namespace {
            Some(namespace) => eprintln!("No events found in {namespace} namespace."),
            None => eprintln!("No events found."),
        }
        return Ok(ExitCode::SUCCESS);
    }
    if args.output.is_some() && !args.watch {
        let items: Vec<Value> = events.into_iter().map(typed).collect();
        shown.document(&json!({"apiVersion": "v1", "kind": "List", "metadata": {"resourceVersion": ""}, "items": items}))?;
        return Ok(ExitCode::SUCCESS);
    }
    shown.events(events)?;
    if args.watch {
        watch(&session, &path, query, version, &mut shown).await?;
    }
    Ok(ExitCode::SUCCESS)
}

async fn find(session: &Session, typed: &str) -> Result<Resolved, anyhow::Error> {
    anyhow::ensure!(
        typed.contains('/'),
        "--for must be in resource/name form, for example --for pod/web"
    );
    let discovery = Discovery::load(&session.client).await?;
    let targets = resource_args::parse(&[typed.to_owned()])?;
    resource_args::resolve(&discovery, &targets)?
        .into_iter()
        .next()
        .ok_or_else(|| anyhow::anyhow!("--for: the server has no resource {typed:?}"))
}

/// Of events about one object.
fn selector(target: &Resolved) -> String {
    format!(
        "involvedObject.kind={},involvedObject.name={}",
        target.resource.kind,
        target.name.as_deref().unwrap_or_default()
    )
}

async fn list(
    session: &Session,
    path: &str,
    query: &[(&str, String)],
) -> Result<(Vec<Value>, String), anyhow::Error> {
    let mut events = Vec::new();
    let mut token = String::new();
    loop {
        let mut query = query.to_vec();
        query.push(("limit", PAGE_ITEMS.to_string()));
        if !token.is_empty() {
            query.push(("continue", token.clone()));
        }
        let answer =
            read_value(get(&session.client, path, &query, "application/json").await?).await?;
        let version = text(&answer, "/metadata/resourceVersion").to_owned();
        text(&answer, "/metadata/continue").clone_into(&mut token);
        events.extend(items(answer));
        if token.is_empty() {
            return Ok((events, version));
        }
    }
}

async fn watch(
    session: &Session,
    path: &str,
    query: Vec<(&str, String)>,
    mut version: String,
    shown: &mut Shown<'_>,
) -> Result<(), anyhow::Error> {
    loop {
        let mut query = query.clone();
        query.push(("watch", "true".to_owned()));
        query.push(("allowWatchBookmarks", "true".to_owned()));
        query.push(("resourceVersion", version.clone()));
        let response = get(&session.client, path, &query, "application/json").await?;
        let mut lines = Lines::new(response.into_body());
        let mut heard = false;
        while let Some(line) = lines.next().await {
            let event = WatchEvent::read(&line?)?;
            heard = true;
            let newer = text(&event.object, "/metadata/resourceVersion");
            if !newer.is_empty() {
                newer.clone_into(&mut version);
            }
            if matches!(event.kind.as_str(), "ADDED" | "MODIFIED")
                && shown.args.wants(&event.object)
            {
                shown.events(vec![event.object])?;
            }
        }
        // The server ends a watch after some minutes; one that it ends at once would be asked for in a loop.
        if !heard {
            tokio::time::sleep(std::time::Duration::from_secs(1)).await;
        }
    }
}

impl EventsArgs {
    fn wants(&self, event: &Value) -> bool {
        let kind = text(event, "/type");
        self.types.is_empty()
            || self.types.iter().any(|wanted| match wanted {
                EventType::Normal => kind == "Normal",
                EventType::Warning => kind == "Warning",
            })
    }
}

/// Items of a list come without apiVersion and kind.
fn typed(mut event: Value) -> Value {
    if let Value::Object(map) = &mut event {
        map.entry("apiVersion").or_insert_with(|| json!("v1"));
        map.entry("kind").or_insert_with(|| json!("Event"));
    }
    document::without_managed_fields(event)
}

struct Shown<'a> {
    args: &'a EventsArgs,
    widths: Vec<usize>,
    headed: bool,
}

impl Shown<'_> {
    fn events(&mut self, events: Vec<Value>) -> Result<(), anyhow::Error> {
        if self.args.output.is_some() {
            for event in events {
                self.document(&typed(event))?;
            }
            return Ok(());
        }
        if events.is_empty() {
            return Ok(());
        }
        let now = jiff::Timestamp::now().as_second();
        let headers = !std::mem::replace(&mut self.headed, true);
        let lines = lines(&events, self.args.all_namespaces, headers, now);
        print!("{}", render(&lines, &mut self.widths));
        std::io::stdout().flush()?;
        Ok(())
    }

    fn document(&self, object: &Value) -> Result<(), anyhow::Error> {
        match self.args.output {
            Some(Format::Yaml) => {
                let end = if self.args.watch { "---\n" } else { "" };
                print!("{}{end}", document::yaml(object)?);
            }
            _ => print!("{}", document::json(object)?),
        }
        std::io::stdout().flush()?;
        Ok(())
    }
}

fn last_seen(event: &Value) -> String {
    first_of(
        event,
        &[
            "/series/lastObservedTime",
            "/lastTimestamp",
            "/eventTime",
            "/firstTimestamp",
        ],
    )
}

fn first_seen(event: &Value) -> String {
    first_of(event, &["/firstTimestamp", "/eventTime", "/lastTimestamp"])
}

fn first_of(event: &Value, pointers: &[&str]) -> String {
    pointers
        .iter()
        .map(|pointer| text(event, pointer))
        .find(|time| !time.is_empty())
        .unwrap_or_default()
        .to_owned()
}

/// kubectl's columns.
fn lines(events: &[Value], namespaces: bool, headers: bool, now: i64) -> Vec<Vec<String>> {
    let mut lines = Vec::new();
    if headers {
        let namespace = namespaces.then_some("NAMESPACE");
        lines.push(
            namespace
                .into_iter()
                .chain(["LAST SEEN", "TYPE", "REASON", "OBJECT", "MESSAGE"])
                .map(str::to_owned)
                .collect(),
        );
    }
    for event in events {
        let count = integer(event, "/series/count").max(integer(event, "/count"));
        let mut seen = time::since(&last_seen(event), now);
        if count > 1 {
            seen = format!(
                "{seen} (x{count} over {})",
                time::since(&first_seen(event), now)
            );
        }
        let object = format!(
            "{}/{}",
            text(event, "/involvedObject/kind"),
            text(event, "/involvedObject/name")
        );
        let message = text(event, "/message")
            .trim()
            .replace(char::is_control, " ");
        let namespace = namespaces.then(|| text(event, "/metadata/namespace").to_owned());
        lines.push(
            namespace
                .into_iter()
                .chain([
                    seen,
                    text(event, "/type").to_owned(),
                    text(event, "/reason").to_owned(),
                    object,
                    message,
                ])
                .collect(),
        );
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_lines() {
        let events = [
            json!({"metadata": {"namespace": "x"}, "type": "Warning", "reason": "BackOff", "message": " a\nb ", "count": 3,
                "involvedObject": {"kind": "Pod", "name": "web"},
                "firstTimestamp": "1970-01-01T00:00:00Z", "lastTimestamp": "1970-01-01T00:01:00Z"}),
            json!({"type": "Normal", "reason": "Started", "eventTime": "1970-01-01T00:01:30Z", "involvedObject": {"kind": "Node", "name": "n"}}),
        ];
        let text: Vec<String> = lines(&events, true, true, 100)
            .iter()
            .map(|line| line.join("|"))
            .collect();
        assert_eq!(
            text,
            [
                "NAMESPACE|LAST SEEN|TYPE|REASON|OBJECT|MESSAGE",
                "x|40s (x3 over 100s)|Warning|BackOff|Pod/web|a b",
                "|10s|Normal|Started|Node/n|",
            ]
        );
        assert_eq!(lines(&[json!(1)], false, false, 0).len(), 1);
    }
}
