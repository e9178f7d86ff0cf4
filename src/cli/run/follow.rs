//! `run --attach`: the container's streams, then its end.

use super::{Restart, RunArgs};
use crate::cli::Outcome;
use crate::cli::attach::attach;
use crate::cli::connect::{Session, request};
use crate::cli::debug::wait;
use crate::cli::discovery::Resource;
use crate::cli::get::until_some;
use crate::cli::remote::StreamArgs;
use crate::cli::write_args::resource_of;
use crate::object::access::{integer, text};
use axum::body::Body;
use http::{Method, header};
use serde_json::{Value, json};
use std::process::ExitCode;
use std::time::Duration;

/// Attaches, or prints the log where the container was quicker; then waits for the pod's end where that will come.
pub async fn follow(args: &RunArgs, session: &Session, pod: &str, container: &str) -> Outcome {
    let limit = Duration::from_secs(args.pod_running_timeout);
    let started = tokio::time::timeout(limit, wait::until_started(session, pod, container))
        .await
        .map_err(|_| anyhow::anyhow!("timed out waiting for the condition"))??;
    // Without input only the output is wanted, and the log has all of it, from the first byte.
    if !args.stdin || matches!(started, wait::State::Ended(_)) {
        wait::print_log(session, pod, container).await?;
    } else {
        let streams = StreamArgs {
            container: Some(container.to_owned()),
            stdin: args.stdin,
            tty: args.tty,
            quiet: args.quiet,
            pod_running_timeout: args.pod_running_timeout,
        };
        if let Err(cause) = attach(session, pod, &streams).await {
            eprintln!(
                "warning: couldn't attach to pod/{pod}, falling back to streaming logs: {cause:#}"
            );
            wait::print_log(session, pod, container).await?;
        }
    }
    if args.leave_stdin_open || args.restart == Restart::Always {
        return Ok(ExitCode::SUCCESS);
    }
    let resource = resource_of(&json!({"apiVersion": "v1", "kind": "Pod"}))?;
    let place = (session.namespace.as_str(), pod);
    let ended = until_some(session, &resource, place, Some(limit), |pod| {
        let phase = text(pod, "/status/phase");
        let over = phase == "Succeeded" || (phase == "Failed" && args.restart == Restart::Never);
        Ok(over.then(|| pod.clone()))
    });
    outcome(&ended.await?)
}

/// The exit code of a pod that has ended.
fn outcome(pod: &Value) -> Outcome {
    if text(pod, "/status/phase") == "Succeeded" {
        return Ok(ExitCode::SUCCESS);
    }
    let place = format!(
        "pod {}/{}",
        text(pod, "/metadata/namespace"),
        text(pod, "/metadata/name")
    );
    let terminated = "/status/containerStatuses/0/state/terminated";
    let code = integer(pod, &format!("{terminated}/exitCode"));
    anyhow::ensure!(code != 0, "{place} failed with unknown exit code");
    let reason = text(pod, &format!("{terminated}/reason"));
    let message = text(pod, &format!("{terminated}/message"));
    eprintln!("{place} terminated ({reason})\n{message}");
    Ok(ExitCode::from(u8::try_from(code & 0xff).unwrap_or(1)))
}

/// Deletes what was made; that it is gone already is no error.
pub async fn remove(
    session: &Session,
    resource: &Resource,
    object: &Value,
    quiet: bool,
) -> Result<(), anyhow::Error> {
    let name = text(object, "/metadata/name");
    let path = resource.path(Some(text(object, "/metadata/namespace")), Some(name));
    let headers = [(header::CONTENT_TYPE, "application/json")];
    let options =
        json!({"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": "Background"});
    let request = request(
        Method::DELETE,
        &path,
        &[],
        &headers,
        Body::from(options.to_string()),
    )?;
    match session.client.request(request).await {
        Ok(_) if quiet => {}
        Ok(_) => println!("{} \"{name}\" deleted", resource.label()),
        Err(cause) if cause.is_not_found() => {}
        Err(cause) => return Err(cause.into()),
    }
    Ok(())
}
