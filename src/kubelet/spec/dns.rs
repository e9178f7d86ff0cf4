//! Host name, `/etc/resolv.conf` and `/etc/hosts` of a pod.
//! <https://kubernetes.io/docs/concepts/services-networking/dns-pod-service/>

use k8s_openapi::api::core::v1::Pod;
use std::fmt::Write as _;

/// Linux' `HOST_NAME_MAX` less one, as upstream cuts.
const HOSTNAME_BYTES_MAX: usize = 63;
/// Linux' `HOST_NAME_MAX`.
const FQDN_BYTES_MAX: usize = 64;
/// What the C library reads: more entries are dropped, as upstream does.
const NAMESERVERS_MAX: usize = 3;
const SEARCHES_MAX: usize = 32;

/// The pod's short host name: `hostnameOverride` as it is, `hostname`, or the pod's name cut to what the kernel takes;
/// the node's with `hostNetwork`.
pub fn hostname(pod: &Pod, node_name: &str) -> String {
    let spec = pod.spec.as_ref();
    if host_network(pod) {
        return node_name.to_string();
    }
    let given = hostname_override(pod).or(spec.and_then(|s| s.hostname.as_deref()));
    if let Some(given) = given.filter(|h| !h.is_empty()) {
        return given.to_string();
    }
    let name = pod.metadata.name.as_deref().unwrap_or_default();
    let mut end = name.len().min(HOSTNAME_BYTES_MAX);
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    name[..end].trim_end_matches(['-', '.']).to_string()
}

fn hostname_override(pod: &Pod) -> Option<&str> {
    let given = pod.spec.as_ref()?.hostname_override.as_deref();
    given.filter(|name| !name.is_empty())
}

/// What follows the host name in its full form; `None` without a subdomain.
fn domain(pod: &Pod) -> Option<String> {
    let subdomain = pod.spec.as_ref()?.subdomain.as_deref()?;
    if subdomain.is_empty() || hostname_override(pod).is_some() {
        return None;
    }
    let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
    Some(format!("{subdomain}.{namespace}.svc.cluster.local"))
}

/// What the kernel is told, and `$HOSTNAME`: with `setHostnameAsFQDN` the full name. Words of upstream's
/// `GetNodenameForKernel`.
pub fn kernel_hostname(pod: &Pod, node_name: &str) -> Result<String, String> {
    let short = hostname(pod, node_name);
    let full = pod.spec.as_ref().and_then(|s| s.set_hostname_as_fqdn) == Some(true);
    let Some(domain) = domain(pod).filter(|_| full && !host_network(pod)) else {
        return Ok(short);
    };
    let name = format!("{short}.{domain}");
    if name.len() > FQDN_BYTES_MAX {
        return Err(format!(
            "failed to construct FQDN from pod hostname and cluster domain, FQDN {name} is too long ({FQDN_BYTES_MAX} characters is the max, {} characters requested)",
            name.len()
        ));
    }
    Ok(name)
}

pub fn host_network(pod: &Pod) -> bool {
    pod.spec.as_ref().and_then(|s| s.host_network) == Some(true)
}

/// True where the pod asks for the cluster's DNS, which it does not get while there is none.
pub fn wants_cluster_dns(pod: &Pod) -> bool {
    match pod.spec.as_ref().and_then(|s| s.dns_policy.as_deref()) {
        Some("Default" | "None") => false,
        Some("ClusterFirstWithHostNet") => true,
        _ => !host_network(pod),
    }
}

/// The pod's resolv.conf; `host` is the host's own, which every policy but `None` starts from while there is no
/// cluster DNS.
pub fn resolv_conf(pod: &Pod, host: &str) -> String {
    let spec = pod.spec.as_ref();
    let mut nameservers: Vec<String> = Vec::new();
    let mut searches: Vec<String> = Vec::new();
    let mut options: Vec<String> = Vec::new();
    if spec.and_then(|s| s.dns_policy.as_deref()) != Some("None") {
        for line in host.lines() {
            let mut words = line.split_whitespace();
            match words.next() {
                Some("nameserver") => nameservers.extend(words.next().map(str::to_string)),
                // The last search line wins, resolv.conf(5).
                Some("search" | "domain") => searches = words.map(str::to_string).collect(),
                Some("options") => options.extend(words.map(str::to_string)),
                _ => {}
            }
        }
    }
    if let Some(config) = spec.and_then(|s| s.dns_config.as_ref()) {
        append_new(
            &mut nameservers,
            config.nameservers.iter().flatten().cloned(),
        );
        append_new(&mut searches, config.searches.iter().flatten().cloned());
        for option in config.options.iter().flatten() {
            let Some(name) = option.name.as_deref() else {
                continue;
            };
            let text = match option.value.as_deref() {
                Some(value) if !value.is_empty() => format!("{name}:{value}"),
                _ => name.to_string(),
            };
            options.retain(|o| o.split(':').next() != Some(name));
            options.push(text);
        }
    }
    nameservers.truncate(NAMESERVERS_MAX);
    searches.truncate(SEARCHES_MAX);
    let mut text = String::new();
    for server in &nameservers {
        let _ = writeln!(text, "nameserver {server}");
    }
    if !searches.is_empty() {
        let _ = writeln!(text, "search {}", searches.join(" "));
    }
    if !options.is_empty() {
        let _ = writeln!(text, "options {}", options.join(" "));
    }
    text
}

