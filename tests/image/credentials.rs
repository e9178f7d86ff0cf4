//! Who is let in by what: token servers, refresh tokens, basic authentication; where credentials come from.

use crate::archives::{Form, Layer, Oci, arch};
use crate::fake::{FakeRegistry, Guard};
use crate::store::Store;
use coracle::image::{Credentials, ImageError, Keyring};
use std::sync::atomic::Ordering;

async fn fake(guard: Guard) -> FakeRegistry {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let layer = Layer::new().file("x", b"1").tar();
    let oci = Oci::default().image(Some("a:1"), arch(), Form::Gzip, &[layer]);
    FakeRegistry::start(&oci, guard).await
}

fn login(password: &str) -> Credentials {
    Credentials::Login {
        username: "user".to_owned(),
        password: password.to_owned(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_guard_takes_its_credentials_and_no_other() {
    let refresh = |token: &str| Credentials::Identity {
        token: token.to_owned(),
    };
    for (guard, good, bad) in [
        (Guard::Login, login("password"), login("nonsense")),
        (Guard::Refresh, refresh("refresh"), refresh("nonsense")),
        (Guard::Basic, login("password"), login("nonsense")),
    ] {
        let fake = fake(guard).await;
        let name = fake.name("team/a:1");
        let store = Store::new();
        for keyring in [Keyring::default(), Keyring::of(bad)] {
            let error = store
                .images
                .pull(&name, &keyring, &|_| {})
                .await
                .unwrap_err();
            assert!(matches!(error, ImageError::Unauthorized { .. }), "{error}");
            assert!(!error.to_string().contains("nonsense"), "{error}");
        }
        let keyring = Keyring::of(good);
        store.images.pull(&name, &keyring, &|_| {}).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_serves_until_it_ends_or_is_refused() {
    let fake = fake(Guard::Token).await;
    let name = fake.name("team/a:1");
    let store = Store::new();
    store.pull(&name).await.unwrap();
    store.pull(&name).await.unwrap();
    assert_eq!(fake.count("GET /token"), 1);
    let asked = "GET /token?scope=repository%3Ateam%2Fa%3Apull&client_id=coracle&service=fake";
    assert_eq!(fake.count(asked), 1, "{:?}", fake.log.lock().unwrap());
    // Refused before its end: a new one is fetched, once.
    fake.faults.revoked.store(true, Ordering::SeqCst);
    // The new one is said to end sooner than it may be used.
    fake.faults.token_life.store(5, Ordering::SeqCst);
    store.pull(&name).await.unwrap();
    assert_eq!(fake.count("GET /token"), 2);
    store.pull(&name).await.unwrap();
    assert_eq!(fake.count("GET /token"), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_nodes_own_files_are_asked_when_the_pod_brings_nothing() {
    let fake = fake(Guard::Login).await;
    let name = fake.name("team/a:1");
    let store = Store::new();
    assert!(store.pull(&name).await.is_err());
    let host = format!("127.0.0.1:{}", fake.port);
    store.configure(&format!(
        "configs:\n  '{host}':\n    auth: {{username: user, password: password}}\n"
    ));
    store.pull(&name).await.unwrap();

    // A wrong secret of the pod is passed over for the node's file; docker's form is read too.
    let store = Store::new();
    let auth = serde_json::json!({"auths": {&host: {"username": "user", "password": "password"}}});
    std::fs::write(store.dir.path().join("config.json"), auth.to_string()).unwrap();
    let wrong = Keyring::of(login("nonsense"));
    store.images.pull(&name, &wrong, &|_| {}).await.unwrap();

    // A mistake in the file is told with its line, and not what stands there.
    let store = Store::new();
    store.configure("configs:\n  x:\n    auth: {username: u, pasword: hunter2}\n");
    let error = store.pull(&name).await.unwrap_err().to_string();
    assert!(
        error.contains("registries.yaml") && error.contains("line 3"),
        "{error}"
    );
    assert!(
        error.contains("pasword") && !error.contains("hunter2"),
        "{error}"
    );
}
