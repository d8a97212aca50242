//! Nights without a controller, within budgets.
//!
//! Half of each budget may be planned ahead. A run reserves a part of that half, and cuts it into *seats*: each probe that is given
//! the plan has one, and with it a rate to each target that no later version of the plan changes. Where there are more probes
//! than seats the window is cut into *slots*, one after the other, and a seat is of one slot. Between two slots lies a gap, in
//! which no clock can be so wrong that both are under way. So the probes of a run need not know of each other: whatever they do
//! adds up to no more than its reservation. A run that follows so soon that clocks would not tell it from the one before has the
//! seats of that one; a probe is at work in both with the rate of one.

use std::time::Duration;

use crate::budget::LINGER;

/// How far ahead runs are planned: so long ago a probe may have heard of a controller when it begins one.
pub const AHEAD: Duration = Duration::from_secs(72 * 3_600);
/// Clocks drift by one part in so many at most: 500 parts in a million.
const DRIFT: u32 = 2_000;
/// How far apart the clocks of the database and a probe may be just after they were compared: a controller's is compared in
/// between, and its message takes a while.
const COMPARED: Duration = Duration::from_secs(20);
/// Attempts that a flow takes, as nights are: some flows are silent and take more, most take one.
const OF_A_FLOW: u32 = 4;

/// What may be planned ahead of a budget.
#[must_use]
pub const fn plannable(budget: u32) -> u32 {
    budget / 2
}

/// How far a probe's clock may be from the database's until the end of a window that begins [`AHEAD`] of the last comparison.
#[must_use]
pub fn doubt(window: Duration) -> Duration {
    let drift = AHEAD.saturating_add(window).checked_div(DRIFT).unwrap_or_default();
    Duration::from_secs(COMPARED.saturating_add(drift).as_secs().saturating_add(1))
}

/// How much longer than the window a reservation counts, before it and after it.
#[must_use]
pub fn guard(window: Duration) -> Duration {
    doubt(window).saturating_add(LINGER)
}

/// What lies between two slots.
#[must_use]
pub fn gap(window: Duration) -> Duration {
    let gap = doubt(window).saturating_mul(2).saturating_add(LINGER);
    Duration::from_secs(gap.as_secs().saturating_add(1))
}

/// What a run asks of one budget.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Need {
    /// What it is the budget of, for people.
    pub of: String,
    /// Attempts per second.
    pub budget: u32,
    /// What of it others have while the run may be under way.
    pub lent: u32,
    /// What of that is reserved for other runs.
    pub planned: u32,
    /// Attempts per second that one probe has use for.
    pub useful: u32,
    /// Flows that one probe tests with it.
    pub flows: u32,
    /// Attempts that it needs besides.
    pub others: u32,
    /// Of a link: the probes of its vantage, who have it for themselves.
    pub own: Option<u32>,
}

impl Need {
    /// What a run may reserve, of which `runs` want a part.
    fn free(&self, runs: u32) -> Result<u32, Misfit> {
        if plannable(self.budget) == 0 {
            return Err(Misfit::Small { of: self.of.clone(), budget: self.budget });
        }
        let half = plannable(self.budget).saturating_sub(self.planned);
        match half.min(self.budget.saturating_sub(self.lent)) {
            0 => Err(Misfit::Taken { of: self.of.clone(), budget: self.budget }),
            free => Ok(free.checked_div(runs).unwrap_or(free).max(1)),
        }
    }

    /// Whether what a run has reserved is still no more than may be planned.
    ///
    /// # Errors
    /// [`Misfit::Shrunk`].
    pub fn allows(&self, rate: Rate) -> Result<(), Misfit> {
        if rate.reserved() > plannable(self.budget) {
            return Err(Misfit::Shrunk { of: self.of.clone(), budget: self.budget });
        }
        Ok(())
    }

    /// Probes that use it at the same time, where `seats` have a slot in common.
    fn users(&self, seats: u32) -> u32 {
        self.own.map_or(seats, |own| with_room(own, 1)).max(1)
    }

    fn rate(&self, seats: u32, runs: u32) -> Result<Rate, Misfit> {
        let (free, users) = (self.free(runs)?, self.users(seats));
        match free.checked_div(users).unwrap_or(0).min(self.useful.max(1)) {
            0 => Err(Misfit::Crowd { of: self.of.clone(), budget: self.budget, probes: users }),
            each => Ok(Rate { each, users }),
        }
    }

