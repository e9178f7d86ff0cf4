#![allow(clippy::unwrap_used)]
use super::*;
use crate::client::Client;
use std::io::{Read, Write};

fn plain(server: String) -> HttpsDoor {
    HttpsDoor::new(&Endpoint {
        server,
        token: Some("secret".to_owned()),
        ..Endpoint::default()
    })
    .unwrap()
}

#[test]
fn what_is_wrong_with_an_endpoint_is_named() {
    let authority = rcgen::generate_simple_self_signed(["a".to_owned()])
        .unwrap()
        .cert
        .pem();
    for (server, authority, client, expected) in [
        ("6443", Some("x"), None, "is no URL"),
        ("ftp://a", Some("x"), None, "is no URL"),
        ("https://a", None, None, "names no certificate-authority"),
        (
            "https://a",
            Some("x"),
            None,
            "certificate-authority in the kubeconfig is not PEM",
        ),
        (
            "https://a",
            Some(authority.as_str()),
            Some("x"),
            "client-certificate in the kubeconfig is not PEM",
        ),
    ] {
        let endpoint = Endpoint {
            server: server.to_owned(),
            certificate_authority: authority.map(|pem| pem.as_bytes().to_vec()),
            client_certificate: client.map(|pem| (pem.as_bytes().to_vec(), vec![])),
            ..Endpoint::default()
        };
        let error = HttpsDoor::new(&endpoint).err().unwrap().to_string();
        assert!(error.contains(expected), "{server}: {error}");
    }
}

#[tokio::test]
async fn nobody_there_reads_as_kubectl_says() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let door = plain(format!("http://127.0.0.1:{port}"));
    let error = door
        .call(Request::get("/version").body(Body::empty()).unwrap())
        .await
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "The connection to the server 127.0.0.1:{port} was refused - did you specify the right host or port?"
        )
    );
}

#[tokio::test]
async fn one_connection_carries_calls_one_after_another() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut heads = Vec::new();
        for _ in 0..2 {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                stream.read_exact(&mut byte).unwrap();
                head.push(byte[0]);
            }
            stream
                .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}")
                .unwrap();
            heads.push(String::from_utf8(head).unwrap());
        }
        heads
    });
    let client = Client::new(plain(format!("http://127.0.0.1:{port}/prefix")));
    for path in ["/version", "/api?x=1"] {
        let value = client.send_value(http::Method::GET, path, None).await;
        assert_eq!(value.unwrap(), serde_json::json!({}));
    }
    let heads = server.join().unwrap();
    assert!(heads[0].starts_with("GET /prefix/version HTTP/1.1\r\n"));
    assert!(heads[1].starts_with("GET /prefix/api?x=1 HTTP/1.1\r\n"));
    assert!(heads[0].contains("authorization: Bearer secret"));
    assert!(heads[0].contains(&format!("host: 127.0.0.1:{port}")));
}
