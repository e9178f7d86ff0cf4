//! Takes samples when somebody asks, and keeps the newest.

use super::disk::measure;
use super::files::NodeFiles;
use super::network;
use super::types::{ContainerUsage, PodDisk, PodUsage, Sample};
use crate::kubelet::dirs::Dirs;
use crate::kubelet::manager::{Pods, View};
use crate::kubelet::spec::resources;
use crate::runtime::{CgroupReader, Runtime};
use k8s_openapi::api::core::v1::Pod;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Whoever asks again within this time gets the same sample.
const FRESH_MS: u64 = 1_000;
/// A sample older than this says nothing about the rate now: two new ones are taken, this far apart.
const BASE_AGE_MS_MAX: u64 = 60_000;
const BASE_GAP: Duration = Duration::from_secs(1);
/// A walk is not repeated before this many times its own duration has passed: a hundredth of the time at most.
const WALK_REST: u32 = 100;
/// Age at which what a walk found is looked at again, for those who only want to know (upstream's du interval).
const DISK_AGE_IDLE: Duration = Duration::from_mins(1);
/// And for pods with limits that may be over them.
const DISK_AGE_LIMITED: Duration = Duration::from_secs(5);

/// Shared by the HTTP side and the eviction manager.
pub struct Stats {
    runtime: Arc<Runtime>,
    pods: Arc<Pods>,
    dirs: Dirs,
    started: Instant,
    /// Held while a sample is taken, so that many who ask at once cost one.
    newest: tokio::sync::Mutex<Option<Arc<Sample>>>,
    readers: Arc<Mutex<Readers>>,
    /// Held while a disk is walked. By pod uid; as many as pods are here.
    disks: tokio::sync::Mutex<HashMap<String, Walked>>,
}

struct Readers {
    cgroups: CgroupReader,
    files: NodeFiles,
}

struct Walked {
    at: Instant,
    took: Duration,
    found: Arc<PodDisk>,
}

impl Stats {
    pub fn new(runtime: Arc<Runtime>, pods: Arc<Pods>, dirs: Dirs) -> Stats {
        let readers = Readers {
            cgroups: runtime.usage_reader(),
            files: NodeFiles::default(),
        };
        Stats {
            runtime,
            pods,
            dirs,
            started: Instant::now(),
            newest: tokio::sync::Mutex::default(),
            readers: Arc::new(Mutex::new(readers)),
            disks: tokio::sync::Mutex::default(),
        }
    }

    fn monotonic_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// A sample of now; counters and amounts only need one look.
    pub async fn counters(&self) -> Arc<Sample> {
        let mut newest = self.newest.lock().await;
        self.look(&mut newest).await
    }

    /// A sample with rates; where none is recent this takes a second.
    pub async fn rates(&self) -> Arc<Sample> {
        let mut newest = self.newest.lock().await;
        let now = self.monotonic_ms();
        let is_recent = |sample: &Sample| now.saturating_sub(sample.monotonic_ms) < BASE_AGE_MS_MAX;
        match newest.as_ref() {
            Some(sample) if is_recent(sample) && sample.node.cpu_rate.is_some() => {}
            Some(sample) if is_recent(sample) => {
                let age = now.saturating_sub(sample.monotonic_ms);
                tokio::time::sleep(BASE_GAP.saturating_sub(Duration::from_millis(age))).await;
            }
            _ => {
                self.look(&mut newest).await;
                tokio::time::sleep(BASE_GAP).await;
            }
        }
        self.look(&mut newest).await
    }

    async fn look(&self, newest: &mut Option<Arc<Sample>>) -> Arc<Sample> {
        let monotonic_ms = self.monotonic_ms();
        if let Some(sample) = newest
            && monotonic_ms.saturating_sub(sample.monotonic_ms) < FRESH_MS
        {
            return sample.clone();
        }
        let (views, runtime, readers) = (
            self.pods.views(),
            self.runtime.clone(),
            self.readers.clone(),
        );
        let taking = tokio::task::spawn_blocking(move || {
            let mut readers = readers.lock().unwrap_or_else(PoisonError::into_inner);
            take(&views, &runtime, &mut readers)
        });
        let mut sample = taking.await.unwrap_or_default();
        sample.at_ms = crate::kubelet::now_ms();
        sample.monotonic_ms = monotonic_ms;
        if let Some(before) = newest {
            set_rates(&mut sample, before);
        }
        let sample = Arc::new(sample);
        *newest = Some(sample.clone());
        sample
    }

