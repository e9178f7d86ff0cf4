//! Volumes: claims that are not bound, objects that files are made of, mounts that fail.

use super::cause::Cause;
use super::config::has_key;
use super::facts::{Facts, Kind, Lookup, Reference};
use super::judge::nothing_started;
use crate::object::access::{list, present, text};

/// Why the volumes of a pod on a node are not there.
pub fn causes(facts: &Facts) -> Vec<Cause> {
    if !nothing_started(facts) {
        return Vec::new();
    }
    let mut causes = claims(facts);
    let event = facts.event(
        &["FailedMount", "FailedAttachVolume", "FailedMapVolume"],
        "",
    );
    let said = event.map_or("", |event| text(event, "/message"));
    for reference in &facts.references {
        causes.extend(files(facts, reference, said));
    }
    if causes.is_empty() && event.is_some() {
        causes.push(mount(facts, said));
    }
    causes
}

/// Claims that are missing, waiting or lost.
pub fn claims(facts: &Facts) -> Vec<Cause> {
    facts
        .references
        .iter()
        .filter(|reference| reference.kind == Kind::Claim)
        .filter_map(|reference| claim(facts, reference))
        .collect()
}

fn claim(facts: &Facts, reference: &Reference) -> Option<Cause> {
    let name = &reference.name;
    let describe = facts.command(&format!("describe pvc {name}"));
    let claim = match &reference.found {
        Lookup::There(claim) => claim,
        Lookup::Missing => {
            return Some(
                Cause::new(format!("its claim {name:?} (PersistentVolumeClaim) does not exist"))
                    .mend("create the claim, or correct claimName in the manifest; the pod goes on by itself")
                    .command(facts.command("get pvc")),
            );
        }
        Lookup::Unknown => return None,
    };
    let said = reference
        .events
        .iter()
        .max_by_key(|event| super::facts::last_seen(event).to_owned())
        .map_or("", |event| text(event, "/message"));
    if present(claim, "/metadata/deletionTimestamp") {
        return Some(
            Cause::new(format!("its claim {name:?} is being deleted"))
                .mend("wait until it is gone, then create it anew")
                .command(describe),
        );
    }
    match text(claim, "/status/phase") {
        "Bound" => None,
        "Lost" => Some(
            Cause::new(format!("its claim {name:?} has lost its volume {}", text(claim, "/spec/volumeName")))
                .said(said)
                .mend("the data is gone with the volume: delete the claim and create it anew, or restore the volume under its name")
                .command(describe),
        ),
        _ => {
            // A class that waits for its first consumer is not at fault while the pod has no node for another reason.
            let class = text(claim, "/spec/storageClassName");
            if said.contains("first consumer") && text(&facts.pod, "/spec/nodeName").is_empty() {
                return None;
            }
            let cause = Cause::new(format!("its claim {name:?} is not bound to a volume yet")).said(said);
            let cause = if class.is_empty() {
                cause.because("it names no storage class, so only a PersistentVolume made by hand can serve it")
            } else if said.contains(&format!("storageclass.storage.k8s.io {class:?} not found")) {
                cause.because(format!("the storage class {class:?} does not exist"))
            } else {
                cause.because(format!("storage class {class:?} has made no volume for it"))
            };
            Some(
                cause
                    .mend("see the claim's events and which storage classes and volumes there are")
                    .command(describe)
                    .command("coracle get storageclass,pv"),
            )
        }
    }
}

/// A ConfigMap or Secret that a volume is made of.
fn files(facts: &Facts, reference: &Reference, said: &str) -> Option<Cause> {
    if reference.optional
        || !matches!(reference.kind, Kind::ConfigMap | Kind::Secret)
        || !in_volume(facts, reference)
    {
        return None;
    }
    let noun = reference.kind.noun();
    let name = &reference.name;
    let make = match reference.kind {
        Kind::ConfigMap => format!("create configmap {name} --from-file=<file>"),
        _ => format!("create secret generic {name} --from-file=<file>"),
    };
    match &reference.found {
        Lookup::Missing => Some(
            Cause::new(format!(
                "a volume cannot be mounted (FailedMount): {noun} {name:?} does not exist"
            ))
            .said(said)
            .mend("create it (the pod goes on by itself), or correct its name in the manifest")
            .command(facts.command(&make)),
        ),
        Lookup::There(object) => {
            let key = reference
                .keys
                .iter()
                .find(|key| said.contains("non-existent") && !has_key(object, key))?;
            Some(
                Cause::new(format!(
                    "a volume cannot be mounted (FailedMount): {noun} {name:?} has no key {key:?}"
                ))
                .said(said)
                .mend("add the key, or correct the volume's items")
                .command(facts.command(&format!("edit {noun} {name}"))),
            )
        }
        Lookup::Unknown => None,
    }
}

fn in_volume(facts: &Facts, reference: &Reference) -> bool {
    let named = |value: &serde_json::Value, map: &str, secret: &str| {
        let found = match reference.kind {
            Kind::ConfigMap => text(value, map),
            _ => text(value, secret),
        };
        found == reference.name
    };
    list(&facts.pod, "/spec/volumes").iter().any(|volume| {
        named(volume, "/configMap/name", "/secret/secretName")
            || list(volume, "/projected/sources")
                .iter()
                .any(|source| named(source, "/configMap/name", "/secret/name"))
    })
}

fn mount(facts: &Facts, said: &str) -> Cause {
    let cause = Cause::new("a volume cannot be mounted (FailedMount)").said(said);
    let lower = said.to_lowercase();
    let look = facts.command(&format!("get pod {} -o yaml", facts.name()));
    if lower.contains("hostpath type check failed") || lower.contains("hostpath") {
        return cause
            .because("the path on the node is not there, or is not what hostPath.type asks for")
            .mend("create it on the node, correct the path, or use type: DirectoryOrCreate")
            .command(look);
    }
    if lower.contains("image") {
        return cause
            .because("the image of an image volume cannot be had")
            .mend("check its name, or pull it by hand")
            .command("coracle image pull <image>");
    }
    if lower.contains("no space left") {
        return cause
            .because("the node's disk is full")
            .mend("remove images or files")
            .command("coracle image ls");
    }
    cause.mend("correct what the message names").command(look)
}
