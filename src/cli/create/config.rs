//! `create configmap` and `create secret generic|tls|docker-registry`.

use super::sources::{Entries, SourceArgs, read};
use super::{Common, Generate, Known, hash};
use crate::cli::write_args::head;
use anyhow::Context;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use clap::Subcommand;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Map, Value, json};
use std::path::PathBuf;

#[derive(Debug, clap::Args)]
pub struct ConfigMapArgs {
    #[arg(value_name = "NAME")]
    name: String,
    #[command(flatten)]
    sources: SourceArgs,
    /// Append a hash of the content to the name.
    #[arg(long)]
    append_hash: bool,
    #[command(flatten)]
    common: Common,
}

impl Generate for ConfigMapArgs {
    fn common(&self) -> &Common {
        &self.common
    }
    fn object(&self, _: &Known) -> Result<Value, anyhow::Error> {
        let mut object = head("v1", "ConfigMap", &self.name);
        fill_config_map(&mut object, self.sources.read()?);
        Ok(hashed(object, self.append_hash))
    }
    fn refusal(&self) -> String {
        "failed to create configmap:".to_owned()
    }
}

/// Text goes into `data`, what is none into `binaryData`.
fn fill_config_map(object: &mut Value, entries: Entries) {
    for (key, bytes) in entries {
        match String::from_utf8(bytes) {
            Ok(text) => object["data"][key] = json!(text),
            Err(error) => object["binaryData"][key] = json!(STANDARD.encode(error.as_bytes())),
        }
    }
}

fn hashed(mut object: Value, append: bool) -> Value {
    if append {
        let name = object["metadata"]["name"].as_str().unwrap_or_default();
        let name = format!("{name}-{}", hash::of(&object));
        object["metadata"]["name"] = json!(name);
    }
    object
}

#[derive(Debug, clap::Args)]
pub struct SecretArgs {
    #[command(subcommand)]
    kind: SecretKind,
}

#[derive(Debug, Subcommand)]
enum SecretKind {
    /// From files, directories or literal values.
    Generic(GenericArgs),
    /// A certificate and its private key.
    Tls(TlsArgs),
    /// The password of an image registry.
    DockerRegistry(RegistryArgs),
}

impl SecretArgs {
    pub(super) fn generate(&self) -> &dyn Generate {
        match &self.kind {
            SecretKind::Generic(args) => args,
            SecretKind::Tls(args) => args,
            SecretKind::DockerRegistry(args) => args,
        }
    }
}

/// What `kubectl` says before a refused secret.
const REFUSAL: &str = "failed to create secret";

fn secret(name: &str, kind: &str, entries: &Entries) -> Value {
    let mut object = head("v1", "Secret", name);
    if !entries.is_empty() {
        let data: Map<String, Value> = entries
            .iter()
            .map(|(key, bytes)| (key.clone(), json!(STANDARD.encode(bytes))))
            .collect();
        object["data"] = Value::Object(data);
    }
    if !kind.is_empty() {
        object["type"] = json!(kind);
    }
    object
}

#[derive(Debug, clap::Args)]
struct GenericArgs {
    #[arg(value_name = "NAME")]
    name: String,
    #[command(flatten)]
    sources: SourceArgs,
    /// The secret's type; default: Opaque.
    #[arg(long = "type", value_name = "TYPE", default_value = "")]
    kind: String,
    /// Append a hash of the content to the name.
    #[arg(long)]
    append_hash: bool,
    #[command(flatten)]
    common: Common,
}

impl Generate for GenericArgs {
    fn common(&self) -> &Common {
        &self.common
    }
    fn object(&self, _: &Known) -> Result<Value, anyhow::Error> {
        let object = secret(&self.name, &self.kind, &self.sources.read()?);
        Ok(hashed(object, self.append_hash))
    }
    fn refusal(&self) -> String {
        REFUSAL.to_owned()
    }
}

#[derive(Debug, clap::Args)]
struct TlsArgs {
    #[arg(value_name = "NAME")]
    name: String,
    /// The certificate, PEM.
    #[arg(long, value_name = "FILE")]
    cert: PathBuf,
    /// Its private key, PEM.
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// Append a hash of the content to the name.
    #[arg(long)]
    append_hash: bool,
    #[command(flatten)]
    common: Common,
}

