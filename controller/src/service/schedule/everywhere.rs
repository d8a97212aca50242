//! What a run has to do at each of its vantages, by the same planning that a sweep has.

use sekisho_domain::{
    DomainId, TargetId, VantageId,
    plan::{
        self, Limits, PlannedJob,
        checks::{self, PlannedChecks, Scene},
    },
};
use sekisho_proto::limits;
use sqlx::PgConnection;

use crate::{
    service::{
        Result,
        sweep::{Wanted, computers},
    },
    store::target::Target,
};

/// What checks are about: each domain with its targets and the computers to look for.
pub(super) async fn scenes(
    connection: &mut PgConnection,
    wanted: &Wanted,
    targets: &[Target],
) -> Result<Vec<Scene>> {
    let domains: Vec<i32> = wanted.domains.iter().map(|domain| domain.id).collect();
    let mut computers = computers(connection, &domains).await?;
    let of = |domain: i32| targets.iter().filter(move |target| target.domain_id == domain);
    let scene = |domain: &i32| Scene {
        domain: DomainId(*domain),
        targets: of(*domain).map(|target| TargetId(target.id)).collect(),
        computers: computers.remove(domain).unwrap_or_default(),
    };
    Ok(domains.iter().map(scene).collect())
}

/// Flows and checks of one vantage, cut into jobs.
pub(super) fn jobs(
    wanted: &Wanted,
    targets: &[Target],
    scenes: &[Scene],
    tasks_per_job: usize,
) -> (Vec<PlannedJob>, Vec<PlannedChecks>) {
    let limits = |tasks: usize| Limits { tasks: tasks_per_job.min(tasks), targets: limits::TARGETS_PER_JOB };
    let any = [VantageId(0)];
    let targets: Vec<TargetId> = targets.iter().map(|target| TargetId(target.id)).collect();
    let (services, kinds) = (&wanted.contents.services, &wanted.contents.checks);
    let flows = plan::plan(&any, &targets, services, limits(limits::TASKS_PER_JOB));
    (flows, checks::plan(&any, scenes, kinds, limits(limits::CHECKS_PER_JOB)))
}
