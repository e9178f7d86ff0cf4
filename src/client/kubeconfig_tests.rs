#![allow(clippy::unwrap_used)]
use super::*;

const FULL: &str = "
apiVersion: v1
kind: Config
current-context: boat
preferences: {}
clusters:
- name: boat
  cluster:
    server: https://127.0.0.1:6443/
    certificate-authority-data: Q0E=
- name: shore
  cluster: {server: 'https://shore:6443', insecure-skip-tls-verify: true}
users:
- name: admin
  user:
    client-certificate-data: Q0VSVA==
    client-key-data: S0VZ
- name: robot
  user: {token: secret}
contexts:
- name: boat
  context: {cluster: boat, user: admin, namespace: crew}
- name: robot
  context: {cluster: boat, user: robot}
- name: shore
  context: {cluster: shore, user: robot}
- name: lost
  context: {cluster: nowhere, user: robot}
- name: stranger
  context: {cluster: boat, user: nobody}
";

#[test]
fn the_current_context_is_resolved() {
    let endpoint = resolve(parse(FULL).unwrap(), None).unwrap();
    assert_eq!(
        endpoint,
        Endpoint {
            server: "https://127.0.0.1:6443".to_owned(),
            certificate_authority: Some(b"CA".to_vec()),
            client_certificate: Some((b"CERT".to_vec(), b"KEY".to_vec())),
            namespace: Some("crew".to_owned()),
            ..Endpoint::default()
        }
    );
    let robot = resolve(parse(FULL).unwrap(), Some("robot")).unwrap();
    assert_eq!(robot.token.as_deref(), Some("secret"));
    assert_eq!(robot.namespace, None);
}

#[test]
fn what_is_wrong_is_named() {
    for (text, context, expected) in [
        (
            FULL,
            Some("shore"),
            "insecure-skip-tls-verify is not supported",
        ),
        (FULL, Some("lost"), "no cluster named \"nowhere\""),
        (FULL, Some("stranger"), "no user named \"nobody\""),
        (FULL, Some("x"), "no context named \"x\""),
        ("kind: Config", None, "no current-context"),
        (
            "current-context: a\ncontexts: [{name: a, context: {cluster: a}}]\nclusters: [{name: a, cluster: {server: s, certificate-authority-data: '!'}}]",
            None,
            "certificate-authority-data in the kubeconfig is not base64",
        ),
        (
            "current-context: a\ncontexts: [{name: a, context: {cluster: a}}]\nclusters: [{name: a, cluster: {server: s, certificate-authority: /nowhere/ca.pem}}]",
            None,
            "cannot read /nowhere/ca.pem",
        ),
    ] {
        let error = resolve(parse(text).unwrap(), context).unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
    }
    assert!(parse("clusters: 5").is_err());
    assert!(parse("a: [").is_err());
}

#[test]
fn files_are_looked_for_in_order_and_merged() {
    let dir = tempfile::tempdir().unwrap();
    let first = dir.path().join("first");
    let second = dir.path().join("second");
    std::fs::write(
        &first,
        "contexts: [{name: a, context: {cluster: a}}]\nclusters: [{name: a, cluster: {server: first, certificate-authority: ca.pem}}]",
    )
    .unwrap();
    std::fs::write(dir.path().join("ca.pem"), "PEM").unwrap();
    std::fs::write(
        &second,
        "current-context: a\nclusters: [{name: a, cluster: {server: second}}]",
    )
    .unwrap();
    let list = std::env::join_paths([&first, &dir.path().join("absent"), &second]).unwrap();
    let sources = Sources {
        variable: Some(list.into_string().unwrap()),
        ..Sources::default()
    };
    let endpoint = load(&sources, None).unwrap();
    assert_eq!(endpoint.server, "first");
    assert_eq!(endpoint.certificate_authority, Some(b"PEM".to_vec()));

    let data_dir = dir.path().join("data");
    std::fs::create_dir(&data_dir).unwrap();
    std::fs::write(data_dir.join("admin.kubeconfig"), FULL).unwrap();
    let sources = Sources {
        home: Some(dir.path().to_owned()),
        data_dir: Some(data_dir),
        ..Sources::default()
    };
    assert_eq!(
        load(&sources, None).unwrap().server,
        "https://127.0.0.1:6443"
    );
    let nothing = Sources {
        home: Some(dir.path().to_owned()),
        ..Sources::default()
    };
    assert!(matches!(
        load(&nothing, None),
        Err(KubeconfigError::None(_))
    ));
}

#[test]
fn inside_a_pod_its_account_is_used() {
    let directory = tempfile::tempdir().unwrap();
    let sources = Sources {
        service: Some(("10.43.0.1".to_owned(), "443".to_owned())),
        pod_credentials: directory.path().to_owned(),
        ..Sources::default()
    };
    assert!(matches!(
        load(&sources, None),
        Err(KubeconfigError::None(_))
    ));
    for (name, text) in [("token", "t\n"), ("ca.crt", "CA"), ("namespace", "crew")] {
        std::fs::write(directory.path().join(name), text).unwrap();
    }
    assert_eq!(
        load(&sources, None).unwrap(),
        Endpoint {
            server: "https://10.43.0.1:443".to_owned(),
            certificate_authority: Some(b"CA".to_vec()),
            token: Some("t".to_owned()),
            namespace: Some("crew".to_owned()),
            ..Endpoint::default()
        }
    );
    // Outside of one there may be a token and no service.
    let outside = Sources {
        service: None,
        ..sources
    };
    assert!(matches!(
        load(&outside, None),
        Err(KubeconfigError::None(_))
    ));
}