impl Generate for TlsArgs {
    fn common(&self) -> &Common {
        &self.common
    }
    fn object(&self, _: &Known) -> Result<Value, anyhow::Error> {
        let (cert, key) = (read(&self.cert)?, read(&self.key)?);
        check_pair(&cert, &key)?;
        let entries = Entries::from([("tls.crt".to_owned(), cert), ("tls.key".to_owned(), key)]);
        let object = secret(&self.name, "kubernetes.io/tls", &entries);
        Ok(hashed(object, self.append_hash))
    }
    fn refusal(&self) -> String {
        REFUSAL.to_owned()
    }
}

/// A pair that no server could use is refused here, where its files are known.
fn check_pair(cert: &[u8], key: &[u8]) -> Result<(), anyhow::Error> {
    let chain: Vec<CertificateDer> = CertificateDer::pem_slice_iter(cert)
        .collect::<Result<_, _>>()
        .context("the certificate is no PEM")?;
    anyhow::ensure!(
        !chain.is_empty(),
        "tls: failed to find any PEM data in certificate input"
    );
    let key = PrivateKeyDer::from_pem_slice(key)
        .context("tls: failed to find any PEM data in key input")?;
    let provider = rustls::crypto::ring::default_provider();
    rustls::sign::CertifiedKey::from_der(chain, key, &provider)
        .map(drop)
        .context("tls: private key does not match public key")
}

#[derive(Debug, clap::Args)]
struct RegistryArgs {
    #[arg(value_name = "NAME")]
    name: String,
    /// The registry.
    #[arg(
        long,
        value_name = "URL",
        default_value = "https://index.docker.io/v1/"
    )]
    docker_server: String,
    #[arg(long, value_name = "NAME", default_value = "")]
    docker_username: String,
    #[arg(long, value_name = "PASSWORD", default_value = "")]
    docker_password: String,
    #[arg(long, value_name = "ADDRESS", default_value = "")]
    docker_email: String,
    #[command(flatten)]
    sources: SourceArgs,
    /// Append a hash of the content to the name.
    #[arg(long)]
    append_hash: bool,
    #[command(flatten)]
    common: Common,
}

impl Generate for RegistryArgs {
    fn common(&self) -> &Common {
        &self.common
    }
    fn object(&self, _: &Known) -> Result<Value, anyhow::Error> {
        let mut entries = self.sources.read()?;
        if entries.is_empty() {
            anyhow::ensure!(
                ![
                    &self.docker_username,
                    &self.docker_password,
                    &self.docker_server
                ]
                .iter()
                .any(|part| part.is_empty()),
                "either --from-file or the combination of --docker-username, --docker-password and --docker-server is required"
            );
            entries.insert(".dockerconfigjson".to_owned(), self.login().into_bytes());
        }
        let object = secret(&self.name, "kubernetes.io/dockerconfigjson", &entries);
        Ok(hashed(object, self.append_hash))
    }
    fn refusal(&self) -> String {
        REFUSAL.to_owned()
    }
}

impl RegistryArgs {
    /// As `docker login` keeps it.
    fn login(&self) -> String {
        let (user, password) = (&self.docker_username, &self.docker_password);
        let mut entry = json!({"username": user, "password": password});
        if !self.docker_email.is_empty() {
            entry["email"] = json!(self.docker_email);
        }
        entry["auth"] = json!(STANDARD.encode(format!("{user}:{password}")));
        json!({"auths": {&self.docker_server: entry}}).to_string()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn binary_files_are_kept_apart() {
        let mut object = head("v1", "ConfigMap", "c");
        let entries = Entries::from([
            ("a".to_owned(), b"text".to_vec()),
            ("b".to_owned(), vec![0xff, 0]),
        ]);
        fill_config_map(&mut object, entries);
        assert_eq!(object["data"], json!({"a": "text"}));
        assert_eq!(object["binaryData"], json!({"b": "/wA="}));
    }

    #[test]
    fn keys_must_fit_certificates() {
        let pair = |name: &str| rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
        let (one, other) = (pair("a"), pair("b"));
        let cert = one.cert.pem();
        let key = one.signing_key.serialize_pem();
        check_pair(cert.as_bytes(), key.as_bytes()).unwrap();
        let foreign = other.signing_key.serialize_pem();
        assert!(check_pair(cert.as_bytes(), foreign.as_bytes()).is_err());
        assert!(check_pair(b"", key.as_bytes()).is_err());
        assert!(check_pair(cert.as_bytes(), b"x").is_err());
    }
}
