//! Links that break, fall silent and forget: a layer arrives all the same, and is fetched once.

use crate::archives::{Form, Layer, Oci, arch};
use crate::fake::{FakeRegistry, Guard};
use crate::store::{Store, can_mount};
use coracle::image::ImageError;
use std::sync::atomic::Ordering;

/// Bytes that do not compress, so that ranges mean what they say.
pub fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    })
    .flatten()
    .take(length)
    .collect()
}

fn provider() {
    let _ = rustls::crypto::ring::default_provider().install_default();
}

fn image(form: Form) -> Oci {
    let layers = [
        Layer::new().file("large", &noise(700_000)).tar(),
        Layer::new().file("small", b"1").tar(),
    ];
    Oci::default().image(Some("a:1"), arch(), form, &layers)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transfer_that_breaks_goes_on_where_it_stopped() {
    provider();
    for form in [Form::Gzip, Form::Zstd, Form::Plain] {
        let oci = image(form);
        let fake = FakeRegistry::start(&oci, Guard::Token).await;
        fake.faults.cut_after.store(200_000, Ordering::SeqCst);
        fake.faults.cuts.store(3, Ordering::SeqCst);
        let store = Store::new();
        let image = store.pull(&fake.name("team/a:1")).await.unwrap();
        assert_eq!(image.layers.len(), 2);
        // The first request has no range; each break one more, from where it stopped.
        for from in [200_000, 400_000, 600_000] {
            assert_eq!(fake.count(&format!("range=bytes={from}-")), 1, "{from}");
        }
        assert_eq!(fake.count("range=bytes="), 3);
        assert_eq!(
            fake.count("GET /token"),
            1,
            "a token serves until it expires"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_connection_is_given_up_and_made_anew() {
    provider();
    let fake = FakeRegistry::start(&image(Form::Gzip), Guard::Open).await;
    fake.faults.cut_after.store(300_000, Ordering::SeqCst);
    fake.faults.cuts.store(1, Ordering::SeqCst);
    fake.faults.silent.store(true, Ordering::SeqCst);
    let store = Store::new();
    store.pull(&fake.name("team/a:1")).await.unwrap();
    assert_eq!(fake.count("range=bytes=300000-"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_without_ranges_and_one_that_is_busy() {
    provider();
    let fake = FakeRegistry::start(&image(Form::Gzip), Guard::Open).await;
    fake.faults.cut_after.store(300_000, Ordering::SeqCst);
    fake.faults.cuts.store(1, Ordering::SeqCst);
    fake.faults.ignores_ranges.store(true, Ordering::SeqCst);
    fake.faults.busy.store(2, Ordering::SeqCst);
    let store = Store::new();
    let image = store.pull(&fake.name("team/a:1")).await.unwrap();
    let dir = tempfile::tempdir().unwrap();
    let rootfs = store.images.root_fs(&image, dir.path()).unwrap();
    let large = rootfs
        .lower
        .iter()
        .find(|lower| lower.join("large").exists());
    let found = std::fs::read(large.unwrap().join("large")).unwrap();
    assert!(found == noise(700_000));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_without_any_progress_is_given_up_and_leaves_nothing() {
    provider();
    let fake = FakeRegistry::start(&image(Form::Gzip), Guard::Open).await;
    // Everything longer than one byte ends after the first, for ever.
    fake.faults.cut_after.store(300_000, Ordering::SeqCst);
    fake.faults.cuts.store(1, Ordering::SeqCst);
    fake.faults.busy.store(0, Ordering::SeqCst);
    let store = Store::new();
    let name = fake.name("team/a:1");
    let pull = store.pull(&name);
    let faults = fake.faults.clone();
    let breaks = async {
        // As soon as the first half is there, the registry goes away.
        while fake.count("range=") == 0 || faults.cuts.load(Ordering::SeqCst) > 0 {
            tokio::task::yield_now().await;
        }
        faults.busy.store(usize::MAX, Ordering::SeqCst);
    };
    let error = tokio::select! {
        result = async { futures::join!(pull, breaks).0 } => result.unwrap_err(),
    };
    assert!(
        matches!(
            error,
            ImageError::Unreachable { .. } | ImageError::Registry { .. }
        ),
        "{error}"
    );
    assert!(error.to_string().contains("503"), "{error}");
    assert!(store.images.find(&name).unwrap().is_none());
    assert!(crate::store::names(&store.dir.path().join("tmp")).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_present_image_costs_one_small_question() {
    provider();
    let fake = FakeRegistry::start(&image(Form::Gzip), Guard::Open).await;
    let store = Store::new();
    let name = fake.name("team/a:1");
    let first = store.pull(&name).await.unwrap();
    fake.log.lock().unwrap().clear();
    assert_eq!(store.pull(&name).await.unwrap(), first);
    let log = fake.log.lock().unwrap().clone();
    assert_eq!(log.len(), 1, "{log:?}");
    assert!(log[0].starts_with("HEAD /v2/team/a/manifests/1"), "{log:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_abandoned_pull_stops_and_frees_its_place() {
    provider();
    let fake = FakeRegistry::start(&image(Form::Gzip), Guard::Open).await;
    fake.faults.cut_after.store(300_000, Ordering::SeqCst);
    fake.faults.cuts.store(1, Ordering::SeqCst);
    fake.faults.silent.store(true, Ordering::SeqCst);
    let store = Store::new();
    let name = fake.name("team/a:1");
    {
        let mut pull = std::pin::pin!(store.pull(&name));
        let begun = async {
            while fake.faults.cuts.load(Ordering::SeqCst) > 0 {
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            _ = &mut pull => panic!("the pull ended"),
            () = begun => {}
        }
    }
    // The same image again, from the start: nothing of the abandoned pull is in the way.
    store.pull(&name).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_told_before_the_transfer_or_in_its_middle_needs_root() {
    provider();
    if !can_mount() {
        return;
    }
    // One is too large even compressed; the other only becomes too large.
    for (data, sooner) in [
        (noise(12_000_000), true),
        (noise(1000).repeat(12_000), false),
    ] {
        let layer = Layer::new().file("large", &data).tar();
        let oci = Oci::default().image(Some("a:1"), arch(), Form::Gzip, &[layer]);
        let fake = FakeRegistry::start(&oci, Guard::Open).await;
        let store = Store::on_small_disk(tempfile::tempdir().unwrap(), 8);
        let error = store.pull(&fake.name("team/a:1")).await.unwrap_err();
        let text = error.to_string();
        assert!(text.starts_with("no space left on device"), "{text}");
        assert_eq!(matches!(error, ImageError::NoRoom { .. }), sooner, "{text}");
        // The configuration alone, where it is known sooner.
        assert_eq!(fake.count("/blobs/"), if sooner { 1 } else { 2 });
        assert!(store.leftovers().is_empty(), "{:?}", store.leftovers());
    }
}
