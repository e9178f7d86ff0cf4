//! Images over time: pinned and used ones, layers that vanish.

use crate::archives::{Form, Layer, Oci, arch, one_layer};
use crate::fake::{FakeRegistry, Guard};
use crate::store::Store;
use coracle::image::{ImageError, Stock};

fn stock(store: &Store, name: &str, in_use: bool, now_ms: i64) -> Stock {
    let id = store.images.find(name).unwrap().unwrap().id;
    let all = store
        .images
        .inventory(&|other| in_use && other == id, now_ms);
    all.into_iter().find(|stock| stock.image.id == id).unwrap()
}

#[test]
fn garbage_collection_sees_uses_and_keeps_pinned_images() {
    let store = Store::new();
    for name in ["r.lan/base/a:1", "r.lan/other:1"] {
        let layer = Layer::new().file("name", name.as_bytes()).file("x", b"1");
        store.import(&one_layer(name, layer)).unwrap();
    }
    store.configure("pinned: ['r.lan/base/*']\n");
    let hello = stock(&store, "coracle.local/hello", false, 5);
    assert!(hello.is_pinned && !hello.is_in_use && hello.used_ms == 0);
    let other = stock(&store, "r.lan/other:1", true, 7);
    assert_eq!(
        (
            other.found_ms,
            other.used_ms,
            other.is_in_use,
            other.is_pinned
        ),
        (5, 7, true, false)
    );
    assert_eq!(stock(&store, "r.lan/other:1", false, 9).used_ms, 7);
    let base = stock(&store, "r.lan/base/a:1", false, 9);
    assert!(base.is_pinned && base.image.size_bytes > 0);

    let collect = |id: &str, in_use: bool| store.images.collect(id, &|_| in_use);
    for pinned in [&hello.image.id, &base.image.id] {
        let error = collect(pinned, false).unwrap_err();
        assert!(matches!(error, ImageError::Pinned { .. }), "{error}");
    }
    let error = collect(&other.image.id, true).unwrap_err();
    assert!(matches!(error, ImageError::InUse { .. }), "{error}");
    collect(&other.image.id, false).unwrap();
    assert!(store.images.find("r.lan/other:1").unwrap().is_none());
    assert_eq!(
        store.leftovers().len(),
        1,
        "only the pinned image's layer is left"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_layer_that_vanished_is_noticed_and_fetched_again_alone() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let layers = [
        Layer::new().file("kept", b"1").tar(),
        Layer::new().file("lost", b"2").file("half", b"3").tar(),
    ];
    let oci = Oci::default().image(Some("a:1"), arch(), Form::Gzip, &layers);
    let fake = FakeRegistry::start(&oci, Guard::Open).await;
    let mut store = Store::new();
    let name = fake.name("team/a:1");
    let image = store.pull(&name).await.unwrap();
    assert_eq!(store.images.damaged_layer(&image), None);
    let hex = image.layers[1].strip_prefix("sha256:").unwrap();
    let home = store.dir.path().join("layers").join(hex);
    let damages: [&dyn Fn(); 3] = [
        &|| std::fs::remove_dir_all(&home).unwrap(),
        &|| std::fs::remove_file(home.join("fs/half")).unwrap(),
        &|| std::fs::remove_file(home.join("bytes")).unwrap(),
    ];
    for damage in damages {
        damage();
        assert_eq!(
            store.images.damaged_layer(&image).as_ref(),
            Some(&image.layers[1])
        );
        let before = fake.count("/blobs/");
        assert_eq!(store.pull(&name).await.unwrap().id, image.id);
        assert_eq!(store.images.damaged_layer(&image), None);
        // The configuration and the one layer.
        assert_eq!(fake.count("/blobs/") - before, 2);
        assert_eq!(std::fs::read(home.join("fs/lost")).unwrap(), b"2");
    }
    // At the next start an image that lost a layer is forgotten, its other layer swept.
    std::fs::remove_dir_all(&home).unwrap();
    store.reopen();
    assert!(store.images.find(&name).unwrap().is_none());
    assert!(store.leftovers().is_empty(), "{:?}", store.leftovers());
}

#[test]
fn the_built_in_image_is_mended() {
    let store = Store::new();
    let hello = store.images.find("coracle.local/hello").unwrap().unwrap();
    let hex = hello.layers[0].strip_prefix("sha256:").unwrap();
    let home = store.dir.path().join("layers").join(hex);
    std::fs::remove_file(home.join("fs/coracle")).unwrap();
    assert!(store.images.damaged_layer(&hello).is_some());
    store.images.mend_built_in().unwrap();
    assert!(store.images.damaged_layer(&hello).is_none());
    assert!(home.join("fs/coracle").is_file());
}
