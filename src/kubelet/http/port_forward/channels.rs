//! `port-forward` of older library clients: WebSocket channels, two for each port in the query (data, then errors), each
//! begun by a frame with the port's number, low byte first. One connection for each port, and no half-open ends.
//! Source: kubernetes `pkg/kubelet/server/portforward/websocket.go`.

use super::dial::Target;
use crate::kubelet::http::Refusal;
use crate::streaming::channel::{CHUNK_BYTES, message};
use axum::extract::ws::{Message, WebSocket};
use bytes::{Bytes, BytesMut};
use futures::{SinkExt, StreamExt};
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

/// Channels are numbered in one byte, two for each port.
const PORTS_MAX: usize = 127;
/// Frames waiting for the client, and pieces for each port.
const QUEUE: usize = 2;

/// The values of `ports`, each with any number of ports between commas.
pub fn ports(query: &[(String, String)]) -> Result<Vec<u16>, Refusal> {
    let texts = query.iter().filter(|(name, _)| name == "ports");
    let ports: Result<Vec<u16>, Refusal> = texts
        .flat_map(|(_, value)| value.split(','))
        .map(|text| match text.parse() {
            Ok(port @ 1..) => Ok(port),
            _ => Err(Refusal::bad_request(format!(
                "query parameter \"ports\" has {text:?}, which is no port"
            ))),
        })
        .collect();
    let ports = ports?;
    if ports.len() > PORTS_MAX {
        return Err(Refusal::bad_request(format!(
            "at most {PORTS_MAX} ports can be forwarded at once"
        )));
    }
    Ok(ports)
}

/// Serves one client until it leaves.
pub async fn serve(socket: WebSocket, ports: Vec<u16>, target: Arc<Target>) {
    let (mut sink, mut stream) = socket.split();
    let (frames, mut outgoing) = mpsc::channel::<Bytes>(QUEUE);
    let mut connections = JoinSet::new();
    let mut inputs = Vec::new();
    for (index, port) in ports.into_iter().enumerate() {
        let (input, pieces) = mpsc::channel::<Bytes>(QUEUE);
        inputs.push(input);
        let channel = (2 * index) as u8;
        connections.spawn(forward(
            channel,
            port,
            target.clone(),
            pieces,
            frames.clone(),
        ));
    }
    drop(frames);
    let sending = async {
        while let Some(bytes) = outgoing.recv().await {
            if sink.send(Message::Binary(bytes)).await.is_err() {
                return;
            }
        }
        let _ = sink.send(Message::Close(None)).await;
    };
    let receiving = async {
        while let Some(Ok(message)) = stream.next().await {
            let bytes = match message {
                Message::Binary(bytes) => bytes,
                Message::Close(_) => return,
                _ => continue,
            };
            let Some(&channel) = bytes.first() else {
                continue;
            };
            // Nothing is expected on error channels; a connection that has ended takes nothing.
            if channel % 2 == 0
                && let Some(input) = inputs.get(usize::from(channel / 2))
            {
                let _ = input.send(bytes.slice(1..)).await;
            }
        }
    };
    tokio::select! {
        () = sending => {}
        () = receiving => {}
    }
}

async fn forward(
    channel: u8,
    port: u16,
    target: Arc<Target>,
    mut pieces: mpsc::Receiver<Bytes>,
    frames: mpsc::Sender<Bytes>,
) {
    for number in [channel, channel + 1] {
        let first = message(number, &port.to_le_bytes());
        if frames.send(first).await.is_err() {
            return;
        }
    }
    let mut socket = match target.connect(port).await {
        Ok(socket) => socket,
        Err(cause) => {
            let text = target.explain(port, &cause);
            let _ = frames.send(message(channel + 1, text.as_bytes())).await;
            return;
        }
    };
    let (mut from_pod, mut to_pod) = socket.split();
    let down = async {
        loop {
            let mut chunk = BytesMut::with_capacity(CHUNK_BYTES);
            match from_pod.read_buf(&mut chunk).await {
                Ok(1..) if frames.send(message(channel, &chunk)).await.is_ok() => {}
                _ => return,
            }
        }
    };
    let up = async {
        while let Some(bytes) = pieces.recv().await {
            if to_pod.write_all(&bytes).await.is_err() {
                return;
            }
        }
    };
    tokio::select! {
        () = down => {}
        () = up => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_of_a_query() {
        let query = |value: &str| vec![("ports".to_owned(), value.to_owned())];
        assert_eq!(ports(&query("80,443")).ok(), Some(vec![80, 443]));
        assert_eq!(ports(&[]).ok(), Some(Vec::new()));
        for bad in ["", "0", "80,", "x", "70000"] {
            assert!(ports(&query(bad)).is_err(), "{bad}");
        }
        assert!(ports(&query(&vec!["1"; 128].join(","))).is_err());
    }
}
