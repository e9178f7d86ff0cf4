//! A blob's bytes in order, whatever the link does: a transfer that breaks or falls silent goes on where it stopped.
//!
//! Whoever reads sees one stream, so its hashes and its decompressor go on too. After a restart of the process a layer
//! begins anew: continuing it would need the compressed bytes on the card beside the unpacked ones, every byte written
//! twice.

use super::range::{Continues, continues};
use super::remote::Remote;
use super::retry;
use super::session::{Ask, causes, silence};
use crate::image::ImageError;
use crate::image::digest::Digest;
use bytes::Bytes;
use futures::Stream;
use http::header::CONTENT_RANGE;
use reqwest::Response;
use std::io;
use std::sync::Arc;

/// The state of one transfer.
struct Transfer {
    remote: Arc<Remote>,
    digest: String,
    /// Bytes in all; 0 where unknown.
    size: u64,
    done: u64,
    /// Known bytes that the present answer repeats.
    skip: u64,
    response: Option<Response>,
    /// Failures since the last progress.
    failures: u32,
    progress: u64,
    /// Which endpoint is asked.
    at: usize,
    is_over: bool,
}

/// The blob `digest` of `size` bytes. An error, an `ImageError` inside, ends it.
pub fn stream(
    remote: Arc<Remote>,
    digest: &Digest,
    size: u64,
) -> impl Stream<Item = io::Result<Bytes>> + Send + use<> {
    let transfer = Transfer {
        at: remote.active(),
        remote,
        digest: digest.to_string(),
        size,
        done: 0,
        skip: 0,
        response: None,
        failures: 0,
        progress: 0,
        is_over: false,
    };
    futures::stream::unfold(transfer, |mut transfer| async move {
        if transfer.is_over {
            return None;
        }
        match transfer.next().await {
            Ok(Some(bytes)) => Some((Ok(bytes), transfer)),
            Ok(None) => None,
            Err(error) => {
                transfer.is_over = true;
                Some((Err(io::Error::other(error)), transfer))
            }
        }
    })
}

impl Transfer {
    async fn next(&mut self) -> Result<Option<Bytes>, ImageError> {
        loop {
            if self.size > 0 && self.done == self.size {
                return Ok(None);
            }
            let Some(response) = &mut self.response else {
                self.open().await?;
                continue;
            };
            let stall = self.remote.stall();
            let why = match tokio::time::timeout(stall, response.chunk()).await {
                Ok(Ok(Some(bytes))) => {
                    if let Some(bytes) = self.take(bytes)? {
                        return Ok(Some(bytes));
                    }
                    continue;
                }
                Ok(Ok(None)) if self.size == 0 && self.skip == 0 => return Ok(None),
                Ok(Ok(None)) => "it ended early".to_owned(),
                Ok(Err(error)) => causes(&error.without_url()),
                Err(_) => silence(stall),
            };
            self.response = None;
            self.failed(why).await?;
        }
    }

    /// What is new of a chunk.
    fn take(&mut self, mut bytes: Bytes) -> Result<Option<Bytes>, ImageError> {
        let known = self.skip.min(bytes.len() as u64);
        self.skip -= known;
        let bytes = bytes.split_off(known as usize);
        if bytes.is_empty() {
            return Ok(None);
        }
        self.done += bytes.len() as u64;
        if self.size > 0 && self.done > self.size {
            return Err(ImageError::Malformed {
                what: format!("blob {}", self.digest),
                why: format!("it is longer than the {} bytes of its manifest", self.size),
            });
        }
        self.progress += bytes.len() as u64;
        if self.progress >= retry::PROGRESS_BYTES {
            self.failures = 0;
        }
        Ok(Some(bytes))
    }

    /// Asks for what is missing, at the other endpoints too where one does not have it.
    async fn open(&mut self) -> Result<(), ImageError> {
        let mut refusal = None;
        let endpoints = self.remote.sessions();
        for _ in 0..endpoints.len() {
            let ask = Ask::Blob {
                digest: &self.digest,
                from: self.done,
            };
            let session = &endpoints[self.at % endpoints.len()];
            match session.ask(ask).await {
                Ok(response) => {
                    let header = response.headers().get(CONTENT_RANGE);
                    let range = header.and_then(|value| value.to_str().ok());
                    let status = response.status().as_u16();
                    match continues(status, range, self.done, self.size) {
                        Continues::There => self.skip = 0,
                        Continues::AtStart { skip } => self.skip = skip,
                        Continues::Elsewhere => {
                            refusal.get_or_insert(ImageError::Registry {
                                registry: session.endpoint.host.clone(),
                                why: format!(
                                    "asked for byte {} on of {}, it answers {status} with {range:?}",
                                    self.done, self.digest
                                ),
                            });
                            self.at += 1;
                            continue;
                        }
                    }
                    self.response = Some(response);
                    self.progress = 0;
                    return Ok(());
                }
                Err(error) => {
                    tracing::debug!(%error, digest = self.digest, "blob not given");
                    // What the endpoint of the manifest says counts most.
                    refusal.get_or_insert(error);
                    self.at += 1;
                }
            }
        }
        match refusal {
            // The manifest came from there a moment ago: worth more patience than a registry that never answered.
            Some(error) if error.is_passing() => self.failed(error.to_string()).await,
            Some(error) => Err(error),
            None => Err(ImageError::Stopped("no endpoint to ask".to_owned())),
        }
    }

    /// Counts a failure and waits, or gives up.
    async fn failed(&mut self, why: String) -> Result<(), ImageError> {
        self.failures += 1;
        if self.failures >= retry::TRANSFER_FAILURES_MAX {
            return Err(ImageError::Unreachable {
                registry: self.remote.registry(),
                why: format!(
                    "the transfer of {} broke off {} times in a row, the last time after {} bytes: {why}",
                    self.digest, self.failures, self.done
                ),
            });
        }
        let wait = retry::wait(self.failures, self.remote.stall(), rand::random());
        tracing::info!(
            digest = self.digest,
            done_bytes = self.done,
            why,
            ?wait,
            "transfer broke off; it goes on after a wait"
        );
        tokio::time::sleep(wait).await;
        Ok(())
    }
}
