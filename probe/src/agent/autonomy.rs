//! Nights without a controller: planned jobs are begun by the probe itself, through the same scope, runner and spool.

use std::{
    collections::HashMap,
    convert::Infallible,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use jiff::{SignedDuration, Timestamp};
use uuid::Uuid;

use super::{jobs::Jobs, lock, presence::Attendance};
use crate::{
    convert,
    identity::Identity,
    plans::{Planned, Plans, What, rule::Step},
    runner::Lanes,
    spool::{KEEP, Spool},
};

/// How often the plans are looked at.
const LOOK: Duration = Duration::from_secs(1);
/// Jobs under way when one more may be begun.
const AT_ONCE: usize = 4;
/// How long the lanes of a schedule are kept after the end of its last job: whoever begins another one may not begin anew with them.
const LANES: Duration = Duration::from_secs(10);

/// What it takes to go on without a controller.
pub(super) struct Autonomy {
    state: PathBuf,
    jobs: Jobs,
    spool: Spool,
    plans: Arc<Mutex<Plans>>,
    presence: Attendance,
    /// What the jobs of a schedule have in common, and when nobody needs it any more.
    lanes: HashMap<String, (Lanes, Instant)>,
}

impl Autonomy {
    pub(super) fn new(
        state: &Path,
        jobs: Jobs,
        spool: Spool,
        plans: Arc<Mutex<Plans>>,
        presence: Attendance,
    ) -> Self {
        Self { state: state.to_owned(), jobs, spool, plans, presence, lanes: HashMap::new() }
    }

    /// Looks at the plans for as long as the probe runs.
    pub(super) async fn run(mut self) -> Infallible {
        // What was done in an earlier process is still to be reported.
        for job in lock(&self.plans).record.done.keys() {
            self.jobs.ended_before(*job);
        }
        let mut ends = self.jobs.ends();
        loop {
            self.note_ends();
            self.look().await;
            self.spool.report();
            tokio::select! {
                _ = ends.changed() => {}
                () = tokio::time::sleep(LOOK) => {}
            }
        }
    }

    fn note_ends(&self) {
        let mut plans = lock(&self.plans);
        for job in self.jobs.finished() {
            if plans.held.contains_key(&job) && !plans.record.done.contains_key(&job) {
                plans.done(job);
                plans.note(job, What::Done, None);
            }
        }
    }

    async fn look(&mut self) {
        let (clock, is_compared) = {
            let plans = lock(&self.plans);
            (plans.now(), plans.is_compared())
        };
        // After a start of the system a clock may be years ahead until a controller was heard: nothing is deleted by it.
        if let Ok(now) = clock
            && is_compared
        {
            self.spool.expire(now.saturating_sub(SignedDuration::try_from(KEEP).unwrap_or_default())).await;
        }
        let running = self.jobs.ids();
        // Where the clock is not believed the plan is not followed, and what would have been done by it is recorded.
        let now = clock.as_ref().copied().unwrap_or_else(|_| Timestamp::now());
        let (mut over, mut due) = (Vec::new(), Vec::new());
        {
            let plans = lock(&self.plans);
            for (id, planned) in plans.held.iter().filter(|(id, _)| !running.contains(id)) {
                let is_done = plans.record.done.contains_key(id);
                match planned.times.step(now, self.presence.of(*id)) {
                    Step::Over if clock.is_ok() && is_compared => over.push((*id, is_done)),
                    Step::Begin if !is_done => due.push((planned.times.start, *id)),
                    Step::Over | Step::Begin | Step::Wait => {}
                }
            }
        }
        self.expire(&over);
        due.sort_unstable();
        if let Err(why) = clock {
            for (_, job) in due {
                lock(&self.plans).note(job, What::Refused, Some(why.to_string()));
            }
            return;
        }
        for (_, job) in due.into_iter().take(AT_ONCE.saturating_sub(running.len())) {
            if let Err(why) = self.begin(job).await {
                tracing::error!(%job, why, "a planned job is not begun");
                lock(&self.plans).note(job, What::Refused, Some(why));
            }
        }
    }

    /// Deletes what is over.
    fn expire(&self, over: &[(Uuid, bool)]) {
        let mut plans = lock(&self.plans);
        for (job, _) in over.iter().filter(|(_, is_done)| !is_done) {
            let why =
                "its time was over before this probe began it: the probe was off, or a controller was there";
            plans.note(*job, What::Expired, Some(why.to_owned()));
        }
        plans.forget(&over.iter().map(|(job, _)| *job).collect::<Vec<_>>());
    }

    /// Begins a job, without what an earlier process of this probe has observed of it.
    async fn begin(&mut self, id: Uuid) -> Result<(), String> {
        // Read anew, because controllers may have come and gone.
        let identity = Identity::read(&self.state).map_err(|error| format!("{error:#}"))?;
        let job = lock(&self.plans).job(id, &identity.trust)?;
        let mut job = convert::job(job)?;
        let seen = self.spool.tasks(id).await.map_err(|error| format!("{error:#}"))?;
        job.tasks.retain(|task| !seen.contains(&task.number()));
        job.autonomous = true;
        let shared = self.plans.clone();
        let mut plans = lock(&shared);
        // Meanwhile a controller may have come, and taken it back or begun it; or its time is over.
        let now = plans.now().map_err(|why| why.to_string())?;
        let is_due = |planned: &&Planned| planned.times.step(now, self.presence.of(id)) == Step::Begin;
        let Some(planned) = plans.held.get(&id).filter(is_due) else { return Ok(()) };
        if job.tasks.is_empty() {
            plans.done(id);
            self.jobs.ended_before(id);
            return Ok(());
        }
        job.within = planned.times.left(now);
        job.lanes = self.lanes(planned, job.within);
        tracing::warn!(job = %id, tasks = job.tasks.len(), "no controller gives this job out: the probe begins it by itself");
        self.jobs.start(job)?;
        plans.note(id, What::Begun, None);
        Ok(())
    }

    /// The lanes of the schedule that a job is of, for so long. What is lent is lent to all of its jobs together, also to those of
    /// two runs that are under way at the same time.
    fn lanes(&mut self, planned: &Planned, within: Duration) -> Lanes {
        let now = Instant::now();
        self.lanes.retain(|_, (_, until)| *until > now);
        let (lanes, until) =
            self.lanes.entry(planned.schedule.clone()).or_insert_with(|| (Lanes::default(), now));
        *until = (*until).max(now + within + LANES);
        lanes.clone()
    }
}
