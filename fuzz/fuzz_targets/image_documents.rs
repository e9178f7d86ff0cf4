//! What a registry says before any layer: manifests, indexes and configurations; and the node's `registries.yaml`.

#![no_main]

use coracle::image::{Keyring, Name, formats};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let _ = formats::check_manifest(bytes);
    let _ = formats::check_configuration(bytes, 1);
    let mut keyring = Keyring::default();
    let _ = keyring.add_docker_config(bytes);
    let _ = keyring.lookup("registry.example:5000", "team/a");
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _ = formats::check_registries(text);
        // A name that is read is kept under a name that is read as the same.
        if let Ok(name) = Name::parse(text) {
            let key = name.key();
            assert_eq!(Name::parse(&key).map(|again| again.key()).ok(), Some(key));
        }
    }
});
