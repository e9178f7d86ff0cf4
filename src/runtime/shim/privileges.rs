//! The last step before the program: the system call filter, then exactly the capabilities it is to have.
//!
//! Loading a filter needs CAP_SYS_ADMIN (seccomp(2)) unless the program can never gain privileges. So libcontainer
//! drops nothing, and this does: all but CAP_SYS_ADMIN before the filter, that one behind it. After the filter one
//! system call is left beside exec, `capset`, which every profile that lets programs change their user allows.

use crate::runtime::seccomp::{self, Filter};
use caps::{CapSet, Capability, CapsHashSet};
use serde::{Deserialize, Serialize};
use std::fs;
use std::path::Path;
use std::str::FromStr;

/// Beside the container's configuration: every exec takes on the same.
const FILE: &str = "privileges";

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Privileges {
    /// Names with `CAP_`.
    pub capabilities: Vec<String>,
    pub filter: Option<Filter>,
}

impl Privileges {
    pub fn store(&self, bundle: &Path) -> Result<(), String> {
        let bytes = postcard::to_stdvec(self).map_err(|e| e.to_string())?;
        let file = bundle.join(FILE);
        fs::write(&file, bytes).map_err(|e| format!("writing {}: {e}", file.display()))
    }

    pub fn load(bundle: &Path) -> Result<Privileges, String> {
        let file = bundle.join(FILE);
        let failed = |e: &dyn std::fmt::Display| format!("reading {}: {e}", file.display());
        let bytes = fs::read(&file).map_err(|e| failed(&e))?;
        postcard::from_bytes(&bytes).map_err(|e| failed(&e))
    }

    /// For good: the calling process is about to become the program.
    pub fn take_on(&self) -> Result<(), String> {
        let wanted = self
            .capabilities
            .iter()
            .map(|name| Capability::from_str(name).map_err(|e| e.to_string()))
            .collect::<Result<CapsHashSet, _>>()?;
        let failed = |what: &str, e: &dyn std::fmt::Display| format!("{what}: {e}");
        let dropping = |e: caps::errors::CapsError| failed("dropping capabilities", &e);
        // Root itself may lack some, on a machine that keeps them back.
        let held = caps::read(None, CapSet::Permitted).map_err(dropping)?;
        let wanted: CapsHashSet = wanted.intersection(&held).copied().collect();
        let bounding = caps::read(None, CapSet::Bounding).map_err(dropping)?;
        for capability in bounding.difference(&wanted) {
            caps::drop(None, CapSet::Bounding, *capability).map_err(dropping)?;
        }
        caps::clear(None, CapSet::Ambient).map_err(dropping)?;
        let Some(filter) = &self.filter else {
            return limit(&wanted).map_err(dropping);
        };
        let mut loading = wanted.clone();
        if held.contains(&Capability::CAP_SYS_ADMIN) {
            loading.insert(Capability::CAP_SYS_ADMIN);
        }
        limit(&loading).map_err(dropping)?;
        seccomp::install(filter).map_err(|e| failed("loading the system call filter", &e))?;
        if loading != wanted {
            limit(&wanted).map_err(dropping)?;
        }
        Ok(())
    }
}

/// Effective first: it may not hold what is not permitted.
fn limit(to: &CapsHashSet) -> Result<(), caps::errors::CapsError> {
    caps::set(None, CapSet::Inheritable, &CapsHashSet::new())?;
    caps::set(None, CapSet::Effective, to)?;
    caps::set(None, CapSet::Permitted, to)
}
