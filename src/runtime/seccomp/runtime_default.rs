//! `RuntimeDefault`: the same calls as containerd's default profile allows (`contrib/seccomp`), from a table of ours.
//!
//! Everything here is allowed by name; anything not named fails with EPERM, so that a call a future kernel brings is
//! closed until somebody opens it. Names that an architecture lacks are passed over.

use super::architecture::NATIVE;
use super::{Action, Condition, Operator, Policy, Rule};

/// By topic. Calls that make no difference to anybody but the caller, or that the kernel guards by itself.
const ALWAYS: &[&str] = &[
    // Processes and threads
    "execve execveat exit exit_group fork vfork wait4 waitid waitpid getpid getppid gettid getpgid getpgrp setpgid \
     getsid setsid kill tkill tgkill pidfd_open pidfd_send_signal process_mrelease set_tid_address set_robust_list \
     get_robust_list rseq restart_syscall pause prctl seccomp umask times getrusage getcpu membarrier \
     landlock_create_ruleset landlock_add_rule landlock_restrict_self set_thread_area get_thread_area \
     lsm_get_self_attr lsm_set_self_attr lsm_list_modules",
    // Who it is
    "getuid geteuid getgid getegid getresuid getresgid getgroups setuid setgid setreuid setregid setresuid setresgid \
     setfsuid setfsgid setgroups capget capset",
    "getuid32 geteuid32 getgid32 getegid32 getresuid32 getresgid32 getgroups32 setuid32 setgid32 setreuid32 \
     setregid32 setresuid32 setresgid32 setfsuid32 setfsgid32 setgroups32",
    // Signals
    "rt_sigaction rt_sigprocmask rt_sigpending rt_sigsuspend rt_sigtimedwait rt_sigtimedwait_time64 rt_sigqueueinfo \
     rt_tgsigqueueinfo rt_sigreturn sigaltstack sigprocmask sigreturn signalfd signalfd4",
    // Memory
    "brk mmap mmap2 munmap mremap mprotect madvise mincore msync mlock mlock2 mlockall munlock munlockall \
     remap_file_pages memfd_create memfd_secret pkey_alloc pkey_free pkey_mprotect map_shadow_stack mseal",
    // Scheduling and limits
    "sched_yield sched_getaffinity sched_setaffinity sched_getattr sched_setattr sched_getparam sched_setparam \
     sched_getscheduler sched_setscheduler sched_get_priority_max sched_get_priority_min sched_rr_get_interval \
     sched_rr_get_interval_time64 getpriority setpriority ioprio_get ioprio_set getrlimit ugetrlimit setrlimit \
     prlimit64 sysinfo uname",
    // Time; setting it is not among these (clock_adjtime and adjtimex ask, and set only with CAP_SYS_TIME)
    "time gettimeofday clock_gettime clock_gettime64 clock_getres clock_getres_time64 clock_nanosleep \
     clock_nanosleep_time64 nanosleep alarm getitimer setitimer adjtimex clock_adjtime clock_adjtime64 timer_create timer_delete \
     timer_getoverrun timer_gettime timer_gettime64 timer_settime timer_settime64 timerfd_create timerfd_gettime \
     timerfd_gettime64 timerfd_settime timerfd_settime64",
    // Waiting
    "poll ppoll ppoll_time64 select _newselect pselect6 pselect6_time64 epoll_create epoll_create1 epoll_ctl \
     epoll_ctl_old epoll_wait epoll_wait_old epoll_pwait epoll_pwait2 eventfd eventfd2 futex futex_time64 \
     futex_waitv futex_wait futex_wake futex_requeue inotify_init inotify_init1 inotify_add_watch \
     inotify_rm_watch fanotify_mark",
    // Opening, reading, writing
    "open openat openat2 creat close close_range dup dup2 dup3 fcntl fcntl64 ioctl read readv pread64 preadv preadv2 \
     write writev pwrite64 pwritev pwritev2 lseek _llseek sendfile sendfile64 splice tee vmsplice copy_file_range \
     readahead fadvise64 fadvise64_64 fsync fdatasync sync syncfs sync_file_range flock fallocate truncate truncate64 \
     ftruncate ftruncate64 pipe pipe2 cachestat name_to_handle_at",
    "io_setup io_destroy io_submit io_cancel io_getevents io_pgetevents io_pgetevents_time64",
    // Names and attributes of files
    "access faccessat faccessat2 stat stat64 lstat lstat64 fstat fstat64 fstatat64 newfstatat statx statfs statfs64 \
     fstatfs fstatfs64 statmount listmount chmod fchmod fchmodat fchmodat2 chown chown32 fchown fchown32 fchownat lchown lchown32 utime \
     utimes futimesat utimensat utimensat_time64 chdir fchdir getcwd getdents getdents64 mkdir mkdirat rmdir rename \
     renameat renameat2 link linkat symlink symlinkat readlink readlinkat unlink unlinkat mknod mknodat",
    "getxattr lgetxattr fgetxattr getxattrat setxattr lsetxattr fsetxattr setxattrat listxattr llistxattr flistxattr \
     listxattrat removexattr lremovexattr fremovexattr removexattrat",
    // Sockets; socket itself has a rule below
    "socketpair socketcall bind listen accept accept4 connect shutdown getsockname getpeername getsockopt setsockopt \
     send sendto sendmsg sendmmsg recv recvfrom recvmsg recvmmsg recvmmsg_time64",
    // System V and POSIX interprocess communication
    "ipc shmget shmat shmdt shmctl semget semop semctl semtimedop semtimedop_time64 msgget msgsnd msgrcv msgctl \
     mq_open mq_unlink mq_notify mq_getsetattr mq_timedsend mq_timedsend_time64 mq_timedreceive \
     mq_timedreceive_time64",
    "getrandom",
    // Only where the machine has them
    "arch_prctl modify_ldt arm_fadvise64_64 arm_sync_file_range sync_file_range2 breakpoint cacheflush set_tls \
     uretprobe",
];

