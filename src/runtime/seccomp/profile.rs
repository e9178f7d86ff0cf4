//! Profiles in JSON: the `seccomp` object of the OCI runtime specification.
//! <https://github.com/opencontainers/runtime-spec/blob/main/config-linux.md#seccomp>

use super::architecture::{Architecture, NATIVE};
use super::{Action, Condition, Operator, Policy, Rule};
use serde::Deserialize;

/// Largest error number the kernel hands on (`MAX_ERRNO`).
const ERRNO_MAX: u32 = 4095;
const FLAG_LOG: u32 = 1 << 1;
const FLAG_SPEC_ALLOW: u32 = 1 << 2;

/// Unknown fields are refused: Docker's own format has `includes` and `excludes`, and a rule without its exception
/// is another rule.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Profile {
    default_action: String,
    default_errno_ret: Option<u32>,
    #[serde(default)]
    architectures: Vec<String>,
    #[serde(default)]
    flags: Vec<String>,
    #[serde(default)]
    syscalls: Vec<Calls>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Calls {
    names: Vec<String>,
    action: String,
    errno_ret: Option<u32>,
    #[serde(default)]
    args: Option<Vec<Argument>>,
    /// For people.
    #[serde(default, rename = "comment")]
    _comment: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Argument {
    index: u8,
    value: u64,
    #[serde(default)]
    value_two: u64,
    op: String,
}

pub fn parse(text: &str) -> Result<Policy, String> {
    let profile: Profile = serde_json::from_str(text).map_err(|e| e.to_string())?;
    let mut architectures = vec![NATIVE[0]];
    for name in &profile.architectures {
        if let Some(architecture) = Architecture::named(name)?
            && NATIVE.contains(&architecture)
            && !architectures.contains(&architecture)
        {
            architectures.push(architecture);
        }
    }
    let mut rules = Vec::new();
    for calls in profile.syscalls {
        if calls.names.is_empty() {
            return Err("an entry of syscalls has no names".to_owned());
        }
        let action = action(&calls.action, calls.errno_ret)?;
        for conditions in alternatives(calls.args.as_deref().unwrap_or_default())? {
            rules.push(Rule {
                names: calls.names.clone(),
                action,
                conditions,
            });
        }
    }
    Ok(Policy {
        default: action(&profile.default_action, profile.default_errno_ret)?,
        architectures,
        rules,
        flags: flags(&profile.flags)?,
    })
}

fn action(name: &str, number: Option<u32>) -> Result<Action, String> {
    let errno = number.unwrap_or(libc::EPERM as u32);
    if errno > ERRNO_MAX {
        return Err(format!("errnoRet {errno} is over {ERRNO_MAX}"));
    }
    Ok(match name {
        "SCMP_ACT_ALLOW" => Action::Allow,
        "SCMP_ACT_LOG" => Action::Log,
        "SCMP_ACT_ERRNO" => Action::Errno(errno as u16),
        "SCMP_ACT_TRACE" => Action::Trace(errno as u16),
        "SCMP_ACT_TRAP" => Action::Trap,
        "SCMP_ACT_KILL" | "SCMP_ACT_KILL_THREAD" => Action::KillThread,
        "SCMP_ACT_KILL_PROCESS" => Action::KillProcess,
        "SCMP_ACT_NOTIFY" => {
            return Err(
                "SCMP_ACT_NOTIFY needs a listener, which this runtime does not have".into(),
            );
        }
        other => return Err(format!("unknown action {other:?}")),
    })
}

fn flags(names: &[String]) -> Result<u32, String> {
    if names.is_empty() {
        // What runc sets where a profile says nothing.
        return Ok(FLAG_SPEC_ALLOW);
    }
    names.iter().try_fold(0, |flags, name| {
        Ok(flags
            | match name.as_str() {
                // One thread loads the filter: there is nobody to bring along.
                "SECCOMP_FILTER_FLAG_TSYNC" => 0,
                "SECCOMP_FILTER_FLAG_LOG" => FLAG_LOG,
                "SECCOMP_FILTER_FLAG_SPEC_ALLOW" => FLAG_SPEC_ALLOW,
                other => return Err(format!("flag {other:?} is not supported")),
            })
    })
}

/// All conditions of an entry hold together; but where one argument is named twice, each stands by itself: what runc
/// does, and profiles in use are written for it.
fn alternatives(arguments: &[Argument]) -> Result<Vec<Vec<Condition>>, String> {
    let conditions = arguments
        .iter()
        .map(condition)
        .collect::<Result<Vec<_>, _>>()?;
    let twice = (0..6).any(|index| conditions.iter().filter(|c| c.argument == index).count() > 1);
    Ok(if twice {
        conditions.into_iter().map(|c| vec![c]).collect()
    } else {
        vec![conditions]
    })
}

fn condition(argument: &Argument) -> Result<Condition, String> {
    if argument.index > 5 {
        return Err(format!(
            "argument {} does not exist: 0 to 5",
            argument.index
        ));
    }
    let (operator, value) = match argument.op.as_str() {
        "SCMP_CMP_EQ" => (Operator::Equal, argument.value),
        "SCMP_CMP_NE" => (Operator::NotEqual, argument.value),
        "SCMP_CMP_LT" => (Operator::Less, argument.value),
        "SCMP_CMP_LE" => (Operator::LessOrEqual, argument.value),
        "SCMP_CMP_GT" => (Operator::Greater, argument.value),
        "SCMP_CMP_GE" => (Operator::GreaterOrEqual, argument.value),
        "SCMP_CMP_MASKED_EQ" => (Operator::Masked(argument.value), argument.value_two),
        other => return Err(format!("unknown comparison {other:?}")),
    };
    Ok(Condition {
        argument: argument.index,
        operator,
        value,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_profile_becomes_a_policy() {
        let policy = parse(
            r#"{"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_ARM", "SCMP_ARCH_S390X"],
            "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 13},
              {"names": ["clone"], "action": "SCMP_ACT_LOG", "args": [{"index": 0, "value": 7, "valueTwo": 1, "op": "SCMP_CMP_MASKED_EQ"}]},
              {"names": ["personality"], "action": "SCMP_ACT_KILL_PROCESS", "args": [{"index": 0, "value": 1, "op": "SCMP_CMP_EQ"}, {"index": 0, "value": 2, "op": "SCMP_CMP_EQ"}]}]}"#,
        )
        .unwrap();
        assert_eq!(policy.default, Action::Allow);
        assert_eq!(policy.architectures[0], NATIVE[0]);
        assert_eq!(policy.rules[0].action, Action::Errno(13));
        assert_eq!(policy.rules[1].conditions[0].operator, Operator::Masked(7));
        assert_eq!(policy.rules.len(), 4);
        assert_eq!(policy.flags, FLAG_SPEC_ALLOW);
    }

    #[test]
    fn what_is_wrong_is_told() {
        for (text, said) in [
            ("{", "EOF"),
            ("{}", "defaultAction"),
            (r#"{"defaultAction": "SCMP_ACT_FLY"}"#, "SCMP_ACT_FLY"),
            (r#"{"defaultAction": "SCMP_ACT_NOTIFY"}"#, "listener"),
            (
                r#"{"defaultAction": "SCMP_ACT_ERRNO", "archMap": []}"#,
                "archMap",
            ),
            (
                r#"{"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 5000}"#,
                "4095",
            ),
            (
                r#"{"defaultAction": "SCMP_ACT_ERRNO", "architectures": ["VAX"]}"#,
                "VAX",
            ),
            (
                r#"{"defaultAction": "SCMP_ACT_ERRNO", "flags": ["X"]}"#,
                "\"X\"",
            ),
            (
                r#"{"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [{"names": ["a"], "action": "SCMP_ACT_ALLOW", "args": [{"index": 6, "value": 0, "op": "SCMP_CMP_EQ"}]}]}"#,
                "0 to 5",
            ),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(said), "{text}: {error}");
        }
    }
}
