//! The clock on a wall somewhere, and the instants that it means.

use jiff::{
    Timestamp, Zoned,
    civil::{Date, DateTime},
    tz::{AmbiguousOffset, TimeZone},
};

use crate::inventory::TimeZoneName;

/// A text that is no time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not a time; write 2026-12-31, \"2026-12-31 08:00\" (by the clock of the schedule's zone), or 2026-12-31T08:00:00Z"
)]
pub struct BadTime(String);

/// The clock of a time zone.
#[derive(Debug, Clone)]
pub(super) struct Clock(TimeZone);

impl Clock {
    pub(super) fn of(zone: &TimeZoneName) -> Self {
        Self(zone.zone().clone())
    }

    /// What it shows.
    pub(super) fn wall(&self, at: Timestamp) -> DateTime {
        self.0.to_datetime(at)
    }

    pub(super) fn local(&self, at: Timestamp) -> Zoned {
        at.to_zoned(self.0.clone())
    }

    /// When it shows that: the first time where it does so twice, the moment of the jump where it jumps over it.
    pub(super) fn instant(&self, wall: DateTime) -> Option<Timestamp> {
        let ambiguous = self.0.to_ambiguous_timestamp(wall);
        match ambiguous.offset() {
            AmbiguousOffset::Unambiguous { .. } | AmbiguousOffset::Fold { .. } => ambiguous.earlier().ok(),
            AmbiguousOffset::Gap { after, .. } => {
                // Read with the offset that holds after the jump, the time lies before it.
                let before = after.to_timestamp(wall).ok()?;
                self.0.following(before).next().map(|jump| jump.timestamp())
            }
        }
    }

    /// When a day begins.
    pub(super) fn start_of(&self, day: Date) -> Option<Timestamp> {
        self.instant(day.at(0, 0, 0, 0))
    }

    /// Whether it is put forward or back after `at`, as far as is known.
    pub(super) fn changes(&self, at: Timestamp) -> bool {
        self.0.following(at).next().is_some()
    }

    pub(super) fn read(&self, text: &str) -> Result<Timestamp, BadTime> {
        let bad = || BadTime(text.chars().take(64).collect());
        let text = text.trim();
        if let Ok(at) = text.parse::<Timestamp>() {
            return Ok(at);
        }
        let wall: DateTime = text.parse().map_err(|_| bad())?;
        self.instant(wall).ok_or_else(bad)
    }
}
