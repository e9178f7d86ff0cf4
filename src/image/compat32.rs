//! Whether this 64-bit kernel runs 32-bit programs: told by running one.
//!
//! Kernels are built without it (`CONFIG_COMPAT`, `CONFIG_IA32_EMULATION`), some processors cannot (several ARMv9 cores),
//! and no file says so everywhere. Only asked when an image offers nothing better.

use std::io::Write;
use std::os::fd::AsRawFd;
use std::process::{Command, Stdio};
use std::sync::OnceLock;

/// `exit(0)` for ARM EABI and for i386.
const ARM: [u8; 12] = [
    0x01, 0x70, 0xa0, 0xe3, // mov r7, #1
    0x00, 0x00, 0xa0, 0xe3, // mov r0, #0
    0x00, 0x00, 0x00, 0xef, // svc #0
];
const X86: [u8; 12] = [
    0xb8, 0x01, 0x00, 0x00, 0x00, // mov eax, 1
    0x31, 0xdb, // xor ebx, ebx
    0xcd, 0x80, // int 0x80
    0x90, 0x90, 0x90, // nop
];

/// e_machine and e_flags of the ELF header.
const EM_ARM: (u16, u32) = (40, 0x0500_0000);
const EM_386: (u16, u32) = (3, 0);

/// The 32-bit sibling of this machine's architecture, where it runs.
pub(super) fn runs() -> bool {
    static RUNS: OnceLock<bool> = OnceLock::new();
    *RUNS.get_or_init(|| match std::env::consts::ARCH {
        "aarch64" => exits_well(&program(EM_ARM, ARM)),
        "x86_64" => exits_well(&program(EM_386, X86)),
        _ => false,
    })
}

/// A static ELF program of one segment: header (52 bytes), program header (32 bytes), code.
fn program((machine, flags): (u16, u32), code: [u8; 12]) -> Vec<u8> {
    const BASE: u32 = 0x0001_0000;
    const HEADERS: u32 = 52 + 32;
    let size = HEADERS + 12;
    let mut elf = vec![0x7f, b'E', b'L', b'F', 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let half = |elf: &mut Vec<u8>, values: &[u16]| {
        elf.extend(values.iter().flat_map(|value| value.to_le_bytes()));
    };
    let word = |elf: &mut Vec<u8>, values: &[u32]| {
        elf.extend(values.iter().flat_map(|value| value.to_le_bytes()));
    };
    half(&mut elf, &[2, machine]);
    // Version, entry, program headers, section headers, flags.
    word(&mut elf, &[1, BASE + HEADERS, 52, 0, flags]);
    half(&mut elf, &[52, 32, 1, 0, 0, 0]);
    // PT_LOAD: offset, addresses, sizes, read and execute, alignment.
    word(&mut elf, &[1, 0, BASE, BASE, size, size, 5, 0x1000]);
    elf.extend(code);
    elf
}

/// Run from memory: the data directory may be mounted without the right to execute.
fn exits_well(program: &[u8]) -> bool {
    let name = c"coracle-32-bit";
    let Ok(fd) = nix::sys::memfd::memfd_create(name, nix::sys::memfd::MemFdCreateFlag::MFD_CLOEXEC)
    else {
        return false;
    };
    let mut file = std::fs::File::from(fd);
    if file.write_all(program).is_err() {
        return false;
    }
    // The kernel opens the program before it closes descriptors.
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    Command::new(path)
        .env_clear()
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_have_their_headers_in_place() {
        let elf = program(EM_386, X86);
        assert_eq!(elf.len(), 52 + 32 + 12);
        assert_eq!(elf[16..20], [2, 0, 3, 0]);
        assert_eq!(elf[40..54], [52, 0, 32, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 0]);
        assert!(!exits_well(b"no program"));
        // Whichever it is, asking again gives the same answer.
        assert_eq!(runs(), runs());
    }
}