/// What a capability brings with it.
const WITH: &[(&str, &str)] = &[
    ("CAP_BPF", "bpf"),
    ("CAP_DAC_READ_SEARCH", "open_by_handle_at"),
    ("CAP_PERFMON", "perf_event_open"),
    (
        "CAP_SYS_ADMIN",
        "bpf clone clone3 fanotify_init fsconfig fsmount fsopen fspick lookup_dcookie mount mount_setattr move_mount \
         open_tree perf_event_open quotactl quotactl_fd setdomainname sethostname setns syslog umount umount2 unshare",
    ),
    ("CAP_SYS_BOOT", "reboot"),
    ("CAP_SYS_CHROOT", "chroot"),
    ("CAP_SYS_MODULE", "delete_module init_module finit_module"),
    (
        "CAP_SYS_NICE",
        "get_mempolicy mbind set_mempolicy set_mempolicy_home_node",
    ),
    ("CAP_SYS_PACCT", "acct"),
    (
        "CAP_SYS_PTRACE",
        "kcmp pidfd_getfd process_madvise process_vm_readv process_vm_writev ptrace",
    ),
    ("CAP_SYS_RAWIO", "iopl ioperm"),
    (
        "CAP_SYS_TIME",
        "settimeofday stime clock_settime clock_settime64",
    ),
    ("CAP_SYS_TTY_CONFIG", "vhangup"),
    ("CAP_SYSLOG", "syslog"),
];

/// From Linux 4.8 on a tracer cannot change a call behind the filter's back.
const SAFE_FROM_4_8: &str = "process_vm_readv process_vm_writev ptrace";

/// personality(2): Linux, 32-bit reports, both with the 2.6 version number, and the question what is set.
const PERSONALITIES: [u64; 5] = [0, 0x8, 0x2_0000, 0x2_0008, 0xffff_ffff];

/// CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET.
const NEW_NAMESPACES: u64 = 0x7E02_0000;
/// Sockets to the kernel's ciphers: much of the kernel within reach for something hardly any program needs.
const AF_ALG: u64 = 38;
/// Sockets to the hypervisor pass by every network policy.
const AF_VSOCK: u64 = 40;
const FLAG_SPEC_ALLOW: u32 = 1 << 2;

pub fn policy(capabilities: &[String], kernel: (u32, u32)) -> Policy {
    let allow = |names: &str, conditions: Vec<Condition>| Rule {
        names: names.split_whitespace().map(str::to_owned).collect(),
        action: Action::Allow,
        conditions,
    };
    let on_first = |operator: Operator, value: u64| {
        vec![Condition {
            argument: 0,
            operator,
            value,
        }]
    };
    let has = |name: &str| capabilities.iter().any(|c| c == name);
    let mut rules: Vec<Rule> = ALWAYS
        .iter()
        .map(|names| allow(names, Vec::new()))
        .collect();
    for value in PERSONALITIES {
        rules.push(allow("personality", on_first(Operator::Equal, value)));
    }
    let other_families = [AF_ALG, AF_VSOCK]
        .into_iter()
        .flat_map(|family| on_first(Operator::NotEqual, family));
    rules.push(allow("socket", other_families.collect()));
    if kernel >= (4, 8) {
        rules.push(allow(SAFE_FROM_4_8, Vec::new()));
    }
    for (_, names) in WITH.iter().filter(|(capability, _)| has(capability)) {
        rules.push(allow(names, Vec::new()));
    }
    if !has("CAP_SYS_ADMIN") {
        rules.push(allow(
            "clone",
            on_first(Operator::Masked(NEW_NAMESPACES), 0),
        ));
        // Its flags are behind a pointer. ENOSYS makes every C library fall back to clone.
        rules.push(Rule {
            names: vec!["clone3".to_owned()],
            action: Action::Errno(libc::ENOSYS as u16),
            conditions: Vec::new(),
        });
    }
    Policy {
        default: Action::Errno(libc::EPERM as u16),
        architectures: NATIVE.to_vec(),
        rules,
        flags: FLAG_SPEC_ALLOW,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::runtime::seccomp::architecture::Architecture;
    use std::collections::HashSet;

    #[test]
    fn every_name_is_a_call_somewhere_and_stands_once() {
        let all = [
            Architecture::X86_64,
            Architecture::X86,
            Architecture::Aarch64,
            Architecture::Arm,
        ];
        let mut seen = HashSet::new();
        // libseccomp's own names for calls that have another one in the kernel, and ones of kernels long gone.
        let elsewhere = [
            "getsid",
            "recv",
            "send",
            "epoll_ctl_old",
            "epoll_wait_old",
            "utimensat_time64",
        ];
        for name in ALWAYS.iter().flat_map(|names| names.split_whitespace()) {
            assert!(seen.insert(name), "{name} stands twice");
            let known = all.iter().any(|a| a.number(name).is_some());
            assert!(known || elsewhere.contains(&name), "{name}");
        }
        for name in WITH.iter().flat_map(|(_, names)| names.split_whitespace()) {
            assert!(!seen.contains(name), "{name} is allowed to everybody");
        }
    }

    /// What the first argument of `name` comes to, by the table alone.
    fn verdict(capabilities: &[&str], kernel: (u32, u32), name: &str, first: u64) -> Action {
        let capabilities: Vec<String> = capabilities.iter().map(|c| (*c).to_owned()).collect();
        let policy = policy(&capabilities, kernel);
        let holds = |c: &Condition| match c.operator {
            Operator::Equal => first == c.value,
            Operator::NotEqual => first != c.value,
            Operator::Masked(mask) => first & mask == c.value,
            _ => panic!("no such comparison in this table"),
        };
        let rule = policy
            .rules
            .iter()
            .find(|rule| rule.names.iter().any(|n| n == name) && rule.conditions.iter().all(holds));
        rule.map_or(policy.default, |rule| rule.action)
    }

    // What containerd 2.x (contrib/seccomp, 2026) says of the same calls.
    #[test]
    fn notable_calls_come_to_what_containerd_has_them_come_to() {
        let closed = Action::Errno(libc::EPERM as u16);
        for (name, first, action) in [
            ("mseal", 0, Action::Allow),
            ("statmount", 0, Action::Allow),
            ("listmount", 0, Action::Allow),
            ("lsm_list_modules", 0, Action::Allow),
            ("clock_adjtime", 0, Action::Allow),
            ("landlock_restrict_self", 0, Action::Allow),
            ("map_shadow_stack", 0, Action::Allow),
            ("ptrace", 0, Action::Allow),
            ("name_to_handle_at", 0, Action::Allow),
            ("socket", 2, Action::Allow),
            ("socket", AF_ALG, closed),
            ("socket", 39, Action::Allow),
            ("socket", AF_VSOCK, closed),
            ("socket", 44, Action::Allow),
            ("personality", 0x8, Action::Allow),
            // ADDR_NO_RANDOMIZE.
            ("personality", 0x4_0000, closed),
            ("clone", 0x11, Action::Allow),
            ("clone", 0x1000_0000, closed),
            ("clone3", 0, Action::Errno(libc::ENOSYS as u16)),
            ("io_uring_setup", 0, closed),
            ("io_uring_enter", 0, closed),
            ("userfaultfd", 0, closed),
            ("keyctl", 0, closed),
            ("add_key", 0, closed),
            ("bpf", 0, closed),
            ("mount", 0, closed),
            ("unshare", 0, closed),
            ("setns", 0, closed),
            ("open_by_handle_at", 0, closed),
            ("clock_settime", 0, closed),
            ("kexec_load", 0, closed),
            ("swapon", 0, closed),
            ("a_call_of_tomorrow", 0, closed),
        ] {
            assert_eq!(
                verdict(&[], (6, 12), name, first),
                action,
                "{name} {first:#x}"
            );
        }
        for (capability, name, first) in [
            ("CAP_SYS_ADMIN", "clone", 0x1000_0000),
            ("CAP_SYS_ADMIN", "clone3", 0),
            ("CAP_BPF", "bpf", 0),
            ("CAP_PERFMON", "perf_event_open", 0),
            ("CAP_SYS_NICE", "set_mempolicy_home_node", 0),
            ("CAP_SYS_PTRACE", "pidfd_getfd", 0),
            ("CAP_DAC_READ_SEARCH", "open_by_handle_at", 0),
        ] {
            assert_eq!(
                verdict(&[capability], (6, 12), name, first),
                Action::Allow,
                "{name}"
            );
        }
    }

    #[test]
    fn capabilities_and_kernels_open_calls() {
        let allows = |capabilities: &[&str], kernel, name: &str| {
            let capabilities: Vec<String> = capabilities.iter().map(|c| (*c).to_owned()).collect();
            policy(&capabilities, kernel).rules.iter().any(|rule| {
                rule.action == Action::Allow
                    && rule.conditions.is_empty()
                    && rule.names.iter().any(|n| n == name)
            })
        };
        for (capability, call) in [
            ("CAP_SYS_ADMIN", "mount"),
            ("CAP_SYS_ADMIN", "clone3"),
            ("CAP_SYS_CHROOT", "chroot"),
            ("CAP_SYSLOG", "syslog"),
            ("CAP_SYS_TIME", "clock_settime"),
        ] {
            assert!(allows(&[capability], (6, 1), call), "{call}");
            assert!(!allows(&[], (6, 1), call), "{call}");
        }
        assert!(allows(&[], (4, 8), "ptrace") && !allows(&[], (4, 7), "ptrace"));
        assert!(allows(&["CAP_SYS_PTRACE"], (4, 4), "ptrace"));
    }
}
