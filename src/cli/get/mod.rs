//! `coracle get`: objects as a table or as documents, once or as they change.

mod fetch;
mod until;
mod watch;

pub use until::{until, until_some};
pub use watch::WatchEvent;

use super::Outcome;
use super::connect::{ClientArgs, Session};
use super::discovery::Discovery;
use super::error;
use super::print::document;
use super::print::table::{Printer, Style};
use super::resource_args::{self, Resolved};
use clap::ValueEnum;
use serde_json::{Value, json};
use std::process::ExitCode;

#[derive(Debug, clap::Args)]
pub struct GetArgs {
    /// `pods`, `pods,svc`, `pod web`, `pod/web svc/web`, `all`.
    #[arg(required = true, value_name = "RESOURCE")]
    resources: Vec<String>,
    /// wide, yaml, json or name; default: a table.
    #[arg(short, long, value_name = "FORMAT")]
    output: Option<Format>,
    /// After the list, print changes as they happen.
    #[arg(short, long)]
    watch: bool,
    /// Print changes only, without the list.
    #[arg(long)]
    watch_only: bool,
    /// Objects of all namespaces.
    #[arg(short = 'A', long)]
    all_namespaces: bool,
    /// Only objects with these labels, for example `app=web,tier!=db`.
    #[arg(short = 'l', long, value_name = "SELECTOR")]
    selector: Option<String>,
    /// Only objects with these fields, for example `spec.nodeName=boat`.
    #[arg(long, value_name = "SELECTOR")]
    field_selector: Option<String>,
    /// Leave the header line out.
    #[arg(long)]
    no_headers: bool,
    /// Add a column with each object's labels.
    #[arg(long)]
    show_labels: bool,
    /// An object that does not exist is no error.
    #[arg(long)]
    ignore_not_found: bool,
    /// Keep metadata.managedFields in yaml and json.
    #[arg(long)]
    show_managed_fields: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    Wide,
    Yaml,
    Json,
    Name,
}

impl Format {
    fn is_document(self) -> bool {
        matches!(self, Format::Yaml | Format::Json)
    }
}

impl GetArgs {
    fn table(&self) -> bool {
        matches!(self.output, None | Some(Format::Wide))
    }

    /// Which objects of a resource are asked for.
    fn query(&self, name: Option<&str>) -> Vec<(&'static str, String)> {
        let mut fields = self.field_selector.clone();
        if let Some(name) = name {
            fields = Some(format!("metadata.name={name}"));
        }
        let mut query = Vec::new();
        query.extend(self.selector.clone().map(|text| ("labelSelector", text)));
        query.extend(fields.map(|text| ("fieldSelector", text)));
        query
    }

    fn namespace<'a>(&self, session: &'a Session) -> Option<&'a str> {
        (!self.all_namespaces).then_some(session.namespace.as_str())
    }
}

pub async fn run(args: GetArgs, client: ClientArgs) -> Outcome {
    let targets = resource_args::parse(&args.resources)?;
    let named = targets.iter().any(|target| target.name.is_some());
    if named && (args.selector.is_some() || args.field_selector.is_some()) {
        anyhow::bail!("name cannot be provided when a selector is specified");
    }
    if named && args.all_namespaces {
        anyhow::bail!("a resource cannot be retrieved by name across all namespaces");
    }
    let session = client.connect()?;
    let discovery = Discovery::load(&session.client).await?;
    let resolved = resource_args::resolve(&discovery, &targets)?;
    if args.watch || args.watch_only {
        let [only] = resolved.as_slice() else {
            anyhow::bail!("you may only specify a single resource type with --watch");
        };
        return watch::run(&args, &session, only).await;
    }
    if args.table() {
        tables(&args, &session, resolved).await
    } else {
        documents(&args, &session, resolved).await
    }
}

/// Targets of the same resource next to each other are one table.
fn groups(resolved: Vec<Resolved>) -> Vec<Vec<Resolved>> {
    let mut groups: Vec<Vec<Resolved>> = Vec::new();
    for target in resolved {
        match groups.last_mut() {
            Some(group) if group[0].resource == target.resource => group.push(target),
            _ => groups.push(vec![target]),
        }
    }
    groups
}

