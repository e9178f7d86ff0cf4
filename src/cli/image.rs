//! `coracle image`: a node's images, through the API's way to the node.

use super::Outcome;
use super::connect::{ClientArgs, Session, get, request};
use super::print::table;
use crate::client::{Client, ClientError, Lines, encode_segment, read_value};
use crate::image::{Image, Progress};
use anyhow::Context;
use axum::body::Body;
use clap::Subcommand;
use http::{Method, header};
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::io::{BufRead, IsTerminal};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use tokio_util::io::ReaderStream;

#[derive(Debug, clap::Args)]
pub struct ImageArgs {
    #[command(subcommand)]
    verb: ImageVerb,
    /// The node; default: the only one.
    #[arg(long, global = true, value_name = "NAME")]
    node: Option<String>,
}

#[derive(Debug, Subcommand)]
enum ImageVerb {
    /// Read OCI or docker archives (tar, also gzip); `-` is standard input.
    Import {
        #[arg(required = true, value_name = "ARCHIVE")]
        archives: Vec<PathBuf>,
    },
    /// List the images that are there.
    Ls {
        /// Whole ids and digests.
        #[arg(long)]
        no_trunc: bool,
    },
    /// Remove images that no container uses.
    Rm {
        #[arg(required = true, value_name = "IMAGE")]
        references: Vec<String>,
    },
    /// Fetch images from their registry.
    Pull {
        #[arg(required = true, value_name = "IMAGE")]
        references: Vec<String>,
        /// User at the registry.
        #[arg(long, value_name = "NAME", requires = "password_stdin")]
        username: Option<String>,
        /// Read the user's password from standard input.
        #[arg(long, requires = "username")]
        password_stdin: bool,
    },
}

pub async fn run(args: ImageArgs, client: ClientArgs) -> Outcome {
    let session = client.connect()?;
    let node = node(&session.client, args.node).await?;
    let images = format!("/api/v1/nodes/{}/proxy/images", encode_segment(&node));
    match args.verb {
        ImageVerb::Ls { no_trunc } => list(&session, &images, no_trunc).await,
        ImageVerb::Rm { references } => remove(&session, &images, references).await,
        ImageVerb::Import { archives } => import(&session, &images, archives).await,
        ImageVerb::Pull {
            references,
            username,
            ..
        } => {
            let credentials = match username {
                None => None,
                Some(username) => Some(json!({"username": username, "password": read_password()?})),
            };
            pull(&session, &images, references, credentials).await
        }
    }
}

/// The node named, or the only one.
async fn node(client: &Client, named: Option<String>) -> Result<String, anyhow::Error> {
    if let Some(node) = named {
        return Ok(node);
    }
    let list = client
        .send_value(Method::GET, "/api/v1/nodes", None)
        .await?;
    let names: Vec<&str> = list["items"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|node| node["metadata"]["name"].as_str())
        .collect();
    match names.as_slice() {
        [only] => Ok((*only).to_owned()),
        [] => anyhow::bail!("the cluster has no node yet: is one up?"),
        _ => anyhow::bail!(
            "the cluster has several nodes: choose one with --node ({})",
            names.join(", ")
        ),
    }
}

/// One line of standard input, without its end.
fn read_password() -> Result<String, anyhow::Error> {
    /// Longer than any password or token a registry gives.
    const PASSWORD_BYTES_MAX: u64 = 64 << 10;
    let mut password = String::new();
    let input = std::io::stdin().lock();
    std::io::Read::take(input, PASSWORD_BYTES_MAX)
        .read_line(&mut password)
        .context("the password cannot be read from standard input")?;
    let password = password.trim_end_matches(['\r', '\n']).to_owned();
    anyhow::ensure!(!password.is_empty(), "standard input holds no password");
    Ok(password)
}

async fn list(session: &Session, images: &str, whole: bool) -> Outcome {
    let answer = read_value(get(&session.client, images, &[], "application/json").await?).await?;
    let images: Vec<Image> = serde_json::from_value(answer)
        .map_err(|cause| ClientError::Decode(format!("the list of images: {cause}")))?;
    let header = ["IMAGE", "TAG", "IMAGE ID", "SIZE"].map(str::to_owned);
    let mut lines = vec![header.to_vec()];
    for image in &images {
        lines.extend(rows(image, whole));
    }
    lines[1..].sort();
    print!("{}", table::render(&lines, &mut Vec::new()));
    Ok(ExitCode::SUCCESS)
}

