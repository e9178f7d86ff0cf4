//! SIGKILL in the middle of a pull and of a removal: at the next start an image is whole or absent, and nothing of it
//! lies around.

use crate::archives::{Form, Layer, Oci, arch};
use crate::fake::{FakeRegistry, Guard};
use crate::store::{Store, names, open};
use crate::transfers::noise;
use coracle::image::Keyring;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// What the child does, and where.
const WORK: &str = "CORACLE_TEST_WORK";
const DIR: &str = "CORACLE_TEST_DIR";
const NAME: &str = "CORACLE_TEST_NAME";

/// Much longer than any step takes on a loaded machine.
const PATIENCE: Duration = Duration::from_mins(1);

/// A step by name, and how it shows in the directory.
type Step = (&'static str, fn(&Path) -> bool);

fn child(work: &str, dir: &Path, name: &str) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "crashes::the_child_that_is_killed",
            "--nocapture",
        ])
        .env(WORK, work)
        .env(DIR, dir)
        .env(NAME, name)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// Kills the child as soon as `is_there` holds, or finds that it was done before.
fn kill_when(mut child: Child, is_there: impl Fn() -> bool) {
    let started = Instant::now();
    while !is_there() && child.try_wait().unwrap().is_none() {
        assert!(started.elapsed() < PATIENCE, "the step never came");
        std::thread::sleep(Duration::from_millis(1));
    }
    let _ = child.kill();
    child.wait().unwrap();
}

fn entries(dir: PathBuf) -> usize {
    std::fs::read_dir(dir).map_or(0, |entries| entries.count())
}

/// Opens what the child left, and holds it against what an image must be.
fn check(dir: &Path, name: &str, step: &str) {
    let images = open(dir);
    assert!(names(&dir.join("tmp")).is_empty(), "{step}");
    let hello = images.find("coracle.local/hello").unwrap().unwrap();
    let layers = names(&dir.join("layers")).len() - hello.layers.len();
    match images.find(name).unwrap() {
        // Killed between the record and its name: whole, nameless, and garbage collection's. Else nothing may be left.
        None => {
            let whole = images.list();
            let nameless = whole.iter().find(|image| image.id != hello.id);
            let owned = nameless.map_or(0, |image| image.layers.len());
            assert_eq!(layers, owned, "{step}: layers of nobody");
        }
        Some(image) => {
            assert_eq!(images.damaged_layer(&image), None, "{step}");
            assert_eq!(layers, image.layers.len(), "{step}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_is_whole_or_absent_whenever_its_process_was_killed() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let layers: Vec<Vec<u8>> = (0..4)
        .map(|number| {
            Layer::new()
                .file(&format!("large-{number}"), &noise(2_000_000 + number))
                .tar()
        })
        .collect();
    let oci = Oci::default().image(Some("a:1"), arch(), Form::Gzip, &layers);
    let fake = FakeRegistry::start(&oci, Guard::Open).await;
    let name = fake.name("team/a:1");
    tokio::task::spawn_blocking(move || {
        let steps: [Step; 5] = [
            ("a layer begins", |dir| entries(dir.join("tmp")) >= 1),
            ("the first layer is there", |dir| {
                entries(dir.join("layers")) >= 2
            }),
            ("the third layer is there", |dir| {
                entries(dir.join("layers")) >= 4
            }),
            ("the record is there", |dir| {
                entries(dir.join("images")) >= 2
            }),
            ("all is done", |_| false),
        ];
        for (step, is_there) in steps {
            let store = Store::new();
            let dir = store.dir.path();
            kill_when(child("pull", dir, &name), || is_there(dir));
            check(dir, &name, step);
        }
        let removals: [Step; 3] = [
            ("the record is gone", |dir| entries(dir.join("images")) <= 1),
            ("the first layer is gone", |dir| {
                entries(dir.join("layers")) <= 4
            }),
            ("layers are on their way out", |dir| {
                entries(dir.join("tmp")) >= 1
            }),
        ];
        for (step, is_there) in removals {
            let store = Store::new();
            let dir = store.dir.path();
            kill_when(child("pull", dir, &name), || false);
            assert!(open(dir).find(&name).unwrap().is_some());
            kill_when(child("remove", dir, &name), || is_there(dir));
            check(dir, &name, step);
        }
    })
    .await
    .unwrap();
    drop(fake);
}

/// Does nothing unless the trial above starts it.
#[tokio::test(flavor = "multi_thread")]
async fn the_child_that_is_killed() {
    let Ok(work) = std::env::var(WORK) else {
        return;
    };
    let _ = rustls::crypto::ring::default_provider().install_default();
    let dir = PathBuf::from(std::env::var(DIR).unwrap());
    let name = std::env::var(NAME).unwrap();
    let images = open(&dir);
    match work.as_str() {
        "pull" => drop(
            images
                .pull(&name, &Keyring::default(), &|_| {})
                .await
                .unwrap(),
        ),
        _ => images.remove(&name, &|_| false).unwrap(),
    }
}
