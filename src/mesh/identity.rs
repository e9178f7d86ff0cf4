//! The cluster's certificate authority and the certificates it signs.
//!
//! Boards have no clock of their own and may believe it is 1970 when they start, so certificates are valid from
//! then until 2049 (the last year X.509's short dates can write): a clock must never lock anyone out. What ends trust is
//! a key that is taken away, not a date.

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, date_time_ymd,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use std::fs;
use std::io::{self, Write};
use std::net::IpAddr;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    #[error("{path}: {cause}", path = path.display())]
    File { path: PathBuf, cause: io::Error },
    #[error("{path}: not a usable certificate or key ({cause}); remove the directory to have new ones made, and give out the kubeconfig again", path = path.display())]
    Broken { path: PathBuf, cause: String },
    #[error("cannot make a certificate for {name}: {cause}")]
    Sign { name: String, cause: String },
}

/// A certificate and its private key, both PEM.
#[derive(Clone)]
pub struct Credential {
    pub certificate_pem: String,
    pub key_pem: String,
}

/// The names a server answers to.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct ServerNames {
    pub dns: Vec<String>,
    pub addresses: Vec<IpAddr>,
}

/// Who a certificate says its holder is: common name and organisations (user and groups to Kubernetes).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    pub common_name: String,
    pub organisations: Vec<String>,
}

/// This cluster's authority, kept in a directory of its own that only root may read.
pub struct Authority {
    directory: PathBuf,
    certificate_pem: String,
    issuer: Issuer<'static, KeyPair>,
}

const AUTHORITY: &str = "ca";
const SERVER: &str = "server";
const SERVER_NAMES: &str = "server.names.json";

impl Authority {
    /// The authority in `directory`, made at the first call.
    pub fn open(directory: &Path) -> Result<Authority, IdentityError> {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(directory)
            .map_err(|cause| IdentityError::File {
                path: directory.to_owned(),
                cause,
            })?;
        let credential = if let Some(credential) = read(directory, AUTHORITY)? {
            credential
        } else {
            let made = make_authority().map_err(|cause| sign_error("the authority", &cause))?;
            write(directory, AUTHORITY, &made)?;
            made
        };
        let broken = |cause: rcgen::Error| IdentityError::Broken {
            path: directory.join(AUTHORITY),
            cause: cause.to_string(),
        };
        let key = KeyPair::from_pem(&credential.key_pem).map_err(broken)?;
        let issuer = Issuer::from_ca_cert_pem(&credential.certificate_pem, key).map_err(broken)?;
        Ok(Authority {
            directory: directory.to_owned(),
            certificate_pem: credential.certificate_pem,
            issuer,
        })
    }

    pub fn certificate_pem(&self) -> &str {
        &self.certificate_pem
    }

    /// The server's credential, made anew when the names change.
    pub fn server(&self, names: &ServerNames) -> Result<Credential, IdentityError> {
        let names_path = self.directory.join(SERVER_NAMES);
        let known: Option<ServerNames> = fs::read(&names_path)
            .ok()
            .and_then(|text| serde_json::from_slice(&text).ok());
        if known.as_ref() == Some(names)
            && let Some(credential) = read(&self.directory, SERVER)?
        {
            return Ok(credential);
        }
        let mut texts = names.dns.clone();
        texts.extend(names.addresses.iter().map(IpAddr::to_string));
        let mut params =
            CertificateParams::new(texts).map_err(|cause| sign_error(SERVER, &cause))?;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let holder = Holder {
            common_name: "kube-apiserver".into(),
            organisations: Vec::new(),
        };
        let credential = self.sign(params, &holder)?;
        write(&self.directory, SERVER, &credential)?;
        let text = serde_json::to_vec(names).unwrap_or_default();
        write_private(&names_path, &text)?;
        Ok(credential)
    }

    /// A client's credential, kept under `file_name` and made at the first call.
    pub fn client(&self, file_name: &str, holder: &Holder) -> Result<Credential, IdentityError> {
        if let Some(credential) = read(&self.directory, file_name)? {
            return Ok(credential);
        }
        let mut params = CertificateParams::default();
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let credential = self.sign(params, holder)?;
        write(&self.directory, file_name, &credential)?;
        Ok(credential)
    }

    fn sign(
        &self,
        mut params: CertificateParams,
        holder: &Holder,
    ) -> Result<Credential, IdentityError> {
        let failed = |cause: rcgen::Error| sign_error(&holder.common_name, &cause);
        params.distinguished_name = distinguished_name(holder);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        set_validity(&mut params);
        let key = KeyPair::generate().map_err(failed)?;
        let certificate = params.signed_by(&key, &self.issuer).map_err(failed)?;
        Ok(Credential {
            certificate_pem: certificate.pem(),
            key_pem: key.serialize_pem(),
        })
    }

    /// TLS for the API: clients may show a certificate of this authority; without one they are anonymous.
    pub fn server_config(
        &self,
        credential: &Credential,
    ) -> Result<rustls::ServerConfig, IdentityError> {
        let broken = |cause: String| IdentityError::Broken {
            path: self.directory.join(SERVER),
            cause,
        };
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut roots = rustls::RootCertStore::empty();
        for certificate in certificates(&self.certificate_pem).map_err(broken)? {
            roots
                .add(certificate)
                .map_err(|error| broken(error.to_string()))?;
        }
        let verifier =
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone())
                .allow_unauthenticated()
                .build()
                .map_err(|error| broken(error.to_string()))?;
        let key = PrivateKeyDer::from_pem_slice(credential.key_pem.as_bytes())
            .map_err(|error| broken(error.to_string()))?;
        let mut config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| broken(error.to_string()))?
            .with_client_cert_verifier(verifier)
            .with_single_cert(
                certificates(&credential.certificate_pem).map_err(broken)?,
                key,
            )
            .map_err(|error| broken(error.to_string()))?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(config)
    }
}

