//! What a run of a schedule would test, and how long that takes.

use std::{collections::BTreeMap, net::IpAddr};

use sekisho_domain::{
    budget,
    plan::checks::Scene,
    schedule::{
        Timetable,
        estimate::{Budgets, Estimate, Load, estimate},
    },
};
use sekisho_model::{CheckKind, rates::Rates};
use serde::{Deserialize, Serialize};
use sqlx::PgConnection;
use utoipa::ToSchema;

use super::{everywhere, found, pause, reserve, wanted};
use crate::{
    service::{Result, Services, plan::MAX_TASKS, sweep::Wanted},
    store::{self, schedule::Standing, target::Target},
};

/// A target that would be tested.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ForecastTarget {
    /// Its domain.
    pub domain: String,
    /// Host name, or empty.
    pub host: String,
    /// Address.
    #[schema(value_type = String)]
    pub address: IpAddr,
    /// `inventory` or `discovered`.
    pub origin: String,
    /// New attempts per second, of the whole fleet.
    pub budget: u32,
}

/// What a vantage would do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ForecastVantage {
    /// The vantage.
    pub vantage: String,
    /// Probes of it that are connected.
    pub live_probes: usize,
    /// Flows.
    pub flows: usize,
    /// Checks of the vantage.
    pub checks: usize,
    /// New attempts per second over its link, where it has a budget.
    pub budget: Option<u32>,
    /// How long it takes: `fastest_seconds` where every flow answers at once, `slowest_seconds` where every flow is silent, and
    /// the `bound` of the latter. Absent without a probe.
    #[schema(value_type = Option<Object>)]
    pub estimate: Option<Estimate>,
}

/// What a sweep would test, and how long that takes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SweepForecast {
    /// The schedule.
    pub schedule: String,
    /// The profile.
    pub profile: String,
    /// Services of each target.
    pub services: Vec<String>,
    /// Checks of each vantage.
    pub checks: Vec<String>,
    /// The targets, as far as they are known by now.
    pub targets: Vec<ForecastTarget>,
    /// The vantages, by name.
    pub vantages: Vec<ForecastVantage>,
    /// Flows and checks of all vantages.
    pub planned: usize,
    /// How many of them are checks.
    pub planned_checks: usize,
    /// How long the window is.
    pub window_seconds: u64,
    /// How long the slowest vantage takes where every flow answers at once.
    pub fastest_seconds: u64,
    /// And where every flow is silent.
    pub slowest_seconds: u64,
    /// What binds: `tasks` (too many for one sweep), `window` (too short for the slowest case), `per-target`, `per-probe`,
    /// `concurrency` (the rates of the slowest vantage's probes), `target-budget` (the smallest budget of a target, for all vantages
    /// together), `link-budget` (of the slowest vantage's link), `round-trips` (the network); `none` without a live probe.
    pub limit: String,
    /// What else is to be known before it starts.
    pub notes: Vec<String>,
}

impl Services {
    /// What a run of a schedule would test if it started at once. Rates are those that probes have unless their scope files say
    /// otherwise.
    ///
    /// # Errors
    /// When there is no such schedule, or it names what the inventory does not have.
    pub async fn forecast_schedule(&self, name: &str) -> Result<SweepForecast> {
        let mut connection = self.connection().await?;
        let standing = found(&mut connection, name).await?;
        let wanted = wanted(&mut connection, &standing.definition.0).await?;
        let content = Content::of(&mut connection, &wanted).await?;
        let live = store::probe::live(&mut connection, self.settings().live_window.as_secs_f64()).await?;
        let live: BTreeMap<i32, i64> = live.into_iter().collect();
        let each = content.of_each(&wanted, self.settings().tasks_per_job);
        let probes_at =
            |vantage: i32| live.get(&vantage).and_then(|probes| usize::try_from(*probes).ok()).unwrap_or(0);
        let at_work = wanted.vantages.iter().filter(|vantage| probes_at(vantage.id) > 0).count();
        let target = content.budgets.values().copied().min().unwrap_or(budget::DEFAULT);
        let vantages: Vec<ForecastVantage> = wanted
            .vantages
            .iter()
            .map(|vantage| {
                let probes = probes_at(vantage.id);
                let link = content.links.get(&vantage.id).copied();
                let budgets = Budgets { target, vantages: at_work, link };
                let load = Load {
                    targets: content.targets.len(),
                    tasks: each.flows + each.checks,
                    probes,
                    jobs: each.jobs,
                };
                ForecastVantage {
                    vantage: vantage.name.clone(),
                    live_probes: probes,
                    flows: each.flows,
                    checks: each.checks,
                    budget: link,
                    estimate: (probes > 0).then(|| estimate(load, Rates::default(), budgets)),
                }
            })
            .collect();
        let mut forecast = forecast(&standing, &wanted, &content, vantages);
        let next = Timetable::of(&standing.definition.0).next(standing.now.to_jiff(), 1);
        if let Some(run) = next.first()
            && let Some(alone) = reserve::alone(&mut connection, name, run.due).await?
        {
            forecast.notes.push(format!("the next run without a controller: {alone}"));
        }
        Ok(forecast)
    }
}

