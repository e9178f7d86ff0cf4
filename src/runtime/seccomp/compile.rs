//! From a policy to a program for the kernel's packet filter machine.
//! <https://docs.kernel.org/userspace-api/seccomp_filter.html>, `struct seccomp_data` of linux/seccomp.h.

use super::architecture::Architecture;
use super::{Action, Condition, Operator, Policy};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// The kernel's `BPF_MAXINSNS`.
const INSTRUCTIONS_MAX: usize = 4096;
/// x32 calls carry this bit on x86_64 (`__X32_SYSCALL_BIT`). They get what a kernel without x32 says.
const X32_BIT: u32 = 0x4000_0000;

/// Offsets in `struct seccomp_data`; every architecture here is little endian.
const NUMBER: u32 = 0;
const ARCHITECTURE: u32 = 4;
const ARGUMENTS: u32 = 16;

/// Operations of the machine, linux/bpf_common.h.
const LOAD: u16 = 0x20; // BPF_LD | BPF_W | BPF_ABS
const AND: u16 = 0x54; // BPF_ALU | BPF_AND | BPF_K
const JUMP: u16 = 0x05; // BPF_JMP | BPF_JA
const IF_EQUAL: u16 = 0x15; // BPF_JMP | BPF_JEQ | BPF_K
const IF_GREATER: u16 = 0x25; // BPF_JMP | BPF_JGT | BPF_K
const IF_AT_LEAST: u16 = 0x35; // BPF_JMP | BPF_JGE | BPF_K
const RETURN: u16 = 0x06; // BPF_RET | BPF_K

/// One step: as `struct sock_filter`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Instruction {
    pub code: u16,
    pub if_true: u8,
    pub if_false: u8,
    pub operand: u32,
}

/// A program the kernel takes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Filter {
    pub program: Vec<Instruction>,
    /// `SECCOMP_FILTER_FLAG_*`.
    pub flags: u32,
}

fn step(code: u16, operand: u32) -> Instruction {
    Instruction {
        code,
        if_true: 0,
        if_false: 0,
        operand,
    }
}

fn branch(code: u16, operand: u32, if_true: u8, if_false: u8) -> Instruction {
    Instruction {
        code,
        if_true,
        if_false,
        operand,
    }
}

impl Action {
    /// `SECCOMP_RET_*`.
    fn value(self) -> u32 {
        match self {
            Action::KillProcess => 0x8000_0000,
            Action::KillThread => 0,
            Action::Trap => 0x0003_0000,
            Action::Errno(number) => 0x0005_0000 | u32::from(number),
            Action::Trace(data) => 0x7ff0_0000 | u32::from(data),
            Action::Log => 0x7ffc_0000,
            Action::Allow => 0x7fff_0000,
        }
    }
}

/// What one system call comes to: the first test whose conditions hold, or `otherwise`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Outcome {
    tests: Vec<(Vec<Condition>, Action)>,
    otherwise: Action,
}

impl Outcome {
    fn always(action: Action) -> Outcome {
        Outcome {
            tests: Vec::new(),
            otherwise: action,
        }
    }
}

pub fn compile(policy: &Policy) -> Result<Filter, String> {
    let mut program = vec![step(LOAD, ARCHITECTURE)];
    for architecture in &policy.architectures {
        let section = section(policy, *architecture);
        // Past the jump where it is this one, past the section where it is not.
        program.push(branch(IF_EQUAL, architecture.audit(), 1, 0));
        program.push(step(JUMP, length(&section)));
        program.extend(section);
    }
    // What cannot be named cannot be judged: as libseccomp for a foreign architecture.
    program.push(step(RETURN, Action::KillProcess.value()));
    if program.len() > INSTRUCTIONS_MAX {
        return Err(format!(
            "the profile makes a filter of {} instructions; the kernel takes {INSTRUCTIONS_MAX}",
            program.len()
        ));
    }
    Ok(Filter {
        program,
        flags: policy.flags,
    })
}

fn length(part: &[Instruction]) -> u32 {
    u32::try_from(part.len()).unwrap_or(u32::MAX)
}

fn section(policy: &Policy, architecture: Architecture) -> Vec<Instruction> {
    let mut section = vec![step(LOAD, NUMBER)];
    section.extend(search(&intervals(policy, architecture)));
    section
}

