//! What becomes of the runs that are due.

use std::fmt;

use jiff::{Timestamp, Zoned};

use super::{Due, Run, Timetable};
use crate::inventory::{CatchUp, Days};

/// A time in which nothing is started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pause {
    /// Its beginning.
    pub since: Timestamp,
    /// Its end; `None`: until somebody resumes.
    pub until: Option<Timestamp>,
}

impl Pause {
    /// Whether it is under way.
    #[must_use]
    pub fn holds(self, at: Timestamp) -> bool {
        self.since <= at && self.until.is_none_or(|until| at < until)
    }
}

/// How things stand with a schedule.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Situation {
    /// Whether somebody has paused it.
    pub pause: Option<Pause>,
    /// A sweep of it that has not ended.
    pub running: Option<i64>,
}

/// What becomes of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// It starts.
    Start {
        /// When its sweep has to end.
        deadline: Timestamp,
        /// Whether its window was over, and it gets another one.
        caught_up: bool,
    },
    /// It does not.
    Skip(Skip),
}

/// Why a run does not start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Skip {
    /// It would start on one of these days.
    Blackout(Days),
    /// Somebody has paused the schedule.
    Paused,
    /// Nobody started it before its window was over.
    TooLate {
        /// When the window was over.
        deadline: Zoned,
    },
    /// A newer run is due too.
    Superseded {
        /// When the newer one is due, where that is known.
        by: Option<Zoned>,
    },
    /// A sweep of the schedule has not ended.
    Overlap {
        /// The sweep.
        sweep: i64,
    },
}

impl Skip {
    /// The word for programs.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Blackout(_) => "blackout",
            Self::Paused => "paused",
            Self::TooLate { .. } => "too-late",
            Self::Superseded { .. } => "superseded",
            Self::Overlap { .. } => "overlap",
        }
    }
}

impl fmt::Display for Skip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Blackout(days) => write!(f, "nothing is started in the blackout {days}"),
            Self::Paused => f.write_str("the schedule was paused"),
            Self::TooLate { deadline } => write!(
                f,
                "no controller started it before its window ended at {}",
                deadline.strftime("%Y-%m-%d %H:%M %Z")
            ),
            Self::Superseded { by: Some(by) } => {
                write!(f, "the newer run of {} was due too", by.strftime("%Y-%m-%d %H:%M %Z"))
            }
            Self::Superseded { by: None } => f.write_str("many newer runs were due too"),
            Self::Overlap { sweep } => write!(f, "sweep {sweep} of this schedule had not ended"),
        }
    }
}

impl Decision {
    /// What becomes of a run that probes hold a plan of. They begin it in time when no controller does: so it has a sweep, with
    /// its own window, however late that is written down, and whatever other runs there were.
    #[must_use]
    pub fn planned(self, run: Run) -> Self {
        let begun = Self::Start { deadline: run.deadline, caught_up: false };
        match self {
            Self::Start { .. } => begun,
            Self::Skip(Skip::TooLate { .. } | Skip::Superseded { .. } | Skip::Overlap { .. }) => begun,
            Self::Skip(Skip::Blackout(_) | Skip::Paused) => self,
        }
    }
}

impl Timetable {
    /// What becomes at `now` of each run that is due. At most one of them starts.
    #[must_use]
    pub fn decide(&self, due: &Due, now: Timestamp, situation: Situation) -> Vec<(Run, Decision)> {
        let is_free = |run: &&Run| self.refused(**run, now, situation).is_none();
        let newest = due.runs.iter().rev().find(is_free).filter(|_| !due.more).copied();
        due.runs.iter().map(|run| (*run, self.decision(*run, newest, now, situation))).collect()
    }

    /// `newest` is the newest run that nothing forbids.
    fn decision(&self, run: Run, newest: Option<Run>, now: Timestamp, situation: Situation) -> Decision {
        if let Some(skip) = self.refused(run, now, situation) {
            return Decision::Skip(skip);
        }
        let is_over = run.deadline <= now;
        if is_over && self.catch_up == CatchUp::Skip {
            return Decision::Skip(Skip::TooLate { deadline: self.local(run.deadline) });
        }
        if newest.is_none_or(|newest| run.due < newest.due) {
            return Decision::Skip(Skip::Superseded { by: newest.map(|newest| self.local(newest.due)) });
        }
        if let Some(sweep) = situation.running {
            return Decision::Skip(Skip::Overlap { sweep });
        }
        let deadline = if is_over { now.checked_add(self.window).unwrap_or(now) } else { run.deadline };
        Decision::Start { deadline, caught_up: is_over }
    }

    /// What forbids a run, whichever others there are.
    fn refused(&self, run: Run, now: Timestamp, situation: Situation) -> Option<Skip> {
        if let Some(days) = self.blackout(run).or_else(|| self.blackout_at(now)) {
            return Some(Skip::Blackout(days));
        }
        let is_paused = |pause: Pause| pause.holds(run.start) || pause.holds(now);
        situation.pause.is_some_and(is_paused).then_some(Skip::Paused)
    }
}
