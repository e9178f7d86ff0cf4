//! Images from a real registry and from archives.

use crate::busybox;
use crate::common::{Ran, eventually, run, run_with_input};
use crate::{namespace, shared};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};

pub const TESTS: &[(&str, fn())] = &[
    (
        "a_pod_runs_an_image_pulled_from_a_registry",
        a_pod_runs_an_image_pulled_from_a_registry,
    ),
    (
        "pull_policies_and_failures_show_in_the_status",
        pull_policies_and_failures_show_in_the_status,
    ),
    ("damaged_archives_are_refused", damaged_archives_are_refused),
    (
        "pull_secrets_let_a_pod_in_and_a_missing_one_is_told",
        pull_secrets_let_a_pod_in_and_a_missing_one_is_told,
    ),
    (
        "an_image_that_vanished_is_told_and_pulled_again",
        an_image_that_vanished_is_told_and_pulled_again,
    ),
    (
        "mirrors_of_the_nodes_file_serve_pods",
        mirrors_of_the_nodes_file_serve_pods,
    ),
];

/// `tester` with the password `secret`, made with `htpasswd -nbB`.
const HTPASSWD: &str = "tester:$2y$05$PTDQVH1sGtA3co0vMXKvCub2PTXiVJQviDid4w2OQdOLu9j7XShuG\n";

/// Debian's docker-registry on a loopback port.
pub struct Registry {
    process: Child,
    pub address: String,
    pub directory: tempfile::TempDir,
}

impl Registry {
    pub fn start() -> Registry {
        Registry::start_with(false)
    }

    /// For the user `tester` with the password `secret` only.
    fn start_private() -> Registry {
        Registry::start_with(true)
    }

    fn start_with(is_private: bool) -> Registry {
        let directory = tempfile::tempdir().expect("temporary directory");
        let passwords = directory.path().join("htpasswd");
        std::fs::write(&passwords, HTPASSWD).expect("passwords");
        let more = if is_private {
            format!(
                "auth: {{htpasswd: {{realm: test, path: {}}}}}\n",
                passwords.display()
            )
        } else {
            String::new()
        };
        let port = TcpListener::bind("127.0.0.1:0")
            .and_then(|socket| socket.local_addr())
            .expect("a port")
            .port();
        let address = format!("127.0.0.1:{port}");
        let settings = directory.path().join("registry.yml");
        let storage = directory.path().join("storage");
        std::fs::write(
            &settings,
            format!(
                "version: 0.1\nlog: {{accesslog: {{disabled: false}}}}\nstorage: {{filesystem: {{rootdirectory: {}}}}}\nhttp: {{addr: {address}}}\n{more}",
                storage.display()
            ),
        )
        .expect("settings");
        let log = std::fs::File::create(directory.path().join("registry.log")).expect("log");
        let process = Command::new("docker-registry")
            .arg("serve")
            .arg(&settings)
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("log"))
            .stderr(log)
            .spawn()
            .expect("Debian's package docker-registry is installed");
        assert!(
            eventually(|| TcpStream::connect(&address).is_ok()),
            "the registry does not listen"
        );
        Registry {
            process,
            address,
            directory,
        }
    }

    /// Blobs asked for so far, by the registry's own access log.
    pub fn blobs_served(&self) -> usize {
        std::fs::read_to_string(self.directory.path().join("registry.log"))
            .expect("log")
            .lines()
            .filter(|line| line.contains("\"GET /v2/") && line.contains("/blobs/"))
            .count()
    }

    pub fn push(&self, archive: &Path, name: &str) -> Ran {
        run(Command::new("skopeo")
            .args(["copy", "--quiet", "--dest-tls-verify=false"])
            .arg("--dest-creds=tester:secret")
            .args([
                format!("docker-archive:{}", archive.display()),
                format!("docker://{}/{name}", self.address),
            ]))
        .must()
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn a_pod_runs_an_image_pulled_from_a_registry() {
    let node = namespace("pulled");
    let registry = Registry::start();
    let archive = registry.directory.path().join("busybox.tar");
    busybox::write_archive_with(&archive, "only for the registry");
    registry.push(&archive, "harbour/busybox:7");
    let image = format!("{}/harbour/busybox:7", registry.address);

    // On a terminal, as a person sees it: `script` gives the command one.
    let pull = format!(
        "{} --kubeconfig {} image pull {image}",
        env!("CARGO_BIN_EXE_coracle"),
        node.kubeconfig().display()
    );
    let pulled = run(Command::new("script").args(["-qec", &pull, "/dev/null"])).must();
    assert!(
        pulled.stdout.contains("KiB")
            || pulled.stdout.contains("MiB")
            || pulled.stdout.contains("MB"),
        "no progress in {}",
        pulled.stdout
    );
    let served = registry.blobs_served();
    assert!(served >= 1, "the registry served no layer");
    node.coracle(&["image", "pull", &image]).must();
    assert_eq!(
        registry.blobs_served(),
        served,
        "the second pull transferred something"
    );
    node.coracle(&["image", "ls"]).must_say("harbour/busybox");

    let manifest = format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: from-registry}}\nspec:\n  restartPolicy: Never\n  containers: [{{name: main, image: '{image}', imagePullPolicy: Always, command: [cat, /etc/mark]}}]\n"
    );
    node.kubectl_input(&["-n", "pulled", "apply", "-f", "-"], &manifest)
        .must();
    node.wait_for(
        "pulled",
        "pod/from-registry",
        "{.status.phase}",
        "Succeeded",
    );
    node.kubectl(&["-n", "pulled", "logs", "from-registry"])
        .must_say("only for the registry");
    node.kubectl(&["-n", "pulled", "describe", "pod", "from-registry"])
        .must_say("Pulling")
        .must_say("Pulled");
    assert_eq!(registry.blobs_served(), served);
    node.kubectl(&["-n", "pulled", "delete", "pod", "from-registry"])
        .must();
    node.coracle(&["image", "rm", &image]).must();
}

