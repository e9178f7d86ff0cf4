//! Pulling from a real registry.

use crate::archives::{Form, Layer, Oci, arch, busybox_layers, compressed, digest};
use crate::registry::{PASSWORD, Registry};
use crate::store::{Mounted, Store, Told, can_mount, has, names};
use coracle::image::{Credentials, Image, ImageError, Keyring};

/// False where a program is missing (said loudly). Also installs the process-wide TLS provider.
fn ready() -> bool {
    let _ = rustls::crypto::ring::default_provider().install_default();
    has("docker-registry") && has("skopeo")
}

async fn pull(store: &Store, name: &str, told: &Told) -> Result<Image, ImageError> {
    store
        .images
        .pull(name, &Keyring::default(), &|progress| told.tell(progress))
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pulled_image_runs_and_a_second_pull_transfers_nothing() {
    if !ready() {
        return;
    }
    let registry = Registry::start(false);
    for (form, tag) in [
        (Form::Gzip, "gzip"),
        (Form::Plain, "plain"),
        (Form::Zstd, "zstd"),
    ] {
        let archive = Oci::default()
            .image(Some("busybox:1"), arch(), form, &busybox_layers())
            .tar();
        registry.push(
            &archive,
            &format!("test/busybox:{tag}"),
            &["--preserve-digests"],
        );
        let name = registry.name(&format!("test/busybox:{tag}"));
        let store = Store::new();
        let told = Told::default();
        let image = pull(&store, &name, &told).await.unwrap();
        assert_eq!(told.layers(), (2, 0), "{tag}");
        assert_eq!(image.tags.join(" "), name);
        assert_eq!(image.digests.len(), 1);
        if can_mount() {
            let mounted = Mounted::new(&store, &image);
            assert_eq!(
                names(&mounted.path("")),
                ["bin", "replaced", "tmp", "veiled"]
            );
            assert_eq!(names(&mounted.path("veiled")), ["new"]);
        }
        let served = registry.blobs_served();
        assert!(served > 0, "{}", registry.log());
        let told = Told::default();
        assert_eq!(pull(&store, &name, &told).await.unwrap(), image);
        assert_eq!(told.layers(), (0, 2));
        let by_digest = pull(&store, &image.digests[0], &told).await.unwrap();
        assert_eq!(by_digest.id, image.id);
        assert_eq!(
            registry.blobs_served(),
            served,
            "blobs were transferred again"
        );
        assert!(store.images.find(&image.digests[0]).unwrap().is_some());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn docker_schema_2_and_lists_for_several_machines() {
    if !ready() {
        return;
    }
    let registry = Registry::start(false);
    let layers = |text: &[u8]| vec![Layer::new().file("which", text).tar()];
    let archive = Oci::default()
        .image(Some("multi:1"), arch(), Form::Gzip, &layers(b"ours"))
        .tar();
    registry.push(&archive, "test/v2s2:1", &["--format=v2s2"]);
    let store = Store::new();
    let told = Told::default();
    let image = pull(&store, &registry.name("test/v2s2:1"), &told)
        .await
        .unwrap();
    let dir = tempfile::tempdir().unwrap();
    let rootfs = store.images.root_fs(&image, dir.path()).unwrap();
    assert_eq!(
        std::fs::read(rootfs.lower[0].join("which")).unwrap(),
        b"ours"
    );

    let foreign = Oci::default()
        .image(Some("m:1"), "s390x", Form::Gzip, &layers(b"other"))
        .tar();
    registry.push(&foreign, "test/foreign:1", &[]);
    let error = pull(&store, &registry.name("test/foreign:1"), &told)
        .await
        .unwrap_err();
    assert!(matches!(error, ImageError::Platform { .. }), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_say_what_is_wrong() {
    if !ready() {
        return;
    }
    let registry = Registry::start(true);
    let layers = [Layer::new().file("x", b"1").tar()];
    let archive = Oci::default()
        .image(Some("a:1"), arch(), Form::Gzip, &layers)
        .tar();
    registry.push(&archive, "private/a:1", &["--preserve-digests"]);
    let name = registry.name("private/a:1");
    let store = Store::new();
    let told = Told::default();
    let anonymous = pull(&store, &name, &told).await.unwrap_err();
    assert!(
        matches!(anonymous, ImageError::Unauthorized { .. }),
        "{anonymous}"
    );
    let login = |password: &str| {
        Keyring::of(Credentials::Login {
            username: "tester".to_owned(),
            password: password.to_owned(),
        })
    };
    let wrong = store
        .images
        .pull(&name, &login("nonsense"), &|_| {})
        .await
        .unwrap_err();
    assert!(matches!(wrong, ImageError::Unauthorized { .. }), "{wrong}");
    let good = login(PASSWORD);
    let absent = registry.name("private/a:none");
    let missing = store
        .images
        .pull(&absent, &good, &|_| {})
        .await
        .unwrap_err();
    assert!(
        missing.to_string().contains("manifest unknown"),
        "{missing}"
    );

    // A blob damaged on the registry's disk.
    let blob = digest(&compressed(Form::Gzip, &layers[0]));
    let file = registry.blob_file(&blob);
    let sound = std::fs::read(&file).unwrap();
    let mut damaged = sound.clone();
    let middle = damaged.len() / 2;
    damaged[middle] ^= 1;
    std::fs::write(&file, damaged).unwrap();
    let mismatch = store.images.pull(&name, &good, &|_| {}).await.unwrap_err();
    match mismatch {
        ImageError::DigestMismatch {
            expected, found, ..
        } => {
            assert_eq!(expected, blob);
            assert_ne!(found, blob);
        }
        other => panic!("{other}"),
    }
    assert!(store.leftovers().is_empty(), "{:?}", store.leftovers());
    std::fs::write(&file, sound).unwrap();
    let image = store.images.pull(&name, &good, &|_| {}).await.unwrap();
    assert_eq!(image.tags, [name]);

    let port = registry.port;
    drop(registry);
    let gone = pull(&store, &format!("127.0.0.1:{port}/x:1"), &told)
        .await
        .unwrap_err();
    assert!(matches!(gone, ImageError::Unreachable { .. }), "{gone}");
    assert!(gone.to_string().contains("refused"), "{gone}");
}

#[tokio::test(flavor = "multi_thread")]
async fn pulls_at_the_same_time_share_their_layers() {
    if !ready() {
        return;
    }
    let registry = Registry::start(false);
    let archive = Oci::default()
        .image(Some("a:1"), arch(), Form::Gzip, &busybox_layers())
        .tar();
    registry.push(&archive, "a:1", &["--preserve-digests"]);
    let name = registry.name("a:1");
    let store = Store::new();
    let before = registry.blobs_served();
    let tasks: Vec<_> = (0..4)
        .map(|_| {
            let (images, name) = (store.images.clone(), name.clone());
            tokio::spawn(async move { images.pull(&name, &Keyring::default(), &|_| {}).await })
        })
        .collect();
    for task in tasks {
        assert_eq!(task.await.unwrap().unwrap().layers.len(), 2);
    }
    // Each may read the small configuration; the two layers are read once.
    assert!(
        registry.blobs_served() - before <= 4 + 2,
        "{}",
        registry.log()
    );
}
