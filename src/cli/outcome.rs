//! What a changing verb says of each object, and whether it changes anything at all.

use super::choose::Place;
use super::print::document;
use clap::ValueEnum;
use serde_json::Value;

/// Whether a change is made, tried out by the server, or only shown.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum DryRun {
    #[default]
    None,
    Client,
    Server,
}

impl DryRun {
    /// The query parameter that makes the server try only.
    pub fn query(self) -> Vec<(&'static str, String)> {
        let mut query = vec![("fieldManager", "coracle".to_owned())];
        if self == DryRun::Server {
            query.push(("dryRun", "All".to_owned()));
        }
        query
    }

    /// What stands behind a verb, as kubectl writes it.
    pub fn suffix(self) -> &'static str {
        match self {
            DryRun::None => "",
            DryRun::Client => " (dry run)",
            DryRun::Server => " (server dry run)",
        }
    }
}

/// How a changed object is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Shown {
    Name,
    Yaml,
    Json,
}

/// Flags of every verb that changes objects.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct OutcomeArgs {
    /// none: change; server: let the server try without keeping it; client: send nothing.
    #[arg(
        long,
        value_name = "HOW",
        default_value = "none",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "client"
    )]
    pub dry_run: DryRun,
    /// name, yaml or json; default: one line about what was done.
    #[arg(short, long, value_name = "FORMAT")]
    pub output: Option<Shown>,
    /// Keep metadata.managedFields in yaml and json.
    #[arg(long)]
    pub show_managed_fields: bool,
}

impl OutcomeArgs {
    /// Prints what was done with an object.
    pub fn print(&self, place: &Place, what: &str, object: &Value) -> Result<(), anyhow::Error> {
        print!("{}", self.text(place, what, object)?);
        Ok(())
    }

    fn text(&self, place: &Place, what: &str, object: &Value) -> Result<String, anyhow::Error> {
        let shown = || {
            if self.show_managed_fields {
                object.clone()
            } else {
                document::without_managed_fields(object.clone())
            }
        };
        Ok(match self.output {
            None => format!("{} {what}{}\n", place.label(), self.dry_run.suffix()),
            Some(Shown::Name) => format!("{}\n", place.label()),
            Some(Shown::Yaml) => document::yaml(&shown())?,
            Some(Shown::Json) => document::json(&shown())?,
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::cli::discovery::Resource;
    use serde_json::json;

    #[test]
    fn outcomes_read_as_kubectls() {
        let place = Place {
            resource: Resource {
                kind: "Deployment".to_owned(),
                group: "apps".to_owned(),
                ..Resource::default()
            },
            namespace: "default".to_owned(),
            name: "web".to_owned(),
        };
        let object = json!({"metadata": {"name": "web", "managedFields": []}});
        for (dry_run, output, expected) in [
            (DryRun::None, None, "deployment.apps/web labeled\n"),
            (
                DryRun::Server,
                None,
                "deployment.apps/web labeled (server dry run)\n",
            ),
            (DryRun::Client, Some(Shown::Name), "deployment.apps/web\n"),
            (DryRun::None, Some(Shown::Yaml), "metadata:\n  name: web\n"),
        ] {
            let args = OutcomeArgs {
                dry_run,
                output,
                show_managed_fields: false,
            };
            assert_eq!(args.text(&place, "labeled", &object).unwrap(), expected);
        }
    }
}
