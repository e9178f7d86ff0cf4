//! A namespace that does not go away, a claim that stays Pending or does not go.
//! <https://kubernetes.io/docs/concepts/overview/working-with-objects/namespaces/>

use super::case::Case;
use super::cause::Cause;
use crate::object::access::{list, present, text};
use serde_json::Value;

/// Objects that are named one by one; the rest is counted.
const NAMED_MAX: usize = 10;

pub fn namespace(case: &Case) -> Vec<Cause> {
    if !present(&case.object, "/metadata/deletionTimestamp") {
        return Vec::new();
    }
    let mut causes = Vec::new();
    let held: Vec<&(String, Vec<String>)> = case
        .left
        .iter()
        .filter(|(_, finalizers)| !finalizers.is_empty())
        .collect();
    if !held.is_empty() {
        let mut cause = Cause::new(format!(
            "{} of its objects are held back by their finalizers",
            held.len()
        ));
        for (object, finalizers) in held.iter().take(NAMED_MAX) {
            cause = cause.because(format!("{object} waits for {}", finalizers.join(", ")));
        }
        let example = held[0].0.replacen(" \"", "/", 1).replace('"', "");
        causes.push(
            cause
                .said(text(case.condition("NamespaceFinalizersRemaining"), "/message"))
                .mend("each finalizer is removed by the controller that set it: see whether that runs; only if it never will again, remove them by hand")
                .command(format!(
                    "coracle -n {} patch {example} --type=merge -p '{{\"metadata\":{{\"finalizers\":null}}}}'",
                    case.name()
                )),
        );
    }
    for (kind, what, advice) in [
        (
            "NamespaceDeletionContentFailure",
            "some of its objects cannot be deleted",
            "mend what the message names; it is tried again by itself",
        ),
        (
            "NamespaceDeletionDiscoveryFailure",
            "the server does not know all of its own kinds: an extension server does not answer",
            "bring that server back, or delete its APIService",
        ),
        (
            "NamespaceDeletionGroupVersionParsingFailure",
            "a group version cannot be read",
            "mend what the message names",
        ),
    ] {
        if case.is(kind, "True") {
            causes.push(
                Cause::new(what)
                    .said(text(case.condition(kind), "/message"))
                    .mend(advice),
            );
        }
    }
    let others: Vec<&str> = case
        .left
        .iter()
        .filter(|(_, finalizers)| finalizers.is_empty())
        .map(|(object, _)| object.as_str())
        .collect();
    if causes.is_empty() && !others.is_empty() {
        let more = others.len().saturating_sub(NAMED_MAX);
        let shown = others[..others.len() - more].join(", ");
        let more = if more > 0 {
            format!(" and {more} more")
        } else {
            String::new()
        };
        causes.push(
            Cause::new(format!("{} objects in it are not gone yet", others.len()))
                .because(format!("still there: {shown}{more}"))
                .said(text(
                    case.condition("NamespaceContentRemaining"),
                    "/message",
                ))
                .mend("wait: pods get their grace period; then ask again, or why one of them stays")
                .command(format!("coracle -n {} get all", case.name())),
        );
    }
    let own: Vec<&str> = list(&case.object, "/spec/finalizers")
        .iter()
        .chain(list(&case.object, "/metadata/finalizers"))
        .filter_map(Value::as_str)
        .collect();
    if causes.is_empty() {
        causes.push(
            Cause::new(format!(
                "it is empty, and waits for its finalizers: {}",
                own.join(", ")
            ))
            .mend("wait a moment; if it stays so, see whether the server's controllers run"),
        );
    }
    causes
}

pub fn claim(case: &Case) -> Vec<Cause> {
    let name = case.name();
    if present(&case.object, "/metadata/deletionTimestamp") {
        let cause = Cause::new("it is being deleted, and something holds it back");
        return vec![if case.users.is_empty() {
            let finalizers: Vec<&str> = list(&case.object, "/metadata/finalizers")
                .iter()
                .filter_map(Value::as_str)
                .collect();
            cause
                .because(format!("its finalizers are {}", finalizers.join(", ")))
                .mend("wait a moment; then see whether the controllers that set them run")
        } else {
            cause
                .because(format!("pods use it: {}", case.users.join(", ")))
                .mend("it goes when these pods have ended: delete them, or what made them")
                .command(case.command(&format!("delete pod {}", case.users.join(" "))))
        }];
    }
    match text(&case.object, "/status/phase") {
        "Bound" => Vec::new(),
        "Lost" => vec![
            Cause::new(format!(
                "its volume {} is gone",
                text(&case.object, "/spec/volumeName")
            ))
            .mend("the data is gone with the volume: delete the claim and create it anew")
            .command(case.command(&format!("delete pvc {name}"))),
        ],
        _ => vec![unbound(case)],
    }
}

fn unbound(case: &Case) -> Cause {
    let said = case
        .events
        .iter()
        .max_by_key(|event| super::facts::last_seen(event).to_owned())
        .map_or("", |event| text(event, "/message"));
    let cause = Cause::new("it is not bound to a volume yet").said(said);
    let class = text(&case.object, "/spec/storageClassName");
    let volume = text(&case.object, "/spec/volumeName");
    if !volume.is_empty() {
        return cause
            .because(format!("it asks for the volume {volume:?} by name"))
            .mend("see whether that volume exists, is free, and is large enough")
            .command(format!("coracle describe pv {volume}"));
    }
    if class.is_empty() {
        return cause
            .because("it names no storage class, and no class is the default: only a PersistentVolume made by hand can serve it")
            .mend("create a PersistentVolume for it, or name a storage class")
            .command("coracle get storageclass,pv");
    }
    match &case.class {
        Some(Value::Null) => cause
            .because(format!("the storage class {class:?} does not exist"))
            .mend("create the class, or delete the claim and name one that exists")
            .command("coracle get storageclass"),
        Some(object)
            if text(object, "/volumeBindingMode") == "WaitForFirstConsumer"
                && case.users.is_empty() =>
        {
            cause
                .because(format!("storage class {class:?} waits for the first pod that uses it (WaitForFirstConsumer), and none does"))
                .mend("nothing has to be mended: start a pod that uses it")
        }
        Some(object) => cause
            .because(format!(
                "the provisioner {} of storage class {class:?} has made no volume for it",
                text(object, "/provisioner")
            ))
            .mend("see its events, and whether the provisioner runs")
            .command(case.command(&format!("describe pvc {}", case.name()))),
        None => cause
            .because(format!("storage class {class:?} has made no volume for it"))
            .mend("see its events")
            .command(case.command(&format!("describe pvc {}", case.name()))),
    }
}
