//! `tcpSocket`: a connection can be opened.

use super::answer::{Outcome, dial_error, join_host_port};
use std::io;
use std::time::Duration;
use tokio::net::TcpStream;

pub async fn probe(host: &str, port: u16, timeout_s: u64) -> Outcome {
    let limit = Duration::from_secs(timeout_s);
    let connected = tokio::time::timeout(limit, TcpStream::connect((host, port))).await;
    let error = match connected {
        Ok(Ok(_)) => return Outcome::Success,
        Ok(Err(error)) => error,
        Err(_) => io::ErrorKind::TimedOut.into(),
    };
    Outcome::Failure(dial_error(&join_host_port(host, port), &error))
}