/// What every vantage has to do.
struct Each {
    flows: usize,
    checks: usize,
    jobs: usize,
}

/// What is known of the targets.
struct Content {
    targets: Vec<Target>,
    scenes: Vec<Scene>,
    /// Budgets by target, and of the links of vantages that have one.
    budgets: BTreeMap<i32, u32>,
    links: BTreeMap<i32, u32>,
}

impl Content {
    async fn of(connection: &mut PgConnection, wanted: &Wanted) -> Result<Self> {
        let domains: Vec<i32> = wanted.domains.iter().map(|domain| domain.id).collect();
        let targets = store::target::of_domains(connection, &domains).await?;
        let scenes = everywhere::scenes(connection, wanted, &targets).await?;
        let ids: Vec<i32> = targets.iter().map(|target| target.id).collect();
        let budgets = store::budget::of_targets(connection, &ids).await?;
        let ids: Vec<i32> = wanted.vantages.iter().map(|vantage| vantage.id).collect();
        let links = store::budget::of_vantages(connection, &ids).await?;
        let by_id =
            |list: Vec<(i32, i32)>| list.into_iter().map(|(id, rate)| (id, rate.unsigned_abs())).collect();
        Ok(Self { targets, scenes, budgets: by_id(budgets), links: by_id(links) })
    }

    /// By the same planning that a sweep has, for one vantage.
    fn of_each(&self, wanted: &Wanted, tasks_per_job: usize) -> Each {
        let (flows, checks) = everywhere::jobs(wanted, &self.targets, &self.scenes, tasks_per_job);
        Each {
            flows: flows.iter().map(|job| job.tasks.len()).sum(),
            checks: checks.iter().map(|job| job.tasks.len()).sum(),
            jobs: flows.len() + checks.len(),
        }
    }
}

fn forecast(
    standing: &Standing,
    wanted: &Wanted,
    content: &Content,
    vantages: Vec<ForecastVantage>,
) -> SweepForecast {
    let schedule = &standing.definition.0;
    let name_of = |id: i32| {
        let domain = wanted.domains.iter().find(|domain| domain.id == id);
        domain.map(|domain| domain.name.clone()).unwrap_or_default()
    };
    let target = |target: &Target| ForecastTarget {
        domain: name_of(target.domain_id),
        host: target.host.clone(),
        address: target.address,
        origin: if target.listed { "inventory" } else { "discovered" }.to_owned(),
        budget: content.budgets.get(&target.id).copied().unwrap_or(budget::DEFAULT),
    };
    // A controller has no credentials for it, and never plans it.
    let is_planned = |check: &&CheckKind| **check != CheckKind::JoinRights;
    let slowest = vantages.iter().filter_map(|vantage| vantage.estimate).max_by_key(|e| e.slowest_seconds);
    let planned_checks: usize = vantages.iter().map(|vantage| vantage.checks).sum();
    let planned = planned_checks + vantages.iter().map(|vantage| vantage.flows).sum::<usize>();
    let window_seconds = schedule.window.length().unsigned_abs().as_secs();
    let limit = match slowest {
        _ if planned > MAX_TASKS => "tasks",
        None => "none",
        Some(slowest) if slowest.slowest_seconds > window_seconds => "window",
        Some(slowest) => slowest.bound.word(),
    };
    SweepForecast {
        schedule: schedule.name.to_string(),
        profile: wanted.profile.clone(),
        services: wanted.contents.services.iter().map(|service| service.name()).collect(),
        checks: wanted.contents.checks.iter().filter(is_planned).map(ToString::to_string).collect(),
        targets: content.targets.iter().map(target).collect(),
        planned,
        planned_checks,
        window_seconds,
        fastest_seconds: vantages
            .iter()
            .filter_map(|vantage| vantage.estimate)
            .map(|estimate| estimate.fastest_seconds)
            .max()
            .unwrap_or(0),
        slowest_seconds: slowest.map_or(0, |slowest| slowest.slowest_seconds),
        limit: limit.to_owned(),
        notes: notes(standing, wanted, planned),
        vantages,
    }
}

fn notes(standing: &Standing, wanted: &Wanted, planned: usize) -> Vec<String> {
    let mut notes = Vec::new();
    if planned > MAX_TASKS {
        notes.push(format!(
            "{planned} flows and checks are more than the {MAX_TASKS} of one sweep: name fewer vantages, or one domain"
        ));
    }
    let searched = wanted.domains.iter().filter(|domain| domain.discover);
    notes.extend(searched.map(|domain| {
        format!("{}: the targets known by now; a sweep asks its SRV records for them again", domain.name)
    }));
    if let Some(sweep) = standing.running {
        notes
            .push(format!("sweep {sweep} of this schedule has not ended: until it has, no other is started"));
    }
    let now = standing.now.to_jiff();
    if let Some(days) = Timetable::of(&standing.definition.0).blackout_at(now) {
        notes.push(format!("today is in the blackout {days}: by itself the schedule starts nothing"));
    }
    if pause(standing).is_some_and(|pause| pause.holds(now)) {
        notes.push("the schedule is paused: by itself it starts nothing".to_owned());
    }
    notes
}
