//! Who may do what: tokens, roles, reviews, through unmodified kubectl and bare requests.

use crate::common::{Ran, TestNode, eventually, run};
use crate::namespace;
use std::process::Command;

pub const TESTS: &[(&str, fn())] = &[
    ("can_i_and_its_list", can_i_and_its_list),
    (
        "tokens_open_doors_as_roles_say",
        tokens_open_doors_as_roles_say,
    ),
    ("token_requests_are_checked", token_requests_are_checked),
    (
        "nobody_gives_more_than_it_has",
        nobody_gives_more_than_it_has,
    ),
    ("reviews_answer", reviews_answer),
    ("aggregated_roles_follow", aggregated_roles_follow),
    (
        "every_namespace_has_its_account_and_certificate",
        every_namespace_has_its_account_and_certificate,
    ),
    ("keys_are_published", keys_are_published),
];

/// A request with a token and without a client certificate: the answer's code and body.
fn ask(node: &TestNode, token: &str, path: &str) -> (u16, String) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("runtime");
    let _ = rustls::crypto::ring::default_provider().install_default();
    runtime.block_on(async {
        let client = reqwest::Client::builder()
            .danger_accept_invalid_certs(true)
            .build()
            .expect("client");
        let mut request = client.get(format!("https://127.0.0.1:{}{path}", node.port));
        if !token.is_empty() {
            request = request.bearer_auth(token);
        }
        let response = request.send().await.expect("answer");
        let code = response.status().as_u16();
        (code, response.text().await.expect("body"))
    })
}

fn code(node: &TestNode, token: &str, path: &str) -> u16 {
    ask(node, token, path).0
}

fn token(node: &TestNode, namespace: &str, account: &str, more: &[&str]) -> String {
    let arguments = [&["-n", namespace, "create", "token", account], more].concat();
    node.kubectl(&arguments).must().stdout.trim().to_owned()
}

/// kubectl as a service account, with its token and nothing else.
fn kubectl_as(node: &TestNode, token: &str, arguments: &[&str]) -> Ran {
    let server = format!("https://127.0.0.1:{}", node.port);
    let mut command = Command::new("kubectl");
    command
        .env("KUBECONFIG", "/dev/null")
        .env("HOME", node.run_dir())
        .args(["--server", &server, "--insecure-skip-tls-verify"])
        .args(["--token", token])
        .args(arguments);
    run(&mut command)
}

fn can_i_and_its_list() {
    let node = namespace("can-i");
    let may = |arguments: &[&str]| {
        let all = [&["-n", "can-i", "auth", "can-i"], arguments].concat();
        node.kubectl(&all).stdout.trim().to_owned()
    };
    assert_eq!(may(&["create", "pods"]), "yes");
    assert_eq!(may(&["*", "*", "--all-namespaces"]), "yes");
    let default = "--as=system:serviceaccount:can-i:default";
    assert_eq!(may(&["get", "pods", default]), "no");
    assert_eq!(may(&["get", "/version", default]), "yes");
    node.kubectl(&[
        "-n",
        "can-i",
        "create",
        "role",
        "reader",
        "--verb=get,list",
        "--resource=pods,pods/log",
    ])
    .must_say("role.rbac.authorization.k8s.io/reader created");
    node.kubectl(&[
        "-n",
        "can-i",
        "create",
        "rolebinding",
        "readers",
        "--role=reader",
        "--serviceaccount=can-i:default",
    ])
    .must_say("rolebinding.rbac.authorization.k8s.io/readers created");
    assert_eq!(may(&["get", "pods", default]), "yes");
    assert_eq!(may(&["get", "pods", "--subresource=log", default]), "yes");
    assert_eq!(may(&["delete", "pods", default]), "no");
    assert_eq!(may(&["get", "pods", "--as=jo", "--as-group=crew"]), "no");
    let list = may(&["--list", default]);
    for part in [
        "pods/log",
        "[get list]",
        "selfsubjectaccessreviews.authorization.k8s.io",
    ] {
        assert!(list.contains(part), "{list}");
    }
    node.kubectl(&["-n", "can-i", "delete", "rolebinding", "readers"])
        .must();
    assert_eq!(may(&["get", "pods", default]), "no");
    // Who may not impersonate is told so.
    let token = token(&node, "can-i", "default", &[]);
    // kubectl swallows the answer where it has not learnt the kinds before.
    kubectl_as(&node, &token, &["api-resources"]).must();
    kubectl_as(&node, &token, &["get", "pods", "--as=jo"]).must_fail_with(
        "users \"jo\" is forbidden: User \"system:serviceaccount:can-i:default\" cannot impersonate resource \"users\"",
    );
}

