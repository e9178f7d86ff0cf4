//! Which pod has which address: one file per address, holding the pod's uid.
//!
//! The files stand on tmpfs, so they survive the node process and die, like the links, with the kernel.

use super::{NetworkError, PodCidr};
use std::collections::BTreeMap;
use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

/// The lowest address of `cidr` nobody holds.
pub fn next_free(cidr: PodCidr, taken: &BTreeMap<Ipv4Addr, String>) -> Option<Ipv4Addr> {
    cidr.pod_addresses().find(|a| !taken.contains_key(a))
}

/// The leases of one node, in memory and on tmpfs.
#[derive(Debug)]
pub struct Leases {
    dir: PathBuf,
    cidr: PodCidr,
    held: BTreeMap<Ipv4Addr, String>,
}

impl Leases {
    /// Reads what an earlier process left. Files that are no lease of this range are left alone and not counted.
    pub fn open(dir: &Path, cidr: PodCidr) -> Result<Leases, NetworkError> {
        let fail = |cause| NetworkError::Leases {
            path: dir.to_owned(),
            cause,
        };
        fs::create_dir_all(dir).map_err(fail)?;
        let mut held = BTreeMap::new();
        for entry in fs::read_dir(dir).map_err(fail)? {
            let entry = entry.map_err(fail)?;
            let Some(address) = entry
                .file_name()
                .to_str()
                .and_then(|name| name.parse::<Ipv4Addr>().ok())
                .filter(|address| cidr.contains(*address))
            else {
                continue;
            };
            let uid = fs::read_to_string(entry.path()).map_err(fail)?;
            if !uid.is_empty() {
                held.insert(address, uid);
            }
        }
        Ok(Leases {
            dir: dir.to_owned(),
            cidr,
            held,
        })
    }

    /// The pod's address: the one it has, else the next free one.
    pub fn take(&mut self, uid: &str) -> Result<Ipv4Addr, NetworkError> {
        if let Some(address) = self.of(uid) {
            return Ok(address);
        }
        let address = next_free(self.cidr, &self.held).ok_or(NetworkError::Exhausted {
            cidr: self.cidr,
            leases: self.held.len(),
        })?;
        // Renamed into place: a reader never sees a lease without its holder.
        let path = self.dir.join(address.to_string());
        let new = self.dir.join(format!(".{address}.new"));
        fs::write(&new, uid)
            .and_then(|()| fs::rename(&new, &path))
            .map_err(|cause| NetworkError::Leases { path, cause })?;
        self.held.insert(address, uid.to_owned());
        Ok(address)
    }

    /// The address `uid` holds.
    pub fn of(&self, uid: &str) -> Option<Ipv4Addr> {
        self.held
            .iter()
            .find_map(|(address, holder)| (holder == uid).then_some(*address))
    }

    /// Gives the pod's address back; nothing happens if it has none.
    pub fn free(&mut self, uid: &str) -> Result<(), NetworkError> {
        let Some(address) = self.of(uid) else {
            return Ok(());
        };
        let path = self.dir.join(address.to_string());
        match fs::remove_file(&path) {
            Err(cause) if cause.kind() != std::io::ErrorKind::NotFound => {
                return Err(NetworkError::Leases { path, cause });
            }
            _ => {}
        }
        self.held.remove(&address);
        Ok(())
    }

    /// Every pod that holds an address.
    pub fn holders(&self) -> Vec<String> {
        self.held.values().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    fn cidr() -> PodCidr {
        "10.9.0.0/28".parse().unwrap()
    }

    #[test]
    fn leases_outlive_the_process_and_are_given_once() {
        let dir = tempfile::tempdir().unwrap();
        let mut leases = Leases::open(dir.path(), cidr()).unwrap();
        let a = leases.take("a").unwrap();
        let b = leases.take("b").unwrap();
        assert_eq!(
            (a, b),
            (Ipv4Addr::new(10, 9, 0, 2), Ipv4Addr::new(10, 9, 0, 3))
        );
        let mut again = Leases::open(dir.path(), cidr()).unwrap();
        assert_eq!(again.take("b").unwrap(), b);
        again.free("a").unwrap();
        again.free("never there").unwrap();
        assert_eq!(again.take("c").unwrap(), a);
    }

    #[test]
    fn a_full_range_says_so() {
        let dir = tempfile::tempdir().unwrap();
        let mut leases = Leases::open(dir.path(), "10.9.0.0/30".parse().unwrap()).unwrap();
        leases.take("a").unwrap();
        let error = leases.take("b").unwrap_err().to_string();
        assert!(error.contains("10.9.0.0/30"), "{error}");
    }

    proptest! {
        #[test]
        fn never_two_pods_on_one_address(steps in proptest::collection::vec((0..20u8, any::<bool>()), 0..60)) {
            let dir = tempfile::tempdir().unwrap();
            let mut leases = Leases::open(dir.path(), cidr()).unwrap();
            for (pod, take) in steps {
                let uid = pod.to_string();
                if take {
                    if let Ok(address) = leases.take(&uid) {
                        prop_assert!(cidr().contains(address));
                        prop_assert!(![cidr().network, cidr().gateway(), cidr().broadcast()].contains(&address));
                    }
                } else {
                    leases.free(&uid).unwrap();
                }
                let mut holders = leases.holders();
                let all = holders.len();
                holders.sort();
                holders.dedup();
                prop_assert_eq!(holders.len(), all);
                prop_assert_eq!(Leases::open(dir.path(), cidr()).unwrap().held, leases.held.clone());
            }
        }
    }
}
