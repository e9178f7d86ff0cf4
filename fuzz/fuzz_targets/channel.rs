//! WebSocket messages of exec and attach: what a client's message means, written again, means the same.

#![no_main]

use bytes::Bytes;
use coracle::streaming::channel::{read_input, read_output, write_input};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let message = Bytes::copy_from_slice(bytes);
    let _ = (read_output(&message), read_input(&message, false));
    if let Some(input) = read_input(&message, true) {
        assert_eq!(read_input(&write_input(&input), true), Some(input));
    }
});
