//! A connection from inside a pod's network namespace to its loopback.

use nix::sched::{CloneFlags, setns};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};
use std::fs::File;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream as StdStream};
use std::sync::Arc;
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::oneshot;

/// Where a client's connections go.
pub struct Target {
    /// `name_namespace`, for messages.
    pub pod: String,
    uid: String,
    /// Open, so that it stays the pod's own when its shim's number is given to another process.
    network: Arc<File>,
}

impl Target {
    /// `pid` is a process in the pod's network namespace.
    pub fn open(pod: String, uid: String, pid: i32) -> io::Result<Target> {
        let network = Arc::new(File::open(format!("/proc/{pid}/ns/net"))?);
        Ok(Target { pod, uid, network })
    }

    /// To 127.0.0.1, then to ::1, as upstream; the error names both.
    pub async fn connect(&self, port: u16) -> Result<TcpStream, String> {
        let (v4, v6) = self
            .sockets()
            .await
            .map_err(|error| format!("a socket in the pod's network namespace: {error}"))?;
        let local = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let first = match v4.connect(local).await {
            Ok(stream) => return Ok(stream),
            Err(error) => refused("tcp4", local, &error),
        };
        let local = SocketAddr::from((Ipv6Addr::LOCALHOST, port));
        let second = match v6 {
            Ok(socket) => match socket.connect(local).await {
                Ok(stream) => return Ok(stream),
                Err(error) => refused("tcp6", local, &error),
            },
            Err(error) => refused("tcp6", local, &error),
        };
        Err(format!(
            "failed to connect to localhost:{port} inside namespace \"{}\", IPv4: {first} IPv6 {second}",
            self.pod
        ))
    }

    /// The kubelet's words on the error stream.
    pub fn explain(&self, port: u16, cause: &str) -> String {
        format!(
            "error forwarding port {port} to pod {}, uid {}: {cause}",
            self.pod, self.uid
        )
    }

    /// A socket belongs for ever to the namespace it was made in: a thread enters the pod's, makes two and ends.
    async fn sockets(&self) -> io::Result<(TcpSocket, io::Result<TcpSocket>)> {
        let network = self.network.clone();
        let (sender, made) = oneshot::channel();
        std::thread::Builder::new()
            .name("dial".to_owned())
            .stack_size(STACK_BYTES)
            .spawn(move || {
                let result = setns(network.as_ref(), CloneFlags::CLONE_NEWNET)
                    .map_err(io::Error::from)
                    .and_then(|()| Ok((make(AddressFamily::Inet)?, make(AddressFamily::Inet6))));
                let _ = sender.send(result);
            })?;
        made.await.map_err(|_| io::Error::other("no answer"))?
    }
}

/// Two system calls need no more.
const STACK_BYTES: usize = 64 * 1024;

fn make(family: AddressFamily) -> io::Result<TcpSocket> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let made = socket(family, SockType::Stream, flags, None)?;
    Ok(TcpSocket::from_std_stream(StdStream::from(made)))
}

fn refused(network: &str, address: SocketAddr, error: &io::Error) -> String {
    let cause = match error.kind() {
        io::ErrorKind::ConnectionRefused => "connection refused".to_owned(),
        _ => error.to_string(),
    };
    format!("dial {network} {address}: connect: {cause}")
}
