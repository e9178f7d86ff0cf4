//! Puts the device program on a cgroup v2, bpf(2).
#![allow(unsafe_code)] // The system call takes a union of attributes.

use crate::runtime::spec::devices::{self, Instruction};
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::path::Path;

/// Commands and kinds of linux/bpf.h.
const PROG_LOAD: libc::c_int = 5;
const PROG_ATTACH: libc::c_int = 8;
const PROG_TYPE_CGROUP_DEVICE: u32 = 15;
const CGROUP_DEVICE: u32 = 6;
/// Programs of the cgroups above keep their say.
const ALLOW_MULTI: u32 = 2;

/// The part of `union bpf_attr` for loading that is used; the rest is zero, as the kernel wants it.
#[repr(C)]
#[derive(Default)]
struct Load {
    kind: u32,
    count: u32,
    instructions: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log: u64,
    kernel_version: u32,
    flags: u32,
}

#[repr(C)]
#[derive(Default)]
struct Attach {
    target: u32,
    program: u32,
    kind: u32,
    flags: u32,
}

/// Keeps whoever is in `cgroup` (a directory) from all devices but the default ones. It lasts as long as the cgroup.
pub fn guard(cgroup: &Path) -> io::Result<()> {
    let directory = std::fs::File::open(cgroup)?;
    let program = load(&devices::program(&devices::DEFAULT))?;
    let attributes = Attach {
        target: directory.as_raw_fd().cast_unsigned(),
        program: program.as_raw_fd().cast_unsigned(),
        kind: CGROUP_DEVICE,
        flags: ALLOW_MULTI,
    };
    bpf(PROG_ATTACH, &attributes).map(drop)
}

fn load(program: &[Instruction]) -> io::Result<OwnedFd> {
    let license = c"Apache-2.0";
    let attributes = Load {
        kind: PROG_TYPE_CGROUP_DEVICE,
        count: program.len() as u32,
        instructions: program.as_ptr().expose_provenance() as u64,
        license: license.as_ptr().expose_provenance() as u64,
        ..Load::default()
    };
    let descriptor = bpf(PROG_LOAD, &attributes)?;
    // SAFETY: the kernel has just made this descriptor for us.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
}

fn bpf<T>(command: libc::c_int, attributes: &T) -> io::Result<i32> {
    // SAFETY: the attributes and what they point to outlive the call, and the size is theirs.
    let result = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            command,
            std::ptr::from_ref(attributes),
            size_of::<T>() as libc::c_uint,
        )
    };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    i32::try_from(result).map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::process::Command;

    /// A cgroup v2 tree beside v1 ones takes the program as well.
    #[test]
    fn a_guarded_process_opens_only_the_default_devices() {
        let root = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"]
            .into_iter()
            .map(Path::new)
            .find(|root| root.join("cgroup.subtree_control").exists());
        let Some(root) = root.filter(|_| nix::unistd::geteuid().is_root()) else {
            eprintln!("needs root and a cgroup v2");
            return;
        };
        let cgroup = root.join(format!("coracle-device-test-{}", std::process::id()));
        std::fs::create_dir(&cgroup).unwrap();
        let guarded = guard(&cgroup);
        let script = format!(
            "echo $$ > {}/cgroup.procs; head -c1 /dev/zero > /dev/null && echo zero; \
             rm -f $1; mknod $1 c 1 1 && echo made; head -c1 $1 > /dev/null && echo opened",
            cgroup.display()
        );
        let node = std::env::temp_dir().join(format!("coracle-device-{}", std::process::id()));
        let ran = Command::new("sh")
            .args(["-c", &script, "sh"])
            .arg(&node)
            .output()
            .unwrap();
        let _ = std::fs::remove_file(&node);
        let emptied = (0..1000).any(|_| {
            std::thread::sleep(std::time::Duration::from_millis(1));
            std::fs::remove_dir(&cgroup).is_ok()
        });
        assert!(emptied, "{} stays", cgroup.display());
        if guarded
            .as_ref()
            .is_err_and(|e| matches!(e.raw_os_error(), Some(libc::EINVAL | libc::ENOSYS)))
        {
            eprintln!("this kernel has no CONFIG_CGROUP_BPF");
            return;
        }
        guarded.unwrap();
        assert_eq!(String::from_utf8_lossy(&ran.stdout), "zero\nmade\n");
    }
}
