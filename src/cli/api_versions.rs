//! `coracle api-versions`: the versions of the API that the server has.

use super::Outcome;
use super::connect::ClientArgs;
use http::Method;
use serde_json::Value;
use std::process::ExitCode;

#[derive(Debug, clap::Args)]
pub struct ApiVersionsArgs {}

pub async fn run(_: ApiVersionsArgs, client: ClientArgs) -> Outcome {
    let session = client.connect()?;
    let core = session.client.send_value(Method::GET, "/api", None).await?;
    let groups = session
        .client
        .send_value(Method::GET, "/apis", None)
        .await?;
    for version in versions(&core, &groups) {
        println!("{version}");
    }
    Ok(ExitCode::SUCCESS)
}

/// `apps/v1`, `v1`: sorted.
fn versions(core: &Value, groups: &Value) -> Vec<String> {
    let core = core["versions"].as_array().into_iter().flatten();
    let groups = groups["groups"].as_array().into_iter().flatten();
    let mut found: Vec<String> = groups
        .flat_map(|group| group["versions"].as_array().into_iter().flatten())
        .filter_map(|version| version["groupVersion"].as_str())
        .chain(core.filter_map(Value::as_str))
        .map(str::to_owned)
        .collect();
    found.sort();
    found.dedup();
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn versions_are_sorted() {
        let groups = json!({"groups": [
            {"versions": [{"groupVersion": "batch/v1"}]},
            {"versions": [{"groupVersion": "autoscaling/v2"}, {"groupVersion": "autoscaling/v1"}]}]});
        assert_eq!(
            versions(&json!({"versions": ["v1"]}), &groups),
            ["autoscaling/v1", "autoscaling/v2", "batch/v1", "v1"]
        );
        assert!(versions(&Value::Null, &Value::Null).is_empty());
    }
}
