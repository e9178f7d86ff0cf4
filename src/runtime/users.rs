//! Who a container runs as: the image's `user[:group]`, looked up in the container's own files.

use super::types::Security;
use std::fs;
use std::io::Read;
use std::path::Path;

/// Largest `/etc/passwd` or `/etc/group` that is read.
const FILE_BYTES_MAX: u64 = 1 << 20;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    pub uid: u32,
    pub gid: u32,
    pub additional_gids: Vec<u32>,
    pub home: String,
}

/// Reads `name` below `root`, refusing one that a symlink leads out of it. Absent: empty.
pub fn read_below(root: &Path, name: &str) -> String {
    let read = || -> std::io::Result<String> {
        let root = fs::canonicalize(root)?;
        let path = fs::canonicalize(root.join(name))?;
        if !path.starts_with(&root) || !fs::metadata(&path)?.is_file() {
            return Ok(String::new());
        }
        let mut bytes = Vec::new();
        fs::File::open(path)?
            .take(FILE_BYTES_MAX)
            .read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    read().unwrap_or_default()
}

/// The user of a container. `passwd` and `group` are the files' contents.
pub fn resolve(security: &Security, passwd: &str, group: &str) -> Result<User, String> {
    let (name, group_name) = match security.user.split_once(':') {
        Some((name, group_name)) => (name, Some(group_name)),
        None => (security.user.as_str(), None),
    };
    let by_name = |wanted: &str| rows(passwd).find(|row| row.first() == Some(&wanted));
    let by_uid = |uid: u32| rows(passwd).find(|row| number(row, 2) == Some(uid));
    let (uid, entry) = match security.uid {
        Some(uid) => (uid, by_uid(uid)),
        None if name.is_empty() => (0, by_uid(0)),
        None => match (by_name(name), name.parse()) {
            (Some(row), _) => (
                number(&row, 2).ok_or(format!("user {name}: bad uid in /etc/passwd"))?,
                Some(row),
            ),
            (None, Ok(uid)) => (uid, by_uid(uid)),
            (None, Err(_)) => {
                return Err(format!(
                    "unable to find user {name}: no matching entries in passwd file"
                ));
            }
        },
    };
    // Wording of kubelet's verifyRunAsNonRoot (pkg/kubelet/kuberuntime/security_context.go).
    if security.run_as_non_root {
        if security.uid.is_none() && !name.is_empty() && name.parse::<u32>().is_err() {
            return Err(format!(
                "container has runAsNonRoot and image has non-numeric user ({name}), cannot verify user is non-root"
            ));
        }
        if uid == 0 {
            return Err(match security.uid {
                Some(_) => "container's runAsUser breaks non-root policy".to_owned(),
                None => "container has runAsNonRoot and image will run as root".to_owned(),
            });
        }
    }
    let gid = match (security.gid, group_name) {
        (Some(gid), _) => gid,
        (None, Some(wanted)) if security.uid.is_none() => rows(group)
            .find(|row| row.first() == Some(&wanted))
            .and_then(|row| number(&row, 2))
            .or_else(|| wanted.parse().ok())
            .ok_or(format!(
                "unable to find group {wanted}: no matching entries in group file"
            ))?,
        _ => entry.as_ref().and_then(|row| number(row, 3)).unwrap_or(0),
    };
    // The primary group too: who may only use a file for not being in its group must not slip out (CVE-2022-36109).
    let mut additional_gids = vec![gid];
    additional_gids.extend(&security.additional_gids);
    if !security.strict_groups
        && let Some(user) = entry.as_ref().and_then(|row| row.first())
    {
        for row in rows(group) {
            let member = row
                .get(3)
                .is_some_and(|members| members.split(',').any(|m| m == *user));
            if let (true, Some(extra)) = (member, number(&row, 2)) {
                additional_gids.push(extra);
            }
        }
    }
    additional_gids.sort_unstable();
    additional_gids.dedup();
    let home = entry
        .and_then(|row| row.get(5).map(|h| (*h).to_owned()))
        .filter(|home| !home.is_empty())
        .unwrap_or_else(|| "/".to_owned());
    Ok(User {
        uid,
        gid,
        additional_gids,
        home,
    })
}

fn rows(file: &str) -> impl Iterator<Item = Vec<&str>> {
    file.lines().map(|line| line.split(':').collect())
}

fn number(row: &[&str], at: usize) -> Option<u32> {
    row.get(at)?.parse().ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const PASSWD: &str = "root:x:0:0::/root:/bin/sh\nweb:x:33:34::/srv:/bin/sh\n";
    const GROUP: &str = "root:x:0:\nweb:x:34:\nlog:x:50:web,other\n";

    fn resolved(
        user: &str,
        uid: Option<u32>,
        non_root: bool,
    ) -> Result<(u32, u32, Vec<u32>), String> {
        let security = Security {
            user: user.into(),
            uid,
            run_as_non_root: non_root,
            ..Security::default()
        };
        resolve(&security, PASSWD, GROUP).map(|u| (u.uid, u.gid, u.additional_gids))
    }

    #[test]
    fn users_are_found_by_name_and_number() {
        assert_eq!(resolved("", None, false), Ok((0, 0, vec![0])));
        assert_eq!(resolved("web", None, false), Ok((33, 34, vec![34, 50])));
        assert_eq!(resolved("33", None, true), Ok((33, 34, vec![34, 50])));
        assert_eq!(resolved("web:log", None, false), Ok((33, 50, vec![50])));
        assert_eq!(resolved("7:8", None, true), Ok((7, 8, vec![8])));
        assert_eq!(resolved("web", Some(7), true), Ok((7, 0, vec![0])));
        assert!(
            resolved("nobody", None, false)
                .unwrap_err()
                .contains("unable to find user")
        );
    }

    #[test]
    fn strict_groups_leave_the_image_out() {
        let security = Security {
            user: "web".into(),
            additional_gids: vec![9],
            strict_groups: true,
            ..Security::default()
        };
        let user = resolve(&security, PASSWD, GROUP).unwrap();
        assert_eq!(user.additional_gids, [9, 34]);
    }

    #[test]
    fn root_is_refused_where_asked() {
        assert!(
            resolved("", None, true)
                .unwrap_err()
                .contains("will run as root")
        );
        assert!(
            resolved("web", None, true)
                .unwrap_err()
                .contains("non-numeric user (web)")
        );
        assert!(
            resolved("web", Some(0), true)
                .unwrap_err()
                .contains("breaks non-root policy")
        );
    }
}
