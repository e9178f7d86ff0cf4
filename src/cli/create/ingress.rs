//! `create ingress`: rules in one line each.

use super::{Common, Generate, Known};
use crate::cli::write_args::head;
use anyhow::Context;
use serde_json::{Map, Value, json};

#[derive(Debug, clap::Args)]
pub struct IngressArgs {
    #[arg(value_name = "NAME")]
    name: String,
    /// `host/path=service:port[,tls[=secret]]`; a path that ends with `*` is a prefix. May be repeated.
    #[arg(long, value_name = "RULE")]
    rule: Vec<String>,
    /// Where everything else goes, as service:port.
    #[arg(long, value_name = "SERVICE:PORT")]
    default_backend: Option<String>,
    /// The ingress class.
    #[arg(long, value_name = "NAME")]
    class: Option<String>,
    /// `key=value`; may be repeated.
    #[arg(long, value_name = "KEY=VALUE")]
    annotation: Vec<String>,
    #[command(flatten)]
    common: Common,
}

/// A rule's parts.
#[derive(Debug, PartialEq, Eq)]
struct Rule<'a> {
    host: &'a str,
    path: &'a str,
    service: &'a str,
    port: &'a str,
    /// The secret, which may be empty: the host is named all the same.
    tls: Option<&'a str>,
}

impl Generate for IngressArgs {
    fn common(&self) -> &Common {
        &self.common
    }
    fn object(&self, _: &Known) -> Result<Value, anyhow::Error> {
        anyhow::ensure!(
            self.default_backend.is_some() || !self.rule.is_empty(),
            "not enough information provided: every ingress has to either specify a default-backend (which catches all traffic) or a list of rules (which catch specific paths)"
        );
        let rules = self
            .rule
            .iter()
            .map(|text| parse(text))
            .collect::<Result<Vec<_>, _>>()?;
        let mut object = head("networking.k8s.io/v1", "Ingress", &self.name);
        let mut annotations = Map::new();
        for text in &self.annotation {
            let (key, value) = text.split_once('=').with_context(|| {
                format!("annotation {text} is invalid and should be in format key=[value]")
            })?;
            annotations.insert(key.to_owned(), json!(value));
        }
        if !annotations.is_empty() {
            object["metadata"]["annotations"] = Value::Object(annotations);
        }
        let mut spec = json!({});
        if let Some(class) = &self.class {
            spec["ingressClassName"] = json!(class);
        }
        if let Some(text) = &self.default_backend {
            let (service, port) = text
                .split_once(':')
                .filter(|(_, port)| !port.contains(':'))
                .context("default-backend should be in format servicename:serviceport")?;
            spec["defaultBackend"] = backend(service, port);
        }
        for (field, list) in [("rules", paths(&rules)), ("tls", tls(&rules))] {
            if !list.is_empty() {
                spec[field] = Value::Array(list);
            }
        }
        object["spec"] = spec;
        object["status"] = json!({"loadBalancer": {}});
        Ok(object)
    }
    fn refusal(&self) -> String {
        "failed to create ingress:".to_owned()
    }
}

fn parse(text: &str) -> Result<Rule<'_>, anyhow::Error> {
    let read = || {
        let (main, tls) = match text.split_once(',') {
            None => (text, None),
            Some((main, "tls")) => (main, Some("")),
            Some((main, end)) => (main, Some(end.strip_prefix("tls=")?)),
        };
        let slash = main.find('/')?;
        let (place, target) = main.rsplit_once('=')?;
        let (service, port) = target.split_once(':')?;
        let host = &main[..slash];
        let path = place.get(slash..).filter(|path| !path.contains('='))?;
        let word = |text: &str| {
            !text.is_empty()
                && text
                    .chars()
                    .all(|c| c.is_ascii_alphanumeric() || "-_".contains(c))
        };
        let host_fits = host
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "-_.*".contains(c));
        let secret = tls.is_none_or(|secret| secret.is_empty() || !secret.contains([',', '=']));
        (host_fits && word(service) && word(port) && path.starts_with('/') && secret).then_some(
            Rule {
                host,
                path,
                service,
                port,
                tls,
            },
        )
    };
    read().with_context(|| {
        format!("rule {text} is invalid and should be in format host/path=svcname:svcport[,tls[=secret]]")
    })
}

fn backend(service: &str, port: &str) -> Value {
    let port = match port.parse::<i32>() {
        Ok(number) => json!({"number": number}),
        Err(_) => json!({"name": port}),
    };
    json!({"service": {"name": service, "port": port}})
}

/// Paths of one host together, in the order given.
fn paths(rules: &[Rule]) -> Vec<Value> {
    let mut hosts: Vec<(&str, Vec<Value>)> = Vec::new();
    for rule in rules {
        let (path, kind) = match rule.path.strip_suffix('*') {
            Some(prefix) => (prefix, "Prefix"),
            None => (rule.path, "Exact"),
        };
        let path =
            json!({"path": path, "pathType": kind, "backend": backend(rule.service, rule.port)});
        match hosts.iter_mut().find(|(host, _)| *host == rule.host) {
            Some((_, paths)) => paths.push(path),
            None => hosts.push((rule.host, vec![path])),
        }
    }
    hosts
        .into_iter()
        .map(|(host, paths)| {
            let mut rule = json!({"http": {"paths": paths}});
            if !host.is_empty() {
                rule["host"] = json!(host);
            }
            rule
        })
        .collect()
}

/// Hosts by secret; a host counts with its first secret.
fn tls(rules: &[Rule]) -> Vec<Value> {
    let mut secrets: Vec<(&str, Vec<&str>)> = Vec::new();
    let mut seen: Vec<&str> = Vec::new();
    for rule in rules {
        let Some(secret) = rule.tls else { continue };
        if seen.contains(&rule.host) {
            continue;
        }
        seen.push(rule.host);
        match secrets.iter_mut().find(|(name, _)| *name == secret) {
            Some((_, hosts)) => hosts.push(rule.host),
            None if rule.host.is_empty() && secret.is_empty() => {}
            None if rule.host.is_empty() => secrets.push((secret, Vec::new())),
            None => secrets.push((secret, vec![rule.host])),
        }
    }
    secrets
        .into_iter()
        .map(|(secret, hosts)| {
            let mut entry = Map::new();
            if !hosts.is_empty() {
                entry.insert("hosts".to_owned(), json!(hosts));
            }
            if !secret.is_empty() {
                entry.insert("secretName".to_owned(), json!(secret));
            }
            Value::Object(entry)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn rules_are_read() {
        let rule = parse("a.b/x/*=svc:80,tls=s").unwrap();
        assert_eq!(rule.host, "a.b");
        assert_eq!(rule.path, "/x/*");
        assert_eq!(
            (rule.service, rule.port, rule.tls),
            ("svc", "80", Some("s"))
        );
        assert_eq!(parse("/=svc:http,tls").unwrap().tls, Some(""));
        for wrong in [
            "",
            "a=b:1",
            "/x",
            "/x=b",
            "/x=:1",
            "/x=a:1,x",
            "a/b=c=d:1",
            "?/x=a:1",
        ] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn hosts_are_gathered() {
        let rules: Vec<Rule> = ["a/x=s:1,tls=t", "a/y=s:1,tls=u", "b/=s:1,tls=t"]
            .iter()
            .map(|text| parse(text).unwrap())
            .collect();
        assert_eq!(paths(&rules).len(), 2);
        assert_eq!(
            tls(&rules),
            [json!({"hosts": ["a", "b"], "secretName": "t"})]
        );
    }
}
