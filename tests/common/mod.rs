//! A real node as a child process, and the words in which tests speak of it.

#![allow(dead_code, clippy::unwrap_used)]

pub mod leaks;
pub mod shared;

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

/// Long enough for a loaded two-core machine; conditions are polled, so a fast machine does not wait for it.
pub const PATIENCE: Duration = Duration::from_mins(1);

/// Address ranges and device names of this process's nodes do not meet those of another test process.
static NODES: AtomicU16 = AtomicU16::new(0);

/// A `coracle up` of its own directories, port, bridge, addresses and cgroups.
pub struct TestNode {
    directory: tempfile::TempDir,
    pub name: String,
    pub port: u16,
    bridge: String,
    pod_cidr: String,
    pub profile: &'static str,
    /// Variables of the next `coracle up` beyond the test's own.
    pub environment: Vec<(&'static str, String)>,
    /// Options of the next `coracle up` beyond the usual.
    pub options: Vec<String>,
    process: Option<Child>,
    /// Where its static pods are, if it has any.
    manifest_dir: Option<PathBuf>,
    /// A file system of its own that its data directory is on, if it has one.
    disk: Option<PathBuf>,
}

impl TestNode {
    /// Starts a node and waits until it is Ready.
    pub fn start() -> TestNode {
        let mut node = TestNode::prepare();
        node.up();
        node
    }

    /// A node that is not running yet.
    pub fn prepare() -> TestNode {
        let number = NODES.fetch_add(1, Ordering::Relaxed);
        let process = std::process::id();
        let port = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        TestNode {
            directory: tempfile::Builder::new()
                .prefix("coracle-test-")
                .tempdir()
                .unwrap(),
            name: format!("node-{process}-{number}"),
            port,
            bridge: format!("ct{process}x{number}"),
            pod_cidr: format!(
                "10.{}.{}.0/24",
                128 + process % 100,
                (process / 100 + u32::from(number) * 7) % 256
            ),
            profile: "generic-x86_64",
            environment: Vec::new(),
            options: Vec::new(),
            process: None,
            manifest_dir: None,
            disk: None,
        }
    }

    /// Gives a node that is not running yet a directory of static pods.
    pub fn use_manifest_dir(&mut self) -> PathBuf {
        let dir = self.directory.path().join("manifests");
        self.manifest_dir = Some(dir.clone());
        dir
    }

    /// Puts the data directory of a node that is not running yet on a file system of this size, in memory. It is
    /// mounted in the mount namespace of the calling thread: see [`in_own_mounts`].
    pub fn use_disk(&mut self, mib: u32) {
        let disk = self.directory.path().join("disk");
        std::fs::create_dir(&disk).unwrap();
        let size = format!("size={mib}m");
        let flags = nix::mount::MsFlags::empty();
        nix::mount::mount(
            Some("disk"),
            &disk,
            Some("tmpfs"),
            flags,
            Some(size.as_str()),
        )
        .unwrap();
        self.disk = Some(disk);
    }

    /// Gives the file system of [`TestNode::use_disk`] another size.
    pub fn grow_disk(&self, mib: u32) {
        let disk = self.disk.as_deref().expect("a disk of its own");
        let size = format!("size={mib}m");
        let flags = nix::mount::MsFlags::MS_REMOUNT;
        nix::mount::mount(None::<&str>, disk, None::<&str>, flags, Some(size.as_str())).unwrap();
    }

    pub fn data_dir(&self) -> PathBuf {
        self.disk
            .as_deref()
            .unwrap_or(self.directory.path())
            .join("data")
    }

    pub fn run_dir(&self) -> PathBuf {
        self.directory.path().join("run")
    }

    pub fn bridge(&self) -> &str {
        &self.bridge
    }

    pub fn pid(&self) -> u32 {
        self.process.as_ref().expect("the node runs").id()
    }

    pub fn cgroup_root(&self) -> String {
        format!("coracle-{}", self.name)
    }

    pub fn pod_cidr(&self) -> String {
        self.pod_cidr.clone()
    }

    pub fn kubeconfig(&self) -> PathBuf {
        self.data_dir().join("admin.kubeconfig")
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("node.log")).unwrap_or_default()
    }