    /// Seconds that one probe takes at a rate.
    fn seconds(&self, each: u32) -> u32 {
        self.flows.saturating_mul(OF_A_FLOW).saturating_add(self.others).div_ceil(each.max(1))
    }
}

/// Some more than there are, for those that come.
fn with_room(probes: u32, least: u32) -> u32 {
    probes.saturating_add(probes.div_ceil(4).max(least))
}

/// What a seat may use of one budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// New attempts in any second.
    pub each: u32,
    /// Probes that may use as much at the same time: together they have the reservation.
    pub users: u32,
}

impl Rate {
    /// What is reserved.
    #[must_use]
    pub fn reserved(self) -> u32 {
        self.each.saturating_mul(self.users)
    }
}

/// When and for whom a run is planned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Night {
    /// From its start until nothing is done any more.
    pub window: Duration,
    /// What passes until a probe begins.
    pub wait: Duration,
    /// Probes of its vantages.
    pub probes: u32,
    /// Runs at that time that want a part of the same budgets and have none yet; this one is one of them.
    pub runs: u32,
}

/// How the window of a run and its reservations are cut. Fixed as soon as a probe has a seat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seats {
    /// Seats of a slot.
    pub seats: u32,
    /// Slots.
    pub slots: u32,
    /// How long each is.
    pub slot: Duration,
    /// What lies between two.
    pub gap: Duration,
}

/// Why a run is not planned ahead.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Misfit {
    /// Half of a budget is nothing.
    #[error(
        "half of a budget may be planned ahead, and half of {budget}, the budget of {of}, is none: make it 2 or more"
    )]
    Small {
        /// Of what.
        of: String,
        /// Attempts per second.
        budget: u32,
    },
    /// Others have it.
    #[error(
        "what may be planned ahead of the budget of {of}, half of {budget}, is reserved for other runs at that time (or for what probes may \
         hold of a plan that was withdrawn), or all of it is lent: let schedules run at different times, or make the budget larger"
    )]
    Taken {
        /// Of what.
        of: String,
        /// Attempts per second.
        budget: u32,
    },
    /// It has more than half of a budget, which was made smaller.
    #[error(
        "more than half of {budget}, the budget of {of}, was reserved for it when that was larger: it is taken back from the probes, and one that is away \
         may still hold it; runs that are not planned yet are planned by the smaller one"
    )]
    Shrunk {
        /// Of what.
        of: String,
        /// Attempts per second.
        budget: u32,
    },
    /// Less than one attempt per second for each.
    #[error(
        "what is left to plan ahead of the budget of {of}, {budget}, is less than one attempt per second for each of {probes} probes: make it larger"
    )]
    Crowd {
        /// Of what.
        of: String,
        /// Attempts per second.
        budget: u32,
        /// Who would use it.
        probes: u32,
    },
    /// It takes too long.
    #[error(
        "{probes} probes take {slots} turns of {slot} s each at the rates that half of the budgets leaves them, {gap} s apart since clocks drift: \
         {needed} s in all, and the window has {window} s. Make it longer, or the budget of {of} larger"
    )]
    Long {
        /// For whom there is to be room.
        probes: u32,
        /// How many turns.
        slots: u32,
        /// Seconds of each.
        slot: u64,
        /// Seconds between two.
        gap: u64,
        /// Seconds of all.
        needed: u64,
        /// Seconds of the window.
        window: u64,
        /// What keeps them from being fewer.
        of: String,
    },
    /// Probes take turns, and the next run begins before all had theirs.
    #[error(
        "probes take turns, and clocks that drift would not tell this run from the one before: let the schedule run less often, or make its window shorter"
    )]
    Soon,
}

