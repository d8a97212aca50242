//! Checks of vantages, cut into jobs of their own.
//!
//! A job holds checks of one domain and the domain controllers of it that are known: a check may have to talk to any of
//! them. Where a domain has more targets than one job may hold, there is a job for each part of them; the checks that
//! concern the domain as a whole are in the first one, and know the targets of that part only.

use std::collections::{BTreeMap, BTreeSet};

use sekisho_model::{CheckKind, ComputerName};

use super::Limits;
use crate::{DomainId, TargetId, VantageId};

/// A domain of a sweep, and what is to be checked in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scene {
    /// The domain.
    pub domain: DomainId,
    /// Its domain controllers, as far as they are known.
    pub targets: BTreeSet<TargetId>,
    /// Computers whose accounts are looked for.
    pub computers: BTreeSet<ComputerName>,
}

/// A job of checks to be created. The number of a task is its position.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedChecks {
    /// The vantage whose probe does it.
    pub vantage: VantageId,
    /// The domain controllers that the checks know.
    pub targets: Vec<TargetId>,
    /// What it checks.
    pub tasks: Vec<PlannedCheck>,
}

/// One check of a job.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct PlannedCheck {
    /// The check.
    pub check: CheckKind,
    /// The domain.
    pub domain: DomainId,
    /// The target that it concerns; `None` where it concerns the whole domain. It is one of the job's.
    pub target: Option<TargetId>,
    /// The computer that it concerns.
    pub computer: Option<ComputerName>,
}

/// Every check of every vantage and domain exactly once, in jobs within `limits`. The same input gives the same jobs; order
/// and repetition in the input do not matter.
///
/// [`CheckKind::Clock`] and [`CheckKind::PathMtu`] concern each target, [`CheckKind::ComputerAccount`] each computer that is
/// named, the others the vantage and the domain. [`CheckKind::JoinRights`] is never planned: it needs credentials, and a
/// controller has none.
#[must_use]
pub fn plan(
    vantages: &[VantageId],
    scenes: &[Scene],
    checks: &[CheckKind],
    limits: Limits,
) -> Vec<PlannedChecks> {
    let vantages: BTreeSet<_> = vantages.iter().copied().collect();
    let scenes: BTreeMap<DomainId, &Scene> = scenes.iter().map(|scene| (scene.domain, scene)).collect();
    let checks: BTreeSet<_> = checks.iter().copied().collect();
    let parts: Vec<_> = scenes.into_values().flat_map(|scene| parts(scene, &checks, limits)).collect();
    let job = |vantage, (targets, tasks): &(Vec<TargetId>, Vec<PlannedCheck>)| PlannedChecks {
        vantage,
        targets: targets.clone(),
        tasks: tasks.clone(),
    };
    vantages.into_iter().flat_map(|vantage| parts.iter().map(move |part| job(vantage, part))).collect()
}

/// How many checks one vantage has to do.
#[must_use]
pub fn count(scenes: &[Scene], checks: &[CheckKind]) -> usize {
    let of_scene = |scene: &Scene| {
        let of_check = |check: &CheckKind| subjects(*check, scene, &scene.targets, true).len();
        checks.iter().map(of_check).fold(0, usize::saturating_add)
    };
    scenes.iter().map(of_scene).fold(0, usize::saturating_add)
}

/// The checks of one domain with the targets that they know, cut where either limit is reached.
fn parts(
    scene: &Scene,
    checks: &BTreeSet<CheckKind>,
    limits: Limits,
) -> Vec<(Vec<TargetId>, Vec<PlannedCheck>)> {
    let targets: Vec<TargetId> = scene.targets.iter().copied().collect();
    // A domain of which no target is known has its checks too: they tell why.
    let first = targets.get(..limits.targets.max(1).min(targets.len())).unwrap_or_default();
    let others = targets.get(first.len()..).unwrap_or_default().chunks(limits.targets.max(1));
    let mut parts = Vec::new();
    for (place, known) in std::iter::once(first).chain(others).enumerate() {
        let of_part = known.iter().copied().collect();
        let tasks: Vec<PlannedCheck> =
            checks.iter().flat_map(|check| subjects(*check, scene, &of_part, place == 0)).collect();
        parts.extend(tasks.chunks(limits.tasks.max(1)).map(|tasks| (known.to_vec(), tasks.to_vec())));
    }
    parts
}

