//! One page over plain HTTP.

use anyhow::Context;
use axum::body::Body;
use http::{Request, header};
use hyper_util::rt::TokioIo;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::TcpStream;

/// Longest wait for the page.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Largest page shown.
const PAGE_BYTES_MAX: usize = 64 << 10;

pub async fn fetch(address: SocketAddr, path: &str) -> Result<String, anyhow::Error> {
    tokio::time::timeout(TIMEOUT, exchange(address, path))
        .await
        .map_err(|_| anyhow::anyhow!("no answer within {} s", TIMEOUT.as_secs()))?
}

async fn exchange(address: SocketAddr, path: &str) -> Result<String, anyhow::Error> {
    let stream = TcpStream::connect(address).await?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let request = Request::get(path)
        .header(header::HOST, address.to_string())
        .body(Body::empty())?;
    let page = async {
        let response = sender.send_request(request).await?;
        let status = response.status();
        anyhow::ensure!(status.is_success(), "the server answered {status}");
        let bytes = axum::body::to_bytes(Body::new(response.into_body()), PAGE_BYTES_MAX).await?;
        drop(sender);
        String::from_utf8(bytes.to_vec()).context("the page is not text")
    };
    // The connection is driven here and ends with its sender.
    let (page, connection) = tokio::join!(page, connection);
    match page {
        Ok(page) => Ok(page),
        Err(cause) => Err(connection.err().map_or(cause, Into::into)),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::io::{Read, Write};

    #[tokio::test]
    async fn a_page_is_fetched_or_said_to_fail() {
        for (answer, expected) in [
            (
                "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nahoy!",
                Some("ahoy!"),
            ),
            ("HTTP/1.1 500 Sunk\r\ncontent-length: 0\r\n\r\n", None),
            ("nonsense", None),
        ] {
            let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            let address = listener.local_addr().unwrap();
            let server = std::thread::spawn(move || {
                let (mut stream, _) = listener.accept().unwrap();
                let mut head = [0; 1024];
                let _ = stream.read(&mut head).unwrap();
                stream.write_all(answer.as_bytes()).unwrap();
            });
            let page = fetch(address, "/").await;
            server.join().unwrap();
            assert_eq!(page.ok().as_deref(), expected);
        }
    }
}
