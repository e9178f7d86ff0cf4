//! What the node keeps back and when it gives pods up: the board's profile, overridden by the command line.

use super::threshold::{Signal, Threshold, parse_hard, parse_reclaims, parse_soft};
use crate::object::duration::parse_span_ms;
use crate::object::quantity::Quantity;
use crate::profile::Profile;

/// How long a pressure condition stays after its signal was last seen (upstream's default).
const PRESSURE_TRANSITION: &str = "5m";
/// Age before which an unused image is not removed (upstream's default).
const IMAGE_AGE_MIN: &str = "2m";

/// Below this no container with a few threads starts: a mistake rather than a wish.
const POD_PIDS_LEAST: i64 = 16;

/// As given on the command line; `None`: the profile's, or upstream's default.
#[derive(Debug, Clone, Default)]
pub struct Flags {
    pub eviction_hard: Option<String>,
    pub eviction_soft: Option<String>,
    pub eviction_soft_grace_period: Option<String>,
    pub eviction_minimum_reclaim: Option<String>,
    pub eviction_pressure_transition_period: Option<String>,
    pub eviction_max_pod_grace_period: Option<i64>,
    pub system_reserved: Option<String>,
    pub kube_reserved: Option<String>,
    pub image_gc_high_threshold: Option<u8>,
    pub image_gc_low_threshold: Option<u8>,
    pub minimum_image_ttl_duration: Option<String>,
    pub pod_max_pids: Option<i64>,
}

/// Everything checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    pub thresholds: Vec<Threshold>,
    pub pressure_transition_ms: i64,
    /// Longest grace of a pod given up by a soft threshold, seconds.
    pub pod_grace_s_max: i64,
    /// For the system and for this program, together.
    pub reserved: Reserved,
    pub image_gc: ImageGc,
    /// Processes and threads of one pod; 0: no limit.
    pub pod_pids_max: i64,
}

/// What pods never get.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Reserved {
    pub cpu_milli: i64,
    pub memory_bytes: i64,
    pub ephemeral_storage_bytes: i64,
    pub pids: i64,
}

/// When unused images go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ImageGc {
    /// Percent of the disk in use above which images go; 100: never.
    pub high_percent: u8,
    /// Down to this.
    pub low_percent: u8,
    pub age_min_ms: i64,
}

impl Settings {
    /// # Errors
    /// A flag that cannot be read: which, what is wrong with it.
    pub fn new(profile: &Profile, flags: &Flags) -> Result<Settings, String> {
        let own = &profile.eviction;
        let text = |given: &Option<String>, default: &str| -> String {
            given.clone().unwrap_or_else(|| default.to_owned())
        };
        let at = |flag: &'static str| move |why: String| format!("--{flag}: {why}");
        let mut thresholds =
            parse_hard(&text(&flags.eviction_hard, &own.hard)).map_err(at("eviction-hard"))?;
        let soft = parse_soft(
            &text(&flags.eviction_soft, ""),
            &text(&flags.eviction_soft_grace_period, ""),
        )
        .map_err(at("eviction-soft"))?;
        thresholds.extend(soft);
        parse_reclaims(&text(&flags.eviction_minimum_reclaim, ""), &mut thresholds)
            .map_err(at("eviction-minimum-reclaim"))?;
        let transition = text(
            &flags.eviction_pressure_transition_period,
            PRESSURE_TRANSITION,
        );
        let age = text(&flags.minimum_image_ttl_duration, IMAGE_AGE_MIN);
        let system = parse_reserved(&text(&flags.system_reserved, &own.system_reserved))
            .map_err(at("system-reserved"))?;
        let kube = parse_reserved(&text(&flags.kube_reserved, "")).map_err(at("kube-reserved"))?;
        let image_gc = ImageGc {
            high_percent: flags
                .image_gc_high_threshold
                .unwrap_or(own.image_gc_high_percent),
            low_percent: flags
                .image_gc_low_threshold
                .unwrap_or(own.image_gc_low_percent),
            age_min_ms: parse_span_ms(&age).map_err(at("minimum-image-ttl-duration"))?,
        };
        if image_gc.high_percent > 100 || image_gc.low_percent >= image_gc.high_percent {
            return Err(format!(
                "--image-gc-low-threshold ({}) must be below --image-gc-high-threshold ({}), and that at most 100",
                image_gc.low_percent, image_gc.high_percent
            ));
        }
        // Upstream's 0 and -1: no limit.
        let pod_pids_max = flags.pod_max_pids.unwrap_or(profile.pod_pids_max).max(0);
        if (1..POD_PIDS_LEAST).contains(&pod_pids_max) {
            return Err(format!(
                "--pod-max-pids={pod_pids_max}: a pod needs at least {POD_PIDS_LEAST}; 0 is no limit"
            ));
        }
        Ok(Settings {
            thresholds,
            pressure_transition_ms: parse_span_ms(&transition)
                .map_err(at("eviction-pressure-transition-period"))?,
            pod_grace_s_max: flags.eviction_max_pod_grace_period.unwrap_or(0).max(0),
            reserved: Reserved {
                cpu_milli: system.cpu_milli.saturating_add(kube.cpu_milli),
                memory_bytes: system.memory_bytes.saturating_add(kube.memory_bytes),
                ephemeral_storage_bytes: system
                    .ephemeral_storage_bytes
                    .saturating_add(kube.ephemeral_storage_bytes),
                pids: system.pids.saturating_add(kube.pids),
            },
            image_gc,
            pod_pids_max,
        })
    }

