//! The number of replicas that one resource asks for (upstream's `ReplicaCalculator`).

use crate::controllers::clock;
use crate::controllers::world::{PodView, World, key};
use crate::object::quantity::Quantity;
use jiff::{SignedDuration, Timestamp};
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::Arc;

/// While a container starts it may use more than it will (`--horizontal-pod-autoscaler-cpu-initialization-period`).
const START_SECONDS: i64 = 300;
/// A pod that has not been ready since this long after its start never was (`…-initial-readiness-delay`).
const FIRST_READY_SECONDS: i64 = 30;

pub enum Goal {
    /// Hundredths of what is requested.
    Utilization(i32),
    /// Billionths of the unit, for each pod.
    Average(i128),
}

pub struct Question<'a> {
    pub resource: &'a str,
    /// `None`: all of a pod's.
    pub container: Option<&'a str>,
    pub goal: Goal,
    /// How far from the goal is near enough, below and above.
    pub tolerances: (f64, f64),
    pub current: i32,
    pub now: Timestamp,
}

#[derive(Debug, PartialEq)]
pub struct Answer {
    pub replicas: i32,
    pub utilization: Option<i32>,
    /// Billionths of the unit.
    pub average: i128,
}

#[derive(Default)]
struct Groups {
    ready: usize,
    unready: Vec<String>,
    missing: Vec<String>,
    /// What pods use, by name.
    used: BTreeMap<String, i128>,
}

pub fn replicas(
    world: &World,
    pods: &[Arc<PodView>],
    question: &Question<'_>,
) -> Result<Answer, String> {
    if pods.is_empty() {
        return Err("no pods returned by selector while calculating replica count".to_owned());
    }
    let groups = group(world, pods, question);
    if groups.used.is_empty() {
        return Err("did not receive metrics for targeted pods (pods might be unready)".to_owned());
    }
    let requests = match question.goal {
        Goal::Utilization(_) => requests(pods, question)?,
        Goal::Average(_) => BTreeMap::new(),
    };
    let (ratio, utilization, average) = ratio(&groups.used, &requests, &question.goal)?;
    let replicas = decide(question, &groups, &requests, ratio)?;
    Ok(Answer {
        replicas,
        utilization,
        average,
    })
}

fn decide(
    question: &Question<'_>,
    groups: &Groups,
    requests: &BTreeMap<String, i128>,
    first: f64,
) -> Result<i32, String> {
    let current = question.current;
    let with_unready = !groups.unready.is_empty() && first > 1.0;
    if !with_unready && groups.missing.is_empty() {
        if is_near(question, first) {
            return Ok(current);
        }
        return Ok(times(first, groups.ready));
    }
    let mut used = groups.used.clone();
    // What is not known is taken to be such that it holds the change back.
    for name in &groups.missing {
        let request = requests.get(name).copied().unwrap_or_default();
        let guess = match (first.total_cmp(&1.0), &question.goal) {
            (Ordering::Equal, _) => continue,
            (Ordering::Greater, _) => 0,
            (Ordering::Less, Goal::Utilization(goal)) => {
                request.saturating_mul((*goal).max(100).into()) / 100
            }
            (Ordering::Less, Goal::Average(goal)) => *goal,
        };
        used.insert(name.clone(), guess);
    }
    if with_unready {
        used.extend(groups.unready.iter().map(|name| (name.clone(), 0)));
    }
    let (second, ..) = ratio(&used, requests, &question.goal)?;
    let turned = (first < 1.0 && second > 1.0) || (first > 1.0 && second < 1.0);
    if is_near(question, second) || turned {
        return Ok(current);
    }
    let replicas = times(second, used.len());
    let against = (second < 1.0 && replicas > current) || (second > 1.0 && replicas < current);
    Ok(if against { current } else { replicas })
}

fn is_near(question: &Question<'_>, ratio: f64) -> bool {
    let (down, up) = question.tolerances;
    (1.0 - down..=1.0 + up).contains(&ratio)
}

