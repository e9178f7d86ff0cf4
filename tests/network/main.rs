//! The pod network against the real kernel. Each test runs on a thread with a network namespace of its own, so
//! nothing of the host is seen or changed, and nothing is left behind. Needs root, `ip`, `nft`, `nsenter`,
//! `unshare` and `busybox`; without root each test says so and passes.
#![allow(clippy::unwrap_used)]

use coracle::network::{Network, NetworkConfig};
use std::future::Future;
use std::io::{BufRead, BufReader};
use std::net::Ipv4Addr;
use std::process::{Child, Command, Stdio};

/// A process in a network namespace of its own: what a pod's shim is to the network.
struct Sandbox(Child);

impl Sandbox {
    fn start() -> Sandbox {
        let mut child = Command::new("unshare")
            .args(["-n", "sh", "-c", "echo ready; exec sleep 1000"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        assert_eq!(line, "ready\n");
        Sandbox(child)
    }

    fn pid(&self) -> i32 {
        i32::try_from(self.0.id()).unwrap()
    }

    /// What `command` prints inside, or its error.
    fn run(&self, command: &str) -> Result<String, String> {
        shell(&format!("nsenter -t {} -n {command}", self.0.id()))
    }

    fn reaches(&self, address: Ipv4Addr) -> bool {
        self.run(&format!("busybox ping -c 1 -W 3 {address}"))
            .is_ok()
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

fn shell(command: &str) -> Result<String, String> {
    let out = Command::new("sh").args(["-c", command]).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if out.status.success() {
        Ok(text(&out.stdout))
    } else {
        Err(text(&out.stdout) + &text(&out.stderr))
    }
}

/// Runs `test` on a thread in a fresh network namespace.
fn in_own_namespace<F: Future<Output = ()>>(test: impl FnOnce() -> F + Send + 'static) {
    if !nix::unistd::geteuid().is_root() {
        eprintln!("SKIPPED: needs root");
        return;
    }
    std::thread::spawn(move || {
        nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET).unwrap();
        shell("ip link set lo up").unwrap();
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap()
            .block_on(test());
    })
    .join()
    .unwrap();
}

fn config(dir: &tempfile::TempDir) -> NetworkConfig {
    NetworkConfig {
        bridge: "cor0".to_owned(),
        pod_cidr: "10.42.7.0/24".parse().unwrap(),
        table: "coracle".to_owned(),
        leases_dir: dir.path().join("leases"),
    }
}

/// A third namespace, one hop away, that knows no way back to the pods.
fn outside() -> Sandbox {
    let outside = Sandbox::start();
    let pid = outside.pid();
    shell(&format!(
        "ip link add up0 mtu 1400 type veth peer name out0 netns {pid} && \
         ip addr add 198.51.100.1/24 dev up0 && ip link set up0 up"
    ))
    .unwrap();
    outside.run("ip addr add 198.51.100.2/24 dev out0").unwrap();
    outside.run("ip link set out0 up").unwrap();
    shell("ip route add default via 198.51.100.2").unwrap();
    outside
}

/// Everything the network could leave on a host.
fn host_state() -> String {
    shell(
        "ip -o link | sed 's/state [A-Z]*//'; ip -4 addr; ip -4 route show table all; ip rule; \
         nft list ruleset; cat /proc/sys/net/ipv4/ip_forward",
    )
    .unwrap()
}

#[test]
fn pods_reach_each_other_the_node_and_themselves_as_root() {
    in_own_namespace(|| async {
        let dir = tempfile::tempdir().unwrap();
        let network = Network::open(config(&dir)).await.unwrap();
        let (one, two) = (Sandbox::start(), Sandbox::start());
        let a = network.attach("one", one.pid()).await.unwrap();
        let b = network.attach("two", two.pid()).await.unwrap();
        assert_eq!(a, Ipv4Addr::new(10, 42, 7, 2));
        assert_eq!(b, Ipv4Addr::new(10, 42, 7, 3));
        assert!(one.reaches(b) && two.reaches(a));
        assert!(one.reaches(Ipv4Addr::new(10, 42, 7, 1)));
        assert!(one.reaches(a) && one.reaches(Ipv4Addr::LOCALHOST));
        assert!(shell(&format!("busybox ping -c 1 -W 3 {a}")).is_ok());
        let ports = shell("ip -d -o link show master cor0").unwrap();
        assert_eq!(ports.matches("hairpin on").count(), 2, "{ports}");
    });
}

#[test]
fn pods_leave_under_the_nodes_address_as_root() {
    in_own_namespace(|| async {
        let dir = tempfile::tempdir().unwrap();
        let outside = outside();
        let network = Network::open(config(&dir)).await.unwrap();
        let pod = Sandbox::start();
        network.attach("one", pod.pid()).await.unwrap();
        assert!(pod.reaches(Ipv4Addr::new(198, 51, 100, 2)));
        assert!(pod.run("ip link show eth0").unwrap().contains("mtu 1400"));
        assert!(outside.run("ip -4 route").unwrap().lines().count() == 1);
        shell("nft delete table ip coracle").unwrap();
        let other = Ipv4Addr::new(198, 51, 100, 2);
        assert!(pod.run(&format!("busybox ping -c 1 -W 1 {other}")).is_err());
    });
}

#[test]
fn a_restart_keeps_addresses_and_calls_can_be_repeated_as_root() {
    in_own_namespace(|| async {
        let dir = tempfile::tempdir().unwrap();
        let (one, two) = (Sandbox::start(), Sandbox::start());
        let network = Network::open(config(&dir)).await.unwrap();
        network.attach("zero", one.pid()).await.unwrap();
        network.detach("zero").await.unwrap();
        let a = network.attach("one", one.pid()).await.unwrap();
        let b = network.attach("two", two.pid()).await.unwrap();
        drop(network);
        let network = Network::open(config(&dir)).await.unwrap();
        assert!(one.reaches(b), "links live on without the node process");
        assert_eq!(network.attach("two", two.pid()).await.unwrap(), b);
        assert_eq!(network.attach("one", one.pid()).await.unwrap(), a);
        assert!(one.reaches(b) && two.reaches(a));
        network.retain(&["two".to_owned()]).await.unwrap();
        assert!(!dir.path().join("leases").join(a.to_string()).exists());
        assert!(one.run("ip link show eth0").is_err());
        network.detach("one").await.unwrap();
        network.detach("never there").await.unwrap();
        let again = Sandbox::start();
        assert_eq!(network.attach("three", again.pid()).await.unwrap(), a);
        assert!(two.reaches(a), "a new pod under a used address answers");
    });
}

#[test]
fn a_sandbox_made_anew_gets_the_same_address_as_root() {
    in_own_namespace(|| async {
        let dir = tempfile::tempdir().unwrap();
        let network = Network::open(config(&dir)).await.unwrap();
        let old = Sandbox::start();
        let a = network.attach("one", old.pid()).await.unwrap();
        let new = Sandbox::start();
        assert_eq!(network.attach("one", new.pid()).await.unwrap(), a);
        assert!(new.reaches(Ipv4Addr::new(10, 42, 7, 1)));
        assert!(old.run("ip link show eth0").is_err());
    });
}

#[test]
fn remove_all_leaves_the_host_as_it_was_as_root() {
    in_own_namespace(|| async {
        let dir = tempfile::tempdir().unwrap();
        let _outside = outside();
        shell("echo 0 > /proc/sys/net/ipv4/ip_forward").unwrap();
        let before = host_state();
        let network = Network::open(config(&dir)).await.unwrap();
        let pod = Sandbox::start();
        network.attach("one", pod.pid()).await.unwrap();
        assert_ne!(host_state(), before);
        drop(network);
        Network::remove_all(&config(&dir)).await.unwrap();
        assert_eq!(host_state(), before);
        assert!(!dir.path().join("leases").exists());
        Network::remove_all(&config(&dir)).await.unwrap();
        assert_eq!(host_state(), before);
    });
}

#[test]
fn a_process_that_ended_and_a_bad_bridge_name_are_errors_as_root() {
    in_own_namespace(|| async {
        let dir = tempfile::tempdir().unwrap();
        let network = Network::open(config(&dir)).await.unwrap();
        let error = network.attach("one", i32::MAX).await.unwrap_err();
        assert!(error.to_string().contains("sandbox"), "{error}");
        for name in ["", "../x", "a-name-too-long-0"] {
            let bad = NetworkConfig {
                bridge: name.to_owned(),
                ..config(&dir)
            };
            assert!(Network::open(bad).await.is_err(), "{name:?}");
        }
    });
}
