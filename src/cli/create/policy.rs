//! `create poddisruptionbudget`, `priorityclass` and `quota`.

use super::{Common, Generate, Known};
use crate::cli::write_args::{head, int_or_string};
use crate::object::quantity::Quantity;
use crate::object::selector::LabelSelector;
use anyhow::Context;
use serde_json::{Map, Value, json};

#[derive(Debug, clap::Args)]
pub struct BudgetArgs {
    #[arg(value_name = "NAME")]
    name: String,
    /// The pods that are meant.
    #[arg(long, value_name = "SELECTOR")]
    selector: String,
    /// How many must stay, as a number or a percentage.
    #[arg(long, value_name = "COUNT")]
    min_available: Option<String>,
    /// How many may be missing, as a number or a percentage.
    #[arg(long, value_name = "COUNT")]
    max_unavailable: Option<String>,
    #[command(flatten)]
    common: Common,
}

impl Generate for BudgetArgs {
    fn common(&self) -> &Common {
        &self.common
    }
    fn object(&self, _: &Known) -> Result<Value, anyhow::Error> {
        let (field, flag, count) = match (&self.min_available, &self.max_unavailable) {
            (Some(count), None) => ("minAvailable", "min-available", count),
            (None, Some(count)) => ("maxUnavailable", "max-unavailable", count),
            (None, None) => {
                anyhow::bail!("one of min-available or max-unavailable must be specified")
            }
            (Some(_), Some(_)) => {
                anyhow::bail!("min-available and max-unavailable cannot be both specified")
            }
        };
        let digits = count.strip_suffix('%').unwrap_or(count);
        anyhow::ensure!(
            !digits.is_empty() && digits.chars().all(|digit| digit.is_ascii_digit()),
            "invalid format specified for {flag}: {count:?} is neither a number nor a percentage"
        );
        let selector = LabelSelector::parse(&self.selector).map_err(|cause| {
            anyhow::anyhow!(
                "couldn't parse the selector string \"{}\": {cause}",
                self.selector
            )
        })?;
        anyhow::ensure!(!selector.is_empty(), "a selector must be specified");
        let mut object = head("policy/v1", "PodDisruptionBudget", &self.name);
        let selector = selector
            .to_json()
            .context("a budget's selector cannot compare with < or >")?;
        object["spec"] = json!({"selector": selector});
        object["spec"][field] = int_or_string(count);
        object["status"] = json!({
            "currentHealthy": 0, "desiredHealthy": 0, "disruptionsAllowed": 0, "expectedPods": 0,
        });
        Ok(object)
    }
    fn refusal(&self) -> String {
        "failed to create poddisruptionbudgets:".to_owned()
    }
}

#[derive(Debug, clap::Args)]
pub struct PriorityClassArgs {
    #[arg(value_name = "NAME")]
    name: String,
    /// The priority.
    #[arg(
        long,
        value_name = "NUMBER",
        default_value_t = 0,
        allow_negative_numbers = true
    )]
    value: i32,
    /// For pods that name no class.
    #[arg(long, num_args = 0..=1, require_equals = true, default_value_t = false, default_missing_value = "true", action = clap::ArgAction::Set)]
    global_default: bool,
    /// When to use it.
    #[arg(long, value_name = "TEXT", default_value = "")]
    description: String,
    /// `PreemptLowerPriority` or `Never`.
    #[arg(long, value_name = "POLICY", default_value = "PreemptLowerPriority")]
    preemption_policy: String,
    #[command(flatten)]
    common: Common,
}

impl Generate for PriorityClassArgs {
    fn common(&self) -> &Common {
        &self.common
    }
    fn object(&self, _: &Known) -> Result<Value, anyhow::Error> {
        let mut object = head("scheduling.k8s.io/v1", "PriorityClass", &self.name);
        object["value"] = json!(self.value);
        object["preemptionPolicy"] = json!(self.preemption_policy);
        if self.global_default {
            object["globalDefault"] = json!(true);
        }
        if !self.description.is_empty() {
            object["description"] = json!(self.description);
        }
        Ok(object)
    }
    fn refusal(&self) -> String {
        "failed to create priorityclass:".to_owned()
    }
}

#[derive(Debug, clap::Args)]
pub struct QuotaArgs {
    #[arg(value_name = "NAME")]
    name: String,
    /// The limits, for example cpu=1,pods=10.
    #[arg(long, value_name = "NAME=QUANTITY", default_value = "")]
    hard: String,
    /// Only for pods like these, for example `BestEffort`.
    #[arg(long, value_name = "SCOPE", default_value = "")]
    scopes: String,
    #[command(flatten)]
    common: Common,
}

impl Generate for QuotaArgs {
    fn common(&self) -> &Common {
        &self.common
    }
    fn object(&self, _: &Known) -> Result<Value, anyhow::Error> {
        let mut spec = json!({});
        let hard = quantities(&self.hard)?;
        if !hard.is_empty() {
            spec["hard"] = Value::Object(hard);
        }
        if !self.scopes.is_empty() {
            let scopes: Vec<&str> = self.scopes.split(',').collect();
            anyhow::ensure!(
                scopes.iter().all(|scope| !scope.is_empty()),
                "invalid resource quota scope \"\""
            );
            spec["scopes"] = json!(scopes);
        }
        let mut object = head("v1", "ResourceQuota", &self.name);
        object["spec"] = spec;
        object["status"] = json!({});
        Ok(object)
    }
    fn refusal(&self) -> String {
        "failed to create quota:".to_owned()
    }
}

/// `cpu=1,memory=1Gi`; the amounts stay as they are written.
pub fn quantities(text: &str) -> Result<Map<String, Value>, anyhow::Error> {
    let mut found = Map::new();
    for pair in text.split(',').filter(|_| !text.is_empty()) {
        let (name, amount) = pair
            .split_once('=')
            .filter(|(_, amount)| !amount.contains('='))
            .with_context(|| {
                format!("Invalid argument syntax {pair}, expected <resource>=<value>")
            })?;
        Quantity::parse(amount).map_err(|cause| anyhow::anyhow!("{pair}: {cause}"))?;
        found.insert(name.to_owned(), json!(amount));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn amounts() {
        let found = quantities("cpu=100m,memory=1Gi").unwrap();
        assert_eq!(
            Value::Object(found),
            json!({"cpu": "100m", "memory": "1Gi"})
        );
        assert!(quantities("").unwrap().is_empty());
        for wrong in ["cpu", "cpu=", "cpu=x", "cpu=1=2", ","] {
            assert!(quantities(wrong).is_err(), "{wrong}");
        }
    }
}