    /// `coracle up` with this node's settings, not started.
    pub fn up_command(&self) -> Command {
        // Under nohup, as people start it: what it ignores, containers must not.
        let mut command = Command::new("nohup");
        command
            .env_remove("KUBECONFIG")
            .arg(env!("CARGO_BIN_EXE_coracle"))
            .arg("up")
            .arg("--data-dir")
            .arg(self.data_dir())
            .arg("--run-dir")
            .arg(self.run_dir())
            .args(["--node-name", &self.name])
            .args(["--listen", &format!("127.0.0.1:{}", self.port)])
            .args(["--advertise", "127.0.0.1"])
            .args(["--bridge", &self.bridge])
            .args(["--pod-cidr", &self.pod_cidr])
            .args(["--profile", self.profile])
            .args(["--cgroup-root", &self.cgroup_root()])
            .args(&self.options)
            .envs(self.environment.iter().map(|(name, value)| (name, value)));
        // The machine the tests run on may be fuller than a board should be: only a test about that gives up pods.
        let given = |flag: &str| self.options.iter().any(|one| one.starts_with(flag));
        if !given("--eviction-hard") {
            command.arg("--eviction-hard=memory.available<1Mi");
        }
        if !given("--image-gc-high-threshold") {
            command.arg("--image-gc-high-threshold=100");
        }
        if let Some(dir) = &self.manifest_dir {
            command.arg("--manifest-dir").arg(dir);
        }
        command
    }