impl Seats {
    /// Cuts a window and budgets. The rates are in the order of the needs.
    ///
    /// # Errors
    /// It does not fit.
    pub fn lay_out(night: Night, needs: &[Need]) -> Result<(Self, Vec<Rate>), Misfit> {
        let (must, want) = (with_room(night.probes, 2), with_room(night.probes, 4));
        let mut tightest: Option<(u32, &Need)> = None;
        for need in needs.iter().filter(|need| need.own.is_none()) {
            let free = need.free(night.runs)?;
            if tightest.is_none_or(|(least, _)| free < least) {
                tightest = Some((free, need));
            }
        }
        let most = tightest.map_or(want, |(free, _)| free);
        let slots = must.div_ceil(most.max(1)).max(1);
        let seats = if slots == 1 { want.min(most) } else { must.div_ceil(slots) };
        let rates: Vec<Rate> =
            needs.iter().map(|need| need.rate(seats, night.runs)).collect::<Result<_, _>>()?;
        let slowest = needs.iter().zip(&rates).max_by_key(|(need, rate)| need.seconds(rate.each));
        let least = slowest.map_or(0, |(need, rate)| need.seconds(rate.each));
        let least = Duration::from_secs(least.into()).saturating_add(night.wait);
        let gap = gap(night.window);
        let gaps = gap.saturating_mul(slots.saturating_sub(1));
        let slot = match slots {
            1 => night.window,
            _ => night.window.saturating_sub(gaps).checked_div(slots).unwrap_or_default(),
        };
        let whole = if slots == 1 { slot } else { Duration::from_secs(slot.as_secs()) };
        if whole < least || whole.is_zero() {
            let of = tightest.map(|(_, need)| need).filter(|_| slots > 1).or(slowest.map(|(need, _)| need));
            return Err(Misfit::Long {
                probes: must,
                slots,
                slot: least.as_secs(),
                gap: gap.as_secs(),
                needed: least.saturating_mul(slots).saturating_add(gaps).as_secs(),
                window: night.window.as_secs(),
                of: of.map(|need| need.of.clone()).unwrap_or_default(),
            });
        }
        Ok((Self { seats, slots, slot: whole, gap }, rates))
    }

    /// What a seat may use of a budget that a later version of the plan asks for.
    ///
    /// # Errors
    /// It does not fit.
    pub fn further(self, need: &Need) -> Result<Rate, Misfit> {
        need.rate(self.seats, 1)
    }

    /// What a seat may use in a run that follows so soon that clocks would not tell it from the one before: the same, for all
    /// runs together, as far as nobody else has it by then. `rate`: what it may use by now.
    ///
    /// # Errors
    /// It does not fit.
    pub fn again(self, need: &Need, rate: Option<Rate>) -> Result<Rate, Misfit> {
        if self.slots > 1 {
            return Err(Misfit::Soon);
        }
        match rate {
            None => self.further(need),
            Some(rate) if need.free(1)? >= rate.reserved() => Ok(rate),
            Some(_) => Err(Misfit::Taken { of: need.of.clone(), budget: need.budget }),
        }
    }

    /// How many seats there are.
    #[must_use]
    pub fn room(self) -> u32 {
        self.seats.saturating_mul(self.slots)
    }

    /// The slot of a seat; `None`: there is no such seat.
    #[must_use]
    pub fn slot_of(self, seat: u32) -> Option<u32> {
        seat.checked_div(self.seats).filter(|slot| *slot < self.slots)
    }

    /// The same in words, with the seats that are taken and the rates to targets.
    #[must_use]
    pub fn words(self, taken: u32, rates: impl IntoIterator<Item = u32>) -> String {
        let (least, most) =
            rates.into_iter().fold((u32::MAX, 0), |(least, most), rate| (least.min(rate), most.max(rate)));
        let rate = match (least, most) {
            (_, 0) => String::new(),
            (least, most) if least == most => {
                format!(", each with {most} new attempts per second to a target")
            }
            (least, most) => format!(", each with {least} to {most} new attempts per second to a target"),
        };
        let when = match self.slots {
            1 => "all in the whole window".to_owned(),
            slots => format!(
                "{} at a time, in {slots} turns of {} s, {} s apart since clocks drift",
                self.seats,
                self.slot.as_secs(),
                self.gap.as_secs()
            ),
        };
        let full = if taken >= self.room() { "; no further probe is given it" } else { "" };
        format!("probes run it by themselves, {when}: {taken} of {} seats are taken{rate}{full}", self.room())
    }

    /// When a slot begins and ends, after the start of the window.
    #[must_use]
    pub fn span(self, slot: u32) -> (Duration, Duration) {
        let begins = self.slot.saturating_add(self.gap).saturating_mul(slot);
        (begins, begins.saturating_add(self.slot))
    }
}

#[cfg(test)]
mod tests;
