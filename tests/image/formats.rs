//! Media types, devices, holes and bombs.

use crate::archives::{Form, Layer, Oci, arch, compressed, one_layer};
use crate::fake::{FakeRegistry, Guard};
use crate::store::{Store, can_mount};
use coracle::image::{ImageError, formats};
use std::os::unix::fs::{FileTypeExt, MetadataExt};

#[tokio::test(flavor = "multi_thread")]
async fn layers_of_other_types_are_refused_by_name() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    for (layer_type, why) in [
        (
            "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
            "foreign layer",
        ),
        ("application/vnd.example.something", "no tar archive"),
    ] {
        let layer = Layer::new().file("x", b"1").tar();
        let oci =
            Oci::default().image_of_type(Some("a:1"), arch(), Form::Gzip, layer_type, &[layer]);
        let fake = FakeRegistry::start(&oci, Guard::Open).await;
        let error = Store::new().pull(&fake.name("team/a:1")).await.unwrap_err();
        assert!(matches!(error, ImageError::MediaType { .. }), "{error}");
        let text = error.to_string();
        assert!(text.contains(layer_type) && text.contains(why), "{text}");
        assert_eq!(
            fake.count("/blobs/"),
            0,
            "refused before anything is fetched"
        );
    }
}

#[test]
fn devices_and_holes_needs_root() {
    if !can_mount() {
        return;
    }
    let store = Store::new();
    let sound = Layer::new()
        .device("jail/dev/null")
        .block_device("dev/sda")
        .records(&[
            ("GNU.sparse.major", "1"),
            ("GNU.sparse.minor", "0"),
            ("GNU.sparse.name", "holes"),
            ("GNU.sparse.realsize", "1000000"),
        ])
        .file("GNUSparseFile.0/holes", &{
            let mut data = b"2\n0\n3\n999997\n3\n".to_vec();
            data.resize(512, 0);
            data.extend(b"abcxyz");
            data
        })
        .file("zeros", &vec![0; 1_000_000]);
    let image = store
        .import(&one_layer("sound:1", sound))
        .unwrap()
        .remove(0);
    let dir = tempfile::tempdir().unwrap();
    let root = store
        .images
        .root_fs(&image, dir.path())
        .unwrap()
        .lower
        .remove(0);
    let null = std::fs::symlink_metadata(root.join("jail/dev/null")).unwrap();
    assert!(null.file_type().is_char_device());
    assert!(
        !root.join("dev/sda").exists(),
        "covered by the container's own /dev"
    );
    let holes = std::fs::read(root.join("holes")).unwrap();
    assert_eq!(
        (holes.len(), &holes[..4], &holes[999_996..]),
        (1_000_000, &b"abc\0"[..], &b"\0xyz"[..])
    );
    let zeros = std::fs::metadata(root.join("zeros")).unwrap();
    assert_eq!(zeros.len(), 1_000_000);
    assert!(zeros.blocks() * 512 < 500_000, "zeros are not written out");

    let hostile = Layer::new().block_device("sda");
    let error = store.import(&one_layer("hostile:1", hostile)).unwrap_err();
    assert!(error.to_string().contains("block device 1:3"), "{error}");
    assert_eq!(store.leftovers().len(), 1, "{:?}", store.leftovers());
}

#[test]
fn a_bomb_ends_early() {
    // 256 MiB of zeros in a layer of few KiB, thrice compressed: what it may grow to is told by what was transferred.
    let tar = Layer::new().file("bomb", &vec![0; 8 * 1024 * 1024]).tar();
    let gzip = compressed(Form::Gzip, &tar);
    assert!(gzip.len() * 100 < tar.len());
    let error = formats::check_blob(&gzip[..], 1024 * 1024).unwrap_err();
    assert!(error.to_string().contains("larger than 1048576"), "{error}");
    let whole = formats::check_blob(&gzip[..], 8 * 1024 * 1024).unwrap();
    assert_eq!((whole.entries, whole.bytes), (1, 8 * 1024 * 1024));
}

#[test]
fn documents_are_read_without_a_store() {
    let sound = Oci::default().image(Some("a:1"), arch(), Form::Gzip, &[Layer::new().tar()]);
    formats::check_manifest(&sound.index()).unwrap();
    for (_, bytes) in &sound.members {
        // A layer, a configuration and a manifest: two of the readers refuse each.
        let _ = formats::check_manifest(bytes);
        let _ = formats::check_configuration(bytes, 1);
    }
    for bad in [
        &b""[..],
        b"{",
        b"{\"schemaVersion\":1}",
        b"{\"schemaVersion\":2,\"manifests\":[]}",
        b"{\"schemaVersion\":2,\"config\":{\"digest\":\"sha256:x\"},\"layers\":[]}",
    ] {
        assert!(formats::check_manifest(bad).is_err());
    }
}
