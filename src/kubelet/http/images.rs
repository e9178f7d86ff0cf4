//! Images of this node over HTTP; what `coracle image` uses.

use super::{Refusal, Server, query, value};
use crate::image::{Credentials, Images, Keyring, Progress};
use crate::kubelet::pod::state::containers;
use crate::kubelet::spec::volumes::volume_images;
use ::http::{Request, Response, StatusCode};
use axum::body::{Body, Bytes};
use axum::extract::State;
use futures::{StreamExt, TryStreamExt};
use std::collections::HashSet;
use std::convert::Infallible;
use std::sync::Arc;
use tokio::sync::mpsc;
use tokio_util::io::{StreamReader, SyncIoBridge};

/// Lines of progress on their way to a client; when it reads too slowly, steps in between are left out.
const PROGRESS_QUEUE: usize = 64;

pub async fn list(State(server): State<Server>) -> Response<Body> {
    let mut response = Response::new(Body::from(line(&server.ctx.puller.images().list())));
    response.headers_mut().insert(
        ::http::header::CONTENT_TYPE,
        ::http::HeaderValue::from_static("application/json"),
    );
    response
}

/// `{"username": …, "password": …}` is small; nothing else is expected.
const CREDENTIALS_BYTES_MAX: usize = 16 * 1024;

/// Credentials in the body of a pull; an empty body means none but the node's own.
async fn credentials(body: Body) -> Result<Keyring, Refusal> {
    #[derive(serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Given {
        username: String,
        password: String,
    }
    let refuse = |why: String| {
        Refusal::bad_request(format!("credentials in the body cannot be read: {why}"))
    };
    let body = axum::body::to_bytes(body, CREDENTIALS_BYTES_MAX)
        .await
        .map_err(|error| refuse(error.to_string()))?;
    if body.is_empty() {
        return Ok(Keyring::default());
    }
    let Given { username, password } =
        serde_json::from_slice(&body).map_err(|error| refuse(error.to_string()))?;
    Ok(Keyring::of(Credentials::Login { username, password }))
}

/// Streams progress, one JSON object per line; the last is `done` or `error`.
pub async fn pull(
    State(server): State<Server>,
    request: Request<Body>,
) -> Result<Response<Body>, Refusal> {
    let reference = reference(&request)?;
    let keyring = credentials(request.into_body()).await?;
    let (lines, body) = channel();
    let images = server.ctx.puller.images().clone();
    let changed = server.ctx.node_changed.clone();
    // The task ends with the pull; it goes on when the client leaves, as a pull for a pod would.
    tokio::spawn(async move {
        let progress_lines = lines.clone();
        let progress = move |progress: Progress| step(&progress_lines, &progress);
        let result = images.pull(&reference, &keyring, &progress).await;
        finish(
            &lines,
            result.map(|image| vec![image]).map_err(|e| e.to_string()),
        )
        .await;
        changed.notify_one();
    });
    Ok(body)
}

/// The request's body is an OCI or docker archive of any size; it is streamed.
pub async fn import(State(server): State<Server>, request: Request<Body>) -> Response<Body> {
    let (lines, body) = channel();
    let images = server.ctx.puller.images().clone();
    let changed = server.ctx.node_changed.clone();
    let stream = request
        .into_body()
        .into_data_stream()
        .map_err(std::io::Error::other);
    let reader = SyncIoBridge::new(StreamReader::new(Box::pin(stream)));
    tokio::spawn(async move {
        let result = import_blocking(images, reader, lines.clone()).await;
        finish(&lines, result).await;
        changed.notify_one();
    });
    body
}

async fn import_blocking<R>(
    images: Arc<Images>,
    mut reader: SyncIoBridge<R>,
    lines: mpsc::Sender<Bytes>,
) -> Result<Vec<crate::image::Image>, String>
where
    R: tokio::io::AsyncRead + Unpin + Send + 'static,
{
    let task = tokio::task::spawn_blocking(move || {
        images.import(&mut reader, &move |progress| step(&lines, &progress))
    });
    match task.await {
        Ok(result) => result.map_err(|e| e.to_string()),
        Err(error) => Err(format!("import broke off: {error}; try again")),
    }
}

pub async fn remove(
    State(server): State<Server>,
    request: Request<Body>,
) -> Result<Response<Body>, Refusal> {
    let reference = reference(&request)?;
    let images = server.ctx.puller.images().clone();
    let used: HashSet<String> = server
        .pods
        .views()
        .iter()
        .filter(|view| !view.over)
        .flat_map(|view| {
            containers(&view.pod)
                .filter_map(|(_, c)| c.image.clone())
                .chain(volume_images(&view.pod).map(str::to_owned))
                .collect::<Vec<_>>()
        })
        .filter_map(|image| images.find(&image).ok().flatten())
        .map(|image| image.id)
        .collect();
    match images.find(&reference) {
        Err(error) => return Err(Refusal::bad_request(error.to_string())),
        Ok(None) => {
            return Err(Refusal::not_found(format!(
                "image \"{reference}\" is not on this node"
            )));
        }
        Ok(Some(_)) => {}
    }
    let removed =
        tokio::task::spawn_blocking(move || images.remove(&reference, &|id| used.contains(id)));
    match removed.await {
        Ok(Ok(())) => {
            server.ctx.node_changed.notify_one();
            Ok(Response::new(Body::from("{}\n")))
        }
        Ok(Err(error)) => Err(Refusal {
            code: StatusCode::CONFLICT,
            reason: "Conflict",
            message: error.to_string(),
        }),
        Err(error) => Err(Refusal::internal(error.to_string())),
    }
}

fn reference(request: &Request<Body>) -> Result<String, Refusal> {
    let query = query(request.uri());
    match value(&query, "reference") {
        Some(reference) if !reference.is_empty() => Ok(reference.to_string()),
        _ => Err(Refusal::bad_request(
            "name the image: ?reference=<image>".to_string(),
        )),
    }
}

fn channel() -> (mpsc::Sender<Bytes>, Response<Body>) {
    let (lines, receiver) = mpsc::channel::<Bytes>(PROGRESS_QUEUE);
    let stream = futures::stream::unfold(receiver, |mut receiver| async move {
        receiver.recv().await.map(|line| (line, receiver))
    });
    let body = Body::from_stream(stream.map(Ok::<_, Infallible>));
    let mut response = Response::new(body);
    response.headers_mut().insert(
        ::http::header::CONTENT_TYPE,
        ::http::HeaderValue::from_static("application/x-ndjson"),
    );
    (lines, response)
}

fn line(value: &impl serde::Serialize) -> Bytes {
    let mut bytes = serde_json::to_vec(value).unwrap_or_default();
    bytes.push(b'\n');
    bytes.into()
}

/// `done` is left to [`finish`], which waits for room.
fn step(lines: &mpsc::Sender<Bytes>, progress: &Progress) {
    if !matches!(progress, Progress::Done { .. }) {
        let _ = lines.try_send(line(progress));
    }
}

async fn finish(lines: &mpsc::Sender<Bytes>, result: Result<Vec<crate::image::Image>, String>) {
    match result {
        Ok(images) => {
            for image in images {
                let done = Progress::Done {
                    image: Box::new(image),
                };
                let _ = lines.send(line(&done)).await;
            }
        }
        Err(error) => {
            let error = serde_json::json!({"phase": "error", "message": error});
            let _ = lines.send(line(&error)).await;
        }
    }
}
