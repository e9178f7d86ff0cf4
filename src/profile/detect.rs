//! Which profile this board gets.

use super::Profile;
use std::fs;
use std::path::Path;

/// The files of `firmware-profiles/`, compiled in. A board's longer model prefix wins over a shorter one.
const FILES: [&str; 7] = [
    include_str!("../../firmware-profiles/pi-zero-2-w.toml"),
    include_str!("../../firmware-profiles/pi-3.toml"),
    include_str!("../../firmware-profiles/pi-4.toml"),
    include_str!("../../firmware-profiles/pi-5.toml"),
    include_str!("../../firmware-profiles/generic-armv7.toml"),
    include_str!("../../firmware-profiles/generic-aarch64.toml"),
    include_str!("../../firmware-profiles/generic-x86_64.toml"),
];

/// Where the firmware tells the board's name, below the root of the file tree.
const MODEL: &str = "proc/device-tree/model";

/// Why there is no profile.
#[derive(Debug, thiserror::Error)]
pub enum ProfileError {
    #[error("there is no profile {name:?}; choose one of: {known}")]
    Unknown { name: String, known: String },
    #[error("a compiled-in profile cannot be read: {0}; this binary is broken, please report it")]
    File(#[from] toml::de::Error),
}

/// Every profile there is.
pub fn all() -> Result<Vec<Profile>, ProfileError> {
    FILES
        .iter()
        .map(|file| toml::from_str(file).map_err(ProfileError::File))
        .collect()
}

/// The profile called `name` (`--profile`).
pub fn named(name: &str) -> Result<Profile, ProfileError> {
    choose(all()?, |profile| profile.name == name, name)
}

/// The profile of the board whose file tree starts at `root` (`/`): by the firmware's model name, else by the
/// architecture this binary was built for.
pub fn detect(root: &Path) -> Result<Profile, ProfileError> {
    let model = fs::read(root.join(MODEL)).unwrap_or_default();
    // The device tree ends its strings with a zero byte.
    let model = String::from_utf8_lossy(&model);
    for_board(model.trim_end_matches('\0').trim(), std::env::consts::ARCH)
}

/// The profile for a model name and an architecture as Rust names it.
fn for_board(model: &str, architecture: &str) -> Result<Profile, ProfileError> {
    let profiles = all()?;
    let best = profiles
        .iter()
        .filter_map(|profile| Some((prefix_len(profile, model)?, profile)))
        .max_by_key(|(length, _)| *length);
    if let Some((_, profile)) = best {
        return Ok(profile.clone());
    }
    let name = match architecture {
        "arm" => "generic-armv7",
        "x86" | "x86_64" => "generic-x86_64",
        _ => "generic-aarch64",
    };
    choose(profiles, |profile| profile.name == name, name)
}

fn prefix_len(profile: &Profile, model: &str) -> Option<usize> {
    let matching = profile.models.iter().filter(|p| model.starts_with(*p));
    matching.map(String::len).max()
}

fn choose(
    profiles: Vec<Profile>,
    wanted: impl Fn(&Profile) -> bool,
    name: &str,
) -> Result<Profile, ProfileError> {
    let names: Vec<_> = profiles.iter().map(|p| p.name.clone()).collect();
    profiles
        .into_iter()
        .find(wanted)
        .ok_or_else(|| ProfileError::Unknown {
            name: name.to_owned(),
            known: names.join(", "),
        })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const MIB: u64 = 1024 * 1024;

    #[test]
    fn every_file_has_bounds_that_make_sense() {
        let profiles = all().unwrap();
        for p in &profiles {
            let n = &p.name;
            assert!((2 * MIB..=16 * MIB).contains(&p.store.cache_bytes), "{n}");
            assert!((256..=8192).contains(&p.store.history_entries), "{n}");
            assert!(p.store.history_bytes as u64 <= p.store.cache_bytes, "{n}");
            assert!((500..=10_000).contains(&p.store.log_entries), "{n}");
            assert!((100..=30_000).contains(&p.store.flush_ms), "{n}");
            assert!((1..=4).contains(&p.threads.workers), "{n}");
            assert!((4..=16).contains(&p.threads.blocking_max), "{n}");
            assert!((MIB..=10 * MIB).contains(&p.logs.file_bytes_max), "{n}");
            // The kubelet wants two at least: one to write, one to read.
            assert!((2..=5).contains(&p.logs.files_max), "{n}");
            assert!((10..=110).contains(&p.pods_max), "{n}");
            assert!((1..=3).contains(&p.images.layers_parallel), "{n}");
            assert!(!p.description.is_empty() && p.target.contains("linux"), "{n}");
            assert_eq!(named(n).unwrap(), *p);
        }
        let mut names: Vec<_> = profiles.iter().map(|p| &p.name).collect();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), FILES.len());
    }

    #[test]
    fn boards_are_recognised() {
        for (model, architecture, name) in [
            ("Raspberry Pi Zero 2 W Rev 1.0", "aarch64", "pi-zero-2-w"),
            ("Raspberry Pi 3 Model B Plus Rev 1.3", "arm", "pi-3"),
            ("Raspberry Pi 4 Model B Rev 1.4", "aarch64", "pi-4"),
            ("Raspberry Pi 400 Rev 1.0", "aarch64", "pi-4"),
            ("Raspberry Pi Compute Module 5 Rev 1.0", "aarch64", "pi-5"),
            ("Raspberry Pi 500 Rev 1.0", "aarch64", "pi-5"),
            ("Radxa ROCK Pi 4B", "aarch64", "generic-aarch64"),
            ("", "arm", "generic-armv7"),
            ("", "x86_64", "generic-x86_64"),
            ("", "riscv64", "generic-aarch64"),
        ] {
            let found = for_board(model, architecture).unwrap();
            assert_eq!(found.name, name, "{model:?} on {architecture}");
        }
    }

    #[test]
    fn the_model_is_read_below_the_given_root() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("proc/device-tree")).unwrap();
        fs::write(root.path().join(MODEL), "Raspberry Pi 5 Model B Rev 1.0\0").unwrap();
        assert_eq!(detect(root.path()).unwrap().name, "pi-5");
        assert!(detect(Path::new("/no/such/root")).is_ok());
    }

    #[test]
    fn an_unknown_name_lists_the_known_ones() {
        let error = named("pi-9").unwrap_err().to_string();
        assert!(error.contains("pi-zero-2-w") && error.contains("pi-9"), "{error}");
    }
}
