//! The gRPC health service, answering as it is told.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::convert::Infallible;
use std::sync::{Arc, Mutex};

#[derive(Debug, Clone, Copy)]
pub enum Answer {
    /// A serving status.
    Status(u8),
    /// A gRPC error.
    Code(u32, &'static str),
}

#[derive(Debug)]
struct State {
    answer: Answer,
    service: String,
}

pub struct Server {
    pub port: u16,
    state: Arc<Mutex<State>>,
}

impl Server {
    pub fn say(&self, answer: Answer) {
        self.state.lock().expect("state").answer = answer;
    }

    /// The service of the newest call.
    pub fn asked_for(&self) -> String {
        self.state.lock().expect("state").service.clone()
    }
}

/// Says SERVING until told otherwise.
pub fn start() -> Server {
    let (listener, port) = super::listen();
    let state = Arc::new(Mutex::new(State {
        answer: Answer::Status(1),
        service: String::new(),
    }));
    let shared = state.clone();
    super::run(async move {
        let listener = tokio::net::TcpListener::from_std(listener).expect("listener");
        while let Ok((stream, _)) = listener.accept().await {
            let shared = shared.clone();
            let service = service_fn(move |request| answer(shared.clone(), request));
            tokio::spawn(async move {
                let _ = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
                    .serve_connection(TokioIo::new(stream), service)
                    .await;
            });
        }
    });
    Server { port, state }
}

type Frames = futures::stream::Iter<std::vec::IntoIter<Result<Frame<Bytes>, Infallible>>>;

async fn answer(
    state: Arc<Mutex<State>>,
    request: Request<Incoming>,
) -> Result<Response<StreamBody<Frames>>, Infallible> {
    let is_call = request.uri().path() == "/grpc.health.v1.Health/Check"
        && request.headers().get("te").is_some_and(|t| t == "trailers");
    let body = request.into_body().collect().await.map(|b| b.to_bytes());
    let body = body.unwrap_or_default();
    let mut state = state.lock().expect("state");
    state.service = String::from_utf8_lossy(body.get(7..).unwrap_or_default()).into_owned();
    let (status, code, message) = match state.answer {
        _ if !is_call => (None, 12, "no such method"),
        Answer::Status(status) => (Some(status), 0, ""),
        Answer::Code(code, message) => (None, code, message),
    };
    let mut frames = Vec::new();
    if let Some(status) = status {
        let message = Bytes::from(vec![0, 0, 0, 0, 2, 8, status]);
        frames.push(Ok(Frame::data(message)));
    }
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from(code));
    trailers.insert("grpc-message", HeaderValue::from_static(message));
    frames.push(Ok(Frame::trailers(trailers)));
    let mut response = Response::new(StreamBody::new(futures::stream::iter(frames)));
    response
        .headers_mut()
        .insert("content-type", HeaderValue::from_static("application/grpc"));
    Ok(response)
}
