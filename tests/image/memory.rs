//! What layers cost while they arrive: bytes, counted in a process of its own.

use crate::archives::{Form, Layer, Oci, arch, digest};
use crate::fake::{FakeRegistry, Guard};
use crate::store::Store;
use crate::transfers::noise;
use std::io::Write;
use std::process::Command;

const MIB: usize = 1024 * 1024;

/// The image to pull, for the child.
const NAME: &str = "CORACLE_TEST_PULL";

/// A small image that it pulls first, so that code and certificates are in memory already.
const WARM_UP: &str = "CORACLE_TEST_WARM_UP";

/// All buffers of three layers, of 200, 30 and 30 MiB, at once. A layer in memory would show at once.
const PEAK_BYTES_MAX: usize = 8 * MIB;

#[tokio::test(flavor = "multi_thread")]
async fn three_layers_at_once_cost_few_mebibytes() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let dir = tempfile::tempdir().unwrap();
    let block = noise(MIB);
    let mut layers = Vec::new();
    for (number, mebibytes) in [200, 30, 30].into_iter().enumerate() {
        let data = block.repeat(mebibytes);
        let tar = Layer::new().file(&format!("large-{number}"), &data).tar();
        drop(data);
        let file = dir.path().join(number.to_string());
        let blob = if number == 0 {
            tar.clone()
        } else {
            let mut encoder =
                flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            encoder.write_all(&tar).unwrap();
            encoder.finish().unwrap()
        };
        std::fs::write(&file, &blob).unwrap();
        layers.push((digest(&tar), digest(&blob), blob.len(), file));
    }
    let described: Vec<(String, String, usize)> = layers
        .iter()
        .map(|(diff_id, digest, size, _)| (diff_id.clone(), digest.clone(), *size))
        .collect();
    let oci = Oci::default().image_of_blobs("a:1", arch(), &described);
    let files: Vec<_> = layers
        .into_iter()
        .map(|(_, digest, _, file)| (digest, file))
        .collect();
    let fake = FakeRegistry::start_with(&oci, Guard::Open, &files, None).await;
    let name = fake.name("team/a:1");
    let small = Oci::default().image(Some("a:1"), arch(), Form::Gzip, &[Layer::new().tar()]);
    let warm_up = FakeRegistry::start(&small, Guard::Open).await;
    let warm_up_name = warm_up.name("team/a:1");
    let child = tokio::task::spawn_blocking(move || {
        Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "memory::the_child_that_pulls", "--nocapture"])
            .env(NAME, name)
            .env(WARM_UP, warm_up_name)
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
    let peak = text
        .split_once("peak=")
        .and_then(|(_, rest)| rest.split_whitespace().next())
        .and_then(|number| number.parse::<usize>().ok())
        .unwrap();
    println!("three layers of 260 MiB at once: {} KiB", peak / 1024);
    assert!(peak < PEAK_BYTES_MAX, "{peak} bytes");
}

/// Does nothing unless the trial above starts it.
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