/// Where each outcome begins; it holds until the next one. The first begins at 0.
fn intervals(policy: &Policy, architecture: Architecture) -> Vec<(u32, Outcome)> {
    let mut calls: BTreeMap<u32, Outcome> = BTreeMap::new();
    let mut settled: BTreeSet<u32> = BTreeSet::new();
    for rule in &policy.rules {
        for number in rule.names.iter().filter_map(|n| architecture.number(n)) {
            let outcome = calls
                .entry(number)
                .or_insert_with(|| Outcome::always(policy.default));
            if rule.conditions.is_empty() {
                // The first rule without conditions is the answer where no condition holds.
                if settled.insert(number) {
                    outcome.otherwise = rule.action;
                }
            } else {
                outcome.tests.push((rule.conditions.clone(), rule.action));
            }
        }
    }
    if architecture == Architecture::X86_64 {
        calls.insert(X32_BIT, Outcome::always(Action::Errno(libc::ENOSYS as u16)));
    }
    let default = Outcome::always(policy.default);
    let mut starts: Vec<(u32, Outcome)> = vec![(0, default.clone())];
    let mut begin = |at: u32, outcome: &Outcome| match starts.last_mut() {
        Some((start, last)) if *start == at => *last = outcome.clone(),
        Some((_, last)) if last == outcome => {}
        _ => starts.push((at, outcome.clone())),
    };
    for (number, outcome) in &calls {
        begin(*number, outcome);
        let next = number + 1;
        if *number != X32_BIT && !calls.contains_key(&next) {
            begin(next, &default);
        }
    }
    starts
}

/// Halves the intervals: the number is in the accumulator.
fn search(intervals: &[(u32, Outcome)]) -> Vec<Instruction> {
    match intervals {
        [] => Vec::new(),
        [(_, outcome)] => judge(outcome),
        _ => {
            let (low, high) = intervals.split_at(intervals.len() / 2);
            let (start, low, high) = (high[0].0, search(low), search(high));
            let mut made = match u8::try_from(low.len()) {
                Ok(distance) => vec![branch(IF_AT_LEAST, start, distance, 0)],
                Err(_) => vec![branch(IF_AT_LEAST, start, 0, 1), step(JUMP, length(&low))],
            };
            made.extend(low);
            made.extend(high);
            made
        }
    }
}

fn judge(outcome: &Outcome) -> Vec<Instruction> {
    let mut made = Vec::new();
    for (conditions, action) in &outcome.tests {
        made.extend(test(conditions, *action));
    }
    made.push(step(RETURN, outcome.otherwise.value()));
    made
}

/// Where a condition's step goes.
#[derive(Clone, Copy)]
enum To {
    Next,
    /// The condition holds.
    Pass,
    /// It does not: on to the next test.
    Fail,
}

/// Returns `action` where all conditions hold, else runs on behind itself. At most six conditions of five steps: every
/// distance fits.
fn test(conditions: &[Condition], action: Action) -> Vec<Instruction> {
    let parts: Vec<Vec<(u16, u32, To, To)>> = conditions.iter().map(condition).collect();
    let total: usize = parts.iter().map(Vec::len).sum::<usize>() + 1;
    let mut made = Vec::with_capacity(total);
    for part in parts {
        let end = made.len() + part.len();
        for (code, operand, if_true, if_false) in part {
            let here = made.len() + 1;
            let distance = |to: To| {
                let at = match to {
                    To::Next => here,
                    To::Pass => end,
                    To::Fail => total,
                };
                (at - here) as u8
            };
            made.push(branch(code, operand, distance(if_true), distance(if_false)));
        }
    }
    made.push(step(RETURN, action.value()));
    made
}

/// An argument has 64 bits, the machine 32: the high half first.
fn condition(condition: &Condition) -> Vec<(u16, u32, To, To)> {
    use To::{Fail, Next, Pass};
    let at = ARGUMENTS + 8 * u32::from(condition.argument);
    let (high, low) = ((condition.value >> 32) as u32, condition.value as u32);
    let load_high = (LOAD, at + 4, Next, Next);
    let load_low = (LOAD, at, Next, Next);
    match condition.operator {
        Operator::Equal => vec![
            load_high,
            (IF_EQUAL, high, Next, Fail),
            load_low,
            (IF_EQUAL, low, Pass, Fail),
        ],
        Operator::NotEqual => vec![
            load_high,
            (IF_EQUAL, high, Next, Pass),
            load_low,
            (IF_EQUAL, low, Fail, Pass),
        ],
        Operator::Greater | Operator::GreaterOrEqual => vec![
            load_high,
            (IF_GREATER, high, Pass, Next),
            (IF_EQUAL, high, Next, Fail),
            load_low,
            if condition.operator == Operator::Greater {
                (IF_GREATER, low, Pass, Fail)
            } else {
                (IF_AT_LEAST, low, Pass, Fail)
            },
        ],
        Operator::Less | Operator::LessOrEqual => vec![
            load_high,
            (IF_GREATER, high, Fail, Next),
            (IF_EQUAL, high, Next, Pass),
            load_low,
            if condition.operator == Operator::Less {
                (IF_AT_LEAST, low, Fail, Pass)
            } else {
                (IF_GREATER, low, Fail, Pass)
            },
        ],
        Operator::Masked(mask) => vec![
            load_high,
            (AND, (mask >> 32) as u32, Next, Next),
            (IF_EQUAL, high, Next, Fail),
            load_low,
            (AND, mask as u32, Next, Next),
            (IF_EQUAL, low, Pass, Fail),
        ],
    }
}

#[cfg(test)]
#[path = "compile_tests.rs"]
mod tests;
