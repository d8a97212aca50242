//! Budgets: how many new attempts per second the fleet may begin at one target, and over the link of one vantage.
//!
//! A budget is lent in shares, whole attempts per second. A job has a share of the budget of each target that it talks to, from
//! when it is given out until its probe is through with it, or its time is over. Nobody needs to be asked meanwhile: shares
//! that are lent add up to no more than the budget, whoever dies. Why no second then has more than the budget, whenever it
//! begins, is said in ARCHITECTURE.md.

use std::time::Duration;

/// Attempts per second to a target of which the inventory says nothing else.
pub const DEFAULT: u32 = 200;
/// The largest budget.
pub const LARGEST: u32 = 100_000;
/// How long a share counts after its probe has begun its last attempt: whatever second that is in has none of a later share
/// that this one makes room for. A little more than a second, for attempts that are late or take longer on their way.
pub const LINGER: Duration = Duration::from_millis(1_050);
/// How much longer a share counts than its probe is told: more than the clocks of a probe and the database can drift apart in
/// five hours at 500 parts in a million.
pub const GUARD: Duration = Duration::from_secs(10);

/// What a job asks of a budget, attempts per second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wish {
    /// Less is of no use.
    pub least: u32,
    /// More would not be used.
    pub most: u32,
    /// Jobs that wait for the same budget, this one included.
    pub waiting: u32,
}

/// The share that a job gets of a budget of which `lent` is lent: an equal part of the rest, for all that wait. `None`: it has to
/// wait.
#[must_use]
pub fn share(budget: u32, lent: u32, wish: Wish) -> Option<u32> {
    let free = budget.saturating_sub(lent);
    let equal = free.checked_div(wish.waiting.max(1)).unwrap_or(0);
    let least = wish.least.max(1);
    (free >= least).then(|| equal.min(wish.most).max(least))
}

#[cfg(test)]
mod tests;
