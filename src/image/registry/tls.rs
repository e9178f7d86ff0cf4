//! An HTTP client for one endpoint, trusting what its configuration says.

use super::session::causes;
use crate::image::ImageError;
use crate::image::sources::{Endpoint, Tls};
use reqwest::{Certificate, Client, Identity};
use std::fs;
use std::path::Path;
use std::time::Duration;

/// Redirects followed: registries send to their storage, which may send on once more.
const REDIRECTS_MAX: usize = 5;

/// An idle connection is kept for the next layer, not for the next pull.
const IDLE: Duration = Duration::from_secs(10);

/// HTTP/1.1 only: a connection per layer with a small buffer, instead of one with windows of megabytes.
pub fn client(endpoint: &Endpoint, stall: Duration) -> Result<Client, ImageError> {
    // reqwest would panic without one.
    if rustls::crypto::CryptoProvider::get_default().is_none() {
        return Err(ImageError::NoCryptoProvider);
    }
    let mut builder = Client::builder()
        .http1_only()
        .user_agent(concat!("coracle/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(stall)
        .pool_idle_timeout(IDLE)
        .redirect(reqwest::redirect::Policy::limited(REDIRECTS_MAX));
    if let Some(tls) = &endpoint.tls {
        builder = builder.tls_danger_accept_invalid_certs(tls.insecure_skip_verify);
        if let Some(path) = &tls.ca_file {
            let found = Certificate::from_pem_bundle(&read(path)?)
                .map_err(|error| unreadable(path, &causes(&error)))?;
            if found.is_empty() {
                return Err(unreadable(path, "it holds no certificate in PEM form"));
            }
            builder = builder.tls_certs_merge(found);
        }
        if let Some(identity) = identity(tls)? {
            builder = builder.identity(identity);
        }
    }
    builder.build().map_err(|error| ImageError::Unreachable {
        registry: endpoint.host.clone(),
        why: causes(&error),
    })
}

/// The certificate with which this node shows itself.
fn identity(tls: &Tls) -> Result<Option<Identity>, ImageError> {
    let (certificate, key) = match (&tls.cert_file, &tls.key_file) {
        (None, None) => return Ok(None),
        (Some(certificate), Some(key)) => (certificate, key),
        (Some(one), None) | (None, Some(one)) => {
            return Err(unreadable(
                one,
                "cert_file and key_file are only useful together",
            ));
        }
    };
    let mut both = read(certificate)?;
    both.push(b'\n');
    both.extend(read(key)?);
    Identity::from_pem(&both)
        .map(Some)
        .map_err(|error| unreadable(certificate, &causes(&error)))
}

fn read(path: &Path) -> Result<Vec<u8>, ImageError> {
    fs::read(path).map_err(|error| ImageError::io("read", path, error))
}

fn unreadable(path: &Path, why: &str) -> ImageError {
    ImageError::Sources {
        path: path.to_owned(),
        why: why.to_owned(),
    }
}
