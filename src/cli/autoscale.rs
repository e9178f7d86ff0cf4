//! `coracle autoscale`: a `HorizontalPodAutoscaler` for what can be scaled.

use super::connect::ClientArgs;
use super::discovery::Discovery;
use super::manifest::FileArgs;
use super::selection::{Chosen, Wanted};
use super::write_args::{Speaker, Validate, WriteArgs, head, resource_of};
use super::{Outcome, apply};
use crate::object::quantity::Quantity;
use serde_json::{Value, json};

#[derive(Debug, clap::Args)]
pub struct AutoscaleArgs {
    /// `deployment web`, `sts/db`.
    #[arg(value_name = "RESOURCE")]
    resources: Vec<String>,
    #[command(flatten)]
    files: FileArgs,
    #[command(flatten)]
    bounds: Bounds,
    /// Remember the object in its annotations, for a later `apply`.
    #[arg(long)]
    save_config: bool,
    #[command(flatten)]
    write: WriteArgs,
}

#[derive(Debug, Clone, Default, clap::Args)]
struct Bounds {
    /// The autoscaler's name; default: that of what it scales.
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Fewest replicas; -1: the server's choice.
    #[arg(long, value_name = "COUNT", default_value_t = -1, allow_negative_numbers = true)]
    min: i32,
    /// Most replicas.
    #[arg(long, value_name = "COUNT", allow_negative_numbers = true)]
    max: i32,
    /// Percentage of the requested CPU to aim at; -1: the server's choice.
    #[arg(long, value_name = "PERCENT", default_value_t = -1, allow_negative_numbers = true, conflicts_with = "cpu")]
    cpu_percent: i32,
    /// CPU to aim at: `70%` of what is requested, or `500m` per pod.
    #[arg(long, value_name = "AMOUNT")]
    cpu: Option<String>,
    /// Memory to aim at: `70%` of what is requested, or `200Mi` per pod.
    #[arg(long, value_name = "AMOUNT")]
    memory: Option<String>,
}

pub async fn run(args: AutoscaleArgs, client: ClientArgs) -> Outcome {
    let Bounds { min, max, .. } = args.bounds;
    anyhow::ensure!(
        max >= 1,
        "--max=MAXPODS is required and must be at least 1, max: {max}"
    );
    anyhow::ensure!(
        max >= min,
        "--max=MAXPODS must be larger or equal to --min=MINPODS, max: {max}, min: {min}"
    );
    let session = client.connect()?;
    let discovery = Discovery::load(&session.client).await?;
    let wanted = Wanted {
        resources: &args.resources,
        files: &args.files,
        selector: None,
        all: false,
    };
    let mut selection = wanted.find(&session, &discovery).await?;
    let speaker = Speaker::new(&args.write);
    for chosen in std::mem::take(&mut selection.chosen) {
        let one = async {
            let mut object = autoscaler(&chosen, &args.bounds)?;
            let resource = resource_of(&object)?;
            if session.namespace_explicit || !args.write.is_client() {
                object["metadata"]["namespace"] = json!(chosen.namespace);
            }
            if args.save_config {
                object = apply::with_last_applied(&object)?;
            }
            if !args.write.is_client() {
                object = args
                    .write
                    .create(&session, &resource, &object, Validate::Ignore)
                    .await?;
            }
            speaker.say(&resource, &object, "autoscaled")
        };
        if let Err(cause) = one.await {
            selection.fail(&cause);
        }
    }
    Ok(selection.exit_code())
}

fn autoscaler(chosen: &Chosen, bounds: &Bounds) -> Result<Value, anyhow::Error> {
    let kind = chosen.resource.kind.as_str();
    anyhow::ensure!(
        matches!(
            kind,
            "Deployment" | "ReplicaSet" | "StatefulSet" | "ReplicationController"
        ),
        "cannot autoscale a {kind}: it has no scale"
    );
    let mut metrics = Vec::new();
    if bounds.cpu_percent > 0 {
        metrics.push(metric("cpu", &format!("{}%", bounds.cpu_percent))?);
    }
    for (name, amount) in [("cpu", &bounds.cpu), ("memory", &bounds.memory)] {
        if let Some(amount) = amount {
            metrics.push(metric(name, amount)?);
        }
    }
    let name = bounds.name.as_ref().unwrap_or(&chosen.name);
    let mut object = head("autoscaling/v2", "HorizontalPodAutoscaler", name);
    let mut spec = json!({
        "maxReplicas": bounds.max,
        "scaleTargetRef": {
            "apiVersion": chosen.resource.api_version(), "kind": kind, "name": chosen.name,
        },
    });
    if bounds.min > 0 {
        spec["minReplicas"] = json!(bounds.min);
    }
    if !metrics.is_empty() {
        spec["metrics"] = Value::Array(metrics);
    }
    object["spec"] = spec;
    Ok(object)
}

/// A percentage is of what is requested; an amount is per pod, without a unit thousandths or mebibytes.
fn metric(name: &str, amount: &str) -> Result<Value, anyhow::Error> {
    let target = if let Some(percent) = amount.strip_suffix('%') {
        let percent = percent.parse::<i32>().ok().filter(|percent| *percent > 0);
        let percent =
            percent.ok_or_else(|| anyhow::anyhow!("invalid {name} percentage: {amount:?}"))?;
        json!({"type": "Utilization", "averageUtilization": percent})
    } else {
        let bare = amount.chars().all(|character| character.is_ascii_digit());
        let unit = if name == "cpu" { "m" } else { "Mi" };
        let amount = if bare {
            format!("{amount}{unit}")
        } else {
            amount.to_owned()
        };
        Quantity::parse(&amount).map_err(|cause| anyhow::anyhow!("invalid {name}: {cause}"))?;
        json!({"type": "AverageValue", "averageValue": amount})
    };
    Ok(json!({"type": "Resource", "resource": {"name": name, "target": target}}))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn amounts() {
        let target = |name: &str, amount: &str| {
            metric(name, amount)
                .map(|metric| metric["resource"]["target"].clone())
                .ok()
        };
        assert_eq!(target("cpu", "70%").unwrap()["averageUtilization"], 70);
        assert_eq!(target("cpu", "500").unwrap()["averageValue"], "500m");
        assert_eq!(target("memory", "200").unwrap()["averageValue"], "200Mi");
        assert_eq!(target("memory", "1Gi").unwrap()["averageValue"], "1Gi");
        assert!(target("cpu", "0%").is_none());
        assert!(target("cpu", "x").is_none());
    }
}
