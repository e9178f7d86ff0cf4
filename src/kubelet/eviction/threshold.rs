//! Signals and thresholds, as `--eviction-hard` writes them: `memory.available<100Mi,nodefs.available<10%`.

use crate::object::duration::parse_span_ms;
use crate::object::quantity::Quantity;
use std::fmt;

/// What can run out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Signal {
    MemoryAvailable,
    NodefsAvailable,
    NodefsInodesFree,
    ImagefsAvailable,
    ImagefsInodesFree,
    PidAvailable,
}

impl Signal {
    pub const ALL: [Signal; 6] = [
        Signal::MemoryAvailable,
        Signal::NodefsAvailable,
        Signal::NodefsInodesFree,
        Signal::ImagefsAvailable,
        Signal::ImagefsInodesFree,
        Signal::PidAvailable,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Signal::MemoryAvailable => "memory.available",
            Signal::NodefsAvailable => "nodefs.available",
            Signal::NodefsInodesFree => "nodefs.inodesFree",
            Signal::ImagefsAvailable => "imagefs.available",
            Signal::ImagefsInodesFree => "imagefs.inodesFree",
            Signal::PidAvailable => "pid.available",
        }
    }

    /// The resource pods are ranked by (upstream's `signalToResource`).
    pub fn resource(self) -> &'static str {
        match self {
            Signal::MemoryAvailable => "memory",
            Signal::NodefsAvailable | Signal::ImagefsAvailable => "ephemeral-storage",
            Signal::NodefsInodesFree | Signal::ImagefsInodesFree => "inodes",
            Signal::PidAvailable => "pids",
        }
    }

    fn parse(text: &str) -> Result<Signal, String> {
        Signal::ALL
            .into_iter()
            .find(|signal| signal.as_str() == text)
            .ok_or_else(|| {
                let all: Vec<&str> = Signal::ALL.iter().map(|s| s.as_str()).collect();
                format!(
                    "unknown eviction signal {text:?}; there are {}",
                    all.join(", ")
                )
            })
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// An amount, or a share of what there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Amount {
    Units(u64),
    /// Thousandths of a percent.
    Share(u32),
}

const SHARE_ALL: u32 = 100_000;

impl Amount {
    fn parse(text: &str) -> Result<Amount, String> {
        if let Some(percent) = text.strip_suffix('%') {
            let percent: f64 = percent
                .parse()
                .map_err(|_| format!("{text:?} is no percentage"))?;
            if !(0.0..=100.0).contains(&percent) {
                return Err(format!("{text:?}: a percentage is 0 to 100"));
            }
            return Ok(Amount::Share((percent * 1000.0) as u32));
        }
        let quantity =
            Quantity::parse(text).map_err(|why| format!("{text:?} is no quantity: {why}"))?;
        u64::try_from(quantity.value())
            .map(Amount::Units)
            .map_err(|_| format!("{text:?}: a threshold cannot be negative"))
    }

    pub fn of(self, capacity: u64) -> u64 {
        match self {
            Amount::Units(units) => units,
            Amount::Share(share) => {
                let part = u128::from(capacity) * u128::from(share) / u128::from(SHARE_ALL);
                u64::try_from(part).unwrap_or(u64::MAX)
            }
        }
    }
}

/// Crossed where less than `amount` is available.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Threshold {
    pub signal: Signal,
    pub amount: Amount,
    /// How long a soft threshold must have been crossed; `None`: hard.
    pub grace_ms: Option<i64>,
    /// Once crossed, this much more than `amount` must be available again.
    pub reclaim: Option<Amount>,
}

/// Statements in one list: far more than there are signals.
const STATEMENTS_MAX: usize = 32;

fn statements(text: &str, operator: char) -> impl Iterator<Item = Result<(Signal, &str), String>> {
    text.split(',')
        .map(str::trim)
        .filter(|one| !one.is_empty())
        .take(STATEMENTS_MAX)
        .map(move |one| {
            let (signal, value) = one
                .split_once(operator)
                .ok_or_else(|| format!("{one:?} must be written as <signal>{operator}<value>"))?;
            Ok((Signal::parse(signal.trim())?, value.trim()))
        })
}

