//! What coming runs reserve of budgets, so that probes may run them by themselves. How it is cut is decided in
//! [`sekisho_domain::planned::seats`].

mod window;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    time::Duration,
};

use jiff::Timestamp;
use sekisho_domain::{
    inventory::Schedule,
    planned::{
        PlannedId,
        seats::{Misfit, Need, Night, Rate, Seats},
    },
    schedule::Timetable,
};
use sekisho_model::rates::Rates;
use sqlx::{Connection as _, PgConnection};
use uuid::Uuid;

use super::pause;
use crate::{
    service::{Error, Result, Services, budget::OF_CHECKS, sweep::strange},
    store::{
        self, Named as _,
        plan::Plan,
        plan_run::{self, NewPlanRun, PlanNeed, PlanRate, PlanRun},
        schedule::Standing,
    },
};
use window::Window;

/// The number under which parts of budgets are reserved for a run.
fn number_of(run: i64) -> Result<Uuid> {
    let number = u64::try_from(run).ok().and_then(PlannedId::of_run);
    number.map(Uuid::from_u128).ok_or_else(|| strange("run", &run.to_string()))
}

fn count(number: i64) -> u32 {
    u32::try_from(number.max(0)).unwrap_or(u32::MAX)
}

fn whole(number: i32) -> u32 {
    number.max(0).unsigned_abs()
}

impl PlanRun {
    /// How it is cut.
    pub(in crate::service) fn cut(&self) -> Seats {
        let seconds = |seconds: i32| Duration::from_secs(whole(seconds).into());
        Seats {
            seats: whole(self.seats),
            slots: whole(self.slots),
            slot: seconds(self.slot_seconds),
            gap: seconds(self.gap_seconds),
        }
    }

    fn window(&self) -> Window {
        Window { start: self.start_at.to_jiff(), end: self.end_at.to_jiff() }
    }
}

fn need(row: &PlanNeed) -> Need {
    let (flows, checks, rates) = (count(row.flows), count(row.checks), Rates::default());
    let of_checks = checks.saturating_mul(OF_CHECKS);
    // No more than a probe sends by itself, and no more than an attempt per second for each flow.
    let most = if row.vantage_id.is_some() { rates.total } else { rates.per_target };
    Need {
        of: row.name.clone(),
        budget: whole(row.budget),
        lent: count(row.lent),
        planned: count(row.planned),
        useful: flows.saturating_add(of_checks).clamp(1, most),
        flows,
        others: of_checks,
        own: row.probes.map(count),
    }
}

/// What fits, or why not.
type Fit<T> = std::result::Result<T, Misfit>;

/// What is reserved of: an address, or the link of a vantage.
type Key = (Option<IpAddr>, Option<i32>);

fn key(row: &PlanNeed) -> Key {
    (row.address, row.vantage_id)
}

/// What a run is to have beside or in place of what it has.
enum Change {
    /// Everything is as it should be.
    None,
    /// A probe has a seat: what is there stays, and these budgets come to it.
    Further(PlanRun, Window, Vec<(Key, Rate)>),
    /// Clocks would not tell it from an earlier run of the schedule: it is cut as that one is, and has the same seats.
    Follow(PlanRun, Window, Vec<(Key, Rate)>),
    /// Nobody has a seat: it is cut anew.
    Anew(Window, Seats, Vec<(Key, Rate)>),
}

/// What a plan needs, and what that comes to.
struct Look {
    rows: Vec<PlanNeed>,
    change: Fit<Change>,
}

/// A plan whose run is to have what it needs.
struct Coming<'a> {
    schedule: &'a Schedule,
    plan: &'a Plan,
    /// Every schedule.
    all: &'a [Standing],
}

impl Services {
    /// Sees to it that the coming plans of a schedule have what their jobs need of budgets, or notes why they do not. Says whether
    /// anything changed for probes.
    pub(super) async fn reserve(&self, schedule: &Schedule, all: &[Standing]) -> Result<bool> {
        let mut connection = self.connection().await?;
        let plans = store::plan::coming(&mut connection, schedule.name.as_str()).await?;
        let mut is_changed = false;
        for plan in plans.iter().filter(|plan| !plan.is_due) {
            let coming = Coming { schedule, plan, all };
            // Without locks first: mostly there is nothing to do.
            let found =
                plan_run::find(&mut connection, schedule.name.as_str(), plan.due_at.to_jiff()).await?;
            let look = self.look_for(&mut connection, &coming, found.as_ref()).await?;
            if !is_settled(&look, plan, found.as_ref()) {
                // One transaction for each, since each locks budgets in their order.
                let mut transaction = connection.begin().await.named("beginning a transaction")?;
                if store::schedule::lock(&mut transaction, schedule.name.as_str()).await? {
                    is_changed |= self.bring(&mut transaction, &coming, found, &look.rows).await?;
                }
                transaction.commit().await.named("committing a transaction")?;
            }
        }
        Ok(is_changed)
    }