    /// What a pod has on disk, at most a minute old unless walking it takes long.
    pub async fn disk(&self, view: &View) -> Arc<PodDisk> {
        self.walk(view, DISK_AGE_IDLE).await
    }

    /// As [`Stats::disk`], but newer: for a pod that must be held to its limits.
    pub async fn disk_of_limited(&self, view: &View) -> Arc<PodDisk> {
        self.walk(view, DISK_AGE_LIMITED).await
    }

    async fn walk(&self, view: &View, age: Duration) -> Arc<PodDisk> {
        let uid = view.pod.metadata.uid.clone().unwrap_or_default();
        let mut disks = self.disks.lock().await;
        if let Some(walked) = disks.get(&uid)
            && walked.at.elapsed() < age.max(walked.took.saturating_mul(WALK_REST))
        {
            return walked.found.clone();
        }
        let (pod, dirs) = (view.pod.clone(), self.dirs.clone());
        let began = Instant::now();
        let walking = tokio::task::spawn_blocking(move || pod_disk(&pod, &dirs));
        let found = Arc::new(walking.await.unwrap_or_default());
        let here = self.pods.uids();
        disks.retain(|uid, _| here.contains(uid));
        let walked = Walked {
            at: Instant::now(),
            took: began.elapsed(),
            found: found.clone(),
        };
        disks.insert(uid, walked);
        found
    }
}

fn take(views: &[View], runtime: &Runtime, readers: &mut Readers) -> Sample {
    let mut sample = Sample {
        node: readers.files.usage(),
        ..Sample::default()
    };
    sample.node.pods = readers
        .cgroups
        .read(runtime.cgroup("").trim_end_matches('/'))
        .unwrap_or_default();
    for view in views {
        sample
            .pods
            .extend(pod_usage(view, runtime, &mut readers.cgroups));
    }
    sample
        .pods
        .sort_by(|a, b| (&a.namespace, &a.name).cmp(&(&b.namespace, &b.name)));
    sample
}

/// `None`: the pod has no sandbox, so it uses nothing.
fn pod_usage(view: &View, runtime: &Runtime, reader: &mut CgroupReader) -> Option<PodUsage> {
    let pod = &view.pod;
    let meta = &pod.metadata;
    let below = resources::cgroup(pod);
    let cgroup = runtime.cgroup(&below);
    let usage = reader.read(&cgroup)?;
    let uid = meta.uid.clone().unwrap_or_default();
    let pid = runtime.shim_pid(&uid)?;
    let on_host = pod.spec.as_ref().and_then(|s| s.host_network) == Some(true);
    let interfaces = if on_host {
        Vec::new()
    } else {
        let text = std::fs::read_to_string(format!("/proc/{pid}/net/dev"));
        network::parse(&text.unwrap_or_default())
    };
    let containers = view
        .containers
        .iter()
        .filter(|(_, container)| container.running && !container.id.is_empty())
        .filter_map(|(name, container)| {
            Some(ContainerUsage {
                name: name.clone(),
                id: container.id.clone(),
                image: container.image.clone(),
                attempt: container.attempt.unwrap_or(0),
                started_ms: container.started_ms,
                usage: reader.read(&format!("{cgroup}/{}", container.id))?,
                cpu_rate: None,
            })
        })
        .collect();
    let started = pod.status.as_ref().and_then(|s| s.start_time.as_ref());
    Some(PodUsage {
        uid,
        namespace: meta.namespace.clone().unwrap_or_default(),
        name: meta.name.clone().unwrap_or_default(),
        started_ms: started.map_or(0, |time| time.0.as_millisecond()),
        cgroup: format!("/{cgroup}"),
        usage,
        cpu_rate: None,
        interfaces,
        containers,
    })
}

