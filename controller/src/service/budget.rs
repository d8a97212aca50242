//! Jobs are given out with shares of the budgets of everything that they talk to, or not at all.

mod queue;
mod turns;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    time::Instant,
};

use sekisho_domain::budget::{GUARD, LINGER, Wish, share};
use sekisho_model::rates::Rates;
use sqlx::{Connection as _, PgConnection};
use uuid::Uuid;

use super::{Result, Services, Session, commit, session::taken_over};
pub(super) use queue::Queue;
pub(super) use turns::Turns;

use crate::store::{
    self, Named as _,
    budget::Need,
    work::{Candidate, Claim},
};

/// Attempts per second to one target that a job of checks, or of discoveries, has use for.
pub(super) const OF_CHECKS: u32 = 10;

/// Attempts per second to one target, or over the link of a vantage, of a probe that knows nothing of shares: what it sends in its
/// first second at the rates that probes have unless their scope files say otherwise.
fn unbound(is_link: bool) -> u32 {
    let rates = Rates::default();
    if is_link {
        rates.total.saturating_add(rates.total / 20)
    } else {
        rates.per_target.saturating_add(rates.burst)
    }
}

/// What is lent of: an address, or the link of a vantage.
type Key = (Option<IpAddr>, Option<i32>);

impl Services {
    /// Gives queued jobs to the probe of a session: as many as it has room for, and budgets for.
    pub(super) async fn claim(&self, connection: &mut PgConnection, session: &Session) -> Result<()> {
        let turns = &self.inner.turns;
        if !turns.may_look(session.vantage, Instant::now()) {
            return Ok(());
        }
        // Without locks first: where budgets are lent, many look again and again.
        let hopeful = self.hopeful(connection, session).await?;
        if hopeful.jobs.is_empty() {
            if hopeful.is_blocked {
                turns.wait(session.vantage, Instant::now());
            }
            return Ok(());
        }
        turns.went(session.vantage);
        let mut transaction = connection.begin().await.named("beginning a transaction")?;
        if !store::session::lock(&mut transaction, session.probe, session.id).await? {
            return Err(taken_over());
        }
        let jobs = store::work::lock_queued(&mut transaction, &hopeful.ids(), hopeful.room).await?;
        self.lend(&mut transaction, session, &hopeful, &jobs).await?;
        Ok(transaction.commit().await.named("committing a transaction")?)
    }

    /// Queued jobs that a probe has room for and whose budgets are not lent.
    async fn hopeful(&self, connection: &mut PgConnection, session: &Session) -> Result<Hopeful> {
        let claim = Claim {
            probe: session.probe,
            vantage: session.vantage,
            most: self.settings().jobs_per_probe.into(),
            discovery_wait: self.settings().discovery_wait.as_secs_f64(),
        };
        let (mut jobs, room) = store::work::candidates(connection, &claim).await?;
        let is_blocked = !jobs.is_empty();
        let mut needs = needs(connection, session.probe, &jobs).await?;
        jobs.retain(|job| {
            let of_job = needs.iter().filter(|need| need.job_id == job.id);
            granted(of_job, &BTreeMap::new(), |need| wish(session, job, need, (1, 1))).is_some()
        });
        needs.retain(|need| jobs.iter().any(|job| job.id == need.job_id));
        Ok(Hopeful { jobs, needs, room, is_blocked })
    }

    /// Gives those of locked jobs to the probe for which everything can be lent that they need. Two controllers that lend of one
    /// budget do so one after the other.
    async fn lend(
        &self,
        connection: &mut PgConnection,
        session: &Session,
        hopeful: &Hopeful,
        jobs: &[Uuid],
    ) -> Result<()> {
        let jobs: Vec<Candidate> =
            hopeful.jobs.iter().filter(|job| jobs.contains(&job.id)).cloned().collect();
        let live = self.settings().live_window.as_secs_f64();
        let queue = &self.inner.queue;
        queue.count(connection, live).await?;
        let addresses: BTreeSet<IpAddr> = hopeful.needs.iter().filter_map(|need| need.address).collect();
        let vantages: BTreeSet<i32> = hopeful.needs.iter().filter_map(|need| need.vantage_id).collect();
        let (addresses, vantages) = (Vec::from_iter(addresses), Vec::from_iter(vantages));
        let numbers = store::budget::lock(connection, &addresses, &vantages).await?;
        // What others lent until the lock was had counts. A need that came up meanwhile has no lock: its job waits for the next time.
        let needs = needs(connection, session.probe, &jobs).await?;
        let (mut lent, mut gave) = (BTreeMap::new(), false);
        for job in &jobs {
            let of_job = needs.iter().filter(|need| need.job_id == job.id);
            let waiting = queue.waiting(job.first_target, session.vantage);
            let shares = granted(of_job, &lent, |need| wish(session, job, need, waiting));
            let Some(shares) = shares else { continue };
            let numbered = shares.iter().map(|(key, rate)| Some((*numbers.get(key)?, *rate)));
            let Some(numbered) = numbered.collect::<Option<Vec<_>>>() else { continue };
            let seconds = job.seconds.max(0.0) + GUARD.as_secs_f64();
            store::budget::lend(connection, (job.id, session.probe), &numbered, seconds).await?;
            for (key, rate) in shares {
                *lent.entry(key).or_insert(0) += i64::from(rate);
            }
            store::work::assign(connection, session.probe, job.id).await?;
            queue.gave(job.first_target, session.vantage);
            gave = true;
        }
        if gave {
            store::probe::owes(connection, session.probe).await?;
        }
        Ok(())
    }