    /// The same of one plan of a locked schedule, which needs these budgets.
    async fn bring(
        &self,
        connection: &mut PgConnection,
        coming: &Coming<'_>,
        mut found: Option<PlanRun>,
        rows: &[PlanNeed],
    ) -> Result<bool> {
        let (name, plan) = (coming.schedule.name.as_str(), coming.plan);
        if plan_run::find(connection, name, plan.due_at.to_jiff()).await?.map(|run| run.id)
            != found.as_ref().map(|run| run.id)
        {
            // Another controller was here meanwhile.
            return Ok(false);
        }
        if let Some(run) = &mut found {
            let Some(taken) = plan_run::lock(connection, run.head).await? else { return Ok(false) };
            run.taken = taken;
        }
        let addresses: Vec<IpAddr> = rows.iter().filter_map(|row| row.address).collect();
        let vantages: Vec<i32> = rows.iter().filter_map(|row| row.vantage_id).collect();
        let numbers = store::budget::lock(connection, &addresses, &vantages).await?;
        let numbered = |rates: &[(Key, Rate)]| -> Option<Vec<(i32, u32, u32)>> {
            rates.iter().map(|(key, rate)| Some((*numbers.get(key)?, rate.each, rate.users))).collect()
        };
        let change = self.look_for(connection, coming, found.as_ref()).await?.change;
        let of = |run: i64| Ok::<_, Error>((run, number_of(run)?));
        let why = match change {
            Ok(Change::None) => None,
            Ok(Change::Further(run, window, rates)) => {
                // What has come up since the first look waits for the next round.
                let Some(rates) = numbered(&rates) else { return Ok(false) };
                plan_run::reserve(connection, of(run.head)?, &rates, window.counts()).await?;
                None
            }
            Ok(Change::Follow(before, window, rates)) => {
                let Some(rates) = numbered(&rates) else { return Ok(false) };
                // It may be about to be forgotten. Who waits for a budget with a locked run has locked this schedule.
                if plan_run::lock(connection, before.head).await?.is_none() {
                    return Ok(false);
                }
                let cut = Seats { slot: window.length(), ..before.cut() };
                let run = NewPlanRun { head: Some(before.head), ..new_run(plan, window, cut) };
                plan_run::create(connection, name, &run).await?;
                plan_run::reserve(connection, of(before.head)?, &rates, window.counts()).await?;
                plan_run::prolong(connection, before.head, window.counts().1).await?;
                None
            }
            Ok(Change::Anew(window, seats, rates)) => {
                let Some(rates) = numbered(&rates) else { return Ok(false) };
                if let Some(old) = &found {
                    plan_run::delete(connection, of(old.id)?).await?;
                }
                let run = plan_run::create(connection, name, &new_run(plan, window, seats)).await?;
                plan_run::reserve(connection, of(run)?, &rates, window.counts()).await?;
                None
            }
            Err(misfit) => {
                // What nobody can use is not reserved.
                if let Some(run) = found.filter(|run| run.taken == 0) {
                    plan_run::delete(connection, of(run.id)?).await?;
                }
                Some(misfit.to_string())
            }
        };
        if why != plan.withheld {
            if let Some(why) = &why {
                let due = plan.due_at.to_jiff();
                tracing::warn!(schedule = name, %due, why, "without a controller this run does not take place");
            }
            store::plan::withhold(connection, plan.number, why.as_deref()).await?;
        }
        Ok(true)
    }

    async fn look_for(
        &self,
        connection: &mut PgConnection,
        coming: &Coming<'_>,
        found: Option<&PlanRun>,
    ) -> Result<Look> {
        let (name, plan) = (coming.schedule.name.as_str(), coming.plan);
        // What is fixed: by a seat, or by an earlier run.
        let fixed = found.filter(|run| run.taken > 0 || run.head != run.id);
        let window = fixed.map_or_else(|| Window::of(plan), PlanRun::window);
        let before = match found {
            Some(_) => None,
            None => plan_run::before(connection, name, plan.due_at.to_jiff(), window.counts()).await?,
        };
        let of = found.or(before.as_ref());
        let job = of.map_or(Ok(Uuid::nil()), |run| number_of(run.head))?;
        let rows = plan_run::needs(connection, plan.number, job, window.counts()).await?;
        let rates = match of {
            Some(run) => rates_of(connection, run.head).await?,
            None => BTreeMap::new(),
        };
        if let Some(run) = fixed {
            let further = rows.iter().filter_map(|row| match rates.get(&key(row)) {
                Some(rate) => need(row).allows(*rate).err().map(Err),
                None => Some(run.cut().further(&need(row)).map(|rate| (key(row), rate))),
            });
            let change = further.collect::<Fit<Vec<_>>>().map(|further| {
                if further.is_empty() { Change::None } else { Change::Further(run.clone(), window, further) }
            });
            return Ok(Look { rows, change });
        }
        if let Some(before) = before {
            let all = rows.iter().map(|row| {
                let of_row = rates.get(&key(row)).copied();
                Ok((key(row), before.cut().again(&need(row), of_row)?))
            });
            let change = all.collect::<Fit<Vec<_>>>().map(|all| Change::Follow(before.clone(), window, all));
            return Ok(Look { rows, change });
        }
        let night = Night {
            window: window.length(),
            wait: self.settings().plan_grace,
            probes: count(plan_run::probes(connection, &plan.vantage_ids).await?),
            runs: rivals(connection, coming, window).await?.saturating_add(1),
        };
        let needs: Vec<Need> = rows.iter().map(need).collect();
        let change = Seats::lay_out(night, &needs).map(|(seats, new)| {
            let new: Vec<(Key, Rate)> = rows.iter().map(key).zip(new).collect();
            let stands = found.is_some_and(|run| run.window() == window && run.cut() == seats)
                && BTreeMap::from_iter(new.iter().copied()) == rates;
            if stands { Change::None } else { Change::Anew(window, seats, new) }
        });
        Ok(Look { rows, change })
    }

