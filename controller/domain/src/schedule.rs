//! When a schedule runs, and what becomes of each run.
//!
//! **Times.** A cron expression speaks of the clock on the wall of the schedule's zone. Where that clock jumps:
//!
//! - A time that does not exist, since the clock goes forward over it, runs at the moment at which the clock goes forward.
//!   Several such times, and the time that the clock goes forward to, are one run.
//! - A time that comes twice, since the clock goes back, runs once, the first time. An expression that names every hour
//!   pauses while the hour is repeated.
//!
//! **Window.** A run has its window from the time that the expression names, however late it starts: what is not tested at
//! its end is missed.
//!
//! **Splay.** All runs of a schedule start the same part of its splay after their time. The part follows from the name of the
//! schedule, so it is the same every night and on every controller, and schedules with the same time do not start together.
//!
//! **Blackouts** and the first and the last day are days by the clock of the zone. No run is started on a day of a blackout,
//! nor is one caught up that would have been. A run that began before goes on.
//!
//! **Late.** A run that nobody started in time (no controller was up) is started within what is left of its window. Of
//! several only the newest is started. When its window is over, [`CatchUp`] decides: nothing, or a start with a whole window.

mod clock;
mod decision;
pub mod estimate;
#[cfg(test)]
mod tests;
mod words;

use jiff::{
    SignedDuration, Timestamp,
    civil::{Date, DateTime},
};

use crate::inventory::{CatchUp, Cron, Day, Days, Schedule};
use clock::Clock;

pub use clock::BadTime;
pub use decision::{Decision, Pause, Situation, Skip};

/// Most runs that are looked at together. The others come next.
pub const MOST_DUE: usize = 500;

/// One run of a schedule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Run {
    /// The time that the cron expression names: what tells a run from the others of its schedule.
    pub due: Timestamp,
    /// When it starts: as much later as the schedule's part of the splay.
    pub start: Timestamp,
    /// When its window ends.
    pub deadline: Timestamp,
}

/// Runs that are due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Due {
    /// The oldest ones, at most [`MOST_DUE`].
    pub runs: Vec<Run>,
    /// Up to when this is all.
    pub until: Timestamp,
    /// Whether there are more after that.
    pub more: bool,
}

/// When a schedule runs.
#[derive(Debug, Clone)]
pub struct Timetable {
    cron: Cron,
    clock: Clock,
    window: SignedDuration,
    offset: SignedDuration,
    splay: Option<SignedDuration>,
    not_before: Option<Day>,
    not_after: Option<Day>,
    blackout: Vec<Days>,
    catch_up: CatchUp,
}

impl Timetable {
    /// The timetable of a schedule.
    #[must_use]
    pub fn of(schedule: &Schedule) -> Self {
        let splay = schedule.splay.as_ref().map(crate::inventory::Splay::length);
        Self {
            cron: schedule.cron.clone(),
            clock: Clock::of(&schedule.time_zone),
            window: schedule.window.length(),
            offset: splay.map_or(SignedDuration::ZERO, |splay| share(schedule.name.as_str(), splay)),
            splay,
            not_before: schedule.not_before,
            not_after: schedule.not_after,
            blackout: schedule.blackout.clone(),
            catch_up: schedule.catch_up,
        }
    }

    /// The next runs that start after `after` and outside of blackouts, at most `most`.
    #[must_use]
    pub fn next(&self, after: Timestamp, most: usize) -> Vec<Run> {
        let mut runs = self.runs(after);
        let mut next = Vec::new();
        while next.len() < most
            && let Some(run) = runs.next()
        {
            match self.blackout(run) {
                Some(days) => runs.skip_past(days.last()),
                None => next.push(run),
            }
        }
        next
    }

    /// When the next run starts, in a blackout or not: then there is something to decide.
    #[must_use]
    pub fn next_start(&self, after: Timestamp) -> Option<Timestamp> {
        self.runs(after).next().map(|run| run.start)
    }

    /// The runs that start after `since`, and at `now` or before.
    #[must_use]
    pub fn due(&self, since: Timestamp, now: Timestamp) -> Due {
        let mut runs: Vec<Run> =
            self.runs(since).take_while(|run| run.start <= now).take(MOST_DUE.saturating_add(1)).collect();
        let more = runs.len() > MOST_DUE;
        runs.truncate(MOST_DUE);
        let until = if more { runs.last().map_or(now, |run| run.start) } else { now };
        Due { runs, until, more }
    }

    /// A time as a person reads it where the schedule is.
    #[must_use]
    pub fn local(&self, at: Timestamp) -> jiff::Zoned {
        self.clock.local(at)
    }

    /// A time that a person wrote: with an offset, or by the clock of the schedule's zone, or a date, which is its beginning.
    ///
    /// # Errors
    /// When it is no time.
    pub fn read(&self, text: &str) -> Result<Timestamp, BadTime> {
        self.clock.read(text)
    }

    /// The blackout that a time lies in.
    #[must_use]
    pub fn blackout_at(&self, at: Timestamp) -> Option<Days> {
        let day = self.clock.wall(at).date();
        self.blackout.iter().find(|days| days.contains(day)).copied()
    }

    /// The blackout in which a run would start, or in which it was due.
    fn blackout(&self, run: Run) -> Option<Days> {
        self.blackout_at(run.due).or_else(|| self.blackout_at(run.start))
    }

    /// Every run that starts after `since`.
    fn runs(&self, since: Timestamp) -> Runs<'_> {
        let mut after = since.saturating_sub(self.offset).unwrap_or(Timestamp::MIN);
        if let Some(first) = self.not_before.and_then(|day| self.clock.start_of(day.date())) {
            let just_before = first.saturating_sub(SignedDuration::from_nanos(1)).unwrap_or(Timestamp::MIN);
            after = after.max(just_before);
        }
        Runs { table: self, wall: self.clock.wall(after), after }
    }
}

/// Runs one after the other.
struct Runs<'a> {
    table: &'a Timetable,
    /// What the wall said at the last run.
    wall: DateTime,
    /// The last run was due then.
    after: Timestamp,
}

impl Runs<'_> {
    /// Goes on behind that day.
    fn skip_past(&mut self, day: Date) {
        self.wall = self.wall.max(day.at(23, 59, 59, 0));
    }
}

impl Iterator for Runs<'_> {
    type Item = Run;

    fn next(&mut self) -> Option<Run> {
        let Timetable { cron, clock, window, offset, not_after, .. } = self.table;
        loop {
            self.wall = cron.pattern().find_next_occurrence(&self.wall, false).ok()?;
            if not_after.is_some_and(|last| self.wall.date() > last.date()) {
                return None;
            }
            let due = clock.instant(self.wall)?;
            // Where the clock jumps forward several times are one, and where it was set back one may lie before.
            if due <= self.after {
                continue;
            }
            self.after = due;
            let start = due.checked_add(*offset).ok()?;
            return Some(Run { due, start, deadline: due.checked_add(*window).ok()? });
        }
    }
}

/// The part of a splay that a name gets, in whole seconds: by FNV-1a, which is the same in every version.
fn share(name: &str, splay: SignedDuration) -> SignedDuration {
    let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    // The upper bits are mixed better.
    let seconds = u64::try_from(splay.as_secs()).ok().and_then(|splay| (hash >> 16).checked_rem(splay));
    SignedDuration::from_secs(seconds.and_then(|seconds| i64::try_from(seconds).ok()).unwrap_or(0))
}