fn tokens_open_doors_as_roles_say() {
    let node = namespace("doors");
    node.kubectl(&["-n", "doors", "create", "serviceaccount", "robot"])
        .must();
    node.kubectl(&[
        "-n",
        "doors",
        "create",
        "rolebinding",
        "view",
        "--clusterrole=view",
        "--serviceaccount=doors:robot",
    ])
    .must();
    let robot = token(&node, "doors", "robot", &[]);
    assert_eq!(robot.split('.').count(), 3);
    kubectl_as(&node, &robot, &["auth", "whoami"])
        .must_say("system:serviceaccount:doors:robot")
        .must_say("system:serviceaccounts:doors");
    let maps = "/api/v1/namespaces/doors/configmaps";
    assert_eq!(code(&node, &robot, maps), 200);
    assert_eq!(code(&node, &robot, "/api/v1/namespaces/doors/secrets"), 403);
    assert_eq!(code(&node, &robot, "/api/v1/namespaces/default/pods"), 403);
    kubectl_as(&node, &robot, &["get", "pods", "-n", "default"]).must_fail_with(
        "pods is forbidden: User \"system:serviceaccount:doors:robot\" cannot list resource \"pods\" in API group \"\" in the namespace \"default\"",
    );
    kubectl_as(&node, &robot, &["-n", "doors", "get", "configmaps"]).must_say("kube-root-ca.crt");
    kubectl_as(
        &node,
        &robot,
        &["-n", "doors", "delete", "configmap", "kube-root-ca.crt"],
    )
    .must_fail_with("forbidden");
    // Nobody, somebody who is not, and a token with one letter changed.
    let mut spoilt = robot.clone();
    let last = spoilt.pop().expect("a letter");
    spoilt.insert(spoilt.len() - 5, if last == 'A' { 'B' } else { 'A' });
    spoilt.push(last);
    for stranger in ["", "x", "a.b.c", spoilt.as_str()] {
        assert_eq!(code(&node, stranger, maps), 401, "{stranger}");
    }
    assert_eq!(code(&node, "", "/version"), 200);
    assert_eq!(code(&node, "", "/readyz"), 200);
    assert_eq!(code(&node, "x", "/version"), 401);
    // Another audience's token is not for the API.
    let foreign = token(&node, "doors", "robot", &["--audience=vault"]);
    assert_eq!(code(&node, &foreign, maps), 401);
    // A token dies with what it is bound to.
    node.kubectl(&["-n", "doors", "create", "secret", "generic", "anchor"])
        .must();
    let bound = token(
        &node,
        "doors",
        "robot",
        &["--bound-object-kind=Secret", "--bound-object-name=anchor"],
    );
    assert_eq!(code(&node, &bound, maps), 200);
    node.kubectl(&["-n", "doors", "delete", "secret", "anchor"])
        .must();
    assert_eq!(code(&node, &bound, maps), 401);
    node.kubectl(&["-n", "doors", "create", "secret", "generic", "anchor"])
        .must();
    assert_eq!(code(&node, &bound, maps), 401, "another secret of the name");
    assert_eq!(code(&node, &robot, maps), 200);
    node.kubectl(&["-n", "doors", "delete", "serviceaccount", "robot"])
        .must();
    assert_eq!(code(&node, &robot, maps), 401);
}

