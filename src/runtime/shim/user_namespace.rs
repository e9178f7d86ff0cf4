//! A pod's own user namespace (`hostUsers: false`): its root is nobody on the host.
//!
//! It owns the pod's network, host name and interprocess communication, so that the container's root may do there what
//! its capabilities say. Mounts and processes stay with the host's namespace: libcontainer prepares the container with
//! all rights, and the last step before the program enters the user namespace. A container can then mount nothing, even
//! with CAP_SYS_ADMIN.

use super::sys;
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::wait::waitpid;
use nix::unistd::Pid;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::path::Path;

/// Users and groups of one pod; more than 65535 no portable image has.
pub const IDS: u32 = 65536;
/// Name of the file in the pod's run directory on which the namespace is kept.
pub const FILE: &str = "user-namespace";

/// Makes it, with `first` as the host's id of the pod's root, and enters those of `others` that it owns.
pub fn enter(first: u32, others: CloneFlags, directory: &Path) -> Result<(), String> {
    let failed = |what: &str, e: &dyn std::fmt::Display| {
        format!("making the pod's user namespace: {what}: {e}")
    };
    let pipe = || nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC).map_err(|e| failed("pipe", &e));
    let ((answers, answer), (orders, order)) = (pipe()?, pipe()?);
    let forked = sys::fork().map_err(|e| failed("fork", &e))?;
    let Some(pid) = forked else {
        drop((answers, order));
        let ended = hold(others, &mut File::from(answer), &mut File::from(orders));
        sys::exit_now(i32::from(ended.is_err()));
    };
    drop((answer, orders));
    let made = adopt(pid, first, others, directory, answers, order);
    // Its end of the pipe is closed, so it ends.
    let _ = waitpid(Pid::from_raw(pid), None);
    made.map_err(|(what, e)| failed(what, &e))
}

/// The child: makes the namespaces step by step, and keeps them until it is let go.
fn hold(others: CloneFlags, answer: &mut File, orders: &mut File) -> std::io::Result<()> {
    unshare(CloneFlags::CLONE_NEWUSER)?;
    answer.write_all(&[1])?;
    // Only with its ids mapped is it anybody there.
    orders.read_exact(&mut [0])?;
    unshare(others)?;
    answer.write_all(&[2])?;
    let _ = orders.read(&mut [0]);
    Ok(())
}

type Step = (&'static str, std::io::Error);

fn adopt(
    pid: i32,
    first: u32,
    others: CloneFlags,
    directory: &Path,
    answers: OwnedFd,
    order: OwnedFd,
) -> Result<(), Step> {
    let at = |what: &'static str| move |e: std::io::Error| (what, e);
    let (mut answers, mut order) = (File::from(answers), File::from(order));
    let of = |name: &str| format!("/proc/{pid}/{name}");
    let unshared = "unshare (does user.max_user_namespaces allow one?)";
    answers.read_exact(&mut [0]).map_err(at(unshared))?;
    let map = format!("0 {first} {IDS}\n");
    std::fs::write(of("uid_map"), &map).map_err(at("uid_map"))?;
    std::fs::write(of("gid_map"), &map).map_err(at("gid_map"))?;
    order.write_all(&[1]).map_err(at("its maker"))?;
    answers
        .read_exact(&mut [0])
        .map_err(at("unshare of the others"))?;
    for (flag, name) in [
        (CloneFlags::CLONE_NEWNET, "ns/net"),
        (CloneFlags::CLONE_NEWUTS, "ns/uts"),
        (CloneFlags::CLONE_NEWIPC, "ns/ipc"),
    ] {
        if others.contains(flag) {
            let namespace = File::open(of(name)).map_err(at(name))?;
            setns(namespace, flag).map_err(|e| (name, e.into()))?;
        }
    }
    let file = directory.join(FILE);
    File::create(&file).map_err(at("its file"))?;
    let (none, bind) = (None::<&str>, MsFlags::MS_BIND);
    mount(Some(of("ns/user").as_str()), &file, none, bind, none).map_err(|e| ("ns/user", e.into()))
}
