//! Which addresses an image is asked for at, in order: mirrors first, then its own registry. Pure.

use super::registries::{Registries, Tls, rewrite};
use super::{Credentials, Keyring};
use crate::image::reference::{Name, is_loopback};

/// The address behind the name `docker.io`.
const HUB_HOST: &str = "registry-1.docker.io";

/// Most mirrors asked for one image: each costs a slow link a connection.
const MIRRORS_MAX: usize = 16;

/// One address that may have the image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// `https://host:port/v2`, without a slash at its end.
    pub base: String,
    /// `host:port` as in the address.
    pub host: String,
    /// The repository there.
    pub repository: String,
    pub is_mirror: bool,
    pub tls: Option<Tls>,
    /// In the order to be tried; nobody at all comes after them.
    pub credentials: Vec<Credentials>,
}

/// Addresses for `name`. `pod` are the credentials that pods bring, `node` those of the node's docker configuration.
pub fn endpoints(
    name: &Name,
    registries: &Registries,
    pod: &Keyring,
    node: &Keyring,
) -> Result<Vec<Endpoint>, String> {
    let mut found = Vec::new();
    let mirror = registries
        .mirrors
        .get(name.registry())
        .or_else(|| registries.mirrors.get("*"));
    let addresses = mirror.map(|mirror| mirror.endpoint.as_slice());
    for address in addresses.unwrap_or_default().iter().take(MIRRORS_MAX) {
        let (base, host) = address_of(address).ok_or_else(|| {
            format!("the mirror {address:?} is no address such as https://host:port")
        })?;
        let repository = match mirror {
            Some(mirror) => rewrite(&mirror.rewrite, name.path()),
            None => name.path().to_owned(),
        };
        // A registry listed as its own mirror (k3s's way to plain HTTP) keeps its names for credentials.
        let own = host == own_host(name);
        let hosts = hosts(name, &host, own);
        found.push(endpoint(
            (base, host.clone()),
            repository,
            true,
            &hosts,
            registries,
            (pod, node),
        ));
    }
    let host = own_host(name);
    let hosts = hosts(name, &host, true);
    // Plain HTTP to this machine only, as docker does; TLS settings say that it is spoken there too.
    let scheme = if is_loopback(&host) && registries.tls(&hosts).is_none() {
        "http"
    } else {
        "https"
    };
    let base = format!("{scheme}://{host}/v2");
    if !found.iter().any(|endpoint| endpoint.base == base) {
        found.push(endpoint(
            (base, host.clone()),
            name.path().to_owned(),
            false,
            &hosts,
            registries,
            (pod, node),
        ));
    }
    Ok(found)
}

fn endpoint(
    (base, host): (String, String),
    repository: String,
    is_mirror: bool,
    hosts: &[&str],
    registries: &Registries,
    (pod, node): (&Keyring, &Keyring),
) -> Endpoint {
    let mut credentials: Vec<Credentials> = Vec::new();
    let of = |keyring: &Keyring| keyring.lookup(hosts[0], &repository);
    for found in of(pod)
        .into_iter()
        .chain(registries.credentials(hosts))
        .chain(of(node))
    {
        if !credentials.contains(&found) {
            credentials.push(found);
        }
    }
    Endpoint {
        base,
        host,
        repository,
        is_mirror,
        tls: registries.tls(hosts).cloned(),
        credentials,
    }
}

fn own_host(name: &Name) -> String {
    match name.registry() {
        "docker.io" => HUB_HOST.to_owned(),
        other => other.to_owned(),
    }
}

/// Names under which an endpoint's settings may stand, the one for credentials first.
fn hosts<'a>(name: &'a Name, host: &'a str, own: bool) -> Vec<&'a str> {
    if own && host == HUB_HOST {
        vec![name.registry(), host, "index.docker.io"]
    } else {
        vec![host]
    }
}

