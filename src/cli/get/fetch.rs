//! What `get` asks the server for: tables in pages, or objects.

use super::GetArgs;
use crate::cli::connect::{Session, get};
use crate::cli::print::table::{Column, Row, Table};
use crate::cli::resource_args::Resolved;
use crate::client::{ClientError, read_value};
use serde_json::{Value, json};

/// A Table where the server has one, else a plain list.
pub const TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";
pub const PLAIN: &str = "application/json";

/// Page size; kubectl's.
const PAGE_ITEMS: usize = 500;

/// The table of one target.
pub async fn table(
    args: &GetArgs,
    session: &Session,
    target: &Resolved,
) -> Result<Table, ClientError> {
    let path = target
        .resource
        .path(args.namespace(session), target.name.as_deref());
    if target.name.is_some() {
        return to_table(read_value(get(&session.client, &path, &[], TABLE).await?).await?);
    }
    let mut whole = None;
    let mut token: Option<String> = None;
    loop {
        let query = page(args.query(None), token.take());
        let answer = read_value(get(&session.client, &path, &query, TABLE).await?).await?;
        let next = to_table(answer)?;
        token.clone_from(&next.metadata.continue_token);
        append(&mut whole, next);
        if token.as_deref().unwrap_or_default().is_empty() {
            return Ok(whole.unwrap_or_default());
        }
    }
}

fn page(
    mut query: Vec<(&'static str, String)>,
    token: Option<String>,
) -> Vec<(&'static str, String)> {
    query.push(("limit", PAGE_ITEMS.to_string()));
    query.extend(token.map(|token| ("continue", token)));
    query
}

/// Adds the rows of one table to another of the same columns.
pub fn append(whole: &mut Option<Table>, table: Table) {
    match whole {
        Some(whole) => {
            whole.rows.extend(table.rows);
            whole.metadata = table.metadata;
        }
        None => *whole = Some(table),
    }
}

/// The answer as a Table; a server without tables sends objects, of which names are shown.
pub fn to_table(answer: Value) -> Result<Table, ClientError> {
    if answer["kind"] == "Table" {
        return serde_json::from_value(answer)
            .map_err(|cause| ClientError::Decode(cause.to_string()));
    }
    let resource_version = answer["metadata"]["resourceVersion"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    let continue_token = answer["metadata"]["continue"].as_str().map(str::to_owned);
    let objects = match answer.get("items") {
        Some(Value::Array(items)) => items.clone(),
        Some(_) => Vec::new(),
        None => vec![answer],
    };
    let column = |name: &str| Column {
        name: name.to_owned(),
        priority: 0,
    };
    let mut table = Table {
        column_definitions: vec![column("Name"), column("Created At")],
        rows: objects
            .into_iter()
            .map(|object| Row {
                cells: vec![
                    object["metadata"]["name"].clone(),
                    object["metadata"]["creationTimestamp"].clone(),
                ],
                object,
            })
            .collect(),
        ..Table::default()
    };
    table.metadata.resource_version = resource_version;
    table.metadata.continue_token = continue_token;
    Ok(table)
}

/// The objects of one target, each with its apiVersion and kind.
pub async fn objects(
    args: &GetArgs,
    session: &Session,
    target: &Resolved,
) -> Result<Vec<Value>, ClientError> {
    let namespace = args.namespace(session);
    let path = target.resource.path(namespace, target.name.as_deref());
    if target.name.is_some() {
        let object = read_value(get(&session.client, &path, &[], PLAIN).await?).await?;
        return Ok(vec![object]);
    }
    list(session, target, namespace, args.query(None))
        .await
        .map(|(items, _)| items)
}

/// All objects of a target's resource, and the list's resourceVersion.
pub async fn list(
    session: &Session,
    target: &Resolved,
    namespace: Option<&str>,
    query: Vec<(&'static str, String)>,
) -> Result<(Vec<Value>, String), ClientError> {
    let path = target.resource.path(namespace, None);
    let mut objects = Vec::new();
    let mut token: Option<String> = None;
    loop {
        let query = page(query.clone(), token.take());
        let mut answer = read_value(get(&session.client, &path, &query, PLAIN).await?).await?;
        if let Value::Array(items) = answer["items"].take() {
            objects.extend(items.into_iter().map(|item| typed(target, item)));
        }
        token = answer["metadata"]["continue"].as_str().map(str::to_owned);
        if token.as_deref().unwrap_or_default().is_empty() {
            let version = answer["metadata"]["resourceVersion"].as_str();
            return Ok((objects, version.unwrap_or_default().to_owned()));
        }
    }
}

/// Items of a list come without apiVersion and kind.
fn typed(target: &Resolved, mut object: Value) -> Value {
    if let Value::Object(map) = &mut object {
        map.entry("apiVersion")
            .or_insert_with(|| json!(target.resource.api_version()));
        map.entry("kind")
            .or_insert_with(|| json!(target.resource.kind));
    }
    object
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn servers_without_tables_are_shown_all_the_same() {
        let list = json!({"kind": "PodList", "metadata": {"resourceVersion": "7"}, "items": [{"metadata": {"name": "a"}}]});
        let table = to_table(list).unwrap();
        assert_eq!(table.metadata.resource_version, "7");
        assert_eq!(table.rows[0].cells[0], "a");
        let single = to_table(json!({"kind": "Pod", "metadata": {"name": "b"}})).unwrap();
        assert_eq!(single.rows[0].cells[0], "b");
        assert!(to_table(json!({"kind": "Table", "rows": 5})).is_err());
    }
}
