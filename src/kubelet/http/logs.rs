//! Container logs: which run's file, and its lines as they come.
//! <https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/pod-v1/#get-read-log-of-the-specified-pod>

use super::log_query::{Filter, LogQuery};
use super::{Refusal, Server, query};
use crate::kubelet::manager::{ContainerView, View};
use ::http::{Request, Response};
use axum::body::{Body, Bytes};
use axum::extract::{Path, State};
use futures::StreamExt;
use std::convert::Infallible;
use std::io::SeekFrom;
use std::os::unix::fs::MetadataExt;
use std::path::{Path as FilePath, PathBuf};
use std::time::Duration;
use tokio::fs::File;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncSeekExt, BufReader};
use tokio::sync::{mpsc, watch};

/// Chunks waiting for a client; reading waits when it is slow.
const CHUNKS_MAX: usize = 8;
/// Bytes of text gathered into one chunk.
const CHUNK_BYTES: usize = 32 * 1024;
/// Block in which a file is searched backwards for its last lines.
const BLOCK_BYTES: u64 = 64 * 1024;
/// How often a followed file is looked at.
const POLL: Duration = Duration::from_millis(200);

pub async fn container_logs(
    State(server): State<Server>,
    Path((namespace, pod, container)): Path<(String, String, String)>,
    request: Request<Body>,
) -> Result<Response<Body>, Refusal> {
    let query = LogQuery::parse(&query(request.uri()), crate::kubelet::now_ms())?;
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
    let files = files(&path);
    if files.is_empty() {
        return Err(Refusal::not_found(format!(
            "the log of container \"{container}\" in pod \"{pod}\" is not on this node any more"
        )));
    }
    let (chunks, receiver) = mpsc::channel(CHUNKS_MAX);
    // The reader ends with the file, with the run, or when the client has gone and the channel is closed.
    tokio::spawn(async move {
        let run = Followed {
            view,
            container,
            attempt,
        };
        if let Err(error) = send(&files, &path, &query, &run, &chunks).await {
            tracing::warn!(path = %path.display(), %error, "log not read to its end");
        }
    });
    let stream = futures::stream::unfold(receiver, |mut receiver| async move {
        receiver.recv().await.map(|chunk: Bytes| (chunk, receiver))
    });
    let mut response = Response::new(Body::from_stream(stream.map(Ok::<_, Infallible>)));
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

/// The run's files that are there: rotated ones (`<path>.<time>`), oldest first, then the current one.
fn files(path: &FilePath) -> Vec<PathBuf> {
    let name = path
        .file_name()
        .and_then(|n| n.to_str())
        .unwrap_or_default();
    let rotated = format!("{name}.");
    let mut list: Vec<PathBuf> = path
        .parent()
        .and_then(|dir| std::fs::read_dir(dir).ok())
        .into_iter()
        .flatten()
        .flatten()
        .filter(|e| {
            e.file_name()
                .to_str()
                .is_some_and(|n| n.starts_with(&rotated))
        })
        .map(|e| e.path())
        .collect();
    list.sort();
    if path.exists() {
        list.push(path.to_path_buf());
    }
    list
}

/// The run that is followed.
struct Followed {
    view: watch::Receiver<View>,
    container: String,
    attempt: u32,
}

impl Followed {
    fn is_running(&self) -> bool {
        // The worker is gone with its pod: so is the run.
        let open = self.view.has_changed().is_ok();
        let view = self.view.borrow();
        let state = view.containers.get(&self.container);
        open && state.is_some_and(|c| c.running && c.attempt == Some(self.attempt))
    }
}

async fn send(
    files: &[PathBuf],
    current: &FilePath,
    query: &LogQuery,
    run: &Followed,
    chunks: &mpsc::Sender<Bytes>,
) -> std::io::Result<()> {
    let (first, offset) = match query.tail_lines {
        Some(lines) => tail_start(files, lines).await?,
        None => (0, 0),
    };
    let mut filter = Filter::new(query);
    let mut out = Vec::new();
    let mut line = Vec::new();
    for (index, path) in files.iter().enumerate().skip(first) {
        let mut file = File::open(path).await?;
        if index == first {
            file.seek(SeekFrom::Start(offset)).await?;
        }
        let mut reader = BufReader::new(file);
        let is_last = index + 1 == files.len();
        loop {
            let was_running = run.is_running();
            while reader.read_until(b'\n', &mut line).await? > 0 {
                if line.last() != Some(&b'\n') {
                    break;
                }
                filter.line(&line[..line.len() - 1], &mut out);
                line.clear();
                if out.len() >= CHUNK_BYTES && !flush(&mut out, chunks).await {
                    return Ok(());
                }
                if filter.is_done() {
                    flush(&mut out, chunks).await;
                    return Ok(());
                }
            }
            if !flush(&mut out, chunks).await {
                return Ok(());
            }
            if !(query.follow && is_last) {
                break;
            }
            // The file's end was read after the run was seen ended: nothing can follow.
            if !was_running {
                return Ok(());
            }
            if is_rotated(&reader, current).await {
                let fresh = File::open(current).await?;
                // What was written between the last read and the rotation.
                while reader.read_until(b'\n', &mut line).await? > 0 && line.last() == Some(&b'\n')
                {
                    filter.line(&line[..line.len() - 1], &mut out);
                    line.clear();
                }
                reader = BufReader::new(fresh);
                continue;
            }
            tokio::select! {
                () = chunks.closed() => return Ok(()),
                () = tokio::time::sleep(POLL) => {}
            }
        }
    }
    Ok(())
}

async fn is_rotated(reader: &BufReader<File>, current: &FilePath) -> bool {
    let (Ok(open), Ok(there)) = (
        reader.get_ref().metadata().await,
        tokio::fs::metadata(current).await,
    ) else {
        return false;
    };
    (open.dev(), open.ino()) != (there.dev(), there.ino())
}

/// False when the client has gone.
async fn flush(out: &mut Vec<u8>, chunks: &mpsc::Sender<Bytes>) -> bool {
    if out.is_empty() {
        return !chunks.is_closed();
    }
    chunks.send(Bytes::from(std::mem::take(out))).await.is_ok()
}

/// Where the last `lines` lines begin: which file, and where in it.
async fn tail_start(files: &[PathBuf], lines: u64) -> std::io::Result<(usize, u64)> {
    let mut missing = lines;
    for (index, path) in files.iter().enumerate().rev() {
        let mut file = File::open(path).await?;
        let size = file.metadata().await?.len();
        if missing == 0 {
            return Ok((index, size));
        }
        let mut end = size;
        let mut block = Vec::new();
        while end > 0 {
            let start = end.saturating_sub(BLOCK_BYTES);
            file.seek(SeekFrom::Start(start)).await?;
            block.clear();
            (&mut file)
                .take(end - start)
                .read_to_end(&mut block)
                .await?;
            for (at, _) in block.iter().enumerate().rev().filter(|(_, b)| **b == b'\n') {
                let position = start + at as u64;
                // The newline that ends the file ends a line, and begins none.
                if position + 1 == size {
                    continue;
                }
                missing -= 1;
                if missing == 0 {
                    return Ok((index, position + 1));
                }
            }
            end = start;
        }
        if size > 0 {
            // The file's first line has no newline before it.
            missing -= 1;
            if missing == 0 {
                return Ok((index, 0));
            }
        }
    }
    Ok((0, 0))
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

    #[tokio::test]
    async fn tails_reach_into_rotated_files() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("0.log");
        std::fs::write(dir.path().join("0.log.20250101-000000"), "a\nb\n").unwrap();
        std::fs::write(&path, "c\nd\n").unwrap();
        std::fs::write(dir.path().join("10.log"), "x\n").unwrap();
        let files = files(&path);
        assert_eq!(files.len(), 2);
        for (lines, expected) in [
            (0, (1, 4)),
            (1, (1, 2)),
            (2, (1, 0)),
            (3, (0, 2)),
            (4, (0, 0)),
            (9, (0, 0)),
        ] {
            assert_eq!(
                tail_start(&files, lines).await.unwrap(),
                expected,
                "{lines}"
            );
        }
    }
}
