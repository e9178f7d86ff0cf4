//! `coracle port-forward`: local ports that lead into a pod.

mod ports;

use super::Outcome;
use super::connect::{ClientArgs, Session};
use super::remote::{Target, open};
use crate::client::object_path;
use crate::streaming::channel::CHUNK_BYTES;
use crate::streaming::session::{Opener, session};
use crate::streaming::spdy::Role;
use crate::streaming::stream::Stream;
use crate::streaming::tunnel::{PORT_FORWARD, Tunnel};
use anyhow::Context;
use bytes::BytesMut;
use http::Method;
use ports::Pair;
use serde_json::Value;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_tungstenite::tungstenite::Message;

#[derive(Debug, clap::Args)]
pub struct PortForwardArgs {
    /// The pod or service: `web`, `pod/web` or `svc/web`.
    #[arg(value_name = "TYPE/NAME")]
    target: String,
    /// `8080:80`: local port 8080 to port 80; `80`: the same; `:80`: to a free local port.
    #[arg(required = true, value_name = "[LOCAL:]REMOTE")]
    ports: Vec<String>,
    /// Addresses to listen on.
    #[arg(
        long,
        value_name = "ADDRESS",
        value_delimiter = ',',
        default_value = "localhost"
    )]
    address: Vec<String>,
    /// How long to wait until the pod runs, for example 5s, 2m or 1h30m.
    #[arg(long, value_name = "DURATION", value_parser = crate::object::duration::parse_seconds, default_value = "1m")]
    pod_running_timeout: u64,
}

/// Connections carried at once: the server takes 512 streams, two each.
const CONNECTIONS_MAX: usize = 250;

pub async fn run(args: PortForwardArgs, client: ClientArgs) -> Outcome {
    let api = client.connect()?;
    let (name, service) = pod_of(&api, &args.target).await?;
    let target = Target::find(&api, &name, args.pod_running_timeout).await?;
    let pairs = args
        .ports
        .iter()
        .map(|text| ports::parse(text, service.as_ref(), &target.pod))
        .collect::<Result<Vec<Pair>, _>>()?;
    let listeners = listen(&args.address, &pairs).await?;
    let socket = open(&api.client, &target.path("portforward"), &[], PORT_FORWARD).await?;
    let (streams, opener, driving) = session(Tunnel::<_, Message>::new(socket), Role::Client);
    drop(streams);
    let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut accepting = JoinSet::new();
    for (listener, port) in listeners {
        accepting.spawn(accept(listener, port, opener.clone(), room.clone()));
    }
    tokio::select! {
        // The server ends it with the pod.
        ended = driving => { ended.context("lost connection to pod")?; }
        Some(ended) = accepting.join_next() => ended??,
    }
    anyhow::bail!("lost connection to pod")
}

/// The pod's name; for a service one of its pods, and the service.
async fn pod_of(api: &Session, typed: &str) -> Result<(String, Option<Value>), anyhow::Error> {
    let named = typed
        .split_once('/')
        .filter(|(kind, _)| matches!(*kind, "service" | "services" | "svc"));
    let Some((_, name)) = named else {
        return Ok((typed.to_owned(), None));
    };
    let namespace = Some(api.namespace.as_str());
    let path = object_path("", "v1", "services", namespace, Some(name), None);
    let service = api.client.send_value(Method::GET, &path, None).await?;
    let selector = service["spec"]["selector"]
        .as_object()
        .filter(|selector| !selector.is_empty())
        .with_context(|| format!("service {name} has no selector: name a pod"))?;
    let labels: Vec<String> = selector
        .iter()
        .map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default()))
        .collect();
    let path = object_path("", "v1", "pods", namespace, None, None);
    let query = form_urlencoded::Serializer::new(String::new())
        .append_pair("labelSelector", &labels.join(","))
        .finish();
    let list = api
        .client
        .send_value(Method::GET, &format!("{path}?{query}"), None)
        .await?;
    let pods = super::connect::items(list);
    let running = pods.iter().find(|pod| pod["status"]["phase"] == "Running");
    let pod = running
        .or(pods.first())
        .and_then(|pod| pod["metadata"]["name"].as_str())
        .with_context(|| format!("service {name} selects no pods"))?;
    Ok((pod.to_owned(), Some(service)))
}