fn pull_policies_and_failures_show_in_the_status() {
    let node = namespace("policies");
    let reason = "{.status.containerStatuses[0].state.waiting.reason}";
    for (name, image, policy, expected) in [
        ("never", "test.local/absent:1", "Never", "ErrImageNeverPull"),
        (
            "malformed",
            "Not A Reference",
            "IfNotPresent",
            "InvalidImageName",
        ),
        (
            "refused",
            "127.0.0.1:1/nothing/here:1",
            "IfNotPresent",
            "ImagePullBackOff",
        ),
    ] {
        let manifest = format!(
            "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}}}\nspec:\n  containers: [{{name: main, image: '{image}', imagePullPolicy: {policy}}}]\n"
        );
        node.kubectl_input(&["-n", "policies", "apply", "-f", "-"], &manifest)
            .must();
        node.wait_for("policies", &format!("pod/{name}"), reason, expected);
    }
    node.kubectl(&["-n", "policies", "delete", "pods", "--all"])
        .must();
}

fn damaged_archives_are_refused() {
    let node = shared();
    let directory = tempfile::tempdir().expect("temporary directory");
    let whole = directory.path().join("whole.tar");
    busybox::write_archive_with(&whole, "soon damaged");
    let bytes = std::fs::read(&whole).expect("archive");
    let before = node.coracle(&["image", "ls"]).must().stdout;

    let truncated = directory.path().join("truncated.tar");
    std::fs::write(&truncated, &bytes[..bytes.len() / 2]).expect("file");
    node.coracle(&["image", "import", &truncated.to_string_lossy()])
        .must_fail_with("truncated.tar");

    let flipped = directory.path().join("flipped.tar");
    let mut other = bytes.clone();
    let middle = other.len() / 2;
    other[middle] ^= 0xff;
    std::fs::write(&flipped, &other).expect("file");
    node.coracle(&["image", "import", &flipped.to_string_lossy()])
        .must_fail_with("digest");

    let noise = directory.path().join("noise.tar");
    std::fs::write(&noise, "this is no archive at all").expect("file");
    node.coracle(&["image", "import", &noise.to_string_lossy()])
        .must_fail_with("archive");
    node.coracle(&["image", "import", "/no/such/file.tar"])
        .must_fail_with("/no/such/file.tar");
    assert_eq!(node.coracle(&["image", "ls"]).must().stdout, before);
    // What was there before still works.
    run_with_input(
        node.kubectl_command().args(["apply", "-f", "-"]),
        &crate::lifecycle::script_pod("unharmed", "Never", "true"),
    )
    .must();
    node.wait_for("default", "pod/unharmed", "{.status.phase}", "Succeeded");
}

/// A pod that prints the mark of its image.
fn cat_pod(name: &str, image: &str, policy: &str, more: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}}}\nspec:\n  restartPolicy: Never\n{more}  containers: [{{name: main, image: '{image}', imagePullPolicy: {policy}, command: [cat, /etc/mark]}}]\n"
    )
}

