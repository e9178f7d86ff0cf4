//! `get -w`: the list, then every change.

use super::{Format, GetArgs, fetch, name_line, nothing, style, text};
use crate::cli::Outcome;
use crate::cli::connect::{Session, get};
use crate::cli::print::table::Printer;
use crate::cli::resource_args::Resolved;
use crate::client::{ClientError, Lines, read_value};
use serde::Deserialize;
use serde_json::Value;
use std::io::Write;

/// One line of a watch.
#[derive(Debug, Deserialize)]
pub struct WatchEvent {
    #[serde(rename = "type")]
    pub kind: String,
    #[serde(default)]
    pub object: Value,
}

impl WatchEvent {
    /// Decodes a line; an `ERROR` event is the error it carries.
    pub fn read(line: &[u8]) -> Result<WatchEvent, ClientError> {
        let event: WatchEvent = serde_json::from_slice(line)
            .map_err(|cause| ClientError::Decode(format!("a watch event: {cause}")))?;
        if event.kind != "ERROR" {
            return Ok(event);
        }
        let status: Box<k8s_openapi::apimachinery::pkg::apis::meta::v1::Status> =
            serde_json::from_value(event.object)
                .map_err(|cause| ClientError::Decode(cause.to_string()))?;
        let code = status.code.and_then(|code| u16::try_from(code).ok());
        Err(ClientError::Status {
            code: code.unwrap_or(500),
            status,
        })
    }
}

pub async fn run(args: &GetArgs, session: &Session, target: &Resolved) -> Outcome {
    let mut shown = Printer::default();
    let accept = if args.table() {
        fetch::TABLE
    } else {
        fetch::PLAIN
    };
    let path = target.resource.path(args.namespace(session), None);
    let query = args.query(target.name.as_deref());
    if let Some(name) = &target.name {
        // An object that is not there is an error also for a watch; its absence would look like silence.
        let object = target.resource.path(args.namespace(session), Some(name));
        read_value(get(&session.client, &object, &[], fetch::PLAIN).await?).await?;
    }
    let answer = read_value(get(&session.client, &path, &query, accept).await?).await?;
    let mut version = answer["metadata"]["resourceVersion"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    show_list(args, session, target, &mut shown, answer)?;
    loop {
        let mut query = query.clone();
        query.push(("watch", "true".to_owned()));
        query.push(("allowWatchBookmarks", "true".to_owned()));
        query.push(("resourceVersion", version.clone()));
        let response = get(&session.client, &path, &query, accept).await?;
        let mut lines = Lines::new(response.into_body());
        let mut heard = false;
        while let Some(line) = lines.next().await {
            let event = WatchEvent::read(&line?)?;
            heard = true;
            if let Some(newer) = event_version(&event.object) {
                version = newer;
            }
            if event.kind != "BOOKMARK" {
                show_event(args, target, &mut shown, event)?;
            }
        }
        // The server ends a watch after some minutes; one that it ends at once would be asked for in a loop.
        if !heard {
            tokio::time::sleep(std::time::Duration::from_secs(1)).await;
        }
    }
}

/// The resourceVersion of an event's object, which in a table is a row's.
fn event_version(object: &Value) -> Option<String> {
    let own = object["metadata"]["resourceVersion"].as_str();
    let row = object["rows"][0]["object"]["metadata"]["resourceVersion"].as_str();
    own.filter(|version| !version.is_empty())
        .or(row)
        .map(str::to_owned)
}

fn show_list(
    args: &GetArgs,
    session: &Session,
    target: &Resolved,
    shown: &mut Printer,
    mut answer: Value,
) -> Result<(), anyhow::Error> {
    if args.watch_only {
        return Ok(());
    }
    if args.table() {
        let table = fetch::to_table(answer)?;
        if table.rows.is_empty() {
            nothing(args, session);
            // Its columns are those of the rows to come.
            let quiet = super::Style::default();
            shown.print(&table, &quiet);
            return Ok(());
        }
        print!("{}", shown.print(&table, &style(args, target, false)));
        std::io::stdout().flush()?;
        return Ok(());
    }
    if let Value::Array(items) = answer["items"].take() {
        for item in items {
            show_document(args, target, item)?;
        }
    }
    Ok(())
}

fn show_event(
    args: &GetArgs,
    target: &Resolved,
    shown: &mut Printer,
    event: WatchEvent,
) -> Result<(), anyhow::Error> {
    if !args.table() {
        return show_document(args, target, event.object);
    }
    let table = fetch::to_table(event.object)?;
    let mut style = style(args, target, false);
    style.headers = style.headers && !shown.has_printed_headers();
    print!("{}", shown.print(&table, &style));
    std::io::stdout().flush()?;
    Ok(())
}

fn show_document(args: &GetArgs, target: &Resolved, object: Value) -> Result<(), anyhow::Error> {
    match args.output {
        Some(Format::Name) => println!("{}", name_line(target, &object)),
        Some(Format::Json) => print!("{}", text(args, Format::Json, object)?),
        _ => println!("{}---", text(args, Format::Yaml, object)?),
    }
    std::io::stdout().flush()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn versions_come_from_objects_and_rows() {
        for (object, expected) in [
            (json!({"metadata": {"resourceVersion": "5"}}), Some("5")),
            (
                json!({"metadata": {}, "rows": [{"object": {"metadata": {"resourceVersion": "6"}}}]}),
                Some("6"),
            ),
            (json!({}), None),
        ] {
            assert_eq!(event_version(&object).as_deref(), expected);
        }
    }

    #[test]
    fn error_events_are_errors() {
        let line = br#"{"type":"ERROR","object":{"kind":"Status","apiVersion":"v1","metadata":{},"code":410,"message":"too old","reason":"Expired"}}"#;
        assert_eq!(
            WatchEvent::read(line).err().and_then(|error| error.code()),
            Some(410)
        );
        assert!(WatchEvent::read(b"nonsense").is_err());
        assert!(WatchEvent::read(br#"{"type":"ADDED","object":{}}"#).is_ok());
    }
}