/// ⌈ratio · pods⌉
#[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss)]
fn times(ratio: f64, pods: usize) -> i32 {
    // The cast saturates.
    (ratio * pods as f64).ceil() as i32
}

fn group(world: &World, pods: &[Arc<PodView>], question: &Question<'_>) -> Groups {
    let mut groups = Groups::default();
    for pod in pods {
        if pod.is_ending() || pod.phase() == "Failed" {
            continue;
        }
        let name = pod.metadata.name.clone().unwrap_or_default();
        if pod.phase() == "Pending" {
            groups.unready.push(name);
            continue;
        }
        let measured = world.usage.measured.get(&key(&pod.metadata));
        let used = measured.and_then(|m| match question.container {
            Some(container) => m.containers.get(container)?.get(question.resource).copied(),
            None => m
                .containers
                .values()
                .map(|c| c.get(question.resource).copied())
                .sum(),
        });
        let (Some(used), Some(measured)) = (used, measured) else {
            groups.missing.push(name);
            continue;
        };
        if question.resource == "cpu"
            && !is_settled(pod, measured.at, measured.window, question.now)
        {
            groups.unready.push(name);
            continue;
        }
        groups.ready += 1;
        groups.used.insert(name, used);
    }
    groups
}

/// Whether what the pod uses now tells what it will use.
fn is_settled(pod: &PodView, measured: Timestamp, window: SignedDuration, now: Timestamp) -> bool {
    let ready = pod.condition("Ready");
    let since = ready.and_then(|c| c.last_transition_time.as_ref());
    let (Some(ready), Some(since), Some(start)) = (ready, since, &pod.status.start_time) else {
        return false;
    };
    let is_down = ready.status == "False";
    if clock::after(start.0, START_SECONDS) > now {
        let whole = since.0.saturating_add(window).unwrap_or(Timestamp::MAX);
        !is_down && measured >= whole
    } else {
        !(is_down && clock::after(start.0, FIRST_READY_SECONDS) > since.0)
    }
}

fn requests(
    pods: &[Arc<PodView>],
    question: &Question<'_>,
) -> Result<BTreeMap<String, i128>, String> {
    let mut requests = BTreeMap::new();
    for pod in pods {
        let name = pod.metadata.name.clone().unwrap_or_default();
        let sidecars = pod.spec.init_containers.iter();
        let sidecars = sidecars.filter(|c| c.restart_policy.as_deref() == Some("Always"));
        let containers = pod.spec.containers.iter().chain(sidecars);
        let mut sum = 0_i128;
        for container in containers.filter(|c| question.container.is_none_or(|n| n == c.name)) {
            let request = container.resources.requests.get(question.resource);
            let request = request.and_then(|r| Quantity::parse(r).ok());
            let Some(request) = request else {
                return Err(format!(
                    "missing request for {} in container {} of Pod {name}",
                    question.resource, container.name
                ));
            };
            sum = sum.saturating_add(request.nano);
        }
        requests.insert(name, sum);
    }
    Ok(requests)
}

/// Used by goal, hundredths of the requests, the average of a pod.
#[allow(clippy::cast_precision_loss)]
fn ratio(
    used: &BTreeMap<String, i128>,
    requests: &BTreeMap<String, i128>,
    goal: &Goal,
) -> Result<(f64, Option<i32>, i128), String> {
    let sum: i128 = used.values().sum();
    let pods = i128::try_from(used.len()).unwrap_or(i128::MAX).max(1);
    let average = sum / pods;
    match goal {
        Goal::Utilization(goal) => {
            let asked: i128 = used.keys().filter_map(|name| requests.get(name)).sum();
            if asked <= 0 {
                return Err("no metrics returned matched known pods".to_owned());
            }
            let percent = i32::try_from(sum.saturating_mul(100) / asked).unwrap_or(i32::MAX);
            let ratio = f64::from(percent) / f64::from((*goal).max(1));
            Ok((ratio, Some(percent), average))
        }
        Goal::Average(goal) => Ok((average as f64 / (*goal).max(1) as f64, None, average)),
    }
}