fn token_requests_are_checked() {
    let node = namespace("requests");
    let refused = |arguments: &[&str], said: &str| {
        let all = [&["-n", "requests", "create", "token", "default"], arguments].concat();
        node.kubectl(&all).must_fail_with(said);
    };
    refused(
        &["--duration=5m"],
        "may not specify a duration less than 10 minutes",
    );
    refused(
        &["--bound-object-kind=Secret", "--bound-object-name=none"],
        "secrets \"none\" not found",
    );
    node.kubectl(&["-n", "requests", "create", "serviceaccount", "other"])
        .must();
    node.kubectl_input(
        &["-n", "requests", "create", "-f", "-"],
        "apiVersion: v1\nkind: Pod\nmetadata: {name: parked}\nspec:\n  serviceAccountName: other\n  nodeSelector: {planet: none}\n  containers: [{name: one, image: 'example.local/one:1'}]\n",
    )
    .must();
    refused(
        &["--bound-object-kind=Pod", "--bound-object-name=parked"],
        "cannot bind token for serviceaccount \"default\" to pod running with different serviceaccount name",
    );
    let other = token(
        &node,
        "requests",
        "other",
        &["--bound-object-kind=Pod", "--bound-object-name=parked"],
    );
    assert_eq!(code(&node, &other, "/apis"), 200);
    node.kubectl(&["-n", "requests", "delete", "pod", "parked", "--now"])
        .must();
    assert_eq!(code(&node, &other, "/apis"), 401);
    node.kubectl(&["-n", "requests", "create", "token", "nobody"])
        .must_fail_with("serviceaccounts \"nobody\" not found");
    node.kubectl_input(
        &["-n", "requests", "create", "-f", "-"],
        "apiVersion: v1\nkind: Pod\nmetadata: {name: lost}\nspec:\n  serviceAccountName: nobody\n  containers: [{name: one, image: 'example.local/one:1'}]\n",
    )
    .must_fail_with(
        "pods \"lost\" is forbidden: error looking up service account requests/nobody: serviceaccount \"nobody\" not found",
    );
}

fn nobody_gives_more_than_it_has() {
    let node = namespace("grants");
    for account in ["boss", "friend"] {
        node.kubectl(&["-n", "grants", "create", "serviceaccount", account])
            .must();
    }
    node.kubectl(&[
        "-n",
        "grants",
        "create",
        "rolebinding",
        "boss",
        "--clusterrole=admin",
        "--serviceaccount=grants:boss",
    ])
    .must();
    let boss = token(&node, "grants", "boss", &[]);
    let try_it = |arguments: &[&str]| {
        kubectl_as(
            &node,
            &boss,
            &[&["-n", "grants", "create"], arguments].concat(),
        )
    };
    try_it(&["role", "small", "--verb=get", "--resource=pods"]).must();
    try_it(&[
        "rolebinding",
        "small",
        "--role=small",
        "--serviceaccount=grants:friend",
    ])
    .must();
    try_it(&[
        "rolebinding",
        "viewer",
        "--clusterrole=view",
        "--serviceaccount=grants:friend",
    ])
    .must();
    try_it(&["role", "large", "--verb=*", "--resource=pods"])
        .must_fail_with("is attempting to grant RBAC permissions not currently held");
    try_it(&[
        "rolebinding",
        "root",
        "--clusterrole=cluster-admin",
        "--serviceaccount=grants:boss",
    ])
    .must_fail_with("is attempting to grant RBAC permissions not currently held");
    try_it(&[
        "clusterrolebinding",
        "root",
        "--clusterrole=view",
        "--serviceaccount=grants:boss",
    ])
    .must_fail_with("cannot create resource \"clusterrolebindings\"");
    let patch = r#"{"rules":[{"apiGroups":["*"],"resources":["*"],"verbs":["*"]}]}"#;
    kubectl_as(
        &node,
        &boss,
        &[
            "-n",
            "grants",
            "patch",
            "role",
            "small",
            "--type=merge",
            "-p",
            patch,
        ],
    )
    .must_fail_with("is attempting to grant RBAC permissions not currently held");
    node.kubectl(&[
        "-n", "grants", "patch", "rolebinding", "small", "--type=merge", "-p",
        r#"{"roleRef":{"apiGroup":"rbac.authorization.k8s.io","kind":"ClusterRole","name":"view"}}"#,
    ])
    .must_fail_with("cannot change roleRef");
    node.kubectl(&["-n", "grants", "get", "rolebinding", "-o", "wide"])
        .must_say("ClusterRole/view")
        .must_say("grants/friend");
}