    /// Takes the shares of a job back from a probe that is through with it. Only from the newest session: an older one may speak
    /// of what the probe did before it began the job again.
    pub(super) async fn give_back(&self, session: &Session, job: Uuid) -> Result<()> {
        let mut transaction = self.begin().await?;
        if store::session::lock(&mut transaction, session.probe, session.id).await? {
            store::budget::give_back(&mut transaction, job, session.probe, LINGER.as_secs_f64()).await?;
        }
        commit(transaction).await
    }

    /// Forgets shares whose time is over.
    pub(crate) async fn forget_shares(&self) -> Result<()> {
        let mut connection = self.connection().await?;
        store::budget::forget(&mut connection).await?;
        self.forget_runs(&mut connection).await
    }
}

/// Jobs that may be given out, and how many.
struct Hopeful {
    jobs: Vec<Candidate>,
    needs: Vec<Need>,
    room: i64,
    /// There are jobs, and room for some.
    is_blocked: bool,
}

impl Hopeful {
    fn ids(&self) -> Vec<Uuid> {
        self.jobs.iter().map(|job| job.id).collect()
    }
}

async fn needs(connection: &mut PgConnection, probe: Uuid, jobs: &[Candidate]) -> Result<Vec<Need>> {
    if jobs.is_empty() {
        return Ok(Vec::new());
    }
    let ids: Vec<Uuid> = jobs.iter().map(|job| job.id).collect();
    let longest = jobs.iter().map(|job| job.seconds).fold(0.0, f64::max) + GUARD.as_secs_f64();
    Ok(store::budget::needs(connection, probe, &ids, longest).await?)
}

/// What a job asks of a budget.
fn wish(session: &Session, job: &Candidate, need: &Need, (same_targets, same_vantage): (i64, i64)) -> Wish {
    let is_link = need.vantage_id.is_some();
    if !session.keeps_shares {
        let rate = unbound(is_link);
        return Wish { least: rate, most: rate, waiting: 1 };
    }
    let rates = Rates::default();
    // A flow tries again a moment later at the soonest: more than an attempt per second for each is of little use.
    let most = match (is_link, job.tasks_each) {
        (true, _) => count(job.tasks.into()).min(rates.total),
        (false, Some(tasks)) => count(tasks).min(rates.per_target),
        (false, None) => OF_CHECKS,
    };
    let waiting = count(if is_link { same_vantage } else { same_targets });
    Wish { least: 1, most: most.max(1), waiting }
}

fn count(number: i64) -> u32 {
    u32::try_from(number.max(0)).unwrap_or(u32::MAX)
}

/// The shares of everything that a job needs, beside what has been `lent` since the needs were read; `None` where one cannot be
/// had. What the probe has for the job already it keeps as it is: it may be at work with it.
fn granted<'a>(
    needs: impl Iterator<Item = &'a Need>,
    lent: &BTreeMap<Key, i64>,
    wish: impl Fn(&Need) -> Wish,
) -> Option<Vec<(Key, u32)>> {
    needs
        .map(|need| {
            let key = (need.address, need.vantage_id);
            let rate = match need.own {
                Some(rate) => rate.unsigned_abs(),
                None => {
                    let lent = need.lent.saturating_add(lent.get(&key).copied().unwrap_or(0));
                    share(need.budget.unsigned_abs(), count(lent), wish(need))?
                }
            };
            Some((key, rate))
        })
        .collect()
}
