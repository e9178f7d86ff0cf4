//! A sandbox with a busybox root file system, and what is left of it on the host.

use coracle::image::RootFs;
use coracle::runtime::logs::{LogOptions, read};
use coracle::runtime::{
    ContainerSpec, Exit, Resources, RunId, Runtime, RuntimeConfig, RuntimeEvent, SandboxSpec,
    Security, cgroups, remove_all,
};
use futures::StreamExt;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::sync::mpsc::Receiver;

pub const UID: &str = "0b7e";

pub struct Node {
    pub directory: tempfile::TempDir,
    pub config: RuntimeConfig,
    pub runtime: Arc<Runtime>,
    pub events: Receiver<RuntimeEvent>,
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = remove_all(&self.config);
    }
}

pub fn root() -> bool {
    let root = nix::unistd::geteuid().is_root();
    if !root {
        eprintln!("NOT TESTED: real containers need root; run this test as root");
    }
    root
}

impl Node {
    pub async fn new() -> Node {
        let directory = tempfile::tempdir().unwrap();
        let lower = directory.path().join("lower");
        fs::create_dir_all(lower.join("bin")).unwrap();
        fs::copy("/bin/busybox", lower.join("bin/busybox")).unwrap();
        for name in [
            "sh", "sleep", "echo", "cat", "stty", "tail", "id", "hostname", "dd", "seq",
        ] {
            std::os::unix::fs::symlink("busybox", lower.join("bin").join(name)).unwrap();
        }
        fs::create_dir_all(lower.join("etc")).unwrap();
        fs::write(
            lower.join("etc/passwd"),
            "root:x:0:0::/root:/bin/sh\nweb:x:33:34::/srv:/bin/sh\n",
        )
        .unwrap();
        let unique = directory
            .path()
            .file_name()
            .unwrap()
            .to_string_lossy()
            .replace('.', "");
        let config = RuntimeConfig {
            state_dir: directory.path().join("state"),
            run_dir: directory.path().join("run"),
            cgroup_root: format!("coracle-test-{unique}"),
            executable: PathBuf::from(env!("CARGO_BIN_EXE_coracle")),
        };
        let (runtime, events) = Runtime::open(config.clone()).await.unwrap();
        let spec = SandboxSpec {
            pod_uid: UID.into(),
            namespace: "default".into(),
            name: "pod".into(),
            hostname: "boat".into(),
            host_network: false,
            host_pid: false,
            host_ipc: false,
            cgroup: format!("burstable/pod{UID}"),
            resolv_conf: "nameserver 10.43.0.10\n".into(),
            sysctls: Vec::new(),
            share_process_namespace: false,
            first_user: None,
        };
        runtime.create_sandbox(&spec).await.unwrap();
        Node {
            directory,
            config,
            runtime,
            events,
        }
    }

    pub fn spec(&self, name: &str, script: &str) -> ContainerSpec {
        let own = self.directory.path().join("state").join(name);
        for part in ["upper", "work", "merged"] {
            fs::create_dir_all(own.join(part)).unwrap();
        }
        ContainerSpec {
            name: name.into(),
            attempt: 0,
            root_fs: RootFs {
                lower: vec![self.directory.path().join("lower")],
                upper: own.join("upper"),
                work: own.join("work"),
                merged: own.join("merged"),
            },
            args: vec!["sh".into(), "-c".into(), script.into()],
            env: Vec::new(),
            working_dir: PathBuf::new(),
            tty: false,
            stdin: false,
            mounts: Vec::new(),
            resources: Resources {
                cpu_shares: 2,
                ..Resources::default()
            },
            security: Security::default(),
            log_path: self.log(name),
            log_file_bytes_max: 1 << 20,
            log_files_max: 5,
            stdin_once: false,
            processes_of: None,
        }
    }

    pub fn log(&self, name: &str) -> PathBuf {
        self.directory.path().join("logs").join(name).join("0.log")
    }

    pub async fn exit(&mut self) -> Exit {
        loop {
            if let RuntimeEvent::ContainerExited { exit, .. } = self.events.recv().await.unwrap() {
                return exit;
            }
        }
    }

    pub async fn text(&self, name: &str, options: LogOptions) -> String {
        let parts: Vec<_> = read(self.log(name), options, std::future::ready(()))
            .collect()
            .await;
        String::from_utf8(
            parts
                .into_iter()
                .flat_map(|p| p.unwrap().to_vec())
                .collect(),
        )
        .unwrap()
    }

    /// Directories of the run's cgroup, or of the whole root where there is no run.
    pub fn cgroups(&self, id: &str) -> Vec<PathBuf> {
        let root = &self.config.cgroup_root;
        let cgroup = if id.is_empty() {
            root.clone()
        } else {
            format!("{root}/burstable/pod{UID}/{id}")
        };
        cgroups::layout().unwrap().directories(&cgroup)
    }

    /// Processes that were started as this pod's shim, its helpers included.
    pub fn shims(&self) -> Vec<i32> {
        let directory = self.config.run_dir.join(UID);
        let wanted = format!("\0shim\0{}\0", directory.display());
        fs::read_dir("/proc")
            .unwrap()
            .flatten()
            .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
            .filter(|pid| {
                fs::read_to_string(format!("/proc/{pid}/cmdline"))
                    .is_ok_and(|line| line.contains(&wanted))
            })
            .collect()
    }

    /// Nothing of the pod is left: no helper, no cgroup.
    pub async fn is_clean(&self) {
        while !self.shims().is_empty() {
            tokio::task::yield_now().await;
        }
        for directory in self.cgroups("") {
            assert!(!directory.exists(), "{}", directory.display());
        }
    }
}

pub fn run(name: &str) -> RunId {
    RunId {
        container: name.into(),
        attempt: 0,
    }
}

pub fn kill_9(pid: i32) {
    nix::sys::signal::kill(
        nix::unistd::Pid::from_raw(pid),
        nix::sys::signal::Signal::SIGKILL,
    )
    .unwrap();
}
