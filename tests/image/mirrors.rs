//! Mirrors, rewrites, and whom TLS trusts.

use crate::archives::{Form, Layer, Oci, arch};
use crate::fake::{FakeRegistry, Guard};
use crate::store::Store;
use coracle::image::ImageError;
use std::sync::Arc;

fn oci() -> Oci {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let layer = Layer::new().file("x", b"1").tar();
    Oci::default().image(Some("a:1"), arch(), Form::Gzip, &[layer])
}

#[tokio::test(flavor = "multi_thread")]
async fn mirrors_are_asked_in_order_and_told_which_registry_is_meant() {
    let mirror = FakeRegistry::start(&oci(), Guard::Open).await;
    let own = FakeRegistry::start(&oci(), Guard::Open).await;
    let store = Store::new();
    let mirrors = |registry: &str| {
        format!(
            "mirrors:\n  '{registry}':\n    endpoint: ['http://127.0.0.1:1', '127.0.0.1:{}']\n    rewrite: {{'^library/(.*)': 'hub/$1'}}\n",
            mirror.port
        )
    };
    store.configure(&mirrors("docker.io"));
    let image = store.pull("busybox:1").await.unwrap();
    assert_eq!(image.tags, ["docker.io/library/busybox:1"]);
    assert!(mirror.count("/v2/hub/busybox/manifests/1?ns=docker.io") >= 1);
    assert!(mirror.count("/v2/hub/busybox/blobs/") >= 1);

    // What the mirrors do not have comes from the registry itself, under its own name.
    store.configure(&mirrors(&format!("127.0.0.1:{}", own.port)));
    let name = own.name("library/only:absent");
    assert!(matches!(
        store.pull(&name).await.unwrap_err(),
        ImageError::NotFound { .. }
    ));
    assert_eq!(mirror.count("/v2/hub/only/manifests/absent"), 1);
    assert_eq!(own.count("/v2/library/only/manifests/absent"), 1);
}

/// A certificate authority's PEM, and a server's configuration for 127.0.0.1 by it that wants clients of the same.
fn tls(wants_client: bool, dir: &std::path::Path) -> rustls::ServerConfig {
    let key = rcgen::KeyPair::generate().unwrap();
    let mut parameters = rcgen::CertificateParams::new(Vec::new()).unwrap();
    parameters.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let authority = parameters.self_signed(&key).unwrap();
    let issuer = rcgen::Issuer::new(parameters, key);
    std::fs::write(dir.join("ca.pem"), authority.pem()).unwrap();
    let issue = |name: &str| {
        let key = rcgen::KeyPair::generate().unwrap();
        let parameters = rcgen::CertificateParams::new(vec![name.to_owned()]).unwrap();
        (parameters.signed_by(&key, &issuer).unwrap(), key)
    };
    let (client, client_key) = issue("node");
    std::fs::write(dir.join("node.pem"), client.pem()).unwrap();
    std::fs::write(dir.join("node.key"), client_key.serialize_pem()).unwrap();
    let (server, server_key) = issue("127.0.0.1");
    let builder = rustls::ServerConfig::builder();
    let builder = if wants_client {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(authority.der().clone()).unwrap();
        let verifier = rustls::server::WebPkiClientVerifier::builder(Arc::new(roots)).build();
        builder.with_client_cert_verifier(verifier.unwrap())
    } else {
        builder.with_no_client_auth()
    };
    let key = rustls::pki_types::PrivateKeyDer::try_from(server_key.serialize_der()).unwrap();
    builder
        .with_single_cert(vec![server.der().clone()], key)
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn own_authorities_client_certificates_and_blind_trust() {
    let oci = oci();
    let dir = tempfile::tempdir().unwrap();
    let fake = FakeRegistry::start_with(&oci, Guard::Open, &[], Some(tls(true, dir.path()))).await;
    let file = |name: &str| dir.path().join(name).display().to_string();
    let whole = format!(
        "{{ca_file: {}, cert_file: {}, key_file: {}}}",
        file("ca.pem"),
        file("node.pem"),
        file("node.key")
    );
    let blind = format!(
        "{{insecure_skip_verify: true, cert_file: {}, key_file: {}}}",
        file("node.pem"),
        file("node.key")
    );
    for (settings, works) in [
        ("{}".to_owned(), false),
        (format!("{{ca_file: {}}}", file("ca.pem")), false),
        (whole, true),
        (blind, true),
    ] {
        let store = Store::new();
        store.configure(&format!(
            "configs:\n  '127.0.0.1:{}':\n    tls: {settings}\n",
            fake.port
        ));
        let pulled = store.pull(&fake.name("team/a:1")).await;
        match (&pulled, works) {
            (Ok(_), true) | (Err(ImageError::Unreachable { .. }), false) => {}
            _ => panic!("{settings}: {pulled:?}"),
        }
    }
    let store = Store::new();
    store.configure(&format!(
        "configs:\n  '127.0.0.1:{}':\n    tls: {{cert_file: {}}}\n",
        fake.port,
        file("node.pem")
    ));
    let error = store.pull(&fake.name("team/a:1")).await.unwrap_err();
    assert!(error.to_string().contains("together"), "{error}");
}
