//! Which pods of a node a drain takes, leaves, or refuses to take without being told.
//! <https://kubernetes.io/docs/tasks/administer-cluster/safely-drain-node/>

use crate::object::access::{list, present, text, truth};
use crate::object::time;
use serde_json::Value;

/// What the flags allow.
#[derive(Debug, Clone, Copy, Default)]
pub struct Allowed {
    pub ignore_daemon_sets: bool,
    pub delete_empty_dir_data: bool,
    pub force: bool,
    /// Pods that were told to go longer ago are not waited for; 0: all are.
    pub skip_deleted_seconds: i64,
}

/// What becomes of one pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Take,
    /// Taken, and worth a warning.
    TakeWarning(&'static str),
    Leave,
    /// Left, and worth a warning.
    LeaveWarning(&'static str),
    Refuse(&'static str),
}

/// `owner_exists`: whether the DaemonSet that owns the pod is there.
pub fn verdict(pod: &Value, allowed: Allowed, owner_exists: bool, now: i64) -> Verdict {
    let finished = matches!(text(pod, "/status/phase"), "Succeeded" | "Failed");
    let owner = list(pod, "/metadata/ownerReferences")
        .iter()
        .find(|owner| truth(owner, "/controller"));
    if allowed.skip_deleted_seconds > 0
        && time::seconds(text(pod, "/metadata/deletionTimestamp"))
            .is_some_and(|deleted| now - deleted > allowed.skip_deleted_seconds)
    {
        return Verdict::Leave;
    }
    let of_daemon_set = owner.is_some_and(|owner| text(owner, "/kind") == "DaemonSet");
    if of_daemon_set && !finished {
        if !owner_exists {
            return if allowed.force {
                Verdict::TakeWarning("deleting Pods whose DaemonSet is gone")
            } else {
                Verdict::Refuse(
                    "cannot delete Pods whose DaemonSet is gone (use --force to override)",
                )
            };
        }
        return if allowed.ignore_daemon_sets {
            Verdict::LeaveWarning("ignoring DaemonSet-managed Pods")
        } else {
            Verdict::Refuse(
                "cannot delete DaemonSet-managed Pods (use --ignore-daemonsets to ignore)",
            )
        };
    }
    if present(pod, "/metadata/annotations/kubernetes.io~1config.mirror") {
        return Verdict::Leave;
    }
    if finished {
        return Verdict::Take;
    }
    let local = list(pod, "/spec/volumes")
        .iter()
        .any(|volume| present(volume, "/emptyDir"));
    if local && !allowed.delete_empty_dir_data {
        return Verdict::Refuse(
            "cannot delete Pods with local storage (use --delete-emptydir-data to override)",
        );
    }
    match owner {
        Some(_) => Verdict::Take,
        None if allowed.force => Verdict::TakeWarning("deleting Pods that declare no controller"),
        None => Verdict::Refuse(
            "cannot delete Pods that declare no controller (use --force to override)",
        ),
    }
}

/// `reason: ns/a, ns/b; other: ns/c`: pods by what is to be said of them.
pub fn sentences(found: &[(&'static str, String)], separator: &str) -> String {
    let mut reasons: Vec<&str> = found.iter().map(|(reason, _)| *reason).collect();
    reasons.sort_unstable();
    reasons.dedup();
    let sentences: Vec<String> = reasons
        .into_iter()
        .map(|reason| {
            let pods: Vec<&str> = found
                .iter()
                .filter(|(other, _)| *other == reason)
                .map(|(_, pod)| pod.as_str())
                .collect();
            format!("{reason}: {}", pods.join(", "))
        })
        .collect();
    sentences.join(separator)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn verdicts_are_kubectls() {
        let pod = |patch: Value| {
            let mut pod = json!({"metadata": {"ownerReferences": [{"kind": "ReplicaSet", "controller": true}]}, "status": {"phase": "Running"}});
            json_patch::merge(&mut pod, &patch);
            pod
        };
        let daemon =
            json!({"metadata": {"ownerReferences": [{"kind": "DaemonSet", "controller": true}]}});
        let bare = json!({"metadata": {"ownerReferences": null}});
        let scratch = json!({"spec": {"volumes": [{"name": "a", "emptyDir": {}}]}});
        let none = Allowed::default();
        let all = Allowed {
            ignore_daemon_sets: true,
            delete_empty_dir_data: true,
            force: true,
            skip_deleted_seconds: 0,
        };
        let kind = |verdict: Verdict| match verdict {
            Verdict::Take => "take",
            Verdict::TakeWarning(_) => "take!",
            Verdict::Leave => "leave",
            Verdict::LeaveWarning(_) => "leave!",
            Verdict::Refuse(_) => "refuse",
        };
        for (patch, exists, strict, lenient) in [
            (json!({}), true, "take", "take"),
            (daemon.clone(), true, "refuse", "leave!"),
            (daemon, false, "refuse", "take!"),
            (bare.clone(), true, "refuse", "take!"),
            (scratch, true, "refuse", "take"),
            (
                json!({"metadata": {"ownerReferences": null, "annotations": {"kubernetes.io/config.mirror": "x"}}}),
                true,
                "leave",
                "leave",
            ),
            (
                json!({"metadata": {"ownerReferences": null}, "status": {"phase": "Failed"}}),
                true,
                "take",
                "take",
            ),
        ] {
            let pod = pod(patch);
            assert_eq!(kind(verdict(&pod, none, exists, 0)), strict, "{pod}");
            assert_eq!(kind(verdict(&pod, all, exists, 0)), lenient, "{pod}");
        }
        let going = pod(json!({"metadata": {"deletionTimestamp": "1970-01-01T00:00:10Z"}}));
        let skip = Allowed {
            skip_deleted_seconds: 5,
            ..none
        };
        assert_eq!(verdict(&going, skip, true, 14), Verdict::Take);
        assert_eq!(verdict(&going, skip, true, 16), Verdict::Leave);
    }

    #[test]
    fn pods_are_gathered_by_reason() {
        let found = [
            ("b", "x/1".to_owned()),
            ("a", "x/2".to_owned()),
            ("b", "y/3".to_owned()),
        ];
        assert_eq!(sentences(&found, "; "), "a: x/2; b: x/1, y/3");
    }
}