    /// Gives back what is reserved for runs that have no plan, as far as no probe can hold one.
    pub(in crate::service) async fn forget_runs(&self, connection: &mut PgConnection) -> Result<()> {
        for run in plan_run::idle(connection).await? {
            let mut transaction = connection.begin().await.named("beginning a transaction")?;
            if plan_run::lock(&mut transaction, run).await? == Some(0) {
                plan_run::delete(&mut transaction, (run, number_of(run)?)).await?;
            }
            transaction.commit().await.named("committing a transaction")?;
        }
        Ok(plan_run::forget(connection).await?)
    }
}

/// Whether everything is as it should be, and is told as it is.
fn is_settled(look: &Look, plan: &Plan, found: Option<&PlanRun>) -> bool {
    match (&look.change, &plan.withheld) {
        (Ok(Change::None), None) => true,
        (Err(why), Some(told)) => why.to_string() == *told && found.is_none_or(|run| run.taken > 0),
        (Ok(_) | Err(_), _) => false,
    }
}

/// What becomes of a run when no controller is there, in a line; `None`: it is not planned yet, or under way.
pub(super) async fn alone(
    connection: &mut PgConnection,
    schedule: &str,
    due: Timestamp,
) -> Result<Option<String>> {
    let Some(plan) = store::plan::of_run(connection, schedule, due).await? else { return Ok(None) };
    if let Some(why) = plan.withheld {
        return Ok(Some(format!("it does not take place: {why}")));
    }
    let Some(run) = plan_run::find(connection, schedule, due).await? else { return Ok(None) };
    let rates = plan_run::rates(connection, run.head).await?;
    let to_targets = rates.iter().filter(|rate| rate.address.is_some()).map(|rate| whole(rate.each));
    Ok(Some(run.cut().words(count(run.taken), to_targets)))
}

fn new_run(plan: &Plan, window: Window, seats: Seats) -> NewPlanRun {
    let seconds = |time: Duration| u32::try_from(time.as_secs()).unwrap_or(u32::MAX);
    NewPlanRun {
        head: None,
        due: plan.due_at.to_jiff(),
        start: window.start,
        end: window.end,
        until: window.counts().1,
        seats: seats.seats,
        slots: seats.slots,
        slot_seconds: seconds(seats.slot),
        gap_seconds: seconds(seats.gap),
    }
}

async fn rates_of(connection: &mut PgConnection, run: i64) -> Result<BTreeMap<Key, Rate>> {
    let rates = plan_run::rates(connection, run).await?;
    let rate = |row: &PlanRate| {
        ((row.address, row.vantage_id), Rate { each: whole(row.each), users: whole(row.users) })
    };
    Ok(rates.iter().map(rate).collect())
}

/// How many other schedules have a run in this time, in the same domains, for which nothing is reserved yet: it is left to them.
async fn rivals(connection: &mut PgConnection, coming: &Coming<'_>, window: Window) -> Result<u32> {
    let planned: BTreeSet<String> =
        plan_run::schedules_between(connection, window.start, window.end).await?.into_iter().collect();
    let mine = coming.schedule;
    let meets = |other: &Schedule| {
        mine.domains.is_empty()
            || other.domains.is_empty()
            || other.domains.iter().any(|domain| mine.domains.contains(domain))
    };
    let overlaps = |standing: &&Standing| {
        let other = &standing.definition.0;
        if other.name == mine.name || planned.contains(other.name.as_str()) || !meets(other) {
            return false;
        }
        let since = window.start.saturating_sub(other.window.length()).unwrap_or(window.start);
        let next = Timetable::of(other).next(since, 1);
        let pause = pause(standing);
        next.iter().any(|run| {
            run.start < window.end
                && run.deadline > window.start
                && !pause.is_some_and(|pause| pause.holds(run.start))
        })
    };
    let rivals = coming.all.iter().filter(overlaps).count();
    Ok(u32::try_from(rivals).unwrap_or(u32::MAX))
}
