//! The first process of a pod's own process namespace, where its containers share one: it reaps whom nobody else
//! does, and its end is the end of all of them. It sees nothing of the host: an empty root, no capability.

use super::sys;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{Gid, Pid, Uid, chdir, pivot_root, setgroups, setresgid, setresuid};
use std::fs::File;
use std::path::Path;

/// As the pause container's: nobody on any system.
const NOBODY: u32 = 65535;

/// Starts it below `directory`, the pod's run directory, and returns its id here. It dies with the shim.
pub fn start(directory: &Path) -> Result<i32, String> {
    let failed = |what: &str, e: &dyn std::fmt::Display| {
        format!("making the pod's process namespace: {what}: {e}")
    };
    let root = directory.join("init");
    std::fs::create_dir_all(&root).map_err(|e| failed("its root", &e))?;
    let own = File::open("/proc/self/ns/pid").map_err(|e| failed("/proc/self/ns/pid", &e))?;
    unshare(CloneFlags::CLONE_NEWPID).map_err(|e| failed("unshare", &e))?;
    let forked = sys::fork().map_err(|e| failed("fork", &e))?;
    let Some(pid) = forked else {
        let ended = be(&root);
        sys::exit_now(i32::from(ended.is_err()));
    };
    // What the shim starts from now on is in its own namespace again.
    setns(own, CloneFlags::CLONE_NEWPID).map_err(|e| failed("setns", &e))?;
    Ok(pid)
}

fn be(root: &Path) -> nix::Result<()> {
    sys::die_with_parent()?;
    sys::rename(c"pod-init");
    // The starting side waits for the end of what the shim says.
    sys::detach_standard_streams().map_err(|_| nix::Error::EIO)?;
    let _ = sys::close_inherited();
    unshare(CloneFlags::CLONE_NEWNS)?;
    let (none, quiet) = (None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE);
    mount(none, "/", none, quiet, none)?;
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC | MsFlags::MS_RDONLY;
    mount(Some("none"), root, Some("tmpfs"), flags, none)?;
    chdir(root)?;
    // The old root on top of the new one, then away: pivot_root(2).
    pivot_root(".", ".")?;
    umount2(".", MntFlags::MNT_DETACH)?;
    chdir("/")?;
    setgroups(&[])?;
    let (group, user) = (Gid::from_raw(NOBODY), Uid::from_raw(NOBODY));
    setresgid(group, group, group)?;
    setresuid(user, user, user)?;
    // A change of user takes the order to die away, prctl(2).
    sys::die_with_parent()?;
    let mut children = SigSet::empty();
    children.add(Signal::SIGCHLD);
    children.thread_block()?;
    loop {
        while matches!(
            waitpid(Pid::from_raw(-1), Some(WaitPidFlag::WNOHANG)),
            Ok(status) if status != WaitStatus::StillAlive
        ) {}
        children.wait()?;
    }
}
