//! Container logs: which run's file, and its lines as they come.
//! <https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/pod-v1/#get-read-log-of-the-specified-pod>

use super::log_query::LogQuery;
use super::{Refusal, Server, query};
use crate::kubelet::manager::{ContainerView, View};
use ::http::{Request, Response};
use axum::body::Body;
use axum::extract::{Path, State};
use tokio::sync::watch;

pub async fn container_logs(
    State(server): State<Server>,
    Path((namespace, pod, container)): Path<(String, String, String)>,
    request: Request<Body>,
) -> Result<Response<Body>, Refusal> {
    let query = LogQuery::parse(&query(request.uri()), jiff::Timestamp::now())?;
    let view = server.pod(&namespace, &pod)?;
    let (uid, attempt) = {
        let now = view.borrow();
        let Some(state) = now.containers.get(&container) else {
            return Err(Refusal::not_found(format!(
                "container \"{container}\" not found in pod \"{pod}\""
            )));
        };
        let attempt = attempt(state, query.previous)
            .map_err(|what| Refusal::bad_request(what.message(&container, &pod)))?;
        (now.pod.metadata.uid.clone().unwrap_or_default(), attempt)
    };
    let path = server.ctx.dirs.log(&uid, &container, attempt);
    let stream = crate::runtime::logs::read(path, query.options, ended(view, container, attempt));
    let mut response = Response::new(Body::from_stream(stream));
    response.headers_mut().insert(
        ::http::header::CONTENT_TYPE,
        ::http::HeaderValue::from_static("text/plain"),
    );
    Ok(response)
}

/// Why there is no log; the words are upstream's.
#[derive(Debug, PartialEq, Eq)]
enum NoLog {
    NoPrevious,
    Waiting(String),
}

impl NoLog {
    fn message(&self, container: &str, pod: &str) -> String {
        match self {
            NoLog::NoPrevious => {
                format!("previous terminated container \"{container}\" in pod \"{pod}\" not found")
            }
            NoLog::Waiting(reason) => {
                let why = match reason.as_str() {
                    "ErrImagePull" => "image can't be pulled",
                    "ImagePullBackOff" => "trying and failing to pull image",
                    other => other,
                };
                format!("container \"{container}\" in pod \"{pod}\" is waiting to start: {why}")
            }
        }
    }
}

/// The run whose log is meant. A container that waits for its restart shows the run that ended, with and without
/// `previous`.
fn attempt(view: &ContainerView, previous: bool) -> Result<u32, NoLog> {
    match (view.attempt, previous) {
        (Some(attempt), false) => Ok(attempt),
        (Some(attempt), true) if view.waiting.is_some() && !view.running => Ok(attempt),
        (Some(attempt), true) => attempt.checked_sub(1).ok_or(NoLog::NoPrevious),
        (None, true) => Err(NoLog::NoPrevious),
        (None, false) => Err(NoLog::Waiting(
            view.waiting
                .clone()
                .unwrap_or_else(|| "ContainerCreating".to_string()),
        )),
    }
}

/// Resolves when the run that is followed has ended, or its pod is gone.
async fn ended(mut view: watch::Receiver<View>, container: String, attempt: u32) {
    let _ = view
        .wait_for(|view| {
            view.containers
                .get(&container)
                .is_none_or(|state| !state.running || state.attempt != Some(attempt))
        })
        .await;
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn which_run() {
        let view = |attempt, running, waiting: Option<&str>| ContainerView {
            attempt,
            running,
            waiting: waiting.map(str::to_string),
            ..ContainerView::default()
        };
        for (state, previous, expected) in [
            (view(Some(2), true, None), false, Ok(2)),
            (view(Some(2), true, None), true, Ok(1)),
            (view(Some(0), true, None), true, Err(NoLog::NoPrevious)),
            (view(Some(2), false, Some("CrashLoopBackOff")), false, Ok(2)),
            (view(Some(2), false, Some("CrashLoopBackOff")), true, Ok(2)),
            (
                view(None, false, Some("ErrImagePull")),
                false,
                Err(NoLog::Waiting("ErrImagePull".to_string())),
            ),
        ] {
            assert_eq!(attempt(&state, previous), expected, "{state:?} {previous}");
        }
        let text = NoLog::Waiting("ImagePullBackOff".to_string()).message("c", "p");
        assert_eq!(
            text,
            "container \"c\" in pod \"p\" is waiting to start: trying and failing to pull image"
        );
    }
}
