//! An API server for tests of loops: lists are fixed, watches stay silent, writes are told.

use crate::client::{Client, ClientError, Door};
use axum::body::{Body, Bytes};
use futures::future::{BoxFuture, FutureExt};
use http::{Method, Request, Response};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use tokio::sync::mpsc;

/// `POST /api/v1/…` and its body.
pub type Write = (String, Value);

struct FakeDoor {
    lists: BTreeMap<&'static str, Value>,
    writes: mpsc::Sender<Write>,
}

/// A client whose lists answer as given (path to items), and what it writes.
pub fn client(lists: &[(&'static str, Value)]) -> (Client, mpsc::Receiver<Write>) {
    let (writes, told) = mpsc::channel(64);
    let lists = lists.iter().cloned().collect();
    (Client::new(FakeDoor { lists, writes }), told)
}

impl Door for FakeDoor {
    fn call(
        &self,
        request: Request<Body>,
    ) -> BoxFuture<'static, Result<Response<Body>, ClientError>> {
        let path = request.uri().path().to_owned();
        let query = request.uri().query().unwrap_or_default().to_owned();
        let list = self.lists.get(path.as_str()).cloned();
        let writes = self.writes.clone();
        async move {
            if request.method() == Method::GET {
                if query.contains("watch=") {
                    let silent = futures::stream::pending::<Result<Bytes, std::io::Error>>();
                    return Ok(Response::new(Body::from_stream(silent)));
                }
                let mut answer = json!({"metadata": {"resourceVersion": "1"}});
                for (key, value) in list.iter().filter_map(Value::as_object).flatten() {
                    answer[key] = value.clone();
                }
                return Ok(Response::new(Body::from(answer.to_string())));
            }
            let method = request.method().clone();
            let body = match request.into_body().collect().await {
                Ok(body) => body.to_bytes(),
                Err(error) => return Err(ClientError::Decode(error.to_string())),
            };
            let value = serde_json::from_slice(&body).unwrap_or_default();
            // The test may have heard enough.
            drop(writes.send((format!("{method} {path}"), value)).await);
            Ok(Response::new(Body::from(body)))
        }
        .boxed()
    }
}