fn append_new(list: &mut Vec<String>, more: impl Iterator<Item = String>) {
    for item in more {
        if !list.contains(&item) {
            list.push(item);
        }
    }
}

/// `/etc/hosts` as kubelet writes it; `host` is the host's own, used with `hostNetwork`.
pub fn hosts(pod: &Pod, ip: &str, node_name: &str, host: &str) -> String {
    let mut text = if host_network(pod) {
        format!("# Kubernetes-managed hosts file (host network).\n{host}")
    } else {
        let hostname = hostname(pod, node_name);
        let names = match domain(pod) {
            None => hostname,
            Some(domain) => format!("{hostname}.{domain}\t{hostname}"),
        };
        format!(
            "# Kubernetes-managed hosts file.\n127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n\
             fe00::0\tip6-localnet\nfe00::0\tip6-mcastprefix\nfe00::1\tip6-allnodes\nfe00::2\tip6-allrouters\n\
             {ip}\t{names}\n"
        )
    };
    let aliases = pod
        .spec
        .as_ref()
        .and_then(|s| s.host_aliases.as_deref())
        .unwrap_or_default();
    if !aliases.is_empty() {
        text.push_str("\n# Entries added by HostAliases.\n");
        for alias in aliases {
            let names = alias.hostnames.as_deref().unwrap_or_default().join("\t");
            let _ = writeln!(text, "{}\t{names}", alias.ip);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::json;

    fn pod(spec: serde_json::Value) -> Pod {
        serde_json::from_value(
            json!({"metadata": {"name": "web-0", "namespace": "shop"}, "spec": spec}),
        )
        .unwrap()
    }

    #[test]
    fn resolv_conf_by_policy() {
        let host = "# host\nnameserver 192.168.1.1\nsearch lan\noptions timeout:1\n";
        let config = json!({"nameservers": ["1.1.1.1"], "searches": ["a.b"], "options": [{"name": "timeout", "value": "5"}]});
        for (spec, expected) in [
            (
                json!({"containers": []}),
                "nameserver 192.168.1.1\nsearch lan\noptions timeout:1\n",
            ),
            (
                json!({"containers": [], "dnsPolicy": "None", "dnsConfig": config}),
                "nameserver 1.1.1.1\nsearch a.b\noptions timeout:5\n",
            ),
            (
                json!({"containers": [], "dnsPolicy": "Default", "dnsConfig": config}),
                "nameserver 192.168.1.1\nnameserver 1.1.1.1\nsearch lan a.b\noptions timeout:5\n",
            ),
        ] {
            assert_eq!(resolv_conf(&pod(spec), host), expected);
        }
    }

    #[test]
    fn hosts_and_hostname() {
        let plain = pod(
            json!({"containers": [], "hostAliases": [{"ip": "1.2.3.4", "hostnames": ["x", "y"]}]}),
        );
        let text = hosts(&plain, "10.42.0.5", "node", "");
        assert!(text.starts_with("# Kubernetes-managed hosts file.\n127.0.0.1\tlocalhost\n"));
        assert!(text.contains("\n10.42.0.5\tweb-0\n"));
        assert!(text.ends_with("\n# Entries added by HostAliases.\n1.2.3.4\tx\ty\n"));
        let sub = pod(json!({"containers": [], "subdomain": "db"}));
        assert!(
            hosts(&sub, "10.42.0.5", "node", "")
                .contains("10.42.0.5\tweb-0.db.shop.svc.cluster.local\tweb-0\n")
        );
        for (extra, want) in [
            (json!({}), Ok("web-0".to_string())),
            (json!({"subdomain": "db"}), Ok("web-0".to_string())),
            (
                json!({"subdomain": "db", "setHostnameAsFQDN": true}),
                Ok("web-0.db.shop.svc.cluster.local".to_string()),
            ),
            (
                json!({"hostnameOverride": "a.b", "subdomain": "db", "setHostnameAsFQDN": true}),
                Ok("a.b".to_string()),
            ),
            (
                json!({"subdomain": "d".repeat(40), "setHostnameAsFQDN": true}),
                Err("is too long (64 characters is the max, 69 characters requested)"),
            ),
        ] {
            let mut spec = json!({"containers": []});
            json_patch::merge(&mut spec, &extra);
            match (kernel_hostname(&pod(spec), "node"), want) {
                (got, Ok(want)) => assert_eq!(got, Ok(want)),
                (got, Err(want)) => assert!(got.unwrap_err().contains(want)),
            }
        }
        let host = pod(json!({"containers": [], "hostNetwork": true}));
        assert_eq!(hostname(&host, "node"), "node");
        assert!(!wants_cluster_dns(&host));
        let mut long = plain.clone();
        long.metadata.name = Some(format!("{}-tail", "a".repeat(62)));
        assert_eq!(hostname(&long, "node"), "a".repeat(62));
    }
}