/// Base address and host of what a mirror's line says: `https://host/path`, `http://host`, `host:port`.
fn address_of(text: &str) -> Option<(String, String)> {
    let text = if text.contains("://") {
        text.to_owned()
    } else {
        let host = text.split('/').next().unwrap_or_default();
        let scheme = if is_loopback(host) { "http" } else { "https" };
        format!("{scheme}://{text}")
    };
    let url = reqwest::Url::parse(&text).ok()?;
    if !matches!(url.scheme(), "http" | "https")
        || url.query().is_some()
        || url.fragment().is_some()
    {
        return None;
    }
    // Credentials belong under `configs`, where no error message shows them.
    if !url.username().is_empty() || url.password().is_some() {
        return None;
    }
    let mut host = url.host_str()?.to_owned();
    if let Some(port) = url.port() {
        host = format!("{host}:{port}");
    }
    let host = if host == "docker.io" {
        HUB_HOST.to_owned()
    } else {
        host
    };
    let path = match url.path().trim_end_matches('/') {
        "" => "/v2",
        path => path,
    };
    Some((format!("{}://{host}{path}", url.scheme()), host))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn bases(name: &str, registries: &str) -> Vec<String> {
        let registries = Registries::parse(registries).unwrap();
        let none = Keyring::default();
        endpoints(&Name::parse(name).unwrap(), &registries, &none, &none)
            .unwrap()
            .into_iter()
            .map(|endpoint| format!("{} {}", endpoint.base, endpoint.repository))
            .collect()
    }

    #[test]
    fn mirrors_come_first_and_the_registry_last() {
        assert_eq!(
            bases("busybox", ""),
            ["https://registry-1.docker.io/v2 library/busybox"]
        );
        assert_eq!(
            bases("localhost:5000/x", ""),
            ["http://localhost:5000/v2 x"]
        );
        assert_eq!(
            bases(
                "localhost:5000/x",
                "configs: {'localhost:5000': {tls: {ca_file: /a}}}"
            ),
            ["https://localhost:5000/v2 x"]
        );
        let mirrors = "
mirrors:
  docker.io:
    endpoint: ['http://m.lan:5000', 'proxy.lan/hub/v2/']
    rewrite: {'^library/(.*)': 'hub/$1'}
  'r.lan:5000': {endpoint: ['http://r.lan:5000']}
  '*': {endpoint: ['https://all.lan']}
";
        assert_eq!(
            bases("busybox", mirrors),
            [
                "http://m.lan:5000/v2 hub/busybox",
                "https://proxy.lan/hub/v2 hub/busybox",
                "https://registry-1.docker.io/v2 library/busybox"
            ]
        );
        assert_eq!(
            bases("r.lan:5000/a", mirrors),
            ["http://r.lan:5000/v2 a", "https://r.lan:5000/v2 a"]
        );
        assert_eq!(
            bases("ghcr.io/a/b", mirrors),
            ["https://all.lan/v2 a/b", "https://ghcr.io/v2 a/b"]
        );
        let none = Keyring::default();
        for bad in ["ftp://x", "https://u:p@x", "http://", "https://x/?q"] {
            let registries =
                Registries::parse(&format!("mirrors: {{'*': {{endpoint: ['{bad}']}}}}")).unwrap();
            let name = Name::parse("a").unwrap();
            assert!(
                endpoints(&name, &registries, &none, &none).is_err(),
                "{bad}"
            );
        }
    }

    #[test]
    fn credentials_in_kubernetes_order_and_only_to_whom_they_name() {
        let login = |username: &str| Credentials::Login {
            username: username.to_owned(),
            password: "p".to_owned(),
        };
        let ring = |key: &str, username: &str| {
            let mut ring = Keyring::default();
            let text =
                serde_json::json!({key: {"username": username, "password": "p"}}).to_string();
            ring.add_dockercfg(text.as_bytes()).unwrap();
            ring
        };
        let registries = Registries::parse(
            "mirrors: {docker.io: {endpoint: ['https://m.lan']}}
configs:
  docker.io: {auth: {username: file, password: p}}
  m.lan: {auth: {username: mirror, password: p}}",
        )
        .unwrap();
        let found = endpoints(
            &Name::parse("busybox").unwrap(),
            &registries,
            &ring("docker.io", "pod"),
            &ring("https://index.docker.io/v1/", "node"),
        )
        .unwrap();
        assert_eq!(found[0].credentials, [login("mirror")]);
        assert_eq!(
            found[1].credentials,
            [login("pod"), login("file"), login("node")]
        );
    }
}
