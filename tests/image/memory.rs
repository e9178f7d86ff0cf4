//! What layers cost while they arrive: bytes, counted in a process of its own.

use crate::archives::{Form, Layer, Oci, arch, compressed, digest};
use crate::fake::{FakeRegistry, Guard};
use crate::store::{Store, has};
use crate::transfers::noise;
use std::process::Command;

const MIB: usize = 1024 * 1024;

/// The image to pull, for the child.
const NAME: &str = "CORACLE_TEST_PULL";

/// A small image that it pulls first, so that code and certificates are in memory already.
const WARM_UP: &str = "CORACLE_TEST_WARM_UP";

/// All buffers of three layers, of 200, 30 and 30 MiB, at once. A layer in memory would show at once.
const PEAK_BYTES_MAX: usize = 8 * MIB;

/// Three windows of 8 MiB would be 24 MiB; one is let in at a time.
const PEAK_ZSTD_BYTES_MAX: usize = 8 * MIB + PEAK_BYTES_MAX;

fn large_layer(number: usize, mebibytes: usize) -> Vec<u8> {
    let data = noise(MIB).repeat(mebibytes);
    Layer::new().file(&format!("large-{number}"), &data).tar()
}

#[tokio::test(flavor = "multi_thread")]
async fn three_layers_at_once_cost_few_mebibytes() {
    let layers = [200, 30, 30].into_iter().enumerate();
    let layers = layers.map(|(number, mebibytes)| {
        let tar = large_layer(number, mebibytes);
        let form = if number == 0 { Form::Plain } else { Form::Gzip };
        (digest(&tar), compressed(form, &tar))
    });
    let peak = peak_of_pulling(layers.collect()).await;
    println!("three layers of 260 MiB at once: {} KiB", peak / 1024);
    assert!(peak < PEAK_BYTES_MAX, "{peak} bytes");
}

#[tokio::test(flavor = "multi_thread")]
async fn windows_of_zstd_share_a_budget() {
    if !has("zstd") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let layers = (0..3).map(|number| {
        let tar = large_layer(number, 24);
        let file = dir.path().join("layer.tar");
        std::fs::write(&file, &tar).unwrap();
        let output = Command::new("zstd")
            .args(["-q", "-3", "--zstd=wlog=23", "-c"])
            .arg(&file)
            .output()
            .unwrap();
        assert!(output.status.success());
        (digest(&tar), output.stdout)
    });
    let peak = peak_of_pulling(layers.collect()).await;
    println!("three zstd layers of 72 MiB at once: {} KiB", peak / 1024);
    assert!(peak < PEAK_ZSTD_BYTES_MAX, "{peak} bytes");
}

/// Memory that a process needs at most, beyond what it had, to pull layers given by diff id and blob.
async fn peak_of_pulling(layers: Vec<(String, Vec<u8>)>) -> usize {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let dir = tempfile::tempdir().unwrap();
    let mut described = Vec::new();
    let mut files = Vec::new();
    for (number, (diff_id, blob)) in layers.into_iter().enumerate() {
        let file = dir.path().join(number.to_string());
        std::fs::write(&file, &blob).unwrap();
        described.push((diff_id, digest(&blob), blob.len()));
        files.push((digest(&blob), file));
    }
    let oci = Oci::default().image_of_blobs("a:1", arch(), &described);
    let fake = FakeRegistry::start_with(&oci, Guard::Open, &files, None).await;
    let small = Oci::default().image(Some("a:1"), arch(), Form::Gzip, &[Layer::new().tar()]);
    let warm_up = FakeRegistry::start(&small, Guard::Open).await;
    let names = (fake.name("team/a:1"), warm_up.name("team/a:1"));
    let child = tokio::task::spawn_blocking(move || {
        Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "memory::the_child_that_pulls", "--nocapture"])
            .env(NAME, names.0)
            .env(WARM_UP, names.1)
            // As the node process sets it for itself: what is freed goes back at once.
            .env("MALLOC_MMAP_THRESHOLD_", "131072")
            .output()
            .unwrap()
    });
    let output = child.await.unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "{text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    text.split_once("peak=")
        .and_then(|(_, rest)| rest.split_whitespace().next())
        .and_then(|number| number.parse().ok())
        .unwrap()
}

/// Does nothing unless a trial above starts it.
#[tokio::test(flavor = "multi_thread")]
async fn the_child_that_pulls() {
    let Ok(name) = std::env::var(NAME) else {
        return;
    };
    let _ = rustls::crypto::ring::default_provider().install_default();
    let store = Store::new();
    store.pull(&std::env::var(WARM_UP).unwrap()).await.unwrap();
    // The peak so far is forgotten: proc_pid_clear_refs(5).
    std::fs::write("/proc/self/clear_refs", "5").unwrap();
    let before = status("VmRSS:");
    let image = store.pull(&name).await.unwrap();
    assert_eq!(image.layers.len(), 3);
    println!("peak={}", status("VmHWM:") - before);
}

/// A size of this process, bytes.
fn status(field: &str) -> usize {
    let text = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = text.lines().find(|line| line.starts_with(field)).unwrap();
    let kibibytes: usize = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kibibytes * 1024
}