/// Every address that can be listened on; with `localhost` one of its two is enough.
async fn listen(
    addresses: &[String],
    pairs: &[Pair],
) -> Result<Vec<(TcpListener, u16)>, anyhow::Error> {
    let mut listeners = Vec::new();
    for pair in pairs {
        let mut local = pair.local;
        for address in addresses {
            let candidates: Vec<IpAddr> = if address == "localhost" {
                vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()]
            } else {
                let address = address.parse();
                vec![address.context("--address takes IP addresses and localhost")?]
            };
            let mut failure = None;
            let before = listeners.len();
            for ip in candidates {
                match TcpListener::bind(SocketAddr::new(ip, local)).await {
                    Ok(listener) => {
                        let bound = listener.local_addr()?;
                        // A free port for the first address is the port for the others.
                        local = bound.port();
                        println!("Forwarding from {bound} -> {}", pair.remote);
                        listeners.push((listener, pair.remote));
                    }
                    Err(error) => failure = Some((SocketAddr::new(ip, local), error)),
                }
            }
            if let Some((at, error)) = failure
                && listeners.len() == before
            {
                return Err(error).with_context(|| format!("unable to listen on {at}"));
            }
        }
    }
    Ok(listeners)
}

async fn accept(
    listener: TcpListener,
    remote: u16,
    opener: Opener,
    room: Arc<Semaphore>,
) -> Result<(), anyhow::Error> {
    let local = listener.local_addr()?.port();
    let mut connections = JoinSet::new();
    let mut number = 0u64;
    loop {
        let place = room.clone().acquire_owned().await?;
        let (socket, _) = tokio::select! {
            accepted = listener.accept() => accepted?,
            () = opener.closed() => anyhow::bail!("lost connection to pod"),
        };
        println!("Handling connection for {local}");
        while connections.try_join_next().is_some() {}
        number += 1;
        // One number for each pair on the whole connection.
        let id = format!("{local}-{number}");
        let opener = opener.clone();
        connections.spawn(async move {
            if let Err(error) = forward(socket, local, remote, id, opener).await {
                eprintln!("an error occurred forwarding {local} -> {remote}: {error}");
            }
            drop(place);
        });
    }
}

async fn forward(
    socket: TcpStream,
    local: u16,
    remote: u16,
    id: String,
    opener: Opener,
) -> Result<(), anyhow::Error> {
    let headers = |kind: &str| {
        vec![
            ("streamtype", kind.to_owned()),
            ("port", remote.to_string()),
            ("requestid", id.clone()),
        ]
    };
    let lost = || format!("lost connection to pod on port {local}");
    let mut error = opener.open(headers("error")).await.with_context(lost)?;
    // Nothing is ever said on it from here.
    error.writer.finish().await;
    let data = opener.open(headers("data")).await.with_context(lost)?;
    exchange(socket, data).await;
    let mut message = Vec::new();
    while let Some(bytes) = error.reader.next().await {
        if message.len() < CHUNK_BYTES {
            message.extend_from_slice(&bytes);
        }
    }
    anyhow::ensure!(message.is_empty(), "{}", String::from_utf8_lossy(&message));
    Ok(())
}

/// Bytes both ways; an end of one way is passed on and leaves the other open.
async fn exchange(socket: TcpStream, data: Stream) {
    let (mut from_local, mut to_local) = socket.into_split();
    let Stream {
        mut reader, writer, ..
    } = data;
    let up = async {
        loop {
            let mut chunk = BytesMut::with_capacity(CHUNK_BYTES);
            if !matches!(from_local.read_buf(&mut chunk).await, Ok(1..)) {
                writer.finish().await;
                break;
            }
            if writer.send(chunk.freeze()).await.is_err() {
                break;
            }
        }
        // The answer decides when it is over.
        std::future::pending::<()>().await;
    };
    let down = async {
        while let Some(bytes) = reader.next().await {
            if to_local.write_all(&bytes).await.is_err() {
                return;
            }
        }
        let _ = to_local.shutdown().await;
    };
    tokio::select! {
        () = up => {}
        () = down => {}
    }
}