/// What one check concerns: each of `targets`, each computer, or the domain as a whole; the latter two in the first part.
fn subjects(
    check: CheckKind,
    scene: &Scene,
    targets: &BTreeSet<TargetId>,
    is_first: bool,
) -> Vec<PlannedCheck> {
    let whole = PlannedCheck { check, domain: scene.domain, target: None, computer: None };
    match check {
        CheckKind::Clock | CheckKind::PathMtu => {
            targets.iter().map(|target| PlannedCheck { target: Some(*target), ..whole.clone() }).collect()
        }
        CheckKind::ComputerAccount if is_first => scene
            .computers
            .iter()
            .map(|computer| PlannedCheck { computer: Some(computer.clone()), ..whole.clone() })
            .collect(),
        CheckKind::Resolver | CheckKind::SrvRecords | CheckKind::Host if is_first => vec![whole],
        CheckKind::ComputerAccount
        | CheckKind::Resolver
        | CheckKind::SrvRecords
        | CheckKind::Host
        | CheckKind::JoinRights => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    fn scenes() -> impl Strategy<Value = Vec<Scene>> {
        let scene = |domain: i32| {
            (vec(0..40_i32, 0..40), vec("[a-z]{1,3}", 0..4)).prop_map(move |(targets, computers)| Scene {
                domain: DomainId(domain),
                targets: targets.into_iter().map(|n| TargetId(100 * domain + n)).collect(),
                computers: computers.iter().map(|name| name.parse().unwrap()).collect(),
            })
        };
        (0..4_i32).prop_flat_map(move |domains| (0..domains).map(scene).collect::<Vec<_>>())
    }

    /// Checks of a vantage in a domain, as a reader counts them.
    fn expected(scene: &Scene, checks: &BTreeSet<CheckKind>) -> usize {
        let has = |kind| usize::from(checks.contains(&kind));
        has(CheckKind::Resolver)
            + has(CheckKind::SrvRecords)
            + has(CheckKind::Host)
            + (has(CheckKind::Clock) + has(CheckKind::PathMtu)) * scene.targets.len()
            + has(CheckKind::ComputerAccount) * scene.computers.len()
    }

    proptest! {
        #[test]
        fn each_check_is_planned_exactly_once_and_within_the_limits(
            vantages in vec((0..9_i32).prop_map(VantageId), 0..6),
            scenes in scenes(),
            checks in proptest::sample::subsequence(CheckKind::ALL, 0..=CheckKind::ALL.len()),
            task_limit in 1_usize..24,
            target_limit in 1_usize..16,
        ) {
            let limits = Limits { tasks: task_limit, targets: target_limit };
            let jobs = plan(&vantages, &scenes, &checks, limits);
            let mut seen = BTreeSet::new();
            for job in &jobs {
                prop_assert!((1..=task_limit).contains(&job.tasks.len()));
                prop_assert!(job.targets.len() <= target_limit);
                let scene = scenes.iter().find(|scene| scene.domain == job.tasks[0].domain).unwrap();
                prop_assert!(job.targets.iter().all(|target| scene.targets.contains(target)));
                for task in &job.tasks {
                    prop_assert_eq!(task.domain, scene.domain, "a job has one domain");
                    prop_assert!(task.check != CheckKind::JoinRights, "a controller has no credentials");
                    prop_assert!(task.target.is_none_or(|target| job.targets.contains(&target)));
                    prop_assert!(seen.insert((job.vantage, task.clone())), "twice: {task:?}");
                }
            }
            let kinds: BTreeSet<_> = checks.iter().copied().collect();
            let of_each: usize = scenes.iter().map(|scene| expected(scene, &kinds)).sum();
            prop_assert_eq!(count(&scenes, &checks), of_each);
            prop_assert_eq!(seen.len(), of_each * vantages.iter().collect::<BTreeSet<_>>().len());
            let backwards = |list: &[CheckKind]| list.iter().rev().copied().chain(list.iter().copied()).collect::<Vec<_>>();
            let twice: Vec<Scene> = scenes.iter().rev().chain(&scenes).cloned().collect();
            prop_assert_eq!(plan(&vantages, &twice, &backwards(&checks), limits), jobs);
        }
    }

    #[test]
    fn a_domain_without_known_targets_is_checked_all_the_same() {
        let scene = Scene {
            domain: DomainId(1),
            targets: BTreeSet::new(),
            computers: BTreeSet::from(["PC8".parse().unwrap()]),
        };
        let jobs = plan(&[VantageId(7)], &[scene], CheckKind::ALL, Limits { tasks: 64, targets: 8 });
        let kinds: Vec<CheckKind> = jobs[0].tasks.iter().map(|task| task.check).collect();
        assert_eq!(jobs.len(), 1);
        assert_eq!(
            kinds,
            [CheckKind::Resolver, CheckKind::SrvRecords, CheckKind::ComputerAccount, CheckKind::Host]
        );
    }
}
