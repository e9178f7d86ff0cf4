//! `pods`, `pods,svc`, `pod web`, `pod/web svc/web`: which objects a command line means.

use super::discovery::{Discovery, Resource};

/// A typed resource, and the name of one object where one was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    pub resource: String,
    pub name: Option<String>,
}

/// A resource of the server, and one object's name or all.
#[derive(Debug, Clone)]
pub struct Resolved {
    pub resource: Resource,
    pub name: Option<String>,
}

/// Reads the arguments by kubectl's rules.
pub fn parse(arguments: &[String]) -> Result<Vec<Target>, anyhow::Error> {
    let Some(first) = arguments.first() else {
        anyhow::bail!("you must specify the type of resource, for example `pods`");
    };
    if arguments.iter().any(|argument| argument.contains('/')) {
        return arguments.iter().map(|argument| pair(argument)).collect();
    }
    let types: Vec<&str> = first.split(',').filter(|word| !word.is_empty()).collect();
    if types.is_empty() {
        anyhow::bail!("you must specify the type of resource, for example `pods`");
    }
    let names = &arguments[1..];
    if let Some(empty) = names.iter().position(String::is_empty) {
        anyhow::bail!("resource name {} may not be empty", empty + 1);
    }
    let mut targets = Vec::new();
    for word in types {
        if names.is_empty() {
            targets.push(Target {
                resource: word.to_owned(),
                name: None,
            });
        }
        targets.extend(names.iter().map(|name| Target {
            resource: word.to_owned(),
            name: Some(name.clone()),
        }));
    }
    Ok(targets)
}

fn pair(argument: &str) -> Result<Target, anyhow::Error> {
    let Some((resource, name)) = argument.split_once('/') else {
        anyhow::bail!(
            "there is no need to specify a resource type as a separate argument when passing arguments in resource/name form (e.g. `coracle get resource/<resource_name>` instead of `coracle get resource resource/<resource_name>`)"
        );
    };
    if resource.contains(',') {
        anyhow::bail!("a single resource type is needed in resource/name form, not \"{argument}\"");
    }
    if resource.is_empty() || name.is_empty() || name.contains('/') {
        anyhow::bail!(
            "arguments in resource/name form must have a single resource and name, not \"{argument}\""
        );
    }
    Ok(Target {
        resource: resource.to_owned(),
        name: Some(name.to_owned()),
    })
}

/// Finds each target's resource on the server; a category becomes several.
pub fn resolve(discovery: &Discovery, targets: &[Target]) -> Result<Vec<Resolved>, anyhow::Error> {
    let mut resolved = Vec::new();
    for target in targets {
        for resource in discovery.expand(&target.resource)? {
            resolved.push(Resolved {
                resource,
                name: target.name.clone(),
            });
        }
    }
    Ok(resolved)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn arguments_mean_what_they_mean_to_kubectl() {
        for (line, expected) in [
            ("pods", Some("pods")),
            ("pods,svc", Some("pods svc")),
            ("pods,", Some("pods")),
            ("pod a b", Some("pod/a pod/b")),
            ("pods,svc a", Some("pods/a svc/a")),
            ("pod/a svc/b", Some("pod/a svc/b")),
            ("pod pod/a", None),
            ("pod/a b", None),
            ("pods,svc/a", None),
            ("pod/", None),
            ("/a", None),
            ("pod/a/b", None),
            (",", None),
        ] {
            let arguments: Vec<String> = line.split(' ').map(str::to_owned).collect();
            let parsed = parse(&arguments).ok().map(|targets| {
                let texts: Vec<String> = targets
                    .into_iter()
                    .map(|target| match target.name {
                        Some(name) => format!("{}/{name}", target.resource),
                        None => target.resource,
                    })
                    .collect();
                texts.join(" ")
            });
            assert_eq!(parsed.as_deref(), expected, "{line}");
        }
        assert!(parse(&[]).is_err());
        assert!(parse(&["pod".to_owned(), String::new()]).is_err());
    }
}
