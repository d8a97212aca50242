//! What time it is for a plan: the controller's clock when last heard, and the time since; not believed where this host's clock
//! has moved against that.
//!
//! Within one start of the system that time is the kernel's own, which nobody can set: it goes wrong only as a clock drifts. After
//! another start it is the clock on the wall that tells. Controllers count on both to be wrong by no more than 500 parts in a
//! million since a controller was heard (`controller/domain/src/planned/seats.rs`).

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

/// A clock that runs so far away from the time since the start of the system has been set.
const TOLERANCE: SignedDuration = SignedDuration::from_secs(60);

/// The clocks of this host at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Reading {
    /// The clock on the wall.
    pub(crate) wall: Timestamp,
    /// Which start of the system it is.
    pub(crate) boot: String,
    /// Time since that start, sleep included.
    pub(crate) up: Duration,
}

impl Reading {
    /// The clocks now.
    pub(crate) fn take() -> Self {
        let read = |path| std::fs::read_to_string(path).unwrap_or_default();
        let up = read("/proc/uptime").split_whitespace().next().and_then(|up| up.parse::<f64>().ok());
        Self {
            wall: Timestamp::now(),
            boot: read("/proc/sys/kernel/random/boot_id").trim().to_owned(),
            up: up.and_then(|up| Duration::try_from_secs_f64(up).ok()).unwrap_or_default(),
        }
    }
}

/// The clocks when a controller was last heard.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Anchor {
    pub(crate) reading: Reading,
    /// The controller's clock then.
    pub(crate) controller: Timestamp,
}

/// Why it is not known what time it is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unsure {
    #[error("no controller was heard yet, so that this host's clock was never compared")]
    Never,
    #[error("this host's clock was moved by {0} s since a controller was last heard")]
    Moved(i64),
    #[error("this host's clock is {0} s before the time at which a controller was last heard")]
    Back(i64),
}

impl Anchor {
    /// The controller's clock minus this host's, as it was.
    pub(crate) fn offset(&self) -> SignedDuration {
        self.controller.duration_since(self.reading.wall)
    }

    /// The time by the controller's clock.
    pub(crate) fn now(&self, now: &Reading) -> Result<Timestamp, Unsure> {
        let by_wall = now.wall.duration_since(self.reading.wall);
        if now.boot == self.reading.boot {
            let passed = SignedDuration::try_from(now.up.saturating_sub(self.reading.up));
            let passed = passed.unwrap_or(SignedDuration::MAX);
            let moved = by_wall.saturating_sub(passed);
            if moved.abs() > TOLERANCE {
                return Err(Unsure::Moved(moved.as_secs()));
            }
            return Ok(self.controller.saturating_add(passed).unwrap_or(self.controller));
        }
        if by_wall < -TOLERANCE {
            return Err(Unsure::Back(-by_wall.as_secs()));
        }
        Ok(now.wall.saturating_add(self.offset()).unwrap_or(now.wall))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(wall: &str, boot: &str, up: u64) -> Reading {
        Reading { wall: wall.parse().unwrap(), boot: boot.to_owned(), up: Duration::from_secs(up) }
    }

    #[test]
    fn a_clock_is_believed_as_long_as_it_goes_with_the_time() {
        let anchor = Anchor {
            reading: reading("2026-11-26T00:00:00Z", "a", 1_000),
            controller: "2026-11-26T00:00:30Z".parse().unwrap(),
        };
        // Wall, start of the system, time since it; what it is by the controller's clock.
        let table = [
            ("2026-11-26T02:00:00Z", "a", 8_200, Ok("2026-11-26T02:00:30Z")),
            // It was set right, or wrong, by a little: the time that has passed is the same.
            ("2026-11-26T02:00:59Z", "a", 8_200, Ok("2026-11-26T02:00:30Z")),
            ("2026-11-26T02:02:00Z", "a", 8_200, Err(Unsure::Moved(120))),
            ("2026-11-26T01:00:00Z", "a", 8_200, Err(Unsure::Moved(-3_600))),
            ("2026-11-25T23:00:00Z", "a", 1_010, Err(Unsure::Moved(-3_610))),
            ("2026-11-26T02:00:00Z", "b", 10, Ok("2026-11-26T02:00:30Z")),
            ("2026-11-25T23:59:30Z", "b", 10, Ok("2026-11-26T00:00:00Z")),
            ("2026-11-25T22:00:00Z", "b", 10, Err(Unsure::Back(7_200))),
        ];
        for (wall, boot, up, expected) in table {
            let expected = expected.map(|at: &str| at.parse::<Timestamp>().unwrap());
            assert_eq!(anchor.now(&reading(wall, boot, up)), expected, "{wall} {boot} {up}");
        }
    }

    #[test]
    fn this_host_has_the_clocks() {
        let (first, second) = (Reading::take(), Reading::take());
        assert!(!first.boot.is_empty() && first.up > Duration::ZERO);
        assert_eq!(first.boot, second.boot);
        assert!(first.up <= second.up);
    }
}
