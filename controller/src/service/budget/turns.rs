//! Whose turn it is to look for room in budgets.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// Looks for room, of one controller: a share that comes back is found this soon by one of the vantages that wait.
const EVERY: Duration = Duration::from_millis(20);
/// No vantage waits longer for its turn, however many there are.
const LONGEST: Duration = Duration::from_secs(10);
/// Vantages that are remembered. One that is not may look at once.
const KEPT: usize = 20_000;

/// When vantages whose jobs wait for a budget may look again, so that many that wait do not keep the database busy with looking.
/// A hint: it is nowhere else, and a controller without it only looks more often.
#[derive(Debug, Default)]
pub(in crate::service) struct Turns(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    turns: HashMap<i32, Instant>,
    tidied: Option<Instant>,
}

impl Turns {
    /// Whether a vantage may look.
    pub(in crate::service) fn may_look(&self, vantage: i32, now: Instant) -> bool {
        self.kept().turns.get(&vantage).is_none_or(|turn| *turn <= now)
    }

    /// Notes that nothing could be had.
    pub(super) fn wait(&self, vantage: i32, now: Instant) {
        let mut kept = self.kept();
        if kept.tidied.is_none_or(|tidied| tidied + LONGEST < now) {
            // Those that did not come for long do not wait any more.
            kept.turns.retain(|_, turn| *turn + LONGEST > now);
            kept.tidied = Some(now);
        }
        let others = u32::try_from(kept.turns.len()).unwrap_or(u32::MAX);
        if kept.turns.len() < KEPT {
            kept.turns.insert(vantage, now + EVERY.saturating_mul(others).min(LONGEST));
        }
    }

    /// Notes that a vantage waits no more.
    pub(super) fn went(&self, vantage: i32) {
        self.kept().turns.remove(&vantage);
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_more_wait_the_longer_each_does() {
        let (turns, now) = (Turns::default(), Instant::now());
        assert!(turns.may_look(0, now));
        for vantage in 0..100 {
            turns.wait(vantage, now);
        }
        assert!(turns.may_look(0, now), "the first one waits for nobody");
        assert!(!turns.may_look(99, now + Duration::from_secs(1)));
        assert!(turns.may_look(99, now + Duration::from_secs(2)));
        assert!(turns.may_look(100, now), "one that does not wait");
        turns.went(99);
        assert!(turns.may_look(99, now));
    }

    #[test]
    fn nobody_waits_for_ever() {
        let (turns, now) = (Turns::default(), Instant::now());
        (0..30_000).for_each(|vantage| turns.wait(vantage, now));
        assert!(turns.kept().turns.len() <= KEPT);
        assert!((0..30_000).all(|vantage| turns.may_look(vantage, now + LONGEST)));
    }
}