/// Whom a verified certificate names; `None` where its subject cannot be read.
pub fn holder(certificate: &CertificateDer<'_>) -> Option<Holder> {
    let (_, parsed) = x509_parser::parse_x509_certificate(certificate).ok()?;
    let common_name = parsed
        .subject()
        .iter_common_name()
        .next()?
        .as_str()
        .ok()?
        .to_owned();
    let organisations = parsed
        .subject()
        .iter_organization()
        .filter_map(|one| one.as_str().ok().map(str::to_owned))
        .collect();
    Some(Holder {
        common_name,
        organisations,
    })
}

fn certificates(pem: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    CertificateDer::pem_slice_iter(pem.as_bytes())
        .collect::<Result<_, _>>()
        .map_err(|error| error.to_string())
}

fn make_authority() -> Result<Credential, rcgen::Error> {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![
        KeyUsagePurpose::KeyCertSign,
        KeyUsagePurpose::CrlSign,
        KeyUsagePurpose::DigitalSignature,
    ];
    params.distinguished_name = distinguished_name(&Holder {
        common_name: "coracle-ca".into(),
        organisations: Vec::new(),
    });
    set_validity(&mut params);
    let key = KeyPair::generate()?;
    let certificate = params.self_signed(&key)?;
    Ok(Credential {
        certificate_pem: certificate.pem(),
        key_pem: key.serialize_pem(),
    })
}

fn set_validity(params: &mut CertificateParams) {
    params.not_before = date_time_ymd(1970, 1, 1);
    params.not_after = date_time_ymd(2049, 12, 31);
}

fn distinguished_name(holder: &Holder) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    for organisation in &holder.organisations {
        name.push(DnType::OrganizationName, organisation.as_str());
    }
    name.push(DnType::CommonName, holder.common_name.as_str());
    name
}

fn sign_error(name: &str, cause: &rcgen::Error) -> IdentityError {
    IdentityError::Sign {
        name: name.to_owned(),
        cause: cause.to_string(),
    }
}

/// `name.crt` and `name.key`; `None` unless both are there.
fn read(directory: &Path, name: &str) -> Result<Option<Credential>, IdentityError> {
    let part = |ending: &str| {
        let path = directory.join(format!("{name}.{ending}"));
        match fs::read_to_string(&path) {
            Ok(text) => Ok(Some(text)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(cause) => Err(IdentityError::File { path, cause }),
        }
    };
    Ok(part("crt")?
        .zip(part("key")?)
        .map(|(certificate_pem, key_pem)| Credential {
            certificate_pem,
            key_pem,
        }))
}

/// The key first: a certificate on disk then always has its key.
fn write(directory: &Path, name: &str, credential: &Credential) -> Result<(), IdentityError> {
    write_private(
        &directory.join(format!("{name}.key")),
        credential.key_pem.as_bytes(),
    )?;
    write_private(
        &directory.join(format!("{name}.crt")),
        credential.certificate_pem.as_bytes(),
    )
}

/// Writes a file that only its owner may read, whole or not at all.
pub fn write_private(path: &Path, contents: &[u8]) -> Result<(), IdentityError> {
    let fresh = path.with_extension("new");
    let failed = |cause| IdentityError::File {
        path: path.to_owned(),
        cause,
    };
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&fresh)
        .map_err(failed)?;
    file.write_all(contents)
        .and_then(|()| file.sync_all())
        .map_err(failed)?;
    fs::rename(&fresh, path).map_err(failed)?;
    // The new name too must outlive a power cut: a key that was given out cannot be made again.
    let directory = path.parent().unwrap_or(Path::new("."));
    fs::File::open(directory)
        .and_then(|directory| directory.sync_all())
        .map_err(failed)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn credentials_are_kept_private_and_name_their_holder() {
        let directory = tempfile::tempdir().unwrap();
        let pki = directory.path().join("pki");
        let authority = Authority::open(&pki).unwrap();
        let admin = Holder {
            common_name: "kubernetes-admin".into(),
            organisations: vec!["system:masters".into()],
        };
        let credential = authority.client("admin", &admin).unwrap();
        let names = ServerNames {
            dns: vec!["localhost".into()],
            addresses: vec!["127.0.0.1".parse().unwrap()],
        };
        let server = authority.server(&names).unwrap();
        authority.server_config(&server).unwrap();
        let again = Authority::open(&pki).unwrap();
        assert_eq!(again.certificate_pem(), authority.certificate_pem());
        assert_eq!(
            again.client("admin", &admin).unwrap().key_pem,
            credential.key_pem
        );
        assert_eq!(again.server(&names).unwrap().key_pem, server.key_pem);
        let moved = ServerNames {
            addresses: vec!["192.0.2.1".parse().unwrap()],
            ..names
        };
        assert_ne!(
            again.server(&moved).unwrap().certificate_pem,
            server.certificate_pem
        );
        let der = certificates(&credential.certificate_pem).unwrap();
        assert_eq!(holder(&der[0]), Some(admin));
        for file in fs::read_dir(&pki).unwrap() {
            let mode = file.unwrap().metadata().unwrap().permissions().mode();
            assert_eq!(mode & 0o077, 0);
        }
        fs::write(pki.join("ca.crt"), "nonsense").unwrap();
        assert!(matches!(
            Authority::open(&pki),
            Err(IdentityError::Broken { .. })
        ));
    }
}
