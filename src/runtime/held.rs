//! What a privileged container gets: all capabilities its maker has (containerd's `WithAllCurrentCapabilities`). Root
//! itself may lack some, inside a container or a virtual machine, and nobody can give what they do not have.

const STATUS: &str = "/proc/self/status";

/// Whether this process has the capability of this number, capabilities(7).
pub fn is_held(number: usize) -> bool {
    is_permitted(&std::fs::read_to_string(STATUS).unwrap_or_default(), number)
}

fn is_permitted(status: &str, number: usize) -> bool {
    let permitted = status
        .lines()
        .find_map(|line| line.strip_prefix("CapPrm:"))
        .and_then(|text| u64::from_str_radix(text.trim(), 16).ok());
    // Not told: let the kernel say.
    permitted.is_none_or(|set| set.checked_shr(number as u32).unwrap_or(0) & 1 == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_are_read() {
        let status = "Name:\tx\nCapInh:\t0000000000000000\nCapPrm:\t000001fffeffffff\n";
        assert!(is_permitted(status, 0) && is_permitted(status, 40));
        assert!(!is_permitted(status, 24) && !is_permitted(status, 64));
        assert!(is_permitted("", 24));
    }
}
