//! Requests against servers of a few lines, and what their answers say.

#![allow(clippy::unwrap_used)]

use super::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

fn failure(text: &str) -> Outcome {
    Outcome::Failure(text.to_string())
}

#[test]
fn answers() {
    for (status, expected) in [
        (200, Outcome::Success),
        (204, Outcome::Success),
        (
            302,
            Outcome::Warning("Probe terminated redirects, Response body: away".into()),
        ),
        (404, failure("HTTP probe failed with statuscode: 404")),
        (503, failure("HTTP probe failed with statuscode: 503")),
        (199, failure("HTTP probe failed with statuscode: 199")),
    ] {
        assert_eq!(judge(status, b"away"), expected, "{status}");
    }
}

#[test]
fn headers() {
    let list = |pairs: &[(&str, &str)]| -> Vec<(String, String)> {
        pairs
            .iter()
            .map(|(n, v)| ((*n).to_string(), (*v).to_string()))
            .collect()
    };
    let plain = request_headers(&[]);
    assert_eq!(plain["user-agent"], USER_AGENT);
    assert_eq!(plain["accept"], "*/*");
    let own = request_headers(&list(&[
        ("User-Agent", "me"),
        ("Accept", ""),
        ("X-A", "1"),
        ("X-A", "2"),
        ("Bad Name", "x"),
    ]));
    assert_eq!(own["user-agent"], "me");
    assert!(!own.contains_key("accept"));
    assert_eq!(own.get_all("x-a").iter().count(), 2);
}

/// A server that takes connections for ever and answers each request with what `answer` makes of its first line.
async fn server(answer: fn(&str, u16) -> String) -> Url {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = vec![0; 4096];
            let count = stream.read(&mut request).await.unwrap_or(0);
            let text = String::from_utf8_lossy(&request[..count]).into_owned();
            let _ = stream.write_all(answer(&text, port).as_bytes()).await;
        }
    });
    Url {
        is_https: false,
        host: "127.0.0.1".into(),
        port,
        target: "/healthz".into(),
    }
}

#[tokio::test]
async fn a_probe_says_who_it_is() {
    let url = server(|request, port| {
        let expected = format!("Host: 127.0.0.1:{port}");
        let good = request.starts_with("GET /healthz HTTP/1.1\r\n")
            && request.contains("User-Agent: kube-probe/1.")
            && request.contains("Connection: close")
            && request.contains(&expected);
        let status = if good { 200 } else { 400 };
        format!("HTTP/1.1 {status} X\r\nContent-Length: 2\r\n\r\nok")
    })
    .await;
    assert_eq!(probe(&url, &[], 10).await, Outcome::Success);
}

#[tokio::test]
async fn a_host_header_is_sent_as_written() {
    let url = server(|request, _| {
        let status = if request.contains("Host: example.org\r\n") {
            200
        } else {
            400
        };
        format!("HTTP/1.1 {status} X\r\nContent-Length: 0\r\n\r\n")
    })
    .await;
    let headers = [("Host".to_string(), "example.org".to_string())];
    assert_eq!(probe(&url, &headers, 10).await, Outcome::Success);
}

#[tokio::test]
async fn redirects_on_the_same_host_are_followed_and_others_told() {
    let url = server(|request, port| {
        let (status, location) = match request.split(' ').nth(1).unwrap_or_default() {
            "/healthz" => (302, format!("http://127.0.0.1:{port}/next")),
            "/next" => (307, "/last".to_string()),
            "/away" => (301, "http://example.org/".to_string()),
            "/round" => (302, "/round".to_string()),
            _ => (200, String::new()),
        };
        format!("HTTP/1.1 {status} X\r\nLocation: {location}\r\nContent-Length: 4\r\n\r\nbody")
    })
    .await;
    let at = |target: &str| Url {
        target: target.to_string(),
        ..url.clone()
    };
    assert_eq!(probe(&url, &[], 10).await, Outcome::Success);
    assert_eq!(
        probe(&at("/away"), &[], 10).await,
        Outcome::Warning("Probe terminated redirects, Response body: body".into())
    );
    let round = at("/round");
    assert_eq!(
        probe(&round, &[], 10).await,
        failure(&format!("Get \"{round}\": stopped after 10 redirects"))
    );
}

#[tokio::test]
async fn a_body_is_read_only_as_far_as_it_is_looked_at() {
    // More is announced than ever comes: the probe must not wait for it.
    let url = server(|_, _| {
        format!(
            "HTTP/1.1 300 X\r\nContent-Length: 1000000\r\n\r\n{}",
            "x".repeat(BODY_BYTES_MAX + 10)
        )
    })
    .await;
    let Outcome::Warning(text) = probe(&url, &[], 10).await else {
        panic!("no warning");
    };
    assert_eq!(text.matches('x').count(), BODY_BYTES_MAX);
}

#[tokio::test]
async fn nobody_there() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = Url {
        is_https: false,
        host: "127.0.0.1".into(),
        port: listener.local_addr().unwrap().port(),
        target: "/".into(),
    };
    drop(listener);
    let port = url.port;
    assert_eq!(
        probe(&url, &[], 10).await,
        failure(&format!(
            "Get \"http://127.0.0.1:{port}/\": dial tcp 127.0.0.1:{port}: connect: connection refused"
        ))
    );
}

#[tokio::test]
async fn a_server_that_never_answers() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = Url {
        is_https: false,
        host: "127.0.0.1".into(),
        port: listener.local_addr().unwrap().port(),
        target: "/".into(),
    };
    let Outcome::Failure(text) = probe(&url, &[], 1).await else {
        panic!("no failure");
    };
    assert!(text.contains("Client.Timeout exceeded"), "{text}");
}
