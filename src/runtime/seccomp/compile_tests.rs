//! The program is run by a machine of ours and held against a direct reading of the policy.
#![allow(clippy::unwrap_used)]

use super::super::{Rule, runtime_default};
use super::*;
use proptest::prelude::*;

/// The kernel's machine, as far as filters use it.
fn run(filter: &Filter, architecture: u32, number: u32, arguments: [u64; 6]) -> u32 {
    let word = |offset: u32| match offset {
        NUMBER => number,
        ARCHITECTURE => architecture,
        _ => {
            let value = arguments[((offset - ARGUMENTS) / 8) as usize];
            if (offset - ARGUMENTS) % 8 == 4 {
                (value >> 32) as u32
            } else {
                value as u32
            }
        }
    };
    let (mut at, mut accumulator) = (0usize, 0u32);
    loop {
        let now = filter.program[at];
        let holds = match now.code {
            LOAD => {
                accumulator = word(now.operand);
                false
            }
            AND => {
                accumulator &= now.operand;
                false
            }
            JUMP => {
                at += now.operand as usize;
                false
            }
            RETURN => return now.operand,
            IF_EQUAL => accumulator == now.operand,
            IF_GREATER => accumulator > now.operand,
            IF_AT_LEAST => accumulator >= now.operand,
            other => panic!("unknown operation {other:#x}"),
        };
        at += 1 + usize::from(if holds { now.if_true } else { now.if_false });
    }
}

fn holds(condition: &Condition, arguments: [u64; 6]) -> bool {
    let value = arguments[usize::from(condition.argument)];
    match condition.operator {
        Operator::Equal => value == condition.value,
        Operator::NotEqual => value != condition.value,
        Operator::Less => value < condition.value,
        Operator::LessOrEqual => value <= condition.value,
        Operator::Greater => value > condition.value,
        Operator::GreaterOrEqual => value >= condition.value,
        Operator::Masked(mask) => value & mask == condition.value,
    }
}

fn expected(policy: &Policy, architecture: Architecture, number: u32, arguments: [u64; 6]) -> u32 {
    let mine = |rule: &&Rule| {
        rule.names
            .iter()
            .any(|n| architecture.number(n) == Some(number))
    };
    let rules: Vec<&Rule> = policy.rules.iter().filter(mine).collect();
    rules
        .iter()
        .find(|r| !r.conditions.is_empty() && r.conditions.iter().all(|c| holds(c, arguments)))
        .or_else(|| rules.iter().find(|r| r.conditions.is_empty()))
        .map_or(policy.default, |rule| rule.action)
        .value()
}

fn operator() -> impl Strategy<Value = Operator> {
    prop_oneof![
        Just(Operator::Equal),
        Just(Operator::NotEqual),
        Just(Operator::Less),
        Just(Operator::LessOrEqual),
        Just(Operator::Greater),
        Just(Operator::GreaterOrEqual),
        value().prop_map(Operator::Masked),
    ]
}

/// Numbers that meet each other and both halves' borders.
fn value() -> impl Strategy<Value = u64> {
    prop_oneof![
        0..3u64,
        Just(1 << 32),
        Just(u64::from(u32::MAX)),
        any::<u64>()
    ]
}

fn rule() -> impl Strategy<Value = Rule> {
    let condition =
        (0..6u8, operator(), value()).prop_map(|(argument, operator, value)| Condition {
            argument,
            operator,
            value,
        });
    let names = [
        "read", "write", "open", "close", "stat", "clone", "socket", "bpf",
    ];
    (
        proptest::sample::subsequence(names.to_vec(), 1..4),
        prop_oneof![
            Just(Action::Allow),
            Just(Action::Errno(1)),
            Just(Action::Log)
        ],
        proptest::collection::vec(condition, 0..3),
    )
        .prop_map(|(names, action, conditions)| Rule {
            names: names.into_iter().map(str::to_owned).collect(),
            action,
            conditions,
        })
}

proptest! {
    #[test]
    fn programs_do_what_the_policy_says(
        rules in proptest::collection::vec(rule(), 0..8),
        number in prop_oneof![0..6u32, Just(56), Just(41), Just(321), 0..500u32],
        arguments in proptest::array::uniform6(value()),
    ) {
        let policy = Policy {
            default: Action::Errno(38),
            architectures: vec![Architecture::X86_64, Architecture::X86],
            rules,
            flags: 0,
        };
        let filter = compile(&policy).unwrap();
        for architecture in [Architecture::X86_64, Architecture::X86] {
            prop_assert_eq!(
                run(&filter, architecture.audit(), number, arguments),
                expected(&policy, architecture, number, arguments)
            );
        }
    }
}

#[test]
fn the_default_of_every_architecture() {
    const EPERM: u32 = 0x0005_0001;
    const ENOSYS: u32 = 0x0005_0026;
    const ALLOWED: u32 = 0x7fff_0000;
    for (first, second) in [
        (Architecture::X86_64, Architecture::X86),
        (Architecture::Aarch64, Architecture::Arm),
        (Architecture::Arm, Architecture::Aarch64),
    ] {
        let mut policy = runtime_default::policy(&["CAP_CHOWN".to_owned()], (6, 1));
        policy.architectures = vec![first, second];
        let filter = compile(&policy).unwrap();
        assert!(filter.program.len() < 700, "{}", filter.program.len());
        for architecture in [first, second] {
            for (name, arguments, want) in [
                ("read", [0; 6], ALLOWED),
                ("execve", [0; 6], ALLOWED),
                ("capset", [0; 6], ALLOWED),
                ("mount", [0; 6], EPERM),
                ("unshare", [0; 6], EPERM),
                ("keyctl", [0; 6], EPERM),
                ("io_uring_setup", [0; 6], EPERM),
                ("clone3", [0; 6], ENOSYS),
                ("clone", [0x11, 0, 0, 0, 0, 0], ALLOWED),
                ("clone", [0x1000_0011, 0, 0, 0, 0, 0], EPERM),
                ("personality", [8, 0, 0, 0, 0, 0], ALLOWED),
                ("personality", [3, 0, 0, 0, 0, 0], EPERM),
                ("socket", [2, 1, 0, 0, 0, 0], ALLOWED),
                ("socket", [40, 1, 0, 0, 0, 0], EPERM),
                ("ptrace", [0; 6], ALLOWED),
            ] {
                let number = architecture.number(name).unwrap();
                let got = run(&filter, architecture.audit(), number, arguments);
                assert_eq!(got, want, "{architecture:?} {name} {arguments:?}");
            }
            assert_eq!(run(&filter, architecture.audit(), 5000, [0; 6]), EPERM);
        }
        assert_eq!(run(&filter, 0xC000_0016, 0, [0; 6]), 0x8000_0000);
    }
}

#[test]
fn x32_is_not_there() {
    let policy = runtime_default::policy(&[], (6, 1));
    let policy = Policy {
        architectures: vec![Architecture::X86_64],
        ..policy
    };
    let filter = compile(&policy).unwrap();
    for number in [X32_BIT, X32_BIT + 1, X32_BIT + 512] {
        let got = run(&filter, Architecture::X86_64.audit(), number, [0; 6]);
        assert_eq!(got, 0x0005_0026);
    }
}
