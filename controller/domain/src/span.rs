//! Spans: the runs of equal outcome of one flow over time.
//!
//! Observations come in any order: a probe that was away hands last night in after this one. Wherever one lands, the spans
//! are those that all observations make when they are read in the order of their moments. So an observation continues a
//! span, counts inside one, begins one, or tears one apart.
//!
//! `failed` and `missed` are no outcomes of a span: a night on which nobody could test says nothing of the flow, so it
//! neither ends a run nor makes it longer.

#[cfg(test)]
mod tests;

use std::net::IpAddr;

use jiff::{SignedDuration, Timestamp};
use sekisho_model::Outcome;

/// Where an observation of a flow stands among the others: by its time, and by its sweep where times are equal. A flow is
/// tested once in a sweep, so no two observations of a flow have the same moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment {
    /// When it was observed.
    pub at: Timestamp,
    /// Number of the sweep.
    pub sweep: i64,
}

/// What the observations of a span have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Reading {
    outcome: Outcome,
    by: Option<IpAddr>,
}

impl Reading {
    /// The reading of an observation; `None` where it says nothing of the flow, because nobody could test it.
    #[must_use]
    pub const fn new(outcome: Outcome, by: Option<IpAddr>) -> Option<Self> {
        match outcome {
            Outcome::Failed | Outcome::Missed => None,
            Outcome::Open
            | Outcome::Closed
            | Outcome::Filtered
            | Outcome::Rejected
            | Outcome::Unreachable
            | Outcome::Mute
            | Outcome::Wrong => Some(Self { outcome, by }),
        }
    }

    /// The outcome; never `failed`, never `missed`.
    #[must_use]
    pub const fn outcome(self) -> Outcome {
        self.outcome
    }

    /// The device that refused, where it is known. Another device is another reading.
    #[must_use]
    pub const fn by(self) -> Option<IpAddr> {
        self.by
    }
}

/// One observation of a flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Observed {
    /// When.
    pub moment: Moment,
    /// What.
    pub reading: Reading,
}

/// A run of equal observations of one flow. Spans of a flow do not overlap, and neighbours differ in their reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// What all of them saw.
    pub reading: Reading,
    /// The observation that began it.
    pub first: Moment,
    /// The newest of them.
    pub last: Moment,
    /// How many sweeps saw it, from 1.
    pub sweeps: i32,
}

impl Span {
    const fn of(observed: &Observed) -> Self {
        let Observed { moment, reading } = *observed;
        Self { reading, first: moment, last: moment, sweeps: 1 }
    }

    fn holds(&self, moment: Moment) -> bool {
        self.first < moment && moment < self.last
    }

    fn is_torn(&self, new: &[Observed]) -> bool {
        new.iter().any(|observed| self.holds(observed.moment) && self.reading != observed.reading)
    }

    /// Takes what comes next, of the same reading, in.
    fn take(&mut self, next: &Self) {
        self.last = self.last.max(next.last);
        self.sweeps = self.sweeps.saturating_add(next.sweeps);
    }

    /// The observations that it is made of. Those that are not among `within` any more are counted with the first one.
    fn pieces(&self, within: &[Moment], new: &[Observed]) -> Vec<Self> {
        let is_new = |moment| new.iter().any(|observed| observed.moment == moment);
        let piece = |moment| Self::of(&Observed { moment, reading: self.reading });
        let inner = within.iter().filter(|moment| self.holds(**moment) && !is_new(**moment));
        let mut pieces: Vec<Self> = inner.map(|moment| piece(*moment)).collect();
        pieces.push(piece(self.last));
        let known = i32::try_from(pieces.len()).unwrap_or(i32::MAX);
        pieces.push(Self { sweeps: self.sweeps.saturating_sub(known).max(1), ..piece(self.first) });
        pieces
    }
}

/// The spans that the new observations fall into with another reading. [`weave`] has to know which observations these were
/// made of: a span remembers its first and its last one.
#[must_use]
pub fn torn(spans: &[Span], new: &[Observed]) -> Vec<Span> {
    spans.iter().filter(|span| span.is_torn(new)).copied().collect()
}

/// The spans of a flow after new observations, oldest first.
///
/// `spans` are those around the new observations: every one that one of them falls into, and the nearest before and after
/// each. `within` are the moments of observations inside the spans that are [`torn`]; new ones among them do no harm. Where
/// the oldest of them are not kept any more, they stay with the older part. The new observations come in any order, each of
/// them once; of two at the same moment the one that is there first stays.
#[must_use]
pub fn weave(spans: &[Span], within: &[Moment], new: &[Observed]) -> Vec<Span> {
    let mut parts: Vec<Span> = Vec::new();
    for span in spans {
        if span.is_torn(new) {
            parts.extend(span.pieces(within, new));
        } else {
            parts.push(*span);
        }
    }
    parts.extend(new.iter().map(Span::of));
    parts.sort_by_key(|part| part.first);
    let mut woven: Vec<Span> = Vec::new();
    for part in &parts {
        match woven.last_mut() {
            Some(run) if run.reading == part.reading => run.take(part),
            Some(run) if part.first <= run.last => {}
            Some(_) | None => woven.push(*part),
        }
    }
    woven
}

/// What a flow looked like at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Then {
    /// As in this span, which was seen at that time, or not long before it.
    Known(Span),
    /// It was last seen too long before: as in this span.
    Stale(Span),
}

/// What the flow of `spans`, in any order, looked like `at` a time; `None` where nobody had tested it yet. What was last seen
/// longer before than `fresh` says nothing: a night that nobody tested must not look as the one before.
#[must_use]
pub fn then<'a>(spans: impl Iterator<Item = &'a Span>, at: Timestamp, fresh: SignedDuration) -> Option<Then> {
    let span = spans.filter(|span| span.first.at <= at).max_by_key(|span| span.first)?;
    let age = at.duration_since(span.last.at);
    Some(if age <= fresh { Then::Known(*span) } else { Then::Stale(*span) })
}
