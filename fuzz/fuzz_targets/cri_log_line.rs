//! Lines of CRI logs: what is taken for one is made of its parts again, and its text is within the line.

#![no_main]

use coracle::runtime::logs::format::parse;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Some(line) = parse(bytes) {
        assert!(bytes.ends_with(line.text));
        assert!(bytes.starts_with(line.time));
        assert!(line.time.len() + line.stream.len() + line.text.len() < bytes.len());
    }
});
