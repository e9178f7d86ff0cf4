//! From what metrics ask for to what is done: windows, rates, limits.
//! <https://kubernetes.io/docs/tasks/run-application/horizontal-pod-autoscale/#configurable-scaling-behavior>

use crate::controllers::clock;
use crate::controllers::world::usage::{Memo, Memory};
use jiff::Timestamp;
use k8s_openapi::api::autoscaling::v2::{
    HPAScalingPolicy, HPAScalingRules, HorizontalPodAutoscalerBehavior,
};

/// Upstream's `--horizontal-pod-autoscaler-downscale-stabilization`.
const DOWN_WINDOW_SECONDS: i32 = 300;

pub struct Limits<'a> {
    pub current: i32,
    pub least: i32,
    pub most: i32,
    pub memory: &'a Memory,
    pub now: Timestamp,
}

/// Reason and message of a condition.
pub type Words = (&'static str, &'static str);

#[derive(Debug)]
pub struct Normal {
    pub replicas: i32,
    pub able: Words,
    pub is_limited: bool,
    pub limit: Words,
}

const READY: Words = ("ReadyForNewScale", "recommended size matches current size");
const HELD_UP: Words = (
    "ScaleUpStabilized",
    "recent recommendations were lower than current one, applying the lowest recent recommendation",
);
const HELD_DOWN: Words = (
    "ScaleDownStabilized",
    "recent recommendations were higher than current one, applying the highest recent recommendation",
);
const WITHIN: Words = (
    "DesiredWithinRange",
    "the desired count is within the acceptable range",
);
const TOO_MANY: Words = (
    "TooManyReplicas",
    "the desired replica count is more than the maximum replica count",
);
const TOO_FEW: Words = (
    "TooFewReplicas",
    "the desired replica count is less than the minimum replica count",
);
const UP_RATE: Words = (
    "ScaleUpLimit",
    "the desired replica count is increasing faster than the maximum scale rate",
);
const DOWN_RATE: Words = (
    "ScaleDownLimit",
    "the desired replica count is decreasing faster than the maximum scale rate",
);

/// What is done of the `wanted`; without `behavior` upstream's defaults of it.
pub fn normalize(
    limits: &Limits<'_>,
    behavior: Option<&HorizontalPodAutoscalerBehavior>,
    wanted: i32,
) -> Normal {
    let up = behavior.and_then(|b| b.scale_up.as_ref());
    let down = behavior.and_then(|b| b.scale_down.as_ref());
    let window = |rules: Option<&HPAScalingRules>, otherwise| {
        let seconds = rules.and_then(|r| r.stabilization_window_seconds);
        seconds.unwrap_or(otherwise)
    };
    let windows = (window(up, 0), window(down, DOWN_WINDOW_SECONDS));
    let steady = stabilize(limits, windows, wanted);
    let able = match steady == wanted {
        true => READY,
        false if wanted >= limits.current => HELD_UP,
        false => HELD_DOWN,
    };
    let (replicas, limit) = limit(limits, up, down, steady);
    Normal {
        replicas,
        able,
        is_limited: limit != WITHIN,
        limit,
    }
}

fn stabilize(limits: &Limits<'_>, (up, down): (i32, i32), wanted: i32) -> i32 {
    let (mut lowest, mut highest) = (wanted, wanted);
    for memo in &limits.memory.recommended {
        if is_within(memo, up, limits.now) {
            lowest = lowest.min(memo.replicas);
        }
        if is_within(memo, down, limits.now) {
            highest = highest.max(memo.replicas);
        }
    }
    limits.current.max(lowest).min(highest)
}

fn is_within(memo: &Memo, seconds: i32, now: Timestamp) -> bool {
    clock::after(memo.at, seconds.into()) > now && !clock::is_ahead(memo.at, now)
}

fn limit(
    limits: &Limits<'_>,
    up: Option<&HPAScalingRules>,
    down: Option<&HPAScalingRules>,
    wanted: i32,
) -> (i32, Words) {
    let current = limits.current;
    if wanted > current {
        let rate = up_limit(limits, up).max(current);
        let (most, words) = if limits.most > rate {
            (rate, UP_RATE)
        } else {
            (limits.most, TOO_MANY)
        };
        if wanted > most {
            return (most, words);
        }
    } else if wanted < current {
        let rate = down_limit(limits, down).min(current);
        let (least, words) = if limits.least < rate {
            (rate, DOWN_RATE)
        } else {
            (limits.least, TOO_FEW)
        };
        if wanted < least {
            return (least, words);
        }
    }
    (wanted, WITHIN)
}

fn policy(kind: &str, value: i32) -> HPAScalingPolicy {
    HPAScalingPolicy {
        type_: kind.to_owned(),
        value,
        period_seconds: 15,
    }
}

/// How many there were when the policy's period began.
fn at_start(limits: &Limits<'_>, policy: &HPAScalingPolicy) -> i32 {
    let scaled = limits.memory.scaled.iter();
    let recent = scaled.filter(|memo| is_within(memo, policy.period_seconds, limits.now));
    recent.fold(limits.current, |sum, memo| {
        sum.saturating_sub(memo.replicas)
    })
}

fn up_limit(limits: &Limits<'_>, rules: Option<&HPAScalingRules>) -> i32 {
    let select = rules.and_then(|r| r.select_policy.as_deref());
    if select == Some("Disabled") {
        return limits.current;
    }
    let usual = [policy("Pods", 4), policy("Percent", 100)];
    let policies = rules.and_then(|r| r.policies.as_deref()).unwrap_or(&usual);
    let proposed = policies.iter().map(|policy| {
        let start = at_start(limits, policy);
        match policy.type_.as_str() {
            "Pods" => start.saturating_add(policy.value),
            // ⌈start · (1 + value / 100)⌉
            _ => share(start, 100_i64.saturating_add(policy.value.into()), true),
        }
    });
    match select {
        Some("Min") => proposed.min(),
        _ => proposed.max(),
    }
    .unwrap_or(limits.current)
}

fn down_limit(limits: &Limits<'_>, rules: Option<&HPAScalingRules>) -> i32 {
    let select = rules.and_then(|r| r.select_policy.as_deref());
    if select == Some("Disabled") {
        return limits.current;
    }
    let usual = [policy("Percent", 100)];
    let policies = rules.and_then(|r| r.policies.as_deref()).unwrap_or(&usual);
    let proposed = policies.iter().map(|policy| {
        let start = at_start(limits, policy);
        match policy.type_.as_str() {
            "Pods" => start.saturating_sub(policy.value),
            _ => share(start, 100_i64.saturating_sub(policy.value.into()), false),
        }
    });
    // The largest change is the smallest number.
    match select {
        Some("Min") => proposed.max(),
        _ => proposed.min(),
    }
    .unwrap_or(limits.current)
}

fn share(start: i32, percent: i64, up: bool) -> i32 {
    let all = i64::from(start).saturating_mul(percent);
    let more = i64::from(up && all.rem_euclid(100) > 0);
    i32::try_from(all.div_euclid(100) + more).unwrap_or(i32::MAX)
}
