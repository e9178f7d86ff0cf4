//! capabilities(7) of a container: containerd's default set, with what the pod adds and drops.

use crate::runtime::held::is_held;
use crate::runtime::types::Security;

const CAPABILITIES_DEFAULT: [&str; 14] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "FSETID",
    "FOWNER",
    "MKNOD",
    "NET_RAW",
    "SETGID",
    "SETUID",
    "SETFCAP",
    "SETPCAP",
    "NET_BIND_SERVICE",
    "SYS_CHROOT",
    "KILL",
    "AUDIT_WRITE",
];

/// capabilities(7), in the kernel's order.
const CAPABILITIES_ALL: [&str; 41] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
];

/// Capabilities with the pod's wishes applied; an unknown name is an error. `last` is the highest this kernel knows.
/// Where nothing but file modes keeps a container from devices, the right to make device nodes must be asked for.
pub fn capabilities(
    security: &Security,
    last: usize,
    devices_guarded: bool,
) -> Result<Vec<String>, String> {
    let known: Vec<&str> = CAPABILITIES_ALL.into_iter().take(last + 1).collect();
    let plain = |name: &String| {
        let upper = name.to_ascii_uppercase();
        let upper = upper.strip_prefix("CAP_").unwrap_or(&upper).to_owned();
        if upper == "ALL" || CAPABILITIES_ALL.contains(&upper.as_str()) {
            Ok(upper)
        } else {
            Err(format!("unknown capability {name:?}"))
        }
    };
    let add = security
        .capabilities_add
        .iter()
        .map(plain)
        .collect::<Result<Vec<_>, _>>()?;
    let drop = security
        .capabilities_drop
        .iter()
        .map(plain)
        .collect::<Result<Vec<_>, _>>()?;
    let default =
        |name: &str| CAPABILITIES_DEFAULT.contains(&name) && (devices_guarded || name != "MKNOD");
    let has = |list: &[String], name: &str| list.iter().any(|n| n == name);
    Ok(known
        .into_iter()
        .filter(|name| {
            if security.privileged {
                let number = CAPABILITIES_ALL.iter().position(|n| n == name);
                return number.is_none_or(is_held);
            }
            // As containerd: ALL first, then single names; a single add wins over drop ALL.
            let base = (default(name) || has(&add, "ALL")) && !has(&drop, "ALL");
            (base || has(&add, name)) && !has(&drop, name)
        })
        .map(|name| format!("CAP_{name}"))
        .collect())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn caps(add: &[&str], drop: &[&str]) -> Vec<String> {
        let owned = |list: &[&str]| list.iter().map(|s| (*s).to_owned()).collect();
        let security = Security {
            capabilities_add: owned(add),
            capabilities_drop: owned(drop),
            ..Security::default()
        };
        capabilities(&security, 40, true).unwrap()
    }

    #[test]
    fn capabilities_follow_add_and_drop() {
        assert_eq!(caps(&[], &[]).len(), 14);
        assert_eq!(caps(&[], &["ALL"]), Vec::<String>::new());
        assert_eq!(caps(&["NET_ADMIN"], &["all"]), ["CAP_NET_ADMIN"]);
        assert_eq!(caps(&["ALL"], &["CAP_KILL"]).len(), 40);
        let unguarded = capabilities(&Security::default(), 40, false).unwrap();
        assert_eq!(unguarded.len(), 13);
        assert!(!unguarded.contains(&"CAP_MKNOD".to_owned()));
        let wrong = Security {
            capabilities_add: vec!["FLY".into()],
            ..Security::default()
        };
        assert!(capabilities(&wrong, 40, true).unwrap_err().contains("FLY"));
    }
}