    /// What the hard threshold of `signal` keeps of `capacity`.
    pub fn hard_bytes(&self, signal: Signal, capacity: i64) -> i64 {
        let hard = |one: &&Threshold| one.signal == signal && one.grace_ms.is_none();
        let amount = self.thresholds.iter().find(hard).map(|one| one.amount);
        let capacity = u64::try_from(capacity).unwrap_or(0);
        amount.map_or(0, |amount| {
            i64::try_from(amount.of(capacity)).unwrap_or(i64::MAX)
        })
    }
}

/// `cpu=100m,memory=128Mi,ephemeral-storage=1Gi`.
fn parse_reserved(text: &str) -> Result<Reserved, String> {
    let mut reserved = Reserved::default();
    for one in text.split(',').map(str::trim).filter(|one| !one.is_empty()) {
        let (name, amount) = one
            .split_once('=')
            .ok_or_else(|| format!("{one:?} must be written as <resource>=<quantity>"))?;
        let quantity =
            Quantity::parse(amount).map_err(|why| format!("{amount:?} is no quantity: {why}"))?;
        if quantity.nano < 0 {
            return Err(format!("{one:?}: a reservation cannot be negative"));
        }
        match name {
            "cpu" => reserved.cpu_milli = quantity.milli(),
            "memory" => reserved.memory_bytes = quantity.value(),
            "pid" => reserved.pids = quantity.value(),
            "ephemeral-storage" => reserved.ephemeral_storage_bytes = quantity.value(),
            other => {
                return Err(format!(
                    "cannot reserve {other:?}; there are cpu, memory, ephemeral-storage and pid"
                ));
            }
        }
    }
    Ok(reserved)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn every_profile_gives_settings_and_flags_win() {
        for profile in crate::profile::all().unwrap() {
            let settings = Settings::new(&profile, &Flags::default()).unwrap();
            assert!(
                settings.hard_bytes(Signal::MemoryAvailable, 1 << 29) > 0,
                "{}",
                profile.name
            );
            assert_eq!(settings.pressure_transition_ms, 300_000);
        }
        let profile = crate::profile::named("pi-4").unwrap();
        let flags = Flags {
            eviction_hard: Some("nodefs.available<10%".into()),
            system_reserved: Some("cpu=100m,memory=64Mi".into()),
            kube_reserved: Some("memory=36Mi".into()),
            ..Flags::default()
        };
        let settings = Settings::new(&profile, &flags).unwrap();
        assert_eq!(settings.hard_bytes(Signal::NodefsAvailable, 1000), 100);
        assert_eq!(settings.hard_bytes(Signal::MemoryAvailable, 1000), 0);
        assert_eq!(settings.reserved.memory_bytes, 100 << 20);
        assert_eq!(settings.reserved.cpu_milli, 100);
    }

    #[test]
    fn flags_that_cannot_be_are_named() {
        let profile = crate::profile::named("pi-4").unwrap();
        for (flags, why) in [
            (
                Flags {
                    kube_reserved: Some("disk=1".into()),
                    ..Flags::default()
                },
                "--kube-reserved: cannot reserve",
            ),
            (
                Flags {
                    eviction_soft: Some("memory.available<1Gi".into()),
                    ..Flags::default()
                },
                "--eviction-soft:",
            ),
            (
                Flags {
                    image_gc_high_threshold: Some(50),
                    ..Flags::default()
                },
                "must be below",
            ),
        ] {
            let told = Settings::new(&profile, &flags).unwrap_err();
            assert!(told.contains(why), "{told}");
        }
    }
}
