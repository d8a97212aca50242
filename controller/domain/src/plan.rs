//! How a sweep is cut into jobs.

pub mod checks;

use std::collections::BTreeSet;

use sekisho_model::Service;

use crate::{TargetId, VantageId};

/// Most that one job may hold.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Tasks in one job.
    pub tasks: usize,
    /// Different targets in one job.
    pub targets: usize,
}

/// A job of flows to be created. The number of a task is its position.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedJob {
    /// The vantage whose probe does it.
    pub vantage: VantageId,
    /// What it tests.
    pub tasks: Vec<PlannedTask>,
}

/// One flow of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct PlannedTask {
    /// The target.
    pub target: TargetId,
    /// The service.
    pub service: Service,
}

/// Every flow of vantages × targets × services exactly once, in jobs within `limits`. The same input gives the same jobs;
/// order and repetition in the input do not matter.
#[must_use]
pub fn plan(
    vantages: &[VantageId],
    targets: &[TargetId],
    services: &[Service],
    limits: Limits,
) -> Vec<PlannedJob> {
    let vantages: BTreeSet<_> = vantages.iter().copied().collect();
    let targets: BTreeSet<_> = targets.iter().copied().collect();
    let services: BTreeSet<_> = services.iter().copied().collect();
    let parts = parts(&targets, &services, limits);
    vantages
        .into_iter()
        .flat_map(|vantage| parts.iter().map(move |tasks| PlannedJob { vantage, tasks: tasks.clone() }))
        .collect()
}

/// Targets × services, target by target, cut where either limit is reached.
fn parts(
    targets: &BTreeSet<TargetId>,
    services: &BTreeSet<Service>,
    limits: Limits,
) -> Vec<Vec<PlannedTask>> {
    let mut parts = Vec::new();
    let mut part: Vec<PlannedTask> = Vec::new();
    let mut in_part = BTreeSet::new();
    for &target in targets {
        for &service in services {
            let another_target = !in_part.contains(&target);
            let full = part.len() >= limits.tasks.max(1)
                || (another_target && in_part.len() >= limits.targets.max(1));
            if full {
                parts.push(std::mem::take(&mut part));
                in_part.clear();
            }
            in_part.insert(target);
            part.push(PlannedTask { target, service });
        }
    }
    if !part.is_empty() {
        parts.push(part);
    }
    parts
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn services() -> impl Strategy<Value = Vec<Service>> {
        proptest::collection::vec((1_u16..2_000).prop_map(|port| Service::tcp(port).unwrap()), 0..30)
    }

    proptest! {
        #[test]
        fn each_flow_is_planned_exactly_once_and_within_the_limits(
            vantages in proptest::collection::vec((0..9_i32).prop_map(VantageId), 0..12),
            targets in proptest::collection::vec((0..40_i32).prop_map(TargetId), 0..50),
            services in services(),
            task_limit in 1_usize..64,
            target_limit in 1_usize..16,
        ) {
            let limits = Limits { tasks: task_limit, targets: target_limit };
            let jobs = plan(&vantages, &targets, &services, limits);
            let mut seen = BTreeSet::new();
            for job in &jobs {
                prop_assert!(!job.tasks.is_empty());
                prop_assert!(job.tasks.len() <= task_limit);
                let different: BTreeSet<_> = job.tasks.iter().map(|t| t.target).collect();
                prop_assert!(different.len() <= target_limit);
                for task in &job.tasks {
                    prop_assert!(seen.insert((job.vantage, *task)), "twice: {task:?}");
                }
            }
            let flows = vantages.iter().collect::<BTreeSet<_>>().len()
                * targets.iter().collect::<BTreeSet<_>>().len()
                * services.iter().collect::<BTreeSet<_>>().len();
            prop_assert_eq!(seen.len(), flows);
            let mut backwards = targets.clone();
            backwards.reverse();
            prop_assert_eq!(plan(&vantages, &backwards, &services, limits), jobs);
        }
    }
}
