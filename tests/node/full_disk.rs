//! A disk without room: what is written is lost or refused in clear words, nothing breaks, and with room it goes on.

use crate::busybox;
use crate::common::{TestNode, eventually, in_own_mounts, tail};
use crate::lifecycle::script_pod;

pub const TESTS: &[(&str, fn())] = &[
    ("while_containers_log", || {
        in_own_mounts(while_containers_log);
    }),
    ("while_an_image_is_unpacked", || {
        in_own_mounts(while_an_image_is_unpacked);
    }),
];

/// More than the store keeps free for itself, images and logs of a trial included.
const ROOM_MIB: u32 = 64;

/// On a disk with [`ROOM_MIB`] for everything but the built-in image, which is this very program.
fn on_a_small_disk() -> (TestNode, u32) {
    let program = std::fs::metadata(env!("CARGO_BIN_EXE_coracle")).expect("the program");
    let disk_mib = ROOM_MIB + (program.len() >> 20) as u32;
    let mut node = TestNode::prepare();
    node.use_disk(disk_mib);
    node.up();
    crate::import_busybox(&node);
    (node, disk_mib)
}

fn free_bytes(node: &TestNode) -> u64 {
    let stat = nix::sys::statvfs::statvfs(&node.data_dir()).expect("statvfs");
    stat.blocks_available() * stat.fragment_size()
}

fn assert_unharmed(node: &TestNode) {
    let log = node.log();
    assert!(!log.contains("panicked"), "{}", tail(&log, 60));
}

fn while_containers_log() {
    let (mut node, _) = on_a_small_disk();
    // Counts for as long as it lives, in lines that fill a page of the disk soon, and tells how far it is elsewhere.
    let count = "p=$(head -c 2000 /dev/zero | tr '\\0' .); i=0; while true; do i=$((i+1)); echo $p $i; echo $i > /dev/shm/i; sleep 0.02; done";
    node.apply(&script_pod("talker", "Always", count));
    node.apply(&script_pod("eater", "Always", "sleep 3600"));
    for pod in ["pod/talker", "pod/eater"] {
        node.wait_for("default", pod, "{.status.phase}", "Running");
    }
    // The store has changes in memory, on their way to the disk, when the last room goes.
    let eat = "dd if=/dev/zero of=/food bs=64k; dd if=/dev/zero of=/crumbs bs=1; true";
    let mut eater = node
        .kubectl_command()
        .args(["exec", "eater", "--", "sh", "-c", eat])
        .spawn()
        .expect("kubectl");
    let mut kept = 0;
    let refused = eventually(|| {
        let ran = node.kubectl(&["create", "configmap", &format!("kept-{kept}")]);
        kept += u32::from(ran.ok);
        // Who writes is told.
        ran.stderr.contains("no space left on device")
    });
    assert!(refused, "{kept} were taken, none was refused");
    assert!(eater.wait().expect("kubectl").success());
    assert!(free_bytes(&node) < 4_096, "{}", free_bytes(&node));

    // What reads goes on.
    node.kubectl(&["get", "pods"]).must_say("talker");
    let last = || {
        let ran = node.kubectl(&["logs", "talker", "--tail", "1"]);
        let number = ran.stdout.trim().rsplit(' ').next().map(str::to_owned);
        number.and_then(|n| n.parse::<u64>().ok()).unwrap_or(0)
    };
    // It still talks, though nobody keeps what it says.
    let before = last();
    let said = || {
        let ran = node.kubectl(&["exec", "talker", "--", "cat", "/dev/shm/i"]);
        ran.stdout.trim().parse::<u64>().unwrap_or(0)
    };
    assert!(eventually(|| said() > before + 20), "{before} {}", said());
    let spoke = "{.status.containerStatuses[0].restartCount} {.status.phase}";
    assert_eq!(node.value("default", "pod/talker", spoke), "0 Running");

    node.kubectl(&["exec", "eater", "--", "rm", "/food", "/crumbs"])
        .must();
    let now = said();
    assert!(eventually(|| last() > now), "{now} {}", last());
    node.kubectl(&["logs", "talker"])
        .must_say("log lines were lost, the disk was full]");
    assert!(eventually(|| node
        .kubectl(&["create", "configmap", "taken"])
        .ok));
    node.apply(&script_pod("later", "Always", "sleep 3600"));
    node.wait_for("default", "pod/later", "{.status.phase}", "Running");
    for pod in ["pod/talker", "pod/eater"] {
        assert_eq!(node.value("default", pod, spoke), "0 Running");
    }
    assert_unharmed(&node);
    // What was written in between is on the disk.
    node.kill_hard();
    node.up();
    node.kubectl(&["get", "configmap", "taken"]).must();
    for number in 0..kept {
        let name = format!("kept-{number}");
        node.kubectl(&["get", "configmap", &name]).must();
    }
    node.wait_for("default", "pod/talker", "{.status.phase}", "Running");
    node.reset().must();
}

fn while_an_image_is_unpacked() {
    let (mut node, disk_mib) = on_a_small_disk();
    node.apply(&script_pod("beside", "Always", "sleep 3600"));
    node.wait_for("default", "pod/beside", "{.status.phase}", "Running");
    let registry = crate::images::Registry::start();
    let archive = registry.directory.path().join("large.tar");
    // Compresses well, so that only unpacking shows what it needs.
    busybox::write_archive_of(&archive, "too large for this disk", 60 << 20);
    registry.push(&archive, "harbour/large:1");
    let image = format!("{}/harbour/large:1", registry.address);
    let before = free_bytes(&node);
    node.apply(&format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: large}}\nspec:\n  terminationGracePeriodSeconds: 0\n  containers: [{{name: main, image: '{image}', command: [sleep, '3600']}}]\n"
    ));
    let waiting = "{.status.containerStatuses[0].state.waiting.reason}";
    node.wait_for("default", "pod/large", waiting, "ImagePullBackOff");
    let message = node.value(
        "default",
        "pod/large",
        "{.status.containerStatuses[0].state.waiting.message}",
    );
    assert!(message.contains("no space left on device"), "{message}");
    let why = node.coracle(&["why", "pod/large"]).stdout;
    assert!(why.contains("the node's disk has no room for it"), "{why}");
    // Nothing of the half-made image stays.
    assert!(
        eventually(|| free_bytes(&node) + (2 << 20) > before),
        "{before} {}",
        free_bytes(&node)
    );
    assert_unharmed(&node);
    assert_eq!(
        node.value("default", "pod/beside", "{.status.phase}"),
        "Running"
    );

    // Room is made; the back-off's next try has it.
    node.grow_disk(disk_mib + 2 * ROOM_MIB);
    node.wait_for("default", "pod/large", "{.status.phase}", "Running");
    assert_unharmed(&node);
    node.reset().must();
}
