//! Who may use an image that is here: whoever could have pulled it.
//!
//! An image that came with a pod's own credentials is for pods that hold the same ones; another pod must ask the
//! registry first. One that came without any, or with the node's, is everybody's, and so is one that was imported:
//! upstream's policy `NeverVerifyPreloadedImages`.
//! <https://kubernetes.io/docs/concepts/containers/images/#ensureimagepullcredentialverification>

use super::reference::Name;
use super::{ImageError, Images, Keyring};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// Most credentials noted for one image; past it the first by order goes, and its holder asks the registry again.
const HOLDERS_MAX: usize = 64;

/// Who may use an image without asking its registry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Access {
    Everyone,
    /// Holders of credentials with these marks ([`Keyring::marks`]).
    Holders(BTreeSet<String>),
}

impl Access {
    /// After a pull by somebody with these marks.
    fn after_pull(before: Option<&Access>, marks: Vec<String>) -> Access {
        match before {
            Some(Access::Everyone) => Access::Everyone,
            _ if marks.is_empty() => Access::Everyone,
            before => {
                let mut holders = match before {
                    Some(Access::Holders(holders)) => holders.clone(),
                    _ => BTreeSet::new(),
                };
                for mark in marks {
                    if !holders.contains(&mark) && holders.len() >= HOLDERS_MAX {
                        holders.pop_first();
                    }
                    holders.insert(mark);
                }
                Access::Holders(holders)
            }
        }
    }

    fn admits(&self, marks: &[String]) -> bool {
        match self {
            Access::Everyone => true,
            Access::Holders(holders) => marks.iter().any(|mark| holders.contains(mark)),
        }
    }
}

impl Images {
    /// Notes that a pod with these credentials could pull the image just now.
    pub fn pulled_with(
        &self,
        reference: &str,
        id: &str,
        keyring: &Keyring,
    ) -> Result<(), ImageError> {
        let marks = keyring.marks(id, &Name::parse(reference)?);
        let mut state = self.state();
        let access = Access::after_pull(state.records.access(id), marks);
        state.records.set_access(id, access)
    }

    /// Some pods may not use it without asking its registry.
    pub fn is_held(&self, id: &str) -> bool {
        matches!(self.state().records.access(id), Some(Access::Holders(_)))
    }

    /// Whether a pod with these credentials may use the image as it is here.
    pub fn may_use(&self, reference: &str, id: &str, keyring: &Keyring) -> bool {
        let marks =
            Name::parse(reference).map_or_else(|_| Vec::new(), |name| keyring.marks(id, &name));
        let state = self.state();
        state
            .records
            .access(id)
            .is_none_or(|access| access.admits(&marks))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pulls_open_an_image_to_holders_or_to_all() {
        let marks = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>();
        let first = Access::after_pull(None, marks(&["a"]));
        assert!(first.admits(&marks(&["b", "a"])));
        assert!(!first.admits(&marks(&["b"])) && !first.admits(&[]));
        let second = Access::after_pull(Some(&first), marks(&["b"]));
        assert!(second.admits(&marks(&["a"])) && second.admits(&marks(&["b"])));
        // Who needs no credentials shows that nobody does.
        let open = Access::after_pull(Some(&second), Vec::new());
        assert_eq!(open, Access::Everyone);
        assert_eq!(
            Access::after_pull(Some(&open), marks(&["c"])),
            Access::Everyone
        );
        let full = (0..HOLDERS_MAX + 5).fold(None, |before: Option<Access>, n| {
            Some(Access::after_pull(
                before.as_ref(),
                marks(&[&format!("{n:03}")]),
            ))
        });
        let Some(Access::Holders(holders)) = full else {
            panic!("{full:?}")
        };
        assert_eq!(holders.len(), HOLDERS_MAX);
    }
}
