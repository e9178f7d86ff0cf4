//! A container that cannot be made from its description.

use super::cause::Cause;
use super::facts::{Facts, Kind, Lookup};
use super::parts::Part;
use serde_json::Value;

/// `CreateContainerConfigError`.
pub fn cause(facts: &Facts, part: &Part, message: &str) -> Cause {
    let cause = Cause::new(format!(
        "{} cannot be configured (CreateContainerConfigError)",
        part.subject()
    ))
    .said(message);
    if message.contains("runAsNonRoot") || message.contains("non-root") {
        return cause
            .because("its security context demands a user other than root (runAsNonRoot), and its image would run as root or names its user by a word")
            .mend("set securityContext.runAsUser to the number of a user, for example 1000, in the manifest; or use an image whose USER is a number")
            .command(facts.command(&format!("get pod {} -o yaml", facts.name())));
    }
    if let Some((reference, key)) = lacking(facts, message) {
        let noun = reference.kind.noun();
        let name = &reference.name;
        let make = match reference.kind {
            Kind::ConfigMap => format!("create configmap {name} --from-literal=<key>=<value>"),
            _ => format!("create secret generic {name} --from-literal=<key>=<value>"),
        };
        return match key {
            None => cause
                .because(format!("{noun} {name:?} does not exist in namespace {}", facts.namespace()))
                .mend("create it (the pod goes on by itself), correct its name, or mark it with `optional: true` where the container can do without")
                .command(facts.command(&make)),
            Some(key) => cause
                .because(format!("{noun} {name:?} has no key {key:?}"))
                .mend(format!("add the key, or correct its name{}", keys_of(&reference.found)))
                .command(facts.command(&format!("edit {noun} {name}"))),
        };
    }
    cause
        .mend("correct what the message names in the pod's manifest")
        .command(facts.command(&format!("get pod {} -o yaml", facts.name())))
}

/// The reference that is the matter, and its key where the object is there. What the message names comes first.
fn lacking<'a>(
    facts: &'a Facts,
    message: &str,
) -> Option<(&'a super::facts::Reference, Option<&'a str>)> {
    let broken = facts
        .references
        .iter()
        .filter(|reference| {
            matches!(reference.kind, Kind::ConfigMap | Kind::Secret) && !reference.optional
        })
        .filter_map(|reference| match &reference.found {
            Lookup::Missing => Some((reference, None)),
            Lookup::There(object) => reference
                .keys
                .iter()
                .find(|key| !has_key(object, key))
                .map(|key| (reference, Some(key.as_str()))),
            Lookup::Unknown => None,
        });
    broken.max_by_key(|(reference, key)| {
        (
            message.contains(reference.name.as_str()),
            key.is_some_and(|key| message.contains(key)),
        )
    })
}

pub fn has_key(object: &Value, key: &str) -> bool {
    ["data", "binaryData"]
        .iter()
        .any(|field| object[field].get(key).is_some())
}

/// What keys there are instead.
fn keys_of(found: &Lookup) -> String {
    let Lookup::There(object) = found else {
        return String::new();
    };
    let keys: Vec<&str> = ["data", "binaryData"]
        .iter()
        .flat_map(|field| object[field].as_object().into_iter().flatten())
        .map(|(key, _)| key.as_str())
        // Enough to recognise a mistyped one.
        .take(10)
        .collect();
    if keys.is_empty() {
        "; it has none".to_owned()
    } else {
        format!("; it has {}", keys.join(", "))
    }
}

/// The runtime could not start it.
pub fn start_failure(facts: &Facts, part: &Part, reason: &str, message: &str) -> Cause {
    let cause =
        Cause::new(format!("{} cannot be started ({reason})", part.subject())).said(message);
    explain_start(facts, part, message, cause)
}

/// What the runtime's words about a start mean.
pub fn explain_start(facts: &Facts, part: &Part, message: &str, cause: Cause) -> Cause {
    let lower = message.to_lowercase();
    let has = |words: &[&str]| words.iter().any(|word| lower.contains(word));
    let look = facts.command(&format!("get pod {} -o yaml", facts.name()));
    if has(&["exec format error", "enoexec"]) {
        return cause
            .because(
                "its program is built for another processor, or is a script without a `#!` line",
            )
            .mend("use an image for this node's processor")
            .command(facts.command(&format!(
                "set image pod/{} {}=<image>",
                facts.name(),
                part.name
            )));
    }
    if has(&["no such file", "not found", "enoent"]) {
        return cause
            .because("its command, or a directory it names, is not in the image")
            .mend("correct `command`, `args` or `workingDir` in the manifest; a program needs its full path where PATH does not have it")
            .command(look);
    }
    if has(&["permission denied", "eacces", "not executable"]) {
        return cause
            .because("its command may not be executed by the container's user")
            .mend("make the file executable in the image (chmod +x), or choose another command or user")
            .command(look);
    }
    if has(&["sysctl"]) {
        return cause
            .because("a kernel setting of its security context cannot be made")
            .mend("remove or correct spec.securityContext.sysctls")
            .command(look);
    }
    if has(&["seccomp", "apparmor"]) {
        return cause
            .because("its security profile cannot be applied on this node")
            .mend("check the profile's name and file; `coracle doctor` on the node tells what its kernel has")
            .command("sudo coracle doctor");
    }
    if has(&["no space left", "enospc"]) {
        return cause
            .because("the node's disk is full")
            .mend("remove images or files")
            .command("coracle image ls");
    }
    cause.mend("correct what the message names").command(look)
}