/// One line per name.
fn rows(image: &Image, whole: bool) -> Vec<Vec<String>> {
    /// As much of a digest as docker and crictl show.
    const ID_CHARS: usize = 13;
    let id = image.id.strip_prefix("sha256:").unwrap_or(&image.id);
    let id = if whole {
        image.id.clone()
    } else {
        id.chars().take(ID_CHARS).collect()
    };
    let size = size(image.size_bytes);
    let row =
        |name: &str, tag: &str| vec![name.to_owned(), tag.to_owned(), id.clone(), size.clone()];
    if image.tags.is_empty() {
        let name = image.digests.first().map_or("<none>", |digest| {
            digest.split_once('@').map_or(digest, |(name, _)| name)
        });
        return vec![row(name, "<none>")];
    }
    image
        .tags
        .iter()
        .map(|full| match full.rsplit_once(':') {
            // A colon before a slash belongs to the registry's port.
            Some((name, tag)) if !tag.contains('/') => row(name, tag),
            _ => row(full, "<none>"),
        })
        .collect()
}

/// Decimal units, as docker and crictl show.
fn size(bytes: u64) -> String {
    let mut amount = bytes as f64;
    for unit in ["B", "kB", "MB", "GB"] {
        if amount < 1000.0 {
            return if unit == "B" {
                format!("{bytes}B")
            } else {
                format!("{amount:.1}{unit}")
            };
        }
        amount /= 1000.0;
    }
    format!("{amount:.1}TB")
}

async fn remove(session: &Session, images: &str, references: Vec<String>) -> Outcome {
    for reference in references {
        let query = [("reference", reference.clone())];
        let request = request(Method::DELETE, images, &query, &[], Body::empty())?;
        session.client.request(request).await?;
        println!("Deleted: {reference}");
    }
    Ok(ExitCode::SUCCESS)
}

async fn pull(
    session: &Session,
    images: &str,
    references: Vec<String>,
    credentials: Option<Value>,
) -> Outcome {
    for reference in references {
        let query = [("reference", reference.clone())];
        let body = match &credentials {
            None => Body::empty(),
            Some(credentials) => Body::from(credentials.to_string()),
        };
        let headers = [(header::CONTENT_TYPE, "application/json")];
        let path = format!("{images}/pull");
        let request = request(Method::POST, &path, &query, &headers, body)?;
        let response = session.client.request(request).await?;
        follow(Lines::new(response.into_body()))
            .await
            .with_context(|| reference.clone())?;
    }
    Ok(ExitCode::SUCCESS)
}

async fn import(session: &Session, images: &str, archives: Vec<PathBuf>) -> Outcome {
    for archive in archives {
        let name = archive.display().to_string();
        let body = archive_body(&archive)
            .await
            .with_context(|| format!("{name} cannot be read"))?;
        let headers = [(header::CONTENT_TYPE, "application/x-tar")];
        let path = format!("{images}/import");
        let request = request(Method::POST, &path, &[], &headers, body)?;
        let response = session
            .client
            .request(request)
            .await
            .with_context(|| name.clone())?;
        follow(Lines::new(response.into_body()))
            .await
            .with_context(|| name.clone())?;
    }
    Ok(ExitCode::SUCCESS)
}

async fn archive_body(archive: &Path) -> Result<Body, std::io::Error> {
    if archive.as_os_str() == "-" {
        return Ok(Body::from_stream(ReaderStream::new(tokio::io::stdin())));
    }
    let file = tokio::fs::File::open(archive).await?;
    if file.metadata().await?.is_dir() {
        return Err(std::io::Error::other(
            "it is a directory; an archive is needed",
        ));
    }
    Ok(Body::from_stream(ReaderStream::new(file)))
}

/// One line of the node's answer: progress, or how it failed.
fn read_line(line: &[u8]) -> Result<Progress, anyhow::Error> {
    let value: Value = serde_json::from_slice(line)
        .map_err(|cause| ClientError::Decode(format!("progress: {cause}")))?;
    if value["phase"] == "error" {
        anyhow::bail!(
            "{}",
            value["message"]
                .as_str()
                .unwrap_or("the node does not say why")
        );
    }
    Ok(serde_json::from_value(value)
        .map_err(|cause| ClientError::Decode(format!("progress: {cause}")))?)
}

/// Shows progress until the image is there. An answer that ends without one is an error.
async fn follow(mut lines: Lines) -> Result<(), anyhow::Error> {
    let mut bars = Bars::new();
    let mut done = false;
    while let Some(line) = lines.next().await {
        let progress = read_line(&line?)?;
        done |= matches!(progress, Progress::Done { .. });
        bars.show(progress);
    }
    anyhow::ensure!(done, "the node's answer ended before the image was there");
    Ok(())
}

