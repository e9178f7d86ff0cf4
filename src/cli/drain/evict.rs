//! One pod made to go: evicted where the server can, deleted where it cannot, and waited for.

use super::DrainArgs;
use crate::cli::choose::{Place, send};
use crate::cli::connect::Session;
use crate::cli::outcome::DryRun;
use crate::cli::{error, follow};
use crate::client::ClientError;
use http::Method;
use serde_json::{Value, json};
use std::time::Duration;

/// Between two attempts where a budget stands against it; kubectl's.
const RETRY: Duration = Duration::from_secs(5);

/// One pod on its way.
pub struct Leaving<'a> {
    pub session: &'a Session,
    pub args: &'a DrainArgs,
    pub place: &'a Place,
    pub uid: &'a str,
    /// The server has the `eviction` subresource and it is wanted.
    pub evicts: bool,
}

impl Leaving<'_> {
    /// Returns once the pod is gone.
    pub async fn run(&self) -> Result<(), anyhow::Error> {
        let (verb, done) = if self.evicts {
            ("evicting", "evicted")
        } else {
            ("deleting", "deleted")
        };
        let (namespace, name) = (&self.place.namespace, &self.place.name);
        let suffix = self.args.dry_run.suffix();
        if self.args.dry_run == DryRun::Client {
            println!("{verb} pod {namespace}/{name}{suffix}");
            return Ok(());
        }
        loop {
            println!("{verb} pod {namespace}/{name}{suffix}");
            match self.ask().await {
                Ok(()) => break,
                Err(cause) if cause.is_not_found() => return Ok(()),
                Err(cause) if self.evicts && again(&cause) => {
                    eprintln!(
                        "error when evicting pods/{name:?} -n {namespace:?} (will retry after 5s): {cause}"
                    );
                    tokio::time::sleep(RETRY).await;
                }
                Err(cause) => {
                    let text = error::text(&cause.into());
                    anyhow::bail!("error when {verb} pods/{name:?} -n {namespace:?}: {text}");
                }
            }
        }
        if self.args.dry_run == DryRun::None {
            follow::until(self.session, self.place, |pod| {
                let other = pod["metadata"]["uid"].as_str() != Some(self.uid);
                Ok(other.then_some(()))
            })
            .await?;
        }
        println!("{} {done}{suffix}", self.place.label());
        Ok(())
    }

    async fn ask(&self) -> Result<(), ClientError> {
        let mut options = json!({"kind": "DeleteOptions", "apiVersion": "v1"});
        if self.args.grace_period >= 0 {
            options["gracePeriodSeconds"] = json!(self.args.grace_period);
        }
        if self.args.dry_run == DryRun::Server {
            options["dryRun"] = json!(["All"]);
        }
        if !self.evicts {
            // Only this pod: another may have taken its name.
            options["preconditions"] = json!({"uid": self.uid});
        }
        let (method, path, body) = if self.evicts {
            let eviction = json!({
                "apiVersion": "policy/v1", "kind": "Eviction",
                "metadata": {"name": self.place.name, "namespace": self.place.namespace},
                "deleteOptions": options,
            });
            (Method::POST, self.place.path(Some("eviction")), eviction)
        } else {
            (Method::DELETE, self.place.path(None), options)
        };
        let media = ("application/json", &body);
        send(self.session, method, &path, &[], media).await?;
        Ok(())
    }
}

/// Whether the server says "not now": a disruption budget, or a namespace that is going anyway.
fn again(cause: &ClientError) -> bool {
    let terminating = match cause {
        ClientError::Status { status, .. } => status
            .details
            .iter()
            .flat_map(|details| details.causes.iter().flatten())
            .any(|cause| cause.reason.as_deref() == Some("NamespaceTerminating")),
        _ => false,
    };
    cause.code() == Some(429) || terminating
}

/// Whether the server's core group lists `pods/eviction`.
pub fn has_eviction(core: &Value) -> bool {
    core["resources"]
        .as_array()
        .into_iter()
        .flatten()
        .any(|resource| resource["name"] == "pods/eviction")
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Status, StatusCause, StatusDetails};

    #[test]
    fn some_refusals_pass() {
        let refusal = |code: u16, reason: &str| ClientError::Status {
            code,
            status: Box::new(Status {
                details: Some(StatusDetails {
                    causes: Some(vec![StatusCause {
                        reason: Some(reason.to_owned()),
                        ..StatusCause::default()
                    }]),
                    ..StatusDetails::default()
                }),
                ..Status::default()
            }),
        };
        for (code, reason, expected) in [
            (429, "DisruptionBudget", true),
            (403, "NamespaceTerminating", true),
            (403, "", false),
            (500, "", false),
        ] {
            assert_eq!(again(&refusal(code, reason)), expected, "{code} {reason}");
        }
        assert!(has_eviction(
            &json!({"resources": [{"name": "pods/eviction"}]})
        ));
        assert!(!has_eviction(&Value::Null));
    }
}
