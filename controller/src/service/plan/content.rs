//! What a sweep is to do, as it stands in the database when the sweep is planned.

use std::collections::{BTreeMap, BTreeSet};

use sekisho_domain::{
    Capture, DomainId, TargetId, VantageId,
    plan::{
        Limits, PlannedJob,
        checks::{self, PlannedChecks, Scene},
        plan,
    },
};
use sekisho_model::{CheckKind, ComputerName, Service};
use sqlx::PgConnection;

use crate::{
    service::{
        Result,
        sweep::{computers, strange},
    },
    store::{self, sweep::Locked, target::Target},
};

/// Flows and checks of a sweep, before they are cut into jobs.
#[derive(Clone)]
pub(super) struct Content {
    vantages: Vec<VantageId>,
    domains: Vec<i32>,
    pub(super) targets: Vec<Target>,
    services: Vec<Service>,
    checks: Vec<CheckKind>,
    /// Computers to look for, by domain.
    computers: BTreeMap<i32, BTreeSet<ComputerName>>,
    captures: Vec<Capture>,
    /// The checks that concern a whole domain are queued already.
    only_targets: bool,
}

/// Words of the database as values.
fn parsed<T: std::str::FromStr>(what: &str, words: &[String]) -> Result<Vec<T>> {
    words.iter().map(|word| word.parse().map_err(|_| strange(what, word))).collect()
}

impl Content {
    /// What the sweep asks for, with the targets and the computers that are known by now.
    pub(super) async fn of(connection: &mut PgConnection, sweep: i64, locked: &Locked) -> Result<Self> {
        let domains = locked.domain_ids.clone();
        let asked: BTreeSet<ComputerName> =
            parsed("name of a computer", &locked.computers)?.into_iter().collect();
        let mut computers = computers(connection, &domains).await?;
        for domain in &domains {
            computers.entry(*domain).or_default().extend(asked.iter().cloned());
        }
        Ok(Self {
            vantages: locked.vantage_ids.iter().copied().map(VantageId).collect(),
            targets: store::target::of_sweep(connection, sweep, &domains).await?,
            domains,
            services: parsed("service", &locked.services)?,
            checks: parsed("check of a vantage", &locked.checks)?,
            computers,
            captures: parsed("capture", &locked.captures)?,
            only_targets: false,
        })
    }

    /// How many flows and checks there are.
    pub(super) fn tasks(&self) -> usize {
        let flows = self.targets.len().saturating_mul(self.services.len());
        flows.saturating_add(checks::count(&self.scenes(), &self.checks)).saturating_mul(self.vantages.len())
    }

    /// Whether it is tested at a vantage.
    pub(super) fn has(&self, vantage: VantageId) -> bool {
        self.vantages.contains(&vantage)
    }

    /// Tests further targets, as far as they are not among the others.
    pub(super) fn include(&mut self, targets: Vec<Target>) {
        for target in targets {
            if !self.targets.iter().any(|other| other.id == target.id) {
                self.targets.push(target);
            }
        }
    }

    /// What is left to do where a part of it is queued: everything at the other vantages, and at these the other targets.
    pub(super) fn beyond(self, queued: &BTreeSet<i32>, at: &BTreeSet<VantageId>) -> Vec<Self> {
        let (queued_at, others) = self.vantages.iter().partition(|vantage| at.contains(vantage));
        let rest = Self { vantages: others, ..self.clone() };
        let targets = self.targets.iter().filter(|target| !queued.contains(&target.id)).cloned().collect();
        let extra = Self { vantages: queued_at, targets, only_targets: true, ..self };
        vec![rest, extra]
    }

    /// Leaves nothing to do.
    pub(super) fn clear(&mut self) {
        self.vantages.clear();
    }

    /// Every flow, in jobs.
    pub(super) fn flows(&self, limits: Limits) -> Vec<PlannedJob> {
        let targets: Vec<TargetId> = self.targets.iter().map(|target| TargetId(target.id)).collect();
        plan(&self.vantages, &targets, &self.services, limits)
    }

    /// Every check, in jobs.
    pub(super) fn checks(&self, limits: Limits) -> Vec<PlannedChecks> {
        let mut jobs = checks::plan(&self.vantages, &self.scenes(), &self.checks, limits);
        if self.only_targets {
            for job in &mut jobs {
                job.tasks.retain(|task| task.target.is_some());
            }
            jobs.retain(|job| !job.tasks.is_empty());
        }
        jobs
    }

    fn scenes(&self) -> Vec<Scene> {
        let targets_of = |domain: i32| {
            let of_domain = self.targets.iter().filter(move |target| target.domain_id == domain);
            of_domain.map(|target| TargetId(target.id)).collect()
        };
        self.domains
            .iter()
            .map(|domain| Scene {
                domain: DomainId(*domain),
                targets: targets_of(*domain),
                computers: self.computers.get(domain).cloned().unwrap_or_default(),
            })
            .collect()
    }

    /// What to say about captures that mean no flow of this sweep.
    pub(super) fn without_flow(&self) -> Vec<String> {
        let meets = |capture: &&Capture| {
            !self.targets.iter().any(|target| capture.is_target(&target.host, target.address))
        };
        let said = |capture| format!("no packets of {capture} are kept: the sweep has no such target");
        self.captures.iter().filter(meets).map(said).collect()
    }
}