/// Reads hard thresholds. One of 0 % or 100 % is none, as upstream has it.
pub fn parse_hard(text: &str) -> Result<Vec<Threshold>, String> {
    let mut list: Vec<Threshold> = Vec::new();
    for statement in statements(text, '<') {
        let (signal, value) = statement?;
        if list.iter().any(|one| one.signal == signal) {
            return Err(format!("eviction signal {signal} is given twice"));
        }
        let amount = Amount::parse(value)?;
        if matches!(amount, Amount::Share(0 | SHARE_ALL)) {
            continue;
        }
        list.push(Threshold {
            signal,
            amount,
            grace_ms: None,
            reclaim: None,
        });
    }
    Ok(list)
}

/// Reads soft thresholds and their grace periods (`memory.available=1m30s`); each must have one.
pub fn parse_soft(text: &str, graces: &str) -> Result<Vec<Threshold>, String> {
    let mut list = parse_hard(text)?;
    let mut known = Vec::new();
    for statement in statements(graces, '=') {
        let (signal, value) = statement?;
        known.push((signal, parse_span_ms(value)?));
    }
    for threshold in &mut list {
        let grace = known.iter().find(|(signal, _)| *signal == threshold.signal);
        let (_, grace_ms) = grace.ok_or_else(|| {
            format!(
                "the soft threshold of {} needs a grace period: --eviction-soft-grace-period {}=1m",
                threshold.signal, threshold.signal
            )
        })?;
        threshold.grace_ms = Some(*grace_ms);
    }
    Ok(list)
}

/// Reads minimum reclaims (`nodefs.available=500Mi`) into the thresholds of the same signal.
pub fn parse_reclaims(text: &str, thresholds: &mut [Threshold]) -> Result<(), String> {
    for statement in statements(text, '=') {
        let (signal, value) = statement?;
        let amount = Amount::parse(value)?;
        for threshold in thresholds.iter_mut().filter(|one| one.signal == signal) {
            threshold.reclaim = Some(amount);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn thresholds_are_read_or_refused_with_a_reason() {
        let list = parse_hard("memory.available<100Mi, nodefs.inodesFree<5%,imagefs.available<0%")
            .unwrap();
        assert_eq!(list.len(), 2);
        assert_eq!(list[0].amount, Amount::Units(100 << 20));
        assert_eq!(list[1].amount.of(2000), 100);
        for (text, why) in [
            ("memory<1", "unknown eviction signal"),
            ("memory.available", "must be written as"),
            ("memory.available<-1", "cannot be negative"),
            ("memory.available<120%", "0 to 100"),
            ("memory.available<x", "no quantity"),
            ("memory.available<1,memory.available<2", "given twice"),
        ] {
            let told = parse_hard(text).unwrap_err();
            assert!(told.contains(why), "{text}: {told}");
        }
    }

    #[test]
    fn soft_thresholds_need_a_grace_period() {
        let soft = parse_soft("memory.available<1Gi", "memory.available=1m30s").unwrap();
        assert_eq!(soft[0].grace_ms, Some(90_000));
        assert!(
            parse_soft("memory.available<1Gi", "")
                .unwrap_err()
                .contains("needs a grace period")
        );
        let mut hard = parse_hard("nodefs.available<10%").unwrap();
        parse_reclaims("nodefs.available=5%", &mut hard).unwrap();
        assert_eq!(hard[0].reclaim.unwrap().of(200), 10);
    }

    proptest::proptest! {
        #[test]
        fn no_text_breaks_a_reader(text in "[a-z0-9.,<=%é \\-]{0,40}") {
            let _ = parse_hard(&text);
            let _ = parse_soft(&text, &text);
            let _ = parse_reclaims(&text, &mut []);
        }
    }
}