/// Sets the rates of `sample` by what `before` counted. Pure.
fn set_rates(sample: &mut Sample, before: &Sample) {
    let elapsed_ms = sample.monotonic_ms.saturating_sub(before.monotonic_ms);
    let at_ms = sample.at_ms;
    sample.window_ms = elapsed_ms;
    sample.node.cpu_rate = rate(sample.node.cpu_ns, before.node.cpu_ns, elapsed_ms);
    sample.node.pods_cpu_rate = rate(sample.node.pods.cpu_ns, before.node.pods.cpu_ns, elapsed_ms);
    let old: HashMap<&str, &PodUsage> = before.pods.iter().map(|p| (p.uid.as_str(), p)).collect();
    for pod in &mut sample.pods {
        let old = old.get(pod.uid.as_str());
        pod.cpu_rate = match old {
            Some(old) => rate(pod.usage.cpu_ns, old.usage.cpu_ns, elapsed_ms),
            None => rate(pod.usage.cpu_ns, 0, age_ms(pod.started_ms, at_ms)),
        };
        for container in &mut pod.containers {
            let old = old
                .and_then(|old| old.containers.iter().find(|one| one.id == container.id))
                .map(|old| old.usage.cpu_ns);
            container.cpu_rate = match old {
                Some(old) => rate(container.usage.cpu_ns, old, elapsed_ms),
                // Younger than the sample before: the mean of its life.
                None => rate(
                    container.usage.cpu_ns,
                    0,
                    age_ms(container.started_ms, at_ms),
                ),
            };
        }
    }
}

fn age_ms(started_ms: i64, now_ms: i64) -> u64 {
    u64::try_from(now_ms.saturating_sub(started_ms)).unwrap_or(0)
}

/// Billionths of one CPU.
fn rate(now_ns: u64, then_ns: u64, elapsed_ms: u64) -> Option<u64> {
    let used = u128::from(now_ns.saturating_sub(then_ns));
    let rate = (used * 1000).checked_div(u128::from(elapsed_ms))?;
    u64::try_from(rate).ok()
}

fn pod_disk(pod: &Pod, dirs: &Dirs) -> PodDisk {
    let uid = pod.metadata.uid.as_deref().unwrap_or_default();
    let mut disk = PodDisk::default();
    for (_, container) in crate::kubelet::pod::state::containers(pod) {
        let name = container.name.clone();
        let writable = measure(&dirs.containers(uid).join(&name));
        disk.root_fs.insert(name.clone(), writable);
        let logs = measure(&dirs.container_logs(uid, &name));
        disk.logs.insert(name, logs);
    }
    let volumes = pod.spec.as_ref().and_then(|s| s.volumes.as_deref());
    for volume in volumes.unwrap_or_default() {
        let Some(empty_dir) = &volume.empty_dir else {
            continue;
        };
        let list = if empty_dir.medium.as_deref() == Some("Memory") {
            &mut disk.memory_volumes
        } else {
            &mut disk.volumes
        };
        let held = measure(&dirs.volumes(uid).join(&volume.name));
        list.insert(volume.name.clone(), held);
    }
    disk
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::CgroupUsage;

    fn used(cpu_ns: u64) -> CgroupUsage {
        CgroupUsage {
            cpu_ns,
            ..CgroupUsage::default()
        }
    }

    #[test]
    fn rates_are_differences_and_begin_with_the_mean_of_a_life() {
        assert_eq!(
            rate(3_000_000_000, 1_000_000_000, 1000),
            Some(2_000_000_000)
        );
        // A counter that begins again counts as idle.
        assert_eq!(rate(1, 5, 1000), Some(0));
        assert_eq!(rate(1, 0, 0), None);
        let container = |id: &str, cpu_ns| ContainerUsage {
            id: id.to_owned(),
            started_ms: 8_000,
            usage: used(cpu_ns),
            ..ContainerUsage::default()
        };
        let pod = |containers| PodUsage {
            uid: "u".to_owned(),
            containers,
            ..PodUsage::default()
        };
        let before = Sample {
            monotonic_ms: 5_000,
            pods: vec![pod(vec![container("a", 1_000_000)])],
            ..Sample::default()
        };
        let mut now = Sample {
            at_ms: 10_000,
            monotonic_ms: 7_000,
            pods: vec![pod(vec![
                container("a", 3_000_000),
                container("b", 4_000_000),
            ])],
            ..Sample::default()
        };
        set_rates(&mut now, &before);
        let rates: Vec<_> = now.pods[0].containers.iter().map(|c| c.cpu_rate).collect();
        assert_eq!(rates, [Some(1_000_000), Some(2_000_000)]);
    }
}
