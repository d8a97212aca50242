//! The time of a run, and how much of it counts for others.

use std::time::Duration;

use jiff::Timestamp;
use sekisho_domain::{
    planned::seats::{Misfit, guard},
    schedule::{Run, Timetable},
};

use super::Fit;
use crate::store::plan::Plan;

/// From when until when probes may be at work.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Window {
    pub(super) start: Timestamp,
    pub(super) end: Timestamp,
}

impl Window {
    pub(super) fn length(self) -> Duration {
        Duration::try_from(self.end.duration_since(self.start)).unwrap_or_default()
    }

    /// From when until when that counts: by their clocks it may be earlier and later.
    pub(super) fn counts(self) -> (Timestamp, Timestamp) {
        let guard = guard(self.length());
        (
            self.start.saturating_sub(guard).unwrap_or(self.start),
            self.end.saturating_add(guard).unwrap_or(self.end),
        )
    }

    /// Of a run that ends before the next one of its schedule begins, by whatever clock.
    pub(super) fn of(plan: &Plan, table: &Timetable) -> Fit<Self> {
        let (start, deadline) = (plan.start_at.to_jiff(), plan.deadline.to_jiff());
        let whole = Self { start, end: deadline };
        let Some(next) = table.next(start, 1).first().map(|run: &Run| run.start) else { return Ok(whole) };
        let apart = guard(whole.length()).saturating_mul(2);
        let latest = next.saturating_sub(apart).unwrap_or(start);
        if latest <= start {
            let seconds = next.duration_since(start).unsigned_abs().as_secs();
            return Err(Misfit::Soon(seconds));
        }
        Ok(Self { start, end: deadline.min(latest) })
    }
}
