//! A layer as it comes from the network: compressed or not, then every entry of its tar.

#![no_main]

use coracle::image::formats;

/// What a layer may become: small, so that bombs end early.
const BYTES_MAX: u64 = 16 * 1024 * 1024;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Ok(summary) = formats::check_blob(bytes, BYTES_MAX) {
        assert!(summary.bytes <= BYTES_MAX);
    }
    let _ = formats::check_layer(bytes, BYTES_MAX);
});
