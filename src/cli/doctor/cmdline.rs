//! The kernel command line of a Raspberry Pi: its firmware switches the memory controller off by default.
//! <https://www.raspberrypi.com/documentation/computers/configuration.html#kernel-command-line-cmdline-txt>

/// What switches the memory controller on (the second is for older kernels).
pub const WANTED: [&str; 2] = ["cgroup_enable=memory", "cgroup_memory=1"];
/// What would keep it off.
const UNWANTED: [&str; 2] = ["cgroup_disable=memory", "cgroup_memory=0"];
/// The kernel's `COMMAND_LINE_SIZE` on ARM64 is 2,048 bytes; ARM has 1,024.
const LINE_BYTES_MAX: usize = 1024;

/// Why the file is better left alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CmdlineError {
    #[error(
        "it has not exactly one line of text, so it is not what the firmware expects: edit it by hand"
    )]
    NotOneLine,
    #[error("it would be longer than {LINE_BYTES_MAX} bytes: shorten it by hand")]
    TooLong,
}

/// The file's text with the memory controller on; `None` if nothing has to change.
pub fn with_memory_controller(text: &str) -> Result<Option<String>, CmdlineError> {
    let mut lines = text.lines().filter(|line| !line.trim().is_empty());
    let (Some(line), None) = (lines.next(), lines.next()) else {
        return Err(CmdlineError::NotOneLine);
    };
    let mut words: Vec<&str> = line
        .split_whitespace()
        .filter(|word| !UNWANTED.contains(word))
        .collect();
    for wanted in WANTED {
        if !words.contains(&wanted) {
            words.push(wanted);
        }
    }
    if line.split_whitespace().eq(words.iter().copied()) {
        return Ok(None);
    }
    let edited = words.join(" ") + "\n";
    if edited.len() > LINE_BYTES_MAX {
        return Err(CmdlineError::TooLong);
    }
    Ok(Some(edited))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const FRESH: &str = "console=serial0,115200 root=PARTUUID=4c4e-02 rootfstype=ext4 rootwait";

    #[test]
    fn both_words_are_added_to_the_same_line_once() {
        let edited = with_memory_controller(FRESH)
            .ok()
            .flatten()
            .unwrap_or_default();
        assert_eq!(
            edited,
            format!("{FRESH} cgroup_enable=memory cgroup_memory=1\n")
        );
        assert_eq!(with_memory_controller(&edited), Ok(None));
        let off = with_memory_controller("a cgroup_disable=memory cgroup_memory=1");
        assert_eq!(
            off,
            Ok(Some("a cgroup_memory=1 cgroup_enable=memory\n".to_owned()))
        );
    }

    #[test]
    fn what_is_not_one_line_is_left_alone() {
        for text in ["", "\n\n", "one\ntwo\n"] {
            assert_eq!(with_memory_controller(text), Err(CmdlineError::NotOneLine));
        }
        let long = "x".repeat(LINE_BYTES_MAX);
        assert_eq!(with_memory_controller(&long), Err(CmdlineError::TooLong));
    }

    proptest! {
        #[test]
        fn a_second_edit_changes_nothing(text in "[a-z =\\n]{0,80}") {
            if let Ok(Some(edited)) = with_memory_controller(&text) {
                prop_assert_eq!(edited.lines().count(), 1);
                prop_assert_eq!(with_memory_controller(&edited), Ok(None));
            }
        }
    }
}
