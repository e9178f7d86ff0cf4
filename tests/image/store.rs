//! A store in a temporary directory, and the overlay mount of an image in it.

use coracle::image::{ConfigFiles, Image, ImageError, Images, Keyring, Progress, RootFs};
use coracle::profile::ImageProfile;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

/// Long enough for a loaded machine to answer, short enough to wait for.
pub const STALL_MS: u64 = 4_000;

pub const EXECUTABLE: &str = "/bin/busybox";

pub struct Store {
    pub images: Arc<Images>,
    pub dir: tempfile::TempDir,
    is_mounted: bool,
}

impl Drop for Store {
    fn drop(&mut self) {
        if self.is_mounted {
            let _ = umount2(self.dir.path(), MntFlags::MNT_DETACH);
        }
    }
}

impl Store {
    pub fn new() -> Store {
        let dir = tempfile::tempdir().unwrap();
        let images = open(dir.path());
        Store {
            images,
            dir,
            is_mounted: false,
        }
    }

    /// In a tmpfs of so many MiB, mounted on `dir`.
    pub fn on_small_disk(dir: tempfile::TempDir, mebibytes: u32) -> Store {
        let options = format!("size={mebibytes}m");
        mount(
            Some("tmpfs"),
            dir.path(),
            Some("tmpfs"),
            MsFlags::empty(),
            Some(options.as_str()),
        )
        .unwrap();
        let images = open(dir.path());
        Store {
            images,
            dir,
            is_mounted: true,
        }
    }

    /// Writes this node's `registries.yaml`, which the next pull reads.
    pub fn configure(&self, registries: &str) {
        std::fs::write(self.dir.path().join("registries.yaml"), registries).unwrap();
    }

    pub async fn pull(&self, name: &str) -> Result<Image, ImageError> {
        self.images.pull(name, &Keyring::default(), &|_| {}).await
    }

    /// As after a restart of the node.
    pub fn reopen(&mut self) {
        self.images = open(self.dir.path());
    }

    pub fn import(&self, archive: &[u8]) -> Result<Vec<Image>, ImageError> {
        self.images.import(&mut &archive[..], &|_| {})
    }

    /// Layer directories, without the built-in image's, and whatever is in `tmp`.
    pub fn leftovers(&self) -> Vec<String> {
        let hello = self.images.find("coracle.local/hello").unwrap().unwrap();
        let mut found = names(&self.dir.path().join("layers"));
        found.retain(|name| !hello.layers[0].ends_with(name.as_str()));
        found.extend(names(&self.dir.path().join("tmp")));
        found
    }
}

pub fn open(dir: &Path) -> Arc<Images> {
    let profile = ImageProfile {
        layers_parallel: 3,
        stall_ms: STALL_MS,
        ..ImageProfile::default()
    };
    let files = ConfigFiles {
        registries: vec![dir.join("registries.yaml")],
        docker: vec![dir.join("config.json")],
    };
    Images::open(dir, &profile, Path::new(EXECUTABLE), files).unwrap()
}

pub fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// Collects what a pull or import tells.
#[derive(Default)]
pub struct Told(Mutex<Vec<Progress>>);

impl Told {
    pub fn tell(&self, progress: Progress) {
        self.0.lock().unwrap().push(progress);
    }

    /// Layers transferred and layers that were there already.
    pub fn layers(&self) -> (usize, usize) {
        let told = self.0.lock().unwrap();
        let moved = |p: &&Progress| matches!(p, Progress::Layer { done_bytes, total_bytes, .. } if done_bytes == total_bytes);
        let present = |p: &&Progress| matches!(p, Progress::Present { .. });
        (
            told.iter().filter(moved).count(),
            told.iter().filter(present).count(),
        )
    }
}

/// True when mounts can be made; else says loudly that the test did not run.
pub fn can_mount() -> bool {
    let root = nix::unistd::geteuid().is_root();
    if !root {
        eprintln!("NOT RUN: this test mounts overlay file systems and needs root");
    }
    root
}

/// True when `program` is there; else says loudly that the test did not run.
pub fn has(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).any(|dir| dir.join(program).is_file());
    if !found {
        eprintln!("NOT RUN: this test needs the program {program}");
    }
    found
}

/// A mounted root file system, unmounted on drop.
pub struct Mounted {
    rootfs: RootFs,
    _dir: tempfile::TempDir,
}

impl Mounted {
    pub fn new(store: &Store, image: &Image) -> Mounted {
        let dir = tempfile::tempdir().unwrap();
        let rootfs = store.images.root_fs(image, dir.path()).unwrap();
        let lower: Vec<OsString> = rootfs
            .lower
            .iter()
            .map(|path| path.clone().into_os_string())
            .collect();
        let options = format!(
            "lowerdir={},upperdir={},workdir={}",
            lower
                .join(OsString::from(":").as_os_str())
                .to_str()
                .unwrap(),
            rootfs.upper.display(),
            rootfs.work.display()
        );
        mount(
            Some("overlay"),
            &rootfs.merged,
            Some("overlay"),
            MsFlags::empty(),
            Some(options.as_str()),
        )
        .unwrap();
        Mounted { rootfs, _dir: dir }
    }

    pub fn path(&self, inside: &str) -> PathBuf {
        self.rootfs.merged.join(inside)
    }

    pub fn upper(&self) -> &Path {
        &self.rootfs.upper
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = umount2(&self.rootfs.merged, MntFlags::MNT_DETACH);
    }
}

/// An extended attribute of a file.
#[allow(unsafe_code)] // Neither std nor nix reads them.
pub fn attribute(path: &Path, name: &std::ffi::CStr) -> Option<Vec<u8>> {
    let path = std::ffi::CString::new(path.as_os_str().as_encoded_bytes()).unwrap();
    let mut value = vec![0_u8; 256];
    // SAFETY: both strings are NUL-terminated and `value` is valid for its length.
    let length = unsafe {
        libc::lgetxattr(
            path.as_ptr(),
            name.as_ptr(),
            value.as_mut_ptr().cast(),
            value.len(),
        )
    };
    value.truncate(usize::try_from(length).ok()?);
    Some(value)
}
