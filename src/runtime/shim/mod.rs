//! The shim: a small single-threaded process that holds one pod.
//!
//! In: requests over a Unix socket. Out: containers as its children, their logs, their exits.
//!
//! Invariants: it forks only while single-threaded, which it always is; work that leaves garbage on the heap
//! happens in children that end; every exit is kept until its run is removed.
//! It never knows about the API server or whether a node process lives.

mod attach;
mod clients;
mod container;
mod controllers;
mod device_guard;
mod diagnostics;
mod idmap;
mod launch;
mod namespaces;
mod pod_init;
mod privileges;
mod program;
mod root;
mod server;
mod shifted;
mod sys;
mod user_namespace;
mod volumes;

pub use sys::non_blocking;

use super::cgroups;
use super::protocol::{CONFIG_FILE, PID_FILE, SOCKET_FILE, ShimConfig};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::ExitCode;

/// What the starting side reads when the shim is up.
pub const READY: &str = "ready";
/// As containerd's shim: after everything but the kernel's own.
const OOM_SCORE_ADJ: &str = "-998";
/// cgroup of all shims, below the root: on v2 a pod's own cgroup may hold no process.
pub const CGROUP: &str = "shims";

/// `coracle shim <directory>`: runs one pod until it is told to go. Never returns to an asynchronous runtime.
pub fn shim_main(arguments: &[String]) -> ExitCode {
    let Some(directory) = arguments.first().map(Path::new) else {
        eprintln!("coracle shim is started by the node itself, with a pod's run directory");
        return ExitCode::from(2);
    };
    // Whatever the node process had open without close-on-exec is none of the shim's.
    if let Err(error) = sys::close_inherited() {
        println!("starting a shim: closing inherited descriptors: {error}");
        return ExitCode::FAILURE;
    }
    // The parent returns at once: the shim belongs to nobody's process tree.
    match sys::fork() {
        Ok(Some(_)) => return ExitCode::SUCCESS,
        Ok(None) => {}
        Err(error) => {
            println!("starting a shim: fork: {error}");
            return ExitCode::FAILURE;
        }
    }
    sys::keep_heap_small();
    match prepare(directory) {
        Ok(server) => {
            print!("{READY}");
            let _ = std::io::stdout().flush();
            if let Err(error) = sys::detach_standard_streams() {
                tracing::warn!(%error, "shim keeps its standard streams");
            }
            server.run()
        }
        Err(error) => {
            println!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn prepare(directory: &Path) -> Result<server::Server, String> {
    let at = |what: &str, error: &dyn std::fmt::Display| {
        format!(
            "starting the shim in {}: {what}: {error}",
            directory.display()
        )
    };
    let bytes = std::fs::read(directory.join(CONFIG_FILE)).map_err(|e| at(CONFIG_FILE, &e))?;
    let config: ShimConfig = postcard::from_bytes(&bytes).map_err(|e| at(CONFIG_FILE, &e))?;
    let layout = cgroups::layout().map_err(|e| at("cgroups", &e))?;
    let own = format!("{}/{CGROUP}", config.cgroup_root);
    layout
        .create_and_join(&own)
        .map_err(|e| at("entering its cgroup", &e))?;
    let pod = format!("{}/{}", config.cgroup_root, config.spec.cgroup);
    layout
        .create(&pod)
        .map_err(|e| at("creating the pod's cgroup", &e))?;
    // The pod's keeper must not die for the pod's memory. Not every root may go below 0 (CAP_SYS_RESOURCE).
    let _ = std::fs::write("/proc/self/oom_score_adj", OOM_SCORE_ADJ);
    nix::unistd::setsid().map_err(|e| at("setsid", &e))?;
    std::env::set_current_dir("/").map_err(|e| at("chdir", &e))?;
    sys::become_subreaper().map_err(|e| at("child subreaper", &e))?;
    // For volumes whose mounts are the host's too.
    let host_mounts = std::fs::File::open("/proc/self/ns/mnt")
        .map_err(|e| at("its mount namespace", &e))?
        .into();
    namespaces::enter(&config.spec, directory)?;
    let pod_init = if config.spec.share_process_namespace && !config.spec.host_pid {
        Some(pod_init::start(directory)?)
    } else {
        None
    };
    let signals = sys::child_signals().map_err(|e| at("signalfd", &e))?;
    let socket = directory.join(SOCKET_FILE);
    let _ = std::fs::remove_file(&socket);
    let listener = UnixListener::bind(&socket).map_err(|e| at(SOCKET_FILE, &e))?;
    std::fs::set_permissions(&socket, std::fs::Permissions::from_mode(0o600))
        .map_err(|e| at(SOCKET_FILE, &e))?;
    listener
        .set_nonblocking(true)
        .map_err(|e| at(SOCKET_FILE, &e))?;
    std::fs::write(directory.join(PID_FILE), std::process::id().to_string())
        .map_err(|e| at(PID_FILE, &e))?;
    Ok(server::Server::new(
        config,
        directory.to_owned(),
        layout,
        listener,
        signals,
        pod_init,
        host_mounts,
    ))
}
