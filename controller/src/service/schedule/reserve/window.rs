//! The time of a run, and how much of it counts for others.

use std::time::Duration;

use jiff::Timestamp;
use sekisho_domain::planned::seats::guard;

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

    pub(super) fn of(plan: &Plan) -> Self {
        Self { start: plan.start_at.to_jiff(), end: plan.deadline.to_jiff() }
    }
}