fn pull_secrets_let_a_pod_in_and_a_missing_one_is_told() {
    let namespace_name = "pull-secrets";
    let node = namespace(namespace_name);
    let registry = Registry::start_private();
    let archive = registry.directory.path().join("busybox.tar");
    busybox::write_archive_with(&archive, "behind a password");
    registry.push(&archive, "private/busybox:1");
    let image = format!("{}/private/busybox:1", registry.address);
    let kubectl = |arguments: &[&str]| node.kubectl(&[&["-n", namespace_name], arguments].concat());

    let without = cat_pod(
        "without",
        &image,
        "Always",
        "  imagePullSecrets: [{name: nowhere}, {name: absent}]\n",
    );
    node.kubectl_input(&["-n", namespace_name, "apply", "-f", "-"], &without)
        .must();
    node.wait_for(
        namespace_name,
        "pod/without",
        "{.status.containerStatuses[0].state.waiting.reason}",
        "ImagePullBackOff",
    );
    let told = eventually(|| {
        kubectl(&["get", "events", "-o", "jsonpath={.items[*].message}"])
            .stdout
            .contains("Unable to retrieve some image pull secrets (nowhere, absent); attempting to pull the image may not succeed.")
    });
    assert!(told, "{}", kubectl(&["get", "events"]).stdout);
    kubectl(&["get", "events"])
        .must_say("FailedToRetrieveImagePullSecret")
        .must_say("unauthorized");

    kubectl(&[
        "create",
        "secret",
        "docker-registry",
        "regcred",
        &format!("--docker-server={}", registry.address),
        "--docker-username=tester",
        "--docker-password=secret",
    ])
    .must();
    let with = cat_pod(
        "with",
        &image,
        "Always",
        "  imagePullSecrets: [{name: regcred}]\n",
    );
    node.kubectl_input(&["-n", namespace_name, "apply", "-f", "-"], &with)
        .must();
    node.wait_for(namespace_name, "pod/with", "{.status.phase}", "Succeeded");
    kubectl(&["logs", "with"]).must_say("behind a password");
    let told = eventually(|| {
        let events = kubectl(&[
            "get",
            "events",
            "--field-selector=involvedObject.name=with",
            "-o",
            "jsonpath={.items[*].message}",
        ])
        .stdout;
        events.contains(&format!("Successfully pulled image \"{image}\" in "))
            && events.contains("including waiting). Image size: ")
    });
    assert!(told, "{}", kubectl(&["get", "events"]).stdout);
    assert!(!node.log().contains("secret\":\"") && !node.log().contains("tester:secret"));
    kubectl(&["delete", "pods", "--all"]).must();
    node.coracle(&["image", "rm", &image]).must();
}

fn an_image_that_vanished_is_told_and_pulled_again() {
    let namespace_name = "vanished";
    let node = namespace(namespace_name);
    let registry = Registry::start();
    let archive = registry.directory.path().join("busybox.tar");
    busybox::write_archive_with(&archive, "soon lost");
    registry.push(&archive, "harbour/lost:1");
    let image = format!("{}/harbour/lost:1", registry.address);
    node.coracle(&["image", "pull", &image]).must();

    // A pod that finds it present says so.
    let first = cat_pod("first", &image, "IfNotPresent", "");
    node.kubectl_input(&["-n", namespace_name, "apply", "-f", "-"], &first)
        .must();
    node.wait_for(namespace_name, "pod/first", "{.status.phase}", "Succeeded");
    let messages = |pod: &str| {
        node.kubectl(&[
            "-n",
            namespace_name,
            "get",
            "events",
            &format!("--field-selector=involvedObject.name={pod}"),
            "-o",
            "jsonpath={.items[*].message}",
        ])
        .stdout
    };
    let present = format!("Container image \"{image}\" already present on machine");
    assert!(eventually(|| messages("first").contains(&present)));

    // Its top layer loses everything, as a card does that forgets.
    let layers = node.data_dir().join("images/layers");
    let mut lost = 0;
    for entry in std::fs::read_dir(&layers).expect("layers").flatten() {
        let mark = entry.path().join("fs/etc/mark");
        if std::fs::read_to_string(&mark).is_ok_and(|text| text.contains("soon lost")) {
            std::fs::remove_dir_all(entry.path().join("fs")).expect("removed");
            lost += 1;
        }
    }
    assert_eq!(lost, 1);
    let served = registry.blobs_served();
    let second = cat_pod("second", &image, "IfNotPresent", "");
    node.kubectl_input(&["-n", namespace_name, "apply", "-f", "-"], &second)
        .must();
    node.wait_for(namespace_name, "pod/second", "{.status.phase}", "Succeeded");
    node.kubectl(&["-n", namespace_name, "logs", "second"])
        .must_say("soon lost");
    assert!(registry.blobs_served() > served);
    assert!(
        eventually(|| messages("second").contains("vanished from this node's disk")),
        "{}",
        messages("second")
    );
    node.kubectl(&["-n", namespace_name, "delete", "pods", "--all"])
        .must();
    node.coracle(&["image", "rm", &image]).must();
}

fn mirrors_of_the_nodes_file_serve_pods() {
    let namespace_name = "mirrors";
    let node = namespace(namespace_name);
    let registry = Registry::start();
    let archive = registry.directory.path().join("busybox.tar");
    busybox::write_archive_with(&archive, "from the mirror");
    registry.push(&archive, "cache/team/tool:1");
    // Read at each pull: no restart.
    let file = node.data_dir().join("registries.yaml");
    std::fs::write(
        &file,
        format!(
            "mirrors:\n  registry.invalid:\n    endpoint: ['http://{}']\n    rewrite: {{'^(.*)$': 'cache/$1'}}\n",
            registry.address
        ),
    )
    .expect("registries.yaml");
    let pod = cat_pod("mirrored", "registry.invalid/team/tool:1", "Always", "");
    node.kubectl_input(&["-n", namespace_name, "apply", "-f", "-"], &pod)
        .must();
    node.wait_for(
        namespace_name,
        "pod/mirrored",
        "{.status.phase}",
        "Succeeded",
    );
    node.kubectl(&["-n", namespace_name, "logs", "mirrored"])
        .must_say("from the mirror");
    node.kubectl(&["-n", namespace_name, "delete", "pods", "--all"])
        .must();
    std::fs::remove_file(&file).expect("removed");
}
