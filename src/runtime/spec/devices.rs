//! Devices: the nodes every container gets, and the program that keeps it from all others on cgroup v2.
//!
//! v1 has a controller with a list of rules, which libcontainer writes. On v2 a small program decides on every `mknod`
//! and `open` of a device node: <https://docs.kernel.org/admin-guide/cgroup-v2.html>, "Device controller";
//! bpf(2), `BPF_PROG_TYPE_CGROUP_DEVICE`. It is so small that we write its instructions ourselves.

/// What may be done with a device: `BPF_DEVCG_ACC_*` of linux/bpf.h.
pub const MKNOD: u32 = 1;
pub const READ: u32 = 2;
pub const WRITE: u32 = 4;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `BPF_DEVCG_DEV_BLOCK`.
    #[allow(dead_code)] // No default device is one; rules and tests speak of them.
    Block = 1,
    /// `BPF_DEVCG_DEV_CHAR`.
    Character = 2,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    /// `None`: both.
    pub kind: Option<Kind>,
    /// `None`: every one.
    pub major: Option<u32>,
    pub minor: Option<u32>,
    /// Of [`MKNOD`], [`READ`], [`WRITE`].
    pub access: u32,
}

const fn character(major: u32, minor: Option<u32>) -> Rule {
    Rule {
        kind: Some(Kind::Character),
        major: Some(major),
        minor,
        access: MKNOD | READ | WRITE,
    }
}

/// As the OCI runtimes: nodes of all devices may be made, these may be used. The node of another is only a name.
pub const DEFAULT: [Rule; 10] = [
    Rule {
        kind: None,
        major: None,
        minor: None,
        access: MKNOD,
    },
    character(1, Some(3)), // null
    character(1, Some(5)), // zero
    character(1, Some(7)), // full
    character(1, Some(8)), // random
    character(1, Some(9)), // urandom
    character(5, Some(0)), // tty
    character(5, Some(1)), // console
    character(5, Some(2)), // ptmx
    character(136, None),  // pts
];

/// One instruction as `struct bpf_insn`: code, registers (source in the high four bits), offset, number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub struct Instruction {
    pub code: u8,
    pub registers: u8,
    pub offset: i16,
    pub number: i32,
}

/// linux/bpf_common.h and linux/bpf.h.
const LOAD_WORD: u8 = 0x61; // BPF_LDX | BPF_MEM | BPF_W
const MOVE: u8 = 0xb7; // BPF_ALU64 | BPF_MOV | BPF_K
const COPY: u8 = 0xbf; // BPF_ALU64 | BPF_MOV | BPF_X
const AND: u8 = 0x57; // BPF_ALU64 | BPF_AND | BPF_K
const SHIFT_RIGHT: u8 = 0x77; // BPF_ALU64 | BPF_RSH | BPF_K
const IF_NOT_EQUAL: u8 = 0x55; // BPF_JMP | BPF_JNE | BPF_K
const EXIT: u8 = 0x95; // BPF_JMP | BPF_EXIT

/// Registers: 0 answers, 1 comes in as the context, 2 to 5 are free.
const ANSWER: u8 = 0;
const CONTEXT: u8 = 1;
const KIND: u8 = 2;
const ACCESS: u8 = 3;
const MAJOR: u8 = 4;
const MINOR: u8 = 5;

fn step(code: u8, to: u8, from: u8, offset: i16, number: u32) -> Instruction {
    Instruction {
        code,
        registers: from << 4 | to,
        offset,
        number: number.cast_signed(),
    }
}

