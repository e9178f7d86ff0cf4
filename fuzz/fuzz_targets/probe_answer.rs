//! What probed containers answer: gRPC messages, HTTP answers and where they send on to.

#![no_main]

use coracle::kubelet::probes::{grpc, http, url::Url};

libfuzzer_sys::fuzz_target!(|answer: (u16, Vec<u8>)| {
    let (status, bytes) = answer;
    let _ = (grpc::decode(&bytes), http::judge(status, &bytes));
    let mut here = Url {
        is_https: false,
        host: "192.0.2.1".to_owned(),
        port: 8080,
        target: "/healthz?full".to_owned(),
    };
    // A few hops, as a probe would follow them.
    for _ in 0..3 {
        match http::redirect(&here, status, Some(&bytes)) {
            Ok(Some(there)) => {
                assert!(there.target.starts_with('/'), "{there}");
                here = there;
            }
            _ => break,
        }
    }
});
