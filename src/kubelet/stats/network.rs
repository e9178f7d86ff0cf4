//! `/proc/<pid>/net/dev`: the counters of the interfaces in one network namespace, proc_pid_net(5).

use super::types::Interface;

/// More interfaces than this are not reported: a host with hundreds of pods has as many veths.
const INTERFACES_MAX: usize = 64;

/// All interfaces but the loopback one.
pub fn parse(text: &str) -> Vec<Interface> {
    text.lines()
        .filter_map(line)
        .filter(|interface| interface.name != "lo")
        .take(INTERFACES_MAX)
        .collect()
}

/// The host's own interfaces, without the pods' links.
pub fn parse_host(text: &str) -> Vec<Interface> {
    text.lines()
        .filter_map(line)
        .filter(|interface| interface.name != "lo" && !is_link(&interface.name))
        .take(INTERFACES_MAX)
        .collect()
}

/// The host's end of a pod's link, whoever made it: what it carries is counted in the pod.
fn is_link(name: &str) -> bool {
    name.starts_with("veth")
}

/// `eth0: bytes packets errs drop fifo frame compressed multicast bytes packets errs drop …`; head lines have no colon
/// followed by numbers.
fn line(text: &str) -> Option<Interface> {
    let (name, counters) = text.split_once(':')?;
    let mut numbers = [0_u64; 12];
    let mut words = counters.split_ascii_whitespace();
    for number in &mut numbers {
        *number = words.next()?.parse().ok()?;
    }
    Some(Interface {
        name: name.trim().to_owned(),
        rx_bytes: numbers[0],
        rx_packets: numbers[1],
        rx_errors: numbers[2],
        rx_dropped: numbers[3],
        tx_bytes: numbers[8],
        tx_packets: numbers[9],
        tx_errors: numbers[10],
        tx_dropped: numbers[11],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pods_interfaces() {
        let text = "Inter-|   Receive                                                |  Transmit\n \
            face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed\n    \
            lo:     840      10    0    0    0     0          0         0      840      10    0    0    0     0       0          0\n  \
            eth0:    1216      16    1    2    0     0          0         0     1006      13    3    4    0     0       0          0\n\
            vethab:1 1 0 0 0 0 0 0 1 1 0 0 0 0 0 0\nshort: 1 2\n";
        let expected = Interface {
            name: "eth0".to_owned(),
            rx_bytes: 1216,
            rx_packets: 16,
            rx_errors: 1,
            rx_dropped: 2,
            tx_bytes: 1006,
            tx_packets: 13,
            tx_errors: 3,
            tx_dropped: 4,
        };
        let names: Vec<String> = parse(text).into_iter().map(|i| i.name).collect();
        assert_eq!(names, ["eth0", "vethab"]);
        assert_eq!(parse_host(text), [expected]);
    }
}