    /// Starts the node process and waits for nothing.
    pub fn up_unready(&mut self) {
        assert!(self.process.is_none(), "the node runs already");
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.directory.path().join("node.log"))
            .unwrap();
        let child = self
            .up_command()
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        self.process = Some(child);
    }

    /// Starts the node process and waits until its Node is Ready.
    pub fn up(&mut self) {
        self.up_unready();
        let started = Instant::now();
        loop {
            if let Some(status) = self.process.as_mut().unwrap().try_wait().unwrap() {
                panic!("`coracle up` ended with {status}:\n{}", self.log());
            }
            if self.kubeconfig().exists() {
                let ready = self.kubectl(&[
                    "get",
                    "node",
                    &self.name,
                    "-o",
                    "jsonpath={.status.conditions[?(@.type==\"Ready\")].status}",
                ]);
                if ready.ok && ready.stdout == "True" {
                    return;
                }
            }
            assert!(
                started.elapsed() < PATIENCE,
                "the node is not Ready:\n{}",
                self.log()
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// SIGKILL, as a crash or the OOM killer would.
    pub fn kill_hard(&mut self) {
        let mut child = self.process.take().expect("the node runs");
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Waits until the node process has died by itself, as a crash point lets it.
    pub fn await_death(&mut self) {
        let mut child = self.process.take().expect("the node runs");
        let died = eventually(|| child.try_wait().unwrap().is_some());
        if !died {
            child.kill().unwrap();
            child.wait().unwrap();
            panic!("the node did not die:\n{}", tail(&self.log(), 60));
        }
    }

    /// SIGTERM, and the node's own way out.
    pub fn stop(&mut self) {
        let Some(mut child) = self.process.take() else {
            return;
        };
        let pid = nix::unistd::Pid::from_raw(child.id() as i32);
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).unwrap();
        let started = Instant::now();
        while child.try_wait().unwrap().is_none() {
            if started.elapsed() > PATIENCE {
                child.kill().unwrap();
                child.wait().unwrap();
                panic!("the node did not stop on SIGTERM:\n{}", self.log());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// `coracle reset`: everything of this node leaves the host.
    pub fn reset(&mut self) -> Ran {
        self.stop();
        run(coracle()
            .args(["reset", "--force", "--data-dir"])
            .arg(self.data_dir())
            .arg("--run-dir")
            .arg(self.run_dir()))
    }

    /// Unmodified `kubectl` against this node.
    pub fn kubectl(&self, arguments: &[&str]) -> Ran {
        run(self.kubectl_command().args(arguments))
    }

    pub fn kubectl_command(&self) -> Command {
        let mut command = Command::new("kubectl");
        command
            .env("KUBECONFIG", self.kubeconfig())
            .env("HOME", self.directory.path())
            .env_remove("KUBERNETES_SERVICE_HOST");
        command
    }

    /// `kubectl` with `input` on its standard input.
    pub fn kubectl_input(&self, arguments: &[&str], input: &str) -> Ran {
        run_with_input(self.kubectl_command().args(arguments), input)
    }

    /// `kubectl apply -f -` of a manifest that must be accepted.
    pub fn apply(&self, manifest: &str) -> Ran {
        self.kubectl_input(&["apply", "-f", "-"], manifest).must()
    }

    /// This project's own command against this node.
    pub fn coracle(&self, arguments: &[&str]) -> Ran {
        run(coracle()
            .env("KUBECONFIG", self.kubeconfig())
            .args(arguments))
    }

    /// One value of an object, by kubectl's JSONPath.
    pub fn value(&self, namespace: &str, object: &str, path: &str) -> String {
        self.kubectl(&[
            "-n",
            namespace,
            "get",
            object,
            "-o",
            &format!("jsonpath={path}"),
        ])
        .stdout
    }

    /// Polls until the value is as expected.
    pub fn wait_for(&self, namespace: &str, object: &str, path: &str, expected: &str) {
        let mut last = String::new();
        let reached = eventually(|| {
            last = self.value(namespace, object, path);
            last == expected
        });
        assert!(
            reached,
            "{namespace}/{object} {path}: wanted {expected:?}, last saw {last:?}\n{}\nnode log:\n{}",
            self.kubectl(&["-n", namespace, "get", object, "-o", "yaml"])
                .stdout,
            tail(&self.log(), 60)
        );
    }
}

impl Drop for TestNode {
    fn drop(&mut self) {
        if let Some(mut child) = self.process.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
        if self.data_dir().exists() {
            let _ = self.reset();
        }
        if let Some(disk) = &self.disk {
            let _ = nix::mount::umount2(disk, nix::mount::MntFlags::MNT_DETACH);
        }
    }
}

/// Runs a trial on a thread with a mount namespace of its own: what it mounts is gone with its last process.
pub fn in_own_mounts(trial: fn()) {
    let thread = std::thread::spawn(move || {
        use nix::mount::{MsFlags, mount};
        nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNS).unwrap();
        let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
        mount(None::<&str>, "/", None::<&str>, private, None::<&str>).unwrap();
        trial();
    });
    if let Err(panic) = thread.join() {
        std::panic::resume_unwind(panic);
    }
}

/// The binary under test, deaf to the caller's own configuration.
pub fn coracle() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_coracle"));
    command.env_remove("KUBECONFIG");
    command
}

/// What a command said.
#[derive(Debug)]
pub struct Ran {
    pub ok: bool,
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
    line: String,
}

impl Ran {
    /// Panics with everything the command said unless it succeeded.
    #[track_caller]
    pub fn must(self) -> Ran {
        assert!(self.ok, "{}\n{}{}", self.line, self.stdout, self.stderr);
        self
    }

    /// Panics unless the command failed and said `text` in doing so.
    #[track_caller]
    pub fn must_fail_with(self, text: &str) -> Ran {
        assert!(!self.ok, "{} succeeded:\n{}", self.line, self.stdout);
        assert!(
            self.stderr.contains(text) || self.stdout.contains(text),
            "{} did not say {text:?}:\n{}{}",
            self.line,
            self.stdout,
            self.stderr
        );
        self
    }

    /// Panics unless standard output contains `text`.
    #[track_caller]
    pub fn must_say(self, text: &str) -> Ran {
        let ran = self.must();
        assert!(
            ran.stdout.contains(text),
            "{} did not print {text:?}:\n{}{}",
            ran.line,
            ran.stdout,
            ran.stderr
        );
        ran
    }
}

pub fn run(command: &mut Command) -> Ran {
    let line = format!("{command:?}");
    let output = command
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|error| panic!("{line}: {error}"));
    ran(line, output)
}

pub fn run_with_input(command: &mut Command, input: &str) -> Ran {
    use std::io::Write;
    let line = format!("{command:?}");
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{line}: {error}"));
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_owned();
    let writer = std::thread::spawn(move || {
        // The command may refuse its input and end first; its own words then tell why.
        let _ = stdin.write_all(input.as_bytes());
    });
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    ran(line, output)
}

fn ran(line: String, output: Output) -> Ran {
    Ran {
        ok: output.status.success(),
        code: output.status.code(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        line,
    }
}

/// True as soon as `condition` holds; false when patience ends.
pub fn eventually(mut condition: impl FnMut() -> bool) -> bool {
    let started = Instant::now();
    while started.elapsed() < PATIENCE {
        if condition() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    condition()
}

pub fn tail(text: &str, lines: usize) -> String {
    let all: Vec<&str> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}

pub fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

/// Every file below `directory`, relative, sorted.
pub fn files_below(directory: &Path) -> Vec<PathBuf> {
    fn walk(root: &Path, at: &Path, found: &mut Vec<PathBuf>) {
        let Ok(entries) = std::fs::read_dir(at) else {
            return;
        };
        for entry in entries.flatten() {
            let path = entry.path();
            found.push(path.strip_prefix(root).unwrap().to_owned());
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                walk(root, &path, found);
            }
        }
    }
    let mut found = Vec::new();
    walk(directory, directory, &mut found);
    found.sort();
    found
}
