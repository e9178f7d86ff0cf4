//! Which of the nodes that can take a pod should: the emptier one, and the one left in balance.
//! <https://kubernetes.io/docs/reference/scheduling/config/#scheduling-plugins>

use super::resources::{CPU, MEMORY, Resources};
use super::snapshot::{NodeInfo, PodInfo};

/// Best score of one function.
const SCORE_MAX: i128 = 100;

/// Higher is better.
pub fn score(pod: &PodInfo, node: &NodeInfo, used: &Resources) -> i128 {
    let after = |name| {
        let has = node.allocatable.get(name);
        (used.get(name) + pod.requests.get(name)).clamp(0, has.max(0)) * SCORE_MAX / has.max(1)
    };
    let (cpu, memory) = (after(CPU), after(MEMORY));
    least_allocated(cpu, memory) + balanced(cpu, memory)
}

/// Free share after placement, mean of both resources, per cent.
fn least_allocated(cpu: i128, memory: i128) -> i128 {
    i128::midpoint(SCORE_MAX - cpu, SCORE_MAX - memory)
}

/// One hundred less the standard deviation of both shares, which for two values is half their distance.
fn balanced(cpu: i128, memory: i128) -> i128 {
    SCORE_MAX - (cpu - memory).abs() / 2
}