/// A bar per layer on a terminal; a line per step elsewhere.
struct Bars {
    all: MultiProgress,
    layers: HashMap<String, ProgressBar>,
    terminal: bool,
}

/// Layers shown; an image has at most 127, as many as overlayfs once allowed.
const BARS_MAX: usize = 128;

impl Bars {
    fn new() -> Bars {
        let terminal = std::io::stderr().is_terminal();
        let all = MultiProgress::new();
        if !terminal {
            all.set_draw_target(ProgressDrawTarget::hidden());
        }
        Bars {
            all,
            layers: HashMap::new(),
            terminal,
        }
    }

    fn show(&mut self, progress: Progress) {
        match progress {
            Progress::Resolving { reference } => {
                if !self.terminal {
                    eprintln!("{reference}: resolving");
                }
            }
            Progress::Layer {
                digest,
                done_bytes,
                total_bytes,
            } => self.layer(&digest, done_bytes, total_bytes),
            Progress::Present { digest } => {
                if self.terminal {
                    let bar = self.bar(&digest, 0);
                    bar.finish_with_message(format!("{} already here", short(&digest)));
                } else {
                    eprintln!("{}: already here", short(&digest));
                }
            }
            Progress::Done { image } => {
                let _ = self.all.clear();
                for name in image.tags.iter().chain(&image.digests).take(1) {
                    println!("{name}");
                }
            }
        }
    }

    fn layer(&mut self, digest: &str, done_bytes: u64, total_bytes: u64) {
        let complete = total_bytes > 0 && done_bytes >= total_bytes;
        if !self.terminal {
            let new = !self.layers.contains_key(digest) && self.layers.len() < BARS_MAX;
            if new {
                self.layers.insert(digest.to_owned(), ProgressBar::hidden());
                eprintln!("{}: fetching {}", short(digest), size(total_bytes));
            }
            return;
        }
        let bar = self.bar(digest, total_bytes);
        bar.set_position(done_bytes);
        if complete {
            bar.finish_with_message(format!("{} complete", short(digest)));
        }
    }

    fn bar(&mut self, digest: &str, total_bytes: u64) -> ProgressBar {
        if let Some(bar) = self.layers.get(digest) {
            if total_bytes > 0 {
                bar.set_length(total_bytes);
            }
            return bar.clone();
        }
        if self.layers.len() >= BARS_MAX {
            return ProgressBar::hidden();
        }
        let (bar, template) = if total_bytes > 0 {
            let template = "{msg:28} [{bar:30}] {bytes}/{total_bytes} {bytes_per_sec}";
            (ProgressBar::new(total_bytes), template)
        } else {
            (ProgressBar::new_spinner(), "{msg:28} {spinner} {bytes}")
        };
        let bar = self.all.add(bar).with_message(short(digest));
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style.progress_chars("=> "));
        }
        self.layers.insert(digest.to_owned(), bar.clone());
        bar
    }
}

fn short(digest: &str) -> String {
    digest
        .strip_prefix("sha256:")
        .unwrap_or(digest)
        .chars()
        .take(12)
        .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn names_and_sizes_are_shown_apart() {
        let image = Image {
            id: "sha256:0123456789abcdef".to_owned(),
            tags: vec![
                "docker.io/library/busybox:1.36".to_owned(),
                "localhost:5000/a".to_owned(),
            ],
            digests: vec![],
            layers: vec![],
            size_bytes: 1_234_567,
            config: crate::image::ImageConfig::default(),
        };
        let rows = rows(&image, false);
        assert_eq!(
            rows[0],
            [
                "docker.io/library/busybox",
                "1.36",
                "0123456789abc",
                "1.2MB"
            ]
        );
        assert_eq!(rows[1][..2], ["localhost:5000/a", "<none>"]);
        assert_eq!(size(999), "999B");
        assert_eq!(size(2_500_000_000), "2.5GB");
    }

    #[test]
    fn lines_of_progress_are_read() {
        assert!(matches!(
            read_line(br#"{"phase":"layer","digest":"sha256:a","done_bytes":1,"total_bytes":2}"#),
            Ok(Progress::Layer { .. })
        ));
        let error = read_line(br#"{"phase":"error","message":"no such image"}"#).unwrap_err();
        assert_eq!(error.to_string(), "no such image");
        assert!(read_line(b"x").is_err());
        assert!(read_line(br#"{"phase":"dancing"}"#).is_err());
    }
}
