//! The web server in the built-in image: first process of a very small container.
//!
//! Standard library only, a handful of small threads, every wait bounded.

use super::Outcome;
use anyhow::Context;
use nix::sys::signal::{SigSet, Signal};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::ExitCode;
use std::time::Duration;

/// Where $PORT says nothing.
const PORT: u16 = 8080;
/// Connections served at the same time.
const WORKERS: usize = 4;
/// Enough for a request's head and an answer.
const STACK_BYTES: usize = 64 << 10;
/// Longest request head read.
const HEAD_BYTES_MAX: usize = 8 << 10;
/// Longest wait for a slow client.
const PATIENCE: Duration = Duration::from_secs(5);

#[derive(Debug, clap::Args)]
pub struct HelloArgs {
    /// Print a line and end, instead of serving.
    #[arg(long, value_name = "TEXT")]
    say: Option<String>,
    /// The verb again: images may have it in their entry point already.
    #[arg(hide = true, value_parser = ["hello"])]
    verb: Option<String>,
}

pub fn run(args: &HelloArgs) -> Outcome {
    if let Some(text) = &args.say {
        writeln!(std::io::stdout(), "{text}")?;
        return Ok(ExitCode::SUCCESS);
    }
    let port = match std::env::var("PORT") {
        Ok(text) => text
            .parse()
            .with_context(|| format!("PORT={text:?} is no port"))?,
        Err(_) => PORT,
    };
    // The first process of a container has no default action for signals: they are waited for. Blocked before
    // any thread starts, so that every thread inherits it.
    let mut stop = SigSet::empty();
    stop.add(Signal::SIGTERM);
    stop.add(Signal::SIGINT);
    stop.thread_block()?;
    let listener = TcpListener::bind(("::", port))
        .or_else(|_| TcpListener::bind(("0.0.0.0", port)))
        .with_context(|| format!("cannot listen on port {port}"))?;
    println!("hello listens on port {port}");
    for _ in 0..WORKERS {
        let listener = listener.try_clone()?;
        std::thread::Builder::new()
            .stack_size(STACK_BYTES)
            .spawn(move || serve(&listener))?;
    }
    stop.wait()?;
    Ok(ExitCode::SUCCESS)
}

fn serve(listener: &TcpListener) {
    loop {
        match listener.accept() {
            // A client that went away is its own loss.
            Ok((stream, _)) => drop(answer(stream)),
            // Out of file descriptors or memory: others must finish first.
            Err(_) => std::thread::sleep(Duration::from_millis(100)),
        }
    }
}

fn answer(mut stream: TcpStream) -> std::io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let head = read_head(&mut stream)?;
    let (status, path) = request_path(&head);
    let local = plain(stream.local_addr()?);
    let peer = plain(stream.peer_addr()?);
    let page = page(&host_name(), &local, &peer, &path);
    let response = format!(
        "HTTP/1.1 {status}\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{page}",
        page.len()
    );
    stream.write_all(response.as_bytes())
}

/// Without the IPv6 form that a socket for both families gives IPv4 addresses.
fn plain(address: std::net::SocketAddr) -> String {
    std::net::SocketAddr::new(address.ip().to_canonical(), address.port()).to_string()
}

fn read_head(stream: &mut TcpStream) -> std::io::Result<Vec<u8>> {
    let mut head = Vec::new();
    let mut chunk = [0; 1024];
    while !head.windows(4).any(|end| end == b"\r\n\r\n") && head.len() < HEAD_BYTES_MAX {
        match stream.read(&mut chunk)? {
            0 => break,
            count => head.extend_from_slice(&chunk[..count]),
        }
    }
    Ok(head)
}

/// The status to answer and the path asked for.
fn request_path(head: &[u8]) -> (&'static str, String) {
    let line = head.split(|byte| *byte == b'\r').next().unwrap_or_default();
    let line = String::from_utf8_lossy(line);
    let mut words = line.split(' ');
    match (words.next(), words.next(), words.next()) {
        (Some("GET" | "HEAD"), Some(path), Some(version)) if version.starts_with("HTTP/1.") => {
            let path = path.chars().filter(|character| !character.is_control());
            ("200 OK", path.collect())
        }
        (_, _, Some(version)) if version.starts_with("HTTP/1.") => {
            ("405 Method Not Allowed", String::new())
        }
        _ => ("400 Bad Request", String::new()),
    }
}

fn page(host: &str, address: &str, client: &str, path: &str) -> String {
    format!(
        "Hello from {host}, a container run by Coracle.\naddress: {address}\nclient:  {client}\npath:    {path}\n"
    )
}

fn host_name() -> String {
    nix::unistd::gethostname().map_or_else(
        |_| "a nameless host".to_owned(),
        |name| name.to_string_lossy().into_owned(),
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn requests_are_told_apart() {
        for (head, status, path) in [
            ("GET /a?b HTTP/1.1\r\n\r\n", "200 OK", "/a?b"),
            ("POST / HTTP/1.1\r\n\r\n", "405 Method Not Allowed", ""),
            ("nonsense", "400 Bad Request", ""),
            ("", "400 Bad Request", ""),
        ] {
            assert_eq!(request_path(head.as_bytes()), (status, path.to_owned()));
        }
    }

    #[test]
    fn a_page_is_served() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = std::thread::spawn(move || answer(listener.accept().unwrap().0));
        let mut client = TcpStream::connect(address).unwrap();
        client
            .write_all(b"GET /deck HTTP/1.1\r\nhost: x\r\n\r\n")
            .unwrap();
        let mut text = String::new();
        client.read_to_string(&mut text).unwrap();
        server.join().unwrap().unwrap();
        assert!(text.starts_with("HTTP/1.1 200 OK\r\n"), "{text}");
        assert!(text.contains("path:    /deck") && text.contains(&format!("address: {address}")));
    }
}