/// Allows what one rule allows whole, and nothing else. The context is `struct bpf_cgroup_dev_ctx`: the kind in the low
/// half of its first word and the access in the high half, then major and minor.
pub fn program(rules: &[Rule]) -> Vec<Instruction> {
    let mut made = vec![
        step(LOAD_WORD, KIND, CONTEXT, 0, 0),
        step(COPY, ACCESS, KIND, 0, 0),
        step(AND, KIND, 0, 0, 0xffff),
        step(SHIFT_RIGHT, ACCESS, 0, 0, 16),
        step(LOAD_WORD, MAJOR, CONTEXT, 4, 0),
        step(LOAD_WORD, MINOR, CONTEXT, 8, 0),
    ];
    for rule in rules {
        let mut tests = Vec::new();
        if let Some(kind) = rule.kind {
            tests.push((KIND, kind as u32));
        }
        if let Some(major) = rule.major {
            tests.push((MAJOR, major));
        }
        if let Some(minor) = rule.minor {
            tests.push((MINOR, minor));
        }
        let all = rule.access == MKNOD | READ | WRITE;
        // What is asked for beyond the rule must be nothing.
        let beyond = if all { 0 } else { 3 };
        let mut left = tests.len() as i16 + beyond + 2;
        for (register, value) in tests {
            left -= 1;
            made.push(step(IF_NOT_EQUAL, register, 0, left, value));
        }
        if !all {
            made.push(step(COPY, CONTEXT, ACCESS, 0, 0));
            made.push(step(AND, CONTEXT, 0, 0, !rule.access & 0xffff));
            made.push(step(IF_NOT_EQUAL, CONTEXT, 0, 2, 0));
        }
        made.push(step(MOVE, ANSWER, 0, 0, 1));
        made.push(step(EXIT, 0, 0, 0, 0));
    }
    made.push(step(MOVE, ANSWER, 0, 0, 0));
    made.push(step(EXIT, 0, 0, 0, 0));
    made
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The kernel's machine, as far as the program uses it.
    fn run(program: &[Instruction], kind: Kind, access: u32, major: u32, minor: u32) -> u64 {
        let context = [
            u64::from(access << 16 | kind as u32),
            major.into(),
            minor.into(),
        ];
        let mut registers = [0u64; 11];
        let mut at = 0usize;
        loop {
            let now = program[at];
            let to = usize::from(now.registers & 15);
            let from = usize::from(now.registers >> 4);
            let number = u64::from(now.number.cast_unsigned());
            at += 1;
            match now.code {
                LOAD_WORD => registers[to] = context[now.offset as usize / 4],
                MOVE => registers[to] = number,
                COPY => registers[to] = registers[from],
                AND => registers[to] &= number,
                SHIFT_RIGHT => registers[to] >>= number,
                IF_NOT_EQUAL => {
                    if registers[to] != number {
                        at += now.offset as usize;
                    }
                }
                EXIT => return registers[0],
                other => panic!("unknown operation {other:#x}"),
            }
        }
    }

    #[test]
    fn the_default_devices() {
        let program = program(&DEFAULT);
        for (kind, access, major, minor, want) in [
            (Kind::Character, READ | WRITE, 1, 3, 1),
            (Kind::Character, READ, 1, 9, 1),
            (Kind::Character, READ | WRITE, 136, 7, 1),
            (Kind::Character, READ, 1, 1, 0),    // mem
            (Kind::Character, READ, 10, 200, 0), // tun
            (Kind::Block, READ, 8, 0, 0),
            (Kind::Block, READ, 1, 3, 0),
            (Kind::Block, MKNOD, 8, 0, 1),
            (Kind::Character, MKNOD, 10, 200, 1),
            (Kind::Block, MKNOD | READ, 8, 0, 0),
        ] {
            let got = run(&program, kind, access, major, minor);
            assert_eq!(got, want, "{kind:?} {access} {major}:{minor}");
        }
    }

    #[test]
    fn all_and_none() {
        let all = Rule {
            kind: None,
            major: None,
            minor: None,
            access: MKNOD | READ | WRITE,
        };
        assert_eq!(run(&program(&[all]), Kind::Block, 7, 8, 1), 1);
        assert_eq!(run(&program(&[]), Kind::Block, 2, 8, 1), 0);
    }
}
