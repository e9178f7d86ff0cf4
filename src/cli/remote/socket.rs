//! The WebSocket to a container: upgraded from a request through the client's door (RFC 6455).

use crate::cli::connect::request;
use crate::client::Client;
use crate::streaming::channel::MESSAGE_BYTES_MAX;
use anyhow::Context;
use axum::body::Body;
use http::{HeaderName, Method, StatusCode, header};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::client::generate_key;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};

pub type Socket = WebSocketStream<TokioIo<Upgraded>>;

/// Upgrades to a WebSocket with `protocol`.
pub async fn open(
    client: &Client,
    path: &str,
    query: &[(&str, String)],
    protocol: &str,
) -> Result<Socket, anyhow::Error> {
    let key = generate_key();
    let headers: [(HeaderName, &str); 5] = [
        (header::CONNECTION, "Upgrade"),
        (header::UPGRADE, "websocket"),
        (header::SEC_WEBSOCKET_VERSION, "13"),
        (header::SEC_WEBSOCKET_KEY, &key),
        (header::SEC_WEBSOCKET_PROTOCOL, protocol),
    ];
    let request = request(Method::GET, path, query, &headers, Body::empty())?;
    let mut response = client.request(request).await?;
    anyhow::ensure!(
        response.status() == StatusCode::SWITCHING_PROTOCOLS,
        "unable to upgrade connection: the server answered {}",
        response.status()
    );
    let answered = |name: HeaderName| {
        response
            .headers()
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    };
    anyhow::ensure!(
        answered(header::SEC_WEBSOCKET_ACCEPT) == derive_accept_key(key.as_bytes()),
        "unable to upgrade connection: the answer belongs to another request"
    );
    anyhow::ensure!(
        answered(header::SEC_WEBSOCKET_PROTOCOL) == protocol,
        "unable to upgrade connection: the server does not speak {protocol}"
    );
    let upgraded = hyper::upgrade::on(&mut response)
        .await
        .context("unable to upgrade connection")?;
    let config = WebSocketConfig::default()
        .max_message_size(Some(MESSAGE_BYTES_MAX))
        .max_frame_size(Some(MESSAGE_BYTES_MAX));
    Ok(WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Client, Some(config)).await)
}
