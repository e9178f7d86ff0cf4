//! `coracle api-resources`: the kinds the server has, with what users may call them.

use super::Outcome;
use super::connect::ClientArgs;
use super::discovery::{Discovery, Resource};
use super::print::table::render;
use clap::ValueEnum;
use std::process::ExitCode;

#[derive(Debug, clap::Args)]
pub struct ApiResourcesArgs {
    /// Only kinds that are (or, with =false, are not) namespaced.
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    namespaced: Option<bool>,
    /// Only kinds of this group; the empty one is core.
    #[arg(long, value_name = "GROUP")]
    api_group: Option<String>,
    /// Only kinds with all of these verbs.
    #[arg(long, value_name = "VERBS", value_delimiter = ',')]
    verbs: Vec<String>,
    /// Only kinds in all of these categories.
    #[arg(long, value_name = "CATEGORIES", value_delimiter = ',')]
    categories: Vec<String>,
    /// wide or name; default: a table.
    #[arg(short, long, value_name = "FORMAT")]
    output: Option<Format>,
    /// name or kind; default: by group, then name.
    #[arg(long, value_name = "COLUMN")]
    sort_by: Option<SortBy>,
    /// Leave the header line out.
    #[arg(long)]
    no_headers: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Wide,
    Name,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum SortBy {
    Name,
    Kind,
}

pub async fn run(args: ApiResourcesArgs, client: ClientArgs) -> Outcome {
    let session = client.connect()?;
    let discovery = Discovery::load(&session.client).await?;
    print!("{}", text(&args, chosen(&args, discovery.resources)));
    Ok(ExitCode::SUCCESS)
}

/// The kinds the flags leave, each in its preferred version, in order.
fn chosen(args: &ApiResourcesArgs, resources: Vec<Resource>) -> Vec<Resource> {
    let mut found: Vec<Resource> = Vec::new();
    for resource in resources {
        // Preferred versions come first.
        let known = found
            .iter()
            .any(|other| other.group == resource.group && other.plural == resource.plural);
        if !known && fits(args, &resource) {
            found.push(resource);
        }
    }
    match args.sort_by {
        None => found.sort_by(|a, b| (&a.group, &a.plural).cmp(&(&b.group, &b.plural))),
        Some(SortBy::Name) => found.sort_by(|a, b| a.plural.cmp(&b.plural)),
        Some(SortBy::Kind) => found.sort_by(|a, b| a.kind.cmp(&b.kind)),
    }
    found
}

fn fits(args: &ApiResourcesArgs, resource: &Resource) -> bool {
    let has = |all: &[String], wanted: &[String]| wanted.iter().all(|word| all.contains(word));
    let group = args.api_group.as_ref();
    // kubectl leaves out what nothing can be done with.
    !resource.verbs.is_empty()
        && args
            .namespaced
            .is_none_or(|wanted| wanted == resource.namespaced)
        && group.is_none_or(|wanted| *wanted == resource.group)
        && has(&resource.verbs, &args.verbs)
        && has(&resource.categories, &args.categories)
}

fn text(args: &ApiResourcesArgs, resources: Vec<Resource>) -> String {
    if args.output == Some(Format::Name) {
        return resources
            .iter()
            .map(|resource| match resource.group.as_str() {
                "" => format!("{}\n", resource.plural),
                group => format!("{}.{group}\n", resource.plural),
            })
            .collect();
    }
    let wide = args.output == Some(Format::Wide);
    let mut lines = Vec::new();
    if !args.no_headers {
        let mut heads = vec!["NAME", "SHORTNAMES", "APIVERSION", "NAMESPACED", "KIND"];
        if wide {
            heads.extend(["VERBS", "CATEGORIES"]);
        }
        lines.push(heads.into_iter().map(str::to_owned).collect());
    }
    lines.extend(resources.iter().map(|resource| {
        let mut cells = vec![
            resource.plural.clone(),
            resource.short_names.join(","),
            resource.api_version(),
            resource.namespaced.to_string(),
            resource.kind.clone(),
        ];
        if wide {
            cells.extend([resource.verbs.join(","), resource.categories.join(",")]);
        }
        cells
    }));
    render(&lines, &mut Vec::new())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: ApiResourcesArgs,
    }

    fn resources() -> Vec<Resource> {
        let resource =
            |group: &str, version: &str, plural: &str, kind: &str, namespaced| Resource {
                group: group.to_owned(),
                version: version.to_owned(),
                plural: plural.to_owned(),
                kind: kind.to_owned(),
                namespaced,
                short_names: vec![plural[..2].to_owned()],
                verbs: vec!["get".to_owned(), "list".to_owned()],
                ..Resource::default()
            };
        vec![
            resource("", "v1", "pods", "Pod", true),
            resource("", "v1", "nodes", "Node", false),
            resource("autoscaling", "v2", "horizontalpodautoscalers", "HPA", true),
            resource("autoscaling", "v1", "horizontalpodautoscalers", "HPA", true),
        ]
    }

    #[test]
    fn flags_choose_and_order() {
        for (line, expected) in [
            (
                "x -o name",
                "nodes\npods\nhorizontalpodautoscalers.autoscaling\n",
            ),
            ("x -o name --namespaced=false", "nodes\n"),
            ("x -o name --api-group=", "nodes\npods\n"),
            ("x -o name --verbs=list,create", ""),
            (
                "x -o name --sort-by=kind",
                "horizontalpodautoscalers.autoscaling\nnodes\npods\n",
            ),
            (
                "x --api-group= --namespaced",
                "NAME   SHORTNAMES   APIVERSION   NAMESPACED   KIND\npods   po           v1           true         Pod\n",
            ),
        ] {
            let words: Vec<&str> = line.split(' ').collect();
            let args = Line::try_parse_from(words).unwrap().args;
            let found = chosen(&args, resources());
            assert_eq!(text(&args, found), expected, "{line}");
        }
    }
}
