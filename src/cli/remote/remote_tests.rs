//! A command's streams against a WebSocket server on loopback.
#![allow(clippy::unwrap_used)]

use super::*;
use crate::client::Client;
use crate::client::https::HttpsDoor;
use crate::client::kubeconfig::Endpoint;
use crate::streaming::channel::V5;
use axum::extract::ws::{Message as Frame, WebSocket, WebSocketUpgrade};
use axum::response::Response;
use axum::routing::get;
use std::net::SocketAddr;

const EXIT_3: &str = r#"{"status":"Failure","reason":"NonZeroExitCode","details":{"causes":[{"reason":"ExitCode","message":"3"}]}}"#;

async fn serve(router: axum::Router) -> SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

fn client(address: SocketAddr) -> Client {
    let endpoint = Endpoint {
        server: format!("http://{address}"),
        ..Endpoint::default()
    };
    Client::new(HttpsDoor::new(&endpoint).unwrap())
}

async fn command(upgrade: WebSocketUpgrade) -> Response {
    upgrade
        .protocols([V5])
        .on_upgrade(|mut socket: WebSocket| async move {
            let frame = |channel: u8, text: &str| {
                let mut bytes = vec![channel];
                bytes.extend_from_slice(text.as_bytes());
                Frame::Binary(bytes.into())
            };
            socket.send(frame(1, "")).await.unwrap();
            // The terminal's size or nothing came; the command ends either way.
            socket.send(frame(3, EXIT_3)).await.unwrap();
        })
}

#[tokio::test]
async fn the_exit_code_comes_back() {
    let address = serve(axum::Router::new().route("/exec", get(command))).await;
    let query = [("command", "ls".to_owned())];
    let socket = socket::open(&client(address), "/exec", &query, V5)
        .await
        .unwrap();
    let finish = with_terminal(socket, false, false).await.unwrap();
    assert_eq!(finish, Finish::Exit(3));
}

#[tokio::test]
async fn a_server_that_does_not_upgrade_is_named() {
    let plain = axum::Router::new().route("/exec", get(|| async { "hello" }));
    let address = serve(plain).await;
    for (path, expected) in [
        (
            "/exec",
            "unable to upgrade connection: the server answered 200",
        ),
        ("/absent", "404"),
    ] {
        let error = socket::open(&client(address), path, &[], V5)
            .await
            .err()
            .unwrap();
        assert!(format!("{error:#}").contains(expected), "{error:#}");
    }
}

#[tokio::test]
async fn a_connection_that_ends_early_is_an_error() {
    let quick = |upgrade: WebSocketUpgrade| async move {
        upgrade
            .protocols([V5])
            .on_upgrade(|socket: WebSocket| async move { drop(socket) })
    };
    let address = serve(axum::Router::new().route("/exec", get(quick))).await;
    let socket = socket::open(&client(address), "/exec", &[], V5)
        .await
        .unwrap();
    assert!(with_terminal(socket, false, false).await.is_err());
}
