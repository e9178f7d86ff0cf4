//! The web server in the built-in image: first process of a very small container.
//!
//! Standard library only, a handful of small threads, every wait bounded.

use super::Outcome;
use anyhow::Context;
use nix::sys::signal::{SigSet, Signal};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

/// Where $PORT says nothing.
const PORT: u16 = 8080;
/// The page's first word where $GREETING says nothing.
const GREETING: &str = "Hello";
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
    /// Count the starts in this file, which a volume keeps; the page tells the number.
    #[arg(long, value_name = "FILE", conflicts_with = "say")]
    count_starts: Option<PathBuf>,
}

/// What every page of this process says.
struct Words {
    greeting: String,
    host: String,
    starts: Option<u64>,
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
    let words = Arc::new(Words {
        greeting: std::env::var("GREETING").unwrap_or_else(|_| GREETING.to_owned()),
        host: host_name(),
        starts: args.count_starts.as_deref().map(count_start).transpose()?,
    });
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
        let (listener, words) = (listener.try_clone()?, words.clone());
        std::thread::Builder::new()
            .stack_size(STACK_BYTES)
            .spawn(move || serve(&listener, &words))?;
    }
    stop.wait()?;
    Ok(ExitCode::SUCCESS)
}

/// One more than the file says. It is whole at any time: a power cut leaves the number before or this one.
fn count_start(file: &Path) -> Result<u64, anyhow::Error> {
    let failed = |action| move || format!("cannot {action} {}", file.display());
    let before = match std::fs::read_to_string(file) {
        Ok(text) => text
            .trim()
            .parse::<u64>()
            .with_context(|| format!("{} does not hold a number: {text:?}", file.display()))?,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => 0,
        Err(error) => return Err(error).with_context(failed("read")),
    };
    let starts = before.saturating_add(1);
    let next = file.with_extension("next");
    let mut written = std::fs::File::create(&next).with_context(failed("write"))?;
    writeln!(written, "{starts}").with_context(failed("write"))?;
    written.sync_all().with_context(failed("write"))?;
    std::fs::rename(&next, file).with_context(failed("write"))?;
    Ok(starts)
}

fn serve(listener: &TcpListener, words: &Words) {
    loop {
        match listener.accept() {
            // A client that went away is its own loss.
            Ok((stream, _)) => drop(answer(stream, words)),
            // Out of file descriptors or memory: others must finish first.
            Err(_) => std::thread::sleep(Duration::from_millis(100)),
        }
    }
}

fn answer(mut stream: TcpStream, words: &Words) -> std::io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let head = read_head(&mut stream)?;
    let (status, path) = request_path(&head);
    let local = plain(stream.local_addr()?);
    let peer = plain(stream.peer_addr()?);
    let page = words.page(&local, &peer, &path);
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

impl Words {
    fn page(&self, address: &str, client: &str, path: &str) -> String {
        let Words { greeting, host, .. } = self;
        let mut page = format!(
            "{greeting} from {host}, a container run by Coracle.\naddress: {address}\nclient:  {client}\npath:    {path}\n"
        );
        if let Some(starts) = self.starts {
            page.push_str("starts:  ");
            page.push_str(&starts.to_string());
            page.push('\n');
        }
        page
    }
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
        let words = Words {
            greeting: "Ahoy".to_owned(),
            host: "deck".to_owned(),
            starts: Some(3),
        };
        let server = std::thread::spawn(move || answer(listener.accept().unwrap().0, &words));
        let mut client = TcpStream::connect(address).unwrap();
        client
            .write_all(b"GET /deck HTTP/1.1\r\nhost: x\r\n\r\n")
            .unwrap();
        let mut text = String::new();
        client.read_to_string(&mut text).unwrap();
        server.join().unwrap().unwrap();
        assert!(text.starts_with("HTTP/1.1 200 OK\r\n"), "{text}");
        assert!(text.contains("path:    /deck") && text.contains(&format!("address: {address}")));
        assert!(text.contains("Ahoy from deck,") && text.contains("starts:  3\n"));
    }

    #[test]
    fn starts_are_counted_in_a_file() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("starts");
        assert_eq!(count_start(&file).unwrap(), 1);
        assert_eq!(count_start(&file).unwrap(), 2);
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "2\n");
        std::fs::write(&file, "many").unwrap();
        assert!(count_start(&file).is_err());
    }
}
