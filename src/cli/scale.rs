//! `coracle scale`: another number of replicas, through the `scale` subresource.

use super::connect::{ClientArgs, Session};
use super::discovery::Discovery;
use super::manifest::FileArgs;
use super::selection::{Chosen, Wanted};
use super::write_args::{DryRun, Speaker, WriteArgs};
use super::{Outcome, get::until};
use crate::client::{ClientError, PatchType};
use crate::object::duration::parse_seconds;
use http::Method;
use serde_json::{Value, json};
use std::time::Duration;

/// Attempts where the object changes between looking and scaling.
const ATTEMPTS_MAX: usize = 10;

#[derive(Debug, clap::Args)]
pub struct ScaleArgs {
    /// `deployment web`, `deploy/web rs/db`, or a kind with --all or -l.
    #[arg(value_name = "RESOURCE")]
    resources: Vec<String>,
    #[command(flatten)]
    files: FileArgs,
    /// How many there shall be.
    #[arg(long, value_name = "COUNT", allow_negative_numbers = true)]
    replicas: i32,
    /// Only where there are so many now; -1: however many.
    #[arg(long, value_name = "COUNT", default_value_t = -1, allow_negative_numbers = true)]
    current_replicas: i32,
    /// Only where the object has this resource version.
    #[arg(long, value_name = "VERSION")]
    resource_version: Option<String>,
    /// Every object of the kind in the namespace.
    #[arg(long, conflicts_with = "selector")]
    all: bool,
    /// Objects with these labels.
    #[arg(short = 'l', long, value_name = "SELECTOR")]
    selector: Option<String>,
    /// How long to wait until there are so many, for example 30s; default: do not wait.
    #[arg(long, value_name = "DURATION", value_parser = parse_seconds)]
    timeout: Option<u64>,
    #[command(flatten)]
    write: WriteArgs,
}

/// What must be true of the object.
#[derive(Debug, Clone, Copy)]
struct Condition<'a> {
    replicas: Option<i32>,
    resource_version: Option<&'a str>,
}

impl Condition<'_> {
    fn none(self) -> bool {
        self.replicas.is_none() && self.resource_version.is_none()
    }

    fn check(self, scale: &Value) -> Result<(), anyhow::Error> {
        let now = scale["spec"]["replicas"].as_i64().unwrap_or_default();
        if let Some(wanted) = self.replicas {
            anyhow::ensure!(
                now == i64::from(wanted),
                "Expected replicas to be {wanted}, was {now}"
            );
        }
        let version = scale["metadata"]["resourceVersion"].as_str();
        if let Some(wanted) = self.resource_version {
            anyhow::ensure!(
                version == Some(wanted),
                "Expected resource version to be {wanted}, was {}",
                version.unwrap_or_default()
            );
        }
        Ok(())
    }
}

pub async fn run(args: ScaleArgs, client: ClientArgs) -> Outcome {
    anyhow::ensure!(
        args.replicas >= 0,
        "The --replicas=COUNT flag is required, and COUNT must be greater than or equal to 0"
    );
    anyhow::ensure!(
        args.current_replicas >= -1,
        "The --current-replicas must specify an integer of -1 or greater"
    );
    let session = client.connect()?;
    let discovery = Discovery::load(&session.client).await?;
    let wanted = Wanted {
        resources: &args.resources,
        files: &args.files,
        selector: args.selector.as_deref(),
        all: args.all,
    };
    let mut selection = wanted.find(&session, &discovery).await?;
    anyhow::ensure!(
        args.resource_version.is_none() || selection.chosen.len() <= 1,
        "cannot use --resource-version with multiple resources"
    );
    if selection.chosen.is_empty() && !selection.failed {
        anyhow::bail!("no objects passed to scale");
    }
    let condition = Condition {
        replicas: (args.current_replicas >= 0).then_some(args.current_replicas),
        resource_version: args.resource_version.as_deref(),
    };
    let speaker = Speaker::new(&args.write);
    for mut chosen in std::mem::take(&mut selection.chosen) {
        let one = async {
            if !args.write.is_client() {
                scale(&session, &args, condition, &chosen).await?;
            }
            if let (Some(seconds), DryRun::None) = (args.timeout, args.write.dry_run) {
                let limit = Duration::from_secs(seconds);
                let reached = |object: &Value| reached(object, args.replicas);
                until(
                    &session,
                    &chosen.resource,
                    &chosen.namespace,
                    &chosen.name,
                    limit,
                    reached,
                )
                .await?;
            }
            chosen.object["spec"]["replicas"] = json!(args.replicas);
            speaker.say(&chosen.resource, &chosen.object, "scaled")
        };
        if let Err(cause) = one.await {
            selection.fail(&cause);
        }
    }
    Ok(selection.exit_code())
}

/// The controller has seen the number and there are so many; another number meanwhile ends the waiting too.
fn reached(object: &Value, replicas: i32) -> bool {
    let generation = object["metadata"]["generation"].as_i64().unwrap_or(0);
    let seen = object["status"]["observedGeneration"].as_i64().unwrap_or(0);
    let wanted = object["spec"]["replicas"].as_i64().unwrap_or(1);
    let now = object["status"]["replicas"].as_i64().unwrap_or(0);
    wanted != i64::from(replicas) || (seen >= generation && now == wanted)
}

/// Without a condition one patch; with one the scale that was looked at is put back with its version.
async fn scale(
    session: &Session,
    args: &ScaleArgs,
    condition: Condition<'_>,
    chosen: &Chosen,
) -> Result<(), anyhow::Error> {
    let path = format!("{}/scale", chosen.path());
    if condition.none() {
        let patch = json!({"spec": {"replicas": args.replicas}});
        args.write
            .patch(session, &path, PatchType::Merge, &patch)
            .await?;
        return Ok(());
    }
    for attempt in 1.. {
        let mut current = session.client.send_value(Method::GET, &path, None).await?;
        condition.check(&current)?;
        current["spec"]["replicas"] = json!(args.replicas);
        match args.write.replace(session, &path, &current).await {
            Err(ClientError::Status { code: 409, .. })
                if attempt < ATTEMPTS_MAX && condition.resource_version.is_none() => {}
            result => return result.map(drop).map_err(Into::into),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions() {
        let scale = json!({"metadata": {"resourceVersion": "7"}, "spec": {"replicas": 2}});
        for (replicas, resource_version, fits) in [
            (None, None, true),
            (Some(2), Some("7"), true),
            (Some(1), None, false),
            (None, Some("8"), false),
        ] {
            let condition = Condition {
                replicas,
                resource_version,
            };
            assert_eq!(condition.check(&scale).is_ok(), fits, "{condition:?}");
        }
    }

    #[test]
    fn waiting_ends_with_the_number_or_with_another_one() {
        for (object, expected) in [
            (
                json!({"metadata": {"generation": 2}, "spec": {"replicas": 3}, "status": {"observedGeneration": 2, "replicas": 3}}),
                true,
            ),
            (
                json!({"metadata": {"generation": 2}, "spec": {"replicas": 3}, "status": {"observedGeneration": 1, "replicas": 3}}),
                false,
            ),
            (
                json!({"metadata": {"generation": 2}, "spec": {"replicas": 3}, "status": {"observedGeneration": 2, "replicas": 1}}),
                false,
            ),
            (json!({"spec": {"replicas": 5}}), true),
        ] {
            assert_eq!(reached(&object, 3), expected, "{object}");
        }
    }
}
