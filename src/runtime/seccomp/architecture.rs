//! Calling conventions a filter can tell apart, and their numbers of system calls.

use std::str::FromStr;
use syscalls::{aarch64, arm, x86, x86_64};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Architecture {
    X86_64,
    X86,
    Aarch64,
    Arm,
}

/// This machine's first, then that of 32-bit programs it can also run. A 32-bit userland may sit on a 64-bit kernel.
#[cfg(target_arch = "x86_64")]
pub const NATIVE: [Architecture; 2] = [Architecture::X86_64, Architecture::X86];
#[cfg(target_arch = "aarch64")]
pub const NATIVE: [Architecture; 2] = [Architecture::Aarch64, Architecture::Arm];
#[cfg(target_arch = "arm")]
pub const NATIVE: [Architecture; 2] = [Architecture::Arm, Architecture::Aarch64];

/// Names the OCI format knows and that no board of ours is: a profile may list them.
const FOREIGN: [&str; 15] = [
    "SCMP_ARCH_X32",
    "SCMP_ARCH_MIPS",
    "SCMP_ARCH_MIPS64",
    "SCMP_ARCH_MIPS64N32",
    "SCMP_ARCH_MIPSEL",
    "SCMP_ARCH_MIPSEL64",
    "SCMP_ARCH_MIPSEL64N32",
    "SCMP_ARCH_PPC",
    "SCMP_ARCH_PPC64",
    "SCMP_ARCH_PPC64LE",
    "SCMP_ARCH_S390",
    "SCMP_ARCH_S390X",
    "SCMP_ARCH_PARISC",
    "SCMP_ARCH_PARISC64",
    "SCMP_ARCH_RISCV64",
];

/// Calls of 32-bit ARM outside of the common table (`__ARM_NR_BASE` of asm/unistd.h), and second names that profiles
/// use. Without `set_tls` no program comes as far as its first line.
const ARM_PRIVATE: [(&str, u32); 4] = [
    ("breakpoint", 0x0F_0001),
    ("cacheflush", 0x0F_0002),
    ("set_tls", 0x0F_0005),
    ("sync_file_range2", 341),
];

impl Architecture {
    /// By its OCI name; `None` for one this machine never has.
    pub fn named(name: &str) -> Result<Option<Architecture>, String> {
        Ok(Some(match name {
            "SCMP_ARCH_X86_64" => Architecture::X86_64,
            "SCMP_ARCH_X86" => Architecture::X86,
            "SCMP_ARCH_AARCH64" => Architecture::Aarch64,
            "SCMP_ARCH_ARM" => Architecture::Arm,
            other if FOREIGN.contains(&other) => return Ok(None),
            other => return Err(format!("unknown architecture {other:?}")),
        }))
    }

    /// `AUDIT_ARCH_*` of linux/audit.h: the ELF machine with bits for 64 bits and little endian.
    pub fn audit(self) -> u32 {
        match self {
            Architecture::X86_64 => 0xC000_003E,
            Architecture::X86 => 0x4000_0003,
            Architecture::Aarch64 => 0xC000_00B7,
            Architecture::Arm => 0x4000_0028,
        }
    }

    /// `None`: there is no such call here.
    pub fn number(self, name: &str) -> Option<u32> {
        match self {
            Architecture::X86_64 => x86_64::Sysno::from_str(name).ok().map(|n| n.id() as u32),
            Architecture::X86 => x86::Sysno::from_str(name).ok().map(|n| n.id() as u32),
            Architecture::Aarch64 => aarch64::Sysno::from_str(name).ok().map(|n| n.id() as u32),
            Architecture::Arm => ARM_PRIVATE
                .iter()
                .find(|(own, _)| *own == name)
                .map(|(_, number)| *number)
                .or_else(|| arm::Sysno::from_str(name).ok().map(|n| n.id() as u32)),
        }
    }
}
