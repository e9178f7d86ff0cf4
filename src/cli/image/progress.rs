//! What a node says while an image arrives, as bars or lines.

use super::size;
use crate::client::{ClientError, Lines};
use crate::image::Progress;
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::Value;
use std::collections::HashMap;
use std::io::IsTerminal;

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
pub async fn follow(mut lines: Lines) -> Result<(), anyhow::Error> {
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