async fn tables(args: &GetArgs, session: &Session, resolved: Vec<Resolved>) -> Outcome {
    let namespaced = resolved.iter().any(|target| target.resource.namespaced);
    let groups = groups(resolved);
    let several = groups.len() > 1;
    let mut failed = false;
    let mut printed = false;
    for group in groups {
        let mut whole = None;
        for target in &group {
            match fetch::table(args, session, target).await {
                Ok(table) => fetch::append(&mut whole, table),
                Err(cause) if args.ignore_not_found && cause.is_not_found() => {}
                Err(cause) => {
                    error::print(&cause.into());
                    failed = true;
                }
            }
        }
        let Some(table) = whole.filter(|table| !table.rows.is_empty()) else {
            continue;
        };
        if printed {
            println!();
        }
        let style = style(args, &group[0], several);
        print!("{}", Printer::default().print(&table, &style));
        printed = true;
    }
    if !printed && !failed && !args.ignore_not_found {
        nothing(args, session, namespaced);
    }
    Ok(exit(failed))
}

fn style(args: &GetArgs, target: &Resolved, several: bool) -> Style {
    Style {
        wide: args.output == Some(Format::Wide),
        headers: !args.no_headers,
        namespace: args.all_namespaces && target.resource.namespaced,
        prefix: several.then(|| target.resource.label()),
        labels: args.show_labels,
    }
}

fn nothing(args: &GetArgs, session: &Session, namespaced: bool) {
    if args.all_namespaces || !namespaced {
        eprintln!("No resources found");
    } else {
        eprintln!("No resources found in {} namespace.", session.namespace);
    }
}

fn exit(failed: bool) -> ExitCode {
    if failed {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    }
}

async fn documents(args: &GetArgs, session: &Session, resolved: Vec<Resolved>) -> Outcome {
    let single = resolved.len() == 1 && resolved[0].name.is_some();
    let mut objects = Vec::new();
    let mut failed = false;
    for target in &resolved {
        match fetch::objects(args, session, target).await {
            Ok(found) if args.output == Some(Format::Name) => {
                for object in found {
                    println!("{}", name_line(target, &object));
                }
            }
            Ok(found) => objects.extend(found),
            Err(cause) if args.ignore_not_found && cause.is_not_found() => {}
            Err(cause) => {
                error::print(&cause.into());
                failed = true;
            }
        }
    }
    if let Some(format) = args.output.filter(|format| format.is_document()) {
        let whole = if single {
            objects.pop()
        } else {
            Some(json!({
                "apiVersion": "v1", "kind": "List", "metadata": {"resourceVersion": ""}, "items": objects,
            }))
        };
        if let Some(whole) = whole {
            print!("{}", text(args, format, whole)?);
        }
    }
    Ok(exit(failed))
}

fn name_line(target: &Resolved, object: &Value) -> String {
    let name = object["metadata"]["name"].as_str().unwrap_or_default();
    format!("{}/{name}", target.resource.label())
}

fn text(args: &GetArgs, format: Format, mut object: Value) -> Result<String, anyhow::Error> {
    if !args.show_managed_fields {
        object = document::without_managed_fields(object);
        let items = object.get_mut("items").and_then(Value::as_array_mut);
        for item in items.into_iter().flatten() {
            *item = document::without_managed_fields(item.take());
        }
    }
    match format {
        Format::Json => document::json(&object),
        _ => document::yaml(&object),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::discovery::Resource;

    #[test]
    fn targets_of_one_resource_share_a_table() {
        let target = |plural: &str, name: &str| Resolved {
            resource: Resource {
                plural: plural.to_owned(),
                ..Resource::default()
            },
            name: Some(name.to_owned()),
        };
        let sizes: Vec<usize> = groups(vec![
            target("pods", "a"),
            target("pods", "b"),
            target("services", "a"),
        ])
        .iter()
        .map(Vec::len)
        .collect();
        assert_eq!(sizes, [2, 1]);
    }
}