fn reviews_answer() {
    let node = namespace("reviews");
    let robot = token(&node, "reviews", "default", &[]);
    let review = |manifest: &str, path: &str| {
        node.kubectl_input(
            &["create", "-f", "-", "-o", &format!("jsonpath={path}")],
            manifest,
        )
        .must()
        .stdout
    };
    assert_eq!(
        review(
            &format!(
                "apiVersion: authentication.k8s.io/v1\nkind: TokenReview\nmetadata: {{name: a}}\nspec: {{token: {robot}}}\n"
            ),
            "{.status.authenticated} {.status.user.username}",
        ),
        "true system:serviceaccount:reviews:default"
    );
    assert_eq!(
        review(
            "apiVersion: authentication.k8s.io/v1\nkind: TokenReview\nmetadata: {name: a}\nspec: {token: x}\n",
            "{.status.authenticated}",
        ),
        ""
    );
    let access = |user: &str| {
        review(
            &format!(
                "apiVersion: authorization.k8s.io/v1\nkind: SubjectAccessReview\nmetadata: {{name: a}}\nspec: {{user: '{user}', groups: [system:masters], resourceAttributes: {{verb: get, resource: nodes}}}}\n"
            ),
            "{.status.allowed}",
        )
    };
    assert_eq!(access("jo"), "true");
    let local = |namespace: &str| {
        node.kubectl_input(
            &["create", "-f", "-", "-o", "jsonpath={.status.allowed}"],
            &format!("apiVersion: authorization.k8s.io/v1\nkind: LocalSubjectAccessReview\nmetadata: {{name: a, namespace: reviews}}\nspec: {{user: jo, resourceAttributes: {{verb: get, resource: pods, namespace: {namespace}}}}}\n"),
        )
    };
    assert_eq!(local("reviews").must().stdout, "false");
    local("default").must_fail_with("must match metadata.namespace");
    node.kubectl(&[
        "auth",
        "whoami",
        "-o",
        "jsonpath={.status.userInfo.username}",
    ])
    .must_say("kubernetes-admin");
}

fn aggregated_roles_follow() {
    let node = namespace("aggregated");
    node.apply(
        "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata: {name: boats-viewer, labels: {rbac.authorization.k8s.io/aggregate-to-view: 'true'}}\nrules:\n- {apiGroups: [example.org], resources: [boats], verbs: [get]}\n",
    );
    let shown = |role: &str| {
        node.value("", &format!("clusterrole/{role}"), "{.rules}")
            .contains("boats")
    };
    assert!(eventually(|| shown("view")
        && shown("edit")
        && shown("admin")));
    node.kubectl(&["delete", "clusterrole", "boats-viewer"])
        .must();
    assert!(eventually(|| !shown("view") && !shown("admin")));
}

fn every_namespace_has_its_account_and_certificate() {
    let node = namespace("furnished");
    // There from the first moment: no waiting.
    node.kubectl(&["-n", "furnished", "get", "serviceaccount", "default"])
        .must();
    let certificate = || {
        node.value(
            "furnished",
            "configmap/kube-root-ca.crt",
            "{.data.ca\\.crt}",
        )
    };
    assert!(certificate().starts_with("-----BEGIN CERTIFICATE-----"));
    let right = certificate();
    node.kubectl(&["-n", "furnished", "delete", "configmap", "kube-root-ca.crt"])
        .must();
    assert!(eventually(|| certificate() == right));
    node.kubectl(&[
        "-n",
        "furnished",
        "patch",
        "configmap",
        "kube-root-ca.crt",
        "--type=merge",
        "-p",
        r#"{"data":{"ca.crt":"x"}}"#,
    ])
    .must();
    assert!(eventually(|| certificate() == right));
    node.kubectl(&["-n", "furnished", "delete", "serviceaccount", "default"])
        .must();
    assert!(eventually(|| {
        node.kubectl(&["-n", "furnished", "get", "serviceaccount", "default"])
            .ok
    }));
}

fn keys_are_published() {
    let node = namespace("keys");
    let robot = token(&node, "keys", "default", &[]);
    for (path, part) in [
        (
            "/.well-known/openid-configuration",
            "\"issuer\":\"https://kubernetes.default.svc.cluster.local\"",
        ),
        ("/openid/v1/jwks", "\"alg\":\"ES256\""),
    ] {
        let (code, said) = ask(&node, &robot, path);
        assert!(code == 200 && said.contains(part), "{said}");
    }
    assert_eq!(code(&node, "", "/openid/v1/jwks"), 401);
    node.kubectl(&["get", "endpoints,endpointslices,service", "kubernetes"])
        .must_say(&format!("127.0.0.1:{}", node.port))
        .must_say("10.43.0.1");
}
