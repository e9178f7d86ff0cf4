//! The CronJob's work, now instead of at the next full minute.

use super::objects::{CRON_JOB, JOB, NAMESPACE};
use super::{Server, say};
use crate::cli::connect::request;
use crate::cli::create::from_cron_job;
use crate::client::informer::{Event, Scope, informer};
use crate::client::{ListParams, read_body};
use anyhow::Context;
use axum::body::Body;
use futures::StreamExt;
use http::Method;
use k8s_openapi::api::batch::v1::{CronJob, Job};
use k8s_openapi::api::core::v1::Pod;
use serde_json::json;
use std::time::Duration;

/// Longest wait for the Job: a slow board starts two containers for it.
const TIMEOUT: Duration = Duration::from_mins(2);

/// # Errors
/// The Job fails, or does not end.
pub async fn show(server: &Server) -> Result<(), anyhow::Error> {
    say(&format!(
        "\ncronjob/{CRON_JOB} runs at every full minute. Not to wait for one, as `kubectl create job {JOB} --from=cronjob/{CRON_JOB}`:"
    ));
    let client = &server.session.client;
    let source = serde_json::to_value(client.get::<CronJob>(Some(NAMESPACE), CRON_JOB).await?)?;
    let metadata = json!({"name": JOB, "namespace": NAMESPACE});
    let head = json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata});
    server.apply(&from_cron_job(head, &source)?).await?;
    tokio::time::timeout(TIMEOUT, until_complete(server))
        .await
        .map_err(|_| anyhow::anyhow!("job {JOB} did not end within {} s", TIMEOUT.as_secs()))??;
    let log = log(server).await.context("the Job's log")?;
    say(&format!("job/{JOB} is complete; its log: {}", log.trim()));
    Ok(())
}

async fn until_complete(server: &Server) -> Result<(), anyhow::Error> {
    let scope = Scope {
        namespace: Some(NAMESPACE.to_owned()),
        label_selector: None,
        field_selector: Some(format!("metadata.name={JOB}")),
    };
    let mut events = informer::<Job>(&server.session.client, scope);
    while let Some(event) = events.next().await {
        let jobs = match event {
            Event::Restarted(jobs) => jobs,
            Event::Applied(job) => vec![job],
            Event::Deleted(_) => anyhow::bail!("job {JOB} was deleted before it ended"),
        };
        let conditions = jobs.iter().flat_map(|job| &job.status);
        let conditions = conditions.flat_map(|status| status.conditions.iter().flatten());
        for condition in conditions.filter(|condition| condition.status == "True") {
            match condition.type_.as_str() {
                "Complete" => return Ok(()),
                "Failed" => {
                    let why = condition.message.as_deref().unwrap_or_default();
                    anyhow::bail!("job {JOB} failed: {why}")
                }
                _ => {}
            }
        }
    }
    anyhow::bail!("the watch of jobs ended")
}

async fn log(server: &Server) -> Result<String, anyhow::Error> {
    let client = &server.session.client;
    let params = ListParams {
        label_selector: Some(format!("batch.kubernetes.io/job-name={JOB}")),
        ..ListParams::default()
    };
    let (pods, _) = client.list::<Pod>(Some(NAMESPACE), &params).await?;
    let pod = pods.first().context("the Job has no pod")?;
    let path = format!(
        "/api/v1/namespaces/{NAMESPACE}/pods/{}/log",
        super::pods::name(pod)
    );
    let asked = request(Method::GET, &path, &[], &[], Body::empty())?;
    let text = read_body(client.request(asked).await?).await?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}
