//! Servers of the test's own that probes are pointed at; they end with the test process.

pub mod grpc;
pub mod https;

use std::future::Future;

/// Runs `serve` for as long as the process lives.
fn run(serve: impl Future<Output = ()> + Send + 'static) {
    std::thread::spawn(move || {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("runtime")
            .block_on(serve);
    });
}

/// A listener on a free port of the loopback device.
fn listen() -> (std::net::TcpListener, u16) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.set_nonblocking(true).expect("non-blocking");
    let port = listener.local_addr().expect("address").port();
    (listener, port)
}
