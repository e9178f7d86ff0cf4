//! The flags of `coracle up` about reservation, eviction and garbage collection: kubelet's names and syntax.
//! <https://kubernetes.io/docs/reference/command-line-tools-reference/kubelet/>

use crate::kubelet::{EvictionFlags, Settings};
use crate::profile::Profile;

#[derive(Debug, Default, clap::Args)]
pub struct PressureArgs {
    /// Pods are evicted at once below these, e.g. memory.available<100Mi,nodefs.available<10%; default: the profile's.
    #[arg(long, value_name = "THRESHOLDS")]
    eviction_hard: Option<String>,
    /// Pods are evicted below these for a grace period, e.g. memory.available<300Mi.
    #[arg(
        long,
        value_name = "THRESHOLDS",
        requires = "eviction_soft_grace_period"
    )]
    eviction_soft: Option<String>,
    /// How long each soft threshold must have been crossed, e.g. memory.available=1m30s.
    #[arg(long, value_name = "PERIODS", requires = "eviction_soft")]
    eviction_soft_grace_period: Option<String>,
    /// What must be free above a threshold once it was crossed, e.g. nodefs.available=500Mi.
    #[arg(long, value_name = "AMOUNTS")]
    eviction_minimum_reclaim: Option<String>,
    /// How long a pressure condition stays after the pressure is gone; default: 5m.
    #[arg(long, value_name = "DURATION")]
    eviction_pressure_transition_period: Option<String>,
    /// Longest grace of a pod evicted by a soft threshold, seconds; default: 0.
    #[arg(long, value_name = "SECONDS")]
    eviction_max_pod_grace_period: Option<i64>,
    /// Kept for the system, e.g. cpu=100m,memory=64Mi,ephemeral-storage=1Gi,pid=1000; default: the profile's.
    #[arg(long, value_name = "RESOURCES")]
    system_reserved: Option<String>,
    /// Kept for this program; default: nothing.
    #[arg(long, value_name = "RESOURCES")]
    kube_reserved: Option<String>,
    /// Percent of the disk in use above which unused images are removed, 100: never; default: the profile's.
    #[arg(long, value_name = "PERCENT")]
    image_gc_high_threshold: Option<u8>,
    /// Down to which unused images are removed then; default: the profile's.
    #[arg(long, value_name = "PERCENT")]
    image_gc_low_threshold: Option<u8>,
    /// Age before which an unused image is not removed; default: 2m.
    #[arg(long, value_name = "DURATION")]
    minimum_image_ttl_duration: Option<String>,
    /// Most processes and threads of one pod, 0: no limit; default: the profile's.
    #[arg(long, value_name = "COUNT", allow_negative_numbers = true)]
    pod_max_pids: Option<i64>,
}

impl PressureArgs {
    /// Checked against the board's profile.
    pub fn settings(self, profile: &Profile) -> Result<Settings, anyhow::Error> {
        let flags = EvictionFlags {
            eviction_hard: self.eviction_hard,
            eviction_soft: self.eviction_soft,
            eviction_soft_grace_period: self.eviction_soft_grace_period,
            eviction_minimum_reclaim: self.eviction_minimum_reclaim,
            eviction_pressure_transition_period: self.eviction_pressure_transition_period,
            eviction_max_pod_grace_period: self.eviction_max_pod_grace_period,
            system_reserved: self.system_reserved,
            kube_reserved: self.kube_reserved,
            image_gc_high_threshold: self.image_gc_high_threshold,
            image_gc_low_threshold: self.image_gc_low_threshold,
            minimum_image_ttl_duration: self.minimum_image_ttl_duration,
            pod_max_pids: self.pod_max_pids,
        };
        Settings::new(profile, &flags).map_err(anyhow::Error::msg)
    }
}

/// For a node that lives for some minutes on somebody's work machine, whose disk may well be fuller than a board's
/// should be: it gives up no pod and removes no image (kind does the same).
pub fn unpressed(profile: &Profile) -> Result<Settings, anyhow::Error> {
    let args = PressureArgs {
        eviction_hard: Some("memory.available<1Mi".to_owned()),
        image_gc_high_threshold: Some(100),
        ..PressureArgs::default()
    };
    args.settings(profile)
}
