//! Directories of pods that are no longer here: left by a removal that failed half-way.

use std::collections::{BTreeSet, HashSet};

/// Directories that have been nobody's in two looks in a row: one look may come between a pod's directory and its
/// worker. Keeps the newest look in `suspects`.
pub fn orphans(
    present: BTreeSet<String>,
    here: &HashSet<String>,
    suspects: &mut BTreeSet<String>,
) -> Vec<String> {
    let mut fresh = present;
    fresh.retain(|uid| !here.contains(uid));
    let found = fresh.intersection(suspects).cloned().collect();
    *suspects = fresh;
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_looks_make_an_orphan() {
        let present = || -> BTreeSet<String> { ["a".to_owned(), "b".to_owned()].into() };
        let here: HashSet<String> = ["a".to_owned()].into();
        let mut suspects = BTreeSet::new();
        assert!(orphans(present(), &here, &mut suspects).is_empty());
        assert_eq!(orphans(present(), &here, &mut suspects), ["b"]);
        assert!(orphans(present(), &["b".to_owned()].into(), &mut suspects).is_empty());
    }
}
